// SPDX-License-Identifier: BSD-3-Clause

// Neighbour discovery (RFC 4861): solicitations and advertisements. What is
// believed is decided in neigh.c. Our own addresses are static and not checked
// for duplicates; somebody else's check is answered.

#include "inet_internal.h"

#define SOLICITATION 135
#define ADVERTISEMENT 136
#define ND_LEN 24 // type, code, checksum, flags, target
#define OPTION_LEN 8
#define SOURCE_LINK_ADDR 1
#define TARGET_LINK_ADDR 2
#define FLAG_SOLICITED 0x40
#define FLAG_OVERRIDE 0x20

static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

// Sends a solicitation or advertisement with our MAC address in an option.
static void nd_send(struct pen_inet *n, uint8_t type, uint8_t flags, const uint8_t eth_dst[6],
	const uint8_t *src, const uint8_t *dst, const uint8_t *target)
{
	struct pen_frame f;
	uint8_t *icmp = pen_inet_tx_begin(n, &f, PEN_FAMILY_IP6);
	const uint32_t len = ND_LEN + OPTION_LEN;

	if (icmp == NULL)
		return;
	inet_eth_write(f.data, eth_dst, n->mac, ETH_TYPE_IP6);
	ip6_write(f.data + PEN_ETH_LEN, src, dst, IP_PROTO_ICMP6, 255, len);
	memset(icmp, 0, 8);
	icmp[0] = type;
	icmp[4] = flags;
	memcpy(icmp + 8, target, 16);
	icmp[24] = type == SOLICITATION ? SOURCE_LINK_ADDR : TARGET_LINK_ADDR;
	icmp[25] = 1;
	memcpy(icmp + 26, n->mac, 6);
	icmp6_finish(f.data + PEN_ETH_LEN, icmp, len);
	PEN_COUNT(n->ctr->tx_frames);
	n->ops->tx_put(n->port, &f, PEN_ETH_LEN + PEN_IP6_LEN + len, false);
}

void nd_solicit(struct pen_inet *n, const struct neigh *e, bool everybody)
{
	const uint8_t *ip = e->key.ip6;
	const uint8_t group[16] = {0xff, 2, [11] = 1, 0xff, ip[13], ip[14], ip[15]};
	const uint8_t mac[6] = {0x33, 0x33, 0xff, ip[13], ip[14], ip[15]};

	PEN_COUNT(n->ctr->tx_nd_solicitations);
	nd_send(n, SOLICITATION, 0, everybody ? mac : e->mac, e->from, everybody ? group : ip, ip);
}

// Finds the link-layer address option. False: the list is malformed.
static bool options_parse(
	const uint8_t *p, uint32_t n, uint8_t wanted, const uint8_t **mac, bool *any)
{
	*mac = NULL;
	*any = false;
	while (n > 0) {
		if (n < OPTION_LEN || p[1] == 0 || p[1] * 8u > n)
			return false;
		if (p[0] == wanted) {
			// Ethernet has six bytes, and a group has no address of its own.
			if (p[1] != 1 || (p[2] & 1) != 0)
				return false;
			*mac = p + 2;
			*any = true;
		}
		n -= p[1] * 8u;
		p += p[1] * 8u;
	}
	return true;
}

void nd_solicitation_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	const uint8_t *src = ip + 8, *target = icmp + 8, *mac;
	bool probe = ip6_unspecified(src), has_mac;

	if (len < ND_LEN || target[0] == 0xff ||
		!options_parse(icmp + ND_LEN, len - ND_LEN, SOURCE_LINK_ADDR, &mac, &has_mac) ||
		(probe && (has_mac || ip[24] != 0xff)) || (ip[24] == 0xff && !probe && !has_mac)) {
		PEN_COUNT(n->ctr->drop_nd_malformed);
		return;
	}
	if (!inet6_source_has(n, target)) {
		PEN_COUNT(n->ctr->drop_nd_not_ours);
		return;
	}
	if (probe) {
		// Our address is taken: tell everybody, the asker has none to answer to.
		PEN_COUNT(n->ctr->tx_nd_advertisements);
		nd_send(n, ADVERTISEMENT, FLAG_OVERRIDE, (uint8_t[]){0x33, 0x33, 0, 0, 0, 1},
			target, all_nodes, target);
		return;
	}
	struct neigh_key key = neigh_key6(src);
	struct neigh *e = neigh_find(n, &key);
	bool gateway = n->six.has_gateway && ip6_eq(src, n->six.gateway);
	if (has_mac && (gateway || inet6_on_link(n, target, src)))
		neigh_asks(n, e, &key, mac, target, now);
	// A solicitation without an option comes from somebody who knows us: its
	// answer goes to the MAC that we know, if any.
	if (!has_mac) {
		if (e == NULL || e->state != NEIGH_REACHABLE) {
			PEN_COUNT(n->ctr->drop_nd_not_ours);
			return;
		}
		mac = e->mac;
	}
	PEN_COUNT(n->ctr->tx_nd_advertisements);
	nd_send(n, ADVERTISEMENT, FLAG_SOLICITED | FLAG_OVERRIDE, mac, target, src, target);
}

void nd_advertisement_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	const uint8_t *target = icmp + 8, *mac;
	bool has_mac, solicited = (icmp[4] & FLAG_SOLICITED) != 0;

	if (len < ND_LEN || target[0] == 0xff || (ip[24] == 0xff && solicited) ||
		!options_parse(icmp + ND_LEN, len - ND_LEN, TARGET_LINK_ADDR, &mac, &has_mac)) {
		PEN_COUNT(n->ctr->drop_nd_malformed);
		return;
	}
	// Someone else who claims one of our addresses is not a neighbour.
	if (inet6_source_has(n, target)) {
		PEN_COUNT(n->ctr->drop_nd_not_ours);
		return;
	}
	struct neigh_key key = neigh_key6(target);
	struct neigh *e = neigh_find(n, &key);
	bool known = e != NULL && e->state == NEIGH_REACHABLE;
	if (!has_mac) {
		if (!known) {
			PEN_COUNT(n->ctr->drop_nd_unsolicited);
			return;
		}
		mac = e->mac;
	}
	// Without the override flag an advertisement may confirm, not replace.
	bool replaces = known && memcmp(mac, e->mac, 6) != 0;
	if (solicited && e != NULL && neigh_expects(e) &&
		(!replaces || (icmp[4] & FLAG_OVERRIDE) != 0)) {
		uint8_t copy[6];
		memcpy(copy, mac, 6);
		neigh_answer(n, e, copy, now);
	} else {
		neigh_hint(n, e, PEN_FAMILY_IP6, mac, now);
	}
}
