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
#include "dead_hosts.h"
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
#include "share.h"
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

// What waits for shaping, and what is to be done when it may have room again.
enum waiter_kind {
	WAITER_OPEN,    // a site that wants a connection
	WAITER_SEND,    // a site that wants to send a message
	WAITER_FLOW,    // mail of one campaign
	WAITER_LEASE,   // a connection whose source may not send more
	WAITER_NEXTHOP, // mail of a domain
};

struct waiter {
	struct pen_shape_waiter shape;
	uint8_t kind; // enum waiter_kind
};

// What stands in a queue: a job, or a message that has none yet. `at` says where:
// the address of the queue's owner with the bits below.
struct ware {
	struct link link;
	uintptr_t at;
};
enum {
	WARE_JOB = 1 << 0, // of a struct job; otherwise of a struct entry
	WARE_BACKLOG = 0 << 1,
	WARE_NEXTHOP = 1 << 1,
	WARE_FLOW = 2 << 1,
	WARE_PLACE = 3 << 1,
	WARE_BITS = 7,
};

enum job_state {
	JOB_NEW,
	JOB_RESOLVING, // at a next hop
	JOB_READY,     // in a flow
	JOB_FLYING,    // a delivery
};

// Recipients of one message that go to one next hop in one transaction.
struct job {
	struct ware ware;
	struct job *sibling, **sibling_at; // the entry's jobs
	struct entry *entry;
	struct nexthop *nexthop;
	struct site *site; // READY, FLYING
	struct pile *pile; // NULL: it waits alone
	uint16_t nrcpt;
	uint8_t state;
	uint8_t returns : 7; // how often it came back untried
	bool front : 1;      // goes before the others of its flow
	uint32_t rcpt[];     // indexes
};

// Jobs of one message that wait in a flow, one behind the other. The first one
// stands in the flow's queue for all of them.
struct pile {
	struct link rest; // the others
	struct job *leader;
	struct pen_preempt_work work;
	bool lent; // something went before it: it goes on next
};

// A tenant's mail that waits for the resolver to have room.
struct tenant {
	struct table_node node;
	struct share share; // in pen_sched.backlog
	struct link backlog;
	uint32_t refs, len;
	char name[];
};

// Tenant and campaign, as classes of mail name them.
struct owner {
	struct table_node node;
	struct tenant *tenant;
	struct pen_shape_class *shape; // NULL: without shaping
	uint32_t refs, len;
	char name[]; // of the campaign
};

// The mail of one campaign and priority that waits at a site: messages that have
// been made ready (jobs), in their order, then those that wait for it.
//
// With many tenants nearly every message has a flow of its own: 160 bytes.
struct flow {
	struct link queue, returned; // wares; `returned` goes first
	struct entry *waiting;       // the first without a job
	uint32_t n, nwaiting;        // transactions; of these, without a job
	// In site->refill while nwaiting > 0, else in site->flows while n > 0, else in
	// pen_sched.idle_flows.
	struct link all;
	struct site *site;
	struct owner *owner;
	struct flow_wait *wait; // NULL: never blocked
	struct share share;     // of its tenant's; lone: of its band
	struct table_node node; // in pen_sched.flows; lone: .stalls; not of a site's plain flow
	bool blocked;
	bool lone;        // its tenant has no other at this site, in this band: no stall
	uint8_t priority; // enum pen_priority
};

// What a flow waits with while shaping holds it.
struct flow_wait {
	struct waiter waiter;
	struct flow *flow;
};

// A tenant at a site, in one band: what its campaigns' flows share. Made when
// there is a second one.
struct stall {
	struct share_node share;
	struct table_node node;
	struct site *site;
	struct tenant *tenant;
	uint32_t refs; // flows
	uint8_t priority;
};

