// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The scheduler: decides which message goes to which site over which
// connection, and what happens afterwards.
//
// It is a pure core. Time is what the caller last passed to pen_sched_clock;
// everything that leaves goes through struct pen_sched_ops; answers come back
// through the pen_sched_on_ functions.
//
//   message -> jobs (message x next hop, at most recipient_limit recipients; a
//              message of one transaction gets its job when there is room)
//           -> flow (priority, tenant and campaign: fair shares by weight)
//           -> site (next hops that share hosts, TLS policy and pool)
//           -> lease (one connection) -> delivery (one transaction)
//
// Threads: one thread calls everything. Functions may be called from inside
//          ops where the comment at the op says so, nowhere else.
// Memory:  owns the messages it was given, and about 140 bytes for each on top
//          of struct pen_message. The content of a message that waits for a
//          retry, or that exceeds content_memory_limit, is dropped and read
//          back when it is needed (if the `content` op exists).
// Cost:    O(1) per event, apart from operator functions that say otherwise.
//          What may be long (a dead site's queue) is done in bounded steps by
//          pen_sched_poll.
// Always:  a recipient with a final fate is never delivered again; leases stay
//          within the limits; every state has a deadline, except HOLD, which
//          only an operator ends.
// Needs:   a worker that keeps the order of pen_delivery.h; a broken promise
//          aborts.

#include "pen_feedback.h"
#include "pen_message.h"
#include "pen_preempt.h"
#include "pen_retry.h"
#include "pen_ring.h"
#include "pen_sched_ops.h"
#include "pen_shape.h"
#include "pen_site_route.h"

struct pen_sched_source {
	struct pen_addr addr;
	char helo[PEN_HOST_NAME_MAX + 1]; // empty: myhostname
};

enum pen_in_doubt_policy {
	PEN_IN_DOUBT_DELAY, // once more after in_doubt_delay; in doubt again: held until it expires
	PEN_IN_DOUBT_RETRY, // as any other deferral
	PEN_IN_DOUBT_HOLD,  // until an operator decides, or it expires
};

struct pen_sched_transport { // 0: the general value
	char name[32];
	uint32_t recipient_limit, concurrency_limit, initial_concurrency;
};

struct pen_sched_config {
	char myhostname[PEN_HOST_NAME_MAX + 1];
	char mailer_daemon[64]; // local part of the notifications' From
	struct pen_retry_policy retry;
	bool soft_bounce;
	uint32_t bounce_size_limit;
	bool redact_dsn; // requiretls_redact_dsn
	// bounce_template_file; NULL: the built-in texts. Outlives the scheduler.
	const struct pen_dsn_templates *templates;
	bool lmtp_assume_final; // LMTP delivers to mailboxes: "delivered", not "relayed"
	// notify_classes has bounce or 2bounce: who hears of undeliverable mail that
	// has no sender. Without '@': at myhostname.
	bool notify_double_bounce;
	char error_notice_recipient[256];
	bool notify_delay; // it has delay: who gets a copy of what senders hear of late mail
	char delay_notice_recipient[256];
	// Failures of VERP mail are told together, to the plain sender, as those of others.
	bool disable_verp_bounces;

	uint32_t concurrency_limit; // default_destination_concurrency_limit: leases per site
	uint32_t initial_concurrency;
	// default_destination_concurrency_positive_feedback and so on
	struct pen_feedback_rate positive_feedback, negative_feedback;
	uint32_t failed_cohort_limit; // 0: a site is never declared dead
	struct pen_preempt_rules preempt;
	uint32_t recipient_limit;          // default_destination_recipient_limit: per transaction
	uint32_t connection_message_limit; // messages per connection, 0 = no limit
	bool hold_dots;                    // smtp_result_barrier: see struct pen_lease
	pen_time_us connection_age_limit;  // smtp_connection_reuse_time_limit
	uint32_t lease_limit;              // over all sites
	uint32_t pipeline_depth;           // deliveries queued on one lease at most
	struct pen_smtp_timeouts timeouts;
	struct pen_smtp_rules rules;
	// smtp_tls_fallback_delay: how old a message must be before a failed
	// handshake at level may is repeated without TLS.
	pen_time_us tls_fallback_delay;
	bool shuffle_hosts; // smtp_randomize_addresses

	uint32_t workers;
	uint32_t nsources;                     // at least one
	const struct pen_sched_source *source; // copied

