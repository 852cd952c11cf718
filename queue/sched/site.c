// SPDX-License-Identifier: BSD-3-Clause

// A site: its hosts and limits, the queue of ready jobs, and its connections. Whether it is
// dead: site_health.c; how what waits at it ends: site_drain.c.
#include "core.h"
#include "turn.h"

#include <stdlib.h>

#define READY_TOTAL 262144 // jobs that wait at all sites, before each has only its next one
#define REFILL_AT_ONCE 64

static void site_drop_hosts(struct site *site)
{
	for (uint16_t i = 0; i < site->nhosts; i++)
		pen_tls_policy_unref(site->host[i].tls);
	free(site->host);
}

void site_limits(struct pen_sched *s, struct site *site)
{
	const struct pen_limits *l =
		site->shape != NULL ? pen_shape_site_limits(s->cfg.shape, site->shape, s->now)
				    : NULL;
	uint32_t given = l != NULL ? l->given : 0;

	site->limit = given & PEN_LIMIT_CONNECTIONS ? l->connections : site->base_limit;
	site->recipients = given & PEN_LIMIT_RECIPIENTS ? l->recipients : 0;
	site->messages = given & PEN_LIMIT_CONNECTION_MESSAGES ? l->connection_messages : 0;
	site->age = given & PEN_LIMIT_CONNECTION_TIME ? l->connection_time : 0;
	if (site->limit == 0)
		site->limit = 1; // shaping knows that there is none
	if (site->recipients > UINT16_MAX)
		site->recipients = UINT16_MAX;
}

static bool site_set_hosts(struct site *site, const struct pen_route_result *r)
{
	struct site_host *host = malloc(r->nhosts * sizeof(*host));

	if (host == NULL)
		return false;
	for (uint32_t i = 0; i < r->nhosts; i++) {
		const struct pen_route_host *h = &r->host[i];
		host[i] = (struct site_host){.addr = h->addr,
			.port = h->port,
			.preference = h->preference,
			.tls = pen_tls_policy_ref(h->tls)};
	}
	site_drop_hosts(site);
	site->families = 0;
	for (uint32_t i = 0; i < r->nhosts; i++)
		site->families |=
			r->host[i].addr.family == PEN_FAMILY_IP6 ? PEN_SHAPE_IP6 : PEN_SHAPE_IP4;
	site->host = host;
	site->nhosts = (uint16_t)r->nhosts;
	return true;
}

// What a site's limits hold for: its hosts, whoever asks for them.
static bool set_shape(struct pen_sched *s, struct site *site, const struct pen_route_result *r)
{
	char text[PEN_SITE_NAME_MAX + 1];
	struct pen_span name = r->site_name, host[PEN_ROUTE_HOSTS_MAX];
	const struct pen_span *mx = r->mx;
	uint32_t nmx = r->nmx;

	if (s->cfg.shape == NULL)
		return true;
	if (nmx == 0) {
		for (; nmx < r->nhosts; nmx++)
			host[nmx] = pen_span_cstr(r->host[nmx].tls->host);
		mx = host;
	}
	if (name.n == 0)
		name = pen_span(text, pen_site_rollup(mx, nmx, text));
	site->shape = pen_shape_site_get(s->cfg.shape, name, mx, nmx, s->now);
	return site->shape != NULL;
}

static struct site *site_new(struct pen_sched *s, const struct nexthop *nh,
	const struct pen_route_result *r, uint64_t hash)
{
	const struct pen_sched_transport *t = nexthop_transport(s, nh);
	struct pen_span key = r->site_key;
	struct site *site = calloc(1, sizeof(*site) + key.n + 1);

	if (site == NULL || !set_shape(s, site, r)) {
		free(site);
		return NULL;
	}
	memcpy(site->key, key.p, key.n);
	site->key_len = (uint16_t)key.n;
	site->node.hash = hash;
	site->demand = nh->demand;
	site->utf8 = nh->utf8;
	site->lmtp = nh->lmtp;
	site->pool = nh->pool;
	site->transport = nh->transport;
	site->base_limit = t != NULL && t->concurrency_limit != 0 ? t->concurrency_limit
								  : s->cfg.concurrency_limit;
	site->initial = t != NULL && t->initial_concurrency != 0 ? t->initial_concurrency
								 : s->cfg.initial_concurrency;
	link_init(&site->flows);
	link_init(&site->refill);
	link_init(&site->leases);
	flow_init(&site->plain, site, s->nobody);
	site->opener.kind = WAITER_OPEN;
	site->sender.kind = WAITER_SEND;
	pen_shape_waiter_init(&site->opener.shape);
	pen_shape_waiter_init(&site->sender.shape);
	site->timer.kind = TIMER_SITE;
	pen_wheel_node_init(&site->timer.node);
	site_limits(s, site);
	struct pen_feedback_rules rules = site_feedback_rules(s, site);
	pen_feedback_init(&site->feedback, &rules);
	table_put(&s->sites, &site->node);
	link_push_back(&s->all_sites, &site->all);
	return site;
}

// The site of this result, with its hosts brought up to date. NULL: no memory.
// The resolver's key tells demands apart; that mail never shares a connection
// with mail of another demand, protocol or pool is not left to it alone.
struct site *site_find(
	struct pen_sched *s, const struct nexthop *nh, const struct pen_route_result *r)
{
	uint64_t hash = pen_siphash(&s->key, r->site_key.p, r->site_key.n) + nh->demand * 4 +
			nh->utf8 * 2 + nh->lmtp + (uint64_t)nh->pool * 65537;
	struct site *site = NULL;

