// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

// The right edge that our memory allows, never left of what was advertised
// unless the application capped the window on purpose.
uint32_t tcp_rcv_right(const struct pen_tcp_conn *c)
{
	uint32_t space = c->rx_limit > c->kept_bytes ? c->rx_limit - c->kept_bytes : 0;
	uint32_t right = c->rcv_nxt + space;

	return c->capped ? right : seq_max(right, c->rcv_adv);
}

// Chooses the window field and notes what it advertises.
static uint16_t window_field(struct pen_tcp_conn *c)
{
	uint32_t right = tcp_rcv_right(c);
	uint32_t step = min_u32(c->rx_limit / 2, c->rcv_mss);

	// RFC 9293 3.8.6.2.2: don't offer crumbs.
	if (seq_lt(c->rcv_adv, right) && right - c->rcv_adv < step)
		right = c->rcv_adv;
	if (seq_lt(right, c->rcv_nxt))
		right = c->rcv_nxt;
	// Round up, or scaling would pull an advertised edge back.
	uint32_t wnd = right - c->rcv_nxt + ((1u << c->rcv_shift) - 1);
	wnd = min_u32(wnd >> c->rcv_shift, 65535);
	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + (wnd << c->rcv_shift));
	return (uint16_t)wnd;
}

// Sends one segment of the connection: `len` payload bytes from *pos (moved
// on). False: the port had no buffer and nothing happened.
static bool segment_send(struct pen_tcp_conn *c, uint32_t seq, uint8_t flags, struct txpos *pos,
	uint32_t len, pen_time_us now)
{
	struct pen_tcp *t = c->t;
	struct pen_frame f;
	uint8_t *p = pen_inet_tx_begin(t->inet, &f, tuple_family(&c->id));
	uint32_t hdr = TCP_HDR;
	uint64_t sum = 0;

	if (p == NULL) {
		PEN_COUNT(t->ctr->tx_no_buffer);
		return false;
	}
	if (c->ts_on && (flags & RST) == 0)
		hdr += tcp_options_write_ts(
			p + TCP_HDR, tcp_ts_now(c->ts_offset, now), c->ts_recent);
	tcp_header_write(p, &c->id, seq, c->rcv_nxt, flags, hdr, window_field(c));
	if (len > 0)
		sum = txq_copy(pos, p + hdr, len, !t->tx_offload);
	tcp_finish(t, &f, p, &c->id, hdr, len, sum, now);
	c->rcv_acked = c->rcv_nxt;
	c->ack_now = c->ack_pending = false;
	c->delack_at = PEN_TIME_NEVER;
	return true;
}

bool tcp_send_syn(struct pen_tcp_conn *c, pen_time_us now)
{
	struct pen_tcp *t = c->t;
	struct pen_frame f;
	uint8_t *p = pen_inet_tx_begin(t->inet, &f, tuple_family(&c->id));
	bool reply = c->state == TCP_SYN_RCVD;

	if (p == NULL) {
		PEN_COUNT(t->ctr->tx_no_buffer);
		return false;
	}
	// An answer offers only what the peer offered (RFC 7323 1.3, 2.2, 3.2).
	int wscale = !reply || c->ws_on ? t->rcv_shift : -1;
	uint32_t hdr = TCP_HDR + tcp_options_write_syn(p + TCP_HDR, t->our_mss[c->id.kind], wscale,
					 !reply || c->ts_on, tcp_ts_now(c->ts_offset, now),
					 reply ? c->ts_recent : 0);
	tcp_header_write(p, &c->id, c->iss, reply ? c->rcv_nxt : 0, reply ? SYN | ACK : SYN, hdr,
		(uint16_t)min_u32(c->rx_limit, 65535));
	tcp_finish(t, &f, p, &c->id, hdr, 0, 0, now);
	c->snd_nxt = c->snd_max = c->iss + 1;
	c->last_send = now;
	return true;
}

