// SPDX-License-Identifier: BSD-3-Clause
#include "worker.h"

#include "pen_delivery.h"
#include "pen_err.h"
#include "worker_mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_pause.h>

#define COMMANDS_PER_LOOP 256
#define TCP_TIMERS_PER_LOOP 256
// A worker that just had work spins this long before it sleeps: an answer over
// memif or a fast network comes within it.
#define SPIN_US 40
#define SLEEP_SHORT_US 100
#define SLEEP_LONG_US 200
#define LONG_IDLE_US (20 * PEN_US_PER_MS)
#define FRAME_MAX 65536
// At the end events wait this long for a reader.
#define LAST_EVENTS_US (2 * PEN_US_PER_S)

PEN_COUNTERS_DEFINE(worker, WORKER_COUNTERS);

// ---- handler between the network layer and TCP ----

static void on_tcp(void *ctx, const struct pen_addr *src, const struct pen_addr *dst,
	const uint8_t *seg, uint32_t len, bool csum_ok, pen_time_us now)
{
	struct worker_port *p = ctx;

	pen_tcp_input(p->tcp, src, dst, seg, len, csum_ok, now);
}

static void on_unreachable(void *ctx, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t local_port, uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code,
	uint16_t next_mtu, pen_time_us now)
{
	struct worker_port *p = ctx;

	pen_tcp_unreachable(
		p->tcp, local, remote, local_port, remote_port, seq, type, code, next_mtu, now);
}

static void on_neigh(void *ctx, const struct pen_addr *addr, const uint8_t mac[6])
{
	struct worker_port *p = ctx;

	if (p->worker->nworkers > 1)
		worker_mesh_tell_neigh(p, addr, mac);
}

// ---- memory, main thread ----

static int new_inet(struct pen_worker *w, uint32_t index, struct port *port, pen_time_us now)
{
	struct worker_port *p = &w->port[index];
	const struct pen_dataplane_config *cfg = w->cfg;
	struct pen_addr *sources = calloc(cfg->nsources, sizeof(*sources));
	struct pen_inet_config ic = {.mtu = port->mtu,
		.port_flags = port->flags,
		.gateway = port->cfg->gateway,
		.gateway6 = port->cfg->gateway6,
		.prefix_bits = port->cfg->prefix_bits,
		.prefix6_bits = port->cfg->prefix6_bits,
		.quiet = w->index != 0,
		.sources = sources};

	if (sources == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (cfg->source[i].port == index)
			sources[ic.nsources++] = cfg->source[i].addr;
	}
	memcpy(ic.mac, port->mac, 6);
	p->inet =
		ic.nsources > 0 ? pen_inet_new(&ic, &port_ops, &p->queue, &w->inet_ctr, now) : NULL;
	int rc = p->inet != NULL ? 0 : ic.nsources == 0 ? -EINVAL : -ENOMEM;
	free(sources);
	return rc;
}

static int new_stack(struct pen_worker *w, uint32_t index, struct port *port, pen_time_us now)
{
	struct worker_port *p = &w->port[index];
	const struct pen_dataplane_config *cfg = w->cfg;
	const struct pen_inet_handler handler = {.tcp = on_tcp,
		.tcp_unreachable = on_unreachable,
		.neigh_learned = on_neigh,
		.ctx = p};
	struct pen_tcp_config tc;
	int rc = new_inet(w, index, port, now);

	if (rc != 0)
		return rc;
	pen_tcp_config_init(&tc);
	tc.max_conns = cfg->max_connections;
	tc.buffer_chunks = (uint32_t)(((uint64_t)cfg->buffer_mb << 20) / 2048 / w->nports);
	tc.send_refs = cfg->max_connections * 2 + 16384;
	tc.workers = (uint16_t)w->nworkers;
	tc.worker = (uint16_t)w->index;
	if (cfg->rx_window != 0)
		tc.rx_window = cfg->rx_window;
	if (cfg->tx_limit != 0)
		tc.tx_limit = cfg->tx_limit;
	pen_rand_secret(&tc.secret, sizeof(tc.secret));
	pen_rand_secret(&tc.seed, sizeof(tc.seed));
	p->tcp = pen_tcp_new(&tc, p->inet, w->app->tcp, &w->tcp_ctr, now);
	if (p->tcp == NULL)
		return -ENOMEM;
	pen_inet_set_handler(p->inet, &handler);
	w->env.tcp[index] = p->tcp;
	return 0;
}

