// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SMTP submission on kernel sockets: from the client's bytes to a message that
// is ready to be stored, and its reply once it is.
//
// Each loop is a thread with its own event base and its own listening sockets
// (SO_REUSEPORT when there are several). A message that was read to its end is
// handed to `intake`; the client's reply waits for pen_submission_done, which
// the owner calls after the commit. Meanwhile other connections go on, and what
// the same client has sent behind it waits in its connection.
//
// What is done to a message: bare LF becomes CRLF; a Received: field is put on
// top; for clients in mynetworks a missing Message-Id: and Date: are added at the
// end of the header block (as Postfix does with its default
// local_header_rewrite_clients); an empty line is put before content that does
// not begin with a header field, and below a header that ends without one; addresses
// without a domain get @myorigin. Mail that is to be REQUIRETLS gets the field
// Require-TLS-ESMTP: yes when it has none.
//
// The fields X-Penstock-Tenant, -Campaign, -Pool, -Priority and -Schedule are taken
// out; from clients in mynetworks they are believed (x_headers.h), and a bad one, or one
// that names a pool or time zone that is not there, is refused with 554 5.6.0. They go before what
// sender_class says.
//
// A client that has authenticated (AUTH, RFC 4954) may relay from anywhere. When its user
// has a tenant (user_class), that is the tenant of its mail: neither the sender's address
// nor a field changes it, and a message whose field names another one is refused with
// 554 5.7.1. Of the other fields such a client is believed -Campaign and -Schedule, which
// concern its own tenant only.
//
// Suppressed recipients (`suppressed`) are refused at RCPT, or accepted and given the
// fate PEN_FATE_DELETED, as suppression_drop says. At RCPT the tenant is what
// sender_class made of the sender. A tenant that only the header names is known after
// DATA, when recipients cannot be refused one by one any more: if its list has all of
// them the message is refused, if it has some, these are deleted and the rest goes on.
// A message of which nobody is left is answered like any other, reported through
// `dropped`, and not handed over.
//
// With TLS the handshake and the records of a connection run on its loop's thread.
// What a client sends in plaintext behind STARTTLS is dropped, and its EHLO
// forgotten. A handshake has 60 seconds (or `timeout`, when that is less) and
// 64 KiB.
//
// Threads: pen_submission_done, _token_back and _stats: any thread. The
//          others: the thread that made it. Every ops callback runs on a loop's
//          thread, on several at once when there are several loops.
// Memory:  about 1 KiB for an idle connection, some KiB more with TLS; the contents under way
//          (being read, or handed over and not answered) are at most max_in_flight bytes
//          together, beyond it new mail gets 452 4.3.1. What a client says in AUTH is kept
//          until the authentication server has it, and overwritten then.
// Follows: RFC 5321, RFC 5322 3.6.7 (trace), 3207, 3461, 4954, 8689; replies and limits as Postfix.

#include "pen_addr.h"
#include "pen_buf.h"
#include "pen_maillog.h"
#include "pen_message.h"
#include "pen_sasl.h"
#include "pen_smtp_server_counters.h"
#include "pen_submission_counters.h"

struct pen_submission;

struct pen_submission_listen {
	struct pen_addr addr;
	uint16_t port; // 0: the system chooses (tests); see pen_submission_port
};

enum pen_submission_tls { // smtpd_tls_security_level, in the order of its words
	PEN_SUBMISSION_TLS_NONE,
	PEN_SUBMISSION_TLS_MAY,     // STARTTLS is offered
	PEN_SUBMISSION_TLS_ENCRYPT, // and mail refused without it
};

struct pen_submission_config {
	const struct pen_submission_listen *listen;
	uint32_t nlisten;
	const struct pen_cidr *mynetworks;
	uint32_t nmynetworks;
	const char *hostname;  // myhostname
	const char *banner;    // what follows the host name: "ESMTP Penstock"
	const char *mail_name; // in Received:; NULL: "Penstock"
	const char *myorigin;  // NULL: addresses stay as they are
	uint64_t message_size_limit;
	uint64_t header_size_limit; // of one field; 0: no limit
	bool reject_nul;            // reject_nul_bytes
	uint32_t recipient_limit;
	uint32_t soft_error_limit, hard_error_limit;
	uint32_t hopcount_limit; // Received: fields, our own included, that mean a loop
	pen_time_us timeout;
	uint32_t max_connections;    // of all loops together
	uint32_t client_connections; // per client outside mynetworks, 0: no limit
	uint64_t max_in_flight;      // bytes
	uint32_t loops;              // 0: 1
	enum pen_submission_tls tls;
	const char *tls_cert_file, *tls_key_file; // PEM; read by pen_submission_new
	uint32_t tls_loglevel;                    // 1: a line per handshake; 2: and its start
	bool requiretls;                          // requiretls_enable
	bool requiretls_header;                   // requiretls_esmtp_header
	bool tls_required;                        // tls_required_enable
	bool smtputf8;                            // smtputf8_enable
	// Mail whose header is beyond ASCII is SMTPUTF8 mail also when MAIL did not say so.
	bool smtputf8_autodetect;
	const struct pen_cidr *verp_clients; // smtpd_authorized_verp_clients; copied
	uint32_t nverp_clients;
	const char *verp_filter;     // verp_delimiter_filter; NULL: "-=+"
	const char *verp_delimiters; // default_verp_delimiters; NULL: "+="
	bool suppression_drop;       // suppression_action
	// How long a message waits when the queue does not keep up, 0: not at all.
	pen_time_us in_flow_delay;
	// Messages handed over and not taken by the queue yet before that happens; 0:
	// max_connections, so that one burst from all connections passes (in Postfix
	// the number is that of its server processes).
	uint32_t in_flow_tokens;
	struct pen_maillog *maillog; // NULL: no mail log
	// The authentication server, of Dovecot's protocol; NULL: AUTH is not offered. It is
	// asked when a client says AUTH, and may come and go meanwhile.
	const struct pen_sasl_server *auth_server;
	// Mechanisms that may be used, without and with TLS.
	struct pen_sasl_options auth_options, auth_tls_options;
	bool auth_tls_only; // smtpd_tls_auth_only
	bool auth_header;   // smtpd_sasl_authenticated_header: the user, in Received:
};

