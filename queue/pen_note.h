// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What happened to a recipient, kept small: a pen_dsn with the host it came
// from, without the room for the longest text. Millions of deferred messages
// wait for few reasons, so equal notes are one: equal notes are the same pointer.
//
// Threads: any; the table has a lock of its own. A note is read-only.
// Memory:  counted references; a note ends with its last one. A note takes 40
//          bytes, its text and its relay.

#include "pen_dsn.h"

struct pen_note {
	uint8_t klass, scope, origin, stage; // as in struct pen_dsn
	uint16_t subject, detail, reply;
	uint16_t text_len, relay_len;
	uint16_t mta_len; // of the host name at the start of relay
	char text[];      // text, NUL, relay, NUL
};

// relay is "name[addr]", or "" when no host was contacted. NULL: out of memory.
const struct pen_note *pen_note_get(const struct pen_dsn *d, const char *relay, size_t mta_len);
const struct pen_note *pen_note_ref(const struct pen_note *n); // NULL stays NULL
void pen_note_put(const struct pen_note *n);                   // NULL is fine

bool pen_note_is(const struct pen_note *n, const struct pen_dsn *d, const char *relay);
void pen_note_to_dsn(const struct pen_note *n, struct pen_dsn *out);

static inline const char *pen_note_relay(const struct pen_note *n)
{
	return n->text + n->text_len + 1;
}

// How many there are now: for tests and counters.
size_t pen_note_count(void);
