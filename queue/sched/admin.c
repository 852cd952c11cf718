// SPDX-License-Identifier: BSD-3-Clause
#include "core.h"
#include "order.h"
#include "why.h"

#include <errno.h>

const char *pen_sched_state_word(enum pen_sched_state st)
{
	switch (st) {
	case PEN_STATE_DEFERRED:
		return "deferred";
	case PEN_STATE_ACTIVE:
		return "active";
	case PEN_STATE_BOUNCING:
		return "bouncing";
	case PEN_STATE_HOLD:
		return "hold";
	case PEN_STATE_WAITING:
		return "waiting";
	case PEN_STATE_SCHEDULED:
		return "scheduled";
	case PEN_STATE_ANY:
		return "any";
	}
	return "unknown";
}

struct pen_sched_view entry_view(const struct pen_sched *s, const struct entry *e)
{
	struct pen_sched_view v = {
		.message = e->m,
		.state = (enum pen_sched_state)(1 << entry_shown(e)),
		.queued = e->live,
		.expires = entry_expiry(s, e),
		.deleting = e->deleting,
	};

	for (uint32_t i = 0; i < e->m->nrcpt && s->doubtful > 0; i++)
		v.in_doubt += e->m->rcpt[i].fate == PEN_FATE_QUEUED && e->m->rcpt[i].doubts > 0;
	for (const struct job *j = e->jobs; j != NULL; j = j->sibling)
		v.in_flight += j->state == JOB_FLYING ? j->nrcpt : 0;
	return v;
}

uint64_t pen_sched_list(struct pen_sched *s, const struct pen_sched_filter *filter, uint64_t after,
	uint32_t most, pen_sched_view_fn *fn, void *ctx)
{
	const struct pen_sched_selector which = {
		.states = filter->states != 0 ? filter->states : PEN_STATE_ANY,
		.sender = filter->by_sender && filter->sender.n == 0 ? PEN_SPAN_LIT("<>")
			  : filter->by_sender                        ? filter->sender
								     : pen_span(NULL, 0),
		.domain = filter->recipient_domain,
	};
	const struct pen_sched_order look = {.action = PEN_ACTION_COUNT};
	struct pen_sched_tally tally = {0};

	return pen_sched_apply(s, &which, &look, after, most, &tally, fn, ctx);
}

int pen_sched_show(struct pen_sched *s, uint64_t id, pen_sched_view_fn *fn, void *ctx)
{
	const struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	struct pen_sched_view v = entry_view(s, e);
	fn(ctx, &v);
	return 0;
}

int pen_sched_delete(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	order_delete(s, e);
	return 0;
}

int pen_sched_hold(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	order_hold(s, e);
	return 0;
}

int pen_sched_release(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	order_release(s, e);
	return 0;
}

void sites_lift(struct pen_sched *s)
{
	s->epoch++; // failed next hops are resolved again
	dead_hosts_clear(s->dead);
	for (struct link *i = s->all_sites.next; i != &s->all_sites; i = i->next) {
		struct site *site = LINK_OF(i, struct site, all);
		site_revive(s, site, 0);
		site->grow_after = s->now;
		site->cap = 0;
		site->rest_until = 0;
		site_kick(s, site);
	}
}

int pen_sched_flush(struct pen_sched *s, uint64_t id)
{
	struct entry *one = id != 0 ? entry_find(s, id) : NULL;

	if (id != 0 && one == NULL)
		return -ENOENT;
	sites_lift(s);
	if (one != NULL) {
		order_retry(s, one, true);
		return 0;
	}
	for (struct link *i = s->all_entries.next; i != &s->all_entries; i = i->next)
		order_retry(s, LINK_OF(i, struct entry, all), false);
	return 0;
}

void pen_sched_stats(const struct pen_sched *s, struct pen_sched_stats *out)
{
	*out = s->total;
	out->messages = s->entries.n;
	out->queued = out->accepted - out->delivered - out->bounced - out->expired - out->deleted;
	out->active = s->nstate[ENTRY_ACTIVE] + s->nresolving;
	out->waiting = s->nstate[ENTRY_WAITING] - s->nresolving;
	out->deferred = s->nstate[ENTRY_DEFERRED];
	out->bouncing = s->nstate[ENTRY_BOUNCING];
	out->held = s->nstate[ENTRY_HOLD];
	out->scheduled = s->nstate[ENTRY_SCHEDULED];
	out->doubtful = s->doubtful;
	out->jobs_ready = s->jobs_ready;
	out->jobs_resolving = s->jobs_resolving;
	out->in_flight = s->in_flight;
	out->leases = s->nleases;
	out->leases_ready = s->nready;
	out->sites = s->sites.n;
	out->nexthops = s->nexthops.n;
	out->sites_dead = s->ndead;
	out->hosts_dead = dead_hosts_count(s->dead);
	out->content_bytes = s->content_bytes;
}

void pen_sched_sites(struct pen_sched *s, pen_site_view_fn *fn, void *ctx)
{
	char text[PEN_WHY_TEXT_MAX];

	for (struct link *i = s->all_sites.next; i != &s->all_sites; i = i->next) {
		struct pen_site_view v;
		site_view(s, LINK_OF(i, struct site, all), &v, text);
		if (!fn(ctx, &v))
			return;
	}
}
