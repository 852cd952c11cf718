// SPDX-License-Identifier: BSD-3-Clause

// One wheel node per connection serves all its deadlines. A deadline that
// moves later only stores a number; the node finds out when it fires.

#include "tcp_internal.h"

void tcp_timer_update(struct pen_tcp_conn *c)
{
	pen_time_us at = pen_time_min(pen_time_min(c->rtx_at, c->delack_at), c->idle_at);

	if (at != PEN_TIME_NEVER && at != c->timer.deadline)
		pen_wheel_arm(&c->t->wheel, &c->timer, at);
}

pen_time_us tcp_rto_backed_off(const struct pen_tcp_conn *c)
{
	uint32_t shift = min_u32(c->retries, 16);

	return pen_time_min((pen_time_us)c->rto << shift, c->t->cfg.max_rto);
}

void tcp_idle_restart(struct pen_tcp_conn *c, pen_time_us now)
{
	// Longer than the peer's longest pause between retransmissions.
	c->idle_at = now + c->t->cfg.time_wait + c->t->cfg.max_rto;
	tcp_timer_update(c);
}

static void give_up(struct pen_tcp_conn *c, pen_time_us now)
{
	tcp_send_rst(c, now);
	conn_release(c, PEN_TCP_CLOSED_TIMEOUT, now);
}

static void syn_expired(struct pen_tcp_conn *c, pen_time_us now)
{
	PEN_COUNT(c->t->ctr->retransmit_timeouts);
	if (c->retries >= c->t->cfg.syn_retries) {
		give_up(c, now);
		return;
	}
	c->retries++;
	c->timing = false;
	PEN_COUNT(c->t->ctr->retransmit_syn);
	c->retransmits++;
	c->syn_retries++;
	tcp_send_syn(c, now);
	tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
}

static void data_expired(struct pen_tcp_conn *c, pen_time_us now)
{
	PEN_COUNT(c->t->ctr->retransmit_timeouts);
	if (c->retries >= c->t->cfg.data_retries) {
		give_up(c, now);
		return;
	}
	c->retries++;
	tcp_cc_timeout(c);
	c->recover = c->snd_max;
	c->recovering = false;
	c->dupacks = 0;
	c->cwnd_limited = true;
	// Without SACK all that follows the hole has to go again (RFC 5681 3.1),
	// as acknowledgements let it.
	c->snd_nxt = c->snd_una;
	txq_rewind(c);
	tcp_retransmit_one(c, now);
	tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
}

static void persist_expired(struct pen_tcp_conn *c, pen_time_us now)
{
	// A peer that answers may keep its window shut as long as it likes.
	if (c->probes >= c->t->cfg.data_retries) {
		give_up(c, now);
		return;
	}
	tcp_send_probe(c, now);
	c->probes++;
	if (c->retries < 16)
		c->retries++;
	tcp_rtx_set(c, RTX_PERSIST, now + tcp_rto_backed_off(c));
}

void tcp_timer_fire(void *tcp, struct pen_wheel_node *node, pen_time_us now)
{
	struct pen_tcp_conn *c = CONN_OF(node, timer);

	(void)tcp;
	if (c->idle_at <= now && c->kept_head != NULL) {
		tcp_idle_restart(c, now); // it is our application that waits
	} else if (c->idle_at <= now) {
		give_up(c, now);
		return;
	}
	if (c->delack_at <= now) {
		c->delack_at = PEN_TIME_NEVER;
		PEN_COUNT(c->t->ctr->delayed_acks);
		tcp_send_ack(c, now);
	}
	if (c->rtx_at <= now) {
		if (!conn_synced(c))
			syn_expired(c, now);
		else if (c->rtx_mode == RTX_PERSIST)
			persist_expired(c, now);
		else
			data_expired(c, now);
	}
	if (c->state != TCP_CLOSED)
		tcp_timer_update(c);
}