struct pen_worker *worker_new(uint32_t index, const struct pen_dataplane_config *cfg,
	struct port *ports, const struct pen_worker_app *app, void *app_ctx, char *err, size_t cap)
{
	struct pen_worker *w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);
	pen_time_us now = pen_clock_mono();

	if (w == NULL) {
		snprintf(err, cap, "worker %u: out of memory", index);
		return NULL;
	}
	memset(w, 0, sizeof(*w));
	w->index = index;
	w->nworkers = cfg->nworkers;
	w->nports = cfg->nports;
	w->cfg = cfg;
	w->app = app;
	w->app_ctx = app_ctx;
	w->env.self = w;
	w->env.index = index;
	w->env.cfg = cfg;
	w->linear = malloc(FRAME_MAX);
	int rc = w->linear != NULL ? 0 : -ENOMEM;
	if (rc == 0)
		rc = pen_ring_init(&w->commands, cfg->ring_depth);
	if (rc == 0)
		rc = pen_ring_init(&w->events, cfg->ring_depth);
	for (uint32_t i = 0; rc == 0 && i < cfg->nports; i++) {
		w->port[i].worker = w;
		w->port[i].inet_deadline = now;
		port_queue_init(&w->port[i].queue, &ports[i], index, &w->port_ctr);
		if (app->tcp == NULL)
			continue;
		rc = new_stack(w, i, &ports[i], now);
		if (rc == -EINVAL)
			snprintf(err, cap, "port %s: no source address is configured on it",
				cfg->port[i].name);
	}
	if (rc == 0)
		return w;
	if (rc != -EINVAL)
		snprintf(err, cap, "worker %u: no memory for %u connections and %u MB of buffers",
			index, cfg->max_connections, cfg->buffer_mb);
	worker_free(w);
	return NULL;
}

void worker_free(struct pen_worker *w)
{
	if (w == NULL)
		return;
	for (uint32_t i = 0; i < w->nports; i++) {
		pen_tcp_free(w->port[i].tcp);
		pen_inet_free(w->port[i].inet);
		port_queue_fini(&w->port[i].queue);
	}
	pen_ring_fini(&w->commands);
	pen_ring_fini(&w->events);
	free(w->linear);
	free(w);
}

// ---- the loop ----

static uint32_t port_index(const struct pen_worker *w, uint16_t id)
{
	uint32_t i = 0;

	while (i < w->nports && w->port[i].queue.port->id != id)
		i++;
	return i;
}

static void input_frame(struct worker_port *p, struct rte_mbuf *m, pen_time_us now)
{
	struct pen_worker *w = p->worker;
	const uint8_t *bytes = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t len = m->pkt_len;

	if (m->nb_segs > 1) {
		if (len > FRAME_MAX) {
			PEN_COUNT(w->port_ctr.rx_too_long);
			rte_pktmbuf_free(m);
			return;
		}
		bytes = rte_pktmbuf_read(m, 0, len, w->linear);
	}
	pen_inet_input(p->inet, bytes, len, port_rx_csum_ok(p->queue.port, m, bytes, len), now);
	rte_pktmbuf_free(m);
}

static void input_foreign(struct pen_worker *w, struct rte_mbuf *m, pen_time_us now)
{
	uint32_t i = port_index(w, m->port);

	PEN_ASSERT(i < w->nports);
	input_frame(&w->port[i], m, now);
}

static void input_raw(struct worker_port *p, struct rte_mbuf *m, pen_time_us now)
{
	struct pen_worker *w = p->worker;

	if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) != 0) {
		PEN_COUNT(w->port_ctr.rx_too_long);
		rte_pktmbuf_free(m);
		return;
	}
	struct pen_frame f = {.data = rte_pktmbuf_mtod(m, uint8_t *),
		.cap = m->data_len + (uint32_t)rte_pktmbuf_tailroom(m),
		.port = m};
	w->app->frame(w->app_state, (uint32_t)(p - w->port), &f, m->data_len, now);
}

static uint32_t receive(struct worker_port *p, pen_time_us now)
{
	struct pen_worker *w = p->worker;
	struct rte_mbuf *burst[PORT_BURST];
	uint16_t n = port_queue_receive(&p->queue, burst, PORT_BURST);
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = burst[i];
		if (i + 2 < n)
			__builtin_prefetch(rte_pktmbuf_mtod(burst[i + 2], const void *));
		bytes += m->pkt_len;
		if (w->app->tcp == NULL)
			input_raw(p, m, now);
		else if (w->nworkers == 1 || !worker_mesh_steer(w, m))
			input_frame(p, m, now);
	}
	if (n > 0) {
		PEN_COUNT_N(w->port_ctr.rx_frames, n);
		PEN_COUNT_N(w->port_ctr.rx_bytes, bytes);
	}
	return n;
}

static uint32_t take_commands(struct pen_worker *w, pen_time_us now)
{
	uint32_t n = 0;

	while (n < COMMANDS_PER_LOOP) {
		if (!w->has_waiting && !pen_ring_get(&w->commands, &w->waiting))
			break;
		w->has_waiting = false;
		if (w->waiting.type == PEN_CMD_STOP) {
			__atomic_store_n(&w->stop, 1, __ATOMIC_RELAXED);
		} else if (w->app->command != NULL &&
			   !w->app->command(w->app_state, &w->waiting, now)) {
			w->has_waiting = true;
			break;
		}
		n++;
	}
	if (n > 0)
		PEN_COUNT_N(w->ctr.commands, n);
	return n;
}

