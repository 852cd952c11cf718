// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <errno.h>

// ---- providers: few, and kept once they were named

struct provider *shape_provider_get(struct pen_shape *sh, struct pen_span name, bool make)
{
	uint64_t hash = shape_hash(sh->seed, name);

	for (struct hent *e = shape_htab_chain(&sh->providers, hash); e != NULL; e = e->next) {
		struct provider *p = container(e, struct provider, hent);
		if (e->hash == hash && pen_span_ieq(pen_span_cstr(p->name), name))
			return p;
	}
	if (!make)
		return NULL;
	struct provider *p = calloc(1, sizeof(*p) + name.n + 1);
	if (p == NULL || !shape_node_init(sh, &p->node, PEN_HELD_PROVIDER)) {
		free(p);
		return NULL;
	}
	memcpy(p->name, name.p, name.n);
	p->hent.hash = hash;
	p->cfg = p->cfg_next = NO_SECTION;
	shape_htab_put(&sh->providers, &p->hent);
	shape_effects_restore(sh, &p->node);
	return p;
}

// ---- a source at a site or provider

static uint64_t at_hash(
	const struct pen_shape *sh, unsigned kind, uint32_t source, const void *where)
{
	return shape_hash_mix(sh->seed ^ (uintptr_t)where ^ ((uint64_t)source << 40) ^ kind);
}

struct at_node *shape_at_get(struct pen_shape *sh, unsigned kind, uint32_t source,
	struct pen_shape_site *site, struct provider *pr, bool make)
{
	void *where = pr != NULL ? (void *)pr : (void *)site;
	uint64_t hash = at_hash(sh, kind, source, where);

	for (struct hent *e = shape_htab_chain(&sh->ats, hash); e != NULL; e = e->next) {
		struct at_node *a = container(e, struct at_node, hent);
		if (e->hash == hash && a->where == where && a->source == source &&
			a->node.kind == kind)
			return a;
	}
	if (!make)
		return NULL;
	struct at_node *a = shape_slab_get(&sh->ats_slab);
	if (a == NULL)
		return NULL;
	memset(a, 0, sizeof(*a));
	if (!shape_node_init(sh, &a->node, kind)) {
		shape_slab_put(&sh->ats_slab, a);
		return NULL;
	}
	struct at_node **list = pr != NULL ? &pr->ats : &site->ats;
	a->hent.hash = hash;
	a->source = source;
	a->where = where;
	a->at_provider = pr != NULL;
	a->next = *list;
	*list = a;
	shape_htab_put(&sh->ats, &a->hent);
	if (kind == PEN_HELD_WARMUP) {
		a->node.flags |= N_WARM;
		a->next_warm = sh->warms;
		a->at_warm = &sh->warms;
		if (a->next_warm != NULL)
			a->next_warm->at_warm = &a->next_warm;
		sh->warms = a;
	} else {
		shape_node_refresh(sh, &a->node, !sh->rebuilding);
	}
	return a;
}

void shape_at_free(struct pen_shape *sh, struct at_node *a)
{
	if (a->node.kind == PEN_HELD_WARMUP) {
		*a->at_warm = a->next_warm;
		if (a->next_warm != NULL)
			a->next_warm->at_warm = a->at_warm;
	}
	shape_htab_remove(&sh->ats, &a->hent);
	shape_node_fini(sh, &a->node);
	shape_slab_put(&sh->ats_slab, a);
}

// ---- sites

struct pen_shape_site *shape_site_find(struct pen_shape *sh, struct pen_span name)
{
	uint64_t hash = shape_hash(sh->seed, name);

	for (struct hent *e = shape_htab_chain(&sh->sites, hash); e != NULL; e = e->next) {
		struct pen_shape_site *s = container(e, struct pen_shape_site, hent);
		if (e->hash == hash && pen_span_ieq(pen_span(s->name, s->len), name))
			return s;
	}
	return NULL;
}

bool shape_site_find_sections(
	const struct compiled *c, const struct pen_shape_site *s, struct found *f)
{
	*f = (struct found){.provider = NO_SECTION};
	shape_find_any(c, false, f);
	if (s->has_domain)
		shape_find_any(c, true, f);
	for (uint32_t i = 0; i < s->keys.cap; i++) {
		if (s->keys.k[i] != 0)
			shape_find(c, s->keys.k[i], f);
	}
	return !f->failed;
}

static bool add_keys(
	struct pen_shape *sh, struct pen_shape_site *s, enum name_kind kind, struct pen_span name)
{
	uint64_t keys[NAME_KEYS_MAX];
	uint32_t n = shape_name_keys(sh->seed, kind, name, keys);

