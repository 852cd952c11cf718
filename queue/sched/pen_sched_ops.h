// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the scheduler asks of the world around it.
//
// Threads: called on the scheduler thread, from inside pen_sched_ functions.
// Memory:  arguments are borrowed for the call unless a comment says otherwise.

#include "pen_delivery.h"
#include "pen_message.h"
#include "pen_ring.h"
#include "pen_site_route.h"

// Static routing: where mail for an address goes, before DNS.
struct pen_sched_hop {
	struct pen_span transport; // "smtp"; may be empty
	struct pen_span nexthop;   // "example.com", "[mx.example.com]:587"
};

enum pen_sched_status {
	PEN_STATUS_SENT,
	PEN_STATUS_DEFERRED,
	PEN_STATUS_BOUNCED,
	PEN_STATUS_EXPIRED,
	PEN_STATUS_SOFTBOUNCE, // a refusal kept in the queue by soft_bounce
};

// The word in maillog: "sent", "deferred", ...
const char *pen_sched_status_word(enum pen_sched_status st);

// One recipient's result, everything a maillog line or an event needs.
struct pen_sched_log {
	const struct pen_message *message;
	uint32_t rcpt;    // index
	const char *site; // key of the site; "" when there was none
	// The host that was spoken to; relay_name NULL: relay=none.
	const char *relay_name;
	const struct pen_addr *relay_addr;
	uint16_t relay_port;
	const struct pen_addr *source; // NULL without a host
	uint16_t conn_use;             // 2 and more: a reused connection
	// Postfix's delays a/b/c/d: until the queue manager had it, until a
	// connection was begun, connection set-up, transmission. Microseconds.
	pen_time_us delay[4];
	const struct pen_dsn *dsn;
	enum pen_sched_status status;
	bool in_doubt; // the final dot was acknowledged, but never answered
	// The final dot was never acknowledged: the retry cannot duplicate.
	bool retry_is_safe;
	const char *klass; // of the failure (pen_reply_rules.h); NULL without one
	// TLS of the session; has_session false: no session was up.
	bool has_session;
	bool tls;
	const struct pen_tls_field *tls_field; // NULL: no host was tried
	const char *tls_protocol, *tls_cipher;
};

// The text for the parentheses at the end of the line, as pen_trouble_text
// makes it; PEN_TROUBLE_TEXT_MAX is enough. Made on demand: it costs more than
// the delivery of a small message.
size_t pen_sched_log_text(const struct pen_sched_log *line, char *out, size_t cap);

// In a token: of a delay, while the message goes on and may end; the postmaster's copy.
#define PEN_SUBMITTED_LATE (1ull << 63)
#define PEN_SUBMITTED_COPY (1ull << 62)

// A finished notification on its way to the spool.
struct pen_sched_submission {
	uint64_t token; // for pen_sched_on_submitted: the message's id and PEN_SUBMITTED_
	const struct pen_message *original; // for the log
	struct pen_span rcpt;               // envelope recipient; the sender is null
	uint8_t *content;                   // malloc'ed; the op takes it over
	uint32_t content_len;
	uint32_t flags; // PEN_MESSAGE_DSN, perhaps PEN_MESSAGE_8BIT
	pen_wall_us arrival;
};

// What the filter says of a refusal; see control/filter/pen_reply_rules.h.
struct pen_sched_match {
	const char *klass; // its class, "bad-mailbox"; lives until the next reload
	bool greylisted;   // the class is greylisting
	uint32_t nrules;
	uint32_t rule[16]; // of the shaping configuration
};

struct pen_sched_ops {
	// Fills *out (spans stay valid until the next call) and returns true, or
	// returns false with the reason in *why. `domain` is what follows the
	// last '@', empty if there is none. Must be quick.
	bool (*route)(void *ctx, struct pen_span rcpt, struct pen_span domain,
		struct pen_sched_hop *out, struct pen_dsn *why);

	// Starts finding the hosts of a next hop; the answer comes through
	// pen_sched_on_resolved, which may be called from here.
	// Mail of another demand is another question: it gets hosts, policies and
	// connections of its own.
	void (*resolve)(void *ctx, struct pen_span transport, struct pen_span nexthop,
		enum pen_tls_demand demand, uint64_t token);

	// A lease is about to be opened: fills in host[].tls_remembered. NULL op:
	// nothing is remembered.
	void (*prepare)(void *ctx, struct pen_lease *l);

	// A session came up (ended false: READY) or a lease is over (ended true,
	// also without a session), for the log, TLSRPT and what is remembered of
	// hosts. May be NULL.
	void (*session)(void *ctx, const struct pen_lease *l, bool ended);

	// Puts a command into a worker's ring. False: full; it is tried again.
	bool (*send)(void *ctx, uint32_t worker, struct pen_ring_msg msg);

	// Makes a change durable, in the order of the calls, some time later.
	void (*record)(void *ctx, const struct pen_message *m, const struct pen_message_update *up);

	// Stores a notification durably and gives it to pen_sched_add, then calls
	// pen_sched_on_submitted, always; both may be called from here.
	void (*submit)(void *ctx, const struct pen_sched_submission *sub);

	// Reads the content back into m->content (malloc'ed). 0 or -errno. NULL
	// op: contents are never dropped.
	int (*content)(void *ctx, struct pen_message *m);

	// A refusal or a failure of a session, class 4 or 5: what it means. NULL op:
	// nothing is known of it. `provider` and `site` as in pen_shape.h.
	void (*match)(void *ctx, const struct pen_dsn *d, const char *provider,
		struct pen_span site, struct pen_sched_match *out);

	// Seconds east of UTC in a time zone at `at`, and until when that holds. False: no
	// such zone. NULL op: only UTC.
	bool (*zone)(
		void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until);

	// One line per result of a recipient.
	void (*log)(void *ctx, const struct pen_sched_log *line);

	// A fate that no delivery brought: an operator's delete, bounce or expiry; what the
	// accounting needs. `by` is "operator" or "rule at egress.conf line 30". May be NULL.
	void (*ended)(void *ctx, const struct pen_message *m, uint32_t rcpt, enum pen_fate fate,
		const char *by);

	// The message is finished and recorded as removed: log it and free it.
	void (*removed)(void *ctx, struct pen_message *m);

	// pen_sched_free gives back a message that is still queued: free it.
	void (*forget)(void *ctx, struct pen_message *m);
};
