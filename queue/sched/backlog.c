// SPDX-License-Identifier: BSD-3-Clause

// Mail whose next hop has to be asked for while the resolver has enough to do:
// a queue for each tenant, which take turns by weight. Mail for next hops that
// are known never stands here.
#include "backlog.h"
#include "core.h"

void backlog_push(struct pen_sched *s, struct entry *e)
{
	struct owner *o = owner_get(s, e->m->klass);
	struct tenant *t = tenant_ref(o->tenant);

	owner_put(s, o);
	entry_wait(s, e);
	e->ware.at = (uintptr_t)t | WARE_BACKLOG;
	link_push_back(&t->backlog, &e->ware.link);
	s->nbacklog++;
	share_enter(&t->share);
}

void backlog_take(struct pen_sched *s, struct entry *e)
{
	struct tenant *t = (struct tenant *)(e->ware.at & ~(uintptr_t)WARE_BITS);

	link_remove(&e->ware.link);
	s->nbacklog--;
	if (link_empty(&t->backlog))
		share_leave(&t->share);
	tenant_put(s, t);
}

bool backlog_ready(const struct pen_sched *s)
{
	return s->nbacklog > 0 && nexthop_may_ask(s);
}

uint32_t backlog_work(struct pen_sched *s, uint32_t budget)
{
	uint32_t n = 0;

	for (; n < budget && backlog_ready(s); n++) {
		struct tenant *t = LINK_OF(share_pick(&s->backlog), struct tenant, share);
		struct entry *e = LINK_OF(t->backlog.next, struct entry, ware.link);
		share_charge(&t->share, e->live);
		entry_unwait(s, e);
		entry_route(s, e);
	}
	return n;
}
