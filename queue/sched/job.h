// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Jobs: what of a message goes to one next hop. A job belongs to its entry, which ends it
// with itself; job_free unlinks it everywhere.

#include "ware.h"

struct entry;
struct nexthop;
struct pen_sched;
struct pile;
struct result;
struct site;

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

// job.c
struct job *job_new(struct entry *e, struct nexthop *nh, uint32_t cap);
void job_link(struct entry *e, struct job *j);     // to the entry's other jobs
void job_free(struct pen_sched *s, struct job *j); // unlinks it everywhere
// Gives all its recipients the same result and ends it; then entry_check.
void job_finish(struct pen_sched *s, struct job *j, struct result *r);
void job_suspend(struct pen_sched *s, struct job *j, struct site *site);
// Leaves the first n recipients; the others get a job behind it. False: no memory.
bool job_split(struct pen_sched *s, struct job *j, uint16_t n);

// activate.c
// The domain of one of its recipients is suspended.
bool job_held(struct pen_sched *s, const struct job *j);
// Routes its recipients anew and ends it: those that are held, and the rest. `front`:
// the rest goes before others. Its entry may be gone afterwards.
void job_reroute(struct pen_sched *s, struct job *j, bool front);

// entry.c
// Takes the recipients off the job that have a failure. False: none is left.
bool job_strip(struct job *j);
