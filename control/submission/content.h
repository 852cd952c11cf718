// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The content of one message while it is being read: grows in one allocation,
// knows where its header block ends, and adds what is missing there.
//
// Input is what the SMTP server hands on: lines end with CRLF (bare LF already
// repaired). Everything is one pass; only the piece in which the header
// block ends is moved.
// Memory: counted in `budget`, shared by all connections (atomic); growth beyond
//         the budget or the machine's memory sets `err`, and input is dropped.

#include "pen_buf.h"
#include "pen_time.h"

struct content_budget {
	uint64_t used; // atomic
	uint64_t max;
};

bool content_budget_take(struct content_budget *b, uint64_t n);
void content_budget_give(struct content_budget *b, uint64_t n);

struct content {
	uint8_t *p;
	size_t n, cap;
	struct content_budget *budget;
	int err;        // 0, -ENOSPC (budget) or -ENOMEM
	bool in_header; // the header block's end was not seen yet
	bool any_field; // of the client
	bool has_date, has_message_id;
	bool eight_bit, has_nul;
	bool long_field;              // one is larger than field_limit
	size_t field_limit, field_at; // 0: no limit; where the field that is read begins
	uint32_t received;            // Received: fields of the client
	size_t line;                  // header: where the line that is not complete begins
	size_t scanned;               // and how far it was searched for its end
	size_t header_end;            // behind the last field; valid when !in_header
	size_t id_at, id_n;           // value of Message-Id:
	// What is added for want of it, complete fields with CRLF; borrowed.
	struct pen_span add_message_id, add_date;
};

// Starts with our own fields (complete lines). size_hint: SIZE= or 0.
void content_begin(
	struct content *c, struct content_budget *budget, struct pen_span own, uint64_t size_hint);
void content_add(struct content *c, struct pen_span piece);
// The content is complete: ends with CRLF, the header block is closed.
void content_end(struct content *c);
bool content_header_is_ascii(const struct content *c);
// Puts `headers` in place of the header block.
void content_replace_header(struct content *c, struct pen_span headers);
// Puts a complete field at the end of the header block.
void content_append_field(struct content *c, struct pen_span field);
// Gives the bytes away (malloc'ed, trimmed); their budget stays taken.
uint8_t *content_take(struct content *c, size_t *n);
// Drops everything, gives the budget back.
void content_reset(struct content *c);

static inline struct pen_span content_header(const struct content *c)
{
	return pen_span(c->p, c->header_end);
}

static inline struct pen_span content_message_id(const struct content *c)
{
	return pen_span(c->p + c->id_at, c->id_n);
}
