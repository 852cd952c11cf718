// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inside of the resolver thread.
//
//   resolver.c  the thread, what is posted to it, next hops (struct request)
//   lookup.c    single questions: to libunbound, to the system, from the cache
//   pen_dns_new.c  set-up from the parameters
//
// Everything here belongs to the resolver thread unless it says otherwise.

#include "hot_names.h"
#include "mx.h"
#include "native.h"
#include "pen_dns_query.h"
#include "pen_idn.h"

#include <pthread.h>
#include <sys/queue.h>

#define DNS_NEXTHOP_TEXT_MAX 1100 // UTF-8 is longer than what it becomes

// A function to run on the resolver thread.
struct post {
	STAILQ_ENTRY(post) link;
	void (*fn)(void *ctx);
	void *ctx;
};
STAILQ_HEAD(posts, post);

TAILQ_HEAD(lookups, lookup);

struct request {
	struct post post;
	TAILQ_ENTRY(request) running, ready;
	bool is_ready;
	struct pen_dns *dns;
	struct mx *mx;
	unsigned flags;
	struct lookups asked;
	pen_time_us submitted;
	pen_dns_fn *fn;
	void *ctx;
	char nexthop[DNS_NEXTHOP_TEXT_MAX];
};
TAILQ_HEAD(requests, request);

// FRESH: waits to be started, its answer is in the cache; WAITING: for room.
enum lookup_state { LOOKUP_FRESH, LOOKUP_WAITING, LOOKUP_RUNNING, LOOKUP_ANSWERED };

// One question. In flight it outlives who asked: libunbound's cancel leaves a
// callback behind, so the answer is awaited and thrown away.
struct lookup {
	TAILQ_ENTRY(lookup) link;  // of the list that `state` says
	TAILQ_ENTRY(lookup) asked; // of pen_dns.asked, if fn, or of its request
	enum lookup_state state;
	struct pen_dns *dns;
	struct request *request; // who asked: a next hop with this id,
	uint32_t id;
	pen_dns_query_fn *fn; // or this function, or nobody (any more)
	void *ctx;
	pen_time_us deadline; // if fn
	uint16_t type;
	// LOOKUP_ANSWERED: what came inside the asking call.
	enum pen_dns_status status; // OK: read the packet
	bool secure;
	struct pen_span packet; // owned
	char name[PEN_IDN_NAME_MAX];
};

struct pen_dns {
	struct mx_options options;
	struct mx_own own;
	pen_time_us timeout;
	uint32_t concurrency;
	bool no_dns;   // no question leaves
	bool no_trust; // answers are never secure
	struct pen_rand rand;
	struct event_base *base;
	struct ub_ctx *ub;
	struct event *wake, *kick, *tick;
	int wake_fd;
	pthread_t thread;
	bool started;
	struct native *native; // NULL: not used
	struct hot_names *hot;
	bool prefetch;

	// Any thread, under the lock.
	pthread_mutex_t lock;
	struct posts posts;
	uint32_t requests; // accepted and not answered yet
	bool stop;

	struct requests running, ready;
	struct lookups fresh, waiting, in_flight, answered;
	struct lookups asked; // those with a function, oldest first
	uint32_t nlookups;    // in flight
	uint32_t nasked;
	bool resolving; // inside ub_resolve_event, which may call back at once
	bool ended;     // the loop is over: no new questions
	struct pen_dns_counters counters;
	struct dns_answer *scratch; // for one answer at a time
};

// lookup_new makes a question that will be started; NULL when out of memory.
struct lookup *lookup_new(struct pen_dns *d, const char *name, uint16_t type);
void lookup_start(struct lookup *l);
// lookup_orphan: who asked is gone.
void lookup_orphan(struct lookup *l);
// lookup_deliver hands over the answer that came inside the asking call.
void lookup_deliver(struct lookup *l);
// lookups_expire ends those that wait for too long.
void lookups_expire(struct pen_dns *d, pen_time_us now);
// lookups_prefetch asks again for names in use.
void lookups_prefetch(struct pen_dns *d, pen_time_us now);
// lookups_end answers all that have a function; nothing is in flight any more.
void lookups_end(struct pen_dns *d);
void lookups_free(struct pen_dns *d);

// request_answered continues a next hop.
void request_answered(struct request *q, uint32_t id, const struct pen_dns_answer *answer);
// resolver_events makes the event loop; errno says why not.
bool resolver_events(struct pen_dns *d);
// resolver_stop ends the thread, from the thread that owns pen_dns.
void resolver_stop(struct pen_dns *d);
// resolver_kick makes the loop look for work soon.
void resolver_kick(struct pen_dns *d);
