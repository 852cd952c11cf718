// SPDX-License-Identifier: BSD-3-Clause

// ARP (RFC 826): questions and answers about IPv4 neighbours. What is believed
// is decided in neigh.c.

#include "inet_internal.h"

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t zero_mac[6];

static void arp_send(struct pen_inet *n, uint16_t op, const uint8_t eth_dst[6], uint32_t spa,
	const uint8_t tha[6], uint32_t tpa)
{
	struct pen_frame f;

	if (!n->ops->tx_get(n->port, &f)) {
		PEN_COUNT(n->ctr->drop_tx_no_buffer);
		return;
	}
	inet_eth_write(f.data, eth_dst, n->mac, ETH_TYPE_ARP);
	uint8_t *arp = f.data + PEN_ETH_LEN;
	put16(arp, 1); // Ethernet
	put16(arp + 2, ETH_TYPE_IP4);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, op);
	memcpy(arp + 8, n->mac, 6);
	memcpy(arp + 14, &spa, 4);
	memcpy(arp + 18, tha, 6);
	memcpy(arp + 24, &tpa, 4);
	PEN_COUNT(n->ctr->tx_frames);
	n->ops->tx_put(n->port, &f, PEN_ETH_LEN + ARP_LEN, false);
}

void arp_ask(struct pen_inet *n, const struct neigh *e)
{
	PEN_COUNT(n->ctr->tx_arp_requests);
	arp_send(n, ARP_REQUEST, broadcast_mac, raw32(e->from), zero_mac, e->key.ip);
}

static void request_input(struct pen_inet *n, struct neigh *e, const uint8_t *arp, uint32_t spa,
	uint32_t tpa, pen_time_us now)
{
	const uint8_t *sha = arp + 8;

	// spa 0 is a probe for a duplicate address (RFC 5227): answer, don't learn.
	if (spa != 0 && ((spa ^ tpa) & n->mask) == 0) {
		struct neigh_key key = neigh_key4(spa);
		neigh_asks(n, e, &key, sha, arp + 24, now);
	}
	PEN_COUNT(n->ctr->tx_arp_replies);
	arp_send(n, ARP_REPLY, sha, tpa, sha, spa);
}

void arp_input(struct pen_inet *n, const uint8_t *arp, uint32_t len, bool unicast, pen_time_us now)
{
	PEN_COUNT(n->ctr->rx_arp);
	if (len < ARP_LEN || get16(arp) != 1 || get16(arp + 2) != ETH_TYPE_IP4 || arp[4] != 6 ||
		arp[5] != 4 || (arp[8] & 1) != 0) {
		PEN_COUNT(n->ctr->drop_arp_malformed);
		return;
	}
	uint16_t op = get16(arp + 6);
	uint32_t spa = raw32(arp + 14), tpa = raw32(arp + 24);
	// Someone else who claims one of our addresses is not a neighbour.
	if (inet_source_has(n, spa) || (spa != 0 && inet_not_unicast(n, spa))) {
		PEN_COUNT(n->ctr->drop_arp_not_ours);
		return;
	}
	struct neigh_key key = neigh_key4(spa);
	struct neigh *e = neigh_find(n, &key);
	if (!inet_source_has(n, tpa)) {
		if (spa == tpa) // an announcement
			neigh_hint(n, e, PEN_FAMILY_IP4, arp + 8, now);
		else
			PEN_COUNT(n->ctr->drop_arp_not_ours);
		return;
	}
	if (op == ARP_REQUEST)
		request_input(n, e, arp, spa, tpa, now);
	else if (op != ARP_REPLY)
		PEN_COUNT(n->ctr->drop_arp_malformed);
	else if (unicast && e != NULL && neigh_expects(e))
		neigh_answer(n, e, arp + 8, now);
	else
		neigh_hint(n, e, PEN_FAMILY_IP4, arp + 8, now);
}
