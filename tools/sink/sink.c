// SPDX-License-Identifier: BSD-3-Clause
#include "sink.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMERS_PER_LOOP 512

PEN_COUNTERS_DEFINE(sink, SINK_COUNTERS);

void sink_mark(struct sink_conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = c->k->dirty;
	c->k->dirty = c;
}

// ---- output and the end of a connection ----

static void write_out(struct sink_conn *c)
{
	struct pen_buf *out = &c->smtp.out;

	if (out->n == 0 || c->handshaking)
		return;
	if (c->tls != NULL) {
		sink_tls_output(c);
		return;
	}
	// The buffer keeps its memory: replies come by the hundred thousand.
	pen_buf_consume(out, pen_tcp_write_copy(c->tcp, out->p, (uint32_t)out->n));
}

static void arm(struct sink_conn *c)
{
	pen_time_us at = pen_smtp_server_deadline(&c->smtp);

	if (c->hold_out > c->k->now && c->smtp.out.n > 0)
		at = pen_time_min(at, c->hold_out);
	if (c->input_waits)
		at = pen_time_min(at, c->hold_in);
	pen_wheel_arm(&c->k->wheel, &c->timer, at);
}

static void pump(struct sink_conn *c)
{
	pen_time_us now = c->k->now;

	if (!c->used || c->tcp == NULL)
		return;
	if (c->input_waits && now >= c->hold_in) {
		c->input_waits = false;
		pen_tcp_resume(c->tcp, now);
		if (c->tcp == NULL)
			return;
	}
	if (c->hold_out <= now)
		write_out(c);
	pen_tcp_flush(c->tcp, now);
	bool quiet = c->smtp.out.n == 0;
	if ((c->closing || c->peer_fin) && (quiet || c->peer_fin) && !c->closed_by_us) {
		c->closed_by_us = true;
		if (c->tls != NULL && !c->handshaking)
			c->k->cfg->tls->shutdown(c->tls);
		pen_wheel_disarm(&c->k->wheel, &c->timer);
		pen_tcp_close(c->tcp, now);
		return;
	}
	arm(c);
}

void sink_ledger(struct sink_conn *c, const char *what, const char *id)
{
	FILE *f = c->k->cfg->ledger;

	if (f != NULL)
		fprintf(f, "%lld %s %llu %s\n", (long long)pen_clock_mono(), what,
			(unsigned long long)c->number, *id != '\0' ? id : "-");
}

// ---- TCP's callbacks ----

static void *on_accept(void *listen_ctx, struct pen_tcp_conn *tcp)
{
	struct sink *k = listen_ctx;
	struct sink_conn *c = k->free_list;

	if (c == NULL) {
		PEN_COUNT(k->ctr.connections_refused);
		return NULL;
	}
	k->free_list = c->next_free;
	// It may still be on the list of those to be looked at.
	bool dirty = c->dirty;
	struct sink_conn *next_dirty = c->next_dirty;
	memset(c, 0, sizeof(*c));
	c->dirty = dirty;
	c->next_dirty = next_dirty;
	c->used = true;
	c->k = k;
	c->tcp = tcp;
	c->read_since = k->now;
	pen_wheel_node_init(&c->timer);
	PEN_COUNT(k->ctr.connections);
	c->number = k->ctr.connections;
	sink_ledger(c, "open", "");
	pen_smtp_server_init(
		&c->smtp, &k->cfg->smtp, &sink_smtp_callbacks, c, &k->smtp_ctr, k->now);
	sink_mark(c);
	return c;
}

// How many bytes may be read now, with --slow-read.
static uint32_t allowance(struct sink_conn *c, uint32_t n, pen_time_us now)
{
	uint64_t rate = c->k->cfg->slow_read;

	if (rate == 0)
		return n;
	uint64_t due = rate * (uint64_t)(now - c->read_since) / PEN_US_PER_S + rate / 50 + 1;
	uint64_t room = due > c->read_bytes ? due - c->read_bytes : 0;
	if (room < n) {
		n = (uint32_t)room;
		c->hold_in = now + 20 * PEN_US_PER_MS;
		c->input_waits = true;
	}
	c->read_bytes += n;
	return n;
}

static uint32_t on_data(
	void *ctx, struct pen_tcp_conn *tcp, const uint8_t *p, uint32_t n, pen_time_us now)
{
	struct sink_conn *c = ctx;

	(void)tcp;
	c->k->now = now;
	sink_mark(c);
	if (c->closing)
		return n;
	if (c->hold_in > now) {
		c->input_waits = true;
		return 0;
	}
	n = allowance(c, n, now);
	if (n == 0)
		return 0;
	if (c->tls != NULL || c->handshaking) {
		sink_tls_input(c, p, n, now);
		return n;
	}
	size_t used = pen_smtp_server_feed(&c->smtp, p, n, now);
	if (c->tls_wanted)
		sink_tls_start(c);
	return (uint32_t)used;
}