// The message as far as it is known when the header checks run.
struct pen_submission_mail {
	const char *queue_id;
	struct pen_addr client;
	struct pen_span sender, rcpt, helo; // rcpt: the first
	uint32_t nrcpt;
	bool esmtp;
	struct pen_span user; // who authenticated; empty: nobody
};

enum pen_submission_action {
	PEN_SUBMISSION_ACCEPT,
	PEN_SUBMISSION_HOLD,
	PEN_SUBMISSION_REJECT,  // `text` is the reply: "550 5.7.1 ..."
	PEN_SUBMISSION_DISCARD, // 250 for the client, and nothing is stored
};

struct pen_submission_verdict {
	enum pen_submission_action action;
	char text[400];
	// The header block to use instead, with CRLF line ends and without the empty
	// line, when `replaced` (PREPEND, REPLACE, IGNORE). Freed by the caller.
	struct pen_buf headers;
	bool replaced;
};

// Whose mail it is; empty names: nobody's.
struct pen_submission_class {
	char tenant[PEN_CLASS_NAME_MAX + 1], campaign[PEN_CLASS_NAME_MAX + 1];
};

struct pen_submission_ops {
	// The id of the next message: never 0, never given twice.
	uint64_t (*next_id)(void *ctx);
	// At MAIL: 0, or -ENOSPC (452 4.3.1), or another -errno (451 4.3.0).
	// May be NULL.
	int (*admission)(void *ctx);
	// The header block, our Received: on top, without the empty line behind
	// it. *v is zeroed before. `loop` counts from 0. May be NULL.
	void (*filter)(void *ctx, uint32_t loop, const struct pen_submission_mail *mail,
		struct pen_span headers, struct pen_submission_verdict *v);
	// 0: the message is the callee's now, and pen_submission_done follows exactly
	// once (it may be called before intake returns). -errno as in admission:
	// the message was not taken and is freed here. `user` authenticated; may be empty.
	int (*intake)(void *ctx, struct pen_message *m, struct pen_span user, uint64_t token);

	// At MAIL, for clients in mynetworks: what sender_tenant_maps say. *out is empty
	// before. 0, or -errno: nobody knows (451 4.3.0). May be NULL.
	int (*sender_class)(void *ctx, struct pen_span sender, struct pen_submission_class *out);
	// At MAIL, for a client that has authenticated: the tenant of its user. Otherwise as
	// sender_class, which is not asked when this one names a tenant. NULL: none.
	int (*user_class)(void *ctx, struct pen_span user, struct pen_submission_class *out);
	// Is the address suppressed, for everybody or for this tenant (which may be
	// empty)? `why` is then a few words: "bounce: bad-mailbox". Must be quick. May be
	// NULL.
	bool (*suppressed)(
		void *ctx, struct pen_span tenant, struct pen_span rcpt, char *why, size_t cap);
	// A recipient of a message that is not handed over was deleted: for the log. May
	// be NULL.
	void (*dropped)(void *ctx, const struct pen_submission_mail *mail, struct pen_span rcpt,
		const char *why);
	// Is there such a time zone? NULL: any.
	bool (*zone_known)(void *ctx, const char *zone);
	// Is there such a pool? NULL: any.
	bool (*pool_known)(void *ctx, struct pen_span pool);
};

// Copies the configuration (not the maillog). 0 or -errno; on failure *what is
// a sentence for people, valid until the next call.
int pen_submission_new(const struct pen_submission_config *cfg,
	const struct pen_submission_ops *ops, void *ctx, struct pen_submission **out,
	const char **what);
// Starts the loops; the sockets are bound by pen_submission_new already, so that
// privileges may be dropped between.
int pen_submission_start(struct pen_submission *s);
// Takes no more connections and mail, waits until the messages that were handed
// over are answered (at most `grace`), then ends the loops. pen_submission_done may
// still be called until pen_submission_free.
void pen_submission_stop(struct pen_submission *s, pen_time_us grace);
void pen_submission_free(struct pen_submission *s);

// The answer for one intake. err 0: "250 2.0.0 Ok: queued as ID"; -ENOSPC: 452
// 4.3.1; another -errno: 451 4.3.0. `reply`, when not NULL, is said instead; it must be
// a constant of the program ("554 5.6.0 ...").
void pen_submission_done(struct pen_submission *s, uint64_t token, int err, const char *reply);

// The queue has taken a message that is not on hold (those give theirs back by
// themselves, as they do not weigh on the queue).
void pen_submission_token_back(struct pen_submission *s);

// The port that listen[i] is bound to.
uint16_t pen_submission_port(const struct pen_submission *s, uint32_t i);

struct pen_submission_stats {
	uint64_t connections; // open now
	uint64_t in_flight;   // bytes of contents under way
};

struct pen_submission_stats pen_submission_stats(const struct pen_submission *s);

// Counters of one loop: its own, and those of its SMTP server.
uint32_t pen_submission_loops(const struct pen_submission *s);
const struct pen_submission_counters *pen_submission_counters(
	const struct pen_submission *s, uint32_t loop);
const struct pen_smtp_server_counters *pen_submission_smtp_counters(
	const struct pen_submission *s, uint32_t loop);
