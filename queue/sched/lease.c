// SPDX-License-Identifier: BSD-3-Clause

// Leases: one connection each, from OPEN to READY and until it has carried its share. Its
// end: lease_end.c.
#include "core.h"
#include "delivery.h"
#include "rules.h"
#include "turn.h"
#include "ways.h"

#include <stdlib.h>

#define FRESHEN_AT_ONCE 64 // transactions that lead elsewhere, are suspended or have ended
#define SPARE_MAX 16384

// A lease is large and most connections are short: freed ones are kept, and what
// a new one needs cleared is little.
static struct lease *lease_new(struct pen_sched *s)
{
	struct lease *l = s->spare_leases;
	const size_t from = offsetof(struct lease, pub.host), to = from + sizeof(l->pub.host);

	if (l == NULL)
		return calloc(1, sizeof(*l));
	s->spare_leases = l->pub.owner_state;
	s->nspare_leases--;
	memset(l, 0, from);
	memset((char *)l + to, 0, sizeof(*l) - to);
	return l;
}

void lease_free(struct pen_sched *s, struct lease *l)
{
	for (uint8_t i = 0; i < l->pub.nhosts; i++)
		pen_tls_policy_unref(l->pub.host[i].tls);
	if (s->nspare_leases >= SPARE_MAX) {
		free(l);
		return;
	}
	l->pub.owner_state = s->spare_leases;
	s->spare_leases = l;
	s->nspare_leases++;
}

void lease_free_spare(struct pen_sched *s)
{
	while (s->spare_leases != NULL) {
		struct lease *l = s->spare_leases;
		s->spare_leases = l->pub.owner_state;
		free(l);
	}
}

static bool lease_send(struct pen_sched *s, struct lease *l, uint32_t type)
{
	return s->ops.send(
		s->ctx, l->pub.worker, (struct pen_ring_msg){.type = type, .p = &l->pub});
}

void lease_touch(struct pen_sched *s, struct lease *l)
{
	pen_wheel_arm(&s->wheel, &l->timer.node, s->now + s->cfg.lease_watchdog);
}

bool lease_is_idle(const struct lease *l)
{
	return l->ready && l->in_flight == 0 && !l->closing && !l->spent &&
	       !pen_shape_waiting(&l->waiter.shape);
}

static void lease_block(struct pen_sched *s, struct lease *l)
{
	if (!link_in(&l->blocked))
		link_push_back(&s->blocked, &l->blocked);
}

void lease_close(struct pen_sched *s, struct lease *l)
{
	if (l->closing)
		return;
	l->closing = true;
	link_remove(&l->idle);
	l->close_wanted = !lease_send(s, l, PEN_CMD_LEASE_CLOSE);
	l->commanded = l->commanded || !l->close_wanted;
	if (l->close_wanted)
		lease_block(s, l);
}

void lease_abort(struct pen_sched *s, struct lease *l)
{
	l->closing = true;
	l->close_wanted = false;
	link_remove(&l->idle);
	l->abort_wanted = !lease_send(s, l, PEN_CMD_LEASE_ABORT);
	l->commanded = l->commanded || !l->abort_wanted;
	if (l->abort_wanted)
		lease_block(s, l);
}

// The worker's ring may have room again.
void lease_unblock(struct pen_sched *s, struct lease *l)
{
	link_remove(&l->blocked);
	if (l->abort_wanted) {
		lease_abort(s, l);
	} else if (l->close_wanted) {
		l->closing = false;
		lease_close(s, l);
	} else {
		lease_fill(s, l);
	}
}

void lease_timer(struct pen_sched *s, struct lease *l)
{
	if (l->ended) {
		link_remove(&l->in_site);
		lease_free(s, l);
		return;
	}
	s->total.watchdog_aborts++;
	lease_abort(s, l);
	lease_touch(s, l);
}

static uint32_t least_loaded_worker(struct pen_sched *s)
{
	uint32_t best = s->worker_turn++ % s->cfg.workers;

	for (uint32_t i = 0; i < s->cfg.workers; i++) {
		if (s->worker_leases[i] < s->worker_leases[best])
			best = i;
	}
	return best;
}

