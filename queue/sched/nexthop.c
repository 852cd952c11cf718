// SPDX-License-Identifier: BSD-3-Clause

// Next hops: what recipients are grouped by, and what is resolved. Mail that
// makes another demand on TLS has next hops of its own, and so has mail that needs
// SMTPUTF8: when no host takes it, nothing else that waits there is to bounce.
//
// An answer holds for its time to live. Jobs wait here while the resolver
// works; then they go to the site that the answer names. A site sends jobs
// back when the answer has become too old before a connection was opened.
//
// While a domain is suspended, mail whose recipients are of it has a next hop that
// leads nowhere, whatever route it would take. It is routed when that is over.
#include "backlog.h"
#include "core.h"

#include <ctype.h>
#include <stdlib.h>

#define SETTLE_AT_ONCE 256
#define TTL_MIN (1 * PEN_US_PER_S)
#define TTL_MAX (3600 * PEN_US_PER_S)
#define TTL_SOFT_MAX (60 * PEN_US_PER_S) // how long a temporary failure is believed
#define ASKED_MAX 1000                   // questions that are with the resolver
#define HOLDING PEN_SPAN_LIT(":")        // a transport that no route can name

bool nexthop_fresh(const struct pen_sched *s, const struct nexthop *nh)
{
	return nh->state == NEXTHOP_ROUTED && s->now < nh->expires;
}

static bool nexthop_failed(const struct pen_sched *s, const struct nexthop *nh)
{
	return nh->state == NEXTHOP_FAILED && s->now < nh->expires && nh->epoch == s->epoch;
}

static struct nexthop *nexthop_new(
	struct pen_sched *s, struct pen_span name, uint16_t transport_len, uint64_t hash)
{
	struct nexthop *nh = calloc(1, sizeof(*nh) + name.n);

	if (nh == NULL)
		return NULL;
	memcpy(nh->name, name.p, name.n);
	nh->len = (uint16_t)name.n;
	nh->transport_len = transport_len;
	nh->lmtp = pen_span_eq(pen_span(nh->name, transport_len), PEN_SPAN_LIT("lmtp"));
	nh->node.hash = hash;
	nh->used = s->now;
	link_init(&nh->waiting);
	nh->timer.kind = TIMER_NEXTHOP;
	nh->waiter.kind = WAITER_NEXTHOP;
	pen_shape_waiter_init(&nh->waiter.shape);
	pen_wheel_node_init(&nh->timer.node);
	pen_wheel_arm(&s->wheel, &nh->timer.node, s->now + s->cfg.route_keep);
	table_put(&s->nexthops, &nh->node);
	return nh;
}

bool nexthop_leads(const struct nexthop *nh, const struct site *site)
{
	return (nh->state == NEXTHOP_ROUTED || nh->state == NEXTHOP_RESOLVING) && nh->site == site;
}

static uint16_t find_transport(const struct pen_sched *s, struct pen_span name)
{
	for (uint32_t i = 0; i < s->cfg.ntransports; i++) {
		if (pen_span_eq(pen_span_cstr(s->cfg.transport[i].name), name))
			return (uint16_t)(i + 1);
	}
	return 0;
}

const struct pen_sched_transport *nexthop_transport(
	const struct pen_sched *s, const struct nexthop *nh)
{
	return nh->transport != 0 ? &s->cfg.transport[nh->transport - 1] : NULL;
}

uint32_t nexthop_recipients(const struct pen_sched *s, const struct nexthop *nh)
{
	const struct pen_sched_transport *t = nexthop_transport(s, nh);

	if (nh->site != NULL && nh->site->recipients != 0)
		return nh->site->recipients;
	return t != NULL && t->recipient_limit != 0 ? t->recipient_limit : s->cfg.recipient_limit;
}

// The domain of the next hop: without a port, and not in brackets.
static struct pen_span domain_of(const struct nexthop *nh)
{
	struct pen_span name =
		pen_span(nh->name + nh->transport_len, (size_t)(nh->len - nh->transport_len));
	const uint8_t *colon = name.n > 0 ? memrchr(name.p, ':', name.n) : NULL;

	return colon != NULL && name.p[0] != '[' ? pen_span(name.p, (size_t)(colon - name.p))
						 : name;
}

bool nexthop_open(struct pen_sched *s, const struct nexthop *nh, struct pen_shape_block *why)
{
	return !nh->holds || s->cfg.shape == NULL ||
	       pen_shape_domain_open(s->cfg.shape, domain_of(nh), s->now, why);
}

