// SPDX-License-Identifier: BSD-3-Clause
#include "spool_replay.h"

#include "pen_crc32c.h"

#include <errno.h>
#include <stdlib.h>

// A closed segment's footer has all that is needed of it; without one that holds,
// its records are read.

static struct pen_message **entry_message(struct recovery *r, const struct spool_entry *e)
{
	return &r->msg[e->flags >> SPOOL_REPLAY_BITS];
}

static int message_keep(struct recovery *r, struct spool_entry *e, struct pen_message *m)
{
	if (r->nmsg == r->cap_msg) {
		uint32_t cap = r->cap_msg != 0 ? r->cap_msg * 2 : 1024;
		struct pen_message **p = realloc(r->msg, cap * sizeof(struct pen_message *));
		if (p == NULL)
			return -ENOMEM;
		r->msg = p;
		r->cap_msg = cap;
	}
	if (r->nmsg >= UINT32_MAX >> SPOOL_REPLAY_BITS)
		return -EOVERFLOW;
	e->flags = (e->flags & SPOOL_REPLAY_FLAGS) | r->nmsg << SPOOL_REPLAY_BITS;
	r->msg[r->nmsg++] = m;
	return 0;
}

static void entry_leave(struct recovery *r, struct spool_entry *e)
{
	struct spool_segment *s = r->c->slot[e->slot];

	s->live--;
	s->live_bytes -= e->len;
	r->c->live_bytes -= e->len;
	e->upd_slot = 0;
	pen_message_free(*entry_message(r, e));
	*entry_message(r, e) = NULL;
}

static void replay_message(
	struct recovery *r, const struct spool_record *record, uint32_t off, uint32_t len)
{
	int err;
	struct pen_message *m = spool_message_decode(record, &err);
	struct spool_entry *e = spool_index_find(&r->c->index, record->id);
	bool again = e != NULL;

	if (m == NULL) {
		if (err == -ENOMEM)
			r->err = err;
		return;
	}
	if (e != NULL)
		entry_leave(r, e);
	else
		e = spool_index_add(&r->c->index, record->id);
	if (e == NULL || spool_segment_reserve_ids(r->at, 1) != 0 ||
		(r->err = message_keep(r, e, m)) != 0) {
		pen_message_free(m);
		r->err = r->err != 0 ? r->err : -ENOMEM;
		return;
	}
	e->slot = r->at->slot;
	e->off = off;
	e->len = len;
	e->flags &= ~(uint32_t)SPOOL_ENTRY_BROKEN;
	if (again)
		e->flags |= SPOOL_ENTRY_MOVED;
	r->at->ids[r->at->nids++] = record->id;
	r->at->live++;
	r->at->live_bytes += len;
	r->c->live_bytes += len;
}

static void replay_update(struct recovery *r, const struct spool_record *record, uint32_t off)
{
	struct spool_entry *e = spool_index_find(&r->c->index, record->id);

	// Without its message: one that ended, or never became durable.
	if (e == NULL || !spool_update_sane(record))
		return;
	if (spool_update_removed(record)) {
		entry_leave(r, e);
		spool_index_remove(&r->c->index, record->id);
		return;
	}
	if (spool_update_apply(record, *entry_message(r, e)) != 0)
		r->err = -ENOMEM;
	// Relocation follows the links from the newest update to the oldest; after
	// a torn batch or damage one may lead nowhere.
	struct spool_place prev = spool_update_prev(record);
	if (prev.slot != e->upd_slot || (prev.slot != 0 && prev.off != e->upd_off))
		e->flags |= SPOOL_ENTRY_BROKEN;
	e->upd_slot = r->at->slot;
	e->upd_off = off;
}

static void replay_record(
	struct recovery *r, const struct spool_record *record, uint32_t off, uint32_t len)
{
	if (r->err != 0)
		return;
	if (record->id > r->high_id)
		r->high_id = record->id;
	if (record->type == SPOOL_UPDATE)
		replay_update(r, record, off);
	else
		replay_message(r, record, off, len);
}

static void on_record(void *ctx, const struct spool_record *record, uint32_t off)
{
	replay_record(ctx, record, off, record->length);
}

