// SPDX-License-Identifier: BSD-3-Clause

// The local port of a received frame, for whoever decides which worker it is
// for. Checks no more than it needs to read safely.

#include "inet_internal.h"

#define ICMP_QUOTE 8 // an ICMP error's header, before what it quotes

static uint16_t steer_icmp(const uint8_t *icmp, uint32_t len)
{
	if (len < ICMP_QUOTE + PEN_IP4_LEN + 4 || (icmp[0] != 3 && icmp[0] != 11 && icmp[0] != 12))
		return 0;
	const uint8_t *inner = icmp + ICMP_QUOTE;
	uint32_t ihl = (inner[0] & 15u) * 4;
	if (inner[0] >> 4 != 4 || ihl < PEN_IP4_LEN || len < ICMP_QUOTE + ihl + 4 ||
		inner[9] != IP_PROTO_TCP)
		return 0;
	return get16(inner + ihl);
}

static uint16_t steer_ip4(const uint8_t *ip, uint32_t len)
{
	if (len < PEN_IP4_LEN)
		return 0;
	uint32_t ihl = (ip[0] & 15u) * 4;
	if (ip[0] >> 4 != 4 || ihl < PEN_IP4_LEN || len < ihl + 4 || (get16(ip + 6) & 0x1fff) != 0)
		return 0;
	if (ip[9] == IP_PROTO_TCP)
		return get16(ip + ihl + 2);
	return ip[9] == IP_PROTO_ICMP ? steer_icmp(ip + ihl, len - ihl) : 0;
}

// Types 1 to 4 are the errors that quote a packet (RFC 4443 2.1). What we send
// has no extension headers.
static uint16_t steer_icmp6(const uint8_t *icmp, uint32_t len)
{
	const uint8_t *inner = icmp + ICMP_QUOTE;

	if (len < ICMP_QUOTE + PEN_IP6_LEN + 4 || icmp[0] < 1 || icmp[0] > 4)
		return 0;
	if (inner[0] >> 4 != 6 || inner[6] != IP_PROTO_TCP)
		return 0;
	return get16(inner + PEN_IP6_LEN);
}

static uint16_t steer_ip6(const uint8_t *ip, uint32_t len)
{
	uint32_t at;
	uint8_t proto;

	if (len < PEN_IP6_LEN || ip[0] >> 4 != 6 || ip6_walk(ip, len, &proto, &at) != IP6_WALK_OK ||
		len - at < 4)
		return 0;
	if (proto == IP_PROTO_TCP)
		return get16(ip + at + 2);
	return proto == IP_PROTO_ICMP6 ? steer_icmp6(ip + at, len - at) : 0;
}

uint16_t pen_inet_steer(const uint8_t *frame, uint32_t len)
{
	if (len < PEN_ETH_LEN)
		return 0;
	uint16_t type = get16(frame + 12);
	if (type == ETH_TYPE_IP4)
		return steer_ip4(frame + PEN_ETH_LEN, len - PEN_ETH_LEN);
	return type == ETH_TYPE_IP6 ? steer_ip6(frame + PEN_ETH_LEN, len - PEN_ETH_LEN) : 0;
}
