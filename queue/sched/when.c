// SPDX-License-Identifier: BSD-3-Clause

// What a message waits for, and until when.
//
// Each recipient may have a time of its own (`due`): its site's schedule, a
// greylisting server, or a delivery in doubt. Those without one share the time
// that Postfix's arithmetic gives the message at the end of a pass. The message's
// next_attempt is the first of all; a pass takes those whose time has come.
//
// Own times of a message with many recipients are rounded up to whole minutes:
// its passes are at most one a minute then, however many recipients it has.
#include "bounce.h"
#include "core.h"

#include "pen_send_window.h"

#define DAY (86400 * PEN_US_PER_S)

pen_wall_us entry_birth(const struct entry *e)
{
	return pen_message_birth(e->m);
}

static pen_wall_us not_after(const struct entry *e)
{
	return e->m->extra != NULL && e->m->extra->not_after != 0 ? e->m->extra->not_after
								  : PEN_TIME_NEVER;
}

pen_wall_us entry_expiry(const struct pen_sched *s, const struct entry *e)
{
	if (e->m->flags & PEN_MESSAGE_EXPIRE)
		return e->m->arrival;
	return pen_time_min(not_after(e),
		pen_retry_expiry(&s->cfg.retry, entry_birth(e), e->m->sender_len == 0));
}

// A lifetime of zero means one attempt, which an early timer must not take.
pen_wall_us entry_end_of_life(const struct pen_sched *s, const struct entry *e)
{
	pen_wall_us birth = entry_birth(e);
	pen_wall_us t = pen_retry_expiry(&s->cfg.retry, birth, e->m->sender_len == 0);

	if (e->m->flags & PEN_MESSAGE_EXPIRE)
		return e->m->arrival;
	return pen_time_min(not_after(e), t > birth ? t : birth + DAY);
}

static bool zone_of(
	void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	const struct pen_sched *s = ctx;

	return s->ops.zone != NULL && s->ops.zone(s->ctx, name, at, offset, until);
}

pen_wall_us entry_opening(const struct pen_sched *s, const struct entry *e, pen_wall_us at)
{
	const struct pen_message_extra *x = e->m->extra;

	if (x == NULL)
		return at;
	if (at < x->not_before)
		at = x->not_before;
	return pen_send_window_opens(&x->window, at, zone_of, (void *)s);
}

// From when on its schedule does not let it go any more.
static pen_wall_us closing(const struct pen_sched *s, const struct entry *e)
{
	const struct pen_message_extra *x = e->m->extra;

	if (x == NULL)
		return PEN_TIME_NEVER;
	pen_wall_us t = pen_send_window_closes(&x->window, s->wall, zone_of, (void *)s);
	return t > s->wall ? t : PEN_TIME_NEVER;
}

static pen_wall_us due_at(const struct entry *e, const struct pen_recipient *r)
{
	return entry_birth(e) + (pen_wall_us)r->due * PEN_US_PER_S;
}

bool entry_rcpt_due(const struct pen_sched *s, const struct entry *e, uint32_t rcpt)
{
	const struct pen_recipient *r = &e->m->rcpt[rcpt];

	if (r->fate != PEN_FATE_QUEUED || r->due >= DUE_ORDERED)
		return false;
	// A pass keeps to those whose time had come when it began: where they go was
	// looked up then, and one more may go somewhere else.
	bool passing = e->state == ENTRY_ACTIVE || e->state == ENTRY_WAITING;
	return r->due == 0 || due_at(e, r) <= (passing ? e->m->next_attempt : s->wall);
}

void entry_rcpt_wait(struct entry *e, uint32_t rcpt, pen_wall_us at)
{
	const pen_time_us unit = (e->m->nrcpt > 1 ? 60 : 1) * PEN_US_PER_S;
	pen_wall_us since = at - entry_birth(e);

	if (since < 0)
		since = 0;
	int64_t seconds = (since + unit - 1) / unit * (unit / PEN_US_PER_S);
	if (seconds >= DUE_ORDERED)
		seconds = DUE_ORDERED - 1;
	e->m->rcpt[rcpt].due = (uint32_t)seconds & PEN_DUE_NEVER;
}

