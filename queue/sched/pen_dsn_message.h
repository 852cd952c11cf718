// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Builds the failure notification that goes to a sender (RFC 3464).
//
// A multipart/report with a part for people, a message/delivery-status part,
// and the original: the whole message, or its header section when it is larger
// than bounce_size_limit. The result is canonical content (CRLF line ends).
//
// Nothing a peer or a sender wrote can add a line or a part: replies and
// addresses are reduced to printable ASCII and folded, and the boundary is
// chosen so that it does not occur in the original.
//
// Memory: the caller's pen_buf. One call handles one message; the failed
//         recipients are asked for one by one, so they need not be in memory.
// Follows: RFC 3461 6, 3462, 3464, 3834 (Auto-Submitted).

#include "pen_buf.h"
#include "pen_dsn.h"
#include "pen_time.h"

struct pen_dsn_failed {
	struct pen_span addr;
	struct pen_dsn dsn;
	char relay[320];  // "name[addr]", empty: no host was contacted
	uint16_t mta_len; // of the name at the start of `relay`
	bool expired;     // given up for age: `dsn` is what the last attempt said
};

struct pen_dsn_report {
	const char *hostname;      // myhostname
	const char *mailer_daemon; // local part of From, "MAILER-DAEMON"
	const char *queue_id;      // of the original
	struct pen_span sender;    // of the original; becomes the recipient
	pen_wall_us arrival;       // of the original
	pen_wall_us wall;          // now
	struct pen_span original;  // content; p NULL: it could not be read
	uint32_t size_limit;       // bounce_size_limit
	uint64_t salt;             // random, for boundary and Message-ID
	uint32_t nfailed;
	void (*failed)(void *ctx, uint32_t i, struct pen_dsn_failed *out);
	void *ctx;
};

// pen_dsn_message_build appends the message to out. *eight_bit says whether it
// has bytes above 127. 0 or -ENOMEM.
int pen_dsn_message_build(const struct pen_dsn_report *r, struct pen_buf *out, bool *eight_bit);
