// SPDX-License-Identifier: BSD-3-Clause

// Segment arrival, in the order of RFC 9293 3.10.7 with RFC 5961 and 7323.

#include "tcp_internal.h"

#include <arpa/inet.h>

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return ntohl(v);
}

static bool checksum_ok(const struct tcp_tuple *id, const uint8_t *p, uint32_t len)
{
	return pen_csum_fold(pen_csum_add(tuple_pseudo_sum(id, len), p, len)) == 0;
}

// False: dropped and counted.
static bool segment_parse(struct pen_tcp *t, struct tcp_seg *s, const struct pen_addr *src,
	const struct pen_addr *dst, const uint8_t *p, uint32_t len, bool csum_ok)
{
	uint32_t hdr = len >= TCP_HDR ? (uint32_t)(p[12] >> 4) * 4 : 0;

	if (hdr < TCP_HDR || hdr > len || len > UINT16_MAX) {
		PEN_COUNT(t->ctr->drop_short);
		return false;
	}
	s->id = (struct tcp_tuple){.lport = get16(p + 2), .rport = get16(p)};
	tuple_set_addrs(&s->id, dst, src);
	if (!csum_ok && !checksum_ok(&s->id, p, len)) {
		PEN_COUNT(t->ctr->drop_checksum);
		return false;
	}
	if (s->id.lport == 0 || s->id.rport == 0) {
		PEN_COUNT(t->ctr->drop_source);
		return false;
	}
	s->seq = get32(p + 4);
	s->ack = get32(p + 8);
	s->flags = p[13] & (FIN | SYN | RST | PSH | ACK);
	s->wnd = get16(p + 14);
	s->data = p + hdr;
	s->len = len - hdr;
	if (tcp_options_parse(s, p + TCP_HDR, hdr - TCP_HDR) != 0) {
		PEN_COUNT(t->ctr->drop_options);
		return false;
	}
	return true;
}

static uint32_t seg_span(const struct tcp_seg *s)
{
	return s->len + ((s->flags & SYN) != 0) + ((s->flags & FIN) != 0);
}

// RFC 7323 5.3. False: dropped and counted.
static bool timestamp_ok(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if (!c->ts_on || (s->flags & RST) != 0)
		return true;
	if (!s->has_ts) {
		PEN_COUNT(c->t->ctr->drop_no_timestamp);
		return false;
	}
	if (seq_lt(s->tsval, c->ts_recent) && now - c->ts_recent_at < TCP_PAWS_IDLE_US) {
		PEN_COUNT(c->t->ctr->drop_paws);
		// An old duplicate is answered, but not a stream of empty ones.
		if (seg_span(s) > 0)
			tcp_send_ack(c, now);
		else
			tcp_challenge_ack(c, now);
		return false;
	}
	return true;
}

// RFC 9293 3.4: is any part inside the window? Trims to it. False: dropped,
// counted, and answered where the RFC wants an answer.
static bool window_ok(struct pen_tcp_conn *c, struct tcp_seg *s, pen_time_us now)
{
	uint32_t span = seg_span(s);
	uint32_t wnd = c->rcv_adv - c->rcv_nxt;
	uint32_t end = s->seq + span;
	bool inside = span == 0 ? seq_leq(c->rcv_nxt, s->seq) && seq_leq(s->seq, c->rcv_adv)
				: seq_lt(c->rcv_nxt, end) && seq_lt(s->seq, c->rcv_adv);

	// A probe of our closed window: its acknowledgement is good, its byte not.
	if (!inside && wnd == 0 && s->seq == c->rcv_nxt && (s->flags & (SYN | RST)) == 0) {
		PEN_COUNT_N(c->t->ctr->drop_rx_beyond, s->len);
		s->len = 0;
		s->flags &= (uint8_t)~FIN;
		c->ack_now = true;
		conn_pend(c);
		return true;
	}
	if (!inside) {
		if (seq_leq(end, c->rcv_nxt) && span > 0)
			PEN_COUNT(c->t->ctr->drop_old);
		else
			PEN_COUNT(c->t->ctr->drop_window);
		if ((s->flags & RST) != 0)
			return false;
		if (span > 0 && (s->flags & SYN) == 0)
			tcp_send_ack(c, now);
		else
			tcp_challenge_ack(c, now);
		return false;
	}
	if ((s->flags & (RST | SYN)) != 0)
		return true;
	if (seq_lt(s->seq, c->rcv_nxt)) {
		uint32_t cut = c->rcv_nxt - s->seq;
		s->seq += cut;
		s->data += cut;
		s->len -= min_u32(cut, s->len);
		c->ack_now = true; // RFC 9293: a retransmission asks for an ACK
		conn_pend(c);
	}
	if (seq_lt(c->rcv_adv, s->seq + s->len)) {
		uint32_t cut = s->seq + s->len - c->rcv_adv;
		PEN_COUNT_N(c->t->ctr->drop_rx_beyond, cut);
		s->len -= cut;
		s->flags &= (uint8_t)~FIN;
	}
	return true;
}

