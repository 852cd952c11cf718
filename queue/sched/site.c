// SPDX-License-Identifier: BSD-3-Clause

// A site: the queue of ready jobs, its connections, and whether it is dead.
//
// A dead site is not tried before dead_until. Its jobs are deferred, in bounded
// steps, with the reason; so is whatever arrives meanwhile.
//
// A site that refuses its mail for good is not dead: what waits bounces, in
// bounded steps too, and later mail asks again.
#include "core.h"
#include "turn.h"

#include <stdlib.h>

#define HOLD_OFF_FIRST (5 * PEN_US_PER_S)
#define READY_TOTAL 262144 // jobs that wait at all sites, before each has only its next one
#define REFILL_AT_ONCE 64

static void site_drop_hosts(struct site *site)
{
	for (uint16_t i = 0; i < site->nhosts; i++)
		pen_tls_policy_unref(site->host[i].tls);
	free(site->host);
}

static struct pen_feedback_rules site_rules(const struct pen_sched *s, const struct site *site)
{
	struct pen_feedback_rules r = s->feedback;

	r.limit = site->limit;
	r.initial = site->initial < site->limit ? site->initial : site->limit;
	return r;
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

// What waits ends; nothing is sent meanwhile.
bool site_ending(const struct site *site)
{
	return site->refused != NULL || site->sentence != NULL;
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
	struct pen_feedback_rules rules = site_rules(s, site);
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

// While it is dead only so many are deferred for that; the rest stays where it is.
static bool may_suspend(const struct pen_sched *s, struct site *site)
{
	return site->suspended < s->cfg.ready_limit;
}

static void enqueue(struct pen_sched *s, struct site *site, struct job *j, struct flow *f)
{
	flow_add_job(s, f, j);
	link_remove(&site->reap);
	site_kick(s, site);
}

void site_push(struct pen_sched *s, struct site *site, struct job *j)
{
	if (site->dead && may_suspend(s, site)) {
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
	bool room = site->dead ? may_suspend(s, site) : f->nwaiting == 0 && has_room(s, site);
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

uint32_t site_window(const struct pen_sched *s, const struct site *site)
{
	uint32_t n = site->feedback.window;

	(void)s;
	if (n > site->limit)
		n = site->limit;
	return site->cap != 0 && site->cap < n ? site->cap : n;
}

// The server judged a message, whatever it said.
void site_success(struct pen_sched *s, struct site *site, uint32_t busy)
{
	struct pen_feedback_rules rules = site_rules(s, site);

	if (site->dead)
		site_revive(s, site, busy);
	else
		pen_feedback_success(&site->feedback, &rules, busy);
}

// Sessions that are up speak against a verdict of death: they count as what is
// busy, and would bring it back with their next success.
void site_failure(struct pen_sched *s, struct site *site, const struct result *r)
{
	struct pen_feedback_rules rules = site_rules(s, site);

	if (site->dead || !pen_feedback_failure(&site->feedback, &rules))
		return;
	if (site->nready > 0)
		pen_feedback_revive(&site->feedback, &rules, site->nready);
	else
		site_die(s, site, r);
}

// For the first of what it waits for.
static void site_arm(struct pen_sched *s, struct site *site)
{
	pen_time_us at = PEN_TIME_NEVER;

	if (site->dead)
		at = site->dead_until;
	else if (site->cap != 0 && site->grow_after > s->now)
		at = site->grow_after;
	if (!site->dead && site->rest_until > s->now)
		at = pen_time_min(at, site->rest_until);
	if (at != PEN_TIME_NEVER)
		pen_wheel_arm(&s->wheel, &site->timer.node, at);
}

static void lift_cap(struct site *site)
{
	if (site->cap != 0 && ++site->cap >= site->feedback.window)
		site->cap = 0;
}

// A connection proved useful: there may be one more beside it.
void site_widen(struct pen_sched *s, struct site *site)
{
	if (site->dead || s->now < site->grow_after)
		return;
	site->cold = 0;
	lift_cap(site);
}

// Some connections are refused beside good ones: the server has a limit of its
// own. Stay with what it takes, replace what ends, and try one more later.
void site_hold_off(struct pen_sched *s, struct site *site)
{
	pen_time_us wait = HOLD_OFF_FIRST << (site->cold < 16 ? site->cold : 16);

	if (wait > s->cfg.retry.minimal_backoff_time)
		wait = s->cfg.retry.minimal_backoff_time;
	site->cold += site->cold < 16;
	site->cap = site->nready > 0 ? site->nready : 1;
	site->grow_after = s->now + wait;
	site_arm(s, site);
}

void site_rest(struct pen_sched *s, struct site *site, pen_time_us until)
{
	site->rest_until = until;
	turn_leave(s, site);
	site_arm(s, site);
}

void site_die(struct pen_sched *s, struct site *site, const struct result *r)
{
	site_die_until(s, site, r, s->now + s->cfg.retry.minimal_backoff_time);
}

void site_die_until(
	struct pen_sched *s, struct site *site, const struct result *r, pen_time_us until)
{
	if (site->dead)
		return;
	site->dead = true;
	site->suspended = 0;
	s->ndead++;
	site->dead_until = until;
	pen_note_put(site->why);
	site->why = pen_note_get(r->dsn, r->relay, r->mta_len);
	site->feedback.window = 0;
	site->cap = 0;
	site->cold = 0;
	turn_leave(s, site);
	struct link *next;
	for (struct link *i = site->leases.next; i != &site->leases; i = next) {
		next = i->next;
		lease_close(s, LINK_OF(i, struct lease, in_site));
	}
	site_arm(s, site);
	if (site->queued > 0 && !link_in(&site->drain))
		link_push_back(&s->draining, &site->drain);
}

void site_revive(struct pen_sched *s, struct site *site, uint32_t busy)
{
	struct pen_feedback_rules rules = site_rules(s, site);

	if (!site->dead)
		return;
	site->dead = false;
	s->ndead--;
	pen_note_put(site->why);
	site->why = NULL;
	pen_feedback_revive(&site->feedback, &rules, busy);
	site->grow_after = s->now;
	site->rest_until = 0;
	if (!site_ending(site))
		link_remove(&site->drain);
	site_maybe_reap(s, site);
	site_kick(s, site);
}

void site_refuse(struct pen_sched *s, struct site *site, struct lease *l)
{
	site_end_refusal(s, site);
	site->refused = l;
	turn_leave(s, site);
	if (!link_in(&site->drain))
		link_push_back(&s->draining, &site->drain);
}

void site_end_refusal(struct pen_sched *s, struct site *site)
{
	if (site->refused == NULL)
		return;
	lease_bury(s, site->refused);
	site->refused = NULL;
	if (!site->dead)
		link_remove(&site->drain);
	site_maybe_reap(s, site);
}

void site_condemn(struct pen_sched *s, struct site *site, const struct pen_dsn *d)
{
	struct pen_dsn end = *d;

	if (site->queued == 0)
		return;
	end.klass = 5; // whatever it was, the rule makes it final
	pen_note_put(site->sentence);
	site->sentence = pen_note_get(&end, "", 0);
	if (site->sentence == NULL)
		return;
	site->ending = site->queued;
	turn_leave(s, site);
	if (!link_in(&site->drain))
		link_push_back(&s->draining, &site->drain);
}

static void end_sentence(struct pen_sched *s, struct site *site)
{
	if (site->sentence == NULL)
		return;
	pen_note_put(site->sentence);
	site->sentence = NULL;
	if (!site->dead)
		link_remove(&site->drain);
	site_kick(s, site);
}

// The next one that is to go: all, or of a dead site those that were made ready.
static struct ware *next_to_drain(const struct pen_sched *s, struct site *site)
{
	bool all = site_ending(site);
	struct flow *f;

	if (!all && (!site->dead || site->made == 0 || !may_suspend(s, site)))
		return NULL;
	for (uint32_t n = 0; n <= site->nflows + 1 && (f = flow_any(site)) != NULL; n++) {
		struct ware *w = flow_head(f);
		if (all || ware_is_job(w))
			return w;
		link_remove(&f->all); // of site->refill
		link_push_back(&site->refill, &f->all);
	}
	return NULL;
}

static void drain_one(struct pen_sched *s, struct site *site, struct ware *w)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_LEASE, .site = site};
	struct job *j = ware_is_job(w) ? LINK_OF(w, struct job, ware) : NULL;
	struct entry *e = j == NULL ? LINK_OF(w, struct entry, ware) : NULL;

	if (j != NULL)
		flow_take(s, ware_flow(w), w);
	else
		entry_unwait(s, e);
	if (site->refused != NULL) {
		r.dsn = &site->refused->pub.result;
		r.lease = site->refused;
	} else if (site->sentence != NULL) {
		pen_note_to_dsn(site->sentence, &d);
		r.source = PEN_TROUBLE_DELIVERY;
		if (--site->ending == 0)
			end_sentence(s, site);
	} else {
		site->suspended++;
		job_suspend(s, j, site);
		return;
	}
	if (j != NULL)
		job_finish(s, j, &r);
	else
		entry_fail(s, e, &r);
}

uint32_t site_drain(struct pen_sched *s, struct site *site, uint32_t budget)
{
	uint32_t n = 0;
	struct ware *w;

	for (; n < budget && (w = next_to_drain(s, site)) != NULL; n++)
		drain_one(s, site, w);
	if (n < budget) {
		site_end_refusal(s, site);
		end_sentence(s, site);
		link_remove(&site->drain);
		site_maybe_reap(s, site);
	}
	return n;
}

void site_timer(struct pen_sched *s, struct site *site)
{
	if (site->dead && s->now >= site->dead_until) {
		site_revive(s, site, 0);
	} else if (!site->dead) {
		if (s->now >= site->grow_after)
			lift_cap(site);
		site_kick(s, site);
	}
	if (!pen_wheel_armed(&site->timer.node))
		site_arm(s, site);
}
