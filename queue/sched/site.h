// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Sites: next hops that share hosts, TLS policy and egress pool; their queue, their
// connections, and whether they are dead. Freed only by pen_sched_poll.

#include "flow.h"
#include "link.h"
#include "pen_feedback.h"
#include "pen_sched.h"
#include "table.h"
#include "wake.h"

struct entry;
struct job;
struct lease;
struct nexthop;
struct pen_note;
struct pen_route_result;
struct result;

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

// site.c
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
bool site_unused(const struct site *site);
void site_maybe_reap(struct pen_sched *s, struct site *site);
void site_free(struct pen_sched *s, struct site *site);

// site_health.c
// How many connections it may have now.
uint32_t site_window(const struct pen_sched *s, const struct site *site);
// The rules that its window follows, with its own limits.
struct pen_feedback_rules site_feedback_rules(const struct pen_sched *s, const struct site *site);
void site_success(struct pen_sched *s, struct site *site, uint32_t busy);
void site_failure(struct pen_sched *s, struct site *site, const struct result *r);
void site_die(struct pen_sched *s, struct site *site, const struct result *r);
// The same, until then.
void site_die_until(
	struct pen_sched *s, struct site *site, const struct result *r, pen_time_us until);
// While it is dead only so many are deferred for that; the rest stays where it is.
bool site_may_suspend(const struct pen_sched *s, struct site *site);
// No connection is opened before then, or before a lease's event.
void site_rest(struct pen_sched *s, struct site *site, pen_time_us until);
void site_revive(struct pen_sched *s, struct site *site, uint32_t busy);
void site_widen(struct pen_sched *s, struct site *site);
void site_hold_off(struct pen_sched *s, struct site *site);
void site_timer(struct pen_sched *s, struct site *site);

// site_drain.c
// What waits ends; nothing is sent meanwhile.
bool site_ending(const struct site *site);
// What waits bounces with the result of this lease, which the site takes over.
void site_refuse(struct pen_sched *s, struct site *site, struct lease *l);
void site_end_refusal(struct pen_sched *s, struct site *site);
// What waits ends with this reply: a rule says so.
void site_condemn(struct pen_sched *s, struct site *site, const struct pen_dsn *d);
// At most `budget` of them. Returns how many it was.
uint32_t site_drain(struct pen_sched *s, struct site *site, uint32_t budget);
