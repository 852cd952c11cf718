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
// of the site. While a site has nothing else, nothing of the tree exists. A tenant
// with one campaign at a site has no node of its own: its flow stands for it.
#include "core.h"

#include <stdlib.h>

_Static_assert(sizeof(struct flow) <= 160, "a class of jemalloc");

static const uint32_t band_weight[PEN_PRIORITIES] = {
	[PEN_PRIORITY_NORMAL] = 4,
	[PEN_PRIORITY_HIGH] = 16,
	[PEN_PRIORITY_LOW] = 1,
};

void flow_init(struct flow *f, struct site *site, struct owner *o)
{
	*f = (struct flow){.site = site, .owner = o};
	link_init(&f->queue);
	link_init(&f->returned);
}

static struct stall *stall_of(const struct flow *f)
{
	return LINK_OF(f->share.parent, struct stall, share);
}

static void set_weights(const struct pen_sched *s, struct flow *f)
{
	if (s->cfg.shape == NULL)
		return;
	uint32_t tenant = pen_shape_tenant_weight(s->cfg.shape, f->owner->shape);
	if (f->lone) {
		f->share.weight = tenant;
		return;
	}
	f->share.weight = pen_shape_campaign_weight(s->cfg.shape, f->owner->shape);
	stall_of(f)->share.share.weight = tenant;
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
	share_node_init(&b->root, NULL, 1);
	for (unsigned i = 0; i < PEN_PRIORITIES; i++)
		share_node_init(&b->band[i], &b->root, band_weight[i]);
	share_node_init(&b->nobody.share, &b->band[PEN_PRIORITY_NORMAL], 1);
	b->nobody.site = site;
	b->nobody.tenant = s->nobody->tenant;
	b->nobody.refs = 1;
	share_init(&site->plain.share, &b->nobody.share, 1);
	site->bands = b;
	set_running(s, &site->plain);
	return true;
}

// What a node of pen_sched.stalls is part of; the low bits are the hash.
#define NODE_IS_FLOW ((uint64_t)1 << 63)

// Of addresses, which nobody outside can choose.
static uint64_t mix(const void *a, const void *b, unsigned c)
{
	uint64_t h = ((uintptr_t)a >> 4) * 0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32 ^ (uintptr_t)b >> 4 ^ (uint64_t)c << 60) * 0xbf58476d1ce4e5b9ull;
	return (h ^ h >> 32) & ~NODE_IS_FLOW;
}

static bool is_nobody(const struct site *site, const struct tenant *tenant, uint8_t priority)
{
	return tenant == site->bands->nobody.tenant && priority == PEN_PRIORITY_NORMAL;
}

static struct tenant *tenant_of(const struct table_node *n)
{
	return n->hash & NODE_IS_FLOW ? LINK_OF(n, struct flow, node)->owner->tenant
				      : LINK_OF(n, struct stall, node)->tenant;
}

// The tenant's stall, or its only flow, at this site; NULL: there is none.
static struct table_node *find_tenant(
	struct pen_sched *s, const struct site *site, const struct tenant *tenant, uint8_t priority)
{
	uint64_t hash = mix(site, tenant, priority);

	for (struct table_node *n = table_chain(&s->stalls, hash); n != NULL; n = n->next) {
		if ((n->hash & ~NODE_IS_FLOW) != hash)
			continue;
		const struct flow *f = LINK_OF(n, struct flow, node);
		const struct stall *t = LINK_OF(n, struct stall, node);
		bool lone = (n->hash & NODE_IS_FLOW) != 0;
		if ((lone ? f->site : t->site) == site &&
			(lone ? f->priority : t->priority) == priority && tenant_of(n) == tenant)
			return n;
	}
	return NULL;
}

// In its tenant's stall.
static struct flow *find_among(
	struct pen_sched *s, const struct site *site, const struct owner *o, uint8_t priority)
{
	uint64_t hash = mix(site, o, priority);

	for (struct table_node *n = table_chain(&s->flows, hash); n != NULL; n = n->next) {
		struct flow *f = LINK_OF(n, struct flow, node);
		if (n->hash == hash && f->site == site && f->owner == o && f->priority == priority)
			return f;
	}
	return NULL;
}