	struct pen_shape *shape; // NULL: nothing is limited but by this configuration; outlives it
	enum pen_in_doubt_policy in_doubt_policy;
	pen_time_us in_doubt_delay;     // DELAY: before the one retry
	pen_time_us delay_warning_time; // 0: none is sent
	bool confirm_delay_cleared;     // the sender is told when delayed mail went through
	pen_time_us greylist_retry;     // after a greylisting reply; 0: as any other
	// How long a host that does not answer a source is not asked from there: at first (0: a
	// fifth of retry.minimal_backoff_time), and at most (0: hosts are not remembered).
	pen_time_us minimal_host_backoff_time, maximal_host_backoff_time;
	uint32_t dead_host_limit; // pairs of source and host that are remembered; at the start
	uint32_t ready_limit;     // transactions made ready per site; the rest wait as messages
	// per transport: Postfix's transport_destination_recipient_limit and the like
	const struct pen_sched_transport *transport;
	uint32_t ntransports;

	uint32_t message_limit; // pen_sched_accepting says no above these
	uint32_t recipient_total_limit;
	uint64_t content_memory_limit; // of content kept while waiting for a turn, as allocated

	pen_time_us resolve_timeout; // a resolver that has not answered by then
	pen_time_us route_keep;      // an unused next hop or site is forgotten after
	pen_time_us lease_watchdog;  // a busy lease without any event is aborted after
	uint64_t seed;               // host order, hash keys, notification boundaries
};

// Fills the defaults. myhostname, workers, source and seed are left to the caller.
void pen_sched_config_init(struct pen_sched_config *cfg);

struct pen_sched;

// NULL when out of memory. cfg and ops are copied. Values outside their range
// (no worker, no source, a zero limit) are a caller's bug.
struct pen_sched *pen_sched_new(const struct pen_sched_config *cfg, const struct pen_sched_ops *ops,
	void *ctx, pen_time_us now, pen_wall_us wall);

// pen_sched_reconfigure takes over all of cfg but what a scheduler is made with: myhostname,
// mailer_daemon, workers, sources, lease_limit, shape, rules (leases out point to them) and seed.
// It holds for what is decided from now on: leases that are out keep their limits of messages and
// time, and a message's next attempt stays as it is. 0 or -ENOMEM, which changes nothing.
int pen_sched_reconfigure(struct pen_sched *s, const struct pen_sched_config *cfg);

// Frees it all; each message still queued is handed to the `forget` op. No
// lease may be out: stop first and wait for pen_sched_idle.
void pen_sched_free(struct pen_sched *s);

// pen_sched_clock sets the time for all that follows. Call it before each batch
// of events; monotonic time never goes back.
void pen_sched_clock(struct pen_sched *s, pen_time_us now, pen_wall_us wall);

// pen_sched_add takes over a message that is durable in the spool: a new one, a
// finished notification, or one found at start. It is tried at once, or at
// m->next_attempt if that is later, or never while it is on HOLD.
// 0; -EEXIST (id known) or -ENOMEM: the caller keeps the message.
int pen_sched_add(struct pen_sched *s, struct pen_message *m);

// False when the queue is full: submission answers 4xx. Notifications and
// recovered messages are added regardless.
bool pen_sched_accepting(const struct pen_sched *s);

// A worker's event (enum pen_worker_event).
void pen_sched_on_event(struct pen_sched *s, struct pen_ring_msg ev);

// The answer to the `resolve` op. Late and unknown tokens are ignored.
void pen_sched_on_resolved(
	struct pen_sched *s, uint64_t token, const struct pen_route_result *result);

// The answer to the `submit` op: 0 when the notification is durable, or -errno;
// it is then built and submitted again later.
void pen_sched_on_submitted(struct pen_sched *s, uint64_t token, int err);

// pen_sched_poll fires timers and does waiting work, at most about `budget`
// items; returns how many were done (0: nothing is due).
uint32_t pen_sched_poll(struct pen_sched *s, uint32_t budget);

// When poll should be called at the latest: may be now, or PEN_TIME_NEVER.
pen_time_us pen_sched_next(const struct pen_sched *s);

// Graceful stop: no new connection, each open one ends after what is queued on
// it. pen_sched_abort ends them at once (for a stop that must not take long).
void pen_sched_stop(struct pen_sched *s);
void pen_sched_abort(struct pen_sched *s);
bool pen_sched_stopping(const struct pen_sched *s);
// All leases are back and no notification is on its way to the spool.
bool pen_sched_idle(const struct pen_sched *s);
