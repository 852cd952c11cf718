// SPDX-License-Identifier: BSD-3-Clause
#include "spool_replay.h"

#include "pen_log.h"

#include <errno.h>
#include <stdlib.h>

PEN_LOG_TYPE("queue.spool");

// Recovery needs no file but the segments: it finds them, puts them in order and
// has them replayed (spool_replay.c).

struct found {
	struct spool_segment *segment;
	struct spool_segment_header header;
	bool have_header;
	bool junk, newer;
};

static void on_name(void *ctx, const char *name)
{
	struct recovery *r = ctx;
	uint32_t slot = spool_segment_slot(name);
	int err;

	if (r->err != 0 || slot == 0)
		return;
	if (r->nfound == r->cap_found) {
		uint32_t cap = r->cap_found != 0 ? r->cap_found * 2 : 64;
		struct found *p = realloc(r->found, cap * sizeof(*p));
		if (p == NULL) {
			r->err = -ENOMEM;
			return;
		}
		r->found = p;
		r->cap_found = cap;
	}
	struct spool_segment *s = spool_segment_attach(r->c, slot, name, &err);
	if (s == NULL) {
		// A segment that cannot be opened may hold mail: don't start without it.
		spool_io_problem(r->c, name, err);
		r->err = err;
		return;
	}
	r->found[r->nfound++] = (struct found){.segment = s};
}

// A segment whose header is lost is known by its batches.
static void salvage_epoch(struct recovery *r, struct found *f, const uint8_t *head)
{
	struct spool_segment *s = f->segment;
	uint8_t *p = s->size > 0 ? pen_disk_alloc(s->size) : NULL;

	if (p != NULL) {
		spool_read_segment(r->c, s, p);
		s->epoch = spool_scan_epoch(p, s->size);
	}
	free(p);
	f->junk = s->epoch == 0;
	if (!f->junk) // junk is put away whole
		spool_set_aside(
			r->c, PEN_SPOOL_CORRUPT, s->name, s->epoch, 0, head, SPOOL_BLOCK, 0);
}

// No segment of ours, but not empty either: out of the way, not deleted.
static void junk_away(struct pen_spool_core *c, struct found *f)
{
	if (f->newer)
		spool_segment_away(c, f->segment, PEN_SPOOL_NEWER);
	else
		spool_segment_away(c, f->segment, PEN_SPOOL_CORRUPT);
	spool_segment_free(c, f->segment);
}

static void read_head(struct recovery *r, struct found *f)
{
	struct spool_segment *s = f->segment;
	uint8_t *head = pen_disk_alloc((size_t)2 * SPOOL_BLOCK);

	if (head == NULL) {
		r->err = -ENOMEM;
		return;
	}
	memset(head, 0, (size_t)2 * SPOOL_BLOCK);
	ssize_t got = pen_disk_read(r->c->disk, s->file, head, (size_t)2 * SPOOL_BLOCK, 0);
	if (got < 0)
		spool_io_problem(r->c, s->name, (int)got);
	f->have_header = spool_segment_header_decode(head, &f->header);
	if (f->have_header) {
		s->epoch = f->header.epoch;
		if (f->header.low_epoch > r->low)
			r->low = f->header.low_epoch;
		if (f->header.high_id > r->high_id)
			r->high_id = f->header.high_id;
	} else if (got >= (ssize_t)SPOOL_BLOCK && spool_segment_header_newer(head) != 0) {
		f->junk = f->newer = true;
	} else if (!spool_blocks_zero(head, (size_t)2 * SPOOL_BLOCK) || got < 0) {
		salvage_epoch(r, f, head);
	}
	free(head);
	if (s->epoch > r->high_epoch)
		r->high_epoch = s->epoch;
	s->discard = s->size != r->c->cfg.segment_bytes || got < 0;
}

static int by_epoch(const void *a, const void *b)
{
	const struct spool_segment *x = ((const struct found *)a)->segment;
	const struct spool_segment *y = ((const struct found *)b)->segment;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->slot < y->slot ? -1 : 1;
}

