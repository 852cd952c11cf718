// SPDX-License-Identifier: BSD-3-Clause

// The end of a lease: what it says of its site, and when its memory is free.
#include "core.h"
#include "rules.h"
#include "turn.h"
#include "ways.h"

// How long an ended lease stays readable for a CLOSE that crossed its ENDED on
// the way. The ring is read all the time; this is ages.
#define GRAVE_TIME (10 * PEN_US_PER_S)

void lease_uncount(struct pen_sched *s, struct lease *l, bool tried)
{
	if (l->conn.site == NULL)
		return;
	pen_shape_cancel(s->cfg.shape, &l->waiter.shape);
	pen_shape_close(s->cfg.shape, &l->conn, s->now, tried);
	l->conn.site = NULL;
}

// The first job of the queue stands for the message that this connection was
// opened for: it gets the plain reason, and the attempt counts.
static void fail_first_job(struct pen_sched *s, struct site *site, struct result *r)
{
	struct ware *w = site_first(site);
	struct job *j = NULL;

	if (w != NULL && ware_is_job(w))
		j = LINK_OF(w, struct job, ware);
	else if (w != NULL)
		j = entry_promote(s, LINK_OF(w, struct entry, ware));
	if (j == NULL)
		return;
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct pen_recipient *rcpt = &j->entry->m->rcpt[j->rcpt[i]];
		rcpt->attempts += rcpt->attempts < UINT16_MAX;
	}
	j->entry->tried = true;
	flow_take(s, ware_flow(&j->ware), &j->ware);
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
	// What failed is known, and there is another way: no trouble of the site.
	bool elsewhere = l->blamed && way_left(s, site);

	if (site->nready > 0) {
		if (!elsewhere)
			end_beside_good_ones(s, site, effect, r);
		return;
	}
	if (effect == PEN_SITE_UNREACHABLE && !elsewhere)
		site_failure(s, site, r);
	fail_first_job(s, site, r);
	if (effect == PEN_SITE_REFUSED && site->queued > 0 && !site->dead)
		site_refuse(s, site, l);
}

// Whose mail the connection was for.
static struct pen_shape_class *first_class(struct pen_sched *s, struct site *site)
{
	const struct ware *w = site_first(site);

	return w != NULL ? ware_flow(w)->owner->shape : s->nobody->shape;
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
	struct pen_sched_match match;
	rules_match(s, &r, r.dsn, &match);
	rules_reply(s, l, first_class(s, site), &match, r.dsn);
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
	lease_uncount(s, l, l->pub.host_tried || l->pub.ready || l->pub.opened_at != 0);
	if (!l->commanded) {
		lease_free(s, l);
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
	if (l->conn.site != NULL) {
		pen_shape_cancel(s->cfg.shape, &l->waiter.shape);
		rules_signs(s, l, NULL);
	}
	site->nleases--;
	s->nbusy_sites -= site->nleases == 0;
	s->nleases--;
	s->worker_leases[l->pub.worker]--;
	if (l->yielding)
		s->nyielding--;
	site->rest_until = 0;
	if (!l->ready)
		way_learn(s, l);
	if (!ours)
		judge_end(s, l);
	// A delivery that crossed the ENDED on its way is still to come back.
	if (l->in_flight == 0 && site->refused != l)
		lease_bury(s, l);
	site_maybe_reap(s, site);
	turn_serve(s);
	site_kick(s, site);
}