	for (uint32_t i = 0; i < n; i++) {
		if (shape_keys_add(&s->keys, keys[i]) < 0)
			return false;
	}
	return true;
}

static struct pen_shape_site *site_new(
	struct pen_shape *sh, struct pen_span name, const struct pen_span *mx, uint32_t nmx)
{
	size_t size = (sizeof(struct pen_shape_site) + name.n + 64) & ~(size_t)63;
	struct pen_shape_site *s = aligned_alloc(64, size); // what counts in the first line
	struct found f = {0};

	if (s != NULL)
		memset(s, 0, size);
	if (s == NULL || !shape_node_init(sh, &s->node, PEN_HELD_SITE)) {
		free(s);
		return NULL;
	}
	memcpy(s->name, name.p, name.n);
	s->len = (uint16_t)name.n;
	s->hent.hash = shape_hash(sh->seed, name);
	// Spread evenly, so that sites with one connection use the sources by weight, too.
	s->turn = sh->phase;
	sh->phase += 0x9e3779b9u;
	bool good = true;
	for (uint32_t i = 0; i < nmx; i++)
		good = good && add_keys(sh, s, NAME_MX, mx[i]);
	good = good && shape_site_find_sections(sh->index, s, &f);
	if (good)
		s->profile = shape_profile(sh, &sh->profiles, sh->cfg, &f);
	free(f.site);
	if (s->profile == NULL) {
		shape_node_fini(sh, &s->node);
		free(s->keys.k);
		free(s);
		return NULL;
	}
	shape_htab_put(&sh->sites, &s->hent);
	if (shape_suspension_named(sh, PEN_SUSPEND_SITE, name))
		s->node.flags |= N_SUSP;
	shape_node_refresh(sh, &s->node, true);
	shape_effects_restore(sh, &s->node);
	return s;
}

static void idle_remove(struct pen_shape *sh, struct pen_shape_site *s)
{
	if (s->idle_at == NULL)
		return;
	*s->idle_at = s->idle_next;
	if (s->idle_next != NULL)
		s->idle_next->idle_at = s->idle_at;
	else
		sh->idle_end = s->idle_at;
	s->idle_at = NULL;
}

static void idle_add(struct pen_shape *sh, struct pen_shape_site *s)
{
	s->idle_since = sh->now;
	s->idle_next = NULL;
	s->idle_at = sh->idle_end;
	*sh->idle_end = s;
	sh->idle_end = &s->idle_next;
}

static struct pen_shape_site *site_take(struct pen_shape *sh, struct pen_shape_site *site)
{
	if (site->refs == 0)
		idle_remove(sh, site);
	site->refs++;
	return site;
}

struct pen_shape_site *pen_shape_site_get(struct pen_shape *sh, struct pen_span name,
	const struct pen_span *mx, uint32_t nmx, pen_time_us now)
{
	shape_clock(sh, now);
	if (name.n > PEN_SITE_NAME_MAX)
		name.n = PEN_SITE_NAME_MAX;
	struct pen_shape_site *s = shape_site_find(sh, name);
	if (s == NULL)
		s = site_new(sh, name, mx, nmx);
	return s != NULL ? site_take(sh, s) : NULL;
}

struct pen_shape_site *pen_shape_site_ref(struct pen_shape_site *site)
{
	PEN_ASSERT(site->refs > 0);
	site->refs++;
	return site;
}

void pen_shape_site_put(struct pen_shape *sh, struct pen_shape_site *site)
{
	if (site == NULL)
		return;
	PEN_ASSERT(site->refs > 0);
	if (--site->refs == 0)
		idle_add(sh, site);
}

void shape_site_free(struct pen_shape *sh, struct pen_shape_site *s)
{
	struct at_node *next;

	PEN_ASSERT(s->links == NULL);
	for (struct at_node *a = s->ats; a != NULL; a = next) {
		next = a->next;
		shape_at_free(sh, a);
	}
	idle_remove(sh, s);
	shape_htab_remove(&sh->sites, &s->hent);
	shape_node_fini(sh, &s->node);
	free(s->keys.k);
	free(s);
}

static bool site_busy(struct pen_shape *sh, struct pen_shape_site *s)
{
	if (shape_node_busy(sh, &s->node))
		return true;
	for (struct at_node *a = s->ats; a != NULL; a = a->next) {
		if (shape_node_busy(sh, &a->node) ||
			(a->node.kind == PEN_HELD_WARMUP && shape_warm_used(sh, a) > 0))
			return true;
	}
	return false;
}

