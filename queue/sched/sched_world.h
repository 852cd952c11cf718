// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: everything around the scheduler, on virtual time. The worker, the
// resolver and the spool do what the test says, and everything is remembered
// and checked: fates are recorded once, in order, and never change; leases stay
// within the limits; nothing is delivered that has its fate.

#include "pen_rand.h"
#include "pen_sched.h"
#include "pen_sched_admin.h"

#include <stdio.h>

#define WORLD_MAX 8192

struct world;

// What the receivers see, for a test that counts. Called when a connection is
// begun and is over, when a message is begun and is over.
struct world_watch {
	void (*opened)(struct world *w, const struct pen_lease *l);
	void (*ended)(struct world *w, const struct pen_lease *l);
	void (*begun)(struct world *w, const struct pen_delivery *d);
	void (*done)(struct world *w, const struct pen_delivery *d);
};

struct world_lease {
	struct pen_lease *l; // NULL: free slot
	bool ready, closing, aborted;
	bool leaving; // ended at the worker; the event is on its way
	uint32_t deliveries;
};

struct world_log {
	uint64_t id;
	uint32_t rcpt;
	enum pen_sched_status status;
	char relay[300];
	char text[1100];
	char dsn[16];
	pen_time_us delay[4];
	bool in_doubt, retry_is_safe;
	char klass[32];
	char tls[PEN_TLS_FIELD_MAX];
};

// What the spool knows.
struct world_stored {
	uint64_t id;
	uint32_t nrcpt;
	uint8_t fate[64], notify[64];
	uint16_t attempts[64];
	uint8_t doubts[64];
	uint32_t flags;
	char pool[64]; // of the class that was recorded last
	char route[128];
	pen_wall_us next_attempt, doubt_due;
	bool removed, gone;
	bool dsn;
	char sender[64];
	uint8_t *content;
	uint32_t content_len;
	uint64_t notices; // durable notifications about it
};

struct world_submission {
	uint64_t token;
	char rcpt[64];
	char *content; // NUL-terminated
	uint32_t len, flags;
	bool open; // not yet answered
};

enum world_route { // how a domain resolves
	WORLD_ROUTE_OK,
	WORLD_ROUTE_SOFT,
	WORLD_ROUTE_HARD,
};

struct world {
	struct pen_sched_config cfg;
	struct pen_sched *s;
	pen_time_us now;
	pen_wall_us wall0; // wall = wall0 + now
	uint64_t next_id;
	struct world_lease lease[WORLD_MAX];
	uint32_t nlease; // slots used
	struct pen_delivery *flying[WORLD_MAX];
	uint32_t nflying;
	uint64_t opened, sent;
	uint64_t resolve[WORLD_MAX]; // tokens without an answer
	char resolve_name[WORLD_MAX][64];
	enum pen_tls_demand demand[WORLD_MAX]; // of each question, in order
	uint32_t nasked;
	uint32_t nresolve;
	struct world_log *log;
	uint32_t nlog, caplog;
	bool keep_log;
	struct world_submission sub[WORLD_MAX];
	uint32_t nsub;
	struct world_stored *stored;
	uint32_t nstored, capstored;
	bool hold_submissions, hold_resolves, ring_full, content_fails;
	enum world_route route; // how names resolve that have no way of their own
	bool one_site;          // all domains share hosts
	const char *relayhost;  // the next hop of all; NULL: its domain
	bool one_use;           // their policy: a message for each connection
	uint32_t shuffle;       // part of the site key: changes the site of a name
	bool two_families;      // each name has an IPv6 host before each IPv4 one
	enum pen_tls_level level;
	uint32_t prepared, sessions_up, sessions_over;
	void (*edit)(struct pen_message *m); // what world_add is to change
	const struct world_watch *watch;     // NULL: nobody counts
	void *watcher;
	// What replies match; NULL: nothing.
	void (*match)(const struct pen_dsn *d, struct pen_sched_match *out);
	const struct pen_mail_class *klass; // of what world_add makes; NULL: none
	pen_time_us ttl;
	uint32_t content_reads, live_messages;
	// What the filter says of every refusal; NULL: nothing.
	const char *reply_class;
	bool greylisted;
	// The time zone of all names but "": seconds east, until zone_until, then zone_next.
	int32_t zone_offset, zone_next;
	pen_wall_us zone_until;
	uint32_t checks;
	uint32_t ended[5]; // fates that no delivery brought
};

