// SPDX-License-Identifier: BSD-3-Clause
#include "core.h"

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
	case PEN_STATE_ANY:
		return "any";
	}
	return "unknown";
}

static struct pen_sched_view view_of(const struct pen_sched *s, const struct entry *e)
{
	struct pen_sched_view v = {
		.message = e->m,
		.state = (enum pen_sched_state)(1 << entry_shown(e)),
		.queued = e->live,
		.expires = entry_expiry(s, e),
		.deleting = e->deleting,
	};

	for (const struct job *j = e->jobs; j != NULL; j = j->sibling)
		v.in_flight += j->state == JOB_FLYING ? j->nrcpt : 0;
	return v;
}

static bool domain_is(struct pen_span addr, struct pen_span domain)
{
	return addr.n > domain.n && addr.p[addr.n - domain.n - 1] == '@' &&
	       pen_span_ieq(pen_span_from(addr, addr.n - domain.n), domain);
}

static bool passes(const struct entry *e, const struct pen_sched_filter *f)
{
	const struct pen_message *m = e->m;

	if (f->states != 0 && !(f->states & 1u << entry_shown(e)))
		return false;
	if (f->by_sender && !pen_span_ieq(m->sender, f->sender))
		return false;
	if (f->recipient_domain.n == 0)
		return true;
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (domain_is(m->rcpt[i].addr, f->recipient_domain))
			return true;
	}
	return false;
}

// Where a listing goes on. When the message it stopped at is gone, ids tell:
// they grow with time.
static struct link *behind(struct pen_sched *s, uint64_t after)
{
	const struct entry *e = after != 0 ? entry_find(s, after) : NULL;
	struct link *i = s->all_entries.next;

	if (e != NULL)
		return e->all.next;
	while (after != 0 && i != &s->all_entries && LINK_OF(i, struct entry, all)->m->id <= after)
		i = i->next;
	return i;
}

uint64_t pen_sched_list(struct pen_sched *s, const struct pen_sched_filter *filter, uint64_t after,
	uint32_t most, pen_sched_view_fn *fn, void *ctx)
{
	struct link *i = behind(s, after);

	for (; i != &s->all_entries; i = i->next) {
		const struct entry *e = LINK_OF(i, struct entry, all);
		if (most-- == 0)
			return after;
		after = e->m->id;
		if (!passes(e, filter))
			continue;
		struct pen_sched_view v = view_of(s, e);
		if (!fn(ctx, &v))
			return i->next == &s->all_entries ? 0 : after;
	}
	return 0;
}

int pen_sched_show(struct pen_sched *s, uint64_t id, pen_sched_view_fn *fn, void *ctx)
{
	const struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	struct pen_sched_view v = view_of(s, e);
	fn(ctx, &v);
	return 0;
}

// Those that are neither with a worker nor about to bounce end here and now, so
// that a crash does not bring them back.
static void delete_grounded(struct pen_sched *s, struct entry *e)
{
	uint8_t *busy = s->failed;

	memset(busy, 0, (e->m->nrcpt + 7) / 8);
	for (const struct failure *f = e->failures; f != NULL; f = f->next)
		busy[f->rcpt / 8] |= (uint8_t)(1 << f->rcpt % 8);
	for (const struct job *j = e->jobs; j != NULL; j = j->sibling) {
		for (uint32_t i = 0; i < j->nrcpt; i++)
			busy[j->rcpt[i] / 8] |= (uint8_t)(1 << j->rcpt[i] % 8);
	}
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (e->m->rcpt[i].fate == PEN_FATE_QUEUED && !(busy[i / 8] & 1 << i % 8))
			entry_change(s, e, i, PEN_FATE_DELETED);
	}
	if (s->nchanges > 0 && (e->live > 0 || e->submitted))
		entry_record(s, e, false);
}

int pen_sched_delete(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	e->deleting = true;
	entry_withdraw(s, e);
	if (e->state == ENTRY_BOUNCING && !e->submitted) {
		// It waits to tell its sender again; that is over now.
		entry_set_state(s, e, ENTRY_ACTIVE);
		bounce_forget(e);
		entry_conclude(s, e);
	} else if (e->state == ENTRY_DEFERRED || e->state == ENTRY_HOLD) {
		entry_conclude(s, e);
	} else {
		delete_grounded(s, e);
		if (e->submitted)
			return 0; // ends with what is on its way to the spool
		if (e->live == 0)
			entry_conclude(s, e);
		else
			entry_check(s, e);
	}
	return 0;
}

int pen_sched_hold(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	if (e->m->flags & PEN_MESSAGE_HOLD)
		return 0;
	e->m->flags |= PEN_MESSAGE_HOLD;
	entry_record(s, e, false);
	if (e->state == ENTRY_DEFERRED) {
		entry_set_state(s, e, ENTRY_HOLD);
		pen_wheel_disarm(&s->entry_wheel, &e->timer);
		return 0;
	}
	entry_withdraw(s, e);
	entry_check(s, e);
	return 0;
}

static void make_due(struct pen_sched *s, struct entry *e)
{
	e->m->next_attempt = s->wall;
	if (e->state == ENTRY_DEFERRED)
		entry_arm(s, e, s->wall);
}

int pen_sched_release(struct pen_sched *s, uint64_t id)
{
	struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	if (!(e->m->flags & PEN_MESSAGE_HOLD))
		return 0;
	e->m->flags &= ~(uint32_t)PEN_MESSAGE_HOLD;
	if (e->state == ENTRY_HOLD) {
		entry_set_state(s, e, ENTRY_DEFERRED);
		make_due(s, e);
	}
	entry_record(s, e, false);
	return 0;
}

int pen_sched_flush(struct pen_sched *s, uint64_t id)
{
	struct entry *one = id != 0 ? entry_find(s, id) : NULL;

	if (id != 0 && one == NULL)
		return -ENOENT;
	s->epoch++; // failed next hops are resolved again
	for (struct link *i = s->all_sites.next; i != &s->all_sites; i = i->next) {
		struct site *site = LINK_OF(i, struct site, all);
		site_revive(s, site, 0);
		site->grow_after = s->now;
		site->cap = 0;
		site_kick(s, site);
	}
	if (one != NULL) {
		make_due(s, one);
		return 0;
	}
	for (struct link *i = s->all_entries.next; i != &s->all_entries; i = i->next)
		make_due(s, LINK_OF(i, struct entry, all));
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
	out->jobs_ready = s->jobs_ready;
	out->jobs_resolving = s->jobs_resolving;
	out->in_flight = s->in_flight;
	out->leases = s->nleases;
	out->leases_ready = s->nready;
	out->sites = s->sites.n;
	out->nexthops = s->nexthops.n;
	out->sites_dead = s->ndead;
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
