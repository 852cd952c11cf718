// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reads what the accounting needs from one line of the event log, without memory
// and without trust: the file may be cut, edited or hostile.
//
// The line must be one JSON object; keys that are not known are skipped, whatever
// they hold, up to PEN_EVENT_DEPTH_MAX levels. A key that is there twice: the
// first counts.

#include "pen_span.h"

#define PEN_EVENT_DEPTH_MAX 16

enum pen_event_type {
	PEN_EVENT_OTHER, // a type that says nothing about accounting
	PEN_EVENT_RECEPTION,
	PEN_EVENT_COMMIT, // what was received is durable; written before any 250
	PEN_EVENT_DELIVERY,
	PEN_EVENT_TRANSIENT,
	PEN_EVENT_BOUNCE,
	PEN_EVENT_EXPIRATION,
	PEN_EVENT_ADMIN_BOUNCE,
	PEN_EVENT_ADMIN_DELETE,
	PEN_EVENT_SUPPRESSED, // without an index: a message that was never stored
	PEN_EVENT_START,      // the daemon has recovered the spool
	PEN_EVENT_STOP,       // everything is durable
	PEN_EVENT_LOST,       // records are missing here
};

struct pen_event_line {
	enum pen_event_type type;
	struct pen_span id; // queue id, as text; empty: none
	uint32_t nrcpt;     // Reception: how many recipients it names
	uint32_t index;     // recipient_index
	bool has_index;
	bool in_doubt;
	int64_t timestamp;    // seconds since 1970; 0 none
	uint64_t records;     // Lost
	struct pen_span list; // what stands between the brackets: of Reception "recipient", of
			      // Commit "ids"
};

// False: not a record; *why is a short sentence.
bool pen_event_read(struct pen_span line, struct pen_event_line *out, const char **why);
// The next string of a list, as it is written (escapes and all); false at the end.
bool pen_event_next(struct pen_span *list, struct pen_span *item);
// "Delivery"...
const char *pen_event_type_word(enum pen_event_type type);
