// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// An owner of an SMTP server for its tests: records what it is asked, answers
// as its `verdict` says.

#include "pen_smtp_server.h"
#include "pen_test.h"

struct owner {
	struct pen_smtp_server server;
	struct pen_smtp_server_config cfg;
	struct pen_smtp_server_counters ctr;
	pen_time_us now;
	char log[4096]; // "mail s@a size=0 flags=0|rcpt r@b|..."
	struct pen_buf content;
	enum pen_smtp_verdict verdict[8]; // by enum below
	const char *reply;                // for PEN_SMTP_REPLY
	const char *mechanisms;           // for EHLO; NULL: none
	unsigned closes, messages;
	bool too_big;
};

enum { ON_CONNECT, ON_HELO, ON_MAIL, ON_RCPT, ON_DATA, ON_MESSAGE, ON_AUTH };

// The server is not started: change the configuration first.
struct owner *owner_new(void);
void owner_free(struct owner *o);
void owner_start(struct owner *o);
// A session past EHLO, with nothing noted.
struct owner *owner_greeted(void);
// Drops what was written so far, so that a test sees only what comes next.
void owner_forget(struct owner *o);
// Feed in pieces of `step` bytes, until one is not taken whole; returns bytes
// taken.
size_t owner_feed_n(struct owner *o, const char *text, size_t n, size_t step);
size_t owner_feed(struct owner *o, const char *text);

#define assert_out(o, want)                                                                        \
	do {                                                                                       \
		pen_buf_add(&(o)->server.out, "", 1);                                              \
		(o)->server.out.n--;                                                               \
		assert_string_equal((const char *)(o)->server.out.p, want);                        \
	} while (0)
