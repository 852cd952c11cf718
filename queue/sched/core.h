// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The scheduler's inside: structures and the calls between its files. Private
// to this folder.
//
// Re-entrance: ops may answer at once (pen_sched_on_resolved inside `resolve`,
// pen_sched_add and pen_sched_on_submitted inside `submit`). Two rules keep
// that safe. An entry ends only through entry_check or later calls of entry.c,
// so a caller must not touch it behind them unless it holds entry->guard. Sites
// and next hops are freed only by pen_sched_poll.

#include "calendar.h"
#include "link.h"
#include "pen_err.h"
#include "pen_feedback.h"
#include "pen_preempt.h"
#include "pen_rand.h"
#include "pen_sched.h"
#include "pen_sched_admin.h"
#include "pen_sched_select.h"
#include "pen_trouble.h"
#include "pen_wheel.h"
#include "table.h"

#define RELAY_MAX 320 // "name[addr]"

enum timer_kind {
	TIMER_NEXTHOP,
	TIMER_SITE,
	TIMER_LEASE,
};

struct timer {
	struct pen_wheel_node node;
	uint8_t kind; // enum timer_kind
};

enum job_state {
	JOB_NEW,
	JOB_RESOLVING, // in nexthop->waiting
	JOB_READY,     // in site->jobs or site->returned
	JOB_FLYING,    // a delivery
};

// Recipients of one message that go to one next hop in one transaction.
struct job {
	struct link queue;
	struct job *sibling, **sibling_at; // the entry's jobs
	struct entry *entry;
	struct nexthop *nexthop;
	struct site *site; // READY, FLYING
	struct pile *pile; // NULL: it waits alone
	uint16_t nrcpt;
	uint8_t state;
	uint8_t returns : 7; // how often it came back untried
	bool front : 1;      // goes before the others of its site
	uint32_t rcpt[];     // indexes
};

// Jobs of one message that wait at a site, one behind the other. The first one
// stands in the site's queue for all of them.
struct pile {
	struct link rest; // the others
	struct job *leader;
	struct pen_preempt_work work;
	bool lent; // something went before it: it goes on next
};

// A recipient that failed for good, until that is durable. DELIVERED: its fate
// is recorded, and the sender wants to know.
struct failure {
	struct failure *next;
	const struct pen_note *note; // may be NULL
	uint32_t rcpt;
	uint8_t fate;
	bool final;   // DELIVERED to a mailbox
	bool ordered; // by an operator: no delivery's result
};

// A message in the scheduler: pen_message.sched.
struct entry {
	struct pen_message *m;
	struct link all;
	struct table_node node; // hash: entry_hash(id), a bijection
	struct pen_wheel_node timer;
	struct job *jobs;
	struct failure *failures;
	// The last deferral of each, when there are several; NULL until there is one.
	// A single recipient's is the message's.
	const struct pen_note **notes;
	pen_time_us active_at;
	uint32_t njobs, nflying;
	uint32_t live; // recipients QUEUED, failures included
	uint8_t state; // ENTRY_
	uint8_t guard;
	bool deleting : 1;
	bool tried : 1;      // attempts changed since the last record
	bool submitted : 1;  // a notification waits for on_submitted
	bool told : 1;       // the sender knows of the failures
	uint8_t telling : 3; // enum pen_dsn_kind of what was submitted
	bool deferred : 1;   // a recipient waits for the time that this pass will set
	bool again : 1;      // what was withdrawn is routed anew when the pass ends
	bool moved : 1;      // its class or route changed since the last record
	bool warned : 1;     // the delay notification was tried in this pass
	bool marked : 1;     // a scan goes on here
};

// In the order of enum pen_sched_state's bits.
enum {
	ENTRY_DEFERRED,
	ENTRY_ACTIVE,
	ENTRY_BOUNCING,
	ENTRY_HOLD,
	ENTRY_WAITING,
	ENTRY_SCHEDULED,
	ENTRY_STATES
};

// Where a listing or an order that is done in pieces goes on.
struct scan {
	uint64_t after; // what the caller comes back with; 0: free
	uint64_t last;  // what came later than this message does not belong to it
	struct link *at;
};
#define SCANS 8

