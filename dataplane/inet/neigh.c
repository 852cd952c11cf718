// SPDX-License-Identifier: BSD-3-Clause

// Neighbours: IPv4 address to MAC, by ARP (RFC 826).
//
// An answer is believed when we asked for it. A host that asks for one of our
// addresses is learned when we know nothing better. Any other claim about a
// known neighbour only makes us ask again, at most once per second, so a
// fail-over is noticed quickly and a spoofed claim changes nothing by itself.

#include "inet_internal.h"

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t zero_mac[6];

void neigh_init(struct pen_inet *n)
{
	memset(n->bucket, 0xff, sizeof(n->bucket));
	n->neigh_free = NEIGH_NONE;
	n->neigh_due = PEN_TIME_NEVER;
}

static uint16_t *bucket_of(struct pen_inet *n, uint32_t ip)
{
	return &n->bucket[hash_raw(ip) & (NEIGH_BUCKETS - 1)];
}

static struct neigh *neigh_find(struct pen_inet *n, uint32_t ip)
{
	for (uint16_t i = *bucket_of(n, ip); i != NEIGH_NONE; i = n->neigh[i].next) {
		if (n->neigh[i].ip == ip)
			return &n->neigh[i];
	}
	return NULL;
}

static void parked_drop(struct pen_inet *n, struct neigh *e)
{
	for (int i = 0; i < e->nparked; i++) {
		PEN_COUNT(n->ctr->drop_tx_unresolved);
		n->ops->tx_drop(n->port, &e->parked[i].frame);
	}
	n->nparked -= e->nparked;
	e->nparked = 0;
}

void neigh_fini(struct pen_inet *n)
{
	for (uint32_t i = 0; i < n->nneigh; i++)
		parked_drop(n, &n->neigh[i]);
}

static void neigh_delete(struct pen_inet *n, struct neigh *e)
{
	uint16_t index = (uint16_t)(e - n->neigh);
	uint16_t *link = bucket_of(n, e->ip);

	parked_drop(n, e);
	while (*link != index)
		link = &n->neigh[*link].next;
	*link = e->next;
	e->state = NEIGH_FREE;
	e->next = n->neigh_free;
	n->neigh_free = index;
}

// A full table gives up the entry that matters least: a silent one first, then
// the learned one that is nearest to its end. The gateway and pinned stay.
static struct neigh *neigh_evict(struct pen_inet *n)
{
	struct neigh *worst = NULL;

	for (uint32_t i = 0; i < n->nneigh; i++) {
		struct neigh *e = &n->neigh[i];
		if (e->pinned || e->ip == n->gateway || e->state == NEIGH_FREE ||
			e->state == NEIGH_PROBING)
			continue;
		if (worst == NULL || e->deadline < worst->deadline)
			worst = e;
		if (e->state == NEIGH_NEGATIVE)
			break;
	}
	return worst;
}

static struct neigh *neigh_add(struct pen_inet *n, uint32_t ip)
{
	uint16_t index;

	if (n->neigh_free == NEIGH_NONE && n->nneigh == PEN_INET_NEIGH_MAX) {
		struct neigh *e = neigh_evict(n);
		if (e == NULL) {
			PEN_COUNT(n->ctr->drop_arp_full);
			return NULL;
		}
		neigh_delete(n, e);
	}
	if (n->neigh_free != NEIGH_NONE) {
		index = n->neigh_free;
		n->neigh_free = n->neigh[index].next;
	} else {
		index = (uint16_t)n->nneigh++;
	}
	struct neigh *e = &n->neigh[index];
	uint16_t *head = bucket_of(n, ip);
	*e = (struct neigh){.ip = ip, .next = *head, .deadline = PEN_TIME_NEVER};
	*head = index;
	return e;
}

static void neigh_set_deadline(struct pen_inet *n, struct neigh *e, pen_time_us t)
{
	e->deadline = t;
	n->neigh_due = pen_time_min(n->neigh_due, t);
}

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

static void neigh_ask(struct pen_inet *n, struct neigh *e, pen_time_us now)
{
	e->tries++;
	neigh_set_deadline(n, e, now + NEIGH_RETRY_US);
	PEN_COUNT(n->ctr->tx_arp_requests);
	arp_send(n, ARP_REQUEST, broadcast_mac, e->from, zero_mac, e->ip);
}

static void transmit(
	struct pen_inet *n, struct neigh *e, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	inet_eth_write(f->data, e->mac, n->mac, ETH_TYPE_IP4);
	PEN_COUNT(n->ctr->tx_frames);
	n->ops->tx_put(n->port, f, len, l4_csum);
}

static void park(
	struct pen_inet *n, struct neigh *e, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	if (e->nparked == NEIGH_PARKED_MAX || n->nparked == NEIGH_PARKED_TOTAL) {
		PEN_COUNT(n->ctr->drop_tx_unresolved);
		n->ops->tx_drop(n->port, f);
		return;
	}
	e->parked[e->nparked++] = (struct neigh_parked){*f, len, l4_csum};
	n->nparked++;
}

void neigh_send(struct pen_inet *n, struct pen_frame *f, uint32_t frame_len, uint32_t src,
	uint32_t hop, bool l4_csum, pen_time_us now)
{
	struct neigh *e = neigh_find(n, hop);

	if (e != NULL && e->state == NEIGH_REACHABLE && (e->pinned || now < e->expires)) {
		// First use after a refresh was judged needless: ask at the next poll.
		if (!e->used && e->tries == 0 && e->deadline == e->expires && !e->pinned)
			neigh_set_deadline(n, e, now);
		e->used = true;
		e->from = src;
		transmit(n, e, f, frame_len, l4_csum);
		return;
	}
	if (e == NULL)
		e = neigh_add(n, hop);
	if (e == NULL || (e->state == NEIGH_NEGATIVE && now < e->deadline)) {
		PEN_COUNT(n->ctr->drop_tx_unresolved);
		n->ops->tx_drop(n->port, f);
		return;
	}
	e->from = src;
	park(n, e, f, frame_len, l4_csum);
	if (e->state != NEIGH_PROBING) {
		e->state = NEIGH_PROBING;
		e->tries = 0;
		neigh_ask(n, e, now);
	}
}