bool tcp_send_ack(struct pen_tcp_conn *c, pen_time_us now)
{
	// Beyond the peer's window the segment would not be accepted.
	uint32_t seq = c->snd_max, edge = c->snd_una + c->snd_wnd;

	if (seq_lt(edge, seq))
		seq = edge;
	if (!segment_send(c, seq, ACK, NULL, 0, now)) {
		c->ack_now = true;
		conn_pend(c);
		return false;
	}
	PEN_COUNT(c->t->ctr->tx_acks);
	return true;
}

void tcp_send_rst(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->state == TCP_SYN_SENT)
		return; // the peer has nothing to reset
	if (segment_send(c, c->snd_max, RST | ACK, NULL, 0, now))
		PEN_COUNT(c->t->ctr->tx_rst);
}

// Sends [snd_nxt, snd_nxt + len) and the FIN when it follows.
static bool send_next(struct pen_tcp_conn *c, uint32_t len, pen_time_us now)
{
	uint32_t seq = c->snd_nxt, end = conn_data_end(c);
	bool last = seq + len == end;
	bool fin = last && c->fin_queued;
	uint8_t flags = ACK | (last && len > 0 ? PSH : 0) | (fin ? FIN : 0);
	struct pen_tcp_counters *ctr = c->t->ctr;

	if (!segment_send(c, seq, flags, &c->tx_pos, len, now))
		return false;
	uint32_t used = len + fin;
	c->data_segs += len > 0;
	if (seq_lt(seq, c->snd_max)) {
		PEN_COUNT(ctr->retransmit_segments);
		c->retransmits++;
		c->data_again += len > 0;
	} else {
		PEN_COUNT_N(ctr->tx_bytes, len);
		if (!c->timing) {
			c->timing = true;
			c->rtt_seq = seq + used;
			c->rtt_start = now;
		}
	}
	c->snd_nxt = seq + used;
	c->snd_max = seq_max(c->snd_max, c->snd_nxt);
	c->last_send = now;
	if (c->rtx_mode != RTX_DATA)
		tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
	return true;
}

// How many bytes the next segment may carry now; 0 for none. Sets *by_cwnd when
// congestion control is what forbids more.
static uint32_t next_len(struct pen_tcp_conn *c, uint32_t unsent, bool *by_cwnd)
{
	uint32_t flight = c->snd_nxt - c->snd_una;
	uint32_t cwnd = c->cwnd;

	// RFC 3042: the first two duplicates each let one new segment out.
	if (!c->recovering && c->dupacks > 0 && c->dupacks < 3)
		cwnd += (uint32_t)c->dupacks * c->mss;
	uint32_t wnd = c->snd_wnd > flight ? c->snd_wnd - flight : 0;
	uint32_t room = cwnd > flight ? cwnd - flight : 0;
	uint32_t len = min_u32(min_u32(unsent, c->mss), min_u32(wnd, room));

	if (len == min_u32(unsent, c->mss) && len > 0)
		return len; // a full segment, or all there is
	*by_cwnd = room < wnd;
	// RFC 9293 3.8.6.2.1: a window that is small at all times has to do.
	if (!*by_cwnd && len >= max_u32(c->max_wnd / 2, 1))
		return len;
	return 0;
}

static bool may_send_data(const struct pen_tcp_conn *c)
{
	switch (c->state) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return true;
	default:
		return false;
	}
}

// Data waits and the window is closed. A probe that the peer takes brings us here
// again without the window having opened.
static void note_shut(struct pen_tcp_conn *c)
{
	if (c->snd_wnd > 0 || c->shut)
		return;
	c->shut = true;
	if (c->zero_windows < UINT16_MAX)
		c->zero_windows++;
}

