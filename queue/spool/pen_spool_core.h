// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The spool's log without threads: append to a batch, commit it with one write
// and one sync, recover, read, reclaim.
//
// pen_spool.h is what the daemon uses; it runs this core on a writer thread.
// Simulations and the offline check use the core itself. README.md has the
// format on disk.
//
// Threads: one thread (the writer) calls everything, except pen_spool_core_read,
//          pen_spool_core_stats and pen_spool_core_prepare, which any thread
//          may call at any time between open and close.
// Memory:  38 to 43 bytes an indexed message, 8 bytes a
//          message in each segment it was written to, three batch buffers, and the footer of the open
//          segment (at most a quarter of a segment).
// Errors:  -errno; none is fatal. A failed write or sync is never repeated on
//          the same segment: that one is abandoned.

#include "pen_counter.h"
#include "pen_disk.h"
#include "pen_message.h"

#define PEN_SPOOL_COUNTERS(X)                                                                      \
	X(puts, "messages made durable")                                                           \
	X(updates, "state changes made durable")                                                   \
	X(removals, "messages ended, their space given back")                                      \
	X(commits, "batches written, requests and relocations")                                    \
	X(syncs, "fdatasync calls on the log")                                                     \
	X(bytes_payload, "bytes of records asked for by callers")                                  \
	X(bytes_written, "bytes written to segments: headers, batches, footers, relocations")      \
	X(bytes_prepared, "zero bytes written to prepare segments")                                \
	X(relocated, "messages moved so that their segment can be reused")                         \
	X(bytes_relocated, "bytes of records written by relocation")                               \
	X(segments_opened, "segments taken into use")                                              \
	X(segments_freed, "segments whose last message is gone")                                   \
	X(segments_abandoned, "segments given up after a write or sync error")                     \
	X(segments_removed, "segment files deleted")                                               \
	X(refused_full, "messages refused because the spool or the disk is full")                  \
	X(refused_large, "messages refused because they do not fit a segment")                     \
	X(io_errors, "failed writes, syncs and creations")                                         \
	X(failed_batches, "batches that could not be made durable at all")                         \
	X(corrupt, "damaged regions found and set aside")                                          \
	X(newer, "records and segments of a later version set aside")                              \
	X(torn, "unfinished tails found after a crash")
PEN_COUNTERS_DECLARE(pen_spool, PEN_SPOOL_COUNTERS);

enum pen_spool_problem_kind {
	PEN_SPOOL_TORN,    // the unfinished end of a crash: nothing acknowledged is lost
	PEN_SPOOL_CORRUPT, // bytes that were whole once and are not any more
	PEN_SPOOL_IO,      // a file or a region that cannot be read or written
	PEN_SPOOL_NEWER,   // whole, but in a format of a later version: set aside
	PEN_SPOOL_FULL,    // no new mail is taken from now on; err says why
	PEN_SPOOL_ROOM,    // and this ended
	PEN_SPOOL_SLOW,    // the disk: a commit has taken `length` microseconds so far
};

struct pen_spool_problem {
	enum pen_spool_problem_kind kind;
	const char *file;
	uint64_t offset, length;
	uint64_t id;      // of the message, 0 when unknown
	int err;          // -errno for PEN_SPOOL_IO and PEN_SPOOL_FULL
	const char *kept; // where the bytes were set aside, NULL when they were not
};

typedef void pen_spool_message_fn(void *ctx, struct pen_message *m);
typedef void pen_spool_problem_fn(void *ctx, const struct pen_spool_problem *p);

struct pen_spool_config {
	const char *directory;      // for messages, and to open when disk is NULL
	struct pen_disk *disk;      // NULL: the real folder; otherwise borrowed
	uint64_t segment_bytes;     // default 64 MiB; a multiple of 4 KiB, at least 32 KiB
	uint64_t max_bytes;         // of all segments; 0: as much as the disk has
	uint64_t reserve_bytes;     // kept for updates and relocation; at least 3 segments
	uint64_t batch_bytes;       // most bytes in one commit; default 1 MiB
	uint64_t queue_limit_bytes; // pen_spool.h: waiting messages; default 64 MiB
	pen_time_us wait_limit_us;  // pen_spool.h: how long a put waits for a stuck disk
	uint32_t ahead_segments;    // prepared beyond the reserve; default 2
	bool prepare_elsewhere;     // somebody else prepares segments in time
	// Called after each megabyte of a segment that somebody else prepares; may
	// sleep to leave the disk to commits. NULL: at full speed.
	void (*prepare_pace)(void *prepare_ctx);
	void *prepare_ctx;
	uint64_t seed; // 0: from the kernel; epochs must not be guessable

