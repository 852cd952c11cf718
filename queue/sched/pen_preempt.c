// SPDX-License-Identifier: BSD-3-Clause
#include "pen_preempt.h"

#include <stddef.h>

bool pen_preempt_begin(struct pen_preempt *p, const struct pen_preempt_rules *rules,
	const struct pen_preempt_work *current)
{
	*p = (struct pen_preempt){.rules = rules};
	if (rules->slot_cost < 2 || current->slots <= 0 ||
		current->total < (uint64_t)rules->minimum * rules->slot_cost)
		return false;
	p->affordable = (current->left + (uint64_t)current->slots) / rules->slot_cost;
	return true;
}

void pen_preempt_offer(struct pen_preempt *p, void *who, uint32_t total, uint32_t left, double age)
{
	double score = (age + 1) / total;

	if (left == 0 || left > p->affordable || (p->best != NULL && score <= p->score))
		return;
	p->best = who;
	p->needs = left;
	p->score = score;
}

void *pen_preempt_end(struct pen_preempt *p, struct pen_preempt_work *current)
{
	const struct pen_preempt_rules *r = p->rules;

	if (p->best == NULL)
		return NULL;
	// In hundredths, so that the discount needs no fraction.
	uint64_t have = ((uint64_t)current->slots / r->slot_cost + r->loan) * 100;
	if (have < (uint64_t)p->needs * (100 - r->discount))
		return NULL;
	current->slots -= (int64_t)((uint64_t)p->needs * r->slot_cost);
	return p->best;
}
