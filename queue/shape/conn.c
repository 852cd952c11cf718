// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <stdio.h>

// ---- which source

struct side { // what a connection from one source counts at; NULL: nothing there
	struct pen_shape_node *n[4];
	uint32_t count;
};

static bool side_add(struct side *d, struct at_node *a, bool missing_is_fine)
{
	if (a == NULL)
		return missing_is_fine;
	d->n[d->count++] = &a->node;
	return true;
}

// `make`: the nodes are to exist. False: no memory.
static bool side_of(
	struct pen_shape *sh, struct pen_shape_site *s, uint32_t source, bool make, struct side *d)
{
	struct provider *pr = s->profile->provider;
	bool none;

	d->n[0] = &sh->source[source].node;
	d->count = 1;
	if (unlikely(s->profile->source.l.given != 0) &&
		!side_add(
			d, shape_at_get(sh, PEN_HELD_SOURCE_AT_SITE, source, s, NULL, make), !make))
		return false;
	if (pr != NULL && unlikely(pr->source.l.given != 0) &&
		!side_add(d, shape_at_get(sh, PEN_HELD_SOURCE_AT_PROVIDER, source, s, pr, make),
			!make))
		return false;
	if (unlikely(sh->source[source].warm)) {
		struct at_node *a = shape_warm_node(sh, source, s, make, &none);
		if (!none && !side_add(d, a, !make))
			return false;
	}
	return true;
}

static bool side_may(struct pen_shape *sh, struct pen_shape_site *s, const struct side *d,
	struct pen_shape_block *why)
{
	for (uint32_t i = 0; i < d->count; i++) {
		if ((d->n[i]->flags & N_OPEN_MASK) != 0 &&
			!shape_node_may(sh, d->n[i], Q_OPEN, 1, s, why))
			return false;
	}
	return true;
}

struct choice {
	struct side side[2];
	int32_t source[2];
	uint32_t turn;                   // how far the sequence went
	struct pen_shape_filter *filter; // NULL: none
};

static bool filter_may(struct choice *c, uint32_t source)
{
	if (likely(c->filter == NULL) || c->filter->may(c->filter->ctx, source))
		return true;
	c->filter->refused = true;
	return false;
}

static bool choose(struct pen_shape *sh, struct pen_shape_site *s, struct pool *p, unsigned f,
	bool make, struct choice *c, struct pen_shape_block *why, bool *blocked)
{
	uint32_t n = p->nseq[f], at = n > 0 ? s->turn % n : 0;
	struct pen_shape_block b;

	sh->stamp++;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t source = p->seq[f][at];
		if (++at == n)
			at = 0;
		if (sh->source[source].stamp == sh->stamp)
			continue;
		sh->source[source].stamp = sh->stamp;
		if (!filter_may(c, source))
			continue;
		if (side_of(sh, s, source, make, &c->side[f]) && side_may(sh, s, &c->side[f], &b)) {
			c->source[f] = (int32_t)source;
			if (i + 1 > c->turn)
				c->turn = i + 1;
			return true;
		}
		if (!*blocked || b.until < why->until)
			*why = b;
		*blocked = true;
	}
	return false;
}

static bool choose_sources(struct pen_shape *sh, struct pen_shape_site *s, struct pool *p,
	unsigned families, bool make, struct choice *c, struct pen_shape_block *why)
{
	bool found = false, blocked = false;

	c->source[0] = c->source[1] = -1;
	c->turn = 0;
	for (unsigned f = 0; f < 2; f++) {
		if (families & (PEN_SHAPE_IP4 << f))
			found |= choose(sh, s, p, f, make, c, why, &blocked);
	}
	if (found)
		return true;
	if (!blocked) {
		shape_block(sh, &p->lane.node, PEN_WHY_NO_SOURCE, why);
		shape_by_line(why->by, sizeof(why->by), sh->cfg->pool[p - sh->pool].line, false);
	}
	// Whichever source is free first: it waits at the pool.
	why->node = &p->lane.node;
	return false;
}