// Makes sure that the next hop of what goes first still leads here, and is asked
// again when the answer is too old. What leads elsewhere moves on. False: nothing
// is left, or the answer is awaited, or there is more to look at than should be
// done at once (*more).
static bool freshen_first(struct pen_sched *s, struct site *site, bool *more)
{
	struct ware *w;

	for (uint32_t i = 0; (w = site_first(site)) != NULL; i++) {
		struct job *j = ware_is_job(w) ? LINK_OF(w, struct job, ware)
					       : entry_promote(s, LINK_OF(w, struct entry, ware));
		*more = i >= FRESHEN_AT_ONCE;
		if (*more)
			return false;
		if (j == NULL)
			continue;
		if (job_held(s, j)) {
			job_reroute(s, j, true);
			continue;
		}
		struct nexthop *nh = j->nexthop;
		if (nexthop_leads(nh, site)) {
			if (nexthop_fresh(s, nh))
				return true;
			nexthop_refresh(s, nh);
			if (nh->state == NEXTHOP_RESOLVING)
				return false; // the answer kicks the site
			continue;
		}
		flow_take(s, ware_flow(&j->ware), &j->ware);
		j->front = true;
		nexthop_enqueue(s, nh, j);
	}
	return false;
}

static void lease_init(struct pen_sched *s, struct lease *l, struct site *site)
{
	const struct pen_message *m = LINK_OF(site_first(site), struct job, ware)->entry->m;

	l->pub.site = site;
	l->pub.timeouts = s->cfg.timeouts;
	l->pub.rules = &s->cfg.rules;
	l->pub.lmtp = site->lmtp;
	l->pub.smtputf8 = site->utf8;
	l->pub.plain_retry = s->wall - m->arrival >= s->cfg.tls_fallback_delay;
	l->pub.hold_dots = s->cfg.hold_dots;
	l->pub.max_messages =
		site->messages != 0 ? site->messages : s->cfg.connection_message_limit;
	for (uint8_t i = 0; i < l->pub.nhosts; i++) {
		if (l->pub.host[i].tls->one_use)
			l->pub.max_messages = 1;
	}
	l->pub.max_age = site->age != 0 ? site->age : s->cfg.connection_age_limit;
	l->pub.worker = least_loaded_worker(s);
	l->pub.id = ++s->lease_id;
	l->timer.kind = TIMER_LEASE;
	l->waiter.kind = WAITER_LEASE;
	pen_shape_waiter_init(&l->waiter.shape);
	pen_wheel_node_init(&l->timer.node);
}

struct may_use {
	const struct pen_sched *s;
	const struct site *site;
};

static bool may_use(void *ctx, uint32_t source)
{
	const struct may_use *m = ctx;

	return way_from(m->s, m->site, source);
}

// May the site have another connection, and from which sources? False: it waits.
static bool ask_shape(struct pen_sched *s, struct site *site, struct lease *l)
{
	struct may_use m = {s, site};
	struct pen_shape_filter filter = {.may = may_use, .ctx = &m};
	struct pen_shape_block why;

	if (site->shape == NULL ||
		pen_shape_open_from(s->cfg.shape, site->shape, site->pool, site->families,
			dead_hosts_count(s->dead) > 0 ? &filter : NULL, s->now, &l->conn, &why))
		return true;
	l->conn.site = NULL;
	if (filter.refused)
		way_none(s, site);
	else if (why.reason == PEN_WHY_NO_SOURCE)
		way_no_source(s, site);
	else
		pen_shape_wait(s->cfg.shape, &site->opener.shape, &why);
	return false;
}

enum lease_open_result lease_open(struct pen_sched *s, struct site *site)
{
	bool more = false;

	if (!freshen_first(s, site, &more))
		return more ? LEASE_BUSY : LEASE_NOTHING;
	// What moved may have changed the picture.
	site_limits(s, site);
	if (!turn_wants(s, site) || s->nleases >= s->cfg.lease_limit)
		return LEASE_BUSY;
	struct lease *l = lease_new(s);
	if (l == NULL)
		return LEASE_BUSY;
	if (!ask_shape(s, site, l)) {
		lease_free(s, l);
		return LEASE_NOTHING;
	}
	if (!plan_lease(s, site, l)) {
		lease_uncount(s, l, false);
		lease_free(s, l);
		way_none(s, site);
		return LEASE_NOTHING;
	}
	lease_init(s, l, site);
	if (s->ops.prepare != NULL)
		s->ops.prepare(s->ctx, &l->pub);
	if (!lease_send(s, l, PEN_CMD_LEASE_OPEN)) {
		lease_uncount(s, l, false);
		lease_free(s, l);
		return LEASE_BUSY;
	}
	way_begin(s, l);
	link_push_back(&site->leases, &l->in_site);
	s->nbusy_sites += site->nleases == 0;
	site->nleases++;
	site->nopening++;
	s->nleases++;
	s->worker_leases[l->pub.worker]++;
	s->total.leases_opened++;
	lease_touch(s, l);
	return LEASE_OPENED;
}

