// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Piles: how a flow's queue is ordered, where large messages let small ones pass. A pile
// ends with the last of its jobs.

#include "link.h"
#include "pen_preempt.h"

struct flow;
struct job;
struct pen_sched;
struct ware;

// Jobs of one message that wait in a flow, one behind the other. The first one
// stands in the flow's queue for all of them.
struct pile {
	struct link rest; // the others
	struct job *leader;
	struct pen_preempt_work work;
	bool lent; // something went before it: it goes on next
};

void pile_add(struct flow *f, struct job *j); // at the end of f->queue
// Off its queue. True: a message less stands in it.
bool pile_take(struct job *j);
// What to send next, or NULL. A small message may go before a large one.
struct ware *pile_next(struct pen_sched *s, struct flow *f);
