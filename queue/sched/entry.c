// SPDX-License-Identifier: BSD-3-Clause

// A message's life in the scheduler.
//
//   add -> ACTIVE -> (all jobs ended: settle) -> DEFERRED -> ACTIVE ...
//                                             -> SCHEDULED -> ACTIVE ...
//                                             -> BOUNCING -> conclude
//                                             -> removed
//
// A pass begins with entry_activate and ends with entry_settle, when no job is
// left. Deliveries become durable as they happen; failures of a pass become
// durable together, after the one notification that tells the sender.
#include "bounce.h"
#include "core.h"

#include <errno.h>
#include <malloc.h>
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

void entry_change(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate)
{
	struct pen_recipient *r = &e->m->rcpt[rcpt];

	PEN_ASSERT(s->nchanges < s->scratch_cap);
	if (fate != PEN_FATE_QUEUED) {
		PEN_ASSERT(r->fate == PEN_FATE_QUEUED && e->live > 0);
		r->fate = fate;
		e->live--;
		s->doubtful -= r->doubts > 0;
		if (fate == PEN_FATE_DELIVERED)
			s->total.delivered++;
		else if (fate == PEN_FATE_BOUNCED)
			s->total.bounced++;
		else if (fate == PEN_FATE_EXPIRED)
			s->total.expired++;
		else
			s->total.deleted++;
	}
	s->change[s->nchanges++] = (struct pen_rcpt_change){
		.index = rcpt, .fate = r->fate, .doubts = r->doubts, .attempts = r->attempts};
}

void entry_end(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate)
{
	entry_change(s, e, rcpt, fate);
	if (s->ops.ended != NULL)
		s->ops.ended(s->ctx, e->m, rcpt, (enum pen_fate)fate, "operator");
}

void entry_doubt(struct pen_sched *s, struct entry *e, uint32_t rcpt)
{
	struct pen_recipient *r = &e->m->rcpt[rcpt];

	s->doubtful += r->doubts == 0;
	r->doubts += r->doubts < UINT8_MAX;
}

// The last of the times at which those that are being recorded are tried once more.
static pen_wall_us doubt_due(const struct pen_sched *s, const struct entry *e)
{
	uint32_t due = 0;

	for (uint32_t i = 0; i < s->nchanges; i++) {
		const struct pen_recipient *r = &e->m->rcpt[s->change[i].index];
		if (r->doubts > 0 && r->fate == PEN_FATE_QUEUED && r->due < DUE_ORDERED &&
			r->due > due)
			due = r->due;
	}
	return due != 0 ? entry_birth(e) + (pen_wall_us)due * PEN_US_PER_S : 0;
}

void entry_record(struct pen_sched *s, struct entry *e, bool removed)
{
	struct pen_message_update up = {
		.id = e->m->id,
		.next_attempt = e->m->next_attempt,
		.flags = e->m->flags,
		.nchanges = s->nchanges,
		.change = s->change,
		.doubt_due = s->doubtful > 0 ? doubt_due(s, e) : 0,
		.removed = removed,
	};
	struct pen_dsn error;

	if (e->moved) {
		up.klass = e->m->klass;
		up.extra = e->m->extra;
		e->moved = false;
	}
	if (!removed && e->m->last_error != NULL) {
		pen_note_to_dsn(e->m->last_error, &error);
		up.last_error = &error;
	}
	s->nchanges = 0;
	s->ops.record(s->ctx, e->m, &up);
}

// As the allocator counts: for mail of a few hundred bytes up to a quarter more.
static uint64_t content_memory(const struct pen_message *m)
{
	return m->content != NULL ? malloc_usable_size(m->content) : 0;
}

void entry_drop_content(struct pen_sched *s, struct entry *e)
{
	if (e->m->content == NULL || s->ops.content == NULL)
		return;
	s->content_bytes -= content_memory(e->m);
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
		s->content_bytes += content_memory(e->m);
	return err;
}

