// SPDX-License-Identifier: BSD-3-Clause

// A message's life in the scheduler.
//
//   add -> ACTIVE -> (all jobs ended: settle) -> DEFERRED -> ACTIVE ...
//                                             -> BOUNCING -> conclude
//                                             -> removed
//
// A pass begins with entry_activate and ends with entry_settle, when no job is
// left. Deliveries become durable as they happen; failures of a pass become
// durable together, after the one notification that tells the sender.
#include "core.h"

#include <errno.h>
#include <stdlib.h>

struct entry *entry_find(const struct pen_sched *s, uint64_t id)
{
	return id_table_find(&s->entries, id);
}

void entry_set_state(struct pen_sched *s, struct entry *e, uint8_t state)
{
	s->nstate[e->state]--;
	s->nstate[state]++;
	e->state = state;
}

pen_wall_us entry_expiry(const struct pen_sched *s, const struct entry *e)
{
	return pen_retry_expiry(&s->cfg.retry, e->m->arrival, e->m->sender.n == 0);
}

// A lifetime of zero means one attempt, which an early timer must not take.
static pen_wall_us expiry_timer(const struct pen_sched *s, const struct entry *e)
{
	pen_wall_us t = entry_expiry(s, e);

	return t > e->m->arrival ? t : e->m->arrival + 86400 * PEN_US_PER_S;
}

void entry_arm(struct pen_sched *s, struct entry *e, pen_wall_us at)
{
	pen_wall_us wait = at > s->wall ? at - s->wall : 0;

	pen_wheel_arm(&s->entry_wheel, &e->timer, s->now + wait);
}

void entry_change(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate)
{
	struct pen_recipient *r = &e->m->rcpt[rcpt];

	PEN_ASSERT(s->nchanges < s->scratch_cap);
	if (fate != PEN_FATE_QUEUED) {
		PEN_ASSERT(r->fate == PEN_FATE_QUEUED && e->live > 0);
		r->fate = fate;
		e->live--;
		if (fate == PEN_FATE_DELIVERED)
			s->total.delivered++;
		else if (fate == PEN_FATE_BOUNCED)
			s->total.bounced++;
		else if (fate == PEN_FATE_EXPIRED)
			s->total.expired++;
		else
			s->total.deleted++;
	}
	s->change[s->nchanges++] = (struct pen_rcpt_change){rcpt, r->fate, r->doubts, r->attempts};
}

void entry_record(struct pen_sched *s, struct entry *e, bool removed)
{
	struct pen_message_update up = {
		.id = e->m->id,
		.next_attempt = e->m->next_attempt,
		.flags = e->m->flags,
		.nchanges = s->nchanges,
		.change = s->change,
		.last_error = removed ? NULL : e->m->last_error,
		.removed = removed,
	};

	s->nchanges = 0;
	s->ops.record(s->ctx, e->m, &up);
}

void entry_drop_content(struct pen_sched *s, struct entry *e)
{
	if (e->m->content == NULL || s->ops.content == NULL)
		return;
	s->content_bytes -= e->m->content_len;
	free(e->m->content);
	e->m->content = NULL;
}

int entry_load_content(struct pen_sched *s, struct entry *e)
{
	if (e->m->content != NULL)
		return 0;
	int err = s->ops.content != NULL ? s->ops.content(s->ctx, e->m) : -ENOENT;
	if (err == 0 && e->m->content == NULL)
		err = -EIO;
	if (err == 0)
		s->content_bytes += e->m->content_len;
	return err;
}

void failure_free(struct failure *f)
{
	note_put(f->note);
	free(f);
}

static void drop_failures(struct entry *e)
{
	e->told = false;
	while (e->failures != NULL) {
		struct failure *f = e->failures;
		e->failures = f->next;
		failure_free(f);
	}
}

