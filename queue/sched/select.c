// SPDX-License-Identifier: BSD-3-Clause

// Operators' hands on many messages: the choice, and a walk that can stop at any
// message and go on later although messages came and went.
#include "core.h"
#include "order.h"

static bool domain_is(struct pen_span addr, struct pen_span domain)
{
	return addr.n > domain.n && addr.p[addr.n - domain.n - 1] == '@' &&
	       pen_span_ieq(pen_span_from(addr, addr.n - domain.n), domain);
}

// Its name, or one of its hosts.
static bool site_is(const struct site *site, struct pen_span name)
{
	if (site == NULL)
		return false;
	if (pen_span_ieq(pen_span(site->key, site->key_len), name) ||
		(site->shape != NULL && pen_span_ieq(pen_shape_site_name(site->shape), name)))
		return true;
	for (uint16_t i = 0; i < site->nhosts; i++) {
		if (pen_span_ieq(pen_span_cstr(site->host[i].tls->host), name))
			return true;
	}
	return false;
}

// Conditions that say which recipients are meant.
static bool by_recipient(const struct pen_sched_selector *w)
{
	return w->domain.n > 0 || w->recipient.n > 0 || w->site.n > 0 || w->in_doubt;
}

static bool says_nothing(const struct pen_sched_selector *w)
{
	return w->id == 0 && w->states == 0 && w->tenant.n + w->campaign.n + w->pool.n == 0 &&
	       w->sender.n == 0 && w->older_than == 0 && !by_recipient(w);
}

static bool name_is(struct pen_span have, struct pen_span wanted)
{
	return wanted.n == 0 || pen_span_eq(have, wanted);
}

static bool sender_is(struct pen_span have, struct pen_span wanted)
{
	if (wanted.n == 0)
		return true;
	return pen_span_eq(wanted, PEN_SPAN_LIT("<>")) ? have.n == 0 : pen_span_ieq(have, wanted);
}

static bool message_meets(
	const struct pen_sched *s, const struct entry *e, const struct pen_sched_selector *w)
{
	const struct pen_message *m = e->m;

	return (w->id == 0 || w->id == m->id) &&
	       (w->states == 0 || w->states & 1u << entry_shown(e)) &&
	       name_is(m->klass->tenant, w->tenant) && name_is(m->klass->campaign, w->campaign) &&
	       name_is(m->klass->pool, w->pool) && sender_is(pen_message_sender(m), w->sender) &&
	       (w->older_than == 0 || s->wall - m->arrival >= w->older_than);
}

static bool rcpt_meets(
	struct pen_sched *s, const struct entry *e, uint32_t i, const struct pen_sched_selector *w)
{
	const struct pen_recipient *r = &e->m->rcpt[i];

	return r->fate == PEN_FATE_QUEUED && (!w->in_doubt || r->doubts > 0) &&
	       (w->domain.n == 0 || domain_is(pen_recipient_addr(r), w->domain)) &&
	       (w->recipient.n == 0 || pen_span_ieq(pen_recipient_addr(r), w->recipient)) &&
	       (w->site.n == 0 || site_is(entry_site(s, e, i), w->site));
}

// How many recipients are chosen; their bits are in s->chosen if the selector
// tells them apart.
static uint32_t choose(
	struct pen_sched *s, const struct entry *e, const struct pen_sched_selector *w)
{
	uint32_t n = 0;

	if (!message_meets(s, e, w))
		return 0;
	if (!by_recipient(w))
		return e->live;
	memset(s->chosen, 0, (e->m->nrcpt + 7) / 8);
	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		if (!rcpt_meets(s, e, i, w))
			continue;
		s->chosen[i / 8] |= (uint8_t)(1u << i % 8);
		n++;
	}
	return n;
}

static bool bounce_with(
	struct pen_sched *s, struct entry *e, const uint8_t *chosen, struct pen_span text)
{
	struct pen_dsn d;

	pen_dsn_set(&d, 5, 0, 0, PEN_SCOPE_MESSAGE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"returned by an operator%s%.*s", text.n > 0 ? ": " : "", PEN_SPAN_ARG(text));
	const struct pen_note *note = pen_note_get(&d, "", 0);
	bool done = note != NULL && order_end(s, e, chosen, PEN_FATE_BOUNCED, note);
	pen_note_put(note);
	return done;
}

