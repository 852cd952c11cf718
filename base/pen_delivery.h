// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What crosses between the scheduler (queue/) and a worker (dataplane/).
//
// A lease is the permission for one connection to a site: a source, addresses
// to try in order, a TLS level, and a stream of deliveries. A delivery is one
// MAIL..DATA transaction: one message and the recipients that are sent
// together. Outcomes travel back inside the same objects.
//
// Threads: the scheduler allocates and frees both. Between the put of a command
//          into the worker's ring and the get of the event that returns the
//          object it belongs to the worker, and the scheduler touches nothing
//          but the fields marked "scheduler".
// Order:   for one lease the worker sends READY at most once, then the DONE of
//          each delivery, then ENDED last, when no delivery of the lease is
//          left at the worker: what was not sent comes back as DONE first with
//          `attempted` false.

#include "pen_addr.h"
#include "pen_dsn.h"
#include "pen_time.h"
#include "pen_tls_session.h"

enum pen_worker_command {
	PEN_CMD_LEASE_OPEN = 1, // p: struct pen_lease; connect now
	PEN_CMD_DELIVERY,       // p: struct pen_delivery; queue it on its lease
	PEN_CMD_LEASE_CLOSE,    // p: struct pen_lease; QUIT after what is queued
	PEN_CMD_LEASE_ABORT,    // p: struct pen_lease; end at once
	// p: struct pen_lease, arg: the low half of its id. One more result of it is
	// on disk (hold_dots). Ignored when the lease has ended.
	PEN_CMD_RESULT_STORED,
	PEN_CMD_STOP, // finish: abort all leases, then end the loop
};

enum pen_worker_event {
	PEN_EVENT_LEASE_READY = 1, // p: struct pen_lease; EHLO (and TLS) succeeded
	PEN_EVENT_DELIVERY_DONE,   // p: struct pen_delivery; results are filled in
	PEN_EVENT_LEASE_ENDED,     // p: struct pen_lease; `result` says why
};

// Per-command time limits, Postfix's names and defaults; microseconds.
struct pen_smtp_timeouts {
	pen_time_us connect;   // smtp_connect_timeout 30s
	pen_time_us helo;      // smtp_helo_timeout 300s: greeting, and EHLO/HELO
	pen_time_us starttls;  // smtp_starttls_timeout 300s
	pen_time_us mail;      // smtp_mail_timeout 300s
	pen_time_us rcpt;      // smtp_rcpt_timeout 300s
	pen_time_us data_init; // smtp_data_init_timeout 120s
	pen_time_us data_xfer; // smtp_data_xfer_timeout 180s: without progress
	pen_time_us data_done; // smtp_data_done_timeout 600s
	pen_time_us rset;      // smtp_rset_timeout 20s
	pen_time_us quit;      // smtp_quit_timeout 300s
	pen_time_us idle;      // smtp_connection_cache_time_limit 2s: no delivery
};

#define PEN_SMTP_TIMEOUTS_DEFAULT                                                                  \
	((struct pen_smtp_timeouts){                                                               \
		.connect = 30 * PEN_US_PER_S,                                                      \
		.helo = 300 * PEN_US_PER_S,                                                        \
		.starttls = 300 * PEN_US_PER_S,                                                    \
		.mail = 300 * PEN_US_PER_S,                                                        \
		.rcpt = 300 * PEN_US_PER_S,                                                        \
		.data_init = 120 * PEN_US_PER_S,                                                   \
		.data_xfer = 180 * PEN_US_PER_S,                                                   \
		.data_done = 600 * PEN_US_PER_S,                                                   \
		.rset = 20 * PEN_US_PER_S,                                                         \
		.quit = 300 * PEN_US_PER_S,                                                        \
		.idle = 2 * PEN_US_PER_S,                                                          \
	})

#define PEN_LEASE_HOSTS_MAX 32 // smtp_mx_address_limit is at most this
#define PEN_HOST_NAME_MAX 255

