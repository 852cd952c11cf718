// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parser for SMTP replies (RFC 5321 4.2), fed with bytes in any pieces.
//
// A reply is one or more lines "250-text" ... "250 text". The text of all lines
// is joined with single spaces into one bounded line; the enhanced status of the
// first line is taken (RFC 2034) and cut from later lines. Hostile input (no
// digits, codes that differ between lines, endless lines, endless
// continuation, NULs) ends in PEN_REPLY_BAD, never in a wait for more memory.
//
// Memory: the struct only; nothing is allocated.
// Limits: text is cut at PEN_REPLY_TEXT_MAX bytes; a line may have 4,096 bytes
//         and a reply 256 lines; beyond that the reply is bad.

#include "pen_dsn.h"

#define PEN_REPLY_TEXT_MAX 400

enum pen_reply_status {
	PEN_REPLY_MORE, // feed more bytes
	PEN_REPLY_LINE, // one complete line of a multi-line reply: see `line`
	PEN_REPLY_DONE, // the reply is complete; more input may follow
	PEN_REPLY_BAD,  // not SMTP: the session must end
};

struct pen_reply {
	uint16_t code;   // 200..599, valid from the first LINE or DONE on
	bool has_status; // an enhanced status was given, and its class fits
	uint8_t klass;   // enhanced status, or code/100 with .0.0
	uint16_t subject, detail;
	uint16_t text_len;
	char text[PEN_REPLY_TEXT_MAX + 1]; // joined, printable, NUL-terminated
	// The last line's text after "250-" (for EHLO keywords), cut to what is
	// kept; valid until the next feed.
	uint16_t line_len;
	char line[128];
	// parser state
	uint8_t state;
	uint8_t digits;
	uint16_t line_code;
	uint16_t lines;
	uint16_t line_bytes;
};

void pen_reply_init(struct pen_reply *r);

// pen_reply_feed takes bytes until a line or the reply is complete. *used tells
// how many; call again with the rest. After DONE, the next feed starts afresh.
enum pen_reply_status pen_reply_feed(struct pen_reply *r, const uint8_t *p, size_t n, size_t *used);

// Copies code, status and text into a dsn of the given scope and stage.
void pen_reply_to_dsn(const struct pen_reply *r, enum pen_dsn_scope scope,
	enum pen_smtp_stage stage, struct pen_dsn *out);