struct pen_addr world_ip6(uint8_t last); // 2001:db8::last

#define WORLD_START 1000000 // the monotonic time of the beginning
#define WORLD_START_WALL (1700000000ll * PEN_US_PER_S + WORLD_START)
// Owns cfg.shape, if there is one.
struct world *world_new(void (*tweak)(struct pen_sched_config *cfg));
void world_free(struct world *w);

// Adds a message; rcpts is a comma-separated list. Returns its id.
uint64_t world_add(struct world *w, const char *sender, const char *rcpts);
// The same with a message that was found in the spool.
uint64_t world_recover(struct world *w, const char *sender, const char *rcpts, pen_wall_us arrival,
	pen_wall_us next, uint32_t flags);
struct world_stored *world_stored(struct world *w, uint64_t id);
uint8_t world_fate(struct world *w, uint64_t id, uint32_t rcpt);

// Lets virtual time pass, timers included.
void world_wait(struct world *w, pen_time_us us);
pen_wall_us world_wall(const struct world *w);

// The worker. Leases by slot.
void world_ready(struct world *w, uint32_t lease);
void world_ready_all(struct world *w);
// Gives back what is queued on it, untried, then ends it.
void world_end(struct world *w, uint32_t lease, const struct pen_dsn *why);
void world_refuse(struct world *w, uint32_t lease); // connection refused
// Its hosts up to `last` do not answer; with hosts behind that the next one takes it:
// READY. Otherwise it ends.
void world_no_answer(struct world *w, uint32_t lease, uint8_t last, enum pen_host_answer answer);
// The same as world_refuse with "may?" or the like in the log, and any status.
void world_fail(struct world *w, uint32_t lease, enum pen_tls_level level, unsigned klass,
	unsigned detail, enum pen_dsn_scope scope, enum pen_dsn_origin origin,
	enum pen_smtp_stage stage);
void world_quit(struct world *w, uint32_t lease); // clean end
// An idle session ends by itself, in two halves: commands that are sent between
// them cross the ENDED on its way.
void world_leave(struct world *w, uint32_t lease);
void world_left(struct world *w, uint32_t lease);
// The oldest delivery of a lease, or NULL.
struct pen_delivery *world_oldest(struct world *w, uint32_t lease);
// Its result for all recipients; 250, or what the reply's class says.
void world_answer(struct world *w, struct pen_delivery *d, unsigned reply);
void world_answer_one(struct pen_delivery *d, uint32_t rcpt, unsigned reply);
void world_done(struct world *w, struct pen_delivery *d); // results are filled in
void world_untried(struct world *w, struct pen_delivery *d);
// Answers everything with 250 until nothing moves.
void world_run_ok(struct world *w);

void world_resolved(struct world *w, uint32_t i, enum world_route how);
void world_submitted(struct world *w, uint32_t i, int err);
struct pen_sched_stats world_stats(struct world *w);
// accepted = queued + delivered + bounced + expired + deleted, those in doubt among
// the queued: of the counters, and of them against what is stored. After each step.
void world_check(struct world *w);
// The final dot was acknowledged (or not), and no reply came.
void world_lose_dot(struct world *w, struct pen_delivery *d, enum pen_dot_state dot);
uint32_t world_leases(const struct world *w);               // open
uint32_t world_lease_at(const struct world *w, uint32_t n); // slot of the n-th open one
