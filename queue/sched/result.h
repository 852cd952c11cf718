// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One recipient's result: judged, logged, and where it came from.

#include "pen_sched_admin.h"
#include "pen_trouble.h"

struct entry;
struct lease;
struct pen_delivery;
struct pen_note;
struct site;

#define RELAY_MAX 320 // "name[addr]"

// Where a result came from, for the log.
struct result {
	const struct pen_dsn *dsn;
	enum pen_trouble_source source;
	struct site *site;                   // may be NULL
	const struct lease *lease;           // may be NULL
	const struct pen_delivery *delivery; // may be NULL
	bool in_doubt;
	bool retry_is_safe;
	char relay[RELAY_MAX]; // filled on demand when there is a lease
	size_t mta_len;
	const struct pen_note *note;         // the last one made, to share it among recipients
	const struct pen_sched_match *match; // what the reply means; NULL: not known
};

// Judges and logs it; delivered ones are put into the record being made.
void result_apply(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r);
void result_fini(struct result *r);
// The host that r->lease spoke to, into r->relay; nothing if there was none.
void result_relay(struct result *r);
// What the last attempt said; NULL: nothing yet.
const struct pen_note *entry_note(const struct entry *e, uint32_t rcpt);
void result_expire(struct pen_sched *s, struct entry *e, uint32_t rcpt);
// An operator ends it: DELETED, BOUNCED with this note, or EXPIRED. What is with a
// worker may still end another way. False: no memory.
bool result_order(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate,
	const struct pen_note *note);