static void lease_set_idle(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;

	if (!link_in(&l->idle))
		link_push_back(&s->idle, &l->idle);
	link_remove(&l->in_site);
	link_push_front(&site->leases, &l->in_site);
	if (site_ready(site) == 0 && s->nleases >= s->cfg.lease_limit &&
		s->nyielding < s->nhungry + s->nwanting) {
		l->yielding = true;
		s->nyielding++;
		lease_close(s, l);
	}
}

static void lease_set_busy(struct lease *l)
{
	struct site *site = l->pub.site;

	link_remove(&l->idle);
	link_remove(&l->in_site);
	link_push_back(&site->leases, &l->in_site);
}

static bool used_up(const struct pen_sched *s, const struct lease *l)
{
	const struct site *site = l->pub.site;

	if (l->pub.max_messages != 0 && l->given >= l->pub.max_messages)
		return true;
	if (site->messages != 0 && l->given >= site->messages)
		return true; // lowered since it was opened
	return site->age != 0 && l->pub.opened_at != 0 && s->now - l->pub.opened_at >= site->age;
}

static uint32_t depth_of(const struct pen_sched *s, const struct site *site)
{
	uint32_t n = (site_ready(site) + site->in_flight + site->nleases - 1) / site->nleases;

	return n < s->cfg.pipeline_depth ? n : s->cfg.pipeline_depth;
}

// There was more to look at than should be done at once.
static void look_again(struct pen_sched *s, struct site *site)
{
	pen_wheel_arm(&s->wheel, &site->timer.node, s->now + PEN_US_PER_MS);
}

// The next one of the site, as a job; NULL: nothing may be sent, or too much of
// it leads elsewhere by now: the rest is looked at soon.
static struct job *lease_next_job(struct pen_sched *s, struct site *site)
{
	for (uint32_t i = 0; i < FRESHEN_AT_ONCE; i++) {
		struct flow *f = site_ready(site) > 0 ? flow_next(site) : NULL;
		struct ware *w = f != NULL ? pile_next(s, f) : NULL;
		if (w == NULL)
			return NULL;
		if (ware_is_job(w))
			return LINK_OF(w, struct job, ware);
		struct job *j = entry_promote(s, LINK_OF(w, struct entry, ware));
		if (j != NULL)
			return j;
	}
	look_again(s, site);
	return NULL;
}

static void send_jobs(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;
	uint32_t depth = depth_of(s, site), gone = 0;
	struct job *j;

	while (l->in_flight < depth && !used_up(s, l) && !l->closing &&
		(j = lease_next_job(s, site)) != NULL) {
		// Looking for it may have ended other mail, and filled this very lease.
		if (l->in_flight >= depth || used_up(s, l) || l->closing || l->ended)
			return;
		bool was_idle = l->in_flight == 0;
		switch (delivery_send(s, l, j)) {
		case DELIVERY_SENT:
			if (was_idle)
				lease_set_busy(l);
			site_refill(s, site);
			break;
		case DELIVERY_GONE:
			if (++gone < FRESHEN_AT_ONCE)
				break;
			look_again(s, site);
			return;
		case DELIVERY_BUSY:
			lease_block(s, l);
			return;
		case DELIVERY_HELD:
			return;
		}
	}
}

// Gives a ready lease its share of what waits: the whole stream when it is the
// only one, one at a time when the queue is short and others could help.
void lease_fill(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;

	if (!l->ready || l->closing || l->spent || l->ended || site->dead || link_in(&l->blocked) ||
		pen_shape_waiting(&l->waiter.shape))
		return;
	if (turn_should_yield(s, l)) {
		l->yielding = true;
		s->nyielding++;
		lease_close(s, l);
		return;
	}
	site_limits(s, site);
	if (!site_ending(site))
		send_jobs(s, l);
	if (l->closing)
		return;
	if (used_up(s, l))
		lease_close(s, l); // QUIT right behind the last one
	else if (l->in_flight == 0)
		lease_set_idle(s, l);
}

void lease_on_ready(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;

	PEN_ASSERT(!l->ready);
	l->ready = true;
	site->nopening--;
	site->nready++;
	s->nready++;
	site->rest_until = 0;
	way_learn(s, l);
	if (s->ops.session != NULL)
		s->ops.session(s->ctx, &l->pub, false);
	if (l->conn.site != NULL) {
		unsigned family =
			l->pub.host[l->pub.host_used].addr.family == PEN_FAMILY_IP6 ? 1 : 0;
		pen_shape_ready(s->cfg.shape, &l->conn, family, s->now);
		rules_signs(s, l, NULL);
	}
	site_end_refusal(s, site);
	lease_touch(s, l);
	lease_fill(s, l);
	site_kick(s, site);
}