static bool is_hop(const struct nexthop *nh, struct pen_span name, size_t transport_len,
	enum pen_tls_demand demand, bool utf8, uint32_t pool)
{
	return nh->transport_len == transport_len && nh->demand == demand && nh->utf8 == utf8 &&
	       nh->pool == pool && pen_span_eq(pen_span(nh->name, nh->len), name);
}

// The name as it is kept: the transport, and the next hop in lower case.
static struct pen_span hop_name(const struct pen_sched_hop *hop, char name[PEN_HOP_TEXT_MAX])
{
	size_t tl = hop->transport.n, len = tl + hop->nexthop.n;

	PEN_ASSERT(len <= PEN_HOP_TEXT_MAX);
	if (tl > 0)
		memcpy(name, hop->transport.p, tl);
	for (size_t i = 0; i < hop->nexthop.n; i++) {
		uint8_t c = hop->nexthop.p[i];
		name[tl + i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return pen_span(name, len);
}

static struct nexthop *lookup(const struct pen_sched *s, struct pen_span name, size_t tl,
	enum pen_tls_demand demand, bool utf8, uint32_t pool, uint64_t *hash)
{
	*hash = pen_siphash(&s->key, name.p, name.n) + tl * 8 + demand * 2 + utf8 +
		(uint64_t)pool * 65537;
	for (struct table_node *n = table_chain(&s->nexthops, *hash); n != NULL; n = n->next) {
		struct nexthop *nh = LINK_OF(n, struct nexthop, node);
		if (n->hash == *hash && is_hop(nh, name, tl, demand, utf8, pool))
			return nh;
	}
	return NULL;
}

const struct nexthop *nexthop_known(const struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8, uint32_t pool)
{
	char text[PEN_HOP_TEXT_MAX];
	uint64_t hash;

	return lookup(s, hop_name(hop, text), hop->transport.n, demand, utf8, pool, &hash);
}

struct nexthop *nexthop_find(struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8, uint32_t pool, struct nexthop *hint)
{
	char text[PEN_HOP_TEXT_MAX];
	size_t tl = hop->transport.n;
	struct pen_span name = hop_name(hop, text);
	uint64_t hash;

	if (hint != NULL && is_hop(hint, name, tl, demand, utf8, pool))
		return hint;
	struct nexthop *nh = lookup(s, name, tl, demand, utf8, pool, &hash);
	if (nh != NULL)
		return nh;
	nh = nexthop_new(s, name, (uint16_t)tl, hash);
	if (nh != NULL) {
		nh->demand = (uint8_t)demand;
		nh->utf8 = utf8;
		nh->pool = pool;
		nh->transport = find_transport(s, hop->transport);
	}
	return nh;
}

struct nexthop *nexthop_holding(struct pen_sched *s, struct pen_span domain)
{
	const struct pen_sched_hop hop = {HOLDING, domain};
	struct nexthop *nh = nexthop_find(s, &hop, PEN_DEMAND_NONE, false, 0, NULL);

	if (nh != NULL)
		nh->holds = true;
	return nh;
}

static void forget_hint(const struct nexthop *nh)
{
	if (nh->site->hint == nh)
		nh->site->hint = NULL;
}

void nexthop_free(struct pen_sched *s, struct nexthop *nh)
{
	PEN_ASSERT(nh->njobs == 0 && link_empty(&nh->waiting));
	if (s->cfg.shape != NULL)
		pen_shape_cancel(s->cfg.shape, &nh->waiter.shape);
	if (nh->state == NEXTHOP_RESOLVING)
		table_remove(&s->resolving, &nh->token);
	if (nh->site != NULL) {
		forget_hint(nh);
		site_unref(s, nh->site);
	}
	pen_note_put(nh->why);
	link_remove(&nh->settling);
	pen_wheel_disarm(&s->wheel, &nh->timer.node);
	table_remove(&s->nexthops, &nh->node);
	free(nh);
}

static void nexthop_resolve(struct pen_sched *s, struct nexthop *nh)
{
	nh->state = NEXTHOP_RESOLVING;
	nh->token.hash = ++s->token;
	table_put(&s->resolving, &nh->token);
	pen_wheel_arm(&s->wheel, &nh->timer.node, s->now + s->cfg.resolve_timeout);
	s->ops.resolve(s->ctx, pen_span(nh->name, nh->transport_len),
		pen_span(nh->name + nh->transport_len, (size_t)(nh->len - nh->transport_len)),
		(enum pen_tls_demand)nh->demand, nh->token.hash);
}

static void route_failed(struct pen_sched *s, struct nexthop *nh, struct job *j, struct entry *e)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_ROUTE};