static void neigh_confirm(struct pen_inet *n, struct neigh *e, const uint8_t mac[6], bool pinned,
	bool tell, pen_time_us now)
{
	memcpy(e->mac, mac, 6);
	e->state = NEIGH_REACHABLE;
	e->tries = 0;
	e->used = false;
	e->pinned = e->pinned || pinned;
	e->expires = e->pinned ? PEN_TIME_NEVER : now + NEIGH_EXPIRE_US;
	neigh_set_deadline(n, e, e->pinned ? PEN_TIME_NEVER : now + NEIGH_REFRESH_US);
	for (int i = 0; i < e->nparked; i++)
		transmit(n, e, &e->parked[i].frame, e->parked[i].len, e->parked[i].l4_csum);
	n->nparked -= e->nparked;
	e->nparked = 0;
	if (tell && n->handler.neigh_learned != NULL) {
		struct pen_addr a = addr_of_raw(e->ip);
		n->handler.neigh_learned(n->handler.ctx, &a, e->mac);
	}
}

void pen_inet_neigh_learn(struct pen_inet *n, const struct pen_addr *addr, const uint8_t mac[6],
	bool pinned, pen_time_us now)
{
	if (addr->family != PEN_FAMILY_IP4 || (mac[0] & 1) != 0)
		return;
	struct neigh *e = neigh_find(n, raw32(addr->ip));
	if (e != NULL && e->pinned && !pinned)
		return;
	if (e == NULL)
		e = neigh_add(n, raw32(addr->ip));
	if (e != NULL)
		neigh_confirm(n, e, mac, pinned, false, now);
}

// A claim about a neighbour that we did not ask for.
static void neigh_hint(struct pen_inet *n, struct neigh *e, const uint8_t mac[6], pen_time_us now)
{
	PEN_COUNT(n->ctr->drop_arp_unsolicited);
	if (e == NULL || e->pinned || e->state != NEIGH_REACHABLE || e->tries > 0 ||
		memcmp(e->mac, mac, 6) == 0 || e->from == 0)
		return;
	neigh_ask(n, e, now);
}

static void arp_request_input(struct pen_inet *n, struct neigh *e, const uint8_t *arp, uint32_t spa,
	uint32_t tpa, pen_time_us now)
{
	const uint8_t *sha = arp + 8;

	// spa 0 is a probe for a duplicate address (RFC 5227): answer, don't learn.
	if (spa != 0 && ((spa ^ tpa) & n->mask) == 0) {
		if (e == NULL)
			e = neigh_add(n, spa);
		if (e != NULL && !e->pinned) {
			if (e->state != NEIGH_REACHABLE || now >= e->expires)
				neigh_confirm(n, e, sha, false, true, now);
			else
				neigh_hint(n, e, sha, now);
			e->from = tpa;
		}
	}
	PEN_COUNT(n->ctr->tx_arp_replies);
	arp_send(n, ARP_REPLY, sha, tpa, sha, spa);
}

void neigh_arp_input(
	struct pen_inet *n, const uint8_t *arp, uint32_t len, bool unicast, pen_time_us now)
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
	struct neigh *e = neigh_find(n, spa);
	if (!inet_source_has(n, tpa)) {
		if (spa == tpa) // an announcement
			neigh_hint(n, e, arp + 8, now);
		else
			PEN_COUNT(n->ctr->drop_arp_not_ours);
		return;
	}
	if (op == ARP_REQUEST)
		arp_request_input(n, e, arp, spa, tpa, now);
	else if (op != ARP_REPLY)
		PEN_COUNT(n->ctr->drop_arp_malformed);
	else if (unicast && e != NULL && !e->pinned && (e->state == NEIGH_PROBING || e->tries > 0))
		neigh_confirm(n, e, arp + 8, false, true, now);
	else
		neigh_hint(n, e, arp + 8, now);
}

static void neigh_due(struct pen_inet *n, struct neigh *e, pen_time_us now)
{
	if (e->state == NEIGH_NEGATIVE) {
		neigh_delete(n, e);
	} else if (e->state == NEIGH_REACHABLE && now >= e->expires) {
		neigh_delete(n, e);
	} else if (e->state == NEIGH_REACHABLE && (!e->used || e->tries >= NEIGH_TRIES)) {
		// Nobody needs it, or it does not answer: let it run out.
		neigh_set_deadline(n, e, e->expires);
	} else if (e->tries >= NEIGH_TRIES) {
		parked_drop(n, e);
		e->state = NEIGH_NEGATIVE;
		neigh_set_deadline(n, e, now + NEIGH_NEGATIVE_US);
	} else {
		neigh_ask(n, e, now);
	}
}

pen_time_us pen_inet_poll(struct pen_inet *n, pen_time_us now)
{
	if (now < n->neigh_due)
		return n->neigh_due;
	pen_time_us due = PEN_TIME_NEVER;
	n->neigh_due = PEN_TIME_NEVER;
	for (uint32_t i = 0; i < n->nneigh; i++) {
		struct neigh *e = &n->neigh[i];
		if (e->state == NEIGH_FREE)
			continue;
		if (e->deadline <= now)
			neigh_due(n, e, now);
		if (e->state != NEIGH_FREE)
			due = pen_time_min(due, e->deadline);
	}
	n->neigh_due = due;
	return due;
}
