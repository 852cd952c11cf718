// SPDX-License-Identifier: BSD-3-Clause

// Neighbours: address to MAC, for both families. ARP (arp.c) and neighbour
// discovery (nd.c) ask and listen; the table and what is believed are here.
//
// An answer is believed when we asked for it. A host that asks for one of our
// addresses is learned when we know nothing better. Any other claim about a
// known neighbour only makes us ask again, at most once per second, so a
// fail-over is noticed quickly and a spoofed claim changes nothing by itself.

#include "inet_internal.h"

void neigh_init(struct pen_inet *n)
{
	memset(n->bucket, 0xff, sizeof(n->bucket));
	n->neigh_free = NEIGH_NONE;
	n->neigh_due = PEN_TIME_NEVER;
}

static uint16_t *bucket_of(struct pen_inet *n, const struct neigh_key *key)
{
	return &n->bucket[hash_raw(key->ip) & (NEIGH_BUCKETS - 1)];
}

static inline struct neigh *find(struct pen_inet *n, const struct neigh_key *key)
{
	const uint64_t word = raw64(key); // both words that IPv4 is found by

	for (uint16_t i = *bucket_of(n, key); i != NEIGH_NONE; i = n->neigh[i].next) {
		struct neigh *e = &n->neigh[i];
		if (raw64(&e->key) == word &&
			(key->family == PEN_FAMILY_IP4 || ip6_eq(e->key.ip6, key->ip6)))
			return e;
	}
	return NULL;
}

struct neigh *neigh_find(struct pen_inet *n, const struct neigh_key *key)
{
	return find(n, key);
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
	uint16_t *link = bucket_of(n, &e->key);

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
static bool is_gateway(const struct pen_inet *n, const struct neigh *e)
{
	if (e->key.family == PEN_FAMILY_IP4)
		return e->key.ip == n->gateway;
	return n->six.has_gateway && ip6_eq(e->key.ip6, n->six.gateway);
}

static struct neigh *neigh_evict(struct pen_inet *n)
{
	struct neigh *worst = NULL;

	for (uint32_t i = 0; i < n->nneigh; i++) {
		struct neigh *e = &n->neigh[i];
		if (e->pinned || is_gateway(n, e) || e->state == NEIGH_FREE ||
			e->state == NEIGH_PROBING)
			continue;
		if (worst == NULL || e->deadline < worst->deadline)
			worst = e;
		if (e->state == NEIGH_NEGATIVE)
			break;
	}
	return worst;
}

static struct neigh *neigh_add(struct pen_inet *n, const struct neigh_key *key)
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
	uint16_t *head = bucket_of(n, key);
	*e = (struct neigh){.key = *key, .next = *head, .deadline = PEN_TIME_NEVER};
	*head = index;
	return e;
}

static void neigh_set_deadline(struct pen_inet *n, struct neigh *e, pen_time_us t)
{
	e->deadline = t;
	n->neigh_due = pen_time_min(n->neigh_due, t);
}

static void neigh_from(struct neigh *e, const void *local)
{
	memcpy(e->from, local, 4);
	if (e->key.family == PEN_FAMILY_IP6)
		memcpy(e->from + 4, (const uint8_t *)local + 4, 12);
	e->asked = true;
}

static void neigh_ask(struct pen_inet *n, struct neigh *e, pen_time_us now)
{
	// RFC 4861 7.3.3: a neighbour that was there is asked alone, at first.
	bool everybody = e->state != NEIGH_REACHABLE || e->tries > 0 || e->doubt;

	e->tries++;
	neigh_set_deadline(n, e, now + NEIGH_RETRY_US);
	if (e->key.family == PEN_FAMILY_IP4)
		arp_ask(n, e);
	else
		nd_solicit(n, e, everybody);
}