// A site that has mail of tenants or priorities.
struct bands {
	struct share_node root, band[PEN_PRIORITIES];
	struct stall nobody; // mail without a tenant, of normal priority
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

// A message in the scheduler: pen_message.sched. Of these there are millions.
struct entry {
	struct pen_message *m;
	struct link all;
	struct pen_wheel_node timer;
	union {
		struct ware ware; // WAITING
		struct {
			struct link no_queue;
			pen_time_us active_at; // else; 0: it is not in a pass
		};
	};
	struct job *jobs;
	struct failure *failures;
	// The last deferral of each, when there are several; NULL until there is one.
	// A single recipient's is the message's.
	const struct pen_note **notes;
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
	ENTRY_WAITING, // no job yet: in `ware`
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
	struct link waiting;  // wares
	struct link settling; // in pen_sched.settling, or .unasked while NEW
	struct timer timer;
	struct waiter waiter;       // `holds`: the suspension
	struct table_node token;    // in pen_sched.resolving while RESOLVING
	const struct pen_note *why; // FAILED
	struct job *batch;          // only inside entry_activate
	uint32_t batch_left, batch_cap;
	uint32_t epoch; // of the last flush when it FAILED
	// What a look at it needs stands together.
	uint32_t njobs, nwaiting; // jobs of it anywhere; what waits here
	pen_time_us expires, used;
	struct site *site;  // ROUTED; while RESOLVING what it was before
	uint16_t transport; // 1 + index of cfg.transport; 0: none of them
	uint8_t state;
	bool lmtp;
	bool utf8;  // its mail can only go to servers with SMTPUTF8
	bool holds; // no next hop: here mail waits whose recipients' domain is suspended
	struct table_node node;
	uint32_t pool;
	uint16_t transport_len, len;
	uint8_t demand; // enum pen_tls_demand
	char name[];    // transport, then next hop, lower-case
};

struct site_host {
	struct pen_addr addr;
	uint16_t port, preference;
	const struct pen_tls_policy *tls; // a reference
};

struct site {
	struct table_node node;
	// Every message touches these.
	uint32_t queued, in_flight; // transactions that wait, deliveries
	uint32_t waiting;           // of those that wait, messages without a job
	uint32_t made;              // messages that have been made ready
	uint32_t blocked;           // of `queued`, held by shaping of their flow
	uint32_t nleases, nready, nopening;
	bool dead, hungry, kicking;
	uint32_t limit;                // of connections: what holds now
	uint32_t recipients, messages; // per transaction, per connection; 0: the general limits
	pen_time_us age;               // of a connection; the same
	uint32_t cap; // connections that the server takes beside each other; 0: unknown
	uint32_t base_limit, initial;    // of connections: of its transport
	struct link leases;              // idle ones first
	struct link turn, refill, flows; // `refill`: those flows that have mail without a job
	struct bands *bands;
	struct nexthop *hint;            // that led here the last time
	struct pen_shape_site *shape;    // NULL: without shaping
	struct lease *refused;           // ended: what waits gets its result
	const struct pen_note *sentence; // a rule ends what waits, with this
	struct pen_feedback feedback;
	uint64_t delivered, deferred, bounced;
	struct flow plain; // mail of normal priority, of no tenant or campaign
	struct waiter opener, sender;
	// The rest is for its beginning and its end.
	struct link all, drain, reap;
	struct timer timer;
	const struct pen_note *why; // dead
	struct site_host *host;
	uint16_t nhosts;
	uint16_t transport; // part of what it is: 1 + index of cfg.transport
	bool lmtp;
	uint8_t demand;        // enum pen_tls_demand: part of what it is
	bool utf8;             // and so is this: see struct nexthop
	uint8_t families;      // PEN_SHAPE_IP of its hosts
	uint8_t cold;          // failures in a row to open beside good ones
	uint32_t pool;         // part of what it is
	uint32_t suspended;    // since it died: deferred for that
	uint32_t ending;       // so many are still to end with the sentence
	uint32_t refs, nflows; // next hops; flows besides the plain one
	pen_time_us dead_until, grow_after;
	pen_time_us rest_until; // no host can be asked now; a lease's event or time changes that
	uint32_t nprobing;      // leases that ask hosts that were dead
	uint16_t key_len;
	char key[]; // NUL-terminated
};

struct lease {
	struct pen_lease pub; // first: what the worker sees
	struct link in_site, idle, blocked;
	struct timer timer;
	struct waiter waiter;            // its source may not send now
	struct pen_shape_conn conn;      // site NULL: not counted
	struct pen_transport_signs told; // what the rules know of it
	pen_time_us planned_at;          // when its hosts were chosen
	uint32_t probes;                 // bit i: asks host i, which was dead
	uint32_t in_flight, given, handled, untried;
	bool spent;                      // a delivery came back untried: ENDED will follow
	bool ready;                      // READY came
	bool ended;                      // ENDED came; waits for late deliveries, or in its grave
	bool commanded;                  // a CLOSE or ABORT may still be in the worker's ring
	bool closing;                    // CLOSE or ABORT was decided
	bool close_wanted, abort_wanted; // the worker's ring was full
	bool yielding;                   // closed for the sake of another site
	bool blamed;                     // a host does not answer its source
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
	struct id_table entries;
	struct table nexthops, sites, resolving, flows, stalls, owners, tenants;
	struct owner *nobody;      // of mail without a tenant or campaign
	struct share_node backlog; // tenants with mail that waits for the resolver
	uint32_t nbacklog;
	struct link all_entries, all_sites;
	struct scan scan[SCANS];
	uint32_t scan_turn;
	uint64_t doubtful;           // recipients queued and in doubt
	struct link hungry, wanting; // sites that wait for a lease: without one, and others
	struct link idle, blocked;   // leases
	struct link graves;          // ended leases, through in_site
	struct link draining, reap;  // sites
	struct link settling;        // next hops
	struct link unasked;         // next hops that wait for the resolver to have room
	struct link idle_flows;      // without mail
	struct dead_hosts *dead;
	struct lease *spare_leases;
	uint32_t nspare_leases;
	uint32_t nresolving;        // messages without a job at next hops
	struct pen_delivery *spare; // free ones, for one recipient
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
	char postmaster_text[PEN_HOST_NAME_MAX + 260], delay_notice_text[PEN_HOST_NAME_MAX + 260];
	struct pen_span postmaster;   // empty: not told of mail without a sender
	struct pen_span delay_notice; // empty: not told of late mail
	struct pen_sched_stats total; // the "since the start" part
};

// Where a result came from, for the log.
struct result {
	const struct pen_dsn *dsn;
	enum pen_trouble_source source;
	struct site *site;                   // may be NULL
	const struct lease *lease;           // may be NULL
	const struct pen_delivery *delivery; // may be NULL
	bool in_doubt;
	bool retry_is_safe;
	char relay[RELAY_MAX]; // filled on demand when there is a lease
	size_t mta_len;
	const struct pen_note *note;         // the last one made, to share it among recipients
	const struct pen_sched_match *match; // what the reply means; NULL: not known
};

// entry.c: a message's life
struct entry *entry_find(const struct pen_sched *s, uint64_t id);
void entry_activate(struct pen_sched *s, struct entry *e);
void entry_timer(struct pen_sched *s, struct entry *e);
// Settles the message when no job of it is left. It may be gone afterwards.
void entry_check(struct pen_sched *s, struct entry *e);
// The recipient of a failure gets its fate, in the record that is being made.
void entry_fate(struct pen_sched *s, struct entry *e, const struct failure *f);
// The failures are durable for the sender (or nobody is to be told).
void entry_conclude(struct pen_sched *s, struct entry *e);
void entry_set_state(struct pen_sched *s, struct entry *e, uint8_t state);
void entry_record(struct pen_sched *s, struct entry *e, bool removed);
void entry_change(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate);
// The same for a fate that no delivery brought.
void entry_end(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate);
// One more delivery to it is in doubt; entry_change has to follow at once, and not with the
// others at the end of the pass: a crash in between would make a second delivery out of it
// that nobody knows of.
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

// activate.c: a message on its way to its site
// A message that waits without a job, or a job, goes on to where it belongs.
void entry_route(struct pen_sched *s, struct entry *e);
// A job for a message that waits at a site, in its place. NULL: it went elsewhere.
struct job *entry_promote(struct pen_sched *s, struct entry *e);
// A job of all its recipients that are due; NULL: no memory.
struct job *entry_job(struct pen_sched *s, struct entry *e, struct nexthop *nh);
// Gives a message without a job the same result for all its recipients.
void entry_fail(struct pen_sched *s, struct entry *e, struct result *r);
// Takes it out of where it waits; its pass has nothing else to do then.
void entry_unwait(struct pen_sched *s, struct entry *e);
// The recipient's domain is suspended, for the reason in *why.
bool rcpt_held(struct pen_sched *s, struct pen_span addr, struct pen_shape_block *why);
bool job_held(struct pen_sched *s, const struct job *j); // one of its recipients is
// Routes its recipients anew and ends it: those that are held, and the rest. `front`:
// the rest goes before others. Its entry may be gone afterwards.
void job_reroute(struct pen_sched *s, struct job *j, bool front);
// It waits in a queue now, without a job.
void entry_wait(struct pen_sched *s, struct entry *e);
// Mail that waits for the resolver to have room.
void backlog_push(struct pen_sched *s, struct entry *e);
void backlog_take(struct pen_sched *s, struct entry *e);
uint32_t backlog_work(struct pen_sched *s, uint32_t budget);
bool backlog_ready(const struct pen_sched *s);

// job.c
struct job *job_new(struct entry *e, struct nexthop *nh, uint32_t cap);
void job_link(struct entry *e, struct job *j);     // to the entry's other jobs
void job_free(struct pen_sched *s, struct job *j); // unlinks it everywhere
// Gives all its recipients the same result and ends it; then entry_check.
void job_finish(struct pen_sched *s, struct job *j, struct result *r);
void job_suspend(struct pen_sched *s, struct job *j, struct site *site);
// Leaves the first n recipients; the others get a job behind it. False: no memory.
bool job_split(struct pen_sched *s, struct job *j, uint16_t n);

// owner.c: tenants and campaigns
bool owners_init(struct pen_sched *s);
void owners_fini(struct pen_sched *s);
// A reference. Mail without names, or without memory: pen_sched.nobody.
struct owner *owner_get(struct pen_sched *s, const struct pen_mail_class *k);
void owner_put(struct pen_sched *s, struct owner *o);
struct tenant *tenant_ref(struct tenant *t);
void tenant_put(struct pen_sched *s, struct tenant *t);
uint32_t owner_pool(struct pen_sched *s, const struct pen_mail_class *k);

// nexthop.c
// `hint`: it may well be this one. NULL: no memory.
struct nexthop *nexthop_find(struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8, uint32_t pool, struct nexthop *hint);
// The same without making it: NULL when it is not known.
const struct nexthop *nexthop_known(const struct pen_sched *s, const struct pen_sched_hop *hop,
	enum pen_tls_demand demand, bool utf8, uint32_t pool);
void nexthop_enqueue(struct pen_sched *s, struct nexthop *nh, struct job *j);
// The same for a message without a job.
void nexthop_offer(struct pen_sched *s, struct nexthop *nh, struct entry *e);
void nexthop_take(struct pen_sched *s, struct nexthop *nh, struct ware *w);
bool nexthop_fresh(const struct pen_sched *s, const struct nexthop *nh);
// Leads to this site, as far as is known.
bool nexthop_leads(const struct nexthop *nh, const struct site *site);
// Where mail of this domain waits while it is suspended. NULL: no memory.
struct nexthop *nexthop_holding(struct pen_sched *s, struct pen_span domain);
// It does not hold what waits, or no longer; otherwise *why.
bool nexthop_open(struct pen_sched *s, const struct nexthop *nh, struct pen_shape_block *why);
// Asks again, while what waits at its site stays there.
void nexthop_refresh(struct pen_sched *s, struct nexthop *nh);
uint32_t nexthop_recipients(const struct pen_sched *s, const struct nexthop *nh);
uint32_t nexthop_settle(struct pen_sched *s, struct nexthop *nh, uint32_t budget);
uint32_t nexthop_ask(struct pen_sched *s, uint32_t budget); // those that wait to be asked
bool nexthop_may_ask(const struct pen_sched *s);
void nexthop_timer(struct pen_sched *s, struct nexthop *nh);
void nexthop_wake(struct pen_sched *s, struct nexthop *nh);
void nexthop_free(struct pen_sched *s, struct nexthop *nh);
const struct pen_sched_transport *nexthop_transport(
	const struct pen_sched *s, const struct nexthop *nh); // NULL: none of its own

// site.c: a site's queue and health
struct site *site_find(
	struct pen_sched *s, const struct nexthop *nh, const struct pen_route_result *r);
void site_ref(struct site *site);
void site_unref(struct pen_sched *s, struct site *site);
void site_push(struct pen_sched *s, struct site *site, struct job *j);
// A message without a job: makes one while there is room, or lets it wait.
void site_offer(struct pen_sched *s, struct site *site, struct nexthop *nh, struct entry *e);
// Makes messages ready as far as there is room.
void site_refill(struct pen_sched *s, struct site *site);
// What would go next, whatever holds it; NULL: nothing waits.
struct ware *site_first(struct site *site);
// Nothing but time or room for a connection is needed.
uint32_t site_ready(const struct site *site);
void site_kick(struct pen_sched *s, struct site *site);
// The limits that hold now.
void site_limits(struct pen_sched *s, struct site *site);
// How many connections it may have now.
uint32_t site_window(const struct pen_sched *s, const struct site *site);
void site_success(struct pen_sched *s, struct site *site, uint32_t busy);
void site_failure(struct pen_sched *s, struct site *site, const struct result *r);
void site_die(struct pen_sched *s, struct site *site, const struct result *r);
// The same, until then.
void site_die_until(
	struct pen_sched *s, struct site *site, const struct result *r, pen_time_us until);
// No connection is opened before then, or before a lease's event.
void site_rest(struct pen_sched *s, struct site *site, pen_time_us until);
void site_revive(struct pen_sched *s, struct site *site, uint32_t busy);
// What waits bounces with the result of this lease, which the site takes over.
void site_refuse(struct pen_sched *s, struct site *site, struct lease *l);
void site_end_refusal(struct pen_sched *s, struct site *site);
// What waits ends with this reply: a rule says so.
void site_condemn(struct pen_sched *s, struct site *site, const struct pen_dsn *d);
void site_timer(struct pen_sched *s, struct site *site);
uint32_t site_drain(struct pen_sched *s, struct site *site, uint32_t budget);
void site_widen(struct pen_sched *s, struct site *site);
void site_hold_off(struct pen_sched *s, struct site *site);
// What waits ends; nothing is sent meanwhile.
bool site_ending(const struct site *site);
bool site_unused(const struct site *site);
void site_maybe_reap(struct pen_sched *s, struct site *site);
void site_free(struct pen_sched *s, struct site *site);

// site_why.c
void site_why(struct pen_sched *s, const struct entry *e, struct pen_why *out);
// Adds to the sentence which hosts of the recipient's site are known to be dead.
void site_why_dead(struct pen_sched *s, const struct entry *e, struct pen_why *out);
void site_view(struct pen_sched *s, struct site *site, struct pen_site_view *out,
	char text[PEN_WHY_TEXT_MAX]);
// ENTRY_ACTIVE or ENTRY_WAITING, as people see it.
uint8_t entry_shown(const struct entry *e);

// flow.c: what waits at a site, by priority, tenant and campaign
void flow_init(struct flow *f, struct site *site, struct owner *o);
// Made when there is none; the plain one when there is no memory.
struct flow *flow_find(struct pen_sched *s, struct site *site, const struct pen_mail_class *k);
void flow_add_job(struct pen_sched *s, struct flow *f, struct job *j);
void flow_add_entry(struct pen_sched *s, struct flow *f, struct entry *e);
void flow_take(struct pen_sched *s, struct flow *f, struct ware *w);
// The job takes the message's place in the queue.
void flow_replace(struct pen_sched *s, struct entry *e, struct job *j);
// The one whose turn it is; NULL: nothing may be sent.
struct flow *flow_next(const struct site *site);
// Its memory is on its way to the cache while something else is done; the second
// one: what stands at its head, when the flow itself has come.
void flow_prefetch(const struct site *site);
void flow_prefetch_head(const struct site *site);
void flow_charge(struct pen_sched *s, struct flow *f, uint32_t nrcpt);
// Any flow that has mail; NULL: there is none.
struct flow *flow_any(const struct site *site);
// How many have mail: walks over them.
uint32_t flow_count(const struct site *site);
// What is at the head of one that has mail.
struct ware *flow_head(const struct flow *f);
// Without memory for that the whole site waits.
void flow_block(struct pen_sched *s, struct flow *f, const struct pen_shape_block *b);
void flow_unblock(struct pen_sched *s, struct flow *f);
uint32_t flow_reap(struct pen_sched *s);
void flow_free_all(struct pen_sched *s, struct site *site);
static inline struct flow *ware_flow(const struct ware *w)
{
	return (struct flow *)(w->at & ~(uintptr_t)WARE_BITS);
}
static inline bool ware_is_job(const struct ware *w)
{
	return (w->at & WARE_JOB) != 0;
}

// pile.c: the order of a flow's queue
void pile_add(struct flow *f, struct job *j); // at the end of f->queue
// Off its queue. True: a message less stands in it.
bool pile_take(struct job *j);
// What to send next, or NULL. A small message may go before a large one.
struct ware *pile_next(struct pen_sched *s, struct flow *f);

// turn.c: who may open the next connection
bool turn_wants(const struct pen_sched *s, const struct site *site);
void turn_request(struct pen_sched *s, struct site *site);
void turn_leave(struct pen_sched *s, struct site *site);
void turn_serve(struct pen_sched *s);
bool turn_should_yield(const struct pen_sched *s, const struct lease *l);

// lease.c
enum lease_open_result {
	LEASE_OPENED,
	LEASE_NOTHING, // nothing to open it for, or it may not be opened now
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
void lease_free(struct pen_sched *s, struct lease *l);
void lease_free_spare(struct pen_sched *s);
bool lease_is_idle(const struct lease *l);

// rules.c: what replies and TCP tell the automation
void rules_match(struct pen_sched *s, struct result *r, const struct pen_dsn *d,
	struct pen_sched_match *out);
void rules_reply(struct pen_sched *s, struct lease *l, struct pen_shape_class *k,
	const struct pen_sched_match *match, const struct pen_dsn *d);
// What the lease has seen since the last time; d: NULL, or the delivery that ended.
void rules_signs(struct pen_sched *s, struct lease *l, const struct pen_delivery *d);

// plan.c: fills sources, HELO and hosts; false when no source fits, or no host may be asked.
bool plan_lease(struct pen_sched *s, struct site *site, struct lease *l);

// ways.c: from which source which host of a site may be asked
// Some host of the source's family may be.
bool way_from(const struct pen_sched *s, const struct site *site, uint32_t source);
// This one may be; *due: it was dead, and the lease is to ask on behalf of all.
bool way_to(const struct pen_sched *s, const struct site *site, const struct pen_addr *source,
	const struct site_host *h, bool *due);
// The pool has no source of its hosts' families.
void way_no_source(struct pen_sched *s, struct site *site);
// No source of the pool may open a connection: the site rests or is dead.
void way_none(struct pen_sched *s, struct site *site);
// There is one from some source of its pool.
bool way_left(const struct pen_sched *s, const struct site *site);
// The lease goes out: hosts that are due are asked by nobody else meanwhile.
void way_begin(struct pen_sched *s, struct lease *l);
// What its hosts said is remembered: at READY, or at ENDED without it.
void way_learn(struct pen_sched *s, struct lease *l);
// "mx1[192.0.2.1] from 198.51.100.1 until ...": hosts of the site that are dead. Nothing: "".
size_t way_text(const struct pen_sched *s, const struct site *site, char *out, size_t cap);

// delivery.c
enum delivery_send_result {
	DELIVERY_SENT,
	DELIVERY_GONE, // the job ended or waits another way, or its flow does
	DELIVERY_BUSY,
	DELIVERY_HELD, // shaping: not on this connection, or not at this site
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
