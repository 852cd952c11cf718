// SPDX-License-Identifier: BSD-3-Clause
#include "pen_spool_check.h"

#include "pen_crc32c.h"
#include "pen_err.h"
#include "spool_core.h"
#include "spool_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define FOOTER_RETRY_MS 200 // online: one that is being written right now

struct seg {
	uint32_t slot;
	uint64_t epoch, size;
	uint64_t closed_end; // where a later segment says that it ended; 0 unknown
	struct spool_segment_header header;
	bool have_header, newer, zero, unreadable, has_batch;
	bool closed;   // whole up to its end
	bool torn;     // ends in an unfinished batch
	bool followed; // by a segment with a batch, so that its footer was synced
	char name[SPOOL_NAME_MAX];
};

// Faults of one segment wait until it is sure that it is still the same one.
struct held {
	uint64_t offset, length, id;
	char what[120];
};

struct check {
	const struct pen_spool_check_config *cfg;
	struct pen_spool_check *out;
	struct pen_disk *disk;
	struct seg *seg;
	uint32_t nseg, cap_seg;
	uint64_t low;
	struct spool_view scan, foot; // by all records; as a recovery would see it
	bool gaps;                    // online: a segment was left out

	const struct seg *at;
	const uint8_t *bytes;
	struct spool_trailer trailer;
	bool have_trailer, foot_good;
	uint64_t batches, records, torn;
	uint32_t last_batch;
	struct held *held;
	uint32_t nheld, cap_held;
	int err;
};

static void __attribute__((format(printf, 5, 6)))
fault(struct check *k, uint64_t offset, uint64_t length, uint64_t id, const char *fmt, ...)
{
	va_list ap;

	if (k->nheld == k->cap_held) {
		uint32_t cap = k->cap_held != 0 ? k->cap_held * 2 : 64;
		struct held *p = realloc(k->held, cap * sizeof(*p));
		if (p == NULL) {
			k->err = -ENOMEM;
			return;
		}
		k->held = p;
		k->cap_held = cap;
	}
	struct held *h = &k->held[k->nheld++];
	*h = (struct held){.offset = offset, .length = length, .id = id};
	va_start(ap, fmt);
	vsnprintf(h->what, sizeof(h->what), fmt, ap);
	va_end(ap);
}

static void faults_flush(struct check *k, const char *file)
{
	for (uint32_t i = 0; i < k->nheld; i++) {
		struct pen_spool_fault f = {.file = file,
			.offset = k->held[i].offset,
			.length = k->held[i].length,
			.id = k->held[i].id,
			.what = k->held[i].what};
		k->out->faults++;
		if (k->cfg->on_fault != NULL)
			k->cfg->on_fault(k->cfg->ctx, &f);
	}
	k->nheld = 0;
}

static void on_name(void *ctx, const char *name)
{
	struct check *k = ctx;
	unsigned slot;
	char again[SPOOL_NAME_MAX];

	if (sscanf(name, "seg-%8x", &slot) != 1 || slot == 0 || slot > 1u << 24)
		return;
	spool_segment_name(slot, again);
	if (strcmp(name, again) != 0)
		return;
	if (k->nseg == k->cap_seg) {
		uint32_t cap = k->cap_seg != 0 ? k->cap_seg * 2 : 64;
		struct seg *p = realloc(k->seg, cap * sizeof(*p));
		if (p == NULL) {
			k->err = -ENOMEM;
			return;
		}
		k->seg = p;
		k->cap_seg = cap;
	}
	struct seg *s = &k->seg[k->nseg++];
	*s = (struct seg){.slot = slot};
	snprintf(s->name, sizeof(s->name), "%s", name);
}

// Reads [from, from + n) of a segment's file; the bytes that are there.
static ssize_t read_at(struct check *k, const struct seg *s, uint8_t *p, size_t n, uint64_t from)
{
	struct pen_disk_file *f;
	int err = k->disk->ops->open(k->disk, s->name, PEN_DISK_DIRECT | PEN_DISK_READONLY, &f);

	if (err != 0)
		return err;
	ssize_t got = pen_disk_read(k->disk, f, p, n, from);
	k->disk->ops->close(k->disk, f);
	return got;
}

