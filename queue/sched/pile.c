// SPDX-License-Identifier: BSD-3-Clause

// The order in which a flow's mail is sent: as it came, the jobs of a message
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

static struct job *job_of(struct link *l)
{
	struct ware *w = LINK_OF(l, struct ware, link);

	return ware_is_job(w) ? LINK_OF(w, struct job, ware) : NULL;
}

void pile_add(struct flow *f, struct job *j)
{
	// Only a message of several transactions has more than one job.
	struct job *last = link_empty(&f->queue) || j->entry->jobs->sibling == NULL
				   ? NULL
				   : job_of(f->queue.prev);
	struct pile *p = NULL;

	if (last != NULL && last->entry == j->entry)
		p = last->pile != NULL ? last->pile : pile_new(last);
	if (p == NULL) {
		link_push_back(&f->queue, &j->ware.link);
		f->site->made++;
		return;
	}
	link_push_back(&p->rest, &j->ware.link);
	j->pile = p;
	p->work.total++;
	p->work.left++;
}

bool pile_take(struct job *j)
{
	struct pile *p = j->pile;
	bool last = p == NULL;

	if (p != NULL && p->leader == j && !link_empty(&p->rest)) {
		p->leader = job_of(link_pop(&p->rest));
		link_put(&j->ware.link, &p->leader->ware.link);
	}
	link_remove(&j->ware.link);
	j->pile = NULL;
	if (p != NULL && --p->work.left == 0) {
		free(p);
		last = true;
	}
	return last;
}

static void offer(struct pen_sched *s, struct pen_preempt *choice, struct ware *w)
{
	if (!ware_is_job(w)) {
		const struct entry *e = LINK_OF(w, struct entry, ware);
		double age = (double)(s->wall - e->m->arrival) / PEN_US_PER_S;
		pen_preempt_offer(choice, w, 1, 1, age > 0 ? age : 0);
		return;
	}
	const struct job *j = LINK_OF(w, struct job, ware);
	const struct pile *p = j->pile;
	if (p != NULL && p->lent)
		return;
	double age = (double)(s->now - j->entry->active_at) / PEN_US_PER_S;
	pen_preempt_offer(
		choice, w, p != NULL ? p->work.total : 1, p != NULL ? p->work.left : 1, age);
}

// The best of those behind `current`, paid for, or NULL.
static struct ware *choose(struct pen_sched *s, struct flow *f, struct job *current)
{
	struct pen_preempt choice;
	uint32_t n = 0;

	if (!pen_preempt_begin(&choice, &s->cfg.preempt, &current->pile->work))
		return NULL;
	for (struct link *i = current->ware.link.next; i != &f->queue && n < LOOK_AHEAD;
		i = i->next, n++)
		offer(s, &choice, LINK_OF(i, struct ware, link));
	return pen_preempt_end(&choice, &current->pile->work);
}

struct ware *pile_next(struct pen_sched *s, struct flow *f)
{
	if (!link_empty(&f->returned))
		return LINK_OF(f->returned.next, struct ware, link);
	if (link_empty(&f->queue))
		return NULL;
	struct ware *w = LINK_OF(f->queue.next, struct ware, link);
	if (!ware_is_job(w))
		return w;
	struct job *j = LINK_OF(w, struct job, ware);
	if (j->pile == NULL)
		return w;
	struct ware *first = choose(s, f, j);
	if (first == NULL)
		return w;
	j->pile->lent = true;
	if (!ware_is_job(first)) {
		struct job *made = entry_promote(s, LINK_OF(first, struct entry, ware));
		// It went elsewhere, and what that set off may have taken w too.
		if (made == NULL)
			return pile_next(s, f);
		first = &made->ware;
	}
	link_remove(&first->link);
	link_push_front(&f->queue, &first->link);
	return first;
}