static bool may_here(struct pen_shape *sh, struct pen_shape_node *n, struct pen_shape_site *s,
	struct pen_shape_block *why)
{
	return (n->flags & N_OPEN_MASK) == 0 || shape_node_may(sh, n, Q_OPEN, 1, s, why);
}

static bool ask(struct pen_shape *sh, struct pen_shape_site *s, uint32_t pool, unsigned families,
	bool make, struct choice *c, struct pen_shape_block *why)
{
	struct pool *p = &sh->pool[pool < sh->cfg->npools ? pool : 0];
	struct provider *pr = s->profile->provider;

	if (may_here(sh, &s->node, s, why) && (pr == NULL || may_here(sh, &pr->node, s, why)) &&
		may_here(sh, &p->node, s, why) && choose_sources(sh, s, p, families, make, c, why))
		return true;
	why->site = s;
	why->pool = pool;
	why->families = (uint8_t)families;
	why->queue = Q_OPEN;
	return false;
}

bool shape_ask_open(struct pen_shape *sh, struct pen_shape_site *s, uint32_t pool,
	unsigned families, struct pen_shape_block *why)
{
	struct choice c = {.filter = NULL};

	return ask(sh, s, pool, families, false, &c, why);
}

bool shape_pool_has_source(struct pen_shape *sh, struct pool *p, pen_time_us *when)
{
	*when = PEN_TIME_NEVER;
	for (unsigned f = 0; f < 2; f++) {
		sh->stamp++;
		for (uint32_t i = 0; i < p->nseq[f]; i++) {
			struct source *src = &sh->source[p->seq[f][i]];
			if (src->stamp == sh->stamp)
				continue;
			src->stamp = sh->stamp;
			pen_time_us t = shape_node_when(sh, &src->node, Q_OPEN, 1, 1);
			if (t <= sh->now)
				return true;
			*when = pen_time_min(*when, t);
		}
	}
	return false;
}

// ---- connections

static void link_in(struct pen_shape_site *s, struct pen_shape_link *l)
{
	l->next = s->links;
	l->at = &s->links;
	if (l->next != NULL)
		l->next->at = &l->next;
	s->links = l;
}

static void link_out(struct pen_shape_link *l)
{
	*l->at = l->next;
	if (l->next != NULL)
		l->next->at = l->at;
}

static void add_common(struct pen_shape *sh, struct pen_shape_site *s, struct pen_shape_link *l)
{
	l->n[0] = &s->node;
	l->n[1] = &sh->pool[l->pool].node;
	l->common = 2;
	if (s->profile->provider != NULL)
		l->n[l->common++] = &s->profile->provider->node;
	l->mid = l->end = l->common;
}

static void add_side(struct pen_shape_link *l, unsigned family, const struct side *d)
{
	for (uint32_t i = 0; i < d->count; i++)
		l->n[l->end++] = d->n[i];
	if (family == 0)
		l->mid = l->end;
}

bool pen_shape_open(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, pen_time_us now, struct pen_shape_conn *out, struct pen_shape_block *why)
{
	return pen_shape_open_from(sh, site, pool, families, NULL, now, out, why);
}

bool pen_shape_open_from(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, struct pen_shape_filter *filter, pen_time_us now,
	struct pen_shape_conn *out, struct pen_shape_block *why)
{
	struct choice c;

	c.filter = filter;
	if (filter != NULL)
		filter->refused = false;
	shape_clock(sh, now);
	if (!ask(sh, site, pool, families, true, &c, why))
		return false;
	struct pen_shape_link *l = shape_slab_get(&sh->links);
	if (l == NULL) {
		shape_block(sh, &site->node, PEN_WHY_SAVING, why);
		snprintf(why->by, sizeof(why->by), "no memory");
		why->until = sh->now + SHAPE_RETRY;
		why->site = site;
		why->pool = pool;
		why->families = (uint8_t)families;
		return false;
	}
	l->pool = pool < sh->cfg->npools ? pool : 0;
	l->dialing = true;
	l->msgs = 0;
	l->bytes = 0;
	l->source[0] = c.source[0];
	l->source[1] = c.source[1];
	add_common(sh, site, l);
	for (unsigned f = 0; f < 2; f++) {
		if (c.source[f] >= 0)
			add_side(l, f, &c.side[f]);
	}
	link_in(site, l);
	site->turn += c.turn;
	sh->grants++;
	for (uint32_t i = 0; i < l->end; i++)
		shape_node_dial(sh, l->n[i]);
	*out = (struct pen_shape_conn){.site = pen_shape_site_ref(site),
		.pool = l->pool,
		.source = {c.source[0], c.source[1]},
		.family = c.source[0] >= 0 && c.source[1] >= 0 ? -1 : c.source[1] >= 0,
		.opened_at = now,
		.link = l};
	return true;
}

