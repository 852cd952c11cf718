// SPDX-License-Identifier: BSD-3-Clause

// Whose mail it is: tenants and campaigns, as many as have mail here now.
#include "core.h"

#include <stdlib.h>

static uint64_t hash_name(const struct pen_sched *s, struct pen_span name)
{
	return pen_siphash(&s->key, name.p, name.n);
}

static struct tenant *tenant_get(struct pen_sched *s, struct pen_span name)
{
	uint64_t hash = hash_name(s, name);

	for (struct table_node *n = table_chain(&s->tenants, hash); n != NULL; n = n->next) {
		struct tenant *t = LINK_OF(n, struct tenant, node);
		if (n->hash == hash && pen_span_eq(pen_span(t->name, t->len), name))
			return tenant_ref(t);
	}
	struct tenant *t = calloc(1, sizeof(*t) + name.n);
	if (t == NULL)
		return NULL;
	if (name.n > 0)
		memcpy(t->name, name.p, name.n);
	t->len = (uint32_t)name.n;
	t->refs = 1;
	t->node.hash = hash;
	link_init(&t->backlog);
	share_init(&t->share, &s->backlog, 1);
	table_put(&s->tenants, &t->node);
	return t;
}

struct tenant *tenant_ref(struct tenant *t)
{
	t->refs++;
	return t;
}

void tenant_put(struct pen_sched *s, struct tenant *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	PEN_ASSERT(link_empty(&t->backlog));
	table_remove(&s->tenants, &t->node);
	free(t);
}

static struct owner *owner_find(struct pen_sched *s, const struct pen_mail_class *k)
{
	for (struct table_node *n = table_chain(&s->owners, k->owner_hash); n != NULL;
		n = n->next) {
		struct owner *o = LINK_OF(n, struct owner, node);
		if (n->hash == k->owner_hash &&
			pen_span_eq(pen_span(o->tenant->name, o->tenant->len), k->tenant) &&
			pen_span_eq(pen_span(o->name, o->len), k->campaign))
			return o;
	}
	return NULL;
}

static struct owner *owner_new(struct pen_sched *s, const struct pen_mail_class *k)
{
	struct owner *o = calloc(1, sizeof(*o) + k->campaign.n);

	if (o == NULL)
		return NULL;
	o->tenant = tenant_get(s, k->tenant);
	if (s->cfg.shape != NULL)
		o->shape = pen_shape_class_get(s->cfg.shape, k);
	if (o->tenant == NULL || (s->cfg.shape != NULL && o->shape == NULL)) {
		tenant_put(s, o->tenant);
		free(o);
		return NULL;
	}
	if (s->cfg.shape != NULL)
		o->tenant->share.weight = pen_shape_tenant_weight(s->cfg.shape, o->shape);
	if (k->campaign.n > 0)
		memcpy(o->name, k->campaign.p, k->campaign.n);
	o->len = (uint32_t)k->campaign.n;
	o->refs = 1;
	o->node.hash = k->owner_hash;
	table_put(&s->owners, &o->node);
	return o;
}

struct owner *owner_get(struct pen_sched *s, const struct pen_mail_class *k)
{
	struct owner *o = s->nobody;

	if (o == NULL || k->tenant.n + k->campaign.n > 0) {
		o = owner_find(s, k);
		if (o == NULL) {
			o = owner_new(s, k);
			if (o != NULL)
				return o;
			o = s->nobody;
		}
	}
	if (o != NULL)
		o->refs++;
	return o;
}

void owner_put(struct pen_sched *s, struct owner *o)
{
	if (o == NULL || --o->refs > 0)
		return;
	table_remove(&s->owners, &o->node);
	tenant_put(s, o->tenant);
	free(o);
}

// The pool that the class names, or that its campaign or tenant has.
uint32_t owner_pool(struct pen_sched *s, const struct pen_mail_class *k)
{
	if (s->cfg.shape == NULL)
		return 0;
	const struct pen_shape_config *cfg = pen_shape_config_of(s->cfg.shape);
	for (uint32_t i = 0; k->pool.n > 0 && i < cfg->npools; i++) {
		if (pen_span_eq(pen_span_cstr(cfg->pool[i].name), k->pool))
			return i;
	}
	struct owner *o = owner_get(s, k);
	uint32_t pool = pen_shape_class_pool(s->cfg.shape, o->shape);
	owner_put(s, o);
	return pool;
}

bool owners_init(struct pen_sched *s)
{
	share_node_init(&s->backlog, NULL, 1);
	if (!table_init(&s->owners, 64) || !table_init(&s->tenants, 64) ||
		!table_init(&s->flows, 64) || !table_init(&s->stalls, 64))
		return false;
	s->nobody = owner_get(s, &pen_mail_class_none);
	return s->nobody != NULL;
}

void owners_fini(struct pen_sched *s)
{
	owner_put(s, s->nobody);
	table_fini(&s->owners);
	table_fini(&s->tenants);
	table_fini(&s->flows);
	table_fini(&s->stalls);
}
