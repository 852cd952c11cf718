// SPDX-License-Identifier: BSD-3-Clause

// The spool's core as its writer thread drives it (queue/spool/spool_writer.c), in virtual time:
// requests wait for a commit, which takes as long as the disk is slow.

#include "sim.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum request_kind { REQUEST_PUT, REQUEST_UPDATE, REQUEST_SYNC };

struct sim_request {
	struct sim_request *next;
	enum request_kind kind;
	struct pen_message *m;
	struct pen_message_update u; // with its own copies
	struct pen_dsn error;
	sim_done_fn *done;
	void *arg;
	int err;
	struct pen_rcpt_change change[];
};

static void on_message(void *ctx, struct pen_message *m)
{
	struct sim *s = ctx;

	sim_ledger_recovered(s, m);
	m->sched = NULL;
	*s->found_last = m;
	s->found_last = (struct pen_message **)&m->sched;
}

// The scheduler may want something of the spool at once: it gets them when that is open.
static void add_found(struct sim *s)
{
	while (s->found != NULL) {
		struct pen_message *m = s->found;
		s->found = m->sched;
		m->sched = NULL;
		SIM_CHECK(s, pen_sched_add(s->sched, m) == 0, "%s: not taken after recovery",
			PEN_QUEUE_ID(m));
	}
}

static void on_problem(void *ctx, const struct pen_spool_problem *p)
{
	struct sim *s = ctx;

	// A torn tail is what a crash leaves. Whole records are never damaged by it.
	SIM_CHECK(s, p->kind != PEN_SPOOL_CORRUPT, "the spool reports damage in %s at %llu",
		p->file, (unsigned long long)p->offset);
}

void sim_store_open(struct sim *s)
{
	char err[512];

	s->spool_cfg = (struct pen_spool_config){.directory = "(simulated)",
		.disk = s->disk,
		.segment_bytes = 256 << 10,
		.reserve_bytes = 4 * (256 << 10),
		.batch_bytes = 64 << 10,
		.ahead_segments = 1,
		.seed = pen_rand_u64(&s->rand) | 1,
		.ctx = s,
		.on_message = on_message,
		.on_problem = on_problem};
	s->found = NULL;
	s->found_last = &s->found;
	int rc = pen_spool_core_open(&s->spool_cfg, &s->spool, err, sizeof(err));
	SIM_CHECK(s, rc == 0, "the spool does not open: %s", err);
	s->last = &s->first;
	s->commit_at = PEN_TIME_NEVER;
	sim_ledger_recovery_over(s);
	add_found(s);
}

void sim_store_close(struct sim *s, bool clean)
{
	pen_spool_core_close(s->spool, clean);
	s->spool = NULL;
}

static void arm_commit(struct sim *s)
{
	if (s->commit_at != PEN_TIME_NEVER)
		return;
	pen_time_us wait = 50 + sim_below(s, 400);
	if (sim_trouble(s, 50)) {
		s->faults.commits_slow++;
		wait = PEN_US_PER_MS * (20 + sim_below(s, 3000));
	}
	s->commit_at = sim_now(s) + wait;
	// A disk that refuses for a while: more writes than a commit tries.
	if (s->disk_fails && sim_trouble(s, 60))
		pen_disk_sim_faults(s->disk)->fail_writes = 1 + sim_below(s, 12);
}

static void enqueue(struct sim *s, struct sim_request *r)
{
	r->next = NULL;
	*s->last = r;
	s->last = &r->next;
	arm_commit(s);
}

void sim_store_put(struct sim *s, struct pen_message *m, sim_done_fn *done, void *arg)
{
	struct sim_request *r = calloc(1, sizeof(*r));

	PEN_ASSERT(r != NULL);
	if (m->id == 0)
		m->id = pen_spool_core_next_id(s->spool, sim_wall(s));
	*r = (struct sim_request){.kind = REQUEST_PUT, .m = m, .done = done, .arg = arg};
	enqueue(s, r);
}

void sim_store_update(struct sim *s, const struct pen_message_update *u)
{
	struct sim_request *r = calloc(1, sizeof(*r) + u->nchanges * sizeof(r->change[0]));

	PEN_ASSERT(r != NULL);
	r->kind = REQUEST_UPDATE;
	r->u = *u;
	r->u.change = r->change;
	for (uint32_t i = 0; i < u->nchanges; i++)
		r->change[i] = u->change[i];
	if (u->last_error != NULL) {
		r->error = *u->last_error;
		r->u.last_error = &r->error;
	}
	enqueue(s, r);
}