// Segments in order: old ones into the free list, then the log, then the fresh.
static void sort_segments(struct recovery *r)
{
	struct pen_spool_core *c = r->c;

	if (r->nfound > 0)
		qsort(r->found, r->nfound, sizeof(*r->found), by_epoch);
	for (uint32_t i = 0; i < r->nfound; i++) {
		struct found *f = &r->found[i], *before = i > 0 ? f - 1 : NULL;
		struct spool_segment *s = f->segment;

		if (s->epoch == 0)
			continue;
		if (s->epoch < r->low || s->size < (uint64_t)4 * SPOOL_BLOCK) {
			spool_segments_push(&c->idle, s);
			continue;
		}
		s->state = SEGMENT_USED;
		spool_segments_push(&c->log, s);
		if (f->have_header && before != NULL &&
			before->segment->epoch == f->header.prev_epoch)
			before->segment->closed_end = f->header.prev_end;
	}
	for (uint32_t i = 0; i < r->nfound && r->found[i].segment->epoch == 0; i++) {
		struct spool_segment *s = r->found[i].segment;
		if (r->found[i].junk)
			junk_away(c, &r->found[i]);
		else if (s->discard) // its preparation was cut short
			spool_segment_delete(c, s);
		else
			spool_segments_push(&c->idle, s);
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = (*(struct pen_message *const *)a)->id;
	uint64_t y = (*(struct pen_message *const *)b)->id;

	return x < y ? -1 : x > y;
}

// Writes the whole state of a message whose updates are not linked any more.
static int state_rewrite(struct pen_spool_core *c, const struct pen_message *m)
{
	static const struct pen_message_extra none;
	struct pen_dsn error;
	struct pen_message_update u = {.id = m->id,
		.next_attempt = m->next_attempt,
		.flags = m->flags,
		.nchanges = m->nrcpt,
		.klass = m->klass,
		.extra = m->extra != NULL ? m->extra : &none,
		.last_error = m->last_error != NULL ? &error : NULL};

	if (m->last_error != NULL)
		pen_note_to_dsn(m->last_error, &error);
	u.change = calloc(m->nrcpt > 0 ? m->nrcpt : 1, sizeof(*u.change));
	if (u.change == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		u.change[i].index = i;
		u.change[i].fate = m->rcpt[i].fate;
		u.change[i].doubts = m->rcpt[i].doubts;
		u.change[i].attempts = m->rcpt[i].attempts;
		pen_wall_us due = pen_message_birth(m) + m->rcpt[i].due * PEN_US_PER_S;
		if (m->rcpt[i].doubts > 0 && m->rcpt[i].due != 0 && due > u.doubt_due)
			u.doubt_due = due;
	}
	int err = spool_update_append(c, &u, true);
	if (err == -EAGAIN) {
		err = pen_spool_core_commit(c);
		if (err == 0)
			err = spool_update_append(c, &u, true);
	}
	free(u.change);
	return err;
}

static void finish(struct recovery *r)
{
	struct pen_spool_core *c = r->c;
	uint32_t n = 0;
	int err = 0;

	for (uint32_t i = 0; i < r->nmsg; i++) {
		struct pen_message *m = r->msg[i];
		if (m == NULL)
			continue;
		r->msg[n++] = m;
		struct spool_entry *e = spool_index_find(&c->index, m->id);
		bool broken = e->flags & SPOOL_ENTRY_BROKEN;
		e->flags &= SPOOL_REPLAY_FLAGS & ~(uint32_t)SPOOL_ENTRY_BROKEN;
		if (broken && err == 0)
			err = state_rewrite(c, m);
	}
	int committed = pen_spool_core_commit(c);
	if (err != 0 || committed != 0)
		pen_warning("spool: cannot write: %s", strerror(-(err != 0 ? err : committed)));
	r->nmsg = n;
}

static void hand_out(struct recovery *r)
{
	struct pen_spool_core *c = r->c;
	uint32_t n = r->nmsg;

	if (n > 0)
		qsort(r->msg, n, sizeof(struct pen_message *), by_id);
	for (uint32_t i = 0; i < n; i++) {
		if (c->cfg.on_message != NULL)
			c->cfg.on_message(c->cfg.ctx, r->msg[i]);
		else
			pen_message_free(r->msg[i]);
	}
	if (r->nfound > 0)
		pen_info("recovered %u messages from %u segments", n, c->log.n);
}

int spool_recover(struct pen_spool_core *c)
{
	struct recovery r = {.c = c};
	int err = c->disk->ops->list(c->disk, on_name, &r);

	if (r.err == 0)
		r.err = err;
	for (uint32_t i = 0; i < r.nfound && r.err == 0; i++)
		read_head(&r, &r.found[i]);
	if (r.err == 0)
		sort_segments(&r);
	for (struct spool_segment *s = c->log.first; s != NULL && r.err == 0; s = s->next)
		spool_replay(&r, s);
	if (r.err == 0 && r.high_epoch >> 32 == UINT32_MAX)
		r.err = -EOVERFLOW;
	if (r.err == 0) {
		c->last_id = r.high_id;
		c->next_epoch = (uint32_t)(r.high_epoch >> 32) + 1;
		spool_free_heads(c);
		spool_prepare_reserve(c);
		finish(&r);
		hand_out(&r);
	} else {
		for (uint32_t i = 0; i < r.nmsg; i++)
			pen_message_free(r.msg[i]);
	}
	free(r.msg);
	free(r.found);
	return r.err;
}