static int64_t size_of(struct check *k, const struct seg *s)
{
	struct pen_disk_file *f;
	int err = k->disk->ops->open(k->disk, s->name, PEN_DISK_DIRECT | PEN_DISK_READONLY, &f);

	if (err != 0)
		return err;
	int64_t size = k->disk->ops->size(k->disk, f);
	k->disk->ops->close(k->disk, f);
	return size;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void read_head(struct check *k, struct seg *s)
{
	uint8_t *head = pen_disk_alloc((size_t)2 * SPOOL_BLOCK);
	int64_t size = size_of(k, s);

	if (head == NULL) {
		k->err = -ENOMEM;
		return;
	}
	memset(head, 0, (size_t)2 * SPOOL_BLOCK);
	ssize_t got = size < 0 ? (ssize_t)size : read_at(k, s, head, (size_t)2 * SPOOL_BLOCK, 0);
	if (got < 0) {
		s->unreadable = true;
		// Online a segment may be given back to the file system meanwhile.
		if (got != -ENOENT || !k->out->online) {
			fault(k, 0, 0, 0, "cannot be read: %s", strerror((int)-got));
			faults_flush(k, s->name);
		}
		free(head);
		return;
	}
	s->size = (uint64_t)size & ~(uint64_t)(SPOOL_BLOCK - 1);
	s->have_header = spool_segment_header_decode(head, &s->header);
	s->newer = !s->have_header && spool_segment_header_newer(head) != 0;
	s->zero = all_zero(head, (size_t)2 * SPOOL_BLOCK);
	struct spool_batch_header first;
	s->has_batch = got == (ssize_t)2 * SPOOL_BLOCK &&
		       spool_batch_header_decode(head + SPOOL_BLOCK, &first) &&
		       first.epoch == s->header.epoch;
	if (s->have_header) {
		s->epoch = s->header.epoch;
		if (s->header.low_epoch > k->low)
			k->low = s->header.low_epoch;
	}
	free(head);
}

static int by_epoch(const void *a, const void *b)
{
	const struct seg *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->slot < y->slot ? -1 : 1;
}

static void on_record(void *ctx, const struct spool_record *r, uint32_t off)
{
	struct check *k = ctx;

	k->records++;
	if (r->type == SPOOL_META)
		fault(k, off, r->length, r->id, "a footer's record stands among the data");
	else if (!spool_record_sane(r))
		fault(k, off, r->length, r->id, "the lengths in a record do not add up");
	else if (!spool_view_replay(&k->scan, r, k->at->slot, off, r->length))
		fault(k, off, r->length, r->id, "a record makes no sense");
	else if (!k->foot_good)
		spool_view_replay(&k->foot, r, k->at->slot, off, r->length);
}

static void on_batch(void *ctx, const struct spool_batch_header *h)
{
	struct check *k = ctx;

	k->batches++;
	if (h->number != k->last_batch + 1)
		fault(k, 0, 0, 0, "batch %u follows batch %u", h->number, k->last_batch);
	k->last_batch = h->number;
}

static void on_bad(void *ctx, uint64_t offset, uint64_t length, bool torn)
{
	struct check *k = ctx;
	const uint8_t *p = k->bytes + offset;
	uint64_t id = 0;

	if (torn) {
		k->torn++;
		return;
	}
	if (length >= SPOOL_RECORD_HEADER && get32(p) == SPOOL_RECORD_MAGIC &&
		get64(p + 16) == k->at->epoch)
		id = get64(p + 24);
	fault(k, offset, length, id, "damaged bytes");
}

static void on_newer(void *ctx, const struct spool_record *r, uint32_t off)
{
	fault(ctx, off, r->length, r->id, "a record of version %u, which this program cannot read",
		r->p[13]);
}

// A footer's entry is the record at its offset, but for length, type and checksum.
static bool entry_matches(struct check *k, const struct spool_record *e, uint32_t off, uint32_t len)
{
	struct spool_record r;
	const uint8_t *at = k->bytes + off;

	// A damaged record is told once, with the data.
	if (off + SPOOL_RECORD_HEADER <= k->trailer.end && get32(at) == SPOOL_RECORD_MAGIC &&
		get64(at + 24) == e->id && get32(at + 8) == len &&
		!spool_record_parse(at, k->trailer.end - off, k->at->epoch, &r))
		return true;
	if (off >= k->trailer.end ||
		!spool_record_parse(k->bytes + off, k->trailer.end - off, k->at->epoch, &r) ||
		r.length != len || r.id != e->id)
		return false;
	if (e->type == SPOOL_UPDATE)
		return r.type == SPOOL_UPDATE && e->length == r.length &&
		       memcmp(e->p + 8, r.p + 8, r.length - 8) == 0;
	return e->type == SPOOL_META && r.type == SPOOL_MESSAGE &&
	       e->length == spool_meta_size(r.p) && e->p[13] == r.p[13] &&
	       memcmp(e->p + 14, r.p + 14, e->length - 14) == 0;
}

static void check_footer_entries(struct check *k)
{
	const uint8_t *p = k->bytes + k->trailer.foot_off;
	struct spool_record r;

	for (size_t at = 0; at + SPOOL_FOOT_ENTRY < k->trailer.foot_len;) {
		const uint8_t *q = p + at + SPOOL_FOOT_ENTRY;
		size_t room = k->trailer.foot_len - at - SPOOL_FOOT_ENTRY;
		uint64_t here = k->trailer.foot_off + at;
		if (!spool_record_parse_meta(q, room, &r)) {
			fault(k, here, room, 0, "a footer's entry cannot be read");
			k->foot_good = false;
			return;
		}
		uint32_t off = get32(p + at), len = get32(p + at + 4);
		if (!entry_matches(k, &r, off, len))
			fault(k, here, r.length, r.id,
				"a footer's entry differs from the record at %u", off);
		at += SPOOL_FOOT_ENTRY + align8(r.length);
	}
}

static void replay_footer(struct check *k)
{
	const uint8_t *p = k->bytes + k->trailer.foot_off;
	struct spool_record r;

	for (size_t at = 0; at + SPOOL_FOOT_ENTRY < k->trailer.foot_len;) {
		const uint8_t *q = p + at + SPOOL_FOOT_ENTRY;
		if (!spool_record_parse_meta(q, k->trailer.foot_len - at - SPOOL_FOOT_ENTRY, &r))
			return;
		spool_view_replay(&k->foot, &r, k->at->slot, get32(p + at), get32(p + at + 4));
		at += SPOOL_FOOT_ENTRY + align8(r.length);
	}
}

static bool footer_in_place(const struct check *k)
{
	const struct spool_trailer *t = &k->trailer;

	return t->foot_off != 0 && t->foot_off % SPOOL_BLOCK == 0 && t->foot_off >= t->end &&
	       t->foot_off + pen_disk_align(t->foot_len) + SPOOL_BLOCK == k->at->size;
}

static void check_trailer(struct check *k)
{
	const struct seg *s = k->at;
	const uint8_t *block = k->bytes + s->size - SPOOL_BLOCK;

	k->foot_good = false;
	k->have_trailer = spool_trailer_decode(block, &k->trailer) && k->trailer.epoch == s->epoch;
	if (!k->have_trailer) {
		// Its magic and epoch say that it was one.
		if (get32(block) == SPOOL_TRAILER_MAGIC && get64(block + 16) == s->epoch &&
			s->followed)
			fault(k, s->size - SPOOL_BLOCK, SPOOL_BLOCK, 0, "the trailer is damaged");
		return;
	}
	if (s->closed_end != 0 && s->closed_end != k->trailer.end)
		fault(k, s->size - SPOOL_BLOCK, 64, 0,
			"the trailer says that the data ends at %llu, the next segment at %llu",
			(unsigned long long)k->trailer.end, (unsigned long long)s->closed_end);
	if (k->trailer.foot_off == 0)
		return; // too large to be written
	if (!footer_in_place(k) || pen_crc32c(0, k->bytes + k->trailer.foot_off,
					   k->trailer.foot_len) != k->trailer.foot_crc) {
		if (s->followed)
			fault(k, k->trailer.foot_off, k->trailer.foot_len, 0,
				"the footer is damaged");
		return;
	}
	k->foot_good = true;
	k->out->footers++;
	check_footer_entries(k);
}

// Of an unfinished batch any record may have survived, without the one before.
static bool is_torn(const struct check *k, uint32_t slot)
{
	for (uint32_t i = 0; i < k->nseg; i++) {
		if (k->seg[i].slot == slot)
			return k->seg[i].torn;
	}
	return false;
}

// A segment that was given up after an error was never closed.
static bool may_have_failed(void *ctx, uint32_t slot)
{
	const struct check *k = ctx;

	for (uint32_t i = 0; i < k->nseg; i++) {
		if (k->seg[i].slot == slot)
			return !k->seg[i].closed;
	}
	return false;
}

// Everything in one segment's bytes, into the two views.
static void check_bytes(struct check *k, struct seg *s, const uint8_t *p)
{
	static const struct spool_scan calls = {NULL, on_record, on_batch, on_bad, on_newer};
	struct spool_scan scan = calls;

	k->at = s;
	k->bytes = p;
	k->batches = k->records = k->torn = 0;
	k->last_batch = 0;
	scan.ctx = k;
	if (s->have_header && s->header.segment_bytes != s->size)
		fault(k, 0, 64, 0, "the header says %llu bytes, the file has %llu",
			(unsigned long long)s->header.segment_bytes, (unsigned long long)s->size);
	check_trailer(k);
	s->closed = k->have_trailer || s->closed_end != 0;
	spool_scan(&scan, p, s->size, s->epoch, k->have_trailer ? k->trailer.end : s->closed_end);
	if (k->foot_good)
		replay_footer(k);
	k->bytes = NULL;
}

// Whether the segment is still what it was when the check began.
static bool same_still(struct check *k, const struct seg *s)
{
	struct seg again = {.slot = s->slot};

	memcpy(again.name, s->name, sizeof(again.name));
	read_head(k, &again);
	return !again.unreadable && again.have_header && again.epoch == s->epoch;
}

static void pause_ms(int ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000l};

	nanosleep(&t, NULL);
}

