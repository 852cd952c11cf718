// SPDX-License-Identifier: BSD-3-Clause

// Which source and which hosts a new connection gets.
//
// Hosts in order of preference, shuffled within equal preference so that they
// share the load; the best one's address family decides, if we have a source
// of it. Sources take turns.
#include "core.h"

static unsigned family_index(const struct pen_addr *a)
{
	return a->family == PEN_FAMILY_IP6 ? 1 : 0;
}

static void order_hosts(struct pen_sched *s, const struct site *site, uint16_t *order)
{
	uint16_t n = site->nhosts;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t at = i;
		for (; at > 0 && site->host[order[at - 1]].preference > site->host[i].preference;
			at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	for (uint16_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && site->host[order[to]].preference ==
						      site->host[order[from]].preference;)
			to++;
		for (uint16_t i = (uint16_t)(to - 1); i > from; i--) {
			uint16_t k = (uint16_t)(from +
						pen_rand_below(&s->rand, (uint64_t)(i - from) + 1));
			uint16_t swap = order[i];
			order[i] = order[k];
			order[k] = swap;
		}
	}
}

bool plan_lease(struct pen_sched *s, const struct site *site, struct pen_lease *l)
{
	uint16_t order[PEN_ROUTE_HOSTS_MAX];
	unsigned family = 0;
	uint16_t i;

	order_hosts(s, site, order);
	for (i = 0; i < site->nhosts; i++) {
		family = family_index(&site->host[order[i]].addr);
		if (s->nsource[family] > 0)
			break;
	}
	if (i == site->nhosts)
		return false;
	for (; i < site->nhosts && l->nhosts < PEN_LEASE_HOSTS_MAX; i++) {
		const struct site_host *h = &site->host[order[i]];
		if (family_index(&h->addr) != family)
			continue;
		struct pen_lease_host *out = &l->host[l->nhosts++];
		out->addr = h->addr;
		out->port = h->port;
		out->tls = pen_tls_policy_ref(h->tls);
		out->name = h->tls->host;
	}
	uint32_t turn = s->source_turn[family]++ % s->nsource[family];
	const struct pen_sched_source *src = &s->cfg.source[s->source[family][turn]];
	*(family == 0 ? &l->source : &l->source6) = src->addr;
	l->helo = l->helo6 = src->helo[0] != '\0' ? src->helo : s->cfg.myhostname;
	return true;
}