// What holds for all sessions of the daemon. Read-only; outlives every lease.
struct pen_smtp_rules {
	uint32_t session_limit;    // smtp_mx_session_limit: sessions that passed EHLO; 0 = no limit
	bool last_error_wins;      // smtp_last_error_wins
	bool refused_is_final;     // smtp_tls_refused_is_final: no other host is asked
	bool skip_5xx_greeting;    // smtp_skip_5xx_greeting
	bool block_early_reply;    // smtp_tls_block_early_mail_reply
	uint32_t discard_keywords; // smtp_discard_ehlo_keywords, PEN_EHLO_ bits
	pen_time_us race_delay;    // smtp_address_race_delay, 0 = addresses one after the other
};

enum { // EHLO keywords that can be ignored
	PEN_EHLO_PIPELINING = 1 << 0,
	PEN_EHLO_SIZE = 1 << 1,
	PEN_EHLO_8BITMIME = 1 << 2,
	PEN_EHLO_STARTTLS = 1 << 3,
	PEN_EHLO_DSN = 1 << 4,
	PEN_EHLO_REQUIRETLS = 1 << 5,
	PEN_EHLO_SMTPUTF8 = 1 << 6,
};

#define PEN_SMTP_RULES_DEFAULT                                                                     \
	((struct pen_smtp_rules){.session_limit = 2, .skip_5xx_greeting = true})

// What came back from a host of a lease.
enum pen_host_answer {
	PEN_HOST_UNTRIED,  // it was not asked, or that failed for want of our own means
	PEN_HOST_ANSWERED, // its server greeted, whatever came after that
	// The others: this source does not get an answer there.
	PEN_HOST_TIMEOUT,     // no answer to SYN
	PEN_HOST_REFUSED,     // RST to SYN
	PEN_HOST_UNREACHABLE, // ICMP, or no way there from this source
	PEN_HOST_SILENT,      // the connection was lost, or too late, before a greeting
	PEN_HOST_BUSY,        // greeted with 421
	PEN_HOST_ANSWERS,
};

struct pen_lease_host {
	const char *name; // MX host name or literal: inside `tls`, or static
	// Never NULL. The scheduler holds a reference while the lease lives.
	const struct pen_tls_policy *tls;
	struct pen_addr addr;
	uint16_t port; // host order
	// TLS has worked with this host within smtp_tls_downgrade_memory.
	bool tls_remembered;

	uint8_t answer; // worker: enum pen_host_answer; valid from READY on
	// Worker: what a TLSRPT report says of the session with this host.
	uint8_t tls_event;      // enum pen_tlsrpt_result
	const char *tls_reason; // failure-reason-code: a static string, or NULL
};

// The certificates that the server sent, leaf first, for `penstock tls probe`.
#define PEN_PEER_CHAIN_MAX 16
struct pen_peer_chain {
	uint32_t n, used;
	uint32_t length[PEN_PEER_CHAIN_MAX];
	uint8_t der[65536]; // one behind the other
};

struct pen_lease {
	// Set by the scheduler before OPEN, then read-only.
	uint64_t id;
	void *site; // scheduler: the queue this lease serves
	const struct pen_smtp_rules *rules;
	struct pen_addr source;   // of IPv4; family NONE: we have none
	struct pen_addr source6;  // of IPv6; the same
	const char *helo, *helo6; // for each source; outlive the lease
	struct pen_smtp_timeouts timeouts;
	bool lmtp; // LHLO, and a reply for each recipient (RFC 2033)
	// Its mail needs SMTPUTF8 (RFC 6531): a host that does not offer it is left, with
	// 5.6.7 as its verdict over the mail (origin POLICY). MAIL carries SMTPUTF8.
	bool smtputf8;
	// smtp_tls_fallback_delay has passed for the message this was opened for.
	bool plain_retry;
	uint32_t max_messages; // messages per connection, 0 = no limit
	pen_time_us max_age;   // smtp_connection_reuse_time_limit, 0 = no limit
	// The end of a message is held back until the results of all before it on
	// this connection are on disk: a crash repeats at most one message of it.
	bool hold_dots;
	struct pen_peer_chain *chain; // filled in by the worker; NULL: nobody asks
	uint8_t nhosts;
	struct pen_lease_host host[PEN_LEASE_HOSTS_MAX];

