// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What happened to a recipient, a delivery or a session, as a value.
//
// A pen_dsn is never an errno: it is the answer of the other side, or our own
// answer in the other side's terms (RFC 3463). Only queue/trouble turns one
// into delivered, retry or bounced.

#include "pen_span.h"

enum pen_dsn_scope {
	PEN_SCOPE_RECIPIENT, // this address only
	PEN_SCOPE_MESSAGE,   // this message, all recipients
	PEN_SCOPE_SESSION,   // this connection
	PEN_SCOPE_SITE,      // the site as a whole: nothing else will get through now
};

enum pen_dsn_origin {
	PEN_ORIGIN_PEER,   // the remote server said it
	PEN_ORIGIN_LOCAL,  // our time-out, network or resource
	PEN_ORIGIN_POLICY, // our configuration or TLS policy
};

// Which command a reply answered; Postfix prints "(in reply to X command)".
enum pen_smtp_stage {
	PEN_STAGE_NONE,
	PEN_STAGE_CONNECT, // TCP connect
	PEN_STAGE_GREETING,
	PEN_STAGE_EHLO,
	PEN_STAGE_HELO,
	PEN_STAGE_STARTTLS,
	PEN_STAGE_TLS, // handshake
	PEN_STAGE_MAIL,
	PEN_STAGE_RCPT,
	PEN_STAGE_DATA,
	PEN_STAGE_BODY, // sending the content
	PEN_STAGE_DOT,  // waiting for the reply to the final dot
	PEN_STAGE_RSET,
	PEN_STAGE_QUIT,
	PEN_STAGE_COUNT,
};

#define PEN_DSN_TEXT_MAX 472

struct pen_dsn {
	uint8_t klass; // 2, 4 or 5; 0 means no result yet
	uint8_t scope;
	uint8_t origin;
	uint8_t stage;
	uint16_t subject;
	uint16_t detail;
	uint16_t reply; // the three-digit reply code, 0 if none was given
	uint16_t text_len;
	char text[PEN_DSN_TEXT_MAX]; // NUL-terminated, one line, printable
};

// pen_dsn_set fills everything; text is printf-formatted, cut to fit, and
// control characters are replaced by '?'. `status` is "4.4.1" as three numbers.
void pen_dsn_set(struct pen_dsn *d, unsigned klass, unsigned subject, unsigned detail,
	enum pen_dsn_scope scope, enum pen_dsn_origin origin, enum pen_smtp_stage stage,
	const char *fmt, ...) __attribute__((format(printf, 8, 9)));

// pen_dsn_parse_status reads "X.YYY.ZZZ" at the start of s (RFC 3463: class 2,
// 4 or 5; 1 to 3 digits each, ended by a space or the end). Returns the number
// of bytes used, 0 if there is no status.
size_t pen_dsn_parse_status(struct pen_span s, uint8_t *klass, uint16_t *subject, uint16_t *detail);

// The command's name as Postfix logs it: "MAIL FROM", "end of DATA"...
const char *pen_smtp_stage_name(enum pen_smtp_stage stage);

static inline bool pen_dsn_ok(const struct pen_dsn *d)
{
	return d->klass == 2;
}
