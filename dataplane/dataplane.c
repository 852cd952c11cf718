// SPDX-License-Identifier: BSD-3-Clause
#include "eal.h"
#include "session.h"
#include "worker_mesh.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_launch.h>

#define LINK_WAIT_US (2 * PEN_US_PER_S)

struct pen_dataplane {
	struct pen_dataplane_config cfg;
	struct pen_source_config *source; // cfg.source
	struct port port[PEN_PORTS_MAX];
	struct pen_worker *worker[PEN_WORKERS_MAX];
	uint32_t launched;
	void (*note)(void *ctx, const char *line);
	void *note_ctx;
};

void pen_dataplane_config_init(struct pen_dataplane_config *cfg)
{
	*cfg = (struct pen_dataplane_config){
		.nworkers = 1,
		.max_connections = 16384,
		.buffer_mb = 64,
		.ring_depth = 4096,
	};
	for (uint32_t i = 0; i < PEN_PORTS_MAX; i++)
		cfg->port[i] = (struct pen_port_config){.mtu = 1500, .prefix6_bits = 64};
}

bool pen_port_has_ip6(const struct pen_dataplane_config *cfg, uint32_t port)
{
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (cfg->source[i].port == port && cfg->source[i].addr.family == PEN_FAMILY_IP6)
			return true;
	}
	return false;
}