bool pen_shape_may_open(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, pen_time_us now, struct pen_shape_block *why)
{
	bool wake = sh->in_wake;

	shape_clock(sh, now);
	sh->in_wake = true; // what others wait for is no answer
	bool good = shape_ask_open(sh, site, pool, families, why);
	sh->in_wake = wake;
	return good;
}

static void leave(
	struct pen_shape *sh, struct pen_shape_link *l, uint32_t from, uint32_t to, bool happened)
{
	for (uint32_t i = from; i < to; i++) {
		if (l->dialing)
			shape_node_dialed(sh, l->n[i], happened);
		shape_node_hangup(sh, l->n[i]);
	}
}

static void source_event(struct pen_shape *sh, const struct pen_shape_link *l)
{
	if (likely(sh->lanes_waiting == 0))
		return;
	for (unsigned f = 0; f < 2; f++) {
		if (l->source[f] >= 0)
			shape_lane_event(sh, (uint32_t)l->source[f]);
	}
}

void pen_shape_ready(
	struct pen_shape *sh, struct pen_shape_conn *c, unsigned family, pen_time_us now)
{
	struct pen_shape_link *l = c->link;

	shape_clock(sh, now);
	family = family != 0;
	if (l == NULL || !l->dialing || c->source[family] < 0)
		return;
	source_event(sh, l);
	// Whether the other one was tried is not known here: its use counts.
	if (c->source[!family] >= 0) {
		uint32_t from = family == 0 ? l->mid : l->common;
		uint32_t to = family == 0 ? l->end : l->mid;
		for (uint32_t i = from; i < to; i++) {
			for (uint32_t m = 0; m < l->msgs; m++) // none, if the caller is right
				shape_node_sent(sh, l->n[i], m == 0 ? l->bytes : 0, true);
		}
		leave(sh, l, from, to, true);
		memmove(l->n + from, l->n + to, (l->end - to) * sizeof(l->n[0]));
		l->end -= to - from;
		l->mid = family == 0 ? l->end : l->common;
		l->source[!family] = c->source[!family] = -1;
	}
	for (uint32_t i = 0; i < l->end; i++)
		shape_node_dialed(sh, l->n[i], true);
	l->dialing = false;
	c->family = (int8_t)family;
}

void pen_shape_close(struct pen_shape *sh, struct pen_shape_conn *c, pen_time_us now, bool tried)
{
	struct pen_shape_link *l = c->link;

	shape_clock(sh, now);
	if (l == NULL)
		return;
	// Messages that were not ended are counted as sent.
	for (uint32_t m = 0; m < l->msgs; m++) {
		for (uint32_t i = 0; i < l->end; i++)
			shape_node_sent(sh, l->n[i], m == 0 ? l->bytes : 0, true);
	}
	leave(sh, l, 0, l->end, tried);
	link_out(l);
	source_event(sh, l);
	shape_slab_put(&sh->links, l);
	pen_shape_site_put(sh, c->site);
	c->link = NULL;
	c->site = NULL;
}

// ---- messages

static bool may_send_at(struct pen_shape *sh, struct pen_shape_node *n, struct pen_shape_site *s,
	uint64_t bytes, struct pen_shape_block *why)
{
	return (n->flags & N_SEND_MASK) == 0 || shape_node_may(sh, n, Q_SEND, bytes, s, why);
}

