// SPDX-License-Identifier: BSD-3-Clause

// What waits at a site: flows, one for each campaign of a tenant and priority.
//
//   site -> priority (16 : 4 : 1) -> tenant (by weight) -> campaign (by weight)
//
// A share is counted in recipients: that is what receivers' limits count and what
// senders are judged by; in bytes, a tenant of large mail would get fewer of the
// site's scarce transactions than its weight says.
//
// Mail of normal priority, of no tenant and no campaign, has one flow that is part
// of the site. While a site has nothing else, nothing of the tree exists.
#include "core.h"

#include <stdlib.h>

static const uint32_t band_weight[PEN_PRIORITIES] = {
	[PEN_PRIORITY_NORMAL] = 4,
	[PEN_PRIORITY_HIGH] = 16,
	[PEN_PRIORITY_LOW] = 1,
};

void flow_init(struct flow *f, struct site *site, struct owner *o)
{
	*f = (struct flow){.site = site, .owner = o, .waiter.kind = WAITER_FLOW};
	link_init(&f->queue);
	link_init(&f->returned);
	pen_shape_waiter_init(&f->waiter.shape);
}

static void set_weights(const struct pen_sched *s, struct flow *f)
{
	if (s->cfg.shape == NULL)
		return;
	f->share.weight = pen_shape_campaign_weight(s->cfg.shape, f->owner->shape);
	f->stall->share.weight = pen_shape_tenant_weight(s->cfg.shape, f->owner->shape);
}

// It has something that may be sent, or no longer.
static void set_running(struct pen_sched *s, struct flow *f)
{
	if (f->site->bands == NULL)
		return;
	if (f->n == 0 || f->blocked) {
		share_leave(&f->share);
	} else if (!f->share.in) {
		set_weights(s, f);
		share_enter(&f->share);
	}
}

static bool make_bands(struct pen_sched *s, struct site *site)
{
	struct bands *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return false;
	share_init(&b->root, NULL, 1);
	for (unsigned i = 0; i < PEN_PRIORITIES; i++)
		share_init(&b->band[i], &b->root, band_weight[i]);
	share_init(&b->nobody.share, &b->band[PEN_PRIORITY_NORMAL], 1);
	b->nobody.site = site;
	b->nobody.tenant = s->nobody->tenant;
	b->nobody.refs = 1;
	site->plain.stall = &b->nobody;
	share_init(&site->plain.share, &b->nobody.share, 1);
	site->bands = b;
	set_running(s, &site->plain);
	return true;
}

static uint64_t mix(const struct pen_sched *s, const void *a, const void *b, unsigned c)
{
	const void *key[3] = {a, b, (const void *)(uintptr_t)c};

	return pen_siphash(&s->key, key, sizeof(key));
}

// A reference.
static struct stall *stall_get(
	struct pen_sched *s, struct site *site, struct tenant *tenant, uint8_t priority)
{
	struct bands *b = site->bands;
	uint64_t hash = mix(s, site, tenant, priority);

	if (tenant == b->nobody.tenant && priority == PEN_PRIORITY_NORMAL) {
		b->nobody.refs++;
		return &b->nobody;
	}
	for (struct table_node *n = table_chain(&s->stalls, hash); n != NULL; n = n->next) {
		struct stall *t = LINK_OF(n, struct stall, node);
		if (n->hash == hash && t->site == site && t->tenant == tenant &&
			t->priority == priority) {
			t->refs++;
			return t;
		}
	}
	struct stall *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	share_init(&t->share, &b->band[priority], 1);
	t->site = site;
	t->tenant = tenant_ref(tenant);
	t->priority = priority;
	t->refs = 1;
	t->node.hash = hash;
	table_put(&s->stalls, &t->node);
	return t;
}

static void stall_put(struct pen_sched *s, struct stall *t)
{
	if (--t->refs > 0 || t == &t->site->bands->nobody)
		return;
	table_remove(&s->stalls, &t->node);
	tenant_put(s, t->tenant);
	free(t);
}

static struct flow *flow_new(
	struct pen_sched *s, struct site *site, struct owner *o, uint8_t priority, uint64_t hash)
{
	struct flow *f = malloc(sizeof(*f));
	struct stall *t = f != NULL && (site->bands != NULL || make_bands(s, site))
				  ? stall_get(s, site, o->tenant, priority)
				  : NULL;

	if (t == NULL) {
		free(f);
		return NULL;
	}
	flow_init(f, site, o);
	o->refs++;
	f->priority = priority;
	f->stall = t;
	share_init(&f->share, &t->share, 1);
	f->node.hash = hash;
	table_put(&s->flows, &f->node);
	site->nflows++;
	link_push_back(&s->idle_flows, &f->reap);
	return f;
}

static void flow_free(struct pen_sched *s, struct flow *f)
{
	PEN_ASSERT(f->n == 0 && !f->blocked);
	link_remove(&f->reap);
	table_remove(&s->flows, &f->node);
	stall_put(s, f->stall);
	owner_put(s, f->owner);
	f->site->nflows--;
	free(f);
}

struct flow *flow_find(struct pen_sched *s, struct site *site, const struct pen_mail_class *k)
{
	if (k->tenant.n + k->campaign.n == 0 && k->priority == PEN_PRIORITY_NORMAL)
		return &site->plain;
	struct owner *o = owner_get(s, k);
	uint64_t hash = mix(s, site, o, k->priority);
	struct flow *f = NULL;
	for (struct table_node *n = table_chain(&s->flows, hash); n != NULL; n = n->next) {
		struct flow *have = LINK_OF(n, struct flow, node);
		if (n->hash == hash && have->site == site && have->owner == o &&
			have->priority == k->priority)
			f = have;
	}
	if (f == NULL)
		f = flow_new(s, site, o, k->priority, hash);
	owner_put(s, o);
	return f != NULL ? f : &site->plain;
}

