// SPDX-License-Identifier: BSD-3-Clause
#include "inet_internal.h"

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12
#define ICMP_LEN 8

static void echo_reply(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	struct pen_frame f;

	if (len + PEN_IP4_LEN > n->mtu) {
		PEN_COUNT(n->ctr->drop_icmp_malformed);
		return;
	}
	uint8_t *out = pen_inet_tx_begin(n, &f, PEN_FAMILY_IP4);
	if (out == NULL)
		return;
	memcpy(out, icmp, len);
	out[0] = ICMP_ECHO_REPLY;
	put16(out + 2, 0);
	uint16_t sum = pen_csum_fold(pen_csum_add(0, out, len));
	memcpy(out + 2, &sum, 2);
	PEN_COUNT(n->ctr->tx_icmp_replies);
	inet_ip4_send(n, &f, raw32(ip + 16), raw32(ip + 12), 1, len, false, now);
}

// The quoted packet is one that we sent: its source is ours, and it carries at
// least the ports and the sequence number (RFC 792: 64 bits).
static void error_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	const uint8_t *inner = icmp + ICMP_LEN;
	uint32_t room = len - ICMP_LEN;

	if (icmp[0] == ICMP_UNREACHABLE)
		PEN_COUNT(n->ctr->rx_icmp_unreachable);
	uint32_t ihl = room >= PEN_IP4_LEN ? (inner[0] & 15u) * 4 : 0;
	if (ihl < PEN_IP4_LEN || inner[0] >> 4 != 4 || room < ihl + 8) {
		PEN_COUNT(n->ctr->drop_icmp_malformed);
		return;
	}
	if (inner[9] != IP_PROTO_TCP || raw32(inner + 12) != raw32(ip + 16)) {
		PEN_COUNT(n->ctr->drop_ip_protocol);
		return;
	}
	if (n->handler.tcp_unreachable == NULL)
		return;
	const uint8_t *tcp = inner + ihl;
	struct pen_addr local = addr_of_raw(raw32(inner + 12));
	struct pen_addr remote = addr_of_raw(raw32(inner + 16));
	uint32_t seq = (uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6);
	n->handler.tcp_unreachable(n->handler.ctx, &local, &remote, get16(tcp), get16(tcp + 2), seq,
		icmp[0], icmp[1], get16(icmp + 6), now);
}

void inet_icmp_input(
	struct pen_inet *n, const uint8_t *ip, uint32_t ihl, uint32_t len, pen_time_us now)
{
	const uint8_t *icmp = ip + ihl;
	uint32_t icmp_len = len - ihl;

	// Ports verify IP, TCP and UDP sums, not ICMP's: always look.
	if (icmp_len < ICMP_LEN || pen_csum_fold(pen_csum_add(0, icmp, icmp_len)) != 0) {
		PEN_COUNT(n->ctr->drop_icmp_malformed);
		return;
	}
	PEN_COUNT(n->ctr->rx_icmp);
	switch (icmp[0]) {
	case ICMP_ECHO:
		echo_reply(n, ip, icmp, icmp_len, now);
		break;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETER:
		error_input(n, ip, icmp, icmp_len, now);
		break;
	default:
		PEN_COUNT(n->ctr->drop_ip_protocol);
	}
}
