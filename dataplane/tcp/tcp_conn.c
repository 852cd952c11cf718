// SPDX-License-Identifier: BSD-3-Clause

// The life of a connection object: taken from the pool, found in the table,
// given back.

#include "tcp_internal.h"

void tcp_enter(struct pen_tcp *t, pen_time_us now)
{
	t->now = now;
	t->depth++;
}

void tcp_leave(struct pen_tcp *t)
{
	if (--t->depth > 0)
		return;
	while (t->zombie.next != &t->zombie) {
		struct pen_tcp_conn *c = CONN_OF(t->zombie.next, pend);
		link_del(&c->pend);
		pool_put(&t->conns, c);
	}
}

struct pen_tcp_conn *conn_new(
	struct pen_tcp *t, const struct tcp_tuple *id, uint8_t state, pen_time_us now)
{
	struct pen_tcp_conn *c = pool_get(&t->conns);

	if (c == NULL) {
		PEN_COUNT(t->ctr->conn_none_free);
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	c->t = t;
	c->id = *id;
	c->hash = tcp_hash(t, id);
	c->state = state;
	c->iss = tcp_isn(t, id, now);
	c->snd_una = c->snd_nxt = c->snd_max = c->recover = c->iss;
	c->snd_right = c->iss;
	c->ts_offset = tcp_ts_offset(t, id);
	c->rx_limit = t->cfg.rx_window;
	c->rto = (uint32_t)pen_time_min(TCP_INITIAL_RTO_US, t->cfg.max_rto);
	c->rtx_at = c->delack_at = c->idle_at = PEN_TIME_NEVER;
	c->mss = tuple_ip6(id) ? TCP_DEFAULT_MSS6 : TCP_DEFAULT_MSS;
	c->rcv_mss = TCP_DEFAULT_MSS;
	c->rcv_shift = t->rcv_shift;
	c->challenged_at = now - TCP_CHALLENGE_CONN_US;
	pen_wheel_node_init(&c->timer);
	tcp_table_add(t, c->hash, pool_index(&t->conns, c) + 1);
	t->nconns++;
	if (state == TCP_SYN_RCVD)
		t->half_open++;
	return c;
}

static void count_close(struct pen_tcp_counters *ctr, enum pen_tcp_close why)
{
	switch (why) {
	case PEN_TCP_CLOSED_OK:
		PEN_COUNT(ctr->conn_closed_ok);
		break;
	case PEN_TCP_CLOSED_RESET:
		PEN_COUNT(ctr->conn_closed_reset);
		break;
	case PEN_TCP_CLOSED_REFUSED:
		PEN_COUNT(ctr->conn_closed_refused);
		break;
	case PEN_TCP_CLOSED_TIMEOUT:
		PEN_COUNT(ctr->conn_closed_timeout);
		break;
	case PEN_TCP_CLOSED_UNREACHABLE:
		PEN_COUNT(ctr->conn_closed_unreachable);
		break;
	case PEN_TCP_CLOSED_ABORTED:
		PEN_COUNT(ctr->conn_closed_aborted);
		break;
	case PEN_TCP_CLOSED_NO_RESOURCE:
		PEN_COUNT(ctr->conn_closed_no_resource);
		break;
	}
}

void conn_release(struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	struct pen_tcp *t = c->t;

	if (c->state == TCP_SYN_RCVD)
		t->half_open--;
	tcp_table_del(t, c->hash, pool_index(&t->conns, c) + 1);
	pen_wheel_disarm(&t->wheel, &c->timer);
	link_del(&c->pend);
	link_del(&c->starve);
	txq_free(c);
	rx_free(c);
	c->state = TCP_CLOSED;
	t->nconns--;
	count_close(t->ctr, why);
	if (c->told) {
		// The callback may free other connections, and may not free this one.
		t->depth++;
		t->cb.on_closed(c->ctx, c, why, now);
		t->depth--;
	}
	if (t->depth > 0)
		link_add(&t->zombie, &c->pend);
	else
		pool_put(&t->conns, c);
}

void conn_set_mss(struct pen_tcp_conn *c, uint32_t peer_mss)
{
	uint32_t mss = min_u32(peer_mss, c->t->our_mss[c->id.kind]);

	mss = max_u32(mss, TCP_MIN_MSS);
	// RFC 6691: options count against what the peer can take.
	if (c->ts_on)
		mss -= TCP_TS_OPT;
	c->mss = (uint16_t)mss;
}

void conn_take_syn(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	c->irs = s->seq;
	c->rcv_nxt = c->rcv_acked = s->seq + 1;
	c->ts_on = s->has_ts;
	c->ws_on = s->wscale != 0xff;
	c->snd_shift = c->ws_on ? s->wscale : 0;
	if (!c->ws_on)
		c->rcv_shift = 0;
	// What the SYN or SYN-ACK offers at most: its window field is not scaled.
	c->rcv_adv = c->rcv_nxt + min_u32(c->rx_limit, 65535);
	if (s->has_ts) {
		c->ts_recent = s->tsval;
		c->ts_recent_at = now;
	}
	// RFC 9293 3.7.1: what is safe without the option.
	conn_set_mss(c, s->mss != 0         ? s->mss
			: tuple_ip6(&c->id) ? TCP_DEFAULT_MSS6
					    : TCP_DEFAULT_MSS);
	c->snd_wnd = s->wnd;
	c->max_wnd = s->wnd;
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	c->snd_right = c->iss + 1 + s->wnd;
}

bool conn_finish(struct pen_tcp_conn *c, pen_time_us now)
{
	if (!conn_fin_acked(c) || !c->fin_told)
		return true;
	if (c->state == TCP_LAST_ACK)
		conn_release(c, PEN_TCP_CLOSED_OK, now);
	else
		tcp_timewait_enter(c, now);
	return false;
}

void conn_established(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->state == TCP_SYN_RCVD)
		c->t->half_open--;
	// Closed by the application during a simultaneous open: FIN comes next.
	c->state = c->fin_queued ? TCP_FIN_WAIT1 : TCP_ESTABLISHED;
	c->snd_una = c->iss + 1;
	c->snd_nxt = seq_max(c->snd_nxt, c->snd_una);
	c->snd_max = seq_max(c->snd_max, c->snd_una);
	c->recover = c->iss;
	tcp_cc_init(c);
	if (c->retries > 0) {
		// RFC 6298 5.7 and RFC 6928: the path lost our SYN, start with care.
		c->rto = (uint32_t)pen_time_min(TCP_SYN_LOST_RTO_US, c->t->cfg.max_rto);
		if (c->retries > 1)
			c->cwnd = c->mss;
	}
	c->retries = 0;
	c->last_send = now;
	txq_rewind(c);
	tcp_rtx_set(c, RTX_OFF, PEN_TIME_NEVER);
	PEN_COUNT(c->t->ctr->conn_established);
}
