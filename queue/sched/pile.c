// SPDX-License-Identifier: BSD-3-Clause

// The order in which a site's jobs are sent: as they came, the jobs of a message
// together; but small messages need not wait for all of a large one
// (pen_preempt.h).
#include "core.h"

#include <stdlib.h>

// How many waiting messages are considered: a bound on the time of one choice.
// What stands further behind has its turn when the queue has moved on.
#define LOOK_AHEAD 64

// Without memory it waits as if it were a message of its own.
static struct pile *pile_new(struct job *leader)
{
	struct pile *p = malloc(sizeof(*p));

	if (p == NULL)
		return NULL;
	*p = (struct pile){.leader = leader, .work = {.total = 1, .left = 1}};
	link_init(&p->rest);
	leader->pile = p;
	return p;
}

void pile_add(struct site *site, struct job *j)
{
	struct job *last =
		link_empty(&site->jobs) ? NULL : LINK_OF(site->jobs.prev, struct job, queue);
	struct pile *p = NULL;

	if (last != NULL && last->entry == j->entry)
		p = last->pile != NULL ? last->pile : pile_new(last);
	if (p == NULL) {
		link_push_back(&site->jobs, &j->queue);
		return;
	}
	link_push_back(&p->rest, &j->queue);
	j->pile = p;
	p->work.total++;
	p->work.left++;
}

void pile_take(struct job *j)
{
	struct pile *p = j->pile;

	if (p != NULL && p->leader == j && !link_empty(&p->rest)) {
		p->leader = LINK_OF(link_pop(&p->rest), struct job, queue);
		link_put(&j->queue, &p->leader->queue);
	}
	link_remove(&j->queue);
	j->pile = NULL;
	if (p != NULL && --p->work.left == 0)
		free(p);
}

// The best of those behind `current`, paid for, or NULL.
static struct job *choose(struct pen_sched *s, struct site *site, struct job *current)
{
	struct pen_preempt choice;
	uint32_t n = 0;

	if (!pen_preempt_begin(&choice, &s->cfg.preempt, &current->pile->work))
		return NULL;
	for (struct link *i = current->queue.next; i != &site->jobs && n < LOOK_AHEAD;
		i = i->next, n++) {
		struct job *j = LINK_OF(i, struct job, queue);
		const struct pile *p = j->pile;
		if (p != NULL && p->lent)
			continue;
		double age = (double)(s->now - j->entry->active_at) / PEN_US_PER_S;
		pen_preempt_offer(&choice, j, p != NULL ? p->work.total : 1,
			p != NULL ? p->work.left : 1, age);
	}
	return pen_preempt_end(&choice, &current->pile->work);
}

struct job *pile_next(struct pen_sched *s, struct site *site)
{
	struct job *j = site_first(site);

	if (j == NULL || j->pile == NULL)
		return j;
	struct job *first = choose(s, site, j);
	if (first == NULL)
		return j;
	j->pile->lent = true;
	link_remove(&first->queue);
	link_push_front(&site->jobs, &first->queue);
	return first;
}
