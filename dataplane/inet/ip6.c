// SPDX-License-Identifier: BSD-3-Clause

// IPv6 packets (RFC 8200).

#include "inet_internal.h"

#include <arpa/inet.h>

#define HOP_LIMIT_DEFAULT 64
// A packet that a mail server sends has no extension headers, a host's stack
// may add one or two.
#define EXTENSIONS_MAX 4

enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_DESTINATION = 60,
};

// RFC 8200 4.2: the two top bits of an option's type say whether a node that
// does not know it may go on. We know the padding only.
static bool options_ok(const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n;) {
		if (p[i] == 0) { // Pad1
			i++;
			continue;
		}
		if (i + 1 >= n || p[i + 1] > n - i - 2 || (p[i] & 0xc0) != 0)
			return false;
		i += 2u + p[i + 1];
	}
	return true;
}

enum ip6_walk ip6_walk(const uint8_t *ip, uint32_t len, uint8_t *proto, uint32_t *at)
{
	uint8_t next = ip[6];
	uint32_t off = PEN_IP6_LEN;

	for (int i = 0; next == NEXT_HOP_BY_HOP || next == NEXT_DESTINATION; i++) {
		// Hop-by-hop options come first or not at all.
		if (i == EXTENSIONS_MAX || (next == NEXT_HOP_BY_HOP && i > 0))
			return IP6_WALK_OPTION;
		if (len - off < 8 || len - off < 8u * (ip[off + 1] + 1u))
			return IP6_WALK_SHORT;
		uint32_t size = 8u * (ip[off + 1] + 1u);
		if (!options_ok(ip + off + 2, size - 2))
			return IP6_WALK_OPTION;
		next = ip[off];
		off += size;
	}
	*proto = next;
	*at = off;
	return next == NEXT_FRAGMENT  ? IP6_WALK_FRAGMENT
	       : next == NEXT_ROUTING ? IP6_WALK_ROUTING
				      : IP6_WALK_OK;
}

static void count_walk(struct pen_inet_counters *ctr, enum ip6_walk what)
{
	if (what == IP6_WALK_SHORT)
		PEN_COUNT(ctr->drop_ip6_short);
	else if (what == IP6_WALK_FRAGMENT)
		PEN_COUNT(ctr->drop_ip6_fragment);
	else if (what == IP6_WALK_ROUTING)
		PEN_COUNT(ctr->drop_ip6_routing);
	else
		PEN_COUNT(ctr->drop_ip6_options);
}

// All-nodes, or the solicited-node group of one of our addresses (RFC 4291 2.7.1).
static bool group_ours(const struct pen_inet *n, const uint8_t *dst)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
	static const uint8_t solicited[13] = {0xff, 2, [11] = 1, 0xff};

	return memcmp(dst, solicited, 13) == 0 ? inet6_group_has(n, dst) : ip6_eq(dst, all_nodes);
}

// False: dropped and counted.
static bool addresses_ok(struct pen_inet *n, const uint8_t *ip, bool unicast)
{
	const uint8_t *src = ip + 8, *dst = ip + 24;

	if (dst[0] == 0xff) {
		if (!group_ours(n, dst)) {
			PEN_COUNT(n->ctr->drop_ip6_group);
			return false;
		}
	} else if (!unicast || !inet6_source_has(n, dst)) {
		PEN_COUNT(n->ctr->drop_ip6_dst);
		return false;
	}
	// A host that looks for duplicates of its address has none yet.
	if ((inet6_not_unicast(src) && !(ip6_unspecified(src) && dst[0] == 0xff)) ||
		inet6_source_has(n, src)) {
		PEN_COUNT(n->ctr->drop_ip6_src);
		return false;
	}
	return true;
}

void inet_ip6_input(struct pen_inet *n, const uint8_t *ip, uint32_t len, bool unicast, bool csum_ok,
	pen_time_us now)
{
	uint32_t at;
	uint8_t proto;

	if (len < PEN_IP6_LEN || get16(ip + 4) > len - PEN_IP6_LEN) {
		PEN_COUNT(n->ctr->drop_ip6_short);
		return;
	}
	len = PEN_IP6_LEN + get16(ip + 4);
	if (ip[0] >> 4 != 6) {
		PEN_COUNT(n->ctr->drop_ip6_version);
		return;
	}
	if (!addresses_ok(n, ip, unicast))
		return;
	enum ip6_walk walked = ip6_walk(ip, len, &proto, &at);
	if (walked != IP6_WALK_OK) {
		count_walk(n->ctr, walked);
		return;
	}
	PEN_COUNT(n->ctr->rx_ip6);
	if (proto == IP_PROTO_TCP && ip[24] != 0xff && n->handler.tcp != NULL) {
		struct pen_addr src = addr_of_ip6(ip + 8), dst = addr_of_ip6(ip + 24);
		// Devices verify behind extension headers or not, and don't say.
		n->handler.tcp(n->handler.ctx, &src, &dst, ip + at, len - at,
			csum_ok && at == PEN_IP6_LEN, now);
	} else if (proto == IP_PROTO_ICMP6) {
		inet_icmp6_input(n, ip, ip + at, len - at, now);
	} else {
		PEN_COUNT(n->ctr->drop_ip6_protocol);
	}
}

void ip6_write(uint8_t *ip, const uint8_t *src, const uint8_t *dst, uint8_t proto, uint8_t hops,
	uint32_t payload)
{
	memcpy(ip, (uint8_t[]){0x60, 0, 0, 0}, 4);
	put16(ip + 4, (uint16_t)payload);
	ip[6] = proto;
	ip[7] = hops;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
}

uint64_t ip6_pseudo_sum(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint32_t len)
{
	uint64_t sum = pen_csum_add(pen_csum_add(0, src, 16), dst, 16);

	return sum + htonl(len) + htons(proto);
}

void inet_ip6_send(struct pen_inet *n, struct pen_frame *f, const uint8_t *src, const uint8_t *dst,
	uint8_t proto, uint32_t payload, bool l4_csum, pen_time_us now)
{
	const uint8_t *hop = inet6_next_hop(n, src, dst);

	if (hop == NULL) {
		PEN_COUNT(n->ctr->drop_tx_no_route);
		n->ops->tx_drop(n->port, f);
		return;
	}
	struct neigh_key key = neigh_key6(hop);
	ip6_write(f->data + PEN_ETH_LEN, src, dst, proto, HOP_LIMIT_DEFAULT, payload);
	neigh_send(n, f, PEN_ETH_LEN + PEN_IP6_LEN + payload, src, &key, l4_csum, now);
}
