// SPDX-License-Identifier: BSD-3-Clause
#include "spool_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOOTER_RETRY_MS 200 // online: one that is being written right now

ssize_t spool_check_read(struct check *k, const struct seg *s, uint8_t *p, size_t n, uint64_t from)
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

void spool_check_head(struct check *k, struct seg *s)
{
	uint8_t *head = pen_disk_alloc((size_t)2 * SPOOL_BLOCK);
	int64_t size = size_of(k, s);

	if (head == NULL) {
		k->err = -ENOMEM;
		return;
	}
	memset(head, 0, (size_t)2 * SPOOL_BLOCK);
	ssize_t got =
		size < 0 ? (ssize_t)size : spool_check_read(k, s, head, (size_t)2 * SPOOL_BLOCK, 0);
	if (got < 0) {
		s->unreadable = true;
		// Online a segment may be given back to the file system meanwhile.
		if (got != -ENOENT || !k->out->online) {
			spool_check_fault(k, 0, 0, 0, "cannot be read: %s", strerror((int)-got));
			spool_check_tell(k, s->name);
		}
		free(head);
		return;
	}
	s->size = (uint64_t)size & ~(uint64_t)(SPOOL_BLOCK - 1);
	s->have_header = spool_segment_header_decode(head, &s->header);
	s->newer = !s->have_header && spool_segment_header_newer(head) != 0;
	s->zero = spool_blocks_zero(head, (size_t)2 * SPOOL_BLOCK);
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

static void on_record(void *ctx, const struct spool_record *r, uint32_t off)
{
	struct check *k = ctx;

	k->records++;
	if (r->type == SPOOL_META)
		spool_check_fault(
			k, off, r->length, r->id, "a footer's record stands among the data");
	else if (!spool_record_sane(r))
		spool_check_fault(
			k, off, r->length, r->id, "the lengths in a record do not add up");
	else if (!spool_view_replay(&k->scan, r, k->at->slot, off, r->length))
		spool_check_fault(k, off, r->length, r->id, "a record makes no sense");
	else if (!k->foot_good)
		spool_view_replay(&k->foot, r, k->at->slot, off, r->length);
}

static void on_batch(void *ctx, const struct spool_batch_header *h)
{
	struct check *k = ctx;

	k->batches++;
	if (h->number != k->last_batch + 1)
		spool_check_fault(
			k, 0, 0, 0, "batch %u follows batch %u", h->number, k->last_batch);
	k->last_batch = h->number;
}

static void on_bad(void *ctx, uint64_t offset, uint64_t length, bool torn)
{
	struct check *k = ctx;

	if (torn) {
		k->torn++;
		return;
	}
	uint64_t id = spool_record_guess(k->bytes + offset, length, k->at->epoch);
	spool_check_fault(k, offset, length, id, "damaged bytes");
}

static void on_newer(void *ctx, const struct spool_record *r, uint32_t off)
{
	spool_check_fault(ctx, off, r->length, r->id,
		"a record of version %u, which this program cannot read", r->p[13]);
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
		spool_check_fault(k, 0, 64, 0, "the header says %llu bytes, the file has %llu",
			(unsigned long long)s->header.segment_bytes, (unsigned long long)s->size);
	spool_check_trailer(k);
	s->closed = k->have_trailer || s->closed_end != 0;
	spool_scan(&scan, p, s->size, s->epoch, k->have_trailer ? k->trailer.end : s->closed_end);
	if (k->foot_good)
		spool_check_footer_replay(k);
	k->bytes = NULL;
}

// Whether the segment is still what it was when the check began.
static bool same_still(struct check *k, const struct seg *s)
{
	struct seg again = {.slot = s->slot};

	memcpy(again.name, s->name, sizeof(again.name));
	spool_check_head(k, &again);
	return !again.unreadable && again.have_header && again.epoch == s->epoch;
}

static void pause_ms(int ms)
{
	struct timespec t = {.tv_nsec = ms * 1000000l};

	nanosleep(&t, NULL);
}

static int read_whole(struct check *k, const struct seg *s, uint8_t *p)
{
	ssize_t got = spool_check_read(k, s, p, s->size, 0);

	if (got == (ssize_t)s->size)
		return 0;
	if (got == -ENOENT && k->out->online)
		return -ENOENT;
	spool_check_fault(
		k, 0, s->size, 0, "cannot be read: %s", strerror(got < 0 ? (int)-got : EIO));
	memset(p, 0, s->size);
	for (uint64_t off = 0; off < s->size; off += SPOOL_BLOCK)
		spool_check_read(k, s, p + off, SPOOL_BLOCK, off);
	return 0;
}

// Online, the footer of a segment that was closed this moment may be half
// written: look again.
static bool footer_settled(struct check *k, const struct seg *s, const uint8_t *p)
{
	k->at = s;
	k->bytes = p;
	spool_check_trailer(k);
	bool good = k->nheld == 0;
	if (k->foot_good)
		k->out->footers--;
	k->nheld = 0;
	return good;
}

void spool_check_segment(struct check *k, struct seg *s)
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
	spool_check_tell(k, s->name);
	free(p);
}

void spool_check_headless(struct check *k, struct seg *s)
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
		spool_check_fault(k, 0, s->size, 0, "a segment of a later version of this program");
		spool_check_tell(k, s->name);
		return;
	}
	uint8_t *p = pen_disk_alloc(s->size);
	if (p == NULL) {
		k->err = -ENOMEM;
		return;
	}
	if (spool_check_read(k, s, p, s->size, 0) == (ssize_t)s->size)
		s->epoch = spool_scan_epoch(p, s->size);
	free(p);
	spool_check_fault(k, 0, SPOOL_BLOCK, 0,
		s->epoch != 0 ? "the segment's header is damaged" : "no segment of a spool");
	spool_check_tell(k, s->name);
}