static void note_line(const struct pen_dataplane *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void note_line(const struct pen_dataplane *d, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (d->note == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->note(d->note_ctx, line);
}

static int check_config(const struct pen_dataplane_config *cfg, char *err, size_t cap)
{
	const char *wrong = NULL;

	if (cfg->nworkers == 0 || cfg->nworkers > PEN_WORKERS_MAX)
		wrong = "the number of workers must be between 1 and 64";
	else if (cfg->nports == 0 || cfg->nports > PEN_PORTS_MAX)
		wrong = "the number of ports must be between 1 and 16";
	else if (cfg->ring_depth == 0 || (cfg->ring_depth & (cfg->ring_depth - 1)) != 0)
		wrong = "the ring depth must be a power of two";
	else if (cfg->max_connections == 0)
		wrong = "the number of connections must not be 0";
	else if (cfg->neal > PEN_EAL_OPTIONS_MAX)
		wrong = "too many EAL options";
	for (uint32_t i = 0; wrong == NULL && i < cfg->nsources; i++) {
		if (cfg->source[i].port >= cfg->nports)
			wrong = "a source names a port that does not exist";
	}
	for (uint32_t i = 0; wrong == NULL && i < cfg->nports; i++) {
		if (cfg->port[i].mtu < 576 || cfg->port[i].mtu > 9600)
			wrong = "a port's mtu must be between 576 and 9600";
		else if (cfg->port[i].mtu < PEN_IP6_MTU_MIN && pen_port_has_ip6(cfg, i))
			wrong = "a port with IPv6 sources must have an mtu of at least 1280";
	}
	if (wrong != NULL)
		snprintf(err, cap, "%s", wrong);
	return wrong == NULL ? 0 : -1;
}

static int start_eal(struct pen_dataplane *d, char *err, size_t cap)
{
	struct eal_machine machine;
	struct eal_plan *plan = malloc(sizeof(*plan));
	int rc = -1;

	eal_machine_probe(&machine);
	if (plan == NULL)
		snprintf(err, cap, "out of memory");
	else
		rc = eal_plan_make(plan, &d->cfg, &machine, port_memory_mb(&d->cfg, true),
			port_memory_mb(&d->cfg, false), err, cap);
	if (rc == 0) {
		if (plan->note[0] != '\0')
			note_line(d, "%s", plan->note);
		rc = eal_start(plan, err, cap);
	}
	free(plan);
	return rc;
}

static int start_ports(struct pen_dataplane *d, char *err, size_t cap)
{
	for (uint32_t i = 0; i < d->cfg.nports; i++) {
		int rc = port_open(&d->port[i], &d->cfg, i, err, cap);
		if (rc != 0)
			return rc;
	}
	for (uint32_t i = 0; i < d->cfg.nports; i++) {
		if (d->port[i].deaf)
			note_line(d,
				"port %s: the device may not receive multicast (for that "
				"net_af_packet needs CAP_NET_ADMIN): neighbours may not find its "
				"IPv6 addresses",
				d->cfg.port[i].name);
		// A memif server waits for nobody.
		if (strstr(d->cfg.port[i].device, "role=server") != NULL)
			continue;
		if (!port_wait_link(&d->port[i], LINK_WAIT_US))
			note_line(d, "port %s: the link is down; going on without it",
				d->cfg.port[i].name);
	}
	return 0;
}

static int wait_ready(struct pen_dataplane *d, char *err, size_t cap)
{
	struct timespec step = {.tv_nsec = 200000};

	for (uint32_t i = 0; i < d->cfg.nworkers; i++) {
		while (worker_state_get(d->worker[i]) == WORKER_STARTING)
			nanosleep(&step, NULL);
		if (worker_state_get(d->worker[i]) == WORKER_FAILED) {
			snprintf(err, cap, "%s", d->worker[i]->error);
			return -1;
		}
	}
	return 0;
}

static int start_workers(
	struct pen_dataplane *d, const struct pen_worker_app *app, void *ctx, char *err, size_t cap)
{
	uint32_t n = d->cfg.nworkers;

	for (uint32_t i = 0; i < n; i++) {
		d->worker[i] = worker_new(i, &d->cfg, d->port, app, ctx, err, cap);
		if (d->worker[i] == NULL)
			return -1;
	}
	if (worker_mesh_new(d->worker, n) != 0) {
		snprintf(err, cap, "no memory for the rings between %u workers", n);
		return -1;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (rte_eal_remote_launch(worker_main, d->worker[i], eal_lcore_of(i)) != 0) {
			snprintf(err, cap, "worker %u: its thread is busy", i);
			return -1;
		}
		d->launched = i + 1;
	}
	return wait_ready(d, err, cap);
}

// The configuration's texts are copied: the caller may free its own.
static struct pen_dataplane *new_dataplane(const struct pen_dataplane_config *cfg)
{
	struct pen_dataplane *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->cfg = *cfg;
	d->source = calloc(cfg->nsources + 1, sizeof(*d->source));
	if (d->source == NULL) {
		free(d);
		return NULL;
	}
	if (cfg->nsources > 0)
		memcpy(d->source, cfg->source, cfg->nsources * sizeof(*d->source));
	d->cfg.source = d->source;
	return d;
}

struct pen_dataplane *pen_dataplane_start_app(const struct pen_dataplane_config *cfg,
	const struct pen_worker_app *app, void *app_ctx, char *err, size_t err_cap,
	void (*note)(void *ctx, const char *line), void *ctx)
{
	if (check_config(cfg, err, err_cap) != 0)
		return NULL;
	struct pen_dataplane *d = new_dataplane(cfg);
	if (d == NULL) {
		snprintf(err, err_cap, "out of memory");
		return NULL;
	}
	d->note = note;
	d->note_ctx = ctx;
	if (start_eal(d, err, err_cap) == 0 && start_ports(d, err, err_cap) == 0 &&
		start_workers(d, app, app_ctx, err, err_cap) == 0)
		return d;
	pen_dataplane_stop(d);
	return NULL;
}

struct pen_dataplane *pen_dataplane_start(const struct pen_dataplane_config *cfg, char *err,
	size_t err_cap, void (*note)(void *ctx, const char *line), void *ctx)
{
	return pen_dataplane_start_app(cfg, &session_app, NULL, err, err_cap, note, ctx);
}

void pen_dataplane_stop(struct pen_dataplane *d)
{
	if (d == NULL)
		return;
	for (uint32_t i = 0; i < d->launched; i++)
		__atomic_store_n(&d->worker[i]->stop, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < d->launched; i++)
		rte_eal_wait_lcore(eal_lcore_of(i));
	worker_mesh_free(d->worker, d->cfg.nworkers);
	for (uint32_t i = 0; i < d->cfg.nworkers; i++)
		worker_free(d->worker[i]);
	for (uint32_t i = 0; i < d->cfg.nports; i++)
		port_close(&d->port[i]);
	eal_stop();
	free(d->source);
	free(d);
}

uint32_t pen_dataplane_workers(const struct pen_dataplane *d)
{
	return d->cfg.nworkers;
}

struct pen_worker *pen_dataplane_worker(struct pen_dataplane *d, uint32_t index)
{
	return index < d->cfg.nworkers ? d->worker[index] : NULL;
}

bool pen_worker_send(struct pen_worker *w, struct pen_ring_msg m)
{
	return pen_ring_put(&w->commands, m);
}

bool pen_worker_recv(struct pen_worker *w, struct pen_ring_msg *m)
{
	return pen_ring_get(&w->events, m);
}

void pen_worker_counters(const struct pen_worker *w,
	void (*fn)(void *ctx, const struct pen_counter_set *set), void *ctx)
{
	struct pen_counter_set set[] = {
		worker_counter_set(&w->ctr),
		port_counter_set(&w->port_ctr),
		pen_inet_counter_set(&w->inet_ctr),
		pen_tcp_counter_set(&w->tcp_ctr),
	};

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		fn(ctx, &set[i]);
	if (w->app->counters != NULL && worker_state_get(w) == WORKER_READY)
		w->app->counters(w->app_state, fn, ctx);
}

void pen_worker_get_load(const struct pen_worker *w, struct pen_worker_load *load)
{
	*load = (struct pen_worker_load){
		.connections = __atomic_load_n(&w->connections, __ATOMIC_RELAXED),
		.loops = pen_counter_read(&w->ctr.loops),
		.busy_loops = pen_counter_read(&w->ctr.busy_loops),
		.idle_sleeps = pen_counter_read(&w->ctr.idle_sleeps),
	};
}