static struct flow *flow_lookup(
	struct pen_sched *s, const struct site *site, const struct owner *o, uint8_t priority)
{
	if (site->bands == NULL)
		return NULL;
	if (is_nobody(site, o->tenant, priority))
		return find_among(s, site, o, priority);
	struct table_node *n = find_tenant(s, site, o->tenant, priority);
	if (n == NULL || !(n->hash & NODE_IS_FLOW))
		return n != NULL ? find_among(s, site, o, priority) : NULL;
	struct flow *f = LINK_OF(n, struct flow, node);
	return f->owner == o ? f : NULL;
}

static void stall_add(struct pen_sched *s, struct stall *t, struct flow *f)
{
	t->refs++;
	f->lone = false;
	f->node.hash = mix(f->site, f->owner, f->priority);
	table_put(&s->flows, &f->node);
}

// The lone flow gets company: a stall takes its place. NULL: no memory.
static struct stall *stall_make(struct pen_sched *s, struct flow *lone)
{
	struct stall *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->site = lone->site;
	t->tenant = tenant_ref(lone->owner->tenant);
	t->priority = lone->priority;
	share_insert(&t->share, &lone->share, 1);
	table_remove(&s->stalls, &lone->node);
	t->node.hash = mix(t->site, t->tenant, t->priority);
	table_put(&s->stalls, &t->node);
	stall_add(s, t, lone);
	set_weights(s, lone);
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

// False: no memory.
static bool join_tenant(struct pen_sched *s, struct flow *f)
{
	struct tenant *tenant = f->owner->tenant;
	struct bands *b = f->site->bands;
	bool nobody = is_nobody(f->site, tenant, f->priority);
	struct table_node *n = nobody ? NULL : find_tenant(s, f->site, tenant, f->priority);
	struct stall *t = &b->nobody;

	if (!nobody && n == NULL) {
		f->lone = true;
		share_init(&f->share, &b->band[f->priority], 1);
		f->node.hash = mix(f->site, tenant, f->priority) | NODE_IS_FLOW;
		table_put(&s->stalls, &f->node);
		return true;
	}
	if (n != NULL)
		t = n->hash & NODE_IS_FLOW ? stall_make(s, LINK_OF(n, struct flow, node))
					   : LINK_OF(n, struct stall, node);
	if (t == NULL)
		return false;
	share_init(&f->share, &t->share, 1);
	stall_add(s, t, f);
	return true;
}

static struct flow *flow_new(
	struct pen_sched *s, struct site *site, struct owner *o, uint8_t priority)
{
	struct flow *f = malloc(sizeof(*f));

