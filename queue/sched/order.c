// SPDX-License-Identifier: BSD-3-Clause

// Operators' hands on one message. What is with a worker is left there: its
// delivery may still succeed. The entry may be gone after any of these.
#include "order.h"
#include "bounce.h"
#include "core.h"

#include <stdlib.h>

static bool has(const uint8_t *bits, uint32_t i)
{
	return bits == NULL || (bits[i / 8] & 1u << i % 8) != 0;
}

static void set(uint8_t *bits, uint32_t i)
{
	bits[i / 8] |= (uint8_t)(1u << i % 8);
}

// s->failed: a bit for each recipient that has a failure already.
static void mark_failed(struct pen_sched *s, const struct entry *e)
{
	memset(s->failed, 0, (e->m->nrcpt + 7) / 8);
	for (const struct failure *f = e->failures; f != NULL; f = f->next)
		set(s->failed, f->rcpt);
}

// It is in no pass: the end of a pass of its own gives it its fates.
static void settle_now(struct pen_sched *s, struct entry *e)
{
	entry_withdraw(s, e);
	if (e->state != ENTRY_ACTIVE)
		entry_set_state(s, e, ENTRY_ACTIVE);
	entry_check(s, e);
}

// Jobs that wait lose the recipients that have ended.
static void strip_jobs(struct pen_sched *s, struct entry *e)
{
	struct job *next;

	for (struct job *j = e->jobs; j != NULL; j = next) {
		next = j->sibling;
		if (j->state != JOB_FLYING && !job_strip(j))
			job_free(s, j);
	}
}

bool order_end(struct pen_sched *s, struct entry *e, const uint8_t *chosen, uint8_t fate,
	const struct pen_note *note)
{
	bool any = false;

	if (e->state == ENTRY_BOUNCING)
		return false; // what failed is being told; the rest comes back in a moment
	mark_failed(s, e);
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (e->m->rcpt[i].fate == PEN_FATE_QUEUED && has(chosen, i) && !has(s->failed, i))
			any = result_order(s, e, i, fate, note) || any;
	}
	if (!any)
		return false;
	strip_jobs(s, e);
	if (e->state == ENTRY_ACTIVE)
		entry_check(s, e);
	else
		settle_now(s, e);
	return true;
}

// Those that are neither with a worker nor about to bounce end here and now, so
// that a crash does not bring them back.
static void delete_grounded(struct pen_sched *s, struct entry *e)
{
	mark_failed(s, e);
	for (const struct job *j = e->jobs; j != NULL; j = j->sibling) {
		for (uint32_t i = 0; i < j->nrcpt; i++)
			set(s->failed, j->rcpt[i]);
	}
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (e->m->rcpt[i].fate == PEN_FATE_QUEUED && !has(s->failed, i))
			entry_end(s, e, i, PEN_FATE_DELETED);
	}
	if (s->nchanges > 0 && (e->live > 0 || e->submitted))
		entry_record(s, e, false);
}

bool order_delete(struct pen_sched *s, struct entry *e)
{
	bool before = e->deleting;

	e->deleting = true;
	entry_withdraw(s, e);
	if (e->state == ENTRY_BOUNCING && !e->submitted) {
		// It waits to tell its sender again; that is over now.
		entry_set_state(s, e, ENTRY_ACTIVE);
		bounce_forget(e);
		entry_conclude(s, e);
	} else if (e->state != ENTRY_ACTIVE && e->state != ENTRY_BOUNCING) {
		entry_conclude(s, e);
	} else {
		delete_grounded(s, e);
		if (e->submitted)
			return !before; // ends with what is on its way to the spool
		if (e->live == 0)
			entry_conclude(s, e);
		else
			entry_check(s, e);
	}
	return !before;
}

bool order_expire(struct pen_sched *s, struct entry *e, bool no_notice)
{
	uint32_t flags = PEN_MESSAGE_EXPIRE | (no_notice ? PEN_MESSAGE_NO_NOTICE : 0);

	if (e->deleting || (e->m->flags & flags) == flags)
		return false;
	e->m->flags |= flags;
	entry_record(s, e, false);
	if (e->state != ENTRY_BOUNCING) // which ends with the record of its failures
		settle_now(s, e);
	return true;
}

bool order_hold(struct pen_sched *s, struct entry *e)
{
	if (e->m->flags & PEN_MESSAGE_HOLD)
		return false;
	e->m->flags |= PEN_MESSAGE_HOLD;
	entry_record(s, e, false);
	if (e->state == ENTRY_DEFERRED || e->state == ENTRY_SCHEDULED) {
		entry_set_state(s, e, ENTRY_HOLD);
		calendar_disarm(&s->calendar, &e->timer);
	} else if (e->state != ENTRY_BOUNCING) {
		settle_now(s, e);
	}
	return true;
}

bool order_release(struct pen_sched *s, struct entry *e)
{
	if (!(e->m->flags & PEN_MESSAGE_HOLD))
		return false;
	e->m->flags &= ~(uint32_t)PEN_MESSAGE_HOLD;
	if (e->state == ENTRY_HOLD) {
		entry_make_due(s, e, false);
		entry_park(s, e, e->m->next_attempt);
	}
	entry_record(s, e, false);
	return true;
}

bool order_retry(struct pen_sched *s, struct entry *e, bool doubtful)
{
	if (e->state != ENTRY_DEFERRED)
		return false;
	if (!entry_make_due(s, e, doubtful))
		return false;
	entry_arm(s, e, s->wall);
	return true;
}

bool order_requeue(struct pen_sched *s, struct entry *e)
{
	switch (e->state) {
	case ENTRY_DEFERRED:
		return order_retry(s, e, false);
	case ENTRY_ACTIVE:
	case ENTRY_WAITING:
		e->again = true;
		settle_now(s, e);
		return true;
	}
	return false; // it will be routed when its time comes
}

static bool set_route(struct pen_message *m, struct pen_span route)
{
	struct pen_message_extra *x = m->extra;

	if (route.n >= sizeof(x->route))
		return false;
	if (x == NULL)
		x = calloc(1, sizeof(*x));
	if (x == NULL)
		return false;
	memcpy(x->route, route.p, route.n);
	x->route[route.n] = '\0';
	m->extra = x;
	return true;
}

bool order_move(struct pen_sched *s, struct entry *e, const struct pen_sched_order *o)
{
	struct pen_message *m = e->m;
	const struct pen_mail_class *k = NULL;

	if (e->deleting || o->pool.n + o->route.n == 0)
		return false;
	if (o->pool.n > 0) {
		k = pen_mail_class_get(m->klass->tenant, m->klass->campaign, o->pool,
			(enum pen_priority)m->klass->priority);
		if (k == NULL)
			return false;
	}
	if (o->route.n > 0 && !set_route(m, o->route)) {
		pen_mail_class_put(k);
		return false;
	}
	// What waits stands in queues of its class; what is with a worker keeps its
	// deliveries, which hold on to no class.
	if (e->state == ENTRY_ACTIVE || e->state == ENTRY_WAITING)
		entry_withdraw(s, e);
	if (k != NULL) {
		pen_mail_class_put(m->klass);
		m->klass = k;
	}
	e->moved = true;
	entry_record(s, e, false);
	order_requeue(s, e);
	return true;
}
