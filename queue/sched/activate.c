// SPDX-License-Identifier: BSD-3-Clause

// The beginning of a pass: recipients are routed and grouped into jobs.
#include "core.h"

static struct pen_span domain_of(struct pen_span addr)
{
	const uint8_t *at = addr.n > 0 ? memrchr(addr.p, '@', addr.n) : NULL;

	return at != NULL ? pen_span(at + 1, addr.n - (size_t)(at + 1 - addr.p))
			  : pen_span(NULL, 0);
}

// "transport:nexthop", as an operator or a header gave it.
static void named_hop(const char *route, struct pen_sched_hop *hop)
{
	const char *colon = strchr(route, ':');
	size_t n = colon != NULL ? (size_t)(colon - route) : 0;

	hop->transport = n > 0 ? pen_span(route, n) : PEN_SPAN_LIT("smtp");
	hop->nexthop = pen_span_cstr(colon != NULL ? colon + 1 : route);
}

bool entry_hop(struct pen_sched *s, const struct entry *e, uint32_t rcpt, struct pen_sched_hop *hop,
	struct pen_dsn *why)
{
	struct pen_span addr = e->m->rcpt[rcpt].addr;

	if (e->m->extra == NULL || e->m->extra->route[0] == '\0')
		return s->ops.route(s->ctx, addr, domain_of(addr), hop, why);
	named_hop(e->m->extra->route, hop);
	return true;
}

struct site *entry_site(struct pen_sched *s, const struct entry *e, uint32_t rcpt)
{
	struct pen_sched_hop hop = {{NULL, 0}, {NULL, 0}};
	struct pen_dsn why;

	if (!entry_hop(s, e, rcpt, &hop, &why) || hop.nexthop.n == 0 ||
		hop.nexthop.n + hop.transport.n > PEN_HOP_TEXT_MAX)
		return NULL;
	const struct nexthop *nh = nexthop_known(s, &hop, pen_message_demand(e->m->flags),
		pen_message_needs_utf8(e->m, e->m->rcpt[rcpt].addr));
	return nh != NULL ? nh->site : NULL;
}

// The next hop, or NULL when the recipient got its result here.
static struct nexthop *route_rcpt(struct pen_sched *s, struct entry *e, uint32_t i)
{
	struct pen_span addr = e->m->rcpt[i].addr;
	struct pen_sched_hop hop = {{NULL, 0}, {NULL, 0}};
	struct pen_dsn why;
	struct nexthop *nh = NULL;

	if (!entry_hop(s, e, i, &hop, &why)) {
		PEN_ASSERT(why.klass != 0); // 2: the route discards mail
	} else if (hop.nexthop.n == 0 || hop.nexthop.n + hop.transport.n > PEN_HOP_TEXT_MAX) {
		pen_dsn_set(&why, 5, 1, 2, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"bad recipient domain");
	} else if ((nh = nexthop_find(s, &hop, pen_message_demand(e->m->flags),
			    pen_message_needs_utf8(e->m, addr))) == NULL) {
		pen_dsn_set(&why, 4, 3, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"out of memory");
	}
	if (nh == NULL) {
		struct result r = {.dsn = &why, .source = PEN_TROUBLE_ROUTE};
		result_apply(s, e, i, &r);
		result_fini(&r);
	}
	return nh;
}

static uint32_t count_hops(struct pen_sched *s, struct entry *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		s->hop[i] = NULL;
		if (!entry_rcpt_due(s, e, i))
			continue;
		s->hop[i] = route_rcpt(s, e, i);
		if (s->hop[i] != NULL) {
			s->hop[i]->batch_left++;
			n++;
		}
	}
	return n;
}

// How many recipients go into one transaction. With VERP each has a sender of its own.
static uint32_t batch_limit(const struct pen_sched *s, const struct entry *e)
{
	bool verp = e->m->extra != NULL && e->m->extra->verp[0] != '\0';

	return verp ? 1 : s->cfg.recipient_limit;
}

static struct job *batch_job(
	struct pen_sched *s, struct entry *e, struct nexthop *nh, struct job ***tail)
{
	if (nh->batch != NULL)
		return nh->batch;
	uint32_t limit = batch_limit(s, e);
	uint32_t cap = nh->batch_left < limit ? nh->batch_left : limit;
	struct job *j = job_new(e, nh, cap);
	if (j == NULL)
		return NULL;
	j->sibling_at = *tail;
	**tail = j;
	*tail = &j->sibling;
	nh->batch = j;
	return j;
}

// Groups the recipients in their order; jobs are chained in that order too.
static void make_jobs(struct pen_sched *s, struct entry *e)
{
	struct job **tail = &e->jobs;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		struct nexthop *nh = s->hop[i];
		if (nh == NULL)
			continue;
		struct job *j = batch_job(s, e, nh, &tail);
		nh->batch_left--;
		if (j == NULL) {
			struct pen_dsn why;
			struct result r = {.dsn = &why, .source = PEN_TROUBLE_ROUTE};
			pen_dsn_set(&why, 4, 3, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL,
				PEN_STAGE_NONE, "out of memory");
			result_apply(s, e, i, &r);
			result_fini(&r);
			continue;
		}
		j->rcpt[j->nrcpt++] = i;
		if (j->nrcpt == batch_limit(s, e) || nh->batch_left == 0)
			nh->batch = NULL;
	}
}

void entry_activate(struct pen_sched *s, struct entry *e)
{
	struct job *next;

	PEN_ASSERT(e->njobs == 0 && e->failures == NULL);
	entry_set_state(s, e, ENTRY_ACTIVE);
	e->active_at = s->now;
	entry_arm_next(s, e);
	if (count_hops(s, e) > 0)
		make_jobs(s, e);
	// Some may have ended here: the next record may be about another message.
	if (s->nchanges > 0)
		entry_record(s, e, false);
	// A job may end while it is queued (a dead site, a failed next hop); the
	// ones behind it are not in any queue yet, so `next` stays.
	e->guard++;
	for (struct job *j = e->jobs; j != NULL; j = next) {
		next = j->sibling;
		nexthop_enqueue(s, j->nexthop, j);
	}
	e->guard--;
	entry_check(s, e);
}