// The stacks' timers and pending ACKs; returns the next deadline.
static pen_time_us poll_stacks(struct pen_worker *w, pen_time_us now)
{
	pen_time_us next = PEN_TIME_NEVER;
	uint32_t connections = 0;

	for (uint32_t i = 0; w->app->tcp != NULL && i < w->nports; i++) {
		struct worker_port *p = &w->port[i];
		next = pen_time_min(next, pen_tcp_poll(p->tcp, TCP_TIMERS_PER_LOOP, now));
		if (now >= p->inet_deadline)
			p->inet_deadline = pen_inet_poll(p->inet, now);
		// A new request may have a sooner deadline than the last poll knew.
		pen_time_us arp = pen_time_min(p->inet_deadline, now + 50 * PEN_US_PER_MS);
		p->inet_deadline = arp;
		next = pen_time_min(next, arp);
		connections += pen_tcp_conn_count(p->tcp);
	}
	__atomic_store_n(&w->connections, connections, __ATOMIC_RELAXED);
	return next;
}

static void rest(struct pen_worker *w, pen_time_us deadline, pen_time_us now)
{
	pen_time_us idle = now - w->last_busy;

	if (idle < SPIN_US) {
		rte_pause();
		return;
	}
	pen_time_us most = idle < LONG_IDLE_US ? SLEEP_SHORT_US : SLEEP_LONG_US;
	pen_time_us us = pen_time_min(deadline - now, most);
	if (us <= 0)
		return;
	struct timespec ts = {.tv_nsec = us * 1000};
	nanosleep(&ts, NULL);
	PEN_COUNT(w->ctr.idle_sleeps);
}

// True when the application has ended and its events were read, or were given
// enough time.
static bool finish(struct pen_worker *w, pen_time_us now, pen_time_us *since)
{
	if (!w->finishing) {
		w->finishing = true;
		*since = now;
	}
	bool done = w->app->finish == NULL || w->app->finish(w->app_state, now);
	if (done && pen_ring_count(&w->events) == 0 && !w->has_waiting)
		return true;
	return now - *since > LAST_EVENTS_US;
}

static void run(struct pen_worker *w)
{
	pen_time_us finishing_since = 0;

	for (;;) {
		pen_time_us now = pen_clock_mono();
		uint32_t work = 0;

		for (uint32_t i = 0; i < w->nports; i++)
			work += receive(&w->port[i], now);
		if (w->nworkers > 1)
			work += worker_mesh_receive(w, now, input_foreign);
		work += take_commands(w, now);
		pen_time_us next = PEN_TIME_NEVER;
		if (w->app->poll != NULL)
			next = w->app->poll(w->app_state, now);
		next = pen_time_min(next, poll_stacks(w, now));
		for (uint32_t i = 0; i < w->nports; i++)
			port_queue_flush(&w->port[i].queue);
		PEN_COUNT(w->ctr.loops);
		if (work > 0) {
			PEN_COUNT(w->ctr.busy_loops);
			w->last_busy = now;
		} else {
			rest(w, next, now);
		}
		if (__atomic_load_n(&w->stop, __ATOMIC_RELAXED) != 0 &&
			finish(w, now, &finishing_since))
			return;
	}
}

int worker_main(void *arg)
{
	struct pen_worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "pen-worker-%u", w->index);
	prctl(PR_SET_NAME, name);
	// Sleeps are short: the kernel's default slack of 50 us would double them.
	prctl(PR_SET_TIMERSLACK, 1000UL);
	w->app_state =
		w->app->start(w->app_ctx, &w->env, pen_clock_mono(), w->error, sizeof(w->error));
	if (w->app_state == NULL) {
		__atomic_store_n(&w->state, WORKER_FAILED, __ATOMIC_RELEASE);
		return 1;
	}
	__atomic_store_n(&w->state, WORKER_READY, __ATOMIC_RELEASE);
	run(w);
	// Resets of connections that were just aborted still have to leave.
	for (uint32_t i = 0; i < w->nports; i++)
		port_queue_flush(&w->port[i].queue);
	if (w->app->stop != NULL)
		w->app->stop(w->app_state);
	w->app_state = NULL;
	__atomic_store_n(&w->state, WORKER_ENDED, __ATOMIC_RELEASE);
	return 0;
}

// ---- for applications ----

bool pen_worker_post(struct pen_worker *w, struct pen_ring_msg m)
{
	if (!pen_ring_put(&w->events, m)) {
		PEN_COUNT(w->ctr.event_ring_full);
		return false;
	}
	PEN_COUNT(w->ctr.events);
	return true;
}

int pen_worker_port_of(const struct pen_worker *w, const struct pen_addr *local)
{
	for (uint32_t i = 0; i < w->nports; i++) {
		if (w->port[i].inet != NULL && pen_inet_is_local(w->port[i].inet, local))
			return (int)i;
	}
	return -1;
}

bool pen_worker_frame_get(struct pen_worker *w, uint32_t port, struct pen_frame *f)
{
	return port_ops.tx_get(&w->port[port].queue, f);
}

void pen_worker_frame_send(struct pen_worker *w, uint32_t port, struct pen_frame *f, uint32_t len)
{
	port_ops.tx_put(&w->port[port].queue, f, len, false);
}

void pen_worker_frame_drop(struct pen_worker *w, struct pen_frame *f)
{
	port_ops.tx_drop(&w->port[0].queue, f);
}
