// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

#include <errno.h>
#include <stdlib.h>

PEN_COUNTERS_DEFINE(pen_tcp, PEN_TCP_COUNTERS);

// TIME_WAIT records are small and long-lived: more than there are connections.
#define TIME_WAIT_LEAST 65536

void pen_tcp_config_init(struct pen_tcp_config *cfg)
{
	*cfg = (struct pen_tcp_config){
		.max_conns = 1024,
		.buffer_chunks = 4096,
		.send_refs = 16384,
		.rx_window = 256 * 1024,
		.tx_limit = 256 * 1024,
		.min_rto = 200 * PEN_US_PER_MS,
		.max_rto = 60 * PEN_US_PER_S,
		.syn_retries = 6,
		.data_retries = 15,
		.time_wait = 60 * PEN_US_PER_S,
		.port_low = 10000,
		.port_high = 65535,
		.workers = 1,
	};
}

static bool config_ok(const struct pen_tcp_config *cfg)
{
	return cfg->max_conns >= 1 && cfg->max_conns <= 4194304 && cfg->buffer_chunks >= 1 &&
	       cfg->send_refs >= 1 && cfg->rx_window >= 1024 && cfg->rx_window <= 1u << 29 &&
	       cfg->tx_limit >= 1024 && cfg->tx_limit <= 1u << 29 && cfg->workers >= 1 &&
	       cfg->worker < cfg->workers && cfg->port_low >= 1 &&
	       cfg->port_low <= cfg->port_high && cfg->min_rto >= PEN_US_PER_MS &&
	       cfg->max_rto >= cfg->min_rto && cfg->max_rto <= 1000 * PEN_US_PER_S &&
	       cfg->data_retries >= 1;
}

static bool memory_take(struct pen_tcp *t)
{
	const struct pen_tcp_config *cfg = &t->cfg;
	uint32_t tws = max_u32(cfg->max_conns, TIME_WAIT_LEAST);
	uint32_t slots = 1024;

	while (slots < 2 * (cfg->max_conns + tws))
		slots *= 2;
	t->table_mask = slots - 1;
	t->table = tcp_map(sizeof(*t->table) * slots);
	return t->table != NULL &&
	       pool_init(&t->conns, sizeof(struct pen_tcp_conn), cfg->max_conns) &&
	       pool_init(&t->txds, sizeof(struct txd), cfg->send_refs) &&
	       pool_init(&t->chunks, sizeof(struct chunk), cfg->buffer_chunks) &&
	       pool_init(&t->tws, sizeof(struct tcp_timewait), tws);
}

static void memory_give(struct pen_tcp *t)
{
	tcp_unmap(t->table, sizeof(*t->table) * ((size_t)t->table_mask + 1));
	pool_fini(&t->conns);
	pool_fini(&t->txds);
	pool_fini(&t->chunks);
	pool_fini(&t->tws);
	free(t);
}

struct pen_tcp *pen_tcp_new(const struct pen_tcp_config *cfg, struct pen_inet *inet,
	const struct pen_tcp_callbacks *cb, struct pen_tcp_counters *ctr, pen_time_us now)
{
	if (!config_ok(cfg)) {
		errno = EINVAL;
		return NULL;
	}
	struct pen_tcp *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->cfg = *cfg;
	t->inet = inet;
	t->cb = *cb;
	t->ctr = ctr;
	t->now = now;
	t->challenge_second = now - PEN_US_PER_S;
	if (!memory_take(t)) {
		memory_give(t);
		errno = ENOMEM;
		return NULL;
	}
	for (int kind = TUPLE_IP4; kind <= TUPLE_IP6; kind++) {
		uint32_t ip = kind == TUPLE_IP6 ? PEN_IP6_LEN : PEN_IP4_LEN;
		uint32_t mss = pen_inet_mtu(inet) - ip - TCP_HDR;
		t->our_mss[kind] = (uint16_t)(cfg->mss != 0 ? min_u32(cfg->mss, mss) : mss);
	}
	t->tx_offload = (pen_inet_port_flags(inet) & PEN_PORT_TX_CSUM) != 0;
	while (t->rcv_shift < TCP_WSCALE_MAX && 65535u << t->rcv_shift < cfg->rx_window)
		t->rcv_shift++;
	link_init(&t->pend);
	link_init(&t->starve);
	link_init(&t->zombie);
	pen_wheel_init(&t->wheel, now);
	pen_rand_seed(&t->rand, cfg->seed);
	tcp_port_init(t);
	return t;
}

void pen_tcp_free(struct pen_tcp *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->conns.mark; i++) {
		struct pen_tcp_conn *c = pool_at(&t->conns, i);
		if (c->state == TCP_CLOSED)
			continue;
		c->told = false;
		tcp_send_rst(c, t->now);
		conn_release(c, PEN_TCP_CLOSED_ABORTED, t->now);
	}
	memory_give(t);
}

int pen_tcp_connect(struct pen_tcp *t, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t remote_port, void *ctx, struct pen_tcp_conn **out, pen_time_us now)
{
	struct tcp_tuple id = {.rport = remote_port};

	t->now = now;
	if (!pen_inet_is_local(t->inet, local) || !pen_inet_has_route(t->inet, local, remote))
		return -ENETUNREACH;
	tuple_set_addrs(&id, local, remote);
	if (pool_left(&t->conns) == 0) {
		PEN_COUNT(t->ctr->conn_none_free);
		return -ENOBUFS;
	}
	if (!tcp_port_pick(t, &id)) {
		PEN_COUNT(t->ctr->port_none_free);
		return -EADDRNOTAVAIL;
	}
	struct pen_tcp_conn *c = conn_new(t, &id, TCP_SYN_SENT, now);
	c->ctx = ctx;
	c->told = true;
	PEN_COUNT(t->ctr->conn_connects);
	tcp_send_syn(c, now);
	tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
	*out = c;
	return 0;
}