// RFC 5961 3.2. Only an exact hit ends the connection.
static void reset_input(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if (s->seq != c->rcv_nxt) {
		PEN_COUNT(c->t->ctr->drop_rst);
		tcp_challenge_ack(c, now);
		return;
	}
	// RFC 1337: nothing can be reset when both sides have finished; we only
	// wait for the application to take the last bytes.
	if (c->fin_rcvd && conn_fin_acked(c)) {
		PEN_COUNT(c->t->ctr->drop_rst);
		return;
	}
	bool refused = c->state == TCP_SYN_RCVD && !c->passive;
	conn_release(c, refused ? PEN_TCP_CLOSED_REFUSED : PEN_TCP_CLOSED_RESET, now);
}

// The last ACK of the handshake. False: not acceptable, or the connection ended.
static bool syn_rcvd_ack(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	struct pen_tcp *t = c->t;

	if (!seq_lt(c->snd_una, s->ack) || seq_lt(c->snd_max, s->ack)) {
		PEN_COUNT(t->ctr->drop_ack);
		tcp_reply_rst(t, s, now);
		return false;
	}
	if (c->retries == 0)
		tcp_rtt_sample(c, now - c->last_send);
	conn_established(c, now);
	c->snd_wnd = s->wnd << c->snd_shift;
	c->max_wnd = max_u32(c->max_wnd, c->snd_wnd);
	c->snd_right = seq_max(c->snd_right, s->ack + c->snd_wnd);
	c->snd_wl1 = s->seq;
	c->snd_wl2 = s->ack;
	if (c->passive) {
		c->ctx = t->cb.on_accept(c->listen_ctx, c);
		if (c->state == TCP_CLOSED)
			return false;
		if (c->ctx == NULL) {
			tcp_send_rst(c, now);
			conn_release(c, PEN_TCP_CLOSED_ABORTED, now);
			return false;
		}
		c->told = true;
		PEN_COUNT(t->ctr->conn_accepts);
	} else {
		t->cb.on_connected(c->ctx, c, now);
	}
	if (c->state != TCP_CLOSED)
		conn_pend(c);
	return c->state != TCP_CLOSED;
}

static void syn_sent_established(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if (c->retries == 0)
		tcp_rtt_sample(c, now - c->last_send);
	conn_established(c, now);
	c->ack_now = true;
	conn_pend(c);
	c->t->cb.on_connected(c->ctx, c, now);
	if (c->state == TCP_CLOSED)
		return;
	// Data or FIN with the SYN-ACK is rare and legal.
	struct tcp_seg rest = *s;
	rest.seq++;
	rest.flags &= (uint8_t)~SYN;
	if ((rest.len > 0 || (rest.flags & FIN) != 0) && window_ok(c, &rest, now))
		rx_segment(c, &rest, now);
}

static void syn_sent_input(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	struct pen_tcp *t = c->t;
	bool ack = (s->flags & ACK) != 0;

	if (ack && s->ack != c->snd_max) {
		PEN_COUNT(t->ctr->drop_syn_sent);
		tcp_reply_rst(t, s, now);
		return;
	}
	if ((s->flags & RST) != 0) {
		if (ack)
			conn_release(c, PEN_TCP_CLOSED_REFUSED, now);
		else
			PEN_COUNT(t->ctr->drop_rst);
		return;
	}
	if ((s->flags & SYN) == 0) {
		PEN_COUNT(t->ctr->drop_syn_sent);
		return;
	}
	// An echo of a timestamp that we have not sent belongs to another life.
	if (ack && s->has_ts && seq_lt(tcp_ts_now(c->ts_offset, now), s->tsecr)) {
		PEN_COUNT(t->ctr->drop_syn_sent);
		tcp_reply_rst(t, s, now);
		return;
	}
	conn_take_syn(c, s, now);
	if (ack) {
		syn_sent_established(c, s, now);
		return;
	}
	// Simultaneous open.
	c->state = TCP_SYN_RCVD;
	t->half_open++;
	tcp_send_syn(c, now);
}