static bool carry_out(struct pen_sched *s, struct entry *e, const struct pen_sched_selector *w,
	const struct pen_sched_order *o)
{
	const uint8_t *chosen = by_recipient(w) ? s->chosen : NULL;

	switch (o->action) {
	case PEN_ACTION_COUNT:
		return false;
	case PEN_ACTION_HOLD:
		return order_hold(s, e);
	case PEN_ACTION_RELEASE:
		return order_release(s, e);
	case PEN_ACTION_REQUEUE:
		return order_requeue(s, e);
	case PEN_ACTION_RETRY:
		return order_retry(s, e, w->id != 0 || w->in_doubt);
	case PEN_ACTION_DELETE:
		return chosen == NULL ? order_delete(s, e)
				      : order_end(s, e, chosen, PEN_FATE_DELETED, NULL);
	case PEN_ACTION_BOUNCE:
		return bounce_with(s, e, chosen, o->text);
	case PEN_ACTION_EXPIRE:
		return chosen == NULL ? order_expire(s, e, o->no_notice)
				      : order_end(s, e, chosen, PEN_FATE_EXPIRED, NULL);
	case PEN_ACTION_MOVE:
		return order_move(s, e, o);
	}
	return false;
}

// One message. False: the caller wants no more.
static bool apply_one(struct pen_sched *s, struct entry *e, const struct pen_sched_selector *w,
	const struct pen_sched_order *o, struct pen_sched_tally *tally, pen_sched_view_fn *fn,
	void *ctx)
{
	bool more = true;

	tally->examined++;
	uint32_t n = choose(s, e, w);
	if (n == 0)
		return true;
	tally->messages++;
	tally->recipients += n;
	if (fn != NULL) {
		struct pen_sched_view v = entry_view(s, e);
		more = fn(ctx, &v);
	}
	tally->done += carry_out(s, e, w, o);
	return more;
}

// ---- the walk

static void scan_set(struct pen_sched *s, struct scan *scan, struct link *at)
{
	scan->at = at;
	if (at != &s->all_entries)
		LINK_OF(at, struct entry, all)->marked = true;
}

// The walk that stopped at `after`. When it is forgotten (many go on at once) and
// the message is gone, ids tell: they grow with time.
static struct scan *scan_resume(struct pen_sched *s, uint64_t after)
{
	struct link *i = s->all_entries.next;
	struct scan *scan = NULL;

	for (uint32_t k = 0; k < SCANS && after != 0; k++) {
		if (s->scan[k].after == after && s->scan[k].at != NULL)
			return &s->scan[k];
	}
	scan = &s->scan[s->scan_turn++ % SCANS];
	const struct entry *e = after != 0 ? entry_find(s, after) : NULL;
	if (e != NULL)
		i = e->all.next;
	while (e == NULL && after != 0 && i != &s->all_entries &&
		LINK_OF(i, struct entry, all)->m->id <= after)
		i = i->next;
	scan->end = &s->all_entries;
	scan_set(s, scan, i);
	return scan;
}

uint64_t pen_sched_apply(struct pen_sched *s, const struct pen_sched_selector *which,
	const struct pen_sched_order *order, uint64_t after, uint32_t most,
	struct pen_sched_tally *tally, pen_sched_view_fn *fn, void *ctx)
{
	enum pen_sched_action a = order->action;
	bool more = true;

	if (says_nothing(which) && !which->everything)
		return 0;
	if (after == 0 &&
		(a == PEN_ACTION_RETRY || a == PEN_ACTION_REQUEUE || a == PEN_ACTION_MOVE))
		sites_lift(s);
	if (which->id != 0) {
		struct entry *e = entry_find(s, which->id);
		if (e != NULL && after == 0)
			apply_one(s, e, which, order, tally, fn, ctx);
		return 0;
	}
	struct scan *scan = scan_resume(s, after);
	while (more && most > 0 && scan->at != scan->end) {
		struct entry *e = LINK_OF(scan->at, struct entry, all);
		// The next one before this one ends; it may itself end meanwhile.
		scan_set(s, scan, e->all.next);
		after = e->m->id;
		most--;
		more = apply_one(s, e, which, order, tally, fn, ctx);
	}
	scan->after = after;
	if (scan->at != scan->end)
		return after;
	*scan = (struct scan){0};
	return 0;
}