	if (f == NULL || (site->bands == NULL && !make_bands(s, site))) {
		free(f);
		return NULL;
	}
	flow_init(f, site, o);
	f->priority = priority;
	if (!join_tenant(s, f)) {
		free(f);
		return NULL;
	}
	o->refs++;
	site->nflows++;
	link_push_back(&s->idle_flows, &f->all);
	return f;
}

static void flow_free(struct pen_sched *s, struct flow *f)
{
	PEN_ASSERT(f->n == 0 && !f->blocked && !f->share.in);
	link_remove(&f->all);
	if (f->lone) {
		table_remove(&s->stalls, &f->node);
	} else {
		table_remove(&s->flows, &f->node);
		stall_put(s, stall_of(f));
	}
	owner_put(s, f->owner);
	f->site->nflows--;
	free(f->wait);
	free(f);
}

struct flow *flow_find(struct pen_sched *s, struct site *site, const struct pen_mail_class *k)
{
	if (k->tenant.n + k->campaign.n == 0 && k->priority == PEN_PRIORITY_NORMAL)
		return &site->plain;
	struct owner *o = owner_get(s, k);
	struct flow *f = flow_lookup(s, site, o, k->priority);
	if (f == NULL)
		f = flow_new(s, site, o, k->priority);
	owner_put(s, o);
	return f != NULL ? f : &site->plain;
}

// What the end of an idle flow will touch, and where the one behind it is.
static void prefetch_end(const struct pen_sched *s, const struct link *i)
{
	const struct flow *f = LINK_OF(i, struct flow, all);

	if (i == &s->idle_flows)
		return;
	table_prefetch(f->lone ? &s->stalls : &s->flows, f->node.hash);
	__builtin_prefetch(i->next);
	__builtin_prefetch(&LINK_OF(i->next, struct flow, all)->node);
}

// Flows that had no mail since the last poll: those of busy sites stay a while.
uint32_t flow_reap(struct pen_sched *s)
{
	uint32_t n = 0;
	struct link *next;

	for (struct link *i = s->idle_flows.next; i != &s->idle_flows; i = next, n++) {
		next = i->next;
		prefetch_end(s, next);
		struct flow *f = LINK_OF(i, struct flow, all);
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
	free(site->plain.wait);
	site->plain.wait = NULL;
	free(site->bands);
	site->bands = NULL;
}

// The list that it belongs to; NULL: none.
static struct link *place_of(struct pen_sched *s, const struct flow *f)
{
	if (f->nwaiting > 0)
		return &f->site->refill;
	if (f->n > 0)
		return &f->site->flows;
	return f != &f->site->plain ? &s->idle_flows : NULL;
}

// So many more or less; of these, without a job.
static void count(struct pen_sched *s, struct flow *f, int by, int waiting)
{
	struct site *site = f->site;
	struct link *place = place_of(s, f);
	bool was = f->n > 0;

	f->n += (uint32_t)by;
	site->queued += (uint32_t)by;
	if (f->blocked)
		site->blocked += (uint32_t)by;
	f->nwaiting += (uint32_t)waiting;
	site->waiting += (uint32_t)waiting;
	if (place_of(s, f) != place) {
		link_remove(&f->all);
		if (place_of(s, f) != NULL)
			link_push_back(place_of(s, f), &f->all);
	}
	if (was == (f->n > 0))
		return;
	if (f->n == 0 && f->blocked)
		flow_unblock(s, f);
	set_running(s, f);
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
	count(s, f, 1, 0);
}

void flow_add_entry(struct pen_sched *s, struct flow *f, struct entry *e)
{
	entry_wait(s, e);
	e->ware.at = (uintptr_t)f | WARE_FLOW;
	link_push_back(&f->queue, &e->ware.link);
	if (f->waiting == NULL)
		f->waiting = e;
	count(s, f, 1, 1);
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
}

void flow_take(struct pen_sched *s, struct flow *f, struct ware *w)
{
	struct site *site = f->site;
	bool waiting = !ware_is_job(w);

	if (!waiting) {
		struct job *j = LINK_OF(w, struct job, ware);
		site->made -= pile_take(j);
		j->state = JOB_NEW;
		s->jobs_ready--;
	} else {
		unlink_entry(f, LINK_OF(w, struct entry, ware));
	}
	w->at = 0;
	count(s, f, -1, waiting ? -1 : 0);
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
	count(s, f, 0, -1);
	f->site->made++;
	s->jobs_ready++;
}

void flow_charge(struct pen_sched *s, struct flow *f, uint32_t nrcpt)
{
	if (f->site->bands == NULL)
		return;
	set_weights(s, f);
	share_charge(&f->share, nrcpt);
}

// It stays with the flow: what hangs in shaping may be under way to be woken.
static struct flow_wait *wait_of(struct flow *f)
{
	if (f->wait == NULL)
		f->wait = malloc(sizeof(*f->wait));
	else
		return f->wait;
	if (f->wait != NULL) {
		*f->wait = (struct flow_wait){.waiter.kind = WAITER_FLOW, .flow = f};
		pen_shape_waiter_init(&f->wait->waiter.shape);
	}
	return f->wait;
}

void flow_block(struct pen_sched *s, struct flow *f, const struct pen_shape_block *b)
{
	struct flow_wait *w = wait_of(f);

	pen_shape_wait(s->cfg.shape, w != NULL ? &w->waiter.shape : &f->site->sender.shape, b);
	if (f->blocked || w == NULL)
		return;
	f->blocked = true;
	f->site->blocked += f->n;
	set_running(s, f);
}

void flow_unblock(struct pen_sched *s, struct flow *f)
{
	if (f->wait != NULL)
		pen_shape_cancel(s->cfg.shape, &f->wait->waiter.shape);
	if (!f->blocked)
		return;
	f->blocked = false;
	f->site->blocked -= f->n;
	set_running(s, f);
}