static void transmit(
	struct pen_inet *n, struct neigh *e, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	inet_eth_write(f->data, e->mac, n->mac,
		e->key.family == PEN_FAMILY_IP4 ? ETH_TYPE_IP4 : ETH_TYPE_IP6);
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

void neigh_send(struct pen_inet *n, struct pen_frame *f, uint32_t frame_len, const void *src,
	const struct neigh_key *hop, bool l4_csum, pen_time_us now)
{
	struct neigh *e = find(n, hop);

	if (e != NULL && e->state == NEIGH_REACHABLE && (e->pinned || now < e->expires)) {
		// First use after a refresh was judged needless: ask at the next poll.
		if (!e->used && e->tries == 0 && e->deadline == e->expires && !e->pinned)
			neigh_set_deadline(n, e, now);
		e->used = true;
		neigh_from(e, src);
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
	neigh_from(e, src);
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
	e->used = e->doubt = false;
	e->pinned = e->pinned || pinned;
	e->expires = e->pinned ? PEN_TIME_NEVER : now + NEIGH_EXPIRE_US;
	neigh_set_deadline(n, e, e->pinned ? PEN_TIME_NEVER : now + NEIGH_REFRESH_US);
	for (int i = 0; i < e->nparked; i++)
		transmit(n, e, &e->parked[i].frame, e->parked[i].len, e->parked[i].l4_csum);
	n->nparked -= e->nparked;
	e->nparked = 0;
	if (tell && n->handler.neigh_learned != NULL) {
		struct pen_addr a = e->key.family == PEN_FAMILY_IP4 ? addr_of_raw(e->key.ip)
								    : addr_of_ip6(e->key.ip6);
		n->handler.neigh_learned(n->handler.ctx, &a, e->mac);
	}
}

void pen_inet_neigh_learn(struct pen_inet *n, const struct pen_addr *addr, const uint8_t mac[6],
	bool pinned, pen_time_us now)
{
	struct neigh_key key =
		addr->family == PEN_FAMILY_IP4 ? neigh_key4(raw32(addr->ip)) : neigh_key6(addr->ip);

	if (addr->family == PEN_FAMILY_NONE || (mac[0] & 1) != 0)
		return;
	struct neigh *e = neigh_find(n, &key);
	if (e != NULL && e->pinned && !pinned)
		return;
	if (e == NULL)
		e = neigh_add(n, &key);
	if (e != NULL)
		neigh_confirm(n, e, mac, pinned, false, now);
}

void neigh_hint(
	struct pen_inet *n, struct neigh *e, uint32_t family, const uint8_t mac[6], pen_time_us now)
{
	if (family == PEN_FAMILY_IP4)
		PEN_COUNT(n->ctr->drop_arp_unsolicited);
	else
		PEN_COUNT(n->ctr->drop_nd_unsolicited);
	if (e == NULL || e->pinned || e->state != NEIGH_REACHABLE || e->tries > 0 ||
		memcmp(e->mac, mac, 6) == 0 || !e->asked)
		return;
	e->doubt = true;
	neigh_ask(n, e, now);
}

void neigh_answer(struct pen_inet *n, struct neigh *e, const uint8_t mac[6], pen_time_us now)
{
	neigh_confirm(n, e, mac, false, true, now);
}

void neigh_asks(struct pen_inet *n, struct neigh *e, const struct neigh_key *key,
	const uint8_t mac[6], const uint8_t *ours, pen_time_us now)
{
	if (e == NULL)
		e = neigh_add(n, key);
	if (e == NULL || e->pinned)
		return;
	if (e->state != NEIGH_REACHABLE || now >= e->expires)
		neigh_confirm(n, e, mac, false, true, now);
	else if (memcmp(e->mac, mac, 6) != 0)
		neigh_hint(n, e, key->family, mac, now);
	neigh_from(e, ours);
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

static pen_time_us neigh_poll(struct pen_inet *n, pen_time_us now)
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

pen_time_us pen_inet_poll(struct pen_inet *n, pen_time_us now)
{
	pen_time_us due = neigh_poll(n, now);

	return n->six.on ? pen_time_min(due, mld_poll(n, now)) : due;
}