static void ts_recent_take(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	// RFC 7323 4.3: of the segment that covers the last ACK sent.
	if (s->has_ts && c->ts_on && seq_leq(s->seq, c->rcv_acked) &&
		seq_leq(c->ts_recent, s->tsval)) {
		c->ts_recent = s->tsval;
		c->ts_recent_at = now;
	}
}

static void conn_input(struct pen_tcp_conn *c, struct tcp_seg *s, pen_time_us now)
{
	if (c->state == TCP_SYN_SENT) {
		syn_sent_input(c, s, now);
		return;
	}
	if (c->state == TCP_SYN_RCVD && (s->flags & SYN) != 0 && s->seq == c->irs &&
		(s->flags & RST) == 0) {
		if ((s->flags & ACK) == 0) {
			tcp_send_syn(c, now); // our SYN-ACK was lost
			return;
		}
		// The other half of a simultaneous open: its SYN is known already.
		s->flags &= (uint8_t)~SYN;
		s->seq++;
	}
	if (!timestamp_ok(c, s, now) || !window_ok(c, s, now))
		return;
	if ((s->flags & RST) != 0) {
		reset_input(c, s, now);
		return;
	}
	if ((s->flags & SYN) != 0) {
		PEN_COUNT(c->t->ctr->drop_syn);
		tcp_challenge_ack(c, now); // RFC 5961 4.2
		return;
	}
	if ((s->flags & ACK) == 0) {
		PEN_COUNT(c->t->ctr->drop_no_flags);
		return;
	}
	if (c->state == TCP_SYN_RCVD && !syn_rcvd_ack(c, s, now))
		return;
	ts_recent_take(c, s, now);
	if (!tcp_ack_input(c, s, now))
		return;
	if (c->fin_rcvd) {
		if (s->len > 0)
			PEN_COUNT(c->t->ctr->drop_after_fin);
		return;
	}
	if (s->len > 0 || (s->flags & FIN) != 0 || c->ack_now)
		rx_segment(c, s, now);
}

// Header prediction: the next in-order segment of an untroubled connection,
// either pure data or a pure acknowledgement that moves forward.
static bool fast_input(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if (c->state != TCP_ESTABLISHED || (s->flags & ~PSH) != ACK || s->seq != c->rcv_nxt ||
		s->has_ts != c->ts_on || c->recovering || c->ooo_head != NULL ||
		c->kept_head != NULL || c->fin_queued || c->fin_pending)
		return false;
	if (seq_lt(s->ack, c->snd_una) || seq_lt(c->snd_max, s->ack) ||
		s->len > c->rcv_adv - c->rcv_nxt)
		return false;
	if (s->len == 0 && (s->ack == c->snd_una || c->rtx_mode != RTX_DATA))
		return false; // duplicates and window updates take the long way
	if (c->ts_on && seq_lt(s->tsval, c->ts_recent))
		return false;
	PEN_COUNT(c->t->ctr->rx_fast);
	ts_recent_take(c, s, now);
	if (tcp_ack_input(c, s, now) && s->len > 0)
		rx_segment(c, s, now);
	return true;
}

static void no_conn_input(struct pen_tcp *t, const struct tcp_seg *s, pen_time_us now)
{
	struct tcp_listener *l = tcp_listener_find(t, s->id.lport);

	if (l != NULL && (s->flags & (SYN | ACK | RST)) == SYN) {
		tcp_listen_input(t, l, s, 0, now);
		return;
	}
	PEN_COUNT(t->ctr->drop_no_conn);
	tcp_reply_rst(t, s, now);
}

void pen_tcp_input(void *tcp, const struct pen_addr *src, const struct pen_addr *dst,
	const uint8_t *seg, uint32_t len, bool csum_ok, pen_time_us now)
{
	struct pen_tcp *t = tcp;
	struct tcp_seg s;

	PEN_COUNT(t->ctr->rx_segments);
	if (!segment_parse(t, &s, src, dst, seg, len, csum_ok))
		return;
	uint32_t ref = tcp_table_find(t, &s.id, tcp_hash(t, &s.id));
	tcp_enter(t, now);
	if (ref == 0) {
		no_conn_input(t, &s, now);
	} else if ((ref & TCP_REF_TW) != 0) {
		tcp_timewait_input(t, ref, &s, now);
	} else {
		struct pen_tcp_conn *c = pool_at(&t->conns, ref - 1);
		if (!fast_input(c, &s, now))
			conn_input(c, &s, now);
	}
	tcp_leave(t);
}
