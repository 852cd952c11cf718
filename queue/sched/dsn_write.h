// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared between the files that write a notification; nobody else includes it.

#include "pen_dsn_message.h"

#define DSN_XTEXT_MAX 1536 // decoded

// What is being written.
struct dsn_writer {
	const struct pen_dsn_report *r;
	const struct pen_dsn_template *template;
	struct pen_buf *out;
	const char *boundary;
	bool global; // RFC 6533
};

// dsn_clean makes one line of printable ASCII of what came from outside; with
// `utf8` well-formed UTF-8 is kept. Cut to fit, NUL-terminated.
void dsn_clean(char *out, size_t cap, const void *in, size_t n, bool utf8);
// Folds `text` behind `first` at spaces; a word longer than a line is cut.
// Continuation lines start with `indent`, which must begin with a space for
// header-like fields.
void dsn_put_folded(struct pen_buf *b, const char *first, const char *indent, const char *text);
// "first<address>last". Address fields are not folded: they are at most a few
// hundred bytes, and a space inside would change them.
void dsn_put_address(
	const struct dsn_writer *w, const char *first, struct pen_span addr, const char *last);
// The recipient's action, never OF_KIND.
enum pen_dsn_action dsn_action(const struct pen_dsn_report *r, const struct pen_dsn_rcpt *f);
bool dsn_has_eight_bit(struct pen_span s);

void dsn_put_people_part(const struct dsn_writer *w); // dsn_people.c
void dsn_put_status_part(const struct dsn_writer *w); // dsn_status.c