	void *ctx;
	// Recovery, from within open, in the order of ids: each message without a
	// removal, content NULL, content_len set. The callee owns it. NULL: freed.
	pen_spool_message_fn *on_message;
	// Also later, from the writer's threads, or from a read. NULL: logged only.
	pen_spool_problem_fn *on_problem;
	// pen_spool.h: right before a batch of requests is written, all of which were made before
	// (on a thread of the spool's); and after completions ran, on their thread. NULL: nothing.
	// They must not call the spool.
	void (*before_commit)(void *ctx);
	void (*after_commit)(void *ctx);
};

struct pen_spool_stats {
	struct pen_spool_counters counters;
	uint64_t live, live_bytes; // messages and the bytes of their records
	uint32_t segments, segments_used, segments_free;
	bool full; // messages are refused now
};

struct pen_spool_core;

// pen_spool_core_open locks the folder and recovers. On failure `error` has one
// sentence for the operator: -EWOULDBLOCK when another process has the spool.
int pen_spool_core_open(const struct pen_spool_config *cfg, struct pen_spool_core **out,
	char *error, size_t error_cap);
// A clean close seals the open segment, so that the next start reads its
// footer. What was appended and not committed is dropped.
void pen_spool_core_close(struct pen_spool_core *c, bool clean);

// A new id: the time, or one more than the last when that is later.
uint64_t pen_spool_core_next_id(struct pen_spool_core *c, pen_wall_us now);

// Both append to the batch; nothing is durable before commit. The message is
// copied. 0, or
//   -EAGAIN    the batch or the segment is full: commit, then call again
//   -ENOSPC    the spool is full (updates: even the reserve is)
//   -EMSGSIZE  the message does not fit a segment
//   -EEXIST, -ENOENT   the id is known; the id is not
//   -EIO...    no segment could be opened
int pen_spool_core_put(struct pen_spool_core *c, const struct pen_message *m);
int pen_spool_core_update(struct pen_spool_core *c, const struct pen_message_update *u);

// One write and one sync. 0: everything appended since the last commit is
// durable. Otherwise none of it counts, as if it had not been appended.
int pen_spool_core_commit(struct pen_spool_core *c);

// A commit in four steps, so that the next batch fills while one is written,
// and is written while the index is brought up to date.
// begin: 1 when there is a batch to write, 0 when nothing was appended; -errno,
//        then it was dropped. put and update may follow at once (also with
//        -EAGAIN until end); commit, step and a second begin may not.
// write: on any thread, once; its result goes to end.
// end:   as commit returns. When `*dropped`, what was appended since begin was
//        taken back, and has to be appended again.
// apply: what end said is durable can be read, and its space comes back; before
//        its callers are told. The next end applies what was not.
int pen_spool_core_begin(struct pen_spool_core *c);
int pen_spool_core_write(const struct pen_spool_core *c);
int pen_spool_core_end(struct pen_spool_core *c, int err, bool *dropped);
void pen_spool_core_apply(struct pen_spool_core *c);
// Takes back what was appended and is not being written.
void pen_spool_core_drop(struct pen_spool_core *c);
bool pen_spool_core_dirty(const struct pen_spool_core *c);

// The next batch ends the message, whose put was refused after it was appended.
void pen_spool_core_take_back(struct pen_spool_core *c, uint64_t id);

// Counts, logs and passes on a problem, as if the core had met it.
void pen_spool_core_report(struct pen_spool_core *c, const struct pen_spool_problem *p);

// True while a put would be refused with -ENOSPC.
bool pen_spool_core_full(const struct pen_spool_core *c);

// One bounded step of housekeeping, with no batch open: frees, prepares,
// relocates or removes. 1: call again soon; 0: nothing to do; -errno: could
// not, try again after a while.
int pen_spool_core_step(struct pen_spool_core *c);
// Whether a step would do something; cheap.
bool pen_spool_core_wants_step(struct pen_spool_core *c);

// With prepare_elsewhere: the number of the segment to prepare next, 0 for
// none; asked for one at a time. Prepare it on any thread, then report.
uint32_t pen_spool_core_wanted(struct pen_spool_core *c);
int pen_spool_core_prepare(const struct pen_spool_core *c, uint32_t slot);
// Only the reserve is left: the next segment for mail has to be made soon.
bool pen_spool_core_short(const struct pen_spool_core *c);
void pen_spool_core_prepared(struct pen_spool_core *c, uint32_t slot, int err);

// pen_spool_core_read loads m->content (malloc'ed, owned by the message), which
// must be NULL. 0, -ENOENT, -ENOMEM, -EIO, or -EBADMSG when the record on disk
// is damaged; that is reported, and the record set aside, before it returns.
int pen_spool_core_read(struct pen_spool_core *c, struct pen_message *m);

void pen_spool_core_stats(struct pen_spool_core *c, struct pen_spool_stats *out);
