// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a policy means at each step of a session: pure functions from (policy,
// what the server offered, what the handshake showed) to (what to do, status,
// the tls= field of the log).
//
//   begin -> offer -> (refused | handshake_failed | established) -> ready
//
// A worker asks them in production, tests/policy in its table of cases; nobody
// else decides whether mail may go out over a connection.
//
// Threads: no state. Follows: Postfix 3.11 with the deviations that
//          docs/architecture.md lists; RFC 8689 4, RFC 3207.

#include "pen_tls_policy.h"

enum pen_tls_verdict_mark {
	PEN_MARK_UNDECIDED, // "?"
	PEN_MARK_OK,
	PEN_MARK_VIOLATED, // "!"
};

enum pen_requiretls_note {
	PEN_NOTE_NOTHING,
	PEN_NOTE_NOCERTMATCH,
	PEN_NOTE_NOSTARTTLS,
	PEN_NOTE_NOENCRYPTION,
	PEN_NOTE_NONE, // ":none": the server does not know REQUIRETLS, or plaintext
};

// The tls= field (smtp_log_tls_feature_status).
struct pen_tls_field {
	bool shown;          // some policy was activated
	int8_t level, final; // enum pen_tls_level; equal unless it was lowered
	uint8_t mark;        // enum pen_tls_verdict_mark
	bool requiretls;
	uint8_t requiretls_mark;
	uint8_t note; // enum pen_requiretls_note
};

#define PEN_TLS_FIELD_MAX 64
// "may:none/requiretls:none"; "" when nothing is shown. Returns the length.
size_t pen_tls_field_str(const struct pen_tls_field *st, char out[PEN_TLS_FIELD_MAX]);

// What a finished handshake, or one that a certificate ended, showed.
struct pen_tls_peer {
	bool certificate; // the server sent one
	bool trusted;     // its chain, or a DANE trust anchor, is good
	bool matched;     // it is what the policy demands; true below FINGERPRINT
	bool resumed;
	bool tlsa_unusable;             // the engine can use none of the TLSA records
	enum pen_tlsrpt_result failure; // why it did not match; PEN_TLSRPT_NONE: it did
	const char *reason;             // failure-reason-code, a static string, or NULL
};

// "Anonymous", "Untrusted", "Trusted", "Verified".
const char *pen_tls_word(const struct pen_tls_policy *p, const struct pen_tls_peer *peer);

enum pen_tls_action {
	PEN_TLS_GO_ON,       // begin: connect; later: the session may be used
	PEN_TLS_START,       // STARTTLS now
	PEN_TLS_RETRY_PLAIN, // close; the same address again on a new connection, without TLS
	PEN_TLS_LEAVE,       // this host is not to have the mail: `why`
};

struct pen_tls_verdict {
	enum pen_tls_action action;
	struct pen_dsn why; // LEAVE, RETRY_PLAIN
	enum pen_tlsrpt_result event;
	const char *reason;   // of the event, or NULL
	bool send_requiretls; // ready: add REQUIRETLS to MAIL
	bool headers_only;    // ready: RET=HDRS, REQUIRETLS could not be passed on
};

// What may differ between sessions under one policy.
struct pen_tls_rules {
	// The message has waited for smtp_tls_fallback_delay, and this host has not
	// done TLS with us lately (smtp_tls_downgrade_memory).
	bool plain_retry;
	bool remembered; // it has: for the text of the refusal
};

// Before the connection. `peer` is "host[addr]" throughout, as in other texts. `plain`: this
// is the retry without TLS that RETRY_PLAIN asked for.
void pen_tls_begin(const struct pen_tls_policy *p, bool plain, struct pen_tls_field *st,
	struct pen_tls_verdict *out);
// After EHLO in plaintext. `engine`: TLS can be had on our side.
void pen_tls_offer(const struct pen_tls_policy *p, bool plain, bool offered, bool engine,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out);
// The server's answer to STARTTLS, 4xx or 5xx, whose status is the result when
// TLS is required, unless MTA-STS requires it.
void pen_tls_refused(const struct pen_tls_policy *p, const struct pen_dsn *said, const char *peer,
	struct pen_tls_field *st, struct pen_tls_verdict *out);
// No handshake, for `error`; or, with `lost`, the connection ended or timed out
// between the 220 to STARTTLS and the first MAIL: then *lost is the status.
void pen_tls_handshake_failed(const struct pen_tls_policy *p, const struct pen_tls_rules *r,
	const char *error, const struct pen_dsn *lost, const char *peer, struct pen_tls_field *st,
	struct pen_tls_verdict *out);
// TLS is up, or a certificate was refused on the way (peer->matched false).
void pen_tls_established(const struct pen_tls_policy *p, const struct pen_tls_peer *tls,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out);
// After the last EHLO. `encrypted`: that EHLO came inside TLS.
void pen_tls_ready(const struct pen_tls_policy *p, bool encrypted, bool requiretls_offered,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out);
