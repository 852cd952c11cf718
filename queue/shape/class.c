// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// Tenants and campaigns, and what a class of mail has of both. They live as long as the
// shape: there are as many as operators name.

void shape_owner_configure(struct pen_shape *sh, struct owner *o)
{
	bool tenant = o->node.kind == PEN_HELD_TENANT;

	o->cfg = shape_find_owner(sh->index, tenant, o->name, o->tenant);
	shape_node_refresh(sh, &o->node, false);
}

static struct owner *owner_get(
	struct pen_shape *sh, unsigned kind, struct pen_span name, struct pen_span tenant)
{
	uint64_t hash = shape_hash(shape_hash(sh->seed + kind, tenant), name);

	for (struct hent *e = shape_htab_chain(&sh->owners, hash); e != NULL; e = e->next) {
		struct owner *o = container(e, struct owner, hent);
		if (e->hash == hash && o->node.kind == kind &&
			pen_span_ieq(pen_span_cstr(o->name), name) &&
			pen_span_ieq(pen_span_cstr(o->tenant), tenant))
			return o;
	}
	struct owner *o = calloc(1, sizeof(*o) + name.n + tenant.n + 2);
	if (o == NULL || !shape_node_init(sh, &o->node, kind)) {
		free(o);
		return NULL;
	}
	o->name = (char *)(o + 1);
	o->tenant = o->name + name.n + 1;
	if (name.n > 0)
		memcpy(o->name, name.p, name.n);
	if (tenant.n > 0)
		memcpy(o->tenant, tenant.p, tenant.n);
	o->hent.hash = hash;
	shape_htab_put(&sh->owners, &o->hent);
	if (shape_suspension_named(
		    sh, kind == PEN_HELD_TENANT ? PEN_SUSPEND_TENANT : PEN_SUSPEND_CAMPAIGN, name))
		o->node.flags |= N_SUSP;
	shape_owner_configure(sh, o);
	return o;
}

static int32_t pool_named(const struct pen_shape *sh, struct pen_span name)
{
	for (uint32_t i = 0; name.n > 0 && i < sh->cfg->npools; i++) {
		if (pen_span_ieq(pen_span_cstr(sh->pool[i].name), name))
			return (int32_t)i;
	}
	return -1;
}

static int32_t owner_pool(const struct pen_shape *sh, const struct owner *o)
{
	return o != NULL && o->cfg != NULL && o->cfg->pool != NULL
		       ? pool_named(sh, pen_span_cstr(o->cfg->pool))
		       : -1;
}

// What the mail names, its campaign's, its tenant's, the default one.
static void class_configure(struct pen_shape *sh, struct pen_shape_class *k)
{
	int32_t pool = pool_named(sh, k->key[2]);

	if (pool < 0)
		pool = owner_pool(sh, k->campaign);
	if (pool < 0)
		pool = owner_pool(sh, k->tenant);
	k->pool = pool < 0 ? 0 : (uint32_t)pool;
}

static struct pen_shape_class *class_new(
	struct pen_shape *sh, const struct pen_mail_class *m, uint64_t hash)
{
	struct pen_shape_class *k = calloc(1, sizeof(*k) + m->tenant.n + m->campaign.n + m->pool.n);
	const struct pen_span from[3] = {m->tenant, m->campaign, m->pool};

	if (k == NULL)
		return NULL;
	if (m->tenant.n > 0)
		k->tenant = owner_get(sh, PEN_HELD_TENANT, m->tenant, PEN_SPAN_LIT(""));
	if (m->campaign.n > 0)
		k->campaign = owner_get(sh, PEN_HELD_CAMPAIGN, m->campaign, m->tenant);
	if ((m->tenant.n > 0 && k->tenant == NULL) || (m->campaign.n > 0 && k->campaign == NULL)) {
		free(k);
		return NULL;
	}
	uint8_t *at = (uint8_t *)(k + 1);
	for (unsigned i = 0; i < 3; i++) {
		if (from[i].n > 0)
			memcpy(at, from[i].p, from[i].n);
		k->key[i] = pen_span(at, from[i].n);
		at += from[i].n;
	}
	k->hent.hash = hash;
	class_configure(sh, k);
	shape_htab_put(&sh->classes, &k->hent);
	return k;
}

struct pen_shape_class *pen_shape_class_get(struct pen_shape *sh, const struct pen_mail_class *m)
{
	uint64_t hash = shape_hash(sh->seed, m->tenant);

	hash = shape_hash(shape_hash(hash, m->campaign), m->pool);
	for (struct hent *e = shape_htab_chain(&sh->classes, hash); e != NULL; e = e->next) {
		struct pen_shape_class *k = container(e, struct pen_shape_class, hent);
		if (e->hash == hash && pen_span_eq(k->key[0], m->tenant) &&
			pen_span_eq(k->key[1], m->campaign) && pen_span_eq(k->key[2], m->pool))
			return k;
	}
	return class_new(sh, m, hash);
}

uint32_t pen_shape_class_pool(const struct pen_shape *sh, const struct pen_shape_class *k)
{
	(void)sh;
	return k->pool;
}

static uint32_t weight(const struct owner *o)
{
	return o != NULL && o->cfg != NULL && o->cfg->weight > 0 ? o->cfg->weight : 10;
}

uint32_t pen_shape_tenant_weight(const struct pen_shape *sh, const struct pen_shape_class *k)
{
	(void)sh;
	return weight(k->tenant);
}

uint32_t pen_shape_campaign_weight(const struct pen_shape *sh, const struct pen_shape_class *k)
{
	(void)sh;
	return weight(k->campaign);
}

void shape_classes_configure(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->owners.mask; i++) {
		for (struct hent *e = sh->owners.bucket[i]; e != NULL; e = e->next)
			shape_owner_configure(sh, container(e, struct owner, hent));
	}
	for (uint32_t i = 0; i <= sh->classes.mask; i++) {
		for (struct hent *e = sh->classes.bucket[i]; e != NULL; e = e->next)
			class_configure(sh, container(e, struct pen_shape_class, hent));
	}
}

void shape_classes_free(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->classes.mask; i++) {
		while (sh->classes.bucket[i] != NULL) {
			struct hent *e = sh->classes.bucket[i];
			sh->classes.bucket[i] = e->next;
			free(container(e, struct pen_shape_class, hent));
		}
	}
	for (uint32_t i = 0; i <= sh->owners.mask; i++) {
		while (sh->owners.bucket[i] != NULL) {
			struct owner *o = container(sh->owners.bucket[i], struct owner, hent);
			sh->owners.bucket[i] = o->hent.next;
			shape_node_fini(sh, &o->node);
			free(o);
		}
	}
	shape_htab_fini(&sh->classes);
	shape_htab_fini(&sh->owners);
}
