// SPDX-License-Identifier: BSD-3-Clause

// ICMP and ICMPv6 errors about our segments (RFC 1122 4.2.3.9, RFC 5461, RFC
// 5927, RFC 8201): only with a sequence number that is in flight, and fatal only
// while connecting.

#include "tcp_internal.h"

#define ICMP_UNREACHABLE 3
#define ICMP_FRAG_NEEDED 4
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define MTU_LEAST 552

static void mtu_lower(struct pen_tcp_conn *c, uint16_t mtu, pen_time_us now)
{
	uint32_t options = c->ts_on ? TCP_TS_OPT : 0;
	bool six = tuple_ip6(&c->id);
	uint32_t mss = max_u32(mtu, six ? PEN_IP6_MTU_MIN : MTU_LEAST) -
		       (six ? PEN_IP6_LEN : PEN_IP4_LEN) - TCP_HDR - options;

	// RFC 8201 4: no link carries less, so such a message is wrong.
	if (!conn_synced(c) || mss >= c->mss || (six && mtu < PEN_IP6_MTU_MIN)) {
		PEN_COUNT(c->t->ctr->icmp_soft);
		return;
	}
	PEN_COUNT(c->t->ctr->icmp_mtu);
	c->mss = (uint16_t)mss;
	if (c->rtx_mode == RTX_DATA) // not the byte of a window probe
		tcp_retransmit_one(c, now);
}

void pen_tcp_unreachable(void *tcp, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t local_port, uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code,
	uint16_t next_mtu, pen_time_us now)
{
	struct pen_tcp *t = tcp;
	struct tcp_tuple id = {.lport = local_port, .rport = remote_port};

	tuple_set_addrs(&id, local, remote);
	uint32_t ref = tcp_table_find(t, &id, tcp_hash(t, &id));
	if (ref == 0 || (ref & TCP_REF_TW) != 0) {
		PEN_COUNT(t->ctr->icmp_soft);
		return;
	}
	struct pen_tcp_conn *c = pool_at(&t->conns, ref - 1);
	if (seq_lt(seq, c->snd_una) || !seq_lt(seq, c->snd_max)) {
		PEN_COUNT(t->ctr->icmp_soft);
		return;
	}
	bool six = tuple_ip6(&id);
	bool unreachable = type == (six ? ICMP6_UNREACHABLE : ICMP_UNREACHABLE);
	bool too_big = six ? type == ICMP6_TOO_BIG : unreachable && code == ICMP_FRAG_NEEDED;
	tcp_enter(t, now);
	if (too_big) {
		mtu_lower(c, next_mtu, now);
	} else if (unreachable && c->state == TCP_SYN_SENT) {
		// A mail gateway has other addresses to try (RFC 5461 4.1).
		PEN_COUNT(t->ctr->icmp_hard);
		conn_release(c, PEN_TCP_CLOSED_UNREACHABLE, now);
	} else {
		PEN_COUNT(t->ctr->icmp_soft);
	}
	tcp_leave(t);
}
