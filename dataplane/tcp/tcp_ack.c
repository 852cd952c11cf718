// SPDX-License-Identifier: BSD-3-Clause

// What an acknowledgement does to the sending side: RTT, windows, loss
// recovery (RFC 5681, RFC 6582 NewReno), and the state after our FIN.

#include "tcp_internal.h"

void tcp_challenge_ack(struct pen_tcp_conn *c, pen_time_us now)
{
	// RFC 5961 10: at most so many per connection and in all.
	if (now - c->challenged_at < TCP_CHALLENGE_CONN_US) {
		PEN_COUNT(c->t->ctr->challenge_limited);
		return;
	}
	if (!tcp_challenge_allowed(c->t, now))
		return;
	c->challenged_at = now;
	PEN_COUNT(c->t->ctr->challenge_acks);
	tcp_send_ack(c, now);
}

static void rtt_take(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if (c->timing && seq_leq(c->rtt_seq, s->ack)) {
		c->timing = false;
		tcp_rtt_sample(c, now - c->rtt_start);
	} else if (!c->timing && s->has_ts && s->tsecr != 0 && c->retries > 0) {
		// Karn forbids timing after a retransmission; an echoed timestamp is
		// not ambiguous (RFC 7323 4.3), only coarser.
		uint32_t ms = tcp_ts_now(c->ts_offset, now) - s->tsecr;
		if (ms < 120000)
			tcp_rtt_sample(c, (pen_time_us)ms * PEN_US_PER_MS);
	}
}

static void window_take(struct pen_tcp_conn *c, const struct tcp_seg *s, uint32_t wnd)
{
	// An old acknowledgement's window ends before the one that we have.
	if (seq_lt(s->ack, c->snd_una))
		return;
	if (seq_lt(s->seq, c->snd_wl1) || (s->seq == c->snd_wl1 && seq_lt(s->ack, c->snd_wl2)))
		return;
	c->snd_wnd = wnd;
	c->shut &= wnd == 0;
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	c->max_wnd = max_u32(c->max_wnd, wnd);
	c->snd_right = seq_max(c->snd_right, s->ack + wnd);
}

static void recovery_enter(struct pen_tcp_conn *c, pen_time_us now)
{
	PEN_COUNT(c->t->ctr->retransmit_fast);
	tcp_cc_loss(c);
	c->recovering = true;
	c->recover = c->snd_max;
	tcp_retransmit_one(c, now);
	c->cwnd = c->ssthresh + 3u * c->mss;
	tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
}

static void dup_ack(struct pen_tcp_conn *c, pen_time_us now)
{
	PEN_COUNT(c->t->ctr->dup_acks_rx);
	if (c->dupacks < 255)
		c->dupacks++;
	if (c->recovering)
		c->cwnd = min_u32(c->cwnd + c->mss, 1u << 30); // one has left the network
	else if (c->dupacks == 3 && seq_lt(c->recover, c->snd_una))
		recovery_enter(c, now);
	conn_pend(c);
}

// New data was acknowledged during recovery.
static void recovery_ack(struct pen_tcp_conn *c, uint32_t acked, pen_time_us now)
{
	if (seq_leq(c->recover, c->snd_una)) {
		uint32_t flight = c->snd_max - c->snd_una;
		c->cwnd = min_u32(c->ssthresh, max_u32(flight, c->mss) + c->mss);
		c->recovering = false;
		c->dupacks = 0;
		return;
	}
	// A partial acknowledgement shows the next hole.
	PEN_COUNT(c->t->ctr->retransmit_partial);
	tcp_retransmit_one(c, now);
	c->cwnd -= min_u32(acked, c->cwnd - min_u32(c->cwnd, c->mss));
	if (acked >= c->mss)
		c->cwnd += c->mss;
}

static void new_ack(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	uint32_t end = conn_data_end(c);
	uint32_t acked = s->ack - c->snd_una;
	bool fin_acked = c->fin_queued && s->ack == end + 1;

	rtt_take(c, s, now);
	c->retries = 0;
	txq_ack(c, acked - fin_acked);
	c->snd_una = s->ack;
	// The right edge stays until window_take moves it: a reordered segment may
	// bring a new acknowledgement whose window is too old to be taken.
	c->snd_wnd -= min_u32(acked, c->snd_wnd);
	if (seq_lt(c->snd_nxt, c->snd_una)) {
		c->snd_nxt = c->snd_una;
		txq_rewind(c);
	}
	// Only what was retransmitted early may lag behind this far.
	if (!c->recovering && seq_lt(c->recover, c->snd_una))
		c->recover = c->snd_una - 1;
	if (c->snd_una == c->snd_max)
		tcp_rtx_set(c, RTX_OFF, PEN_TIME_NEVER);
	else
		tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
	if (c->recovering) {
		recovery_ack(c, acked, now);
	} else {
		c->dupacks = 0;
		tcp_cc_ack(c, acked, now);
	}
}

bool tcp_ack_input(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	uint32_t wnd = s->wnd << c->snd_shift;
	uint32_t before = c->snd_una;

	// RFC 5961 5.2.
	if (seq_lt(c->snd_max, s->ack) || seq_lt(s->ack, c->snd_una - c->max_wnd)) {
		PEN_COUNT(c->t->ctr->drop_ack);
		tcp_challenge_ack(c, now);
		return false;
	}
	bool dup = s->ack == c->snd_una && s->len == 0 && (s->flags & FIN) == 0 &&
		   wnd == c->snd_wnd && c->snd_max != c->snd_una && c->rtx_mode == RTX_DATA;
	c->probes = 0;
	if (seq_lt(c->snd_una, s->ack))
		new_ack(c, s, now);
	window_take(c, s, wnd);
	if (dup)
		dup_ack(c, now);
	if (c->rtx_mode == RTX_PERSIST && c->snd_wnd > 0) {
		// It opened; output decides anew, and probes again if it is too small.
		c->retries = 0;
		tcp_rtx_set(c, RTX_OFF, PEN_TIME_NEVER);
	}
	if (c->snd_nxt != conn_data_end(c) + c->fin_queued)
		conn_pend(c);
	if (c->snd_una == before)
		return true;
	if (c->state == TCP_FIN_WAIT1 && conn_fin_acked(c)) {
		c->state = TCP_FIN_WAIT2;
		tcp_idle_restart(c, now);
	}
	if (!conn_finish(c, now))
		return false;
	c->t->cb.on_writable(c->ctx, c, c->acked, now);
	return c->state != TCP_CLOSED;
}
