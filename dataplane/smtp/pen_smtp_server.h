// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The SMTP server of one connection, as a pure core over a byte stream.
//
// Used by submission (kernel sockets) and by penstock-sink (our own TCP). It
// parses commands and content, keeps the transaction's order, and asks its
// owner for every decision. The final answer to a message may come later
// (after the commit): input behind it waits.
//
// Threads: owned by one thread. Callbacks run inside feed and tick; they may
//          call pen_smtp_server_reply (once) where they returned PENDING.
// Memory:  output is a pen_buf; input is used in place except for one partial
//          command line (at most 4,096 bytes with ESMTP parameters; 12,288 inside
//          AUTH). What held such a line is overwritten: it may be a password.
// Follows: RFC 5321, 2920, 1870, 6152, 2034, 3207, 3461, 4954, 6531, 8689. Line ends: CRLF is
// required
//          in commands' streams as in RFC 5321, a bare LF is accepted as a
//          line end in commands; content keeps bare LF and CR for the owner's
//          policy (PEN_SMTP_SERVER_FIX_BARE_LF turns a bare LF into CRLF), and
//          "the end" is only CRLF.CRLF (smuggling, CVE-2023-51764).

#include "pen_buf.h"
#include "pen_delivery.h"
#include "pen_dsn.h"
#include "pen_smtp_server_counters.h"
#include "pen_time.h"

#define PEN_SMTP_LINE_MAX 4096
#define PEN_SMTP_AUTH_LINE_MAX 12288 // a response inside AUTH (RFC 4954 4)
#define PEN_SMTP_MECHANISM_MAX 20    // RFC 4422 3.1

enum pen_smtp_verdict {
	PEN_SMTP_OK,      // the server's standard answer
	PEN_SMTP_REPLY,   // the owner has called pen_smtp_server_reply
	PEN_SMTP_PENDING, // the owner will call pen_smtp_server_reply later
	PEN_SMTP_DROP,    // close the connection without a word (sink fault)
};

enum { // pen_smtp_mail.flags
	PEN_SMTP_MAIL_8BITMIME = 1 << 0,
	PEN_SMTP_MAIL_REQUIRETLS = 1 << 1,
	PEN_SMTP_MAIL_RET_FULL = 1 << 2,
	PEN_SMTP_MAIL_RET_HDRS = 1 << 3,
	PEN_SMTP_MAIL_SMTPUTF8 = 1 << 4,
	PEN_SMTP_MAIL_XVERP = 1 << 5,
};

// Limits of RFC 3461 4.2 and 4.4, as written by the client.
#define PEN_SMTP_ENVID_MAX 100
#define PEN_SMTP_ORCPT_MAX 500
#define PEN_SMTP_AUTH_PARAM_MAX 500 // AUTH= of MAIL (RFC 4954 3)

struct pen_smtp_mail {
	struct pen_span sender; // without brackets
	struct pen_span envid;  // ENVID=, checked: see pen_smtp_rcpt; may be empty
	struct pen_span verp;   // XVERP=, two printable bytes; empty: the default ones
	struct pen_span auth;   // AUTH=, as the client wrote it; empty: none, or "<>"
	uint64_t size;          // SIZE=, 0 when not given
	uint32_t flags;
};

struct pen_smtp_rcpt {
	struct pen_span addr; // without brackets
	// ORCPT=, "type;text", or empty. `text` decodes to printable ASCII. It is
	// xtext but for '=', which senders leave as it is and which is let through.
	// Inside a transaction with SMTPUTF8 a text of type utf-8 may have well-formed
	// UTF-8 as it is (RFC 6533 3).
	struct pen_span orcpt;
	uint8_t notify; // NOTIFY=: PEN_NOTIFY_ bits, 0 when not given
};