// Forgets the entry; the message stays whole.
void entry_free(struct pen_sched *s, struct entry *e)
{
	if (e->state == ENTRY_WAITING)
		entry_unwait(s, e);
	while (e->jobs != NULL)
		job_free(s, e->jobs);
	drop_failures(e);
	if (e->m->nrcpt == 1) {
		note_put(e->note);
	} else if (e->notes != NULL) {
		for (uint32_t i = 0; i < e->m->nrcpt; i++)
			note_put(e->notes[i]);
		free(e->notes);
	}
	if (e->m->content != NULL)
		s->content_bytes -= e->m->content_len;
	pen_wheel_disarm(&s->entry_wheel, &e->timer);
	id_table_remove(&s->entries, e->m->id, e);
	link_remove(&e->all);
	s->nstate[e->state]--;
	e->m->sched = NULL;
	free(e);
}

static void entry_finish(struct pen_sched *s, struct entry *e)
{
	struct pen_message *m = e->m;

	entry_record(s, e, true);
	entry_free(s, e);
	s->ops.removed(s->ctx, m);
}

// The end of a pass for a message that still has live recipients.
static void put_back(struct pen_sched *s, struct entry *e)
{
	if (e->tried) {
		for (uint32_t i = 0; i < e->m->nrcpt; i++) {
			if (e->m->rcpt[i].fate == PEN_FATE_QUEUED)
				entry_change(s, e, i, PEN_FATE_QUEUED);
		}
		e->tried = false;
	}
	if (e->m->flags & PEN_MESSAGE_HOLD) {
		entry_set_state(s, e, ENTRY_HOLD);
		pen_wheel_disarm(&s->entry_wheel, &e->timer);
	} else {
		entry_set_state(s, e, ENTRY_DEFERRED);
		e->m->next_attempt = pen_retry_next(&s->cfg.retry, e->m->arrival, s->wall);
		pen_wall_us expires = expiry_timer(s, e);
		entry_arm(s, e, e->m->next_attempt < expires ? e->m->next_attempt : expires);
	}
	e->active_at = 0;
	entry_drop_content(s, e);
	entry_record(s, e, false);
}

void entry_conclude(struct pen_sched *s, struct entry *e)
{
	for (struct failure *f = e->failures; f != NULL; f = f->next) {
		if (f->fate != PEN_FATE_DELIVERED)
			entry_change(s, e, f->rcpt, f->fate);
	}
	drop_failures(e);
	if (e->deleting) {
		for (uint32_t i = 0; i < e->m->nrcpt && e->live > 0; i++) {
			if (e->m->rcpt[i].fate == PEN_FATE_QUEUED)
				entry_change(s, e, i, PEN_FATE_DELETED);
		}
	}
	if (e->live == 0)
		entry_finish(s, e);
	else
		put_back(s, e);
}

static void expire_the_rest(struct pen_sched *s, struct entry *e)
{
	memset(s->failed, 0, (e->m->nrcpt + 7) / 8);
	for (const struct failure *f = e->failures; f != NULL; f = f->next)
		s->failed[f->rcpt / 8] |= (uint8_t)(1 << f->rcpt % 8);
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (e->m->rcpt[i].fate == PEN_FATE_QUEUED && !(s->failed[i / 8] & 1 << i % 8))
			result_expire(s, e, i);
	}
}

void entry_settle(struct pen_sched *s, struct entry *e)
{
	bool hold = (e->m->flags & PEN_MESSAGE_HOLD) != 0;

	PEN_ASSERT(e->state == ENTRY_ACTIVE && e->jobs == NULL);
	if (!e->deleting && !hold && s->wall >= entry_expiry(s, e))
		expire_the_rest(s, e);
	if (bounce_wanted(s, e))
		bounce_submit(s, e);
	else
		entry_conclude(s, e);
}

void entry_check(struct pen_sched *s, struct entry *e)
{
	if (e->jobs == NULL && e->guard == 0 && e->state == ENTRY_ACTIVE)
		entry_settle(s, e);
}

void entry_withdraw(struct pen_sched *s, struct entry *e)
{
	struct job *next;

	if (e->state == ENTRY_WAITING)
		entry_unwait(s, e);
	for (struct job *j = e->jobs; j != NULL; j = next) {
		next = j->sibling;
		if (j->state != JOB_FLYING)
			job_free(s, j);
	}
}