	// Set by the worker: valid from READY on (session) and at ENDED (result).
	uint8_t host_used;     // index of the host that answered, or was last tried
	bool host_tried;       // a connection was begun, or a host was skipped for its policy
	bool ready;            // EHLO succeeded
	bool tls;              // the session is encrypted
	bool starttls_offered; // in plaintext
	struct pen_tls_field tls_field;
	struct pen_tls_peer tls_peer; // with tls
	char tls_protocol[12];        // "TLSv1.3"
	char tls_cipher[40];          // "TLS_AES_128_GCM_SHA256"
	uint16_t tls_bits;
	bool requiretls;     // MAIL carries REQUIRETLS
	bool headers_only;   // RET=HDRS is added: REQUIRETLS could not be passed on
	bool dsn;            // the server offers DSN (RFC 3461)
	uint64_t size_limit; // the server's SIZE; 0 = none given
	uint32_t messages;   // transactions that were begun
	// What TCP saw (PEN_SIGNAL_ in queue/shape): filled in at READY, each DONE and ENDED, and
	// read while the session may go on: each field is stored whole. Numbers are those of the
	// connection tried last, flags those of any connection of the lease.
	struct pen_transport_signs {
		uint32_t segments, retransmitted; // data segments sent; of these, again
		uint16_t syn_retries, zero_windows;
		bool connect_timeout, refused, reset;
		uint32_t srtt_us;
	} signs;
	pen_time_us opened_at; // first SYN
	pen_time_us ready_at;
	// klass 2 after a clean end. klass 5 with scope SITE and without `ready`
	// bounces the mail that the lease was opened for: the last host's refusal is
	// final, and no other host failed for a temporary reason. Its origin is
	// POLICY (REQUIRETLS, a skipped host), or PEER at stage STARTTLS
	// or GREETING (smtp_skip_5xx_greeting = no). Any
	// other klass 5 says nothing about mail.
	struct pen_dsn result;

	// Private to the side that owns the object at the moment.
	uint32_t worker;   // scheduler: index of the worker
	void *owner_state; // whoever owns it: never read by the other side
};

enum pen_dot_state {
	PEN_DOT_NOT_SENT, // the final dot never left: a retry is free of duplicates
	PEN_DOT_SENT,     // sent, not acknowledged by the peer's TCP: also free
	PEN_DOT_ACKED,    // acknowledged: without a reply the delivery is in doubt
};

enum { // RFC 3461 4.1; 0: NOTIFY was not given
	PEN_NOTIFY_NEVER = 1 << 0,
	PEN_NOTIFY_SUCCESS = 1 << 1,
	PEN_NOTIFY_FAILURE = 1 << 2,
	PEN_NOTIFY_DELAY = 1 << 3,
};
enum pen_dsn_ret { PEN_RET_UNSET, PEN_RET_FULL, PEN_RET_HDRS };

struct pen_delivery_rcpt {
	struct pen_span addr;  // without angle brackets
	struct pen_span orcpt; // "rfc822;..." in xtext, as it goes on the wire; may be empty
	uint8_t notify;        // PEN_NOTIFY_ bits
	void *ref;             // scheduler
	struct pen_dsn result; // worker: klass 0 = not attempted
};

struct pen_delivery {
	// Set by the scheduler, read-only for the worker.
	uint64_t id;
	void *message; // scheduler
	struct pen_lease *lease;
	struct pen_span sender; // without angle brackets; empty = null sender
	// The content in canonical form: CRLF line ends, no dot-stuffing, with the
	// final CRLF. Valid until the DONE event.
	struct pen_span content;
	bool eight_bit;        // contains bytes above 127: ask for BODY=8BITMIME
	struct pen_span envid; // xtext; may be empty
	uint8_t ret;           // enum pen_dsn_ret

	// Set by the worker.
	bool attempted;         // MAIL was sent
	uint8_t dot;            // enum pen_dot_state
	uint16_t conn_use;      // how many transactions this session has had, this included
	pen_time_us started_at; // MAIL handed to the stream
	pen_time_us done_at;    // final reply, or the failure
	pen_time_us dot_at;     // the final dot handed to the stream; 0: not yet

	struct pen_delivery *next; // for the owner's lists
	uint32_t nrcpt;
	struct pen_delivery_rcpt rcpt[];
};