// In pen_recipient.due: an operator ended it, and it may be with a worker.
#define DUE_ORDERED (PEN_DUE_NEVER - 1)

enum nexthop_state {
	NEXTHOP_NEW,
	NEXTHOP_RESOLVING,
	NEXTHOP_ROUTED,
	NEXTHOP_FAILED,
};

struct nexthop {
	struct table_node node;
	struct table_node token; // in pen_sched.resolving while RESOLVING
	struct link waiting;     // jobs
	struct link settling;    // in pen_sched.settling
	struct timer timer;
	struct site *site;          // ROUTED
	const struct pen_note *why; // FAILED
	struct job *batch;          // only inside entry_activate
	uint32_t batch_left;
	uint32_t njobs;
	uint32_t epoch; // of the last flush when it FAILED
	uint8_t state;
	uint8_t demand; // enum pen_tls_demand
	bool lmtp;
	bool utf8; // its mail can only go to servers with SMTPUTF8
	pen_time_us expires, used;
	uint16_t transport_len, len;
	char name[]; // transport, then next hop, lower-case
};

struct site_host {
	struct pen_addr addr;
	uint16_t port, preference;
	const struct pen_tls_policy *tls; // a reference
};

struct site {
	struct table_node node;
	struct link all, turn, drain, reap;
	struct link returned, jobs; // READY; `returned` goes first
	struct link leases;         // idle ones first
	struct timer timer;
	const struct pen_note *why; // dead
	struct site_host *host;
	uint16_t nhosts;
	bool dead, hungry, kicking;
	bool lmtp;
	uint8_t demand;             // enum pen_tls_demand: part of what it is
	bool utf8;                  // and so is this: see struct nexthop
	uint8_t cold;               // failures in a row to open beside good ones
	uint32_t queued, in_flight; // jobs, deliveries
	uint32_t nleases, nready, nopening;
	struct pen_feedback feedback;
	uint32_t cap;          // connections that the server takes beside each other; 0: unknown
	uint32_t refs;         // next hops
	struct lease *refused; // ended: what waits gets its result
	pen_time_us dead_until, grow_after;
	uint64_t delivered, deferred, bounced;
	uint16_t key_len;
	char key[]; // NUL-terminated
};

struct lease {
	struct pen_lease pub; // first: what the worker sees
	struct link in_site, idle, blocked;
	struct timer timer;
	uint32_t in_flight, given, handled, untried;
	bool spent;                      // a delivery came back untried: ENDED will follow
	bool ready;                      // READY came
	bool ended;                      // ENDED came; waits for late deliveries, or in its grave
	bool commanded;                  // a CLOSE or ABORT may still be in the worker's ring
	bool closing;                    // CLOSE or ABORT was decided
	bool close_wanted, abort_wanted; // the worker's ring was full
	bool yielding;                   // closed for the sake of another site
};

struct pen_sched {
	struct pen_sched_config cfg;
	struct pen_sched_ops ops;
	void *ctx;
	pen_time_us now;
	pen_wall_us wall;
	struct pen_feedback_rules feedback;
	struct pen_rand rand;
	struct pen_siphash_key key;
	struct calendar calendar; // entries
	struct pen_wheel wheel;   // all else
	struct table entries, nexthops, sites, resolving;
	struct link all_entries, all_sites;
	struct scan scan[SCANS];
	uint32_t scan_turn;
	uint64_t doubtful;           // recipients queued and in doubt
	struct link hungry, wanting; // sites that wait for a lease: without one, and others
	struct link idle, blocked;   // leases
	struct link graves;          // ended leases, through in_site
	struct link draining, reap;  // sites
	struct link settling;        // next hops
	struct pen_delivery *spare;  // free ones, for one recipient
	uint32_t nspare;
	uint32_t nhungry, nwanting, nyielding, nleases, nready, nbusy_sites, ndead;
	uint32_t submitting;
	uint32_t nstate[ENTRY_STATES];
	uint32_t worker_leases[64], worker_turn;
	uint32_t *source[2], nsource[2], source_turn[2]; // [0] IPv4, [1] IPv6: indexes
	uint64_t token, lease_id, delivery_id;
	uint32_t epoch;
	bool stopping;
	uint64_t jobs_ready, jobs_resolving, in_flight, content_bytes;
	struct pen_rcpt_change *change; // scratch: the record being put together
	struct nexthop **hop;           // scratch of entry_activate
	uint8_t *failed;                // scratch of entry_settle: a bit per recipient
	uint8_t *chosen;                // scratch of pen_sched_apply: the same
	uint32_t scratch_cap;           // of all four: the largest nrcpt
	uint32_t nchanges;
	char postmaster_text[PEN_HOST_NAME_MAX + 260];
	struct pen_span postmaster;   // empty: not told of mail without a sender
	struct pen_sched_stats total; // the "since the start" part
};

