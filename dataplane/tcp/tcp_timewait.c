// SPDX-License-Identifier: BSD-3-Clause

// TIME_WAIT without a connection: 72 bytes that keep the tuple taken and
// answer the peer's last FIN. All live equally long, so the oldest is first.

#include "tcp_internal.h"

static struct tcp_timewait *tw_at(const struct pen_tcp *t, uint32_t index)
{
	return pool_at(&t->tws, index);
}

static void tw_append(struct pen_tcp *t, struct tcp_timewait *tw, pen_time_us now)
{
	uint32_t me = pool_index(&t->tws, tw) + 1;

	tw->deadline = now + t->cfg.time_wait;
	tw->next = 0;
	tw->prev = t->tw_last;
	if (t->tw_last != 0)
		tw_at(t, t->tw_last - 1)->next = me;
	else
		t->tw_first = me;
	t->tw_last = me;
}

static void tw_unlink(struct pen_tcp *t, struct tcp_timewait *tw)
{
	if (tw->prev != 0)
		tw_at(t, tw->prev - 1)->next = tw->next;
	else
		t->tw_first = tw->next;
	if (tw->next != 0)
		tw_at(t, tw->next - 1)->prev = tw->prev;
	else
		t->tw_last = tw->prev;
}

static void tw_free(struct pen_tcp *t, struct tcp_timewait *tw)
{
	uint32_t ref = (pool_index(&t->tws, tw) + 1) | TCP_REF_TW;

	tcp_table_del(t, tcp_hash(t, &tw->id), ref);
	tw_unlink(t, tw);
	pool_put(&t->tws, tw);
}

void tcp_timewait_enter(struct pen_tcp_conn *c, pen_time_us now)
{
	struct pen_tcp *t = c->t;
	struct tcp_timewait rec = {
		.id = c->id,
		.snd_nxt = c->snd_max,
		.rcv_nxt = c->rcv_nxt,
		.ts_recent = c->ts_recent,
		.ts_offset = c->ts_on ? c->ts_offset | 1 : 0, // 0 says: no timestamps
	};
	uint32_t hash = c->hash;

	if (c->ack_now || c->ack_pending)
		tcp_send_ack(c, now);
	if (pool_left(&t->tws) == 0) {
		PEN_COUNT(t->ctr->time_wait_recycled);
		tw_free(t, tw_at(t, t->tw_first - 1));
	}
	PEN_COUNT(t->ctr->time_wait_entered);
	// The record takes the tuple before the application hears of the end: it
	// may connect again at once, and must not get the same port.
	struct tcp_timewait *tw = pool_get(&t->tws);
	*tw = rec;
	tw_append(t, tw, now);
	tcp_table_add(t, hash, (pool_index(&t->tws, tw) + 1) | TCP_REF_TW);
	conn_release(c, PEN_TCP_CLOSED_OK, now);
}

// RFC 9293 MAY-2 and RFC 6191: a newer incarnation may take over.
static bool syn_is_newer(const struct tcp_timewait *tw, const struct tcp_seg *s)
{
	if (s->has_ts && tw->ts_offset != 0 && s->tsval != tw->ts_recent)
		return seq_lt(tw->ts_recent, s->tsval);
	return seq_lt(tw->rcv_nxt, s->seq);
}

void tcp_timewait_input(struct pen_tcp *t, uint32_t ref, const struct tcp_seg *s, pen_time_us now)
{
	struct tcp_timewait *tw = tw_at(t, (ref & ~TCP_REF_TW) - 1);
	struct tcp_listener *l = tcp_listener_find(t, s->id.lport);

	if (l != NULL && (s->flags & (SYN | ACK | RST)) == SYN && syn_is_newer(tw, s)) {
		uint32_t floor = tw->snd_nxt + 65536;
		PEN_COUNT(t->ctr->time_wait_reused);
		tw_free(t, tw);
		tcp_listen_input(t, l, s, floor, now);
		return;
	}
	PEN_COUNT(t->ctr->drop_time_wait);
	// RFC 1337: a reset does not end TIME_WAIT.
	if ((s->flags & RST) != 0 || (s->len == 0 && (s->flags & (SYN | FIN)) == 0))
		return;
	if ((s->flags & FIN) != 0 && s->seq + s->len + 1 == tw->rcv_nxt) {
		tw_unlink(t, tw);
		tw_append(t, tw, now);
	} else if (!tcp_challenge_allowed(t, now)) {
		return;
	}
	tcp_reply_ack(t, tw, now);
}

void tcp_timewait_expire(struct pen_tcp *t, uint32_t most, pen_time_us now)
{
	while (most-- > 0 && t->tw_first != 0) {
		struct tcp_timewait *tw = tw_at(t, t->tw_first - 1);
		if (tw->deadline > now)
			return;
		tw_free(t, tw);
	}
}

pen_time_us tcp_timewait_next(const struct pen_tcp *t)
{
	return t->tw_first != 0 ? tw_at(t, t->tw_first - 1)->deadline : PEN_TIME_NEVER;
}
