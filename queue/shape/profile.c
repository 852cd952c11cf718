// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// The limits of a site: default < what its provider says of each of its sites < its
// sections, in the order of the file. Sites that the same sections name share the result.

static void merge(struct profile *p, const struct pen_shape_config *cfg)
{
	const struct pen_shape_section *d = &cfg->defaults;
	const struct pen_limits *all = NULL;

	shape_limits_over(&p->limits, &d->limits, d->line, d->shipped);
	shape_limits_over(&p->source, &d->source_limits, d->line, d->shipped);
	shape_limits_over(&p->backoff, &d->backoff, d->line, d->shipped);
	if (d->has_retry)
		p->retry = &d->retry;
	if (p->provider != NULL) {
		const struct pen_shape_section *s = &cfg->provider[p->provider->cfg_next];
		shape_limits_over(&p->limits, &s->site_limits, s->line, s->shipped);
		if (s->has_retry)
			p->retry = &s->retry;
		all = &s->limits;
	}
	for (uint32_t i = 0; i < p->nsections; i++) {
		const struct pen_shape_section *s = &cfg->site[p->section[i]];
		shape_limits_over(&p->limits, &s->limits, s->line, s->shipped);
		shape_limits_over(&p->source, &s->source_limits, s->line, s->shipped);
		shape_limits_over(&p->backoff, &s->backoff, s->line, s->shipped);
		if (s->has_retry)
			p->retry = &s->retry;
	}
	if (all == NULL)
		return;
	// What is said of one connection holds for each connection of the provider.
	struct pen_limits one = *all;
	struct pen_limits *l = &p->limits.l;
	one.given &=
		PEN_LIMIT_CONNECTION_MESSAGES | PEN_LIMIT_RECIPIENTS | PEN_LIMIT_CONNECTION_TIME;
	if ((l->given & PEN_LIMIT_CONNECTION_MESSAGES) &&
		l->connection_messages <= one.connection_messages)
		one.given &= ~(uint32_t)PEN_LIMIT_CONNECTION_MESSAGES;
	if ((l->given & PEN_LIMIT_RECIPIENTS) && l->recipients <= one.recipients)
		one.given &= ~(uint32_t)PEN_LIMIT_RECIPIENTS;
	if ((l->given & PEN_LIMIT_CONNECTION_TIME) && l->connection_time <= one.connection_time)
		one.given &= ~(uint32_t)PEN_LIMIT_CONNECTION_TIME;
	const struct pen_shape_section *s = &cfg->provider[p->provider->cfg_next];
	shape_limits_over(&p->limits, &one, s->line, s->shipped);
}

struct profile *shape_profile(
	struct pen_shape *sh, struct htab *t, const struct pen_shape_config *cfg, struct found *f)
{
	struct pen_span sections = pen_span(f->site, f->n * sizeof(*f->site));
	uint64_t hash = sh->seed ^ f->provider;

	for (uint32_t i = 0; i < f->n; i++)
		hash = shape_hash_mix(hash ^ (f->site[i] + 1));
	hash = shape_hash_mix(hash);
	struct provider *pr = NULL;
	if (f->provider != NO_SECTION) {
		pr = shape_provider_get(sh, pen_span_cstr(cfg->provider[f->provider].name), true);
		if (pr == NULL)
			return NULL;
	}
	for (struct hent *e = shape_htab_chain(t, hash); e != NULL; e = e->next) {
		struct profile *p = container(e, struct profile, hent);
		if (e->hash == hash && p->provider == pr && p->nsections == f->n &&
			pen_span_eq(sections, pen_span(p->section, sections.n)))
			return p;
	}
	struct profile *p = calloc(1, sizeof(*p) + sections.n);
	if (p == NULL || f->failed) {
		free(p);
		return NULL;
	}
	p->hent.hash = hash;
	p->provider = pr;
	p->nsections = f->n;
	if (f->n > 0)
		memcpy(p->section, f->site, sections.n);
	merge(p, cfg);
	shape_htab_put(t, &p->hent);
	return p;
}

void shape_profiles_free(struct htab *t)
{
	for (uint32_t i = 0; t->bucket != NULL && i <= t->mask; i++) {
		while (t->bucket[i] != NULL) {
			struct profile *p = container(t->bucket[i], struct profile, hent);
			t->bucket[i] = p->hent.next;
			free(p);
		}
	}
	shape_htab_fini(t);
}
