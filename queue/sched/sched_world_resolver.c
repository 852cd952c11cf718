// SPDX-License-Identifier: BSD-3-Clause

// The routes and the DNS of a world.
#include "pen_err.h"
#include "sched_world_ops.h"

#include <stdlib.h>

struct pen_addr world_ip6(uint8_t last)
{
	return (struct pen_addr){
		.family = PEN_FAMILY_IP6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = last}};
}

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	const struct world *w = ctx;

	(void)rcpt;
	if (domain.n == 0 || pen_span_eq(domain, PEN_SPAN_LIT("unroutable"))) {
		pen_dsn_set(why, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
			"no route");
		return false;
	}
	if (pen_span_eq(domain, PEN_SPAN_LIT("discarded"))) {
		pen_dsn_set(why, 2, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
			"thrown away");
		return false;
	}
	out->transport = PEN_SPAN_LIT("smtp");
	out->nexthop = w->relayhost != NULL ? pen_span_cstr(w->relayhost) : domain;
	return true;
}

static void add_host(
	struct world *w, struct pen_route_result *r, const char *site, uint32_t i, bool ip6)
{
	struct pen_route_host *h = &r->host[r->nhosts++];
	char mx[128];

	snprintf(mx, sizeof(mx), "mx%u.%s", i + 1, site);
	struct pen_tls_policy *tls = pen_tls_policy_plain(w->level, mx);
	tls->one_use = w->one_use;
	h->tls = tls;
	h->addr = ip6 ? world_ip6((uint8_t)(i + 1)) : pen_addr_ip4(0x0a000001 + i);
	h->port = 25;
	h->preference = (uint16_t)(10 * i);
}

static void answer_resolve(struct world *w, uint64_t token, const char *name, enum world_route how)
{
	struct pen_route_result *r = calloc(1, sizeof(*r));
	char key[128];

	r->ttl = w->ttl;
	if (how == WORLD_ROUTE_OK) {
		const char *site = w->one_site ? "shared" : name;
		pen_dsn_set(&r->status, 2, 0, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"ok");
		snprintf(key, sizeof(key), "%s/%u", site, w->shuffle);
		r->site_key = pen_span_cstr(key);
		for (uint32_t i = 0; i < 2; i++) {
			if (w->two_families)
				add_host(w, r, site, i, true);
			add_host(w, r, site, i, false);
		}
	} else if (how == WORLD_ROUTE_SOFT) {
		pen_dsn_set(&r->status, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"name service error for %s", name);
	} else {
		pen_dsn_set(&r->status, 5, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"domain %s not found", name);
	}
	pen_sched_on_resolved(w->s, token, r);
	for (uint32_t i = 0; i < r->nhosts; i++)
		pen_tls_policy_unref(r->host[i].tls);
	free(r);
}

static void op_resolve(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	struct world *w = ctx;
	char name[64];

	w->demand[w->nasked++ % WORLD_MAX] = demand;
	(void)transport;
	snprintf(name, sizeof(name), "%.*s", PEN_SPAN_ARG(nexthop));
	if (!w->hold_resolves) {
		answer_resolve(w, token, name, w->route);
		return;
	}
	PEN_ASSERT(w->nresolve < WORLD_MAX);
	w->resolve[w->nresolve] = token;
	memcpy(w->resolve_name[w->nresolve++], name, sizeof(name));
}

void world_resolved(struct world *w, uint32_t i, enum world_route how)
{
	uint64_t token = w->resolve[i];
	char name[64];

	memcpy(name, w->resolve_name[i], sizeof(name));
	w->nresolve--;
	memmove(&w->resolve[i], &w->resolve[i + 1], (w->nresolve - i) * sizeof(w->resolve[0]));
	memmove(&w->resolve_name[i], &w->resolve_name[i + 1],
		(w->nresolve - i) * sizeof(w->resolve_name[0]));
	answer_resolve(w, token, name, how);
}

void world_resolver_ops(struct pen_sched_ops *ops)
{
	ops->route = op_route;
	ops->resolve = op_resolve;
}
