// SPDX-License-Identifier: BSD-3-Clause

// How what waits at a site ends without a delivery, in bounded steps: deferred where it
// is dead, bounced where it refuses its mail for good, or as a rule says.
//
// A site that refuses its mail for good is not dead: later mail asks again.
#include "core.h"
#include "turn.h"

bool site_ending(const struct site *site)
{
	return site->refused != NULL || site->sentence != NULL;
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

	if (!all && (!site->dead || site->made == 0 || !site_may_suspend(s, site)))
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