static int read_whole(struct check *k, const struct seg *s, uint8_t *p)
{
	ssize_t got = read_at(k, s, p, s->size, 0);

	if (got == (ssize_t)s->size)
		return 0;
	if (got == -ENOENT && k->out->online)
		return -ENOENT;
	fault(k, 0, s->size, 0, "cannot be read: %s", strerror(got < 0 ? (int)-got : EIO));
	memset(p, 0, s->size);
	for (uint64_t off = 0; off < s->size; off += SPOOL_BLOCK)
		read_at(k, s, p + off, SPOOL_BLOCK, off);
	return 0;
}

// Online, the footer of a segment that was closed this moment may be half
// written: look again.
static bool footer_settled(struct check *k, const struct seg *s, const uint8_t *p)
{
	k->at = s;
	k->bytes = p;
	check_trailer(k);
	bool good = k->nheld == 0;
	if (k->foot_good)
		k->out->footers--;
	k->nheld = 0;
	return good;
}

static void check_segment(struct check *k, struct seg *s)
{
	uint8_t *p = pen_disk_alloc(s->size);

	if (p == NULL) {
		k->err = -ENOMEM;
		return;
	}
	int err = read_whole(k, s, p);
	if (err == 0 && k->out->online && !footer_settled(k, s, p)) {
		pause_ms(FOOTER_RETRY_MS);
		err = read_whole(k, s, p);
	}
	if (err == 0 && (!k->out->online || same_still(k, s))) {
		check_bytes(k, s, p);
		k->out->checked++;
		k->out->batches += k->batches;
		k->out->records += k->records;
		s->torn = k->torn > 0;
		k->out->torn += s->torn;
	} else {
		k->nheld = 0;
		k->out->skipped++;
		k->gaps = true;
	}
	faults_flush(k, s->name);
	free(p);
}

