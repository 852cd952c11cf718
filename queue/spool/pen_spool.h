// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The store of record: durable mail, one writer thread with group commit.
//
// Requests queue up; all that wait are made durable with one write and one
// fdatasync, and then their completions run. A lone request is committed at
// once; under load batches form by themselves, and one fills while another is
// written. A put that a stuck disk keeps waiting for wait_limit_us is refused
// with -ETIMEDOUT (answer 451).
//
// Threads: put, update, read and stats may be called by any thread, at any time
//          between open and close. Completions run on the writer thread, in the
//          order of the requests: they may call put and update, must not block,
//          and must not call read or close.
// Memory:  see pen_spool_core.h; waiting messages are bounded by
//          queue_limit_bytes, in bytes of messages that the callers own.
// Limits:  a message has to fit three quarters of a segment or so (-EMSGSIZE).
//
// What callers must know about state:
// - An update is absolute: next_attempt and flags are the message's new values,
//   each change a recipient's new values. Without last_error the last one stays.
// - A message comes back after a restart until an update with `removed` is
//   durable, also when no recipient is queued any more.
// - After a crash a request whose completion never ran may have happened.
//   A put that completed with an error does not come back, unless the machine
//   fails before anything else could be made durable.

#include "pen_spool_core.h"

struct pen_spool;

// `err` is 0 when durable, else -errno: -ENOSPC (full: answer 452), -EIO
// (answer 451), -ENOENT (update of an unknown message)... `m` is the message of
// a put, NULL for an update. The message is the caller's again.
typedef void pen_spool_done_fn(void *ctx, struct pen_message *m, int err);

// pen_spool_open recovers (see pen_spool_config.on_message) and starts the
// writer. -errno with a sentence in `error`.
int pen_spool_open(
	const struct pen_spool_config *cfg, struct pen_spool **out, char *error, size_t error_cap);

// Makes what waits durable, runs the completions, ends the threads. Later
// puts and updates get -ESHUTDOWN.
void pen_spool_close(struct pen_spool *s);

// A new id, for a message whose content has to name it before it is stored
// (Received:). Never 0, never given twice, also over restarts.
uint64_t pen_spool_next_id(struct pen_spool *s);

// pen_spool_put gives the message an id when it has none, and makes it durable.
// The spool reads it until the completion. 0 when taken: the completion will
// run. Otherwise it won't: -EAGAIN (too much waits, or the disk is stuck: answer 451), -ENOSPC,
// -ESHUTDOWN, -ENOMEM.
int pen_spool_put(struct pen_spool *s, struct pen_message *m, pen_spool_done_fn *done, void *ctx);

// pen_spool_update copies the update. Never -EAGAIN or -ENOSPC here. `done` may
// be NULL. Updates of a message are applied in the order of the calls.
// One that the disk refuses is kept, and tried until it is durable; meanwhile put
// gets -EAGAIN. `done` hears of an error only when it is final: -ENOENT, -EMSGSIZE,
// or close, which tries for some seconds (then the message comes back as it was).
int pen_spool_update(struct pen_spool *s, const struct pen_message_update *u,
	pen_spool_done_fn *done, void *ctx);

// pen_spool_sync runs the completion once every request made before it by this
// thread has been committed or refused, with 0: every update is durable (or was
// refused for good), or -EIO: close gave updates up. 0, -ESHUTDOWN or -ENOMEM.
int pen_spool_sync(struct pen_spool *s, pen_spool_done_fn *done, void *ctx);

// See pen_spool_core_read: blocks for a disk read.
int pen_spool_read(struct pen_spool *s, struct pen_message *m);

void pen_spool_stats(struct pen_spool *s, struct pen_spool_stats *out);