bool entry_make_due(struct pen_sched *s, struct entry *e, bool doubtful)
{
	bool any = false;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		struct pen_recipient *r = &e->m->rcpt[i];
		if (r->fate != PEN_FATE_QUEUED)
			continue;
		if ((doubtful || r->doubts == 0) && r->due != DUE_ORDERED)
			r->due = 0;
		any = any || entry_rcpt_due(s, e, i);
	}
	if (any)
		e->m->next_attempt = s->wall;
	return any;
}

pen_wall_us entry_next_attempt(struct pen_sched *s, struct entry *e)
{
	pen_wall_us birth = entry_birth(e), common = e->m->next_attempt, next = PEN_TIME_NEVER;

	if (e->deferred)
		common = pen_retry_next(&s->cfg.retry, birth, s->wall);
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		struct pen_recipient *r = &e->m->rcpt[i];
		if (r->fate != PEN_FATE_QUEUED || r->due >= DUE_ORDERED)
			continue;
		if (r->due != 0) {
			next = pen_time_min(next, due_at(e, r));
			continue;
		}
		next = pen_time_min(next, common);
		if (e->deferred && (common - birth) / PEN_US_PER_S < DUE_ORDERED)
			r->due = (uint32_t)((common - birth) / PEN_US_PER_S) & PEN_DUE_NEVER;
	}
	return next != PEN_TIME_NEVER ? next : entry_end_of_life(s, e);
}

void entry_recover_doubts(struct pen_sched *s, struct entry *e)
{
	struct pen_message *m = e->m;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->nrcpt; i++)
		n += m->rcpt[i].fate == PEN_FATE_QUEUED && m->rcpt[i].doubts > 0;
	s->doubtful += n;
	if (n == 0 || s->cfg.in_doubt_policy == PEN_IN_DOUBT_RETRY)
		return;
	// Without a time of its own (a record of an older program): next_attempt is the
	// first time of all, and says when those in doubt are due if there are no others.
	pen_wall_us due = n == e->live ? m->next_attempt : s->wall + s->cfg.in_doubt_delay;
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		struct pen_recipient *r = &m->rcpt[i];
		if (r->doubts == 0)
			entry_rcpt_wait(e, i, m->next_attempt);
		else if (s->cfg.in_doubt_policy == PEN_IN_DOUBT_HOLD || r->doubts > 1)
			r->due = PEN_DUE_NEVER;
		else if (r->due == 0)
			entry_rcpt_wait(e, i, due);
	}
	m->next_attempt = entry_next_attempt(s, e);
}

void entry_arm(struct pen_sched *s, struct entry *e, pen_wall_us at)
{
	pen_wall_us wait = at > s->wall ? at - s->wall : 0;

	calendar_arm(&s->calendar, &e->timer, s->now + wait);
}

void entry_arm_next(struct pen_sched *s, struct entry *e)
{
	pen_wall_us at = entry_end_of_life(s, e);

	switch (e->state) {
	case ENTRY_DEFERRED:
		at = pen_time_min(at, bounce_delay_at(s, e));
		at = pen_time_min(at, e->m->next_attempt);
		break;
	case ENTRY_SCHEDULED:
		at = pen_time_min(at, e->m->next_attempt);
		break;
	case ENTRY_ACTIVE:
	case ENTRY_WAITING:
		at = pen_time_min(at, bounce_delay_at(s, e));
		at = pen_time_min(at, closing(s, e));
		break;
	}
	entry_arm(s, e, at);
}

void entry_park(struct pen_sched *s, struct entry *e, pen_wall_us at)
{
	pen_wall_us from = at > s->wall ? at : s->wall;
	pen_wall_us open = entry_opening(s, e, from);
	bool scheduled = open > from;

	if (scheduled)
		e->m->next_attempt = pen_time_min(open, entry_end_of_life(s, e));
	else
		e->m->next_attempt = at;
	// A message from the spool waits for the moment that was found before.
	if (e->m->extra != NULL && open > s->wall)
		scheduled = scheduled || entry_opening(s, e, s->wall) == open;
	entry_set_state(s, e, scheduled ? ENTRY_SCHEDULED : ENTRY_DEFERRED);
	entry_arm_next(s, e);
}