// A segment without a valid header: empty, put aside by nobody yet, or damaged.
static void check_headless(struct check *k, struct seg *s)
{
	if (s->unreadable)
		return;
	if (s->zero || s->size < (uint64_t)4 * SPOOL_BLOCK) {
		k->out->fresh++;
		return;
	}
	if (k->out->online && pen_disk_align(s->size) != s->size)
		return;
	if (s->newer) {
		fault(k, 0, s->size, 0, "a segment of a later version of this program");
		faults_flush(k, s->name);
		return;
	}
	uint8_t *p = pen_disk_alloc(s->size);
	if (p == NULL) {
		k->err = -ENOMEM;
		return;
	}
	if (read_at(k, s, p, s->size, 0) == (ssize_t)s->size)
		s->epoch = spool_scan_epoch(p, s->size);
	free(p);
	fault(k, 0, SPOOL_BLOCK, 0,
		s->epoch != 0 ? "the segment's header is damaged" : "no segment of a spool");
	faults_flush(k, s->name);
}

// The newest segment is open, and so may be one that was given up after an
// error: closed is what a successor or a trailer says is whole.
static bool is_closed(struct check *k, const struct seg *s)
{
	uint8_t *block = pen_disk_alloc(SPOOL_BLOCK);
	struct spool_trailer t;

	if (s->closed_end != 0 || block == NULL) {
		free(block);
		return s->closed_end != 0;
	}
	bool closed = read_at(k, s, block, SPOOL_BLOCK, s->size - SPOOL_BLOCK) == SPOOL_BLOCK &&
		      spool_trailer_decode(block, &t) && t.epoch == s->epoch;
	free(block);
	return closed;
}

