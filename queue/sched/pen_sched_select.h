// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Operators' hands on many messages at once: which ones, and what is done to them.
//
// Threads: the scheduler's, not from inside ops. Work is done in pieces, so that deliveries go on
//          between: call again with what the last call returned.

#include "pen_sched_admin.h"

// Conditions that are given must all be true. An address condition is true when one queued
// recipient meets it; the action then touches the whole message, except that with `domain`,
// `recipient`, `site` or `in_doubt` DELETE, BOUNCE and EXPIRE touch only the recipients
// that meet it. What came after an order was begun (with `after` 0) it does not touch, so that
// the notifications it causes are not its next victims.
//
// A delivery in doubt is not sent again by a RETRY of everything: the selector has to name it,
// by its id or with in_doubt. What is with a worker ends as its delivery ends, or by the order
// when that would have been a retry. Sites are those that a recipient's next hop is known to
// lead to; a next hop without mail is forgotten after route_keep.
struct pen_sched_selector {
	uint64_t id;            // 0: any
	uint32_t states;        // of enum pen_sched_state; 0: any
	struct pen_span site;   // its name as `site list` shows it, or one of its MX hosts
	struct pen_span domain; // of a recipient
	struct pen_span tenant, campaign, pool;
	struct pen_span sender; // "<>": the null sender
	struct pen_span recipient;
	pen_time_us older_than; // since arrival; 0: any age
	bool in_doubt;
	bool everything; // needed when no other condition is given
};

enum pen_sched_action {
	PEN_ACTION_COUNT, // only look: a dry run
	PEN_ACTION_HOLD,
	PEN_ACTION_RELEASE,
	PEN_ACTION_REQUEUE, // route anew, from the start; what is in flight stays
	PEN_ACTION_RETRY,   // now, instead of at the next attempt
	PEN_ACTION_DELETE,  // no notification
	PEN_ACTION_BOUNCE,  // with a notification; `text` is the reason
	PEN_ACTION_EXPIRE,  // as if its lifetime were over
	PEN_ACTION_MOVE,    // to another pool or route
};

struct pen_sched_order {
	enum pen_sched_action action;
	struct pen_span text;  // BOUNCE
	struct pen_span pool;  // MOVE; empty: stays
	struct pen_span route; // MOVE: "transport:nexthop"; empty: stays
	bool no_notice;        // EXPIRE: and nobody is told
};

struct pen_sched_tally {
	uint64_t examined, messages, recipients; // that the selector chose
	uint64_t done;                           // messages that changed
};

// Does the order to those of the next `most` messages behind `after` (0: from the start) that the
// selector chooses; adds to *tally, calls fn (may be NULL) for each before it changes. Returns the
// id to continue behind, 0 at the end. O(examined); with an id, a site or a tenant O(what they
// have) where an index serves. -> a selector that says nothing and not `everything` chooses
// nothing.
uint64_t pen_sched_apply(struct pen_sched *s, const struct pen_sched_selector *which,
	const struct pen_sched_order *order, uint64_t after, uint32_t most,
	struct pen_sched_tally *tally, pen_sched_view_fn *fn, void *ctx);

// Why a message does not move: the first thing that holds the recipient that is tried next.
enum pen_why_code {
	PEN_WHY_MOVING,    // it is being sent now
	PEN_WHY_HOLD,      // an operator; no end
	PEN_WHY_SCHEDULED, // not before, or outside its window
	PEN_WHY_RETRY,     // the last attempt failed; waits for the next
	PEN_WHY_IN_DOUBT,  // its delivery is in doubt; waits by in_doubt_policy
	PEN_WHY_RESOLVING, // DNS
	PEN_WHY_DEAD_SITE, // no host could be reached
	PEN_WHY_DEAD_HOST, // hosts do not answer, and what does is busy or not known yet
	PEN_WHY_SHAPING,   // a limit, back-off or suspension
	PEN_WHY_TURN,      // behind other mail for the site
	PEN_WHY_LEASES,    // all connections of the gateway are in use
	PEN_WHY_BOUNCING,  // its notification is on its way to the spool
	PEN_WHY_STOPPING,
};
#define PEN_WHY_TEXT_MAX 1024
struct pen_why {
	enum pen_why_code code;
	const char *word;                // "suspended", "retry"...: stable, for programs
	uint32_t rcpt;                   // index of the recipient it is about
	pen_wall_us until;               // 0: no known end
	struct pen_span site;            // "" none
	char holder[PEN_SHAPE_TEXT_MAX]; // who or what: "tenant acme", "the operator"
	char text[PEN_WHY_TEXT_MAX];     // the sentence
};
// 0 or -ENOENT.
int pen_sched_why(struct pen_sched *s, uint64_t id, struct pen_why *out);