static void output_data(struct pen_tcp_conn *c, pen_time_us now)
{
	uint32_t end = conn_data_end(c);
	bool by_cwnd = false;

	// RFC 5681 4.1: an old window says nothing after a pause.
	if (c->snd_max == c->snd_una && now - c->last_send > c->rto)
		c->cwnd = min_u32(c->cwnd, tcp_cc_initial_window(c->mss));
	while (seq_lt(c->snd_nxt, end)) {
		uint32_t unsent = end - c->snd_nxt;
		uint32_t len = next_len(c, unsent, &by_cwnd);
		if (len == 0) {
			// The window may stay shut and its opening be lost: probe.
			if (!by_cwnd && c->snd_nxt == c->snd_una && c->rtx_mode == RTX_OFF) {
				note_shut(c);
				tcp_rtx_set(c, RTX_PERSIST, now + tcp_rto_backed_off(c));
			}
			break;
		}
		if (!c->recovering && c->dupacks > 0 && c->dupacks < 3 &&
			c->snd_nxt - c->snd_una >= c->cwnd)
			PEN_COUNT(c->t->ctr->limited_transmit);
		if (!send_next(c, len, now)) {
			conn_pend(c);
			return;
		}
	}
	c->cwnd_limited =
		by_cwnd || (c->cwnd < c->ssthresh && (c->snd_nxt - c->snd_una) >= c->cwnd / 2);
	if (c->fin_queued && c->snd_nxt == end && !send_next(c, 0, now))
		conn_pend(c);
}

void tcp_output(struct pen_tcp_conn *c, pen_time_us now)
{
	if (may_send_data(c))
		output_data(c, now);
	if (!conn_synced(c) || (!c->ack_pending && !c->ack_now))
		return;
	// RFC 9293 3.8.6.3: at least every second full segment.
	if (c->ack_now || c->rcv_nxt - c->rcv_acked >= 2u * c->rcv_mss)
		tcp_send_ack(c, now);
	else if (c->delack_at == PEN_TIME_NEVER) {
		c->delack_at = now + TCP_DELACK_US;
		tcp_timer_update(c);
	}
}

void tcp_retransmit_one(struct pen_tcp_conn *c, pen_time_us now)
{
	struct txpos pos = {c->tx_head, c->tx_head_off};
	uint32_t end = conn_data_end(c);
	uint32_t sent_end = seq_lt(end, c->snd_max) ? end : c->snd_max;
	uint32_t len = min_u32(sent_end - c->snd_una, c->mss);
	bool fin = c->fin_queued && c->snd_una + len == end;
	uint8_t flags = ACK | (fin ? FIN : 0) | (len > 0 && c->snd_una + len == end ? PSH : 0);

	// Karn: an answer could be to either copy.
	c->timing = false;
	if (len + fin == 0 || !segment_send(c, c->snd_una, flags, &pos, len, now))
		return;
	PEN_COUNT(c->t->ctr->retransmit_segments);
	c->retransmits++;
	c->data_segs += len > 0;
	c->data_again += len > 0;
	c->last_send = now;
	if (seq_lt(c->snd_nxt, c->snd_una + len + fin)) {
		c->snd_nxt = c->snd_una + len + fin;
		c->tx_pos = pos;
	}
	c->snd_max = seq_max(c->snd_max, c->snd_una + len + fin);
}

// One byte past a closed window, or what fits into one too small to use. The
// byte stays unsent for the flow control: snd_nxt does not move.
void tcp_send_probe(struct pen_tcp_conn *c, pen_time_us now)
{
	uint32_t unsent = conn_data_end(c) - c->snd_nxt;
	struct txpos pos = c->tx_pos;

	PEN_ASSERT(unsent > 0 && c->snd_nxt == c->snd_una);
	uint32_t len = min_u32(min_u32(unsent, c->mss), max_u32(c->snd_wnd, 1));
	c->timing = false;
	if (!segment_send(c, c->snd_nxt, ACK | PSH, &pos, len, now))
		return;
	PEN_COUNT(c->t->ctr->persist_probes);
	c->snd_max = seq_max(c->snd_max, c->snd_nxt + len);
	c->last_send = now;
}