static void link_segments(struct check *k)
{
	if (k->nseg > 0)
		qsort(k->seg, k->nseg, sizeof(*k->seg), by_epoch);
	for (uint32_t i = 1; i < k->nseg; i++) {
		struct seg *s = &k->seg[i], *before = s - 1;
		if (s->epoch == 0)
			continue;
		if (s->epoch == before->epoch) {
			fault(k, 24, 8, 0, "has the same epoch as %s", before->name);
			faults_flush(k, s->name);
		}
		if (s->have_header && before->epoch == s->header.prev_epoch) {
			before->closed_end = s->header.prev_end;
			before->followed = s->has_batch;
		}
	}
}

static void check_segments(struct check *k)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < k->nseg; i++)
		total += k->seg[i].size;
	for (uint32_t i = 0; i < k->nseg && k->err == 0; i++) {
		struct seg *s = &k->seg[i];
		k->out->bytes += s->size;
		if (s->epoch == 0)
			continue;
		if (s->epoch < k->low || s->size < (uint64_t)4 * SPOOL_BLOCK) {
			k->out->fresh++;
		} else if (k->out->online && !is_closed(k, s)) {
			k->out->skipped++;
			k->gaps = k->gaps || i + 1 < k->nseg;
		} else {
			check_segment(k, s);
		}
		if (k->cfg->on_progress != NULL)
			k->cfg->on_progress(k->cfg->ctx, k->out->bytes, total);
	}
}

static const char *name_of(struct check *k, uint32_t slot, char name[SPOOL_NAME_MAX])
{
	(void)k;
	spool_segment_name(slot, name);
	return name;
}

// Both indexes have to agree; links have to lead from update to update.
static void compare_views(struct check *k)
{
	char name[SPOOL_NAME_MAX];

	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++) {
		const struct spool_shard *s = &k->scan.index.shard[i];
		for (uint32_t at = 0; at < s->cap; at++) {
			const struct spool_entry *e = &s->cells[at];
			if (e->id == 0)
				continue;
			const struct spool_entry *f = spool_index_find(&k->foot.index, e->id);
			if (f == NULL)
				fault(k, e->off, e->len, e->id,
					"the message is in no footer: a recovery would lose it");
			else if (f->slot != e->slot || f->off != e->off || f->len != e->len)
				fault(k, e->off, e->len, e->id,
					"a footer has the message at another place");
			else if (f->upd_slot != e->upd_slot || f->upd_off != e->upd_off)
				fault(k, e->off, e->len, e->id,
					"a footer leaves out the message's last change");
			if (spool_view_broken(e) && !is_torn(k, e->upd_slot) &&
				!may_have_failed(k, e->upd_slot))
				fault(k, e->upd_off, SPOOL_UPDATE_FIXED, e->id,
					"a change does not follow the one before it");
			faults_flush(k, name_of(k, e->slot, name));
		}
	}
	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++) {
		const struct spool_shard *s = &k->foot.index.shard[i];
		for (uint32_t at = 0; at < s->cap; at++) {
			const struct spool_entry *f = &s->cells[at];
			if (f->id == 0 || spool_index_find(&k->scan.index, f->id) != NULL)
				continue;
			fault(k, f->off, f->len, f->id,
				"a footer has a message that has ended: a recovery would bring it "
				"back");
			faults_flush(k, name_of(k, f->slot, name));
		}
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct spool_seen *)a)->m->id;
	uint64_t y = ((const struct spool_seen *)b)->m->id;

	return x < y ? -1 : x > y;
}

