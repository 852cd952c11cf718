// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// struct pen_smtp_client, laid open only so that an owner can embed it.

#include "pen_delivery.h"
#include "pen_smtp_reply.h"

#define PEN_SMTP_CLIENT_OUT 192

// The transaction that is being sent. At most one other, whose final dot was
// sent and whose reply is outstanding, exists beside it: RFC 2920 makes DATA the
// last of a group, so a third cannot begin before the first is answered.
struct pen_smtp_client_txn {
	struct pen_delivery *d; // NULL once reported, when only a lone dot is left
	size_t off;             // content bytes pulled
	uint32_t rcpt_sent, rcpt_answered, rcpt_ok;
	bool active;
	bool mail_sent, mail_answered, mail_ok;
	bool stray_rcpt; // a RCPT was accepted after MAIL was refused
	bool data_sent, data_answered;
	bool content;     // 354 was read: the content may be pulled
	bool lone;        // no recipient was accepted: the content is empty
	bool stuffed;     // the dot that doubles content[off] was pulled
	uint8_t dot_sent; // bytes of the final dot line pulled
};

struct pen_smtp_client {
	struct pen_lease *lease;
	const struct pen_smtp_client_callbacks *cb;
	void *ctx;
	struct pen_smtp_client_counters *ctr;
	pen_time_us deadline;
	pen_time_us begun_at;

	struct pen_smtp_client_txn cur;
	// The transaction whose final dot was sent and not answered yet.
	struct pen_delivery *old;
	bool old_active; // with `old` NULL: a lone dot
	uint32_t old_dot;
	uint32_t old_at; // LMTP: recipients of `old` before this one are answered
	uint32_t dots_sent, dots_acked;
	uint32_t unstored; // results that are not on disk yet (lease->hold_dots)

	uint8_t state;       // enum smtp_client_state
	uint8_t armed_stage; // the stage `deadline` belongs to
	bool cmd_sent;       // the command of a one-command state was pulled
	bool pipelining, size, eight_bit, starttls, requiretls, smtputf8;
	bool loops;       // the reply to EHLO has our own name
	bool mid_reply;   // a part of a reply was read
	bool closing;     // no more deliveries
	bool plain;       // a retry without TLS
	bool tls_begun;   // TLS was agreed on: never plaintext again here
	uint8_t how;      // enum pen_attempt_end
	bool dry;         // the owner had no delivery: ask again after a wake
	bool result_set;  // lease->result holds why the session failed
	bool need_rset;   // before the next MAIL
	bool rset_wait;   // RSET was sent
	uint8_t cmd;      // a command that is generated in part, and
	uint32_t cmd_off; // how much of it

	uint16_t out_at, out_n;
	uint8_t out[PEN_SMTP_CLIENT_OUT];
	struct pen_reply reply;
};

_Static_assert(sizeof(struct pen_smtp_client) <= 1024, "part of an idle connection's memory");