// Flows that had no mail since the last poll: those of busy sites stay a while.
uint32_t flow_reap(struct pen_sched *s)
{
	uint32_t n = 0;
	struct link *next;

	for (struct link *i = s->idle_flows.next; i != &s->idle_flows; i = next, n++) {
		next = i->next;
		struct flow *f = LINK_OF(i, struct flow, reap);
		struct site *site = f->site;
		flow_free(s, f);
		site_maybe_reap(s, site);
	}
	return n;
}

void flow_free_all(struct pen_sched *s, struct site *site)
{
	PEN_ASSERT(site->nflows == 0);
	if (site->plain.blocked)
		flow_unblock(s, &site->plain);
	free(site->bands);
	site->bands = NULL;
}

static void count(struct pen_sched *s, struct flow *f, int by)
{
	struct site *site = f->site;
	bool was = f->n > 0;

	f->n += (uint32_t)by;
	site->queued += (uint32_t)by;
	if (f->blocked)
		site->blocked += (uint32_t)by;
	if (was == (f->n > 0))
		return;
	if (f->n > 0) {
		link_push_back(&site->flows, &f->all);
		link_remove(&f->reap);
	} else {
		link_remove(&f->all);
		if (f->blocked)
			flow_unblock(s, f);
		if (f != &site->plain)
			link_push_back(&s->idle_flows, &f->reap);
	}
	set_running(s, f);
}

static void count_waiting(struct flow *f, int by)
{
	f->nwaiting += (uint32_t)by;
	f->site->waiting += (uint32_t)by;
	if (f->nwaiting == 0)
		link_remove(&f->refill);
	else if (!link_in(&f->refill))
		link_push_back(&f->site->refill, &f->refill);
}

void flow_add_job(struct pen_sched *s, struct flow *f, struct job *j)
{
	j->ware.at = (uintptr_t)f | WARE_FLOW | WARE_JOB;
	j->state = JOB_READY;
	j->site = f->site;
	if (j->front) {
		link_push_back(&f->returned, &j->ware.link);
		f->site->made++;
	} else {
		pile_add(f, j);
	}
	j->front = false;
	s->jobs_ready++;
	count(s, f, 1);
}

void flow_add_entry(struct pen_sched *s, struct flow *f, struct entry *e)
{
	entry_wait(s, e);
	e->ware.at = (uintptr_t)f | WARE_FLOW;
	link_push_back(&f->queue, &e->ware.link);
	if (f->waiting == NULL)
		f->waiting = e;
	count_waiting(f, 1);
	count(s, f, 1);
}

// Jobs of messages with several next hops may stand between.
static void next_waiting(struct flow *f)
{
	struct link *i = f->waiting->ware.link.next;

	while (i != &f->queue && ware_is_job(LINK_OF(i, struct ware, link)))
		i = i->next;
	f->waiting = i != &f->queue ? LINK_OF(i, struct entry, ware.link) : NULL;
}

static void unlink_entry(struct flow *f, struct entry *e)
{
	if (f->waiting == e) {
		next_waiting(f);
		// Its turn comes next; and the one behind it is found through it.
		if (f->waiting != NULL) {
			__builtin_prefetch(f->waiting->m);
			__builtin_prefetch(f->waiting->ware.link.next, 1);
		}
	}
	link_remove(&e->ware.link);
	count_waiting(f, -1);
}

void flow_take(struct pen_sched *s, struct flow *f, struct ware *w)
{
	struct site *site = f->site;

	if (ware_is_job(w)) {
		struct job *j = LINK_OF(w, struct job, ware);
		site->made -= pile_take(j);
		j->state = JOB_NEW;
		s->jobs_ready--;
	} else {
		unlink_entry(f, LINK_OF(w, struct entry, ware));
	}
	w->at = 0;
	count(s, f, -1);
	site_maybe_reap(s, site);
}

void flow_replace(struct pen_sched *s, struct entry *e, struct job *j)
{
	struct flow *f = ware_flow(&e->ware);

	j->ware.at = (uintptr_t)f | WARE_FLOW | WARE_JOB;
	j->state = JOB_READY;
	j->site = f->site;
	link_put(&e->ware.link, &j->ware.link);
	unlink_entry(f, e);
	e->ware.at = 0;
	f->site->made++;
	s->jobs_ready++;
}

struct flow *flow_next(const struct site *site)
{
	if (site->bands != NULL) {
		struct share *leaf = share_pick(&site->bands->root);
		return leaf != NULL ? LINK_OF(leaf, struct flow, share) : NULL;
	}
	const struct flow *f = &site->plain;
	return f->n > 0 && !f->blocked ? (struct flow *)f : NULL;
}

void flow_charge(struct pen_sched *s, struct flow *f, uint32_t nrcpt)
{
	if (f->site->bands == NULL)
		return;
	set_weights(s, f);
	share_charge(&f->share, nrcpt);
}

void flow_block(struct pen_sched *s, struct flow *f, const struct pen_shape_block *b)
{
	pen_shape_wait(s->cfg.shape, &f->waiter.shape, b);
	if (f->blocked)
		return;
	f->blocked = true;
	f->site->blocked += f->n;
	set_running(s, f);
}

void flow_unblock(struct pen_sched *s, struct flow *f)
{
	pen_shape_cancel(s->cfg.shape, &f->waiter.shape);
	if (!f->blocked)
		return;
	f->blocked = false;
	f->site->blocked -= f->n;
	set_running(s, f);
}
