// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

// Where batches start is known (blocks), where records start nearly so
// (multiples of 8): past damage the walk goes on at the next one whose checksum
// and epoch hold. The random half of the epoch keeps mail content from posing
// as a record.

static bool batch_at(const uint8_t *p, uint64_t size, uint64_t off, uint64_t epoch, uint32_t above,
	struct spool_batch_header *h)
{
	return off + SPOOL_BATCH_HEADER <= size && spool_batch_header_decode(p + off, h) &&
	       h->epoch == epoch && h->number > above && h->length <= size - off;
}

// The first batch at or behind off, or `size`.
static uint64_t next_batch(const uint8_t *p, uint64_t size, uint64_t off, uint64_t epoch,
	uint32_t above, struct spool_batch_header *h)
{
	for (; off < size; off += SPOOL_BLOCK) {
		if (batch_at(p, size, off, epoch, above, h))
			return off;
	}
	return size;
}

struct walk {
	const struct spool_scan *s;
	const uint8_t *p;
	uint64_t epoch;
};

// Records in [from, to); what is none is reported as bad. Returns the end of
// the last record, or `from`.
static uint64_t walk_records(
	const struct walk *w, uint64_t from, uint64_t to, bool torn, bool quiet)
{
	uint64_t pos = from, bad = UINT64_MAX, end = from;
	struct spool_record r;

	while (pos + SPOOL_RECORD_HEADER <= to) {
		bool known = spool_record_parse(w->p + pos, to - pos, w->epoch, &r);
		if (!known && !spool_record_newer(w->p + pos, to - pos, w->epoch, &r)) {
			if (bad == UINT64_MAX)
				bad = pos;
			pos += 8;
			continue;
		}
		if (bad != UINT64_MAX)
			w->s->bad(w->s->ctx, bad, pos - bad, torn);
		bad = UINT64_MAX;
		if (known)
			w->s->record(w->s->ctx, &r, (uint32_t)pos);
		else
			w->s->newer(w->s->ctx, &r, (uint32_t)pos);
		pos += align8(r.length);
		end = pos;
	}
	if (bad == UINT64_MAX && pos < to)
		bad = pos;
	if (bad != UINT64_MAX && bad < to && !quiet)
		w->s->bad(w->s->ctx, bad, to - bad, torn);
	return end;
}

uint64_t spool_scan(const struct spool_scan *s, const uint8_t *p, uint64_t size, uint64_t epoch,
	uint64_t closed_end)
{
	struct walk w = {s, p, epoch};
	struct spool_batch_header h;
	uint64_t end = SPOOL_BLOCK;
	bool closed = closed_end >= SPOOL_BLOCK && closed_end <= size;
	uint64_t limit = closed ? closed_end : size & ~(uint64_t)(SPOOL_BLOCK - 1);
	uint32_t number = 0;

	for (uint64_t at = next_batch(p, limit, end, epoch, 0, &h); at < limit;) {
		// A batch was written only after the one before was durable.
		if (at > end)
			walk_records(&w, end + SPOOL_BATCH_HEADER, at, false, false);
		struct spool_batch_header this = h;
		number = this.number;
		uint64_t next =
			next_batch(p, limit, at + pen_disk_align(this.length), epoch, number, &h);
		s->batch(s->ctx, &this);
		walk_records(&w, at + SPOOL_BATCH_HEADER, at + this.length,
			next == limit && !closed, false);
		end = at + pen_disk_align(this.length);
		at = next;
	}
	if (end + SPOOL_BATCH_HEADER < limit) {
		// The last batch's header may be what is damaged. In a segment that
		// was open at a crash most of this is old or empty: no report.
		uint64_t last = walk_records(&w, end + SPOOL_BATCH_HEADER, limit, !closed, !closed);
		if (last > end + SPOOL_BATCH_HEADER)
			end = pen_disk_align(last);
	}
	return closed ? closed_end : end;
}

uint64_t spool_scan_epoch(const uint8_t *p, uint64_t size)
{
	struct spool_batch_header h;

	for (uint64_t off = SPOOL_BLOCK; off + SPOOL_BATCH_HEADER <= size; off += SPOOL_BLOCK) {
		if (spool_batch_header_decode(p + off, &h))
			return h.epoch;
	}
	return 0;
}
