// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Next hops: where mail goes before DNS, and the question about it. Freed only by
// pen_sched_poll.

#include "link.h"
#include "pen_sched.h"
#include "table.h"
#include "wake.h"

struct entry;
struct job;
struct pen_note;
struct pen_sched_hop;
struct pen_shape_block;
struct site;
struct ware;

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
