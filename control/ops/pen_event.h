// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One event record: a JSON object in one line, written piece by piece.
//
// Text of other people is made valid JSON whatever bytes it has: control bytes
// are escaped, what is not UTF-8 becomes '?'.
//
// Threads: a value; one thread at a time.
// Memory:  a buffer that grows; pen_event_fini. Out of memory: the event is
//          failed and pen_event_end returns an empty span.

#include "pen_buf.h"

struct pen_event {
	struct pen_buf text;
	bool comma;
};

// {"type":"Delivery"
void pen_event_begin(struct pen_event *e, const char *type);
void pen_event_text(struct pen_event *e, const char *key, struct pen_span value);
void pen_event_cstr(struct pen_event *e, const char *key, const char *value);
void pen_event_number(struct pen_event *e, const char *key, int64_t value);
void pen_event_bool(struct pen_event *e, const char *key, bool value);
void pen_event_object(struct pen_event *e, const char *key); // until pen_event_close
void pen_event_list(struct pen_event *e, const char *key);   // until pen_event_close_list
void pen_event_item(struct pen_event *e, struct pen_span value);
void pen_event_close(struct pen_event *e);
void pen_event_close_list(struct pen_event *e);
// Closes the record; the span has no line end and lives until the next call.
struct pen_span pen_event_end(struct pen_event *e);
void pen_event_fini(struct pen_event *e);