	for (struct table_node *n = table_chain(&s->sites, hash); n != NULL; n = n->next) {
		struct site *have = LINK_OF(n, struct site, node);
		if (n->hash == hash && have->demand == nh->demand && have->utf8 == nh->utf8 &&
			have->lmtp == nh->lmtp && have->pool == nh->pool &&
			have->transport == nh->transport &&
			pen_span_eq(pen_span(have->key, have->key_len), r->site_key))
			site = have;
	}
	if (site == NULL)
		site = site_new(s, nh, r, hash);
	if (site == NULL || (!site_set_hosts(site, r) && site->host == NULL)) {
		if (site != NULL)
			site_maybe_reap(s, site);
		return NULL;
	}
	return site;
}

void site_free(struct pen_sched *s, struct site *site)
{
	PEN_ASSERT(site->queued == 0 && site->nleases == 0 && site->refs == 0);
	turn_leave(s, site);
	link_remove(&site->drain);
	link_remove(&site->reap);
	link_remove(&site->all);
	pen_wheel_disarm(&s->wheel, &site->timer.node);
	table_remove(&s->sites, &site->node);
	if (site->dead)
		s->ndead--;
	pen_note_put(site->why);
	pen_note_put(site->sentence);
	if (site->refused != NULL)
		lease_free(s, site->refused);
	flow_free_all(s, site);
	if (site->shape != NULL) {
		pen_shape_cancel(s->cfg.shape, &site->opener.shape);
		pen_shape_cancel(s->cfg.shape, &site->sender.shape);
		pen_shape_site_put(s->cfg.shape, site->shape);
	}
	site_drop_hosts(site);
	free(site);
}

bool site_unused(const struct site *site)
{
	return site->refs == 0 && site->nleases == 0 && site->queued == 0 && site->in_flight == 0 &&
	       site->nflows == 0 && !site->dead;
}

// Freed by the next poll, if it is still of no use then.
void site_maybe_reap(struct pen_sched *s, struct site *site)
{
	if (site_unused(site) && !link_in(&site->reap))
		link_push_back(&s->reap, &site->reap);
}

void site_ref(struct site *site)
{
	site->refs++;
	link_remove(&site->reap);
}

void site_unref(struct pen_sched *s, struct site *site)
{
	site->refs--;
	site_maybe_reap(s, site);
}

struct ware *site_first(struct site *site)
{
	struct flow *f = flow_next(site);

	if (f == NULL)
		f = flow_any(site);
	return f != NULL ? flow_head(f) : NULL;
}

static void enqueue(struct pen_sched *s, struct site *site, struct job *j, struct flow *f)
{
	flow_add_job(s, f, j);
	link_remove(&site->reap);
	site_kick(s, site);
}

void site_push(struct pen_sched *s, struct site *site, struct job *j)
{
	if (site->dead && site_may_suspend(s, site)) {
		site->suspended++;
		job_suspend(s, j, site);
		return;
	}
	enqueue(s, site, j, flow_find(s, site, j->entry->m->klass));
}

static bool has_room(const struct pen_sched *s, const struct site *site)
{
	return site->made < s->cfg.ready_limit && s->jobs_ready < READY_TOTAL;
}

void site_offer(struct pen_sched *s, struct site *site, struct nexthop *nh, struct entry *e)
{
	struct flow *f = flow_find(s, site, e->m->klass);
	bool room = site->dead ? site_may_suspend(s, site) : f->nwaiting == 0 && has_room(s, site);
	struct job *j = room ? entry_job(s, e, nh) : NULL;

	if (j != NULL && site->dead) {
		site->suspended++;
		job_suspend(s, j, site);
		return;
	}
	if (j != NULL) {
		enqueue(s, site, j, f);
		return;
	}
	flow_add_entry(s, f, e);
	link_remove(&site->reap);
	site_kick(s, site);
}

void site_refill(struct pen_sched *s, struct site *site)
{
	for (uint32_t n = 0; n < REFILL_AT_ONCE && !link_empty(&site->refill) &&
			     has_room(s, site) && !site->dead && !site_ending(site);
		n++) {
		struct flow *f = LINK_OF(link_pop(&site->refill), struct flow, all);
		link_push_back(&site->refill, &f->all);
		entry_promote(s, f->waiting);
	}
}

uint32_t site_ready(const struct site *site)
{
	return pen_shape_waiting(&site->sender.shape) ? 0 : site->queued - site->blocked;
}

// Puts what waits to work: idle connections first, then new ones.
void site_kick(struct pen_sched *s, struct site *site)
{
	// Filling a lease or opening one may push jobs to this very site.
	if (site->kicking || site->dead || site_ending(site) || s->stopping)
		return;
	site->kicking = true;
	site_refill(s, site);
	while (site_ready(site) > 0 && !link_empty(&site->leases)) {
		struct lease *l = LINK_OF(site->leases.next, struct lease, in_site);
		if (!lease_is_idle(l))
			break;
		lease_fill(s, l);
		if (lease_is_idle(l) && site->leases.next == &l->in_site)
			break;
	}
	turn_request(s, site);
	site->kicking = false;
}
