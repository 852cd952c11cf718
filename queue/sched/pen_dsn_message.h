// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Builds notifications about the fate of mail (RFC 3464).
//
// A multipart/report with a part for people, a message/delivery-status part,
// and the original: the whole message, or its header section when it is larger
// than bounce_size_limit or when that is asked for. The result is canonical
// content (CRLF line ends).
//
// Nothing a peer or a sender wrote can add a line or a part: replies and
// addresses are reduced to printable ASCII and folded, and the boundary is
// chosen so that it does not occur in the original.
//
// Memory: the caller's pen_buf. One call handles one message; the
//         recipients are asked for one by one, so they need not be in memory.
// Follows: RFC 3461 6, 3462, 3464, 3834 (Auto-Submitted), 8689 (TLS-Required).

#include "pen_buf.h"
#include "pen_dsn.h"
#include "pen_time.h"

enum pen_dsn_kind {
	PEN_DSN_FAILED,  // to the sender
	PEN_DSN_RELAYED, // to the sender: given to a server that sends no reports
	// To the postmaster, who gets what has no sender to go to.
	PEN_DSN_POSTMASTER,
};

struct pen_dsn_rcpt {
	struct pen_span addr;
	struct pen_span orcpt; // "rfc822;..." in xtext, or empty
	struct pen_dsn dsn;
	char relay[320];  // "name[addr]", empty: no host was contacted
	uint16_t mta_len; // of the name at the start of `relay`
	bool expired;     // given up for age: `dsn` is what the last attempt said
};

struct pen_dsn_report {
	const char *hostname;      // myhostname
	const char *mailer_daemon; // local part of From, "MAILER-DAEMON"
	const char *queue_id;      // of the original
	enum pen_dsn_kind kind;
	struct pen_span to;       // whom it is for
	struct pen_span sender;   // of the original
	struct pen_span envid;    // of the original, in xtext; may be empty
	pen_wall_us arrival;      // of the original
	pen_wall_us wall;         // now
	struct pen_span original; // content; p NULL: it could not be read
	uint32_t size_limit;      // bounce_size_limit
	bool headers_only;        // never more than the header section
	bool tls_optional;        // "TLS-Required: no", as in the original
	uint64_t salt;            // random, for boundary and Message-ID
	uint32_t nrcpt;
	void (*rcpt)(void *ctx, uint32_t i, struct pen_dsn_rcpt *out);
	void *ctx;
};

// pen_dsn_message_build appends the message to out. *eight_bit says whether it
// has bytes above 127. 0 or -ENOMEM.
int pen_dsn_message_build(const struct pen_dsn_report *r, struct pen_buf *out, bool *eight_bit);
