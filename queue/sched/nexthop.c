// SPDX-License-Identifier: BSD-3-Clause

// Next hops: what recipients are grouped by, and what is resolved. Mail that
// makes another demand on TLS has next hops of its own, and so has mail that needs
// SMTPUTF8: when no host takes it, nothing else that waits there is to bounce.
//
// An answer holds for its time to live. Jobs wait here while the resolver
// works; then they go to the site that the answer names. A site sends jobs
// back when the answer has become too old before a connection was opened.
#include "core.h"

#include <ctype.h>
#include <stdlib.h>

#define SETTLE_AT_ONCE 256
#define TTL_MIN (1 * PEN_US_PER_S)
#define TTL_MAX (3600 * PEN_US_PER_S)
#define TTL_SOFT_MAX (60 * PEN_US_PER_S) // how long a temporary failure is believed

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
	pen_wheel_node_init(&nh->timer.node);
	pen_wheel_arm(&s->wheel, &nh->timer.node, s->now + s->cfg.route_keep);
	table_put(&s->nexthops, &nh->node);
	return nh;
}

// The one of this name, or NULL; the name and its hash are for making it.
static struct nexthop *lookup(const struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8, char name[PEN_HOP_TEXT_MAX], uint64_t *hash)
{
	size_t tl = hop->transport.n, len = tl + hop->nexthop.n;

	PEN_ASSERT(len <= PEN_HOP_TEXT_MAX);
	if (tl > 0)
		memcpy(name, hop->transport.p, tl);
	for (size_t i = 0; i < hop->nexthop.n; i++) {
		uint8_t c = hop->nexthop.p[i];
		name[tl + i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	*hash = pen_siphash(&s->key, name, len) + tl * 8 + demand * 2 + utf8;
	for (struct table_node *n = table_chain(&s->nexthops, *hash); n != NULL; n = n->next) {
		struct nexthop *nh = LINK_OF(n, struct nexthop, node);
		if (n->hash == *hash && nh->len == len && nh->transport_len == tl &&
			nh->demand == demand && nh->utf8 == utf8 &&
			memcmp(nh->name, name, len) == 0)
			return nh;
	}
	return NULL;
}

const struct nexthop *nexthop_known(const struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8)
{
	char name[PEN_HOP_TEXT_MAX];
	uint64_t hash;

	return lookup(s, hop, demand, utf8, name, &hash);
}

struct nexthop *nexthop_find(
	struct pen_sched *s, const struct pen_sched_hop *hop, enum pen_tls_demand demand, bool utf8)
{
	char name[PEN_HOP_TEXT_MAX];
	uint64_t hash;
	struct nexthop *nh = lookup(s, hop, demand, utf8, name, &hash);

	if (nh != NULL)
		return nh;
	nh = nexthop_new(s, pen_span(name, hop->transport.n + hop->nexthop.n),
		(uint16_t)hop->transport.n, hash);
	if (nh != NULL) {
		nh->demand = (uint8_t)demand;
		nh->utf8 = utf8;
	}
	return nh;
}

void nexthop_free(struct pen_sched *s, struct nexthop *nh)
{
	PEN_ASSERT(nh->njobs == 0);
	if (nh->state == NEXTHOP_RESOLVING)
		table_remove(&s->resolving, &nh->token);
	if (nh->site != NULL)
		site_unref(s, nh->site);
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

static void job_route_failed(struct pen_sched *s, struct nexthop *nh, struct job *j)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_ROUTE};

	if (nh->why != NULL)
		pen_note_to_dsn(nh->why, &d);
	else
		pen_dsn_set(&d, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"the next hop could not be resolved");
	job_finish(s, j, &r);
}

void nexthop_enqueue(struct pen_sched *s, struct nexthop *nh, struct job *j)
{
	nh->used = s->now;
	if (link_empty(&nh->waiting)) {
		if (nexthop_fresh(s, nh)) {
			site_push(s, nh->site, j);
			return;
		}
		if (nexthop_failed(s, nh)) {
			job_route_failed(s, nh, j);
			return;
		}
	}
	j->state = JOB_RESOLVING;
	link_push_back(&nh->waiting, &j->queue);
	s->jobs_resolving++;
	if (nh->state != NEXTHOP_RESOLVING && !link_in(&nh->settling))
		nexthop_resolve(s, nh);
}

uint32_t nexthop_settle(struct pen_sched *s, struct nexthop *nh, uint32_t budget)
{
	uint32_t n = 0;

	while (n < budget && nh->state != NEXTHOP_RESOLVING && !link_empty(&nh->waiting)) {
		struct job *j = LINK_OF(nh->waiting.next, struct job, queue);
		link_remove(&j->queue);
		s->jobs_resolving--;
		j->state = JOB_NEW;
		n++;
		if (nh->state == NEXTHOP_ROUTED)
			site_push(s, nh->site, j);
		else
			job_route_failed(s, nh, j);
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
			nh->expires = s->now + clamp(result->ttl, TTL_MIN, TTL_MAX);
		} else {
			pen_dsn_set(&why, 4, 3, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
				"out of memory");
			nexthop_fail(s, nh, &why, 0);
		}
	}
	if (old != NULL)
		site_unref(s, old);
	pen_wheel_arm(&s->wheel, &nh->timer.node, s->now + s->cfg.route_keep);
	if (link_empty(&nh->waiting))
		return;
	if (!link_in(&nh->settling))
		link_push_back(&s->settling, &nh->settling);
	nexthop_settle(s, nh, SETTLE_AT_ONCE);
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
	if (nh->njobs == 0 && s->now >= until)
		nexthop_free(s, nh);
	else
		pen_wheel_arm(&s->wheel, &nh->timer.node,
			until > s->now ? until : s->now + s->cfg.route_keep);
}
