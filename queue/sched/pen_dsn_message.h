// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Builds notifications about the fate of mail (RFC 3464).
//
// A multipart/report with a part for people, a message/delivery-status part,
// and the original: the whole message, or its header section when it is larger
// than bounce_size_limit or when that is asked for. The result is canonical
// content (CRLF line ends).
//
// Nothing a peer or a sender wrote can add a line or a part: replies are reduced
// to printable ASCII and folded, addresses to printable ASCII (or, where the
// notification is one of RFC 6533, to printable UTF-8), and the boundary is
// chosen so that it does not occur in the original.
//
// Recipients of one notification may have fared differently: each has its
// action; people read them in groups, programs in the order of `rcpt`.
//
// Memory: the caller's pen_buf. One call handles one message; the
//         recipients are asked for one by one, so they need not be in memory.
// Follows: RFC 3461 6, 3464, 3834 (Auto-Submitted), 6522, 6533, 8689 (TLS-Required).

#include "pen_buf.h"
#include "pen_dsn.h"
#include "pen_dsn_template.h"
#include "pen_time.h"

enum pen_dsn_kind {
	PEN_DSN_FAILED,  // to the sender
	PEN_DSN_RELAYED, // to the sender: it was delivered, or passed on without reports
	// To the postmaster, who gets what has no sender to go to.
	PEN_DSN_POSTMASTER,
	PEN_DSN_DELAYED, // to the sender: it is tried further. Never more than the header.
	// To the postmaster, as notify_classes = delay wants it.
	PEN_DSN_POSTMASTER_DELAYED,
};

enum pen_dsn_action {       // RFC 3464 2.3.3
	PEN_ACTION_OF_KIND, // failed, relayed or delayed, as the notification is
	PEN_ACTION_FAILED,
	PEN_ACTION_DELAYED,
	PEN_ACTION_DELIVERED, // to a server that has the mailbox (LMTP)
	PEN_ACTION_RELAYED,   // to a server that sends no reports
	PEN_ACTIONS,
};

struct pen_dsn_rcpt {
	struct pen_span addr;
	struct pen_span orcpt; // "rfc822;..." in xtext, or empty
	struct pen_dsn dsn;
	char relay[320];  // "name[addr]", empty: no host was contacted
	uint16_t mta_len; // of the name at the start of `relay`
	bool expired;     // given up for age: `dsn` is what the last attempt said
	uint8_t action;   // enum pen_dsn_action
	uint8_t doubts;   // deliveries of it that may have succeeded (pen_message.h)
};

struct pen_dsn_report {
	const char *hostname;      // myhostname
	const char *mailer_daemon; // local part of From, "MAILER-DAEMON"
	const char *queue_id;      // of the original
	enum pen_dsn_kind kind;
	struct pen_span to;                        // whom it is for
	struct pen_span sender;                    // of the original
	struct pen_span envid;                     // of the original, in xtext; may be empty
	pen_wall_us arrival;                       // of the original
	pen_wall_us wall;                          // now
	struct pen_span original;                  // content; p NULL: it could not be read
	uint32_t size_limit;                       // bounce_size_limit
	bool headers_only;                         // never more than the header section
	bool tls_optional;                         // "TLS-Required: no", as in the original
	bool smtputf8;                             // the original was sent with SMTPUTF8
	pen_wall_us retry_until;                   // DELAYED: when it will be given up; 0: not said
	const struct pen_dsn_templates *templates; // NULL: the built-in texts
	uint64_t salt;                             // random, for boundary and Message-ID
	uint32_t nrcpt;
	void (*rcpt)(void *ctx, uint32_t i, struct pen_dsn_rcpt *out);
	void *ctx;
};

// pen_dsn_message_build appends the message to out. *eight_bit says whether it
// has bytes above 127. 0 or -ENOMEM.
int pen_dsn_message_build(const struct pen_dsn_report *r, struct pen_buf *out, bool *eight_bit);

// pen_dsn_message_global says whether the notification is one of RFC 6533: the
// original came with SMTPUTF8, and its envelope or its header has other
// characters than ASCII. Any other original gets the plain form, which every
// reader knows.
bool pen_dsn_message_global(const struct pen_dsn_report *r);