	if (nh->why != NULL)
		pen_note_to_dsn(nh->why, &d);
	else
		pen_dsn_set(&d, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"the next hop could not be resolved");
	if (j != NULL)
		job_finish(s, j, &r);
	else
		entry_fail(s, e, &r);
}

// To its site, its route or its end: a job, or a message without one.
static void pass_on(struct pen_sched *s, struct nexthop *nh, struct job *j, struct entry *e)
{
	if (nh->holds && j != NULL)
		job_reroute(s, j, false);
	else if (nh->holds)
		entry_route(s, e);
	else if (nh->state != NEXTHOP_ROUTED)
		route_failed(s, nh, j, e);
	else if (j != NULL)
		site_push(s, nh->site, j);
	else
		site_offer(s, nh->site, nh, e);
}

static void put_ware(struct pen_sched *s, struct nexthop *nh, struct ware *w, unsigned job)
{
	w->at = (uintptr_t)nh | WARE_NEXTHOP | job;
	link_push_back(&nh->waiting, &w->link);
	nh->nwaiting++;
	s->jobs_resolving++;
	s->nresolving += job == 0;
}

void nexthop_take(struct pen_sched *s, struct nexthop *nh, struct ware *w)
{
	link_remove(&w->link);
	nh->nwaiting--;
	s->jobs_resolving--;
	s->nresolving -= !ware_is_job(w);
	if (ware_is_job(w))
		LINK_OF(w, struct job, ware)->state = JOB_NEW;
}

// Waits until the domain is no longer suspended.
static bool stop_here(struct pen_sched *s, struct nexthop *nh)
{
	struct pen_shape_block why;

	if (nexthop_open(s, nh, &why))
		return false;
	link_remove(&nh->settling);
	pen_shape_wait(s->cfg.shape, &nh->waiter.shape, &why);
	return true;
}

// Does what can be done for those that wait.
static void go_on(struct pen_sched *s, struct nexthop *nh)
{
	if (link_empty(&nh->waiting) || nh->state == NEXTHOP_RESOLVING || link_in(&nh->settling) ||
		pen_shape_waiting(&nh->waiter.shape) || stop_here(s, nh))
		return;
	if (nh->holds || nexthop_fresh(s, nh) || nexthop_failed(s, nh)) {
		link_push_back(&s->settling, &nh->settling);
		nexthop_settle(s, nh, SETTLE_AT_ONCE);
	} else if (nexthop_may_ask(s)) {
		nexthop_resolve(s, nh);
	} else {
		link_push_back(&s->unasked, &nh->settling);
	}
}

bool nexthop_may_ask(const struct pen_sched *s)
{
	return s->resolving.n < ASKED_MAX;
}

uint32_t nexthop_ask(struct pen_sched *s, uint32_t budget)
{
	uint32_t n = 0;

	for (; n < budget && nexthop_may_ask(s) && !link_empty(&s->unasked); n++)
		go_on(s, LINK_OF(link_pop(&s->unasked), struct nexthop, settling));
	return n;
}

void nexthop_wake(struct pen_sched *s, struct nexthop *nh)
{
	go_on(s, nh);
}

void nexthop_refresh(struct pen_sched *s, struct nexthop *nh)
{
	if (nh->state != NEXTHOP_RESOLVING && !link_in(&nh->settling))
		nexthop_resolve(s, nh);
}

// Nobody waits here, so this one need not.
static bool at_once(struct pen_sched *s, struct nexthop *nh)
{
	nh->used = s->now;
	return link_empty(&nh->waiting) && (nexthop_fresh(s, nh) || nexthop_failed(s, nh));
}

void nexthop_enqueue(struct pen_sched *s, struct nexthop *nh, struct job *j)
{
	if (at_once(s, nh)) {
		pass_on(s, nh, j, NULL);
		return;
	}
	j->state = JOB_RESOLVING;
	put_ware(s, nh, &j->ware, WARE_JOB);
	go_on(s, nh);
}

void nexthop_offer(struct pen_sched *s, struct nexthop *nh, struct entry *e)
{
	if (at_once(s, nh)) {
		pass_on(s, nh, NULL, e);
	} else if (link_empty(&nh->waiting) && nh->state != NEXTHOP_RESOLVING && !nh->holds &&
		   !nexthop_may_ask(s)) {
		backlog_push(s, e);
	} else {
		entry_wait(s, e);
		put_ware(s, nh, &e->ware, 0);
		go_on(s, nh);
	}
}

