// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The core's inside, shared by the spool_*.c files only.

#include "pen_buf.h"
#include "pen_rand.h"
#include "pen_spool_core.h"
#include "spool_index.h"
#include "spool_record.h"

#include <pthread.h>

#define SPOOL_SEGMENT_MIN (32u << 10)
#define SPOOL_NAME_MAX 24

enum spool_segment_state {
	SEGMENT_FREE,   // prepared, or its messages are gone
	SEGMENT_USED,   // in the log, closed
	SEGMENT_ACTIVE, // in the log, batches go here
};

struct spool_segment {
	struct spool_segment *next; // in the log (oldest first) or the free list
	struct pen_disk_file *file;
	uint64_t epoch;
	uint64_t size;
	uint64_t end;        // where the next batch goes, or the data ended
	uint64_t closed_end; // recovery: the data is known to be whole up to here; 0 unknown
	uint64_t live_bytes;
	uint64_t *ids; // of the messages written here, in order; some are gone
	uint32_t nids, cap_ids;
	uint32_t live;
	uint32_t slot;
	uint32_t batches;
	uint32_t pins; // readers with a read under way; core->lock
	uint8_t state;
	bool orphan;  // gone from the tables; the last reader releases it; core->lock
	bool discard; // after an error, or of another size: delete, don't reuse
	bool keep;    // has bytes that are nowhere else: put away whole, don't reuse
	char name[SPOOL_NAME_MAX];
};

struct spool_segments {
	struct spool_segment *first, *last;
	uint32_t n;
};

enum spool_op_kind { OP_PUT, OP_UPDATE, OP_REMOVE, OP_MOVE, OP_TAKE_BACK };

// What a record in the batch does to the index, once durable, and how to take
// back what it did when it was appended.
struct spool_op {
	uint64_t id;
	uint32_t at; // in the batch
	uint32_t len;
	uint32_t old_upd_slot, old_upd_off;
	uint8_t kind;
};

struct spool_batch {
	uint8_t *p;
	size_t len, cap;
	uint32_t records, nop, cap_op;
	uint64_t foot; // bytes it will add to the footer
	uint64_t base; // once it landed: where it is in the active segment
	struct spool_op *op;
};

// Who asks for room, from the least to the most entitled to the reserve.
enum spool_class { CLASS_PUT, CLASS_UPDATE, CLASS_MOVE };

struct pen_spool_core {
	struct pen_spool_config cfg;
	struct pen_disk *disk;
	bool own_disk, locked;
	uint32_t reserve, max_segments; // in segments; max 0: none

	pthread_mutex_t lock; // index entries' MESSAGE places, segment pins, gauges
	struct spool_index index;
	uint64_t live_bytes;

	// The writer's own.
	struct spool_segment **slot; // by number
	uint32_t nslots, total;
	struct spool_segments log, idle; // used, oldest first; free, in order of reuse
	struct spool_segments retired;   // to be deleted as soon as that works
	uint32_t slot_from;              // below, slots may have files that could not be deleted
	struct spool_segment *active;
	uint32_t next_epoch;               // upper half of an epoch
	uint64_t closed_epoch, closed_end; // of the last segment that ended whole
	uint64_t last_id;
	struct pen_rand rand;
	uint32_t preparing; // slot that somebody prepares; 0 none
	bool refused;       // the last put, for want of a segment
	bool told_full;
	int prepare_err; // of the last attempt, until space may be there again

	struct spool_batch open;   // being filled
	struct spool_batch flight; // being written, while `flying`
	bool flying;
	struct spool_batch landed; // durable, in the active segment, and not in the index yet

	struct pen_buf foot; // of the active segment
	uint64_t *aborted;   // ids of puts that failed after bytes may have been written
	uint32_t naborted, cap_aborted;

	struct spool_segment *moving; // relocation's victim and place in its ids
	uint32_t moving_at;
	uint64_t moved_idle; // bytes relocated beyond what changes have paid for
	uint8_t *scratch;
	size_t scratch_cap;

	struct pen_spool_counters ctr;
};

// spool_segment.c
void spool_segments_push(struct spool_segments *l, struct spool_segment *s);
struct spool_segment *spool_segments_pop(struct spool_segments *l);
void spool_segment_name(uint32_t slot, char out[SPOOL_NAME_MAX]);
// The slot in a segment's name; 0: it is no such name.
uint32_t spool_segment_slot(const char *name);
// A new segment struct with an open file; NULL and *err.
struct spool_segment *spool_segment_attach(
	struct pen_spool_core *c, uint32_t slot, const char *name, int *err);
