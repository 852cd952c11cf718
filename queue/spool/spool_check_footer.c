// SPDX-License-Identifier: BSD-3-Clause
#include "spool_check.h"

#include "pen_crc32c.h"

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
			spool_check_fault(k, here, room, 0, "a footer's entry cannot be read");
			k->foot_good = false;
			return;
		}
		uint32_t off = get32(p + at), len = get32(p + at + 4);
		if (!entry_matches(k, &r, off, len))
			spool_check_fault(k, here, r.length, r.id,
				"a footer's entry differs from the record at %u", off);
		at += SPOOL_FOOT_ENTRY + align8(r.length);
	}
}

void spool_check_footer_replay(struct check *k)
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

void spool_check_trailer(struct check *k)
{
	const struct seg *s = k->at;
	const uint8_t *block = k->bytes + s->size - SPOOL_BLOCK;

	k->foot_good = false;
	k->have_trailer = spool_trailer_decode(block, &k->trailer) && k->trailer.epoch == s->epoch;
	if (!k->have_trailer) {
		// Its magic and epoch say that it was one.
		if (get32(block) == SPOOL_TRAILER_MAGIC && get64(block + 16) == s->epoch &&
			s->followed)
			spool_check_fault(
				k, s->size - SPOOL_BLOCK, SPOOL_BLOCK, 0, "the trailer is damaged");
		return;
	}
	if (s->closed_end != 0 && s->closed_end != k->trailer.end)
		spool_check_fault(k, s->size - SPOOL_BLOCK, 64, 0,
			"the trailer says that the data ends at %llu, the next segment at %llu",
			(unsigned long long)k->trailer.end, (unsigned long long)s->closed_end);
	if (k->trailer.foot_off == 0)
		return; // too large to be written
	if (!footer_in_place(k) || pen_crc32c(0, k->bytes + k->trailer.foot_off,
					   k->trailer.foot_len) != k->trailer.foot_crc) {
		if (s->followed)
			spool_check_fault(k, k->trailer.foot_off, k->trailer.foot_len, 0,
				"the footer is damaged");
		return;
	}
	k->foot_good = true;
	k->out->footers++;
	check_footer_entries(k);
}
