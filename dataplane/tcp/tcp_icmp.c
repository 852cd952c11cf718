// SPDX-License-Identifier: BSD-3-Clause

// ICMP errors about our segments (RFC 1122 4.2.3.9, RFC 5461, RFC 5927): only
// with a sequence number that is in flight, and fatal only while connecting.

#include "tcp_internal.h"

#define ICMP_UNREACHABLE 3
#define ICMP_FRAG_NEEDED 4
#define MTU_LEAST 552

static void mtu_lower(struct pen_tcp_conn *c, uint16_t mtu, pen_time_us now)
{
	uint32_t options = c->ts_on ? TCP_TS_OPT : 0;
	uint32_t mss = max_u32(mtu, MTU_LEAST) - PEN_IP4_LEN - TCP_HDR - options;

	if (!conn_synced(c) || mss >= c->mss) {
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

	memcpy(&id.laddr, local->ip, 4);
	memcpy(&id.raddr, remote->ip, 4);
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
	tcp_enter(t, now);
	if (type == ICMP_UNREACHABLE && code == ICMP_FRAG_NEEDED) {
		mtu_lower(c, next_mtu, now);
	} else if (type == ICMP_UNREACHABLE && c->state == TCP_SYN_SENT) {
		// A mail gateway has other addresses to try (RFC 5461 4.1).
		PEN_COUNT(t->ctr->icmp_hard);
		conn_release(c, PEN_TCP_CLOSED_UNREACHABLE, now);
	} else {
		PEN_COUNT(t->ctr->icmp_soft);
	}
	tcp_leave(t);
}