// Where a result came from, for the log.
struct result {
	const struct pen_dsn *dsn;
	enum pen_trouble_source source;
	struct site *site;                   // may be NULL
	const struct lease *lease;           // may be NULL
	const struct pen_delivery *delivery; // may be NULL
	struct pen_sched_match match;        // what it means; klass NULL: nothing is known
	bool in_doubt;
	bool retry_is_safe;
	char relay[RELAY_MAX]; // filled on demand when there is a lease
	size_t mta_len;
	const struct pen_note *note; // the last one made, to share it among recipients
};

// entry.c: a message's life
struct entry *entry_find(const struct pen_sched *s, uint64_t id);
void entry_activate(struct pen_sched *s, struct entry *e);
void entry_timer(struct pen_sched *s, struct entry *e);
// Settles the message when no job of it is left. It may be gone afterwards.
void entry_check(struct pen_sched *s, struct entry *e);
// The failures are durable for the sender (or nobody is to be told).
void entry_conclude(struct pen_sched *s, struct entry *e);
void entry_set_state(struct pen_sched *s, struct entry *e, uint8_t state);
void entry_record(struct pen_sched *s, struct entry *e, bool removed);
void entry_change(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate);
// The same for a fate that no delivery brought.
void entry_end(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate);
// A deferral, into the record that is being made.
void entry_doubt(struct pen_sched *s, struct entry *e, uint32_t rcpt);
void entry_free(struct pen_sched *s, struct entry *e);
void entry_drop_content(struct pen_sched *s, struct entry *e);
int entry_load_content(struct pen_sched *s, struct entry *e);
// Ends all jobs of the entry that are not with a worker.
void entry_withdraw(struct pen_sched *s, struct entry *e);
void entry_settle(struct pen_sched *s, struct entry *e);
void failure_free(struct failure *f);
// The failure of this recipient that an operator ordered, or NULL.
struct failure *entry_ordered(const struct entry *e, uint32_t rcpt);
// Takes it back.
void entry_pardon(struct entry *e, uint32_t rcpt);
// Takes the recipients off the job that have a failure. False: none is left.
bool job_strip(struct job *j);

// when.c: what a message waits for, and until when
// When its lifetime is over; it may have begun later than its arrival.
pen_wall_us entry_expiry(const struct pen_sched *s, const struct entry *e);
// From when on it is given up even without an attempt.
pen_wall_us entry_end_of_life(const struct pen_sched *s, const struct entry *e);
// The moment that lifetime and retry times count from.
pen_wall_us entry_birth(const struct entry *e);
// The first moment from `at` on at which its schedule lets it go; PEN_TIME_NEVER.
pen_wall_us entry_opening(const struct pen_sched *s, const struct entry *e, pen_wall_us at);
// This recipient takes part in a pass that begins now.
bool entry_rcpt_due(const struct pen_sched *s, const struct entry *e, uint32_t rcpt);
// It waits for its own time: not before `at`.
void entry_rcpt_wait(struct entry *e, uint32_t rcpt, pen_wall_us at);
// All that are not in doubt, or all, may go at once. False: nobody may.
bool entry_make_due(struct pen_sched *s, struct entry *e, bool doubtful);
// The end of a pass: gives times to those that have none; returns the first.
pen_wall_us entry_next_attempt(struct pen_sched *s, struct entry *e);
// Waits until `at`, or for its schedule: DEFERRED or SCHEDULED.
void entry_park(struct pen_sched *s, struct entry *e, pen_wall_us at);
// A message from the spool: those in doubt wait by the policy.
void entry_recover_doubts(struct pen_sched *s, struct entry *e);
void entry_arm(struct pen_sched *s, struct entry *e, pen_wall_us at);
// The timer for what can happen next in its state.
void entry_arm_next(struct pen_sched *s, struct entry *e);

