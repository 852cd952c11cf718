// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What operators can see and do: for the control socket and metrics.
//
// Threads: the scheduler thread, like everything in pen_sched.h; not from
//          inside ops. Spans and pointers in views are valid during the call.

#include "pen_counter.h"
#include "pen_sched.h"

enum pen_sched_state {
	PEN_STATE_DEFERRED = 1 << 0, // waits for next_attempt
	PEN_STATE_ACTIVE = 1 << 1,   // resolving, waiting for a connection, or in flight
	PEN_STATE_BOUNCING = 1 << 2, // a notification is on its way to the spool
	PEN_STATE_HOLD = 1 << 3,
	PEN_STATE_WAITING = 1 << 4,   // due, behind other mail for its site; not yet active
	PEN_STATE_SCHEDULED = 1 << 5, // not before, or outside its window
	PEN_STATE_ANY = 63,
};

const char *pen_sched_state_word(enum pen_sched_state st);

struct pen_sched_view {
	const struct pen_message *message; // read-only
	enum pen_sched_state state;
	uint32_t queued;    // recipients without a fate
	uint32_t in_flight; // of these, with a worker now
	pen_wall_us expires;
	uint32_t in_doubt; // of the queued ones
	bool deleting;     // removed as soon as what is in flight came back
};

struct pen_sched_filter {
	uint32_t states;                  // of enum pen_sched_state; 0 = any
	bool by_sender;                   // compare `sender`, ignoring ASCII case
	struct pen_span sender;           // empty matches the null sender
	struct pen_span recipient_domain; // empty: any; matches one recipient's domain
};

// Return false to stop.
typedef bool pen_sched_view_fn(void *ctx, const struct pen_sched_view *view);

// pen_sched_list shows messages in the order they came, beginning behind the
// message with id `after` (0: from the start), at most `most` examined. Returns
// the id to continue with, 0 at the end. O(examined).
uint64_t pen_sched_list(struct pen_sched *s, const struct pen_sched_filter *filter, uint64_t after,
	uint32_t most, pen_sched_view_fn *fn, void *ctx);

// What holds mail for this address because its domain is suspended, as a sentence in
// `out`. False: nothing does, and `out` is empty.
bool pen_sched_held(struct pen_sched *s, struct pen_span addr, char *out, size_t cap);

// The following four: 0 or -ENOENT.
int pen_sched_show(struct pen_sched *s, uint64_t id, pen_sched_view_fn *fn, void *ctx);
// Recipients that are not in flight become DELETED; the others end as their
// delivery ends, and are DELETED when that would have been a retry.
int pen_sched_delete(struct pen_sched *s, uint64_t id);
// What is in flight ends as it ends; the rest waits for a release.
int pen_sched_hold(struct pen_sched *s, uint64_t id);
int pen_sched_release(struct pen_sched *s, uint64_t id);

// pen_sched_flush makes a message's next attempt now and lifts the suspension
// of all sites. id 0: all deferred messages (O(messages)). 0 or -ENOENT.
int pen_sched_flush(struct pen_sched *s, uint64_t id);

// Recipients, unless the name says otherwise. At every moment
// accepted = queued + delivered + bounced + expired + deleted.
struct pen_sched_stats {
	uint64_t messages, queued;                                     // now
	uint64_t active, deferred, bouncing, held, waiting, scheduled; // messages now
	uint64_t jobs_ready, jobs_resolving, in_flight;
	uint64_t leases, leases_ready, sites, nexthops, sites_dead;
	uint64_t hosts_dead;    // pairs of a source and a host that does not answer it
	uint64_t content_bytes; // in memory, as allocated
	uint64_t accepted, delivered, bounced, expired, deleted; // since the start
	uint64_t deferrals;                                      // results that were temporary
	uint64_t in_doubt; // of these, the dot was acknowledged but not answered
	uint64_t doubtful; // recipients queued and in doubt, now
	uint64_t returned; // deliveries that came back untried
	uint64_t leases_opened, leases_failed, watchdog_aborts;
	uint64_t notifications, notification_errors;
};

void pen_sched_stats(const struct pen_sched *s, struct pen_sched_stats *out);

struct pen_site_view {
	struct pen_span key;
	uint32_t queued;    // jobs that wait for a connection
	uint32_t in_flight; // deliveries at workers
	uint32_t leases, leases_ready, leases_opening, window;
	pen_time_us dead_for;   // microseconds until it is tried again, 0 = alive
	struct pen_span reason; // why it is dead
	uint64_t delivered, deferred, bounced;
	struct pen_span name;     // its hosts, rolled up: what limits hold for
	struct pen_span provider; // "" none
	struct pen_span pool;
	uint32_t waiting;             // messages behind the bound of its ready queue
	uint32_t flows;               // tenants and campaigns that have mail for it
	struct pen_span blocked;      // the sentence of what shaping holds it with, "" nothing
	pen_time_us blocked_for;      // microseconds; PEN_TIME_NEVER: until something ends
	struct pen_shape_site *shape; // NULL: without shaping
	const void *handle;           // for pen_sched_dead_hosts
};

// A host that does not answer one of our sources.
struct pen_dead_host_view {
	const struct pen_addr *source, *host;
	const char *name; // of the host
	uint16_t port;
	uint8_t failures;     // in a row
	bool probed;          // a connection asks it now
	pen_time_us dead_for; // microseconds until it is asked again, 0: by the next connection
	struct pen_span reason;
};
typedef bool pen_dead_host_view_fn(void *ctx, const struct pen_dead_host_view *v);
// Those of a site (its view's `handle`) and its pool. O(sources of the pool x hosts of the site).
void pen_sched_dead_hosts(
	const struct pen_sched *s, const void *site, pen_dead_host_view_fn *fn, void *ctx);

// What is remembered of them now is pen_sched_stats.hosts_dead.
#define PEN_DEAD_HOSTS_COUNTERS(X)                                                                 \
	X(noted, "hosts that did not answer a source for the first time")                          \
	X(again, "hosts that did not answer again when their time was over")                       \
	X(skipped, "dead hosts that a connection left out")                                        \
	X(probes, "connections that asked a dead host whether it is back")                         \
	X(forgotten, "dead hosts that answered")                                                   \
	X(evicted, "forgotten too soon, for want of room")
PEN_COUNTERS_DECLARE(pen_dead_hosts, PEN_DEAD_HOSTS_COUNTERS);
struct pen_counter_set pen_sched_dead_hosts_counters(const struct pen_sched *s); // any thread

typedef bool pen_site_view_fn(void *ctx, const struct pen_site_view *view);
void pen_sched_sites(struct pen_sched *s, pen_site_view_fn *fn, void *ctx); // O(sites)