// Takes the segment out of the tables and releases it, or leaves the release to
// the last reader.
void spool_segment_free(struct pen_spool_core *c, struct spool_segment *s);
void spool_segment_release(struct pen_spool_core *c, struct spool_segment *s);
// Deletes the file and the struct; if it cannot, the segment is retired. -errno.
int spool_segment_delete(struct pen_spool_core *c, struct spool_segment *s);
int spool_segment_reserve_ids(struct spool_segment *s, uint32_t more);
uint32_t spool_slot_unused(struct pen_spool_core *c);
// Makes one more free segment, here and now. 0 or -errno.
// Mail stays within max_bytes; what empties the spool may go a reserve beyond
// it, as far as the disk has room: each restart of a full spool opens a segment.
int spool_prepare_now(struct pen_spool_core *c, enum spool_class who);
bool spool_may_grow(struct pen_spool_core *c, enum spool_class who);
// spool_rotate opens a new active segment; 0 or -errno, then the old one stays.
int spool_rotate(struct pen_spool_core *c, enum spool_class who);
void spool_abandon(struct pen_spool_core *c);
uint64_t spool_low_epoch(const struct pen_spool_core *c);
// Frees segments at the head of the log that have no message left.
bool spool_free_heads(struct pen_spool_core *c);

// spool_batch.c
// Where the open batch will be in the active segment.
uint64_t spool_open_base(const struct pen_spool_core *c);
// Room for a record of `need` bytes and `foot` bytes in the footer; the place
// to encode it, or NULL and *err (see pen_spool_core_put).
uint8_t *spool_batch_room(
	struct pen_spool_core *c, uint64_t need, uint64_t foot, enum spool_class who, int *err);
// Takes the record into the batch: what was encoded at the place given.
int spool_batch_add(struct pen_spool_core *c, const struct spool_op *op, uint64_t foot);
// Whether such a record fits an empty segment.
bool spool_batch_fits(const struct pen_spool_core *c, uint64_t len, uint64_t foot);
void spool_aborted_flush(struct pen_spool_core *c);
// pen_spool_core_update; `whole`: the update has the whole state, so that the
// ones before it are not needed any more.
int spool_update_append(struct pen_spool_core *c, const struct pen_message_update *u, bool whole);
// Makes sure of the reserve, as far as the disk has room.
void spool_prepare_reserve(struct pen_spool_core *c);

// spool_footer.c
void spool_foot_message(struct pen_spool_core *c, const uint8_t *record, uint32_t off);
void spool_foot_update(struct pen_spool_core *c, const uint8_t *record, uint32_t off);
uint64_t spool_foot_room(const struct pen_spool_core *c, uint64_t more);
// Writes the active segment's footer and syncs it.
void spool_foot_write(struct pen_spool_core *c);
// Whether the trailer's footer is where one is written, in a segment of `size` bytes.
bool spool_foot_in_place(const struct spool_trailer *t, uint64_t size);
// What a footer says of one record: itself, and where it was and how long.
struct spool_foot_entry {
	struct spool_record record;
	uint32_t off, len;
};
// Reads the entry at *at of the n bytes of a footer, from 0 on, and moves on. 1, 0
// at the end, -EBADMSG.
int spool_foot_next(const uint8_t *p, uint32_t n, size_t *at, struct spool_foot_entry *e);

// spool_read.c
// Reads the record at a place into c->scratch (the writer's) and checks it.
int spool_read_record(struct pen_spool_core *c, struct spool_segment *s, uint32_t off,
	uint32_t len_hint, struct spool_record *out);

// The whole segment into p (s->size bytes), zeros where it cannot be read.
void spool_read_segment(struct pen_spool_core *c, struct spool_segment *s, uint8_t *p);

// spool_report.c
void spool_problem(struct pen_spool_core *c, const struct pen_spool_problem *p);
// Reports bytes, damaged or of a later version, after copying them into the
// corrupt folder. False: they could not be copied.
bool spool_set_aside(struct pen_spool_core *c, enum pen_spool_problem_kind kind, const char *file,
	uint64_t epoch, uint64_t offset, const uint8_t *p, uint64_t length, uint64_t id);
// Moves a whole segment file into the corrupt folder, and says so. -errno.
int spool_segment_away(
	struct pen_spool_core *c, struct spool_segment *s, enum pen_spool_problem_kind kind);
void spool_tell_full(struct pen_spool_core *c);
void spool_io_problem(struct pen_spool_core *c, const char *file, int err);

// spool_scan.c
// Walks a segment's bytes record by record, past damage.
struct spool_scan {
	void *ctx;
	void (*record)(void *ctx, const struct spool_record *r, uint32_t off);
	void (*batch)(void *ctx, const struct spool_batch_header *h);
	void (*bad)(void *ctx, uint64_t offset, uint64_t length, bool torn);
	// A whole record of a version that we don't know.
	void (*newer)(void *ctx, const struct spool_record *r, uint32_t off);
};
// `closed_end`: the data is known to end there whole; 0 unknown. Returns where
// the data ends.
uint64_t spool_scan(const struct spool_scan *s, const uint8_t *p, uint64_t size, uint64_t epoch,
	uint64_t closed_end);
// The epoch of the first valid batch, 0 when there is none: for a lost header.
uint64_t spool_scan_epoch(const uint8_t *p, uint64_t size);

// spool_recover.c
int spool_recover(struct pen_spool_core *c);