void sim_store_sync(struct sim *s, sim_done_fn *done, void *arg)
{
	struct sim_request *r = calloc(1, sizeof(*r));

	PEN_ASSERT(r != NULL);
	*r = (struct sim_request){.kind = REQUEST_SYNC, .done = done, .arg = arg};
	enqueue(s, r);
}

static int append(struct sim *s, const struct sim_request *r)
{
	switch (r->kind) {
	case REQUEST_PUT:
		return pen_spool_core_put(s->spool, r->m);
	case REQUEST_UPDATE:
		return pen_spool_core_update(s->spool, &r->u);
	case REQUEST_SYNC:
		break;
	}
	return 0;
}

static void finish(struct sim *s, struct sim_request *r)
{
	if (r->kind == REQUEST_UPDATE && r->err == 0)
		sim_ledger_recorded(s, &r->u);
	if (r->done != NULL)
		r->done(s, r->arg, r->m, r->err);
	free(r);
}

// One pass over what waits. A change that the disk refuses is tried again, and nothing
// overtakes it; a put is refused.
struct pass {
	struct sim_request *list;         // to be committed and reported
	struct sim_request *held, **last; // for the next pass
	bool stuck;                       // a change was refused
};

static void hold(struct pass *p, struct sim_request *r)
{
	r->next = NULL;
	*p->last = r;
	p->last = &r->next;
}

static int take(struct sim *s, struct pass *p, const struct sim_request *r)
{
	if (p->stuck && r->kind != REQUEST_PUT)
		return -EIO;
	int err = append(s, r);
	p->stuck = p->stuck ||
		   (r->kind == REQUEST_UPDATE && err != 0 && err != -EAGAIN && err != -ENOENT);
	return err;
}

// Commits what was appended, up to and without `to`, and reports.
static void commit(struct sim *s, struct pass *p, struct sim_request *to)
{
	int err = pen_spool_core_dirty(s->spool) ? pen_spool_core_commit(s->spool) : 0;

	if (pen_disk_sim_crashed(s->disk))
		return; // nobody is left to be told
	s->faults.commits_failed += err != 0;
	p->stuck = p->stuck || err != 0;
	while (p->list != to) {
		struct sim_request *r = p->list;
		p->list = r->next;
		if (r->err == 0)
			r->err = err;
		if (r->kind != REQUEST_PUT && r->err != 0 && r->err != -ENOENT)
			hold(p, r);
		else
			finish(s, r);
	}
}

// What is held comes before what was asked for meanwhile.
static void end_pass(struct sim *s, struct pass *p)
{
	if (p->held == NULL) {
		if (s->first == NULL && p->list == NULL) // all is stored
			s->ended_unstored = 0;
		return;
	}
	*p->last = s->first;
	if (s->first == NULL)
		s->last = p->last;
	s->first = p->held;
	arm_commit(s);
}

void sim_store_step(struct sim *s)
{
	if (s->spool == NULL || sim_now(s) < s->commit_at)
		return;
	struct pass p = {.list = s->first};
	struct sim_request *r = p.list;
	p.last = &p.held;
	s->first = NULL;
	s->last = &s->first;
	s->commit_at = PEN_TIME_NEVER;
	while (r != NULL && !pen_disk_sim_crashed(s->disk)) {
		r->err = take(s, &p, r);
		if (r->err == -EAGAIN) {
			commit(s, &p, r);
			r->err = take(s, &p, r);
		}
		r = r->next;
	}
	commit(s, &p, NULL);
	end_pass(s, &p);
	for (int i = 0;
		i < 8 && !pen_disk_sim_crashed(s->disk) && pen_spool_core_step(s->spool) == 1; i++)
		;
	// The crash came in the middle: what is left waits with the rest, to be dropped.
	while (p.list != NULL) {
		r = p.list;
		p.list = r->next;
		enqueue(s, r);
	}
}

void sim_store_drop(struct sim *s)
{
	while (s->first != NULL) {
		struct sim_request *r = s->first;
		s->first = r->next;
		if (r->kind == REQUEST_UPDATE)
			sim_ledger_dropped(s, &r->u);
		if (r->done != NULL)
			r->done(s, r->arg, r->m, -ESHUTDOWN);
		free(r);
	}
	s->last = &s->first;
	s->commit_at = PEN_TIME_NEVER;
}
