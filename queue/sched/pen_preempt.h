// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When a small message may go before the rest of a large one: pure arithmetic.
//
// Each transaction of a large message earns a slot. A later message may go
// first when the slots, with what is lent and what may be missing, cover what
// it needs; they are spent then. So mail for few never waits for a mailing
// list, and the list is slowed by one part in slot_cost at most.
// Names, defaults and arithmetic are Postfix's (SCHEDULER_README).
//
//   struct pen_preempt p;
//   if (pen_preempt_begin(&p, rules, &current))
//           for each later message: pen_preempt_offer(&p, who, total, left, age);
//   who = pen_preempt_end(&p, &current);   NULL: the current one goes on
//
// Memory: none of its own.

#include <stdbool.h>
#include <stdint.h>

struct pen_preempt_rules {
	uint32_t slot_cost; // default_delivery_slot_cost; below 2: nothing goes first
	uint32_t loan;      // default_delivery_slot_loan
	uint32_t discount;  // default_delivery_slot_discount, percent
	uint32_t minimum;   // default_minimum_delivery_slots
};

#define PEN_PREEMPT_RULES_DEFAULT                                                                  \
	((struct pen_preempt_rules){.slot_cost = 5, .loan = 3, .discount = 50, .minimum = 3})

// A message at the head of its queue, in transactions.
struct pen_preempt_work {
	uint32_t total; // it had when it came
	uint32_t left;  // of these, not begun
	int64_t slots;  // one more for each that was begun, less what was spent
};

struct pen_preempt {
	const struct pen_preempt_rules *rules;
	uint64_t affordable; // a message that needs more cannot go first
	void *best;
	uint32_t needs;
	double score;
};

// False: nothing goes first; offers are ignored then.
bool pen_preempt_begin(struct pen_preempt *p, const struct pen_preempt_rules *rules,
	const struct pen_preempt_work *current);
// `age` in seconds; `total` at least 1.
void pen_preempt_offer(struct pen_preempt *p, void *who, uint32_t total, uint32_t left, double age);
// The one to go first, paid for by `current`.
void *pen_preempt_end(struct pen_preempt *p, struct pen_preempt_work *current);