static void count_message(struct pen_spool_totals *t, const struct spool_seen *s)
{
	bool queued = pen_message_live(s->m);

	if (s->ended && queued) {
		t->taken_back++;
		return;
	}
	t->live += !s->ended;
	t->ended += s->ended;
	for (uint32_t i = 0; i < s->m->nrcpt; i++) {
		const struct pen_recipient *r = &s->m->rcpt[i];
		t->recipients[r->fate]++;
		if (!s->ended)
			t->live_recipients[r->fate]++;
		t->in_doubt += r->fate == PEN_FATE_QUEUED && r->doubts > 0;
	}
}

static void hand_out(struct check *k)
{
	struct spool_view *v = &k->scan;
	char name[SPOOL_NAME_MAX];

	if (v->nseen > 0)
		qsort(v->seen, v->nseen, sizeof(*v->seen), by_id);
	for (uint32_t i = 0; i < v->nseen; i++) {
		const struct spool_seen *s = &v->seen[i];
		count_message(&k->out->totals, s);
		if (k->cfg->on_message == NULL)
			continue;
		struct pen_spool_seen out = {.m = s->m,
			.ended = s->ended,
			.file = name_of(k, s->slot, name),
			.offset = s->off,
			.length = s->len};
		k->cfg->on_message(k->cfg->ctx, &out);
	}
}

static int run(struct check *k)
{
	int err = k->disk->ops->list(k->disk, on_name, k);

	for (uint32_t i = 0; i < k->nseg && k->err == 0 && err == 0; i++)
		read_head(k, &k->seg[i]);
	if (err == 0 && k->err == 0) {
		k->out->segments = k->nseg;
		for (uint32_t i = 0; i < k->nseg; i++) {
			if (!k->seg[i].have_header)
				check_headless(k, &k->seg[i]);
		}
		link_segments(k);
		k->scan.keep = true;
		k->scan.may_have_failed = may_have_failed;
		k->scan.ctx = k;
		check_segments(k);
		k->err = k->err != 0 ? k->err : k->scan.err != 0 ? k->scan.err : k->foot.err;
		if (k->err == 0 && !k->gaps)
			compare_views(k);
		if (k->err == 0)
			hand_out(k);
	}
	return err != 0 ? err : k->err;
}

static int open_folder(struct check *k, char *error, size_t cap)
{
	struct stat st;
	int err = 0;

	k->disk = k->cfg->disk;
	if (k->disk != NULL)
		return 0;
	if (stat(k->cfg->directory, &st) != 0)
		err = -errno;
	else if (!S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err == 0)
		return pen_disk_posix_new(k->cfg->directory, &k->disk, error, cap);
	snprintf(error, cap, "cannot read the spool %s: %s", k->cfg->directory, strerror(-err));
	return err;
}

int pen_spool_check(const struct pen_spool_check_config *cfg, struct pen_spool_check *out,
	char *error, size_t error_cap)
{
	struct check k = {.cfg = cfg, .out = out};

	memset(out, 0, sizeof(*out));
	int err = open_folder(&k, error, error_cap);
	if (err != 0)
		return err;
	err = k.disk->ops->lock_shared(k.disk);
	out->online = err == -EWOULDBLOCK;
	if (err == 0 || out->online)
		err = run(&k);
	if (err != 0)
		snprintf(error, error_cap, "cannot read the spool %s: %s",
			cfg->directory != NULL ? cfg->directory : "", strerror(-err));
	spool_view_fini(&k.scan);
	spool_view_fini(&k.foot);
	free(k.seg);
	free(k.held);
	if (cfg->disk == NULL)
		pen_disk_free(k.disk);
	else if (!out->online)
		k.disk->ops->unlock(k.disk);
	return err;
}
