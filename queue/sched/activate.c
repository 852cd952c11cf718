// SPDX-License-Identifier: BSD-3-Clause

// The beginning of a pass: recipients are routed and grouped into jobs.
//
// A message that needs one transaction only (nearly all do) has no job while it
// waits, for the resolver or behind others at its site: it stands in the queue
// itself, and gets its job when there is room (entry_promote).
#include "backlog.h"
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
	struct pen_span addr = pen_recipient_addr(&e->m->rcpt[rcpt]);

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
		pen_message_needs_utf8(e->m, pen_recipient_addr(&e->m->rcpt[rcpt])),
		owner_pool(s, e->m->klass));
	return nh != NULL ? nh->site : NULL;
}

bool rcpt_held(struct pen_sched *s, struct pen_span addr, struct pen_shape_block *why)
{
	struct pen_span domain = domain_of(addr);

	return s->cfg.shape != NULL && domain.n < PEN_HOP_TEXT_MAX &&
	       !pen_shape_domain_open(s->cfg.shape, domain, s->now, why);
}

bool job_held(struct pen_sched *s, const struct job *j)
{
	struct pen_shape_block why;

	for (uint32_t i = 0; i < j->nrcpt; i++) {
		if (rcpt_held(s, pen_recipient_addr(&j->entry->m->rcpt[j->rcpt[i]]), &why))
			return true;
	}
	return false;
}

// NULL: *why.
static struct nexthop *find_hop(struct pen_sched *s, const struct entry *e, uint32_t i,
	struct nexthop *hint, struct pen_dsn *why)
{
	struct pen_span addr = pen_recipient_addr(&e->m->rcpt[i]);
	struct pen_sched_hop hop = {{NULL, 0}, {NULL, 0}};
	struct pen_shape_block held;

	if (!entry_hop(s, e, i, &hop, why)) {
		PEN_ASSERT(why->klass != 0); // 2: the route discards mail
		return NULL;
	}
	if (hop.nexthop.n == 0 || hop.nexthop.n + hop.transport.n > PEN_HOP_TEXT_MAX) {
		pen_dsn_set(why, 5, 1, 2, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"bad recipient domain");
		return NULL;
	}
	struct nexthop *nh = rcpt_held(s, addr, &held)
				     ? nexthop_holding(s, domain_of(addr))
				     : nexthop_find(s, &hop, pen_message_demand(e->m->flags),
					       pen_message_needs_utf8(e->m, addr),
					       owner_pool(s, e->m->klass), hint);
	if (nh == NULL)
		pen_dsn_set(why, 4, 3, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"out of memory");
	return nh;
}

// The next hop, or NULL when the recipient got its result here.
static struct nexthop *route_rcpt(struct pen_sched *s, struct entry *e, uint32_t i)
{
	struct pen_dsn why;
	struct nexthop *nh = find_hop(s, e, i, NULL, &why);

	if (nh == NULL) {
		struct result r = {.dsn = &why, .source = PEN_TROUBLE_ROUTE};
		result_apply(s, e, i, &r);
		result_fini(&r);
	}
	return nh;
}

// Where the recipients go, into s->hop. *only: the next hop of all, or NULL when
// there are several or a recipient got its result here.
static uint32_t count_hops(struct pen_sched *s, struct entry *e, struct nexthop **only)
{
	uint32_t n = 0;
	bool same = true;

	*only = NULL;
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		s->hop[i] = NULL;
		if (!entry_rcpt_due(s, e, i))
			continue;
		struct nexthop *nh = s->hop[i] = route_rcpt(s, e, i);
		same = same && nh != NULL && (n == 0 || nh == *only);
		if (nh == NULL)
			continue;
		*only = nh;
		nh->batch_left++;
		n++;
	}
	if (!same)
		*only = NULL;
	return n;
}

// How many recipients go into one transaction. With VERP each has a sender of its own.
static uint32_t batch_limit(
	const struct pen_sched *s, const struct entry *e, const struct nexthop *nh)
{
	bool verp = e->m->extra != NULL && e->m->extra->verp[0] != '\0';

	return verp ? 1 : nexthop_recipients(s, nh);
}

// The job at its next hop that the recipient joins; *made: it is not linked yet.
static struct job *batch_job(
	struct pen_sched *s, struct entry *e, struct nexthop *nh, struct job **made)
{
	*made = NULL;
	if (nh->batch != NULL)
		return nh->batch;
	uint32_t limit = batch_limit(s, e, nh);
	uint32_t cap = nh->batch_left < limit ? nh->batch_left : limit;
	nh->batch = *made = job_new(e, nh, cap);
	nh->batch_cap = cap;
	return nh->batch;
}

// Puts recipient i into a job for s->hop[i], which was counted in batch_left.
// The job when it is a new one.
static struct job *put_rcpt(struct pen_sched *s, struct entry *e, uint32_t i)
{
	struct nexthop *nh = s->hop[i];
	struct job *made, *j = batch_job(s, e, nh, &made);

	nh->batch_left--;
	if (j == NULL) {
		struct pen_dsn why;
		struct result r = {.dsn = &why, .source = PEN_TROUBLE_ROUTE};
		pen_dsn_set(&why, 4, 3, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"out of memory");
		result_apply(s, e, i, &r);
		result_fini(&r);
		return NULL;
	}
	j->rcpt[j->nrcpt++] = i;
	if (j->nrcpt == nh->batch_cap || nh->batch_left == 0)
		nh->batch = NULL;
	return made;
}