void failure_free(struct failure *f)
{
	pen_note_put(f->note);
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

struct failure *entry_ordered(const struct entry *e, uint32_t rcpt)
{
	struct failure *f = e->m->rcpt[rcpt].due == DUE_ORDERED ? e->failures : NULL;

	while (f != NULL && f->rcpt != rcpt)
		f = f->next;
	return f;
}

void entry_pardon(struct entry *e, uint32_t rcpt)
{
	struct failure *f = entry_ordered(e, rcpt);
	struct failure **at = &e->failures;

	if (f == NULL)
		return;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	failure_free(f);
	e->m->rcpt[rcpt].due = 0;
}

// What stands at `from`, where scans go on or end, stands at `to` now.
static void move_scans(struct pen_sched *s, struct link *from, struct link *to)
{
	for (uint32_t i = 0; i < SCANS; i++) {
		struct scan *scan = &s->scan[i];
		if (scan->at != from && scan->end != from)
			continue;
		scan->at = scan->at == from ? to : scan->at;
		scan->end = scan->end == from ? to : scan->end;
		if (to != &s->all_entries)
			LINK_OF(to, struct entry, all)->marked = true;
	}
}

// Scans that would go on or end here do so behind it.
static void leave_scans(struct pen_sched *s, struct entry *e)
{
	if (e->marked)
		move_scans(s, &e->all, e->all.next);
}

// The last one came after all scans that are under way.
static void join_scans(struct pen_sched *s, struct entry *e)
{
	move_scans(s, &s->all_entries, &e->all);
}

// Forgets the entry; the message stays whole.
void entry_free(struct pen_sched *s, struct entry *e)
{
	if (e->state == ENTRY_WAITING)
		entry_unwait(s, e);
	while (e->jobs != NULL)
		job_free(s, e->jobs);
	drop_failures(e);
	if (e->notes != NULL) {
		for (uint32_t i = 0; i < e->m->nrcpt; i++)
			pen_note_put(e->notes[i]);
		free(e->notes);
	}
	s->content_bytes -= content_memory(e->m);
	calendar_disarm(&s->calendar, &e->timer);
	id_table_remove(&s->entries, e->m->id, e);
	leave_scans(s, e);
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
	pen_wall_us next = entry_next_attempt(s, e);
	if (e->again && entry_make_due(s, e, false))
		next = s->wall;
	e->deferred = e->again = e->warned = false;
	e->active_at = 0;
	if (e->m->flags & PEN_MESSAGE_HOLD) {
		entry_set_state(s, e, ENTRY_HOLD);
		calendar_disarm(&s->calendar, &e->timer);
	} else {
		entry_park(s, e, next);
	}
	entry_drop_content(s, e);
	entry_record(s, e, false);
}

void entry_fate(struct pen_sched *s, struct entry *e, const struct failure *f)
{
	if (f->fate == PEN_FATE_DELIVERED)
		return; // it has it
	if (f->ordered || f->fate == PEN_FATE_DELETED)
		entry_end(s, e, f->rcpt, f->fate);
	else
		entry_change(s, e, f->rcpt, f->fate);
}

void entry_conclude(struct pen_sched *s, struct entry *e)
{
	for (struct failure *f = e->failures; f != NULL; f = f->next)
		entry_fate(s, e, f);
	drop_failures(e);
	if (e->deleting) {
		for (uint32_t i = 0; i < e->m->nrcpt && e->live > 0; i++) {
			if (e->m->rcpt[i].fate == PEN_FATE_QUEUED)
				entry_end(s, e, i, PEN_FATE_DELETED);
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
	bool forced = (e->m->flags & PEN_MESSAGE_EXPIRE) != 0;

	PEN_ASSERT(e->state == ENTRY_ACTIVE && e->jobs == NULL);
	if (!e->deleting && (forced || (!hold && s->wall >= entry_expiry(s, e))))
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

// Its time has come: it ends, waits for its schedule, or is tried.
static void entry_begin(struct pen_sched *s, struct entry *e)
{
	if (s->wall >= entry_end_of_life(s, e)) {
		entry_set_state(s, e, ENTRY_ACTIVE);
		entry_settle(s, e);
	} else if (entry_opening(s, e, s->wall) > s->wall) {
		entry_park(s, e, s->wall);
		entry_drop_content(s, e);
	} else {
		entry_activate(s, e);
	}
}

void entry_timer(struct pen_sched *s, struct entry *e)
{
	if (s->wall >= bounce_delay_at(s, e)) {
		e->guard++; // what the op does may end its last job
		bounce_delay(s, e);
		e->guard--;
	}
	switch (e->state) {
	case ENTRY_DEFERRED:
	case ENTRY_SCHEDULED:
		if (s->wall >= e->m->next_attempt || s->wall >= entry_end_of_life(s, e))
			entry_begin(s, e);
		else // the wall clock was set back, or the sender was told
			entry_arm_next(s, e);
		return;
	case ENTRY_ACTIVE:
	case ENTRY_WAITING:
		// What is with a worker ends by the worker's time limits.
		if (s->wall >= entry_end_of_life(s, e) || entry_opening(s, e, s->wall) > s->wall)
			entry_withdraw(s, e);
		else
			entry_arm_next(s, e);
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
	uint8_t *chosen = realloc(s->chosen, cap / 8 + 1);
	if (chosen != NULL)
		s->chosen = chosen;
	if (change == NULL || hop == NULL || failed == NULL || chosen == NULL)
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
	join_scans(s, e);
	e->state = ENTRY_DEFERRED;
	s->nstate[ENTRY_DEFERRED]++;
	s->total.accepted += e->live;
	if (m->content != NULL) {
		s->content_bytes += content_memory(m);
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
		return 0;
	}
	entry_recover_doubts(s, e);
	if (m->flags & PEN_MESSAGE_HOLD && !(m->flags & PEN_MESSAGE_EXPIRE)) {
		entry_set_state(s, e, ENTRY_HOLD);
		entry_drop_content(s, e);
	} else if (m->next_attempt > s->wall && s->wall < entry_end_of_life(s, e)) {
		entry_park(s, e, m->next_attempt);
		entry_drop_content(s, e);
	} else {
		entry_begin(s, e);
	}
	return 0;
}
