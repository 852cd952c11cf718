// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Verifies a spool without changing it: every segment header, batch, record,
// footer and trailer, the links between updates, and the index that a recovery
// would build from the footers against one built from all records.
//
// Of a spool that nobody uses everything is verified. Of one that is in use, the
// segments that are closed; what is being written, or is used again meanwhile,
// is left out and counted, never taken for damage.
//
// Threads: any one; it blocks for as long as reading the whole spool takes.
// Memory:  one segment, and about 300 bytes for each message in the log.
// Errors:  -errno when the spool cannot be looked at; what is wrong in it is no
//          error of the call.

#include "pen_disk.h"
#include "pen_message.h"

struct pen_spool_fault {
	const char *file;
	uint64_t offset, length;
	uint64_t id;      // of the message, 0 when unknown
	const char *what; // one sentence without a full stop
};

// A message as the log has it now. `ended`: its removal is in the log too, and
// its space not yet used again. A message that ended with queued recipients was
// taken back: its put had been refused.
struct pen_spool_seen {
	const struct pen_message *m; // content NULL; borrowed for the call
	bool ended;
	const char *file; // of the record with its content
	uint64_t offset, length;
};

struct pen_spool_check_config {
	const char *directory; // for messages, and to open when disk is NULL
	struct pen_disk *disk; // NULL: the real folder, which must exist; else borrowed

	void *ctx;
	void (*on_fault)(void *ctx, const struct pen_spool_fault *f);
	// Every message, live or ended, in the order of ids; online, as the closed
	// segments have it.
	void (*on_message)(void *ctx, const struct pen_spool_seen *s);
	// After each segment. NULL: nobody looks.
	void (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
};

struct pen_spool_totals {
	uint64_t live, ended, taken_back;               // messages
	uint64_t recipients[PEN_FATE_DELETED + 1];      // by fate, of all but those taken back
	uint64_t live_recipients[PEN_FATE_DELETED + 1]; // of live messages
	uint64_t in_doubt;                              // queued with doubts
};

struct pen_spool_check {
	bool online; // another process has the spool
	uint64_t faults;
	uint64_t torn; // unfinished ends of a crash: no fault
	uint32_t segments, checked;
	uint32_t fresh;   // never used, or nothing in them is needed any more
	uint32_t skipped; // online: open, or used again meanwhile
	uint64_t bytes, batches, records, footers;
	struct pen_spool_totals totals; // online: of what is in closed segments
};

int pen_spool_check(const struct pen_spool_check_config *cfg, struct pen_spool_check *out,
	char *error, size_t error_cap);