// The oldest are in front. One that still counts for something waits another hour.
void shape_sites_sweep(struct pen_shape *sh)
{
	struct pen_shape_site *s;

	while ((s = sh->idle) != NULL && sh->now - s->idle_since >= SHAPE_IDLE) {
		if (!site_busy(sh, s)) {
			shape_site_free(sh, s);
			continue;
		}
		idle_remove(sh, s);
		idle_add(sh, s);
	}
}

void pen_shape_site_domain(
	struct pen_shape *sh, struct pen_shape_site *site, struct pen_span domain)
{
	uint64_t keys[NAME_KEYS_MAX];
	uint32_t n = shape_name_keys(sh->seed, NAME_DOMAIN, domain, keys);
	struct found f;

	if (n == 0 || shape_keys_has(&site->keys, keys[n - 1]))
		return;
	site->has_domain = true;
	if (!add_keys(sh, site, NAME_DOMAIN, domain) ||
		!shape_site_find_sections(sh->index, site, &f))
		return;
	struct profile *p = shape_profile(sh, &sh->profiles, sh->cfg, &f);
	free(f.site);
	if (p == NULL || p == site->profile)
		return;
	shape_links_take(sh, site);
	site->profile = p;
	shape_node_refresh(sh, &site->node, false);
	for (struct at_node *a = site->ats; a != NULL; a = a->next)
		shape_node_refresh(sh, &a->node, false);
	shape_links_put(sh, site);
}

struct pen_span pen_shape_site_name(const struct pen_shape_site *site)
{
	return pen_span(site->name, site->len);
}

const char *pen_shape_site_provider(const struct pen_shape_site *site)
{
	return site->profile->provider != NULL ? site->profile->provider->name : "";
}

static void least(struct pen_limits *to, const struct pen_limits *l)
{
	if ((l->given & PEN_LIMIT_CONNECTION_MESSAGES) &&
		((to->given & PEN_LIMIT_CONNECTION_MESSAGES) == 0 ||
			l->connection_messages < to->connection_messages))
		to->connection_messages = l->connection_messages;
	if ((l->given & PEN_LIMIT_RECIPIENTS) &&
		((to->given & PEN_LIMIT_RECIPIENTS) == 0 || l->recipients < to->recipients))
		to->recipients = l->recipients;
	if ((l->given & PEN_LIMIT_CONNECTION_TIME) &&
		((to->given & PEN_LIMIT_CONNECTION_TIME) == 0 ||
			l->connection_time < to->connection_time))
		to->connection_time = l->connection_time;
	if ((l->given & PEN_LIMIT_CONNECTIONS) &&
		((to->given & PEN_LIMIT_CONNECTIONS) == 0 || l->connections < to->connections))
		to->connections = l->connections;
	to->given |= l->given & (PEN_LIMIT_CONNECTION_MESSAGES | PEN_LIMIT_RECIPIENTS |
					PEN_LIMIT_CONNECTION_TIME | PEN_LIMIT_CONNECTIONS);
}

const struct pen_limits *pen_shape_site_limits(
	struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now)
{
	struct pen_shape_node *n = &site->node;
	struct provider *pr = site->profile->provider;

	shape_clock(sh, now);
	if ((n->flags & N_CALM) && n->calm_at <= now)
		shape_node_calm(sh, n, 0, 0, false);
	bool changed = (n->flags & (N_CALM | N_EXTRA)) != 0 ||
		       (pr != NULL && (pr->node.flags & (N_CALM | N_EXTRA)) != 0);
	if (!changed)
		return &site->profile->limits.l;
	struct limit_set set = site->profile->limits;
	const struct limit_set *calm = &site->profile->backoff;
	if (n->flags & N_CALM)
		shape_limits_over_set(&set, calm->l.given != 0 ? calm : &shape_calm_default);
	sh->scratch = set.l;
	if (pr != NULL && (pr->node.flags & N_CALM) && pr->node.calm_at > now) {
		struct pen_limits one = pr->backoff.l;
		one.given &= ~(uint32_t)PEN_LIMIT_CONNECTIONS;
		least(&sh->scratch, &one);
	}
	for (struct effect *e = n->extra; e != NULL; e = e->next) {
		if (e->ends > now)
			least(&sh->scratch, &e->limits.l);
	}
	return &sh->scratch;
}

const struct pen_retry_schedule *pen_shape_site_retry(
	const struct pen_shape *sh, const struct pen_shape_site *site)
{
	(void)sh;
	return site->profile->retry;
}
