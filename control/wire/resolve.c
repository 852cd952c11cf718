// SPDX-License-Identifier: BSD-3-Clause

// The scheduler's question where mail for a next hop goes, and the way back of
// the answer: queue thread -> resolver thread -> queue thread.

#include "pen_gateway.h"

#include "pen_log.h"
#include "site_hosts.h"

#include <stdlib.h>

PEN_LOG_TYPE("control.resolve");

struct resolve {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	uint64_t token;
	struct pen_hop_answer *answer;
};

static void fill_hosts(struct pen_route_result *out, const struct pen_hop_answer *a)
{
	_Static_assert(PEN_ROUTE_HOSTS_MAX >= PEN_LEASE_HOSTS_MAX, "all hosts fit");
	out->nhosts = a->hosts->nhosts;
	for (uint32_t i = 0; i < out->nhosts; i++) {
		const struct pen_dns_host *h = &a->hosts->host[i];
		out->host[i] = (struct pen_route_host){
			.tls = a->name[a->name_of[i]].policy,
			.addr = h->addr,
			.port = h->port,
			.preference = h->preference,
		};
	}
}

static void warn(const struct pen_hop_answer *a)
{
	if (a->site.warning[0] != '\0')
		pen_warning("%s", a->site.warning);
	for (uint32_t i = 0; i < a->nnames; i++) {
		if (a->name[i].warning[0] != '\0')
			pen_warning("%s", a->name[i].warning);
	}
}

static void answered(struct pen_call *call)
{
	struct resolve *r = (struct resolve *)call;
	const struct pen_hop_answer *a = r->answer;
	struct pen_route_result result = {
		.status = a->status,
		.ttl = a->ttl_s * PEN_US_PER_S,
	};

	struct site_hosts hosts;

	warn(a);
	if (pen_dsn_ok(&a->status)) {
		result.site_key = pen_span_cstr(a->site_key);
		if (result.site_key.n > PEN_SITE_KEY_MAX)
			result.site_key.n = PEN_SITE_KEY_MAX;
		fill_hosts(&result, a);
		site_hosts_find(&hosts, a->hosts->site, a->hosts->host[0].port);
		result.site_name = pen_span_cstr(hosts.name);
		result.mx = hosts.mx;
		result.nmx = hosts.n;
	}
	pen_sched_on_resolved(r->g->sched, r->token, &result);
	pen_hop_answer_free(r->answer);
	free(r);
}

static void answered_elsewhere(void *ctx, struct pen_hop_answer *answer)
{
	struct resolve *r = ctx;

	r->answer = answer;
	pen_inbox_post(&r->g->inbox, &r->call);
}

void pen_resolve_op(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	struct pen_gateway *g = ctx;
	struct resolve *r = calloc(1, sizeof(*r));
	struct pen_hop_question q = {
		.nexthop = nexthop,
		.demand = demand,
		.lmtp = pen_span_eq(transport, PEN_SPAN_LIT("lmtp")),
		.relay = pen_span_eq(nexthop, pen_span_cstr(g->relayhost)),
	};

	if (r == NULL)
		return; // the scheduler's own time-out asks again
	*r = (struct resolve){.call = {.fn = answered}, .g = g, .token = token};
	if (pen_hop_lookup(&g->hop, &q, answered_elsewhere, r) != 0)
		free(r);
}