// result.c: one recipient's result
// Judges and logs it; delivered ones are put into the record being made.
void result_apply(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r);
void result_fini(struct result *r);
// The host that r->lease spoke to, into r->relay; nothing if there was none.
void result_relay(struct result *r);
// What the last attempt said; NULL: nothing yet.
const struct pen_note *entry_note(const struct entry *e, uint32_t rcpt);
void result_expire(struct pen_sched *s, struct entry *e, uint32_t rcpt);
// An operator ends it: DELETED, BOUNCED with this note, or EXPIRED. What is with a
// worker may still end another way. False: no memory.
bool result_order(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate,
	const struct pen_note *note);

// bounce.c
// Somebody is to be told of what happened in this pass.
bool bounce_wanted(const struct pen_sched *s, const struct entry *e);
// The entry may be gone afterwards.
void bounce_submit(struct pen_sched *s, struct entry *e);
// Nobody will be told of the failures: they end as deleted.
void bounce_forget(struct entry *e);
// When its sender is to be told that it is late; PEN_TIME_NEVER.
pen_wall_us bounce_delay_at(const struct pen_sched *s, const struct entry *e);
void bounce_delay(struct pen_sched *s, struct entry *e);

// job.c
struct job *job_new(struct entry *e, struct nexthop *nh, uint32_t cap);
void job_free(struct pen_sched *s, struct job *j); // unlinks it everywhere
// Gives all its recipients the same result and ends it; then entry_check.
void job_finish(struct pen_sched *s, struct job *j, struct result *r);
void job_suspend(struct pen_sched *s, struct job *j, struct site *site);
void job_refuse(struct pen_sched *s, struct job *j, const struct lease *l);

// nexthop.c
struct nexthop *nexthop_find(struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8);
// The same without making it: NULL when it is not known.
const struct nexthop *nexthop_known(const struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8);
void nexthop_enqueue(struct pen_sched *s, struct nexthop *nh, struct job *j);
bool nexthop_fresh(const struct pen_sched *s, const struct nexthop *nh);
uint32_t nexthop_settle(struct pen_sched *s, struct nexthop *nh, uint32_t budget);
void nexthop_timer(struct pen_sched *s, struct nexthop *nh);
void nexthop_free(struct pen_sched *s, struct nexthop *nh);

// site.c: a site's queue and health
struct site *site_find(
	struct pen_sched *s, const struct nexthop *nh, const struct pen_route_result *r);
void site_ref(struct site *site);
void site_unref(struct pen_sched *s, struct site *site);
void site_push(struct pen_sched *s, struct site *site, struct job *j);
struct job *site_first(struct site *site);
void site_unqueue(struct pen_sched *s, struct job *j);
void site_kick(struct pen_sched *s, struct site *site);
// How many connections it may have now.
uint32_t site_window(const struct pen_sched *s, const struct site *site);
void site_success(struct pen_sched *s, struct site *site, uint32_t busy);
void site_failure(struct pen_sched *s, struct site *site, const struct result *r);
void site_die(struct pen_sched *s, struct site *site, const struct result *r);
void site_revive(struct pen_sched *s, struct site *site, uint32_t busy);
// What waits bounces with the result of this lease, which the site takes over.
void site_refuse(struct pen_sched *s, struct site *site, struct lease *l);
void site_end_refusal(struct pen_sched *s, struct site *site);
void site_timer(struct pen_sched *s, struct site *site);
uint32_t site_drain(struct pen_sched *s, struct site *site, uint32_t budget);
void site_widen(struct pen_sched *s, struct site *site);
void site_hold_off(struct pen_sched *s, struct site *site);
void site_maybe_reap(struct pen_sched *s, struct site *site);
void site_free(struct pen_sched *s, struct site *site);

