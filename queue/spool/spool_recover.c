// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_crc32c.h"
#include "pen_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("queue.spool");

// Recovery replays the segments from the oldest epoch to the newest. It needs
// no file but the segments. While it runs, an index entry's flags above
// FLAG_BITS hold the message's place in `msg`.

#define FLAG_BITS 4
#define FLAG_MASK ((1u << FLAG_BITS) - 1)

struct found {
	struct spool_segment *segment;
	struct spool_segment_header header;
	bool have_header;
	bool junk, newer;
};

struct recovery {
	struct pen_spool_core *c;
	struct found *found;
	uint32_t nfound, cap_found;
	struct pen_message **msg;
	uint32_t nmsg, cap_msg;
	struct spool_segment *at; // being replayed
	const uint8_t *bytes;     // of it, when it is scanned
	uint64_t low, high_id, high_epoch;
	int err;
};

static struct pen_message **entry_message(struct recovery *r, const struct spool_entry *e)
{
	return &r->msg[e->flags >> FLAG_BITS];
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
	if (r->nmsg >= UINT32_MAX >> FLAG_BITS)
		return -EOVERFLOW;
	e->flags = (e->flags & FLAG_MASK) | r->nmsg << FLAG_BITS;
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
	uint64_t id = 0;

	if (torn) {
		spool_problem(r->c, &(struct pen_spool_problem){.kind = PEN_SPOOL_TORN,
					    .file = r->at->name,
					    .offset = offset,
					    .length = length});
		return;
	}
	// A guess that helps the operator: the header often survives.
	if (length >= SPOOL_RECORD_HEADER && get32(p) == SPOOL_RECORD_MAGIC &&
		get64(p + 16) == r->at->epoch)
		id = get64(p + 24);
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
	struct spool_record record;

	for (size_t at = 0; at + SPOOL_FOOT_ENTRY < n;) {
		size_t room = n - at - SPOOL_FOOT_ENTRY;
		if (!spool_record_parse_meta(p + at + SPOOL_FOOT_ENTRY, room, &record))
			return false;
		at += SPOOL_FOOT_ENTRY + align8(record.length);
	}
	return true;
}

static bool replay_footer(struct recovery *r, const struct spool_trailer *t)
{
	struct spool_segment *s = r->at;
	uint64_t room = pen_disk_align(t->foot_len);
	struct spool_record record;

	if (t->foot_off == 0 || t->foot_off % SPOOL_BLOCK != 0 || t->foot_off < t->end ||
		t->foot_off + room + SPOOL_BLOCK != s->size)
		return false;
	uint8_t *p = pen_disk_alloc(room > 0 ? room : SPOOL_BLOCK);
	if (p == NULL)
		return false;
	bool good = room == 0 ||
		    pen_disk_read(r->c->disk, s->file, p, room, t->foot_off) == (ssize_t)room;
	good = good && pen_crc32c(0, p, t->foot_len) == t->foot_crc && footer_known(p, t->foot_len);
	for (size_t at = 0; good && at + SPOOL_FOOT_ENTRY < t->foot_len;) {
		const uint8_t *q = p + at + SPOOL_FOOT_ENTRY;
		spool_record_parse_meta(q, t->foot_len - at - SPOOL_FOOT_ENTRY, &record);
		replay_record(r, &record, get32(p + at), get32(p + at + 4));
		at += SPOOL_FOOT_ENTRY + align8(record.length);
	}
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

static void replay_segment(struct recovery *r, struct spool_segment *s)
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

static void on_name(void *ctx, const char *name)
{
	struct recovery *r = ctx;
	unsigned slot;
	char again[SPOOL_NAME_MAX];
	int err;

	if (r->err != 0 || sscanf(name, "seg-%8x", &slot) != 1 || slot == 0 || slot > 1u << 24)
		return;
	spool_segment_name(slot, again);
	if (strcmp(name, again) != 0)
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

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
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
	} else if (!all_zero(head, (size_t)2 * SPOOL_BLOCK) || got < 0) {
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
		e->flags &= FLAG_MASK & ~(uint32_t)SPOOL_ENTRY_BROKEN;
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
		replay_segment(&r, s);
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
