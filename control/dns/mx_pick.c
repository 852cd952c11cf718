// SPDX-License-Identifier: BSD-3-Clause
#include "mx_pick.h"

#include "pen_err.h"

#include <stdlib.h>

#define SLOTS (2 * MX_PICKS_MAX) // a power of two

bool mx_pick_self(
	const struct mx_pick *p, uint32_t n, const struct mx_own *own, uint16_t *preference)
{
	bool found = false;

	for (uint32_t i = 0; own != NULL && i < n; i++) {
		bool is_own = false;
		for (size_t k = 0; k < own->n && !is_own; k++)
			is_own = pen_cidr_has(&own->net[k], &p[i].addr);
		if (is_own && (!found || p[i].preference < *preference))
			*preference = p[i].preference;
		found = found || is_own;
	}
	return found;
}

uint32_t mx_pick_better(struct mx_pick *p, uint32_t n, uint16_t preference)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (p[i].preference < preference)
			p[kept++] = p[i];
	}
	return kept;
}

static int family_rank(const struct mx_pick *p, enum mx_prefer prefer)
{
	if (prefer == MX_PREFER_ANY)
		return 0;
	return p->addr.family != (prefer == MX_PREFER_IP4 ? PEN_FAMILY_IP4 : PEN_FAMILY_IP6);
}

static int by_preference_and_family(const void *a, const void *b)
{
	const struct mx_pick *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->turn < y->turn ? -1 : x->turn > y->turn;
}

void mx_pick_order(
	struct mx_pick *p, uint32_t n, const struct mx_pick_options *options, struct pen_rand *rand)
{
	for (uint32_t k = n; options->randomize && k > 1; k--) {
		uint32_t other = (uint32_t)pen_rand_below(rand, k);
		struct mx_pick t = p[k - 1];
		p[k - 1] = p[other];
		p[other] = t;
	}
	for (uint32_t i = 0; i < n; i++) {
		p[i].rank = (uint8_t)family_rank(&p[i], options->prefer);
		p[i].turn = i; // qsort does not keep the order of equals by itself
	}
	qsort(p, n, sizeof(p[0]), by_preference_and_family);
}

static uint32_t slot_of(const struct pen_addr *a)
{
	uint32_t h = a->family;

	for (size_t i = 0; i < sizeof(a->ip); i++)
		h = (h ^ a->ip[i]) * 16777619u;
	return (h ^ h >> 15) % SLOTS;
}

static uint32_t drop_repeated(struct mx_pick *p, uint32_t n)
{
	uint16_t seen[SLOTS] = {0}; // index + 1
	uint32_t kept = 0;

	PEN_ASSERT(n <= MX_PICKS_MAX);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = slot_of(&p[i].addr);
		while (seen[at] != 0 && !pen_addr_eq(&p[seen[at] - 1].addr, &p[i].addr))
			at = (at + 1) % SLOTS;
		if (seen[at] != 0)
			continue;
		p[kept++] = p[i];
		seen[at] = (uint16_t)kept;
	}
	return kept;
}

// shares says how many of each family stay when there are more than the limit.
static void shares(
	const struct mx_pick *p, uint32_t n, uint32_t limit, uint32_t *ip4, uint32_t *ip6)
{
	uint32_t n4 = 0, n6;

	for (uint32_t i = 0; i < n; i++)
		n4 += p[i].addr.family == PEN_FAMILY_IP4;
	n6 = n - n4;
	if (n6 <= limit / 2) {
		*ip6 = n6;
		*ip4 = limit - n6;
	} else if (n4 <= limit / 2) {
		*ip4 = n4;
		*ip6 = limit - n4;
	} else {
		*ip4 = (limit + (p[0].addr.family == PEN_FAMILY_IP4)) / 2;
		*ip6 = limit - *ip4;
	}
}

uint32_t mx_pick_limit(
	struct mx_pick *p, uint32_t n, const struct mx_pick_options *options, uint32_t room)
{
	uint32_t limit = options->limit == 0 || options->limit > room ? room : options->limit;
	uint32_t kept = 0, ip4 = limit, ip6 = limit;

	n = drop_repeated(p, n);
	if (n <= limit)
		return n;
	if (options->balance)
		shares(p, n, limit, &ip4, &ip6);
	for (uint32_t i = 0; i < n && kept < limit; i++) {
		uint32_t *left = p[i].addr.family == PEN_FAMILY_IP4 ? &ip4 : &ip6;
		if (*left == 0)
			continue;
		(*left)--;
		p[kept++] = p[i];
	}
	return kept;
}
