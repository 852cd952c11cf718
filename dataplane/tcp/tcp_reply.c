// SPDX-License-Identifier: BSD-3-Clause

// The bottom of sending: headers and checksums; and the answers that need no
// connection object.

#include "tcp_internal.h"

#include <arpa/inet.h>

static void put16(uint8_t *p, uint16_t v)
{
	v = htons(v);
	memcpy(p, &v, 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

void tcp_header_write(uint8_t *p, const struct tcp_tuple *id, uint32_t seq, uint32_t ack,
	uint8_t flags, uint32_t hdr_len, uint16_t wnd)
{
	put16(p, id->lport);
	put16(p + 2, id->rport);
	put32(p + 4, seq);
	put32(p + 8, ack);
	p[12] = (uint8_t)(hdr_len << 2);
	p[13] = flags;
	put16(p + 14, wnd);
	memset(p + 16, 0, 4);
}

void tcp_finish(struct pen_tcp *t, struct pen_frame *f, uint8_t *tcp, const struct tcp_tuple *id,
	uint32_t hdr_len, uint32_t len, uint64_t payload_sum, pen_time_us now)
{
	struct pen_addr src = tuple_local(id), dst = tuple_remote(id);
	uint64_t sum = tuple_pseudo_sum(id, hdr_len + len);
	uint16_t field;

	if (t->tx_offload)
		field = (uint16_t)~pen_csum_fold(sum);
	else
		field = pen_csum_fold(pen_csum_add(sum + payload_sum, tcp, hdr_len));
	memcpy(tcp + 16, &field, 2);
	PEN_COUNT(t->ctr->tx_segments);
	pen_inet_tx_end(t->inet, f, &src, &dst, hdr_len + len, t->tx_offload, now);
}

void tcp_reply_rst(struct pen_tcp *t, const struct tcp_seg *s, pen_time_us now)
{
	struct pen_frame f;

	if ((s->flags & RST) != 0)
		return;
	uint8_t *p = pen_inet_tx_begin(t->inet, &f, tuple_family(&s->id));
	if (p == NULL) {
		PEN_COUNT(t->ctr->tx_no_buffer);
		return;
	}
	// RFC 9293 3.10.7.1: in terms that the sender of the segment accepts.
	if ((s->flags & ACK) != 0) {
		tcp_header_write(p, &s->id, s->ack, 0, RST, TCP_HDR, 0);
	} else {
		uint32_t n = s->len + ((s->flags & SYN) != 0) + ((s->flags & FIN) != 0);
		tcp_header_write(p, &s->id, 0, s->seq + n, RST | ACK, TCP_HDR, 0);
	}
	PEN_COUNT(t->ctr->tx_rst);
	tcp_finish(t, &f, p, &s->id, TCP_HDR, 0, 0, now);
}

void tcp_reply_ack(struct pen_tcp *t, const struct tcp_timewait *tw, pen_time_us now)
{
	struct pen_frame f;
	uint8_t *p = pen_inet_tx_begin(t->inet, &f, tuple_family(&tw->id));
	uint32_t hdr = TCP_HDR;

	if (p == NULL) {
		PEN_COUNT(t->ctr->tx_no_buffer);
		return;
	}
	if (tw->ts_offset != 0)
		hdr += tcp_options_write_ts(
			p + TCP_HDR, tcp_ts_now(tw->ts_offset, now), tw->ts_recent);
	tcp_header_write(p, &tw->id, tw->snd_nxt, tw->rcv_nxt, ACK, hdr, 0);
	PEN_COUNT(t->ctr->tx_acks);
	tcp_finish(t, &f, p, &tw->id, hdr, 0, 0, now);
}

// A budget for all connections, on top of the one per connection, jittered so
// that an observer cannot count it out (CVE-2016-5696).
bool tcp_challenge_allowed(struct pen_tcp *t, pen_time_us now)
{
	if (now - t->challenge_second >= PEN_US_PER_S) {
		t->challenge_second = now;
		t->challenge_budget = TCP_CHALLENGE_PER_S / 2 +
				      (uint32_t)pen_rand_below(&t->rand, TCP_CHALLENGE_PER_S);
	}
	if (t->challenge_budget == 0) {
		PEN_COUNT(t->ctr->challenge_limited);
		return false;
	}
	t->challenge_budget--;
	return true;
}