uint32_t nexthop_settle(struct pen_sched *s, struct nexthop *nh, uint32_t budget)
{
	uint32_t n = 0;

	while (n < budget && nh->state != NEXTHOP_RESOLVING && !link_empty(&nh->waiting) &&
		!stop_here(s, nh)) {
		struct ware *w = LINK_OF(nh->waiting.next, struct ware, link);
		n++;
		struct job *j = ware_is_job(w) ? LINK_OF(w, struct job, ware) : NULL;
		struct entry *e = j == NULL ? LINK_OF(w, struct entry, ware) : NULL;
		if (j != NULL)
			nexthop_take(s, nh, w);
		else
			entry_unwait(s, e);
		pass_on(s, nh, j, e);
	}
	if (link_empty(&nh->waiting))
		link_remove(&nh->settling);
	return n;
}

static pen_time_us clamp(pen_time_us t, pen_time_us lo, pen_time_us hi)
{
	return t < lo ? lo : t > hi ? hi : t;
}

static void nexthop_fail(
	struct pen_sched *s, struct nexthop *nh, const struct pen_dsn *why, pen_time_us ttl)
{
	nh->state = NEXTHOP_FAILED;
	nh->epoch = s->epoch;
	nh->why = pen_note_get(why, "", 0);
	nh->expires = s->now + clamp(ttl, TTL_MIN, why->klass == 5 ? TTL_MAX : TTL_SOFT_MAX);
}

static void nexthop_answer(
	struct pen_sched *s, struct nexthop *nh, const struct pen_route_result *result)
{
	struct pen_dsn why;
	struct site *old = nh->site;

	table_remove(&s->resolving, &nh->token);
	pen_note_put(nh->why);
	nh->why = NULL;
	if (old != NULL)
		forget_hint(nh);
	nh->site = NULL;
	if (!pen_dsn_ok(&result->status)) {
		nexthop_fail(s, nh, &result->status, result->ttl);
	} else {
		PEN_ASSERT(result->nhosts > 0 && result->nhosts <= PEN_ROUTE_HOSTS_MAX);
		PEN_ASSERT(result->site_key.n <= PEN_SITE_KEY_MAX);
		nh->site = site_find(s, nh, result);
		if (nh->site != NULL) {
			site_ref(nh->site);
			nh->state = NEXTHOP_ROUTED;
			if (nh->site->shape != NULL)
				pen_shape_site_domain(s->cfg.shape, nh->site->shape, domain_of(nh));
			nh->expires = s->now + clamp(result->ttl, TTL_MIN, TTL_MAX);
		} else {
			pen_dsn_set(&why, 4, 3, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
				"out of memory");
			nexthop_fail(s, nh, &why, 0);
		}
	}
	pen_wheel_arm(&s->wheel, &nh->timer.node, s->now + s->cfg.route_keep);
	if (!link_empty(&nh->waiting)) {
		if (!link_in(&nh->settling))
			link_push_back(&s->settling, &nh->settling);
		nexthop_settle(s, nh, SETTLE_AT_ONCE);
	}
	if (old != NULL) {
		// What waits there may go on, or has to follow.
		site_kick(s, old);
		site_unref(s, old);
	}
}

void pen_sched_on_resolved(
	struct pen_sched *s, uint64_t token, const struct pen_route_result *result)
{
	struct table_node *n = table_chain(&s->resolving, token);

	while (n != NULL && n->hash != token)
		n = n->next;
	if (n != NULL)
		nexthop_answer(s, LINK_OF(n, struct nexthop, token), result);
}

void nexthop_timer(struct pen_sched *s, struct nexthop *nh)
{
	if (nh->state == NEXTHOP_RESOLVING) {
		struct pen_route_result r = {.ttl = TTL_MIN};
		pen_dsn_set(&r.status, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"the resolver did not answer in time");
		nexthop_answer(s, nh, &r);
		return;
	}
	pen_time_us until = nh->used + s->cfg.route_keep;
	if (until < nh->expires)
		until = nh->expires;
	if (nh->njobs == 0 && nh->nwaiting == 0 && s->now >= until)
		nexthop_free(s, nh);
	else
		pen_wheel_arm(&s->wheel, &nh->timer.node,
			until > s->now ? until : s->now + s->cfg.route_keep);
}
