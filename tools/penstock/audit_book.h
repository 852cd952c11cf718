// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The books of the mail: what was accepted, and what became of it, by recipient.
//
// Fed with the event log in its order and with what is in the spool; the balance
// at the end names each recipient for which the two do not agree.
//
// Pure: no files, no clock.
// Memory: 24 bytes a recipient, at a load of 0.4 to 0.75.
//
// A crash repeats work: what was written to the event log right before it may
// not have reached the spool. So a second fate, or a fate of mail that is still
// queued, is explained when the daemon crashed in between, and a fault when not.

#include "pen_message.h"

enum book_fault {
	BOOK_LOST,         // accepted, without a fate, not in the spool
	BOOK_DUPLICATE,    // delivered twice
	BOOK_TWO_FATES,    // two ends that are not the same
	BOOK_NO_RECEPTION, // a fate, or mail in the spool, that was never accepted
	BOOK_STILL_QUEUED, // it has its fate, and is in the spool as if it had not
	BOOK_NO_RECORD,    // finished in the spool, and the event log does not say so
	BOOK_REPEATED,     // explained: a fate again, or not yet, after a crash
	BOOK_FAULTS,
};
const char *book_fault_word(enum book_fault f);

struct book_totals {
	uint64_t accepted; // recipients
	uint64_t queued, in_doubt, delivered, bounced, expired, deleted;
	uint64_t fault[BOOK_FAULTS];
	uint64_t before_log;        // of accepted: from before the event log begins
	uint64_t unconfirmed;       // received, but never durable: their clients were not told yes
	uint64_t deferrals, doubts; // attempts
	uint64_t crashes, starts;
};

// What is wrong, when it is found. `where` and `earlier` are what the caller gave with the records
// (earlier: of the first fate); 0: none.
typedef void book_fault_fn(void *ctx, enum book_fault fault, uint64_t id, uint32_t index,
	enum pen_fate fate, enum pen_fate earlier_fate, uint64_t where, uint64_t earlier);

struct book;
struct book *book_new(book_fault_fn *fn, void *ctx); // NULL: no memory
void book_free(struct book *b);
bool book_failed(const struct book *b); // memory ran out: the balance says nothing
uint64_t book_recipients(const struct book *b);

// ---- the event log, in its order

// Messages with an id below were accepted before the log begins.
void book_begins(struct book *b, uint64_t id);
// From here on records are younger than the picture of the spool.
void book_late(struct book *b);
void book_start(struct book *b); // of the daemon
void book_stop(struct book *b);
void book_received(struct book *b, uint64_t id, uint32_t nrcpt, uint64_t where);
void book_committed(struct book *b, uint64_t id);
void book_deferred(struct book *b, bool in_doubt);
void book_fate(struct book *b, uint64_t id, uint32_t index, enum pen_fate fate, uint64_t where);

// ---- the spool

// `doubt`: queued and in doubt. `busy`: its end is under way (its notification, a deletion).
void book_spooled(
	struct book *b, uint64_t id, uint32_t index, enum pen_fate fate, bool doubt, bool busy);

// ---- the end

// Those that would be lost now: for a daemon that runs they may be on their way into the queue.
typedef void book_suspect_fn(void *ctx, uint64_t id, uint32_t index);
void book_suspects(const struct book *b, book_suspect_fn *fn, void *ctx);
// `down`: no daemon runs; without a Stop its last life ended in a crash.
void book_balance(struct book *b, bool down, struct book_totals *out);