// pile.c: the order of a site's queue
void pile_add(struct site *site, struct job *j); // at the end of site->jobs
void pile_take(struct job *j);                   // off its queue
// The job to send next, or NULL. A small message may go before a large one.
struct job *pile_next(struct pen_sched *s, struct site *site);

// turn.c: who may open the next connection
bool turn_wants(const struct pen_sched *s, const struct site *site);
void turn_request(struct pen_sched *s, struct site *site);
void turn_leave(struct pen_sched *s, struct site *site);
void turn_serve(struct pen_sched *s);
bool turn_should_yield(const struct pen_sched *s, const struct lease *l);

// lease.c
enum lease_open_result {
	LEASE_OPENED,
	LEASE_NOTHING, // nothing to open it for
	LEASE_BUSY,    // try again at the next poll
};
enum lease_open_result lease_open(struct pen_sched *s, struct site *site);
void lease_fill(struct pen_sched *s, struct lease *l);
void lease_close(struct pen_sched *s, struct lease *l);
void lease_abort(struct pen_sched *s, struct lease *l);
void lease_unblock(struct pen_sched *s, struct lease *l);
void lease_timer(struct pen_sched *s, struct lease *l);
void lease_touch(struct pen_sched *s, struct lease *l);
void lease_on_ready(struct pen_sched *s, struct lease *l);
void lease_on_ended(struct pen_sched *s, struct lease *l);
void lease_bury(struct pen_sched *s, struct lease *l);
void lease_free(struct lease *l);
bool lease_is_idle(const struct lease *l);

// plan.c: fills sources, HELO and hosts; false when no source fits.
bool plan_lease(struct pen_sched *s, const struct site *site, struct pen_lease *l);

// delivery.c
enum delivery_send_result {
	DELIVERY_SENT,
	DELIVERY_GONE, // the job ended another way
	DELIVERY_BUSY,
};
enum delivery_send_result delivery_send(struct pen_sched *s, struct lease *l, struct job *j);
void delivery_on_done(struct pen_sched *s, struct pen_delivery *d);
void delivery_free(struct pen_sched *s, struct pen_delivery *d);

// activate.c
// Where the recipient goes before DNS; false: nowhere, with the reason.
bool entry_hop(struct pen_sched *s, const struct entry *e, uint32_t rcpt, struct pen_sched_hop *hop,
	struct pen_dsn *why);
// The site that its next hop led to, as far as it is known; NULL.
struct site *entry_site(struct pen_sched *s, const struct entry *e, uint32_t rcpt);

// admin.c
struct pen_sched_view entry_view(const struct pen_sched *s, const struct entry *e);
// All sites are tried again, and names that did not resolve are asked for.
void sites_lift(struct pen_sched *s);

// order.c: operators' hands on one message. False: nothing changed.
// `chosen`: a bit per recipient; NULL: all.
bool order_end(struct pen_sched *s, struct entry *e, const uint8_t *chosen, uint8_t fate,
	const struct pen_note *note);
bool order_delete(struct pen_sched *s, struct entry *e);
bool order_expire(struct pen_sched *s, struct entry *e, bool no_notice);
bool order_hold(struct pen_sched *s, struct entry *e);
bool order_release(struct pen_sched *s, struct entry *e);
// `doubtful`: those in doubt too.
bool order_retry(struct pen_sched *s, struct entry *e, bool doubtful);
bool order_requeue(struct pen_sched *s, struct entry *e);
bool order_move(struct pen_sched *s, struct entry *e, const struct pen_sched_order *o);

// why.c
// Writes the sentence, cut to fit.
void why_say(struct pen_why *out, enum pen_why_code code, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// site_why.c
// What holds a message that is ACTIVE or WAITING.
void site_why(struct pen_sched *s, const struct entry *e, struct pen_why *out);