struct pen_smtp_server_callbacks {
	enum pen_smtp_verdict (*on_connect)(void *ctx); // before the greeting
	enum pen_smtp_verdict (*on_helo)(void *ctx, struct pen_span name, bool ehlo);
	enum pen_smtp_verdict (*on_mail)(void *ctx, const struct pen_smtp_mail *m);
	enum pen_smtp_verdict (*on_rcpt)(void *ctx, const struct pen_smtp_rcpt *r);
	enum pen_smtp_verdict (*on_data)(void *ctx); // before 354
	// Content with dot-stuffing removed, in any pieces.
	void (*on_content)(void *ctx, struct pen_span piece);
	// The final dot was read. `too_big`: beyond max_size, content was cut.
	enum pen_smtp_verdict (*on_message)(void *ctx, bool too_big);
	// RSET, a new HELO, or the connection's end inside a transaction.
	void (*on_reset)(void *ctx);
	// STARTTLS was accepted; 220 is in the output. Send it, then switch the
	// stream and call pen_smtp_server_tls_up. NULL: STARTTLS is not offered.
	void (*on_starttls)(void *ctx);
	// For EHLO: the mechanisms that may be used now, "PLAIN LOGIN"; empty: none. With
	// on_auth NULL AUTH is not offered, and none of these is called.
	struct pen_span (*auth_mechanisms)(void *ctx);
	// AUTH: the mechanism in upper case, and the initial response if there is one, in
	// base64 that was checked (empty: "="). The owner answers with
	// pen_smtp_server_challenge or _reply: 235 ends it well, anything else but 334
	// badly. Inputs are gone when the callback returns.
	enum pen_smtp_verdict (*on_auth)(
		void *ctx, struct pen_span mechanism, const struct pen_span *initial);
	// What the client says to a challenge; may be empty. Answered as above.
	enum pen_smtp_verdict (*on_auth_response)(void *ctx, struct pen_span response);
	// The client gave up, or said what is no response; a reply was given.
	void (*on_auth_cancel)(void *ctx);
	// The session is over after the output is sent: QUIT, error limit, time-out.
	void (*on_close)(void *ctx);
};

struct pen_smtp_server_config {
	const char *hostname;      // in greeting and replies
	const char *banner;        // after the host name, "ESMTP Penstock"
	uint64_t max_size;         // message_size_limit, announced as SIZE; 0 = none
	uint32_t max_recipients;   // smtpd_recipient_limit (452 4.5.3 beyond)
	uint32_t soft_error_limit; // smtpd_soft_error_limit
	uint32_t hard_error_limit; // smtpd_hard_error_limit (421 4.7.0 beyond)
	pen_time_us timeout;       // smtpd_timeout, for any input (421 4.4.2)
	bool fix_bare_lf;          // content: LF alone becomes CRLF
	bool offer_starttls;
	bool require_starttls; // 530 5.7.0 for mail in plaintext (RFC 3207 4)
	bool offer_dsn;        // RFC 3461
	bool offer_requiretls; // inside TLS only (RFC 8689 2)
	bool offer_smtputf8;   // RFC 6531; without it addresses are ASCII
	bool offer_xverp;      // Postfix's VERP_README
	bool offer_auth;       // RFC 4954
	bool auth_tls_only;    // smtpd_tls_auth_only: inside TLS
	bool offer_pipelining, offer_8bitmime, offer_size, offer_enhanced;
};

#include "pen_smtp_server_state.h" // struct pen_smtp_server

void pen_smtp_server_init(struct pen_smtp_server *s, const struct pen_smtp_server_config *cfg,
	const struct pen_smtp_server_callbacks *cb, void *ctx, struct pen_smtp_server_counters *ctr,
	pen_time_us now);
void pen_smtp_server_fini(struct pen_smtp_server *s);

// pen_smtp_server_feed consumes bytes and appends replies to s->out. Returns
// how many bytes were consumed: less than n while an answer is PENDING or
// TLS is about to start; feed the rest again after pen_smtp_server_reply.
size_t pen_smtp_server_feed(struct pen_smtp_server *s, const uint8_t *p, size_t n, pen_time_us now);

// The owner's answer, "250 2.0.0 Ok: queued as X" without CRLF; codes from 400
// up count as errors of the client where Postfix counts them. May contain
// several lines separated by \n.
void pen_smtp_server_reply(struct pen_smtp_server *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

// The owner's answer to on_auth: "334 " and the challenge, base64 of any length.
void pen_smtp_server_challenge(struct pen_smtp_server *s, struct pen_span base64);

// pen_smtp_server_consume drops the first n bytes of s->out, which were sent, and frees
// its memory when nothing is left, so that an idle connection holds none.
void pen_smtp_server_consume(struct pen_smtp_server *s, size_t n);

bool pen_smtp_server_pending(const struct pen_smtp_server *s);
// The stream is encrypted now: forget EHLO and AUTH, as RFC 3207 asks.
void pen_smtp_server_tls_up(struct pen_smtp_server *s, pen_time_us now);
pen_time_us pen_smtp_server_deadline(const struct pen_smtp_server *s);
void pen_smtp_server_tick(struct pen_smtp_server *s, pen_time_us now);