void entry_timer(struct pen_sched *s, struct entry *e)
{
	pen_wall_us expires = expiry_timer(s, e);

	switch (e->state) {
	case ENTRY_DEFERRED:
		if (s->wall >= expires) {
			entry_set_state(s, e, ENTRY_ACTIVE);
			entry_settle(s, e);
		} else if (s->wall >= e->m->next_attempt) {
			entry_activate(s, e);
		} else { // the wall clock was set back
			entry_arm(
				s, e, e->m->next_attempt < expires ? e->m->next_attempt : expires);
		}
		return;
	case ENTRY_ACTIVE:
	case ENTRY_WAITING:
		if (s->wall < expires) {
			entry_arm(s, e, expires);
			return;
		}
		// What is with a worker ends by the worker's time limits.
		entry_withdraw(s, e);
		entry_check(s, e);
		return;
	case ENTRY_BOUNCING:
		bounce_submit(s, e);
		return;
	}
}

// Scratch arrays hold the recipients of the largest message, so that nothing
// can fail for memory later, when a result must not be lost.
static bool reserve_scratch(struct pen_sched *s, uint32_t n)
{
	if (n <= s->scratch_cap)
		return true;
	uint32_t cap = s->scratch_cap != 0 ? s->scratch_cap : 64;
	while (cap < n)
		cap *= 2;
	struct pen_rcpt_change *change = realloc(s->change, cap * sizeof(*change));
	if (change != NULL)
		s->change = change;
	struct nexthop **hop = realloc(s->hop, cap * sizeof(struct nexthop *));
	if (hop != NULL)
		s->hop = hop;
	uint8_t *failed = realloc(s->failed, cap / 8 + 1);
	if (failed != NULL)
		s->failed = failed;
	if (change == NULL || hop == NULL || failed == NULL)
		return false;
	s->scratch_cap = cap;
	return true;
}

static struct entry *entry_new(struct pen_sched *s, struct pen_message *m)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->m = m;
	m->sched = e;
	for (uint32_t i = 0; i < m->nrcpt; i++)
		e->live += m->rcpt[i].fate == PEN_FATE_QUEUED;
	pen_wheel_node_init(&e->timer);
	if (!id_table_put(&s->entries, m->id, e)) {
		m->sched = NULL;
		free(e);
		return NULL;
	}
	link_push_back(&s->all_entries, &e->all);
	e->state = ENTRY_DEFERRED;
	s->nstate[ENTRY_DEFERRED]++;
	s->total.accepted += e->live;
	if (m->content != NULL) {
		s->content_bytes += m->content_len;
		if (s->content_bytes > s->cfg.content_memory_limit)
			entry_drop_content(s, e);
	}
	return e;
}

int pen_sched_add(struct pen_sched *s, struct pen_message *m)
{
	if (entry_find(s, m->id) != NULL)
		return -EEXIST;
	// Called from inside submit, a record is never being put together.
	PEN_ASSERT(m->id != 0 && s->nchanges == 0);
	struct entry *e = reserve_scratch(s, m->nrcpt) ? entry_new(s, m) : NULL;
	if (e == NULL)
		return -ENOMEM;
	if (e->live == 0) {
		entry_finish(s, e);
	} else if (m->flags & PEN_MESSAGE_HOLD) {
		entry_set_state(s, e, ENTRY_HOLD);
		entry_drop_content(s, e);
	} else if (m->next_attempt > s->wall) {
		pen_wall_us expires = expiry_timer(s, e);
		entry_arm(s, e, m->next_attempt < expires ? m->next_attempt : expires);
		entry_drop_content(s, e);
	} else if (s->wall >= expiry_timer(s, e)) {
		entry_set_state(s, e, ENTRY_ACTIVE);
		entry_settle(s, e);
	} else {
		entry_activate(s, e);
	}
	return 0;
}
