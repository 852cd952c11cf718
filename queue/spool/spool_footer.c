// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_crc32c.h"

#include <errno.h>
#include <stdlib.h>

// The footer repeats what recovery needs of a closed segment: the envelopes of
// its messages and the updates, each behind its original offset and length.
// Their own checksums don't hold (the footer has one over everything), so that
// a scan never takes them for records.

static uint8_t *foot_entry(struct pen_spool_core *c, uint32_t n, uint32_t off, uint32_t len)
{
	uint64_t room = SPOOL_FOOT_ENTRY + align8(n);

	if (pen_buf_reserve(&c->foot, room) != 0) {
		// Too large for a footer: recovery will scan this segment.
		size_t limit = c->foot.limit;
		pen_buf_fini(&c->foot);
		c->foot.limit = limit;
		c->foot.failed = true;
		return NULL;
	}
	uint8_t *p = c->foot.p + c->foot.n;
	memset(p, 0, room);
	put32(p, off);
	put32(p + 4, len);
	c->foot.n += room;
	return p + SPOOL_FOOT_ENTRY;
}

void spool_foot_message(struct pen_spool_core *c, const uint8_t *record, uint32_t off)
{
	uint8_t *p = foot_entry(c, spool_meta_size(record), off, get32(record + 8));

	if (p != NULL) {
		spool_meta_encode(p, record);
		put32(p + 4, 0);
	}
}

void spool_foot_update(struct pen_spool_core *c, const uint8_t *record, uint32_t off)
{
	uint32_t n = get32(record + 8);
	uint8_t *p = foot_entry(c, n, off, n);

	if (p != NULL) {
		memcpy(p, record, n);
		put32(p + 4, 0);
	}
}

uint64_t spool_foot_room(const struct pen_spool_core *c, uint64_t more)
{
	uint64_t n = c->foot.n + more;

	if (c->foot.failed || n > c->foot.limit)
		n = 0;
	return pen_disk_align(n) + SPOOL_BLOCK;
}

// Whether recovery needs the entry: not the envelope of a message that is gone
// or elsewhere, not the updates of one that is gone; every tombstone.
static bool foot_needed(struct pen_spool_core *c, const uint8_t *p, uint32_t off)
{
	struct spool_entry *e = spool_index_find(&c->index, get64(p + 24));

	if (p[12] == SPOOL_META)
		return e != NULL && e->slot == c->active->slot && e->off == off;
	return e != NULL || p[64] != 0;
}

static size_t foot_filter(struct pen_spool_core *c)
{
	size_t to = 0;

	for (size_t at = 0; at < c->foot.n;) {
		const uint8_t *record = c->foot.p + at + SPOOL_FOOT_ENTRY;
		size_t n = SPOOL_FOOT_ENTRY + align8(get32(record + 8));

		if (foot_needed(c, record, get32(c->foot.p + at))) {
			memmove(c->foot.p + to, c->foot.p + at, n);
			to += n;
		}
		at += n;
	}
	return to;
}

void spool_foot_write(struct pen_spool_core *c)
{
	struct spool_segment *s = c->active;
	size_t n = c->foot.failed ? 0 : foot_filter(c);
	// A batch that was expected to outgrow the footer reserved no room for it.
	if (s->end + pen_disk_align(n) + SPOOL_BLOCK > s->size) {
		c->foot.failed = true;
		n = 0;
	}
	uint64_t room = pen_disk_align(n) + SPOOL_BLOCK;
	uint8_t *p = s->batches > 0 ? pen_disk_alloc(room) : NULL;

	if (p == NULL) {
		pen_buf_fini(&c->foot);
		return;
	}
	struct spool_trailer t = {.epoch = s->epoch,
		.low_epoch = spool_low_epoch(c),
		.high_id = c->last_id,
		.end = s->end,
		.foot_off = c->foot.failed ? 0 : (uint32_t)(s->size - room),
		.foot_len = (uint32_t)n,
		.foot_crc = pen_crc32c(0, c->foot.p, n)};
	if (n > 0)
		memcpy(p, c->foot.p, n);
	memset(p + n, 0, room - n);
	spool_trailer_encode(p + room - SPOOL_BLOCK, &t);
	int err = pen_disk_write(c->disk, s->file, p, room, s->size - room);
	PEN_COUNT_N(c->ctr.bytes_written, room);
	// Not needed for durability: without it recovery reads the records. But a
	// footer that is synced before the next segment has a batch, and damaged
	// later, is known to be damage.
	PEN_COUNT(c->ctr.syncs);
	if (err == 0)
		err = c->disk->ops->datasync(c->disk, s->file);
	if (err != 0) {
		PEN_COUNT(c->ctr.io_errors);
		spool_io_problem(c, s->name, err);
	}
	free(p);
	pen_buf_fini(&c->foot);
}

bool spool_foot_in_place(const struct spool_trailer *t, uint64_t size)
{
	return t->foot_off != 0 && t->foot_off % SPOOL_BLOCK == 0 && t->foot_off >= t->end &&
	       t->foot_off + pen_disk_align(t->foot_len) + SPOOL_BLOCK == size;
}

int spool_foot_next(const uint8_t *p, uint32_t n, size_t *at, struct spool_foot_entry *e)
{
	if (*at + SPOOL_FOOT_ENTRY >= n)
		return 0;
	p += *at;
	if (!spool_record_parse_meta(p + SPOOL_FOOT_ENTRY, n - *at - SPOOL_FOOT_ENTRY, &e->record))
		return -EBADMSG;
	e->off = get32(p);
	e->len = get32(p + 4);
	*at += SPOOL_FOOT_ENTRY + align8(e->record.length);
	return 1;
}
