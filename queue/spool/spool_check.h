// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A check of a spool under way, shared by the spool_check*.c files only.

#include "pen_spool_check.h"
#include "spool_core.h"
#include "spool_view.h"

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

// spool_check_fault.c
// Notes a fault of the segment at hand; out of memory is k->err.
void __attribute__((format(printf, 5, 6))) spool_check_fault(
	struct check *k, uint64_t offset, uint64_t length, uint64_t id, const char *fmt, ...);
// Hands out what was noted, as faults of that file.
void spool_check_tell(struct check *k, const char *file);

// spool_check_footer.c, of the segment `at` with its `bytes`
void spool_check_trailer(struct check *k);
// What a recovery would take from a good footer.
void spool_check_footer_replay(struct check *k);

// spool_check_segment.c
// Reads [from, from + n) of a segment's file; the bytes that are there, or -errno.
ssize_t spool_check_read(struct check *k, const struct seg *s, uint8_t *p, size_t n, uint64_t from);
// What the first two blocks say of it.
void spool_check_head(struct check *k, struct seg *s);
// Everything in a segment that is closed, or nobody uses.
void spool_check_segment(struct check *k, struct seg *s);
// A segment without a valid header: empty, put aside by nobody yet, or damaged.
void spool_check_headless(struct check *k, struct seg *s);
