// SPDX-License-Identifier: BSD-3-Clause

// A site's health: how many connections its server takes, and whether it is dead.
//
// A dead site is not tried before dead_until. Its jobs are deferred, in bounded
// steps, with the reason; so is whatever arrives meanwhile.
#include "core.h"
#include "turn.h"

#define HOLD_OFF_FIRST (5 * PEN_US_PER_S)

struct pen_feedback_rules site_feedback_rules(const struct pen_sched *s, const struct site *site)
{
	struct pen_feedback_rules r = s->feedback;

	r.limit = site->limit;
	r.initial = site->initial < site->limit ? site->initial : site->limit;
	return r;
}

bool site_may_suspend(const struct pen_sched *s, struct site *site)
{
	return site->suspended < s->cfg.ready_limit;
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
	struct pen_feedback_rules rules = site_feedback_rules(s, site);

	if (site->dead)
		site_revive(s, site, busy);
	else
		pen_feedback_success(&site->feedback, &rules, busy);
}

// Sessions that are up speak against a verdict of death: they count as what is
// busy, and would bring it back with their next success.
void site_failure(struct pen_sched *s, struct site *site, const struct result *r)
{
	struct pen_feedback_rules rules = site_feedback_rules(s, site);

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
	struct pen_feedback_rules rules = site_feedback_rules(s, site);

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
