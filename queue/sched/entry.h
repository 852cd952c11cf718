// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Entries: the messages in the scheduler, from pen_sched_add to their end. An entry ends
// only through entry_check or later calls of entry.c (see core.h).

#include "link.h"
#include "pen_sched.h"
#include "pen_wheel.h"
#include "ware.h"

struct failure;
struct job;
struct nexthop;
struct pen_note;
struct pen_sched_hop;
struct result;
struct site;

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

// In pen_recipient.due: an operator ended it, and it may be with a worker.
#define DUE_ORDERED (PEN_DUE_NEVER - 1)

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
	bool marked : 1;     // a scan goes on or ends here
};

// entry.c
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
// It waits in a queue now, without a job.
void entry_wait(struct pen_sched *s, struct entry *e);
// Where the recipient goes before DNS; false: nowhere, with the reason.
bool entry_hop(struct pen_sched *s, const struct entry *e, uint32_t rcpt, struct pen_sched_hop *hop,
	struct pen_dsn *why);
// The site that its next hop led to, as far as it is known; NULL.
struct site *entry_site(struct pen_sched *s, const struct entry *e, uint32_t rcpt);

// site_why.c
// ENTRY_ACTIVE or ENTRY_WAITING, as people see it.
uint8_t entry_shown(const struct entry *e);