// Groups the recipients in their order; jobs are chained in that order too.
static void make_jobs(struct pen_sched *s, struct entry *e)
{
	struct job **tail = &e->jobs;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		struct job *j = s->hop[i] != NULL ? put_rcpt(s, e, i) : NULL;
		if (j == NULL)
			continue;
		j->sibling_at = tail;
		*tail = j;
		tail = &j->sibling;
	}
}

static void start_jobs(struct pen_sched *s, struct entry *e)
{
	struct job *next;

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

void entry_route(struct pen_sched *s, struct entry *e)
{
	struct nexthop *only;
	uint32_t n = count_hops(s, e, &only);

	if (only != NULL && n <= batch_limit(s, e, only)) {
		only->batch_left = 0;
		nexthop_offer(s, only, e);
		return;
	}
	if (n > 0)
		make_jobs(s, e);
	// Some may have ended here: the next record may be about another message.
	if (s->nchanges > 0)
		entry_record(s, e, false);
	start_jobs(s, e);
}

// Made and linked, but in no queue yet. How many there are.
static uint32_t regroup(struct pen_sched *s, struct entry *e, const struct job *old, bool front)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < old->nrcpt; k++) {
		uint32_t i = old->rcpt[k];
		s->hop[i] = route_rcpt(s, e, i);
		if (s->hop[i] != NULL)
			s->hop[i]->batch_left++;
	}
	for (uint32_t k = 0; k < old->nrcpt; k++) {
		struct job *j = s->hop[old->rcpt[k]] != NULL ? put_rcpt(s, e, old->rcpt[k]) : NULL;
		if (j == NULL)
			continue;
		j->front = front;
		job_link(e, j);
		n++;
	}
	return n;
}

void job_reroute(struct pen_sched *s, struct job *j, bool front)
{
	struct entry *e = j->entry;
	struct job *next;

	if (j->state == JOB_READY)
		flow_take(s, ware_flow(&j->ware), &j->ware);
	e->guard++;
	uint32_t n = regroup(s, e, j, front);
	job_free(s, j);
	if (s->nchanges > 0)
		entry_record(s, e, false);
	// The new ones are the first; see start_jobs.
	for (struct job *k = e->jobs; n > 0; k = next, n--) {
		next = k->sibling;
		nexthop_enqueue(s, k->nexthop, k);
	}
	e->guard--;
	entry_check(s, e);
}

void entry_activate(struct pen_sched *s, struct entry *e)
{
	PEN_ASSERT(e->jobs == NULL && e->failures == NULL);
	entry_set_state(s, e, ENTRY_ACTIVE);
	e->active_at = s->now;
	if (e->m->next_attempt < s->wall)
		e->m->next_attempt = s->wall; // of this pass: see entry_rcpt_due
	entry_arm_next(s, e);
	entry_route(s, e);
}

void entry_wait(struct pen_sched *s, struct entry *e)
{
	PEN_ASSERT(e->state == ENTRY_ACTIVE && e->jobs == NULL);
	entry_set_state(s, e, ENTRY_WAITING);
	e->ware = (struct ware){.link = {NULL, NULL}};
}

void entry_unwait(struct pen_sched *s, struct entry *e)
{
	struct ware *w = &e->ware;
	void *where = (void *)(w->at & ~(uintptr_t)WARE_BITS);

	PEN_ASSERT(e->state == ENTRY_WAITING);
	switch (w->at & WARE_PLACE) {
	case WARE_BACKLOG:
		backlog_take(s, e);
		break;
	case WARE_NEXTHOP:
		nexthop_take(s, where, w);
		break;
	case WARE_FLOW:
		flow_take(s, where, w);
		break;
	}
	entry_set_state(s, e, ENTRY_ACTIVE);
	e->active_at = s->now;
}

// The next hop of all that are due, or NULL.
static struct nexthop *only_hop(struct pen_sched *s, const struct entry *e, struct nexthop *hint)
{
	struct nexthop *only = NULL;
	struct pen_dsn why;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (!entry_rcpt_due(s, e, i))
			continue;
		struct nexthop *nh = find_hop(s, e, i, hint, &why);
		if (nh == NULL || (only != NULL && nh != only))
			return NULL;
		only = nh;
	}
	return only;
}

// One job of all that are due.
struct job *entry_job(struct pen_sched *s, struct entry *e, struct nexthop *nh)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->m->nrcpt; i++)
		n += entry_rcpt_due(s, e, i);
	struct job *j = n > 0 && n <= batch_limit(s, e, nh) ? job_new(e, nh, n) : NULL;
	if (j == NULL)
		return NULL;
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (entry_rcpt_due(s, e, i))
			j->rcpt[j->nrcpt++] = i;
	}
	job_link(e, j);
	return j;
}

struct job *entry_promote(struct pen_sched *s, struct entry *e)
{
	struct site *site = ware_flow(&e->ware)->site;
	struct nexthop *nh = only_hop(s, e, site->hint);
	struct job *j = nh != NULL && nexthop_leads(nh, site) ? entry_job(s, e, nh) : NULL;

	if (j == NULL) {
		entry_unwait(s, e);
		entry_route(s, e);
		return NULL;
	}
	nh->used = s->now;
	site->hint = nh;
	flow_replace(s, e, j);
	entry_set_state(s, e, ENTRY_ACTIVE);
	e->active_at = s->now;
	return j;
}

void entry_fail(struct pen_sched *s, struct entry *e, struct result *r)
{
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (entry_rcpt_due(s, e, i))
			result_apply(s, e, i, r);
	}
	result_fini(r);
	entry_check(s, e);
}
