// SPDX-License-Identifier: BSD-3-Clause

// A site: the queue of ready jobs, its connections, and whether it is dead.
//
// A dead site is not tried before dead_until. Its jobs are deferred, in bounded
// steps, with the reason; so is whatever arrives meanwhile.
//
// A site that refuses its mail for good is not dead: what waits bounces, in
// bounded steps too, and later mail asks again.
#include "core.h"

#include <stdlib.h>

#define HOLD_OFF_FIRST (5 * PEN_US_PER_S)

static void site_drop_hosts(struct site *site)
{
	for (uint16_t i = 0; i < site->nhosts; i++)
		pen_tls_policy_unref(site->host[i].tls);
	free(site->host);
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
	site->host = host;
	site->nhosts = (uint16_t)r->nhosts;
	return true;
}

static struct site *site_new(
	struct pen_sched *s, const struct nexthop *nh, struct pen_span key, uint64_t hash)
{
	struct site *site = calloc(1, sizeof(*site) + key.n + 1);

	if (site == NULL)
		return NULL;
	memcpy(site->key, key.p, key.n);
	site->key_len = (uint16_t)key.n;
	site->node.hash = hash;
	site->demand = nh->demand;
	site->utf8 = nh->utf8;
	site->lmtp = nh->lmtp;
	link_init(&site->returned);
	link_init(&site->jobs);
	link_init(&site->leases);
	site->timer.kind = TIMER_SITE;
	pen_wheel_node_init(&site->timer.node);
	pen_feedback_init(&site->feedback, &s->feedback);
	table_put(&s->sites, &site->node);
	link_push_back(&s->all_sites, &site->all);
	return site;
}

// The site of this result, with its hosts brought up to date. NULL: no memory.
// The resolver's key tells demands apart; that mail never shares a connection
// with mail of another demand or protocol is not left to it alone.
struct site *site_find(
	struct pen_sched *s, const struct nexthop *nh, const struct pen_route_result *r)
{
	uint64_t hash = pen_siphash(&s->key, r->site_key.p, r->site_key.n) + nh->demand * 4 +
			nh->utf8 * 2 + nh->lmtp;
	struct site *site = NULL;

	for (struct table_node *n = table_chain(&s->sites, hash); n != NULL; n = n->next) {
		struct site *have = LINK_OF(n, struct site, node);
		if (n->hash == hash && have->demand == nh->demand && have->utf8 == nh->utf8 &&
			have->lmtp == nh->lmtp &&
			pen_span_eq(pen_span(have->key, have->key_len), r->site_key))
			site = have;
	}
	if (site == NULL)
		site = site_new(s, nh, r->site_key, hash);
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
	if (site->refused != NULL)
		lease_free(site->refused);
	site_drop_hosts(site);
	free(site);
}

// Freed by the next poll, if it is still of no use then.
void site_maybe_reap(struct pen_sched *s, struct site *site)
{
	if (site->refs == 0 && site->nleases == 0 && site->queued == 0 && site->in_flight == 0 &&
		!site->dead && !link_in(&site->reap))
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

struct job *site_first(struct site *site)
{
	if (!link_empty(&site->returned))
		return LINK_OF(site->returned.next, struct job, queue);
	if (!link_empty(&site->jobs))
		return LINK_OF(site->jobs.next, struct job, queue);
	return NULL;
}

void site_push(struct pen_sched *s, struct site *site, struct job *j)
{
	if (site->dead) {
		job_suspend(s, j, site);
		return;
	}
	j->site = site;
	j->state = JOB_READY;
	if (j->front)
		link_push_back(&site->returned, &j->queue);
	else
		pile_add(site, j);
	j->front = false;
	site->queued++;
	s->jobs_ready++;
	link_remove(&site->reap);
	site_kick(s, site);
}

// Takes a READY job off its site's queue; the caller gives it its next state.
void site_unqueue(struct pen_sched *s, struct job *j)
{
	pile_take(j);
	j->state = JOB_NEW;
	j->site->queued--;
	s->jobs_ready--;
	site_maybe_reap(s, j->site);
}

// Puts waiting jobs to work: idle connections first, then new ones.
void site_kick(struct pen_sched *s, struct site *site)
{
	// Filling a lease or opening one may push jobs to this very site.
	if (site->kicking || site->dead || site->refused != NULL || s->stopping)
		return;
	site->kicking = true;
	while (site->queued > 0 && !link_empty(&site->leases)) {
		struct lease *l = LINK_OF(site->leases.next, struct lease, in_site);
		if (!lease_is_idle(l))
			break;
		lease_fill(s, l);
		if (lease_is_idle(l))
			break;
	}
	turn_request(s, site);
	site->kicking = false;
}

uint32_t site_window(const struct pen_sched *s, const struct site *site)
{
	uint32_t n = site->feedback.window;

	if (n > s->cfg.concurrency_limit)
		n = s->cfg.concurrency_limit;
	return site->cap != 0 && site->cap < n ? site->cap : n;
}

// The server judged a message, whatever it said.
void site_success(struct pen_sched *s, struct site *site, uint32_t busy)
{
	if (site->dead)
		site_revive(s, site, busy);
	else
		pen_feedback_success(&site->feedback, &s->feedback, busy);
}

// Sessions that are up speak against a verdict of death: they count as what is
// busy, and would bring it back with their next success.
void site_failure(struct pen_sched *s, struct site *site, const struct result *r)
{
	if (site->dead || !pen_feedback_failure(&site->feedback, &s->feedback))
		return;
	if (site->nready > 0)
		pen_feedback_revive(&site->feedback, &s->feedback, site->nready);
	else
		site_die(s, site, r);
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
	pen_wheel_arm(&s->wheel, &site->timer.node, site->grow_after);
}

void site_die(struct pen_sched *s, struct site *site, const struct result *r)
{
	if (site->dead)
		return;
	site->dead = true;
	s->ndead++;
	site->dead_until = s->now + s->cfg.retry.minimal_backoff_time;
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
	pen_wheel_arm(&s->wheel, &site->timer.node, site->dead_until);
	if (site->queued > 0 && !link_in(&site->drain))
		link_push_back(&s->draining, &site->drain);
}

void site_revive(struct pen_sched *s, struct site *site, uint32_t busy)
{
	if (!site->dead)
		return;
	site->dead = false;
	s->ndead--;
	pen_note_put(site->why);
	site->why = NULL;
	pen_feedback_revive(&site->feedback, &s->feedback, busy);
	site->grow_after = s->now;
	if (site->refused == NULL)
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

uint32_t site_drain(struct pen_sched *s, struct site *site, uint32_t budget)
{
	uint32_t n = 0;
	struct job *j;

	while (n < budget && (site->dead || site->refused != NULL) &&
		(j = site_first(site)) != NULL) {
		site_unqueue(s, j);
		if (site->refused != NULL)
			job_refuse(s, j, site->refused);
		else
			job_suspend(s, j, site);
		n++;
	}
	if (site->queued == 0) {
		site_end_refusal(s, site);
		link_remove(&site->drain);
	}
	return n;
}

void site_timer(struct pen_sched *s, struct site *site)
{
	if (!site->dead) {
		lift_cap(site);
		site_kick(s, site);
	} else if (s->now >= site->dead_until) {
		site_revive(s, site, 0);
	} else {
		pen_wheel_arm(&s->wheel, &site->timer.node, site->dead_until);
	}
}
