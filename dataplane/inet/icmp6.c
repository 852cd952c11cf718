// SPDX-License-Identifier: BSD-3-Clause

// ICMPv6 (RFC 4443): echo, errors about our segments, and the way to neighbour
// discovery and listener queries.

#include "inet_internal.h"

#define ICMP_LEN 8

enum {
	UNREACHABLE = 1,
	TOO_BIG = 2,
	TIME_EXCEEDED = 3,
	PARAMETER = 4,
	ECHO = 128,
	ECHO_REPLY = 129,
	MLD_QUERY = 130,
	ROUTER_ADVERTISEMENT = 134,
	NEIGHBOUR_SOLICITATION = 135,
	NEIGHBOUR_ADVERTISEMENT = 136,
	REDIRECT = 137,
};

void icmp6_finish(const uint8_t *ip, uint8_t *icmp, uint32_t len)
{
	put16(icmp + 2, 0);
	uint64_t sum = ip6_pseudo_sum(ip + 8, ip + 24, IP_PROTO_ICMP6, len);
	uint16_t field = pen_csum_fold(pen_csum_add(sum, icmp, len));
	memcpy(icmp + 2, &field, 2);
}

static void echo_reply(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	const uint8_t *us = ip + 24, *peer = ip + 8;
	struct pen_frame f;

	// Nobody needs to find hosts by asking all of them.
	if (us[0] == 0xff || len + PEN_IP6_LEN > n->mtu) {
		PEN_COUNT(n->ctr->drop_icmp6_type);
		return;
	}
	uint8_t *out = pen_inet_tx_begin(n, &f, PEN_FAMILY_IP6);
	if (out == NULL)
		return;
	memcpy(out, icmp, len);
	out[0] = ECHO_REPLY;
	ip6_write(f.data + PEN_ETH_LEN, us, peer, IP_PROTO_ICMP6, 0, len);
	icmp6_finish(f.data + PEN_ETH_LEN, out, len);
	PEN_COUNT(n->ctr->tx_icmp6_replies);
	inet_ip6_send(n, &f, us, peer, IP_PROTO_ICMP6, len, false, now);
}

// The quoted packet is one that we sent: from the address that the error came
// to, with TCP right behind its header.
static void error_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	const uint8_t *inner = icmp + ICMP_LEN;

	if (icmp[0] == UNREACHABLE)
		PEN_COUNT(n->ctr->rx_icmp6_unreachable);
	if (icmp[0] == TOO_BIG)
		PEN_COUNT(n->ctr->rx_icmp6_too_big);
	if (len < ICMP_LEN + PEN_IP6_LEN + 8 || inner[0] >> 4 != 6 || ip[24] == 0xff) {
		PEN_COUNT(n->ctr->drop_icmp6_malformed);
		return;
	}
	if (inner[6] != IP_PROTO_TCP || !ip6_eq(inner + 8, ip + 24)) {
		PEN_COUNT(n->ctr->drop_ip6_protocol);
		return;
	}
	if (n->handler.tcp_unreachable == NULL)
		return;
	const uint8_t *tcp = inner + PEN_IP6_LEN;
	struct pen_addr local = addr_of_ip6(inner + 8), remote = addr_of_ip6(inner + 24);
	uint32_t seq = (uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6), mtu = 0;
	if (icmp[0] == TOO_BIG) {
		mtu = (uint32_t)get16(icmp + 4) << 16 | get16(icmp + 6);
		mtu = mtu > UINT16_MAX ? UINT16_MAX : mtu;
	}
	n->handler.tcp_unreachable(n->handler.ctx, &local, &remote, get16(tcp), get16(tcp + 2), seq,
		icmp[0], icmp[1], (uint16_t)mtu, now);
}

static void discovery_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	PEN_COUNT(n->ctr->rx_nd);
	// RFC 4861 7.1: a hop limit of 255 proves that the sender is on the link.
	if (ip[7] != 255 || icmp[1] != 0)
		PEN_COUNT(n->ctr->drop_nd_malformed);
	else if (icmp[0] == NEIGHBOUR_SOLICITATION)
		nd_solicitation_input(n, ip, icmp, len, now);
	else
		nd_advertisement_input(n, ip, icmp, len, now);
}

static void message_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	switch (icmp[0]) {
	case ECHO:
		echo_reply(n, ip, icmp, len, now);
		break;
	case UNREACHABLE:
	case TOO_BIG:
	case TIME_EXCEEDED:
	case PARAMETER:
		error_input(n, ip, icmp, len, now);
		break;
	case NEIGHBOUR_SOLICITATION:
	case NEIGHBOUR_ADVERTISEMENT:
		discovery_input(n, ip, icmp, len, now);
		break;
	case MLD_QUERY:
		mld_query_input(n, ip, icmp, len, now);
		break;
	case ROUTER_ADVERTISEMENT:
	case REDIRECT:
		PEN_COUNT(n->ctr->drop_nd_router);
		break;
	default:
		PEN_COUNT(n->ctr->drop_icmp6_type);
	}
}

void inet_icmp6_input(struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t icmp_len,
	pen_time_us now)
{
	uint64_t sum = ip6_pseudo_sum(ip + 8, ip + 24, IP_PROTO_ICMP6, icmp_len);

	if (icmp_len < ICMP_LEN || pen_csum_fold(pen_csum_add(sum, icmp, icmp_len)) != 0) {
		PEN_COUNT(n->ctr->drop_icmp6_malformed);
		return;
	}
	PEN_COUNT(n->ctr->rx_icmp6);
	// Only a host that looks for duplicates speaks without an address.
	if (ip6_unspecified(ip + 8) && icmp[0] != NEIGHBOUR_SOLICITATION)
		PEN_COUNT(n->ctr->drop_ip6_src);
	else
		message_input(n, ip, icmp, icmp_len, now);
}
