// SPDX-License-Identifier: BSD-3-Clause

// Which sources and which hosts a new connection gets.
//
// Hosts in the resolver's order: it has weighed families against each other and
// kept to the limit of addresses. Those of equal preference share the load: they
// are shuffled among the places that the resolver gave to their family. Sources
// are those that shaping chose (by weight, among those with room), or those of
// each family take turns; hosts of a family that we have no source of are left out,
// and so are those that do not answer the source (ways.c).
#include "core.h"
#include "ways.h"

static unsigned family_index(const struct pen_addr *a)
{
	return a->family == PEN_FAMILY_IP6 ? 1 : 0;
}

// Shuffles order[from..to), each family among its own places.
static void shuffle(
	struct pen_sched *s, const struct site *site, uint16_t *order, uint16_t from, uint16_t to)
{
	for (unsigned family = 0; family < 2; family++) {
		uint16_t place[PEN_ROUTE_HOSTS_MAX], n = 0;
		for (uint16_t i = from; i < to; i++) {
			if (family_index(&site->host[order[i]].addr) == family)
				place[n++] = i;
		}
		while (n > 1) {
			uint16_t k = (uint16_t)pen_rand_below(&s->rand, n--);
			uint16_t swap = order[place[n]];
			order[place[n]] = order[place[k]];
			order[place[k]] = swap;
		}
	}
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
	for (uint16_t from = 0, to; from < n && s->cfg.shuffle_hosts; from = to) {
		for (to = from + 1; to < n && site->host[order[to]].preference ==
						      site->host[order[from]].preference;)
			to++;
		shuffle(s, site, order, from, to);
	}
}

static void set_source(
	const struct pen_sched *s, uint32_t index, struct pen_addr *addr, const char **helo)
{
	const struct pen_sched_source *src = &s->cfg.source[index];

	*addr = src->addr;
	if (src->helo[0] != '\0')
		*helo = src->helo;
}

// False: no source of this family.
static bool choose_source(struct pen_sched *s, const struct site *site, const struct lease *l,
	unsigned family, struct pen_addr *addr, const char **helo)
{
	*helo = s->cfg.myhostname;
	if (l->conn.site != NULL) {
		if (l->conn.source[family] < 0)
			return false;
		set_source(s, (uint32_t)l->conn.source[family], addr, helo);
		return true;
	}
	for (uint32_t i = 0; i < s->nsource[family]; i++) {
		uint32_t turn = s->source_turn[family]++ % s->nsource[family];
		if (!way_from(s, site, s->source[family][turn]))
			continue;
		set_source(s, s->source[family][turn], addr, helo);
		return true;
	}
	return false;
}

static void add_host(
	struct pen_sched *s, struct site *site, struct lease *lease, const struct site_host *h)
{
	struct pen_lease *l = &lease->pub;
	bool due;

	if (!way_to(s, site, family_index(&h->addr) == 1 ? &l->source6 : &l->source, h, &due)) {
		PEN_COUNT(dead_hosts_counters(s->dead)->skipped);
		return;
	}
	lease->probes |= due ? 1u << l->nhosts : 0;
	l->host[l->nhosts++] = (struct pen_lease_host){.addr = h->addr,
		.port = h->port,
		.tls = pen_tls_policy_ref(h->tls),
		.name = h->tls->host};
}

bool plan_lease(struct pen_sched *s, struct site *site, struct lease *lease)
{
	struct pen_lease *l = &lease->pub;
	uint16_t order[PEN_ROUTE_HOSTS_MAX];
	bool have[2];

	_Static_assert(PEN_ROUTE_HOSTS_MAX <= PEN_LEASE_HOSTS_MAX, "all hosts fit a lease");
	have[0] = choose_source(s, site, lease, 0, &l->source, &l->helo);
	have[1] = choose_source(s, site, lease, 1, &l->source6, &l->helo6);
	if (site->nhosts == 1)
		order[0] = 0;
	else
		order_hosts(s, site, order);
	for (uint16_t i = 0; i < site->nhosts; i++) {
		const struct site_host *h = &site->host[order[i]];
		if (have[family_index(&h->addr)])
			add_host(s, site, lease, h);
	}
	return l->nhosts > 0;
}
