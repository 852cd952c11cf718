// SPDX-License-Identifier: BSD-3-Clause
#include "spool_check.h"

#include "pen_crc32c.h"

// A footer's entry is the record at its offset, but for length, type and checksum.
static bool entry_matches(struct check *k, const struct spool_foot_entry *entry)
{
	const struct spool_record *e = &entry->record;
	struct spool_record r;

	if (entry->off >= k->trailer.end)
		return false;
	const uint8_t *at = k->bytes + entry->off;
	// A damaged record is told once, with the data.
	if ((uint64_t)entry->off + SPOOL_RECORD_HEADER <= k->trailer.end &&
		get32(at) == SPOOL_RECORD_MAGIC && get64(at + 24) == e->id &&
		get32(at + 8) == entry->len &&
		!spool_record_parse(at, k->trailer.end - entry->off, k->at->epoch, &r))
		return true;
	if (!spool_record_parse(at, k->trailer.end - entry->off, k->at->epoch, &r) ||
		r.length != entry->len || r.id != e->id)
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
	struct spool_foot_entry e;
	size_t at = 0, from = 0;
	int more;

	for (; (more = spool_foot_next(p, k->trailer.foot_len, &at, &e)) > 0; from = at) {
		if (!entry_matches(k, &e))
			spool_check_fault(k, k->trailer.foot_off + from, e.record.length,
				e.record.id, "a footer's entry differs from the record at %u",
				e.off);
	}
	if (more == 0)
		return;
	spool_check_fault(k, k->trailer.foot_off + from,
		k->trailer.foot_len - from - SPOOL_FOOT_ENTRY, 0,
		"a footer's entry cannot be read");
	k->foot_good = false;
}

void spool_check_footer_replay(struct check *k)
{
	const uint8_t *p = k->bytes + k->trailer.foot_off;
	struct spool_foot_entry e;

	for (size_t at = 0; spool_foot_next(p, k->trailer.foot_len, &at, &e) > 0;)
		spool_view_replay(&k->foot, &e.record, k->at->slot, e.off, e.len);
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
	if (!spool_foot_in_place(&k->trailer, s->size) ||
		pen_crc32c(0, k->bytes + k->trailer.foot_off, k->trailer.foot_len) !=
			k->trailer.foot_crc) {
		if (s->followed)
			spool_check_fault(k, k->trailer.foot_off, k->trailer.foot_len, 0,
				"the footer is damaged");
		return;
	}
	k->foot_good = true;
	k->out->footers++;
	check_footer_entries(k);
}