static bool may_send_owner(struct pen_shape *sh, struct owner *o, struct pen_shape_site *s,
	uint64_t bytes, struct pen_shape_block *why)
{
	return o == NULL || (o->node.flags & (N_SEND_MASK | N_CONNS)) == 0 ||
	       shape_node_may(sh, &o->node, Q_SEND, bytes, s, why);
}

static bool may_send_class(struct pen_shape *sh, struct pen_shape_class *k,
	struct pen_shape_site *s, uint64_t bytes, struct pen_shape_block *why)
{
	return k == NULL || (may_send_owner(sh, k->tenant, s, bytes, why) &&
				    may_send_owner(sh, k->campaign, s, bytes, why));
}

bool pen_shape_send(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	uint64_t bytes, pen_time_us now, struct pen_shape_block *why)
{
	struct pen_shape_link *l = c->link;

	shape_clock(sh, now);
	for (uint32_t i = 0; i < l->end; i++) {
		if (!may_send_at(sh, l->n[i], c->site, bytes, why))
			return false;
	}
	if (!may_send_class(sh, k, c->site, bytes, why))
		return false;
	l->msgs++;
	l->bytes += bytes;
	sh->grants++;
	for (uint32_t i = 0; i < l->end; i++)
		shape_node_send(sh, l->n[i], bytes);
	if (k != NULL && k->tenant != NULL)
		shape_node_send(sh, &k->tenant->node, bytes);
	if (k != NULL && k->campaign != NULL)
		shape_node_send(sh, &k->campaign->node, bytes);
	return true;
}

bool pen_shape_may_send(struct pen_shape *sh, struct pen_shape_site *site,
	struct pen_shape_class *k, uint64_t bytes, pen_time_us now, struct pen_shape_block *why)
{
	struct provider *pr = site->profile->provider;
	bool wake = sh->in_wake;

	shape_clock(sh, now);
	sh->in_wake = true;
	bool good = may_send_at(sh, &site->node, site, bytes, why) &&
		    (pr == NULL || may_send_at(sh, &pr->node, site, bytes, why)) &&
		    may_send_class(sh, k, site, bytes, why);
	sh->in_wake = wake;
	return good;
}

void pen_shape_done(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	uint64_t bytes, pen_time_us now, bool attempted)
{
	struct pen_shape_link *l = c->link;

	shape_clock(sh, now);
	if (k != NULL && k->tenant != NULL)
		shape_node_sent(sh, &k->tenant->node, bytes, attempted);
	if (k != NULL && k->campaign != NULL)
		shape_node_sent(sh, &k->campaign->node, bytes, attempted);
	if (l == NULL)
		return;
	PEN_ASSERT(l->msgs > 0 && l->bytes >= bytes);
	l->msgs--;
	l->bytes -= bytes;
	for (uint32_t i = 0; i < l->end; i++)
		shape_node_sent(sh, l->n[i], bytes, attempted);
	if (!attempted) // a warm-up's cap may have room again
		source_event(sh, l);
}

// ---- another configuration

void shape_links_take(struct pen_shape *sh, struct pen_shape_site *s)
{
	(void)sh;
	for (struct pen_shape_link *l = s->links; l != NULL; l = l->next) {
		for (uint32_t i = 0; i < l->end; i++)
			shape_node_move(l->n[i], l, false);
	}
}

void shape_links_put(struct pen_shape *sh, struct pen_shape_site *s)
{
	struct side d;

	sh->rebuilding = true;
	for (struct pen_shape_link *l = s->links; l != NULL; l = l->next) {
		add_common(sh, s, l);
		for (unsigned f = 0; f < 2; f++) {
			// Without memory for a node it counts where there is one.
			if (l->source[f] < 0)
				continue;
			if (!side_of(sh, s, (uint32_t)l->source[f], true, &d))
				side_of(sh, s, (uint32_t)l->source[f], false, &d);
			add_side(l, f, &d);
		}
		for (uint32_t i = 0; i < l->end; i++) {
			l->n[i]->flags &= (uint16_t)~N_FRESH;
			shape_node_move(l->n[i], l, true);
		}
	}
	sh->rebuilding = false;
}