void pen_tcp_flush(struct pen_tcp_conn *c, pen_time_us now)
{
	c->t->now = now;
	if (conn_synced(c))
		tcp_output(c, now);
}

void pen_tcp_resume(struct pen_tcp_conn *c, pen_time_us now)
{
	struct pen_tcp *t = c->t;

	tcp_enter(t, now);
	if (conn_synced(c))
		rx_resume(c, now);
	tcp_leave(t);
}

void pen_tcp_set_rx_window(struct pen_tcp_conn *c, uint32_t bytes, pen_time_us now)
{
	uint32_t before = c->rx_limit;

	(void)now;
	c->capped = bytes < c->t->cfg.rx_window;
	c->rx_limit = min_u32(bytes, c->t->cfg.rx_window);
	if (conn_synced(c) && before != c->rx_limit) {
		PEN_COUNT(c->t->ctr->window_updates);
		c->ack_now = true;
		conn_pend(c);
	}
}

void pen_tcp_close(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->fin_queued || c->state == TCP_CLOSED)
		return;
	if (c->state == TCP_SYN_SENT) {
		conn_release(c, PEN_TCP_CLOSED_ABORTED, now);
		return;
	}
	c->fin_queued = true;
	if (c->state == TCP_ESTABLISHED)
		c->state = TCP_FIN_WAIT1;
	else if (c->state == TCP_CLOSE_WAIT)
		c->state = TCP_LAST_ACK;
	link_del(&c->starve);
	pen_tcp_flush(c, now);
}

void pen_tcp_abort(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->state == TCP_CLOSED)
		return;
	tcp_send_rst(c, now);
	conn_release(c, PEN_TCP_CLOSED_ABORTED, now);
}

void pen_tcp_set_ctx(struct pen_tcp_conn *c, void *ctx)
{
	c->ctx = ctx;
}

void *pen_tcp_ctx(const struct pen_tcp_conn *c)
{
	return c->ctx;
}

static void pending_run(struct pen_tcp *t, pen_time_us now)
{
	// Detached first: what cannot be sent now is put back for the next turn.
	struct tcp_link batch;

	if (t->pend.next == &t->pend)
		return;
	batch = t->pend;
	batch.next->prev = batch.prev->next = &batch;
	link_init(&t->pend);
	while (batch.next != &batch) {
		struct pen_tcp_conn *c = CONN_OF(batch.next, pend);
		link_del(&c->pend);
		tcp_output(c, now);
	}
}

// Pools have room again: wake those whose write was cut short.
static void starving_run(struct pen_tcp *t, uint32_t most, pen_time_us now)
{
	while (most-- > 0 && t->starve.next != &t->starve && pool_left(&t->txds) > 0 &&
		chunks_left(t) > 0) {
		struct pen_tcp_conn *c = CONN_OF(t->starve.next, starve);
		link_del(&c->starve);
		if (conn_synced(c))
			t->cb.on_writable(c->ctx, c, c->acked, now);
	}
}

pen_time_us pen_tcp_poll(struct pen_tcp *t, uint32_t most, pen_time_us now)
{
	tcp_enter(t, now);
	pending_run(t, now);
	pen_wheel_advance(&t->wheel, now, most, tcp_timer_fire, t);
	tcp_timewait_expire(t, most, now);
	starving_run(t, most, now);
	tcp_leave(t);
	if (t->pend.next != &t->pend)
		return now;
	return pen_time_min(pen_wheel_next(&t->wheel), tcp_timewait_next(t));
}

uint32_t pen_tcp_conn_count(const struct pen_tcp *t)
{
	return t->nconns;
}

size_t pen_tcp_conn_size(void)
{
	return sizeof(struct pen_tcp_conn);
}

void pen_tcp_get_info(const struct pen_tcp_conn *c, struct pen_tcp_info *info)
{
	*info = (struct pen_tcp_info){
		.local = tuple_local(&c->id),
		.remote = tuple_remote(&c->id),
		.local_port = c->id.lport,
		.remote_port = c->id.rport,
		.srtt_us = c->srtt,
		.rto_us = c->rto,
		.cwnd = c->cwnd,
		.mss = c->mss,
		.retransmits = c->retransmits,
		.peer_window = c->snd_wnd,
		.peer_fin = c->fin_rcvd,
		.timestamps = c->ts_on,
		.window_scaling = c->ws_on,
	};
}

void pen_tcp_get_signs(const struct pen_tcp_conn *c, struct pen_tcp_signs *out)
{
	*out = (struct pen_tcp_signs){
		.segments = c->data_segs,
		.retransmitted = c->data_again,
		.syn_retries = c->syn_retries,
		.zero_windows = c->zero_windows,
		.srtt_us = c->srtt,
	};
}

const char *pen_tcp_close_name(enum pen_tcp_close why)
{
	switch (why) {
	case PEN_TCP_CLOSED_OK:
		return "Connection closed";
	case PEN_TCP_CLOSED_RESET:
		return "Connection reset by peer";
	case PEN_TCP_CLOSED_REFUSED:
		return "Connection refused";
	case PEN_TCP_CLOSED_TIMEOUT:
		return "Connection timed out";
	case PEN_TCP_CLOSED_UNREACHABLE:
		return "Host is unreachable";
	case PEN_TCP_CLOSED_ABORTED:
		return "Connection aborted";
	case PEN_TCP_CLOSED_NO_RESOURCE:
		return "Out of connection resources";
	}
	return "Connection closed";
}
