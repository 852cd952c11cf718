// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The event log: records for programs, and one half of the accounting (the other
// is the spool). Nothing that happened may be missing in it, so unlike the mail
// log it never drops a record while the file can be written.
//
// A record is put into a buffer and written soon after. pen_events_flush writes
// all that was put before: the spool's writer calls it before each commit, so a
// fate that is durable is in the file, even when the process is killed. With
// `sync` the flush also waits for the disk; then that holds for a power cut.
//
// Threads: any thread may put and flush. A put never waits for the disk.
// Memory:  two buffers. When the file cannot be written (disk full) up to
//          `buffer_bytes` are kept and written later; beyond that records are
//          lost, counted, and a record {"type":"Lost","records":N} follows.
// Limits:  without a flush a record reaches the file within 200 ms.
// File:    appended to; a line that a crash cut off is ended first.

#include "pen_span.h"

struct pen_events;

struct pen_events_config {
	const char *path;
	bool sync;           // event_log_sync
	size_t buffer_bytes; // 0: 64 MiB
};

struct pen_events_stats {
	uint64_t records, lost, bytes, writes, write_errors;
};

// 0, or -errno when the file cannot be opened or the thread not started.
int pen_events_open(const struct pen_events_config *cfg, struct pen_events **out);
// Writes what is there, then closes. NULL is fine, as for all that follow.
void pen_events_close(struct pen_events *ev);
// SIGHUP: what was put before goes to the old file, the rest to the new one. The old one stays
// in use when there is no new one.
void pen_events_reopen(struct pen_events *ev);
// One record, without its line end.
void pen_events_put(struct pen_events *ev, struct pen_span line);
// `durable`: and with `sync`, wait for the disk.
void pen_events_flush(struct pen_events *ev, bool durable);
struct pen_events_stats pen_events_stats(struct pen_events *ev);