static void on_peer_fin(void *ctx, struct pen_tcp_conn *tcp, pen_time_us now)
{
	struct sink_conn *c = ctx;

	(void)tcp;
	(void)now;
	c->peer_fin = true;
	sink_mark(c);
}

static void on_writable(void *ctx, struct pen_tcp_conn *tcp, uint64_t acked, pen_time_us now)
{
	struct sink_conn *c = ctx;

	(void)tcp;
	(void)acked;
	(void)now;
	if (c->smtp.out.n > 0)
		sink_mark(c);
}

static void on_closed(void *ctx, struct pen_tcp_conn *tcp, enum pen_tcp_close why, pen_time_us now)
{
	struct sink_conn *c = ctx;
	struct sink *k = c->k;

	(void)tcp;
	(void)why;
	(void)now;
	c->tcp = NULL;
	pen_smtp_server_fini(&c->smtp);
	sink_message_abandon(c);
	sink_tls_free(c);
	pen_wheel_disarm(&k->wheel, &c->timer);
	sink_ledger(c, "close", "");
	c->used = false;
	c->next_free = k->free_list;
	k->free_list = c;
	PEN_COUNT(k->ctr.sessions_ended);
}

static const struct pen_tcp_callbacks tcp_callbacks = {
	.on_accept = on_accept,
	.on_data = on_data,
	.on_peer_fin = on_peer_fin,
	.on_writable = on_writable,
	.on_closed = on_closed,
};

// ---- the application ----

static void on_timer(void *ctx, struct pen_wheel_node *node, pen_time_us now)
{
	struct sink_conn *c =
		(struct sink_conn *)((uint8_t *)node - offsetof(struct sink_conn, timer));

	(void)ctx;
	pen_smtp_server_tick(&c->smtp, now);
	sink_mark(c);
}

static pen_time_us sink_poll(void *state, pen_time_us now)
{
	struct sink *k = state;

	k->now = now;
	pen_wheel_advance(&k->wheel, now, TIMERS_PER_LOOP, on_timer, k);
	struct sink_conn *list = k->dirty;
	k->dirty = NULL;
	while (list != NULL) {
		struct sink_conn *c = list;
		list = c->next_dirty;
		c->dirty = false;
		pump(c);
	}
	return k->dirty != NULL ? now : pen_wheel_next(&k->wheel);
}

static void sink_stop(void *state)
{
	struct sink *k = state;

	for (uint32_t i = 0; k->pool != NULL && i < k->cfg->max_connections; i++) {
		if (!k->pool[i].used)
			continue;
		k->pool[i].tcp = NULL;
		pen_smtp_server_fini(&k->pool[i].smtp);
		sink_message_abandon(&k->pool[i]);
		sink_tls_free(&k->pool[i]);
	}
	if (k->tls_thread != NULL)
		k->cfg->tls->thread_free(k->tls_thread);
	tally_fini(&k->tally);
	free(k->pool);
	k->pool = NULL;
}

static void *sink_start(
	void *ctx, const struct pen_worker_env *env, pen_time_us now, char *err, size_t err_cap)
{
	struct sink *k = ctx;
	size_t bytes = (size_t)k->cfg->max_connections * sizeof(struct sink_conn);

	k->env = env;
	k->now = now;
	pen_rand_seed(&k->rand, k->cfg->seed);
	pen_wheel_init(&k->wheel, now);
	k->pool = aligned_alloc(64, (bytes + 63) / 64 * 64);
	if (k->pool == NULL) {
		snprintf(err, err_cap, "no memory for %u connections", k->cfg->max_connections);
		return NULL;
	}
	memset(k->pool, 0, bytes);
	for (uint32_t i = k->cfg->max_connections; i-- > 0;) {
		k->pool[i].next_free = k->free_list;
		k->free_list = &k->pool[i];
	}
	if (k->cfg->tls != NULL) {
		k->tls_thread = k->cfg->tls->thread_new(k->cfg->tls->ctx, 0, err, err_cap);
		if (k->tls_thread == NULL) {
			sink_stop(k);
			return NULL;
		}
	}
	if (pen_tcp_listen(env->tcp[0], k->cfg->port, k) != 0) {
		snprintf(err, err_cap, "cannot listen on port %u", k->cfg->port);
		sink_stop(k);
		return NULL;
	}
	return k;
}

static void sink_counters_read(
	const void *state, void (*fn)(void *ctx, const struct pen_counter_set *set), void *ctx)
{
	const struct sink *k = state;
	struct pen_counter_set set = sink_counter_set(&k->ctr);

	fn(ctx, &set);
	set = pen_smtp_server_counter_set(&k->smtp_ctr);
	fn(ctx, &set);
}

const struct pen_worker_app sink_app = {
	.name = "sink",
	.tcp = &tcp_callbacks,
	.start = sink_start,
	.poll = sink_poll,
	.stop = sink_stop,
	.counters = sink_counters_read,
};
