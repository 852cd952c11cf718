// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The texts of the mail log, without time stamp and service, as pure functions
// over a bounded line. See pen_maillog.h; shared by its files and its test.

#include "pen_maillog.h"

struct pen_logline {
	char text[PEN_MAILLOG_LINE_MAX];
	size_t n; // the text is not NUL-terminated; what does not fit is cut
};

void pen_logline_cstr(struct pen_logline *b, const char *s);
void pen_logline_uint(struct pen_logline *b, uint64_t v);
// Bytes of others: control bytes and bytes above 126 become '?'.
void pen_logline_foreign(struct pen_logline *b, struct pen_span s);

// A duration as Postfix writes it with delay_logging_resolution_limit = 2: two
// significant digits, at most two behind the point, no trailing zeros, whole
// seconds from 100 s on; below 5 ms it is 0.
void pen_logline_delay(struct pen_logline *b, pen_time_us us);
// client=unknown[ip] and the like: "unknown[ip]".
void pen_logline_client(struct pen_logline *b, const struct pen_addr *client);
// The text in the parentheses behind status=.
void pen_logline_reason(struct pen_logline *b, const struct pen_maillog_delivery *d);

void pen_logline_delivery(struct pen_logline *b, const struct pen_maillog_delivery *d);
void pen_logline_reject(struct pen_logline *b, const struct pen_maillog_reject *r);

// Adds a finished line to the log (pen_maillog.c).
void pen_maillog_put(struct pen_maillog *l, const char *service, const struct pen_logline *b);
