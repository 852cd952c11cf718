// SPDX-License-Identifier: BSD-3-Clause

// Leases: one connection each, from OPEN to ENDED.
#include "core.h"

#include <stdlib.h>

#define FRESHEN_AT_ONCE 64
// How long an ended lease stays readable for a CLOSE that crossed its ENDED on
// the way. The ring is read all the time; this is ages.
#define GRAVE_TIME (10 * PEN_US_PER_S)

void lease_free(struct lease *l)
{
	for (uint8_t i = 0; i < l->pub.nhosts; i++)
		pen_tls_policy_unref(l->pub.host[i].tls);
	free(l);
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
	return l->ready && l->in_flight == 0 && !l->closing && !l->spent;
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
		lease_free(l);
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

// Makes sure that the first job's next hop still leads here. Those that don't
// move on, or wait for the resolver. False: no job is left, or there is more to
// look at than should be done at once (*more).
static bool freshen_first(struct pen_sched *s, struct site *site, bool *more)
{
	struct job *j;

	for (uint32_t i = 0; (j = site_first(site)) != NULL; i++) {
		if (nexthop_fresh(s, j->nexthop) && j->nexthop->site == site)
			return true;
		*more = i >= FRESHEN_AT_ONCE;
		if (*more)
			return false;
		site_unqueue(s, j);
		j->front = true;
		nexthop_enqueue(s, j->nexthop, j);
	}
	return false;
}

static void lease_init(struct pen_sched *s, struct lease *l, struct site *site)
{
	const struct pen_message *m = site_first(site)->entry->m;

	l->pub.site = site;
	l->pub.timeouts = s->cfg.timeouts;
	l->pub.rules = &s->cfg.rules;
	l->pub.lmtp = site->lmtp;
	l->pub.smtputf8 = site->utf8;
	l->pub.plain_retry = s->wall - m->arrival >= s->cfg.tls_fallback_delay;
	l->pub.hold_dots = s->cfg.hold_dots;
	l->pub.max_messages = s->cfg.connection_message_limit;
	for (uint8_t i = 0; i < l->pub.nhosts; i++) {
		if (l->pub.host[i].tls->one_use)
			l->pub.max_messages = 1;
	}
	l->pub.max_age = s->cfg.connection_age_limit;
	l->pub.worker = least_loaded_worker(s);
	l->pub.id = ++s->lease_id;
	l->timer.kind = TIMER_LEASE;
	pen_wheel_node_init(&l->timer.node);
}

enum lease_open_result lease_open(struct pen_sched *s, struct site *site)
{
	bool more = false;

	if (!freshen_first(s, site, &more))
		return more ? LEASE_BUSY : LEASE_NOTHING;
	// Jobs that moved may have changed the picture.
	if (!turn_wants(s, site) || s->nleases >= s->cfg.lease_limit)
		return LEASE_BUSY;
	struct lease *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return LEASE_BUSY;
	if (!plan_lease(s, site, &l->pub)) {
		struct pen_dsn d;
		struct result r = {.dsn = &d};
		lease_free(l);
		pen_dsn_set(&d, 4, 4, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"no source address for the address family of its hosts");
		site_die(s, site, &r);
		return LEASE_NOTHING;
	}
	lease_init(s, l, site);
	if (s->ops.prepare != NULL)
		s->ops.prepare(s->ctx, &l->pub);
	if (!lease_send(s, l, PEN_CMD_LEASE_OPEN)) {
		lease_free(l);
		return LEASE_BUSY;
	}
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
	if (site->queued == 0 && s->nleases >= s->cfg.lease_limit &&
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

static bool used_up(const struct lease *l)
{
	return l->pub.max_messages != 0 && l->given >= l->pub.max_messages;
}

// Gives a ready lease its share of what waits: the whole stream when it is the
// only one, one at a time when the queue is short and others could help.
void lease_fill(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;
	struct job *j;

	if (!l->ready || l->closing || l->spent || l->ended || site->dead || link_in(&l->blocked))
		return;
	if (turn_should_yield(s, l)) {
		l->yielding = true;
		s->nyielding++;
		lease_close(s, l);
		return;
	}
	uint32_t depth = (site->queued + site->in_flight + site->nleases - 1) / site->nleases;
	if (depth > s->cfg.pipeline_depth)
		depth = s->cfg.pipeline_depth;
	while (l->in_flight < depth && !used_up(l) && !l->closing &&
		(j = pile_next(s, site)) != NULL) {
		bool was_idle = l->in_flight == 0;
		enum delivery_send_result r = delivery_send(s, l, j);
		if (r == DELIVERY_BUSY) {
			lease_block(s, l);
			break;
		}
		if (r == DELIVERY_SENT && was_idle)
			lease_set_busy(l);
	}
	if (l->closing)
		return;
	if (used_up(l))
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
	if (s->ops.session != NULL)
		s->ops.session(s->ctx, &l->pub, false);
	site_end_refusal(s, site);
	lease_touch(s, l);
	lease_fill(s, l);
	site_kick(s, site);
}

// The first job of the queue stands for the message that this connection was
// opened for: it gets the plain reason, and the attempt counts.
static void fail_first_job(struct pen_sched *s, struct site *site, struct result *r)
{
	struct job *j = site_first(site);

	if (j == NULL)
		return;
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct pen_recipient *rcpt = &j->entry->m->rcpt[j->rcpt[i]];
		rcpt->attempts += rcpt->attempts < UINT16_MAX;
	}
	j->entry->tried = true;
	site_unqueue(s, j);
	job_finish(s, j, r);
}

// Sessions beside it are good, so the mail has somewhere to go: nobody's
// delivery failed, there are only too many connections for this server.
static void end_beside_good_ones(
	struct pen_sched *s, struct site *site, enum pen_site_effect effect, struct result *r)
{
	if (effect == PEN_SITE_UNREACHABLE)
		site_failure(s, site, r);
	site_hold_off(s, site);
}

static void end_without_session(
	struct pen_sched *s, struct lease *l, enum pen_site_effect effect, struct result *r)
{
	struct site *site = l->pub.site;

	if (site->nready > 0) {
		end_beside_good_ones(s, site, effect, r);
		return;
	}
	if (effect == PEN_SITE_UNREACHABLE)
		site_failure(s, site, r);
	fail_first_job(s, site, r);
	if (effect == PEN_SITE_REFUSED && site->queued > 0 && !site->dead)
		site_refuse(s, site, l);
}

static void judge_end(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;
	struct result r = {
		.dsn = &l->pub.result, .source = PEN_TROUBLE_LEASE, .site = site, .lease = l};

	enum pen_site_effect effect = pen_trouble_site_effect(&l->pub, l->handled, l->untried);
	if (effect == PEN_SITE_OK)
		return;
	if (l->pub.result.klass != 4 && l->pub.result.klass != 5)
		pen_dsn_set(&l->pub.result, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			PEN_STAGE_NONE, "the connection ended before it was of use");
	result_relay(&r);
	s->total.leases_failed++;
	if (effect == PEN_SITE_LOST)
		site_failure(s, site, &r);
	else
		end_without_session(s, l, effect, &r);
	result_fini(&r);
}

// Frees an ended lease once nothing can refer to it any more.
void lease_bury(struct pen_sched *s, struct lease *l)
{
	PEN_ASSERT(l->ended && l->in_flight == 0);
	if (!l->commanded) {
		lease_free(l);
		return;
	}
	link_push_back(&s->graves, &l->in_site);
	pen_wheel_arm(&s->wheel, &l->timer.node, s->now + GRAVE_TIME);
}

void lease_on_ended(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;
	bool ours = l->closing;

	PEN_ASSERT(!l->ended);
	l->ended = true;
	if (s->ops.session != NULL)
		s->ops.session(s->ctx, &l->pub, true);
	link_remove(&l->in_site);
	link_remove(&l->idle);
	link_remove(&l->blocked);
	pen_wheel_disarm(&s->wheel, &l->timer.node);
	if (l->ready) {
		site->nready--;
		s->nready--;
	} else {
		site->nopening--;
	}
	site->nleases--;
	s->nbusy_sites -= site->nleases == 0;
	s->nleases--;
	s->worker_leases[l->pub.worker]--;
	if (l->yielding)
		s->nyielding--;
	if (!ours)
		judge_end(s, l);
	// A delivery that crossed the ENDED on its way is still to come back.
	if (l->in_flight == 0 && site->refused != l)
		lease_bury(s, l);
	site_maybe_reap(s, site);
	turn_serve(s);
	site_kick(s, site);
}