static void on_batch(void *ctx, const struct spool_batch_header *h)
{
	struct recovery *r = ctx;

	if (h->high_id > r->high_id)
		r->high_id = h->high_id;
	r->at->batches = h->number;
}

static void on_bad(void *ctx, uint64_t offset, uint64_t length, bool torn)
{
	struct recovery *r = ctx;
	const uint8_t *p = r->bytes + offset;

	if (torn) {
		spool_problem(r->c, &(struct pen_spool_problem){.kind = PEN_SPOOL_TORN,
					    .file = r->at->name,
					    .offset = offset,
					    .length = length});
		return;
	}
	uint64_t id = spool_record_guess(p, length, r->at->epoch);
	if (!spool_set_aside(
		    r->c, PEN_SPOOL_CORRUPT, r->at->name, r->at->epoch, offset, p, length, id))
		r->at->keep = true;
}

static void on_newer(void *ctx, const struct spool_record *record, uint32_t off)
{
	struct recovery *r = ctx;

	if (record->id > r->high_id)
		r->high_id = record->id;
	if (!spool_set_aside(r->c, PEN_SPOOL_NEWER, r->at->name, r->at->epoch, off, record->p,
		    record->length, record->id))
		r->at->keep = true;
}

// Every entry of a footer, whose checksum holds, can be read by this program.
static bool footer_known(const uint8_t *p, uint32_t n)
{
	struct spool_foot_entry e;
	size_t at = 0;
	int more;

	while ((more = spool_foot_next(p, n, &at, &e)) > 0)
		continue;
	return more == 0;
}

static bool replay_footer(struct recovery *r, const struct spool_trailer *t)
{
	struct spool_segment *s = r->at;
	uint64_t room = pen_disk_align(t->foot_len);
	struct spool_foot_entry e;

	if (!spool_foot_in_place(t, s->size))
		return false;
	uint8_t *p = pen_disk_alloc(room > 0 ? room : SPOOL_BLOCK);
	if (p == NULL)
		return false;
	bool good = room == 0 ||
		    pen_disk_read(r->c->disk, s->file, p, room, t->foot_off) == (ssize_t)room;
	good = good && pen_crc32c(0, p, t->foot_len) == t->foot_crc && footer_known(p, t->foot_len);
	for (size_t at = 0; good && spool_foot_next(p, t->foot_len, &at, &e) > 0;)
		replay_record(r, &e.record, e.off, e.len);
	free(p);
	return good;
}

static void replay_scan(struct recovery *r)
{
	struct spool_segment *s = r->at;
	uint8_t *p = pen_disk_alloc(s->size);

	if (p == NULL) {
		r->err = -ENOMEM;
		return;
	}
	spool_read_segment(r->c, s, p);
	r->bytes = p;
	static const struct spool_scan calls = {NULL, on_record, on_batch, on_bad, on_newer};
	struct spool_scan scan = calls;
	scan.ctx = r;
	s->end = spool_scan(&scan, p, s->size, s->epoch, s->closed_end);
	r->bytes = NULL;
	free(p);
	// After a mere process crash the tail may be in the cache only; what is
	// reported as recovered has to be on the medium.
	int err = r->c->disk->ops->datasync(r->c->disk, s->file);
	if (err != 0)
		spool_io_problem(r->c, s->name, err);
}

void spool_replay(struct recovery *r, struct spool_segment *s)
{
	struct spool_trailer t;
	uint8_t *block = pen_disk_alloc(SPOOL_BLOCK);

	if (block == NULL) {
		r->err = -ENOMEM;
		return;
	}
	r->at = s;
	bool have = pen_disk_read(r->c->disk, s->file, block, SPOOL_BLOCK, s->size - SPOOL_BLOCK) ==
			    SPOOL_BLOCK &&
		    spool_trailer_decode(block, &t) && t.epoch == s->epoch;
	free(block);
	if (have) {
		s->closed_end = t.end;
		s->end = t.end;
		if (t.high_id > r->high_id)
			r->high_id = t.high_id;
	}
	if (!have || !replay_footer(r, &t))
		replay_scan(r);
}
