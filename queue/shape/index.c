// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// Which sections a host or domain belongs to. A name is turned into keys: one for
// itself and one for each of its parents and itself, for "*.parent". A section is found
// by the keys of its patterns, so ten thousand of them cost no more than ten.

struct ref {
	struct hent hent;
	bool provider;
	uint32_t section;
};

struct any {
	uint32_t provider, n;
	uint32_t *site;
};

struct owner_ref {
	struct hent hent;
	const struct pen_shape_owner *owner;
};

struct compiled {
	uint64_t seed;
	struct htab refs;
	struct htab owners; // by name: tenants and campaigns apart
	struct owner_ref *owner;
	uint32_t *warm_first, *warm_next;                  // warm-ups of a source, plus one
	uint32_t *signal, signal_at[PEN_SIGNAL_COUNT + 1]; // rules by signal
	struct any mx, domain;                             // of "*"
	uint32_t nrefs;
	struct ref ref[];
};

static uint64_t key_of(uint64_t state, unsigned salt)
{
	uint64_t k = shape_hash_mix(state ^ ((uint64_t)salt * 0x9e3779b97f4a7c15u));

	return k != 0 ? k : 1;
}

static struct pen_span without_dot(struct pen_span name)
{
	while (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	return name;
}

// The hash runs from the end, so that each parent's is on the way.
uint32_t shape_name_keys(
	uint64_t seed, enum name_kind kind, struct pen_span name, uint64_t out[NAME_KEYS_MAX])
{
	uint64_t h = seed;
	uint32_t n = 0;

	name = without_dot(name);
	for (size_t i = name.n; i-- > 0;) {
		uint8_t c = name.p[i];
		if (c == '.' && n < NAME_KEYS_MAX - 2)
			out[n++] = key_of(h, 2 * kind);
		h = (h ^ (c >= 'A' && c <= 'Z' ? c | 32 : c)) * 0x100000001b3u;
	}
	if (name.n == 0)
		return 0;
	out[n++] = key_of(h, 2 * kind);
	out[n++] = key_of(h, 2 * kind + 1);
	return n;
}

// "*.x" has the key of the parent x; "x" the exact one.
static uint64_t pattern_key(uint64_t seed, enum name_kind kind, struct pen_span pattern)
{
	uint64_t keys[NAME_KEYS_MAX];
	bool wild = pen_span_istarts(pattern, PEN_SPAN_LIT("*."));
	uint32_t n = shape_name_keys(seed, kind, pen_span_from(pattern, wild ? 2 : 0), keys);

	return n == 0 ? 0 : keys[n - (wild ? 2 : 1)];
}

static bool any_pattern(struct pen_span p)
{
	return pen_span_eq(p, PEN_SPAN_LIT("*"));
}

static void add_any(struct any *a, bool provider, uint32_t section)
{
	if (provider && section < a->provider)
		a->provider = section;
	if (!provider && (a->n == 0 || a->site[a->n - 1] != section))
		a->site[a->n++] = section;
}

static void add_names(struct compiled *c, enum name_kind kind, const char *const *names, uint32_t n,
	bool provider, uint32_t section)
{
	for (uint32_t i = 0; i < n; i++) {
		struct pen_span pattern = pen_span_cstr(names[i]);
		if (any_pattern(pattern)) {
			add_any(kind == NAME_MX ? &c->mx : &c->domain, provider, section);
			continue;
		}
		struct ref *r = &c->ref[c->nrefs];
		r->hent.hash = pattern_key(c->seed, kind, pattern);
		if (r->hent.hash == 0)
			continue;
		r->provider = provider;
		r->section = section;
		c->nrefs++;
		shape_htab_put(&c->refs, &r->hent);
	}
}

static void add_sections(
	struct compiled *c, const struct pen_shape_section *s, uint32_t n, bool provider)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct pen_shape_match *m = &s[i].match;
		add_names(c, NAME_MX, (const char *const *)m->mx, m->nmx, provider, i);
		add_names(
			c, NAME_DOMAIN, (const char *const *)m->domains, m->ndomains, provider, i);
	}
}

static size_t count_names(const struct pen_shape_section *s, uint32_t n)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += s[i].match.nmx + s[i].match.ndomains;
	return sum;
}

// ---- what is found by name or number

static void add_owners(struct compiled *c, struct owner_ref *to, const struct pen_shape_owner *o,
	uint32_t n, bool tenant)
{
	for (uint32_t i = n; i-- > 0;) { // so that the first is found first
		to[i].owner = &o[i];
		to[i].hent.hash = shape_hash(c->seed + tenant, pen_span_cstr(o[i].name));
		shape_htab_put(&c->owners, &to[i].hent);
	}
}

static bool here(const struct pen_shape_owner *o, const char *tenant)
{
	return o->tenant == NULL || o->tenant[0] == '\0' || strcasecmp(o->tenant, tenant) == 0;
}

static const struct pen_shape_owner *owner_named(
	const struct compiled *c, bool of_tenants, const char *name, const char *tenant)
{
	uint64_t hash = shape_hash(c->seed + of_tenants, pen_span_cstr(name));
	const struct pen_shape_owner *found = NULL;

	for (struct hent *e = shape_htab_chain(&c->owners, hash); e != NULL; e = e->next) {
		const struct pen_shape_owner *o = container(e, struct owner_ref, hent)->owner;
		bool narrow = o->tenant != NULL && o->tenant[0] != '\0';
		if (e->hash == hash && strcasecmp(o->name, name) == 0 && here(o, tenant) &&
			(found == NULL || narrow))
			found = o;
	}
	return found;
}

const struct pen_shape_owner *shape_find_owner(
	const struct compiled *c, bool of_tenants, const char *name, const char *tenant)
{
	const struct pen_shape_owner *o = owner_named(c, of_tenants, name, tenant);

	return o != NULL ? o : owner_named(c, of_tenants, "*", tenant);
}

const struct pen_shape_warmup *shape_find_warmup(const struct compiled *c,
	const struct pen_shape_config *cfg, uint32_t source, const char *provider)
{
	const struct pen_shape_warmup *any = NULL;

	for (uint32_t i = c->warm_first[source]; i != 0; i = c->warm_next[i - 1]) {
		const struct pen_shape_warmup *w = &cfg->warmup[i - 1];
		if (w->provider[0] == '\0')
			any = w;
		else if (strcasecmp(w->provider, provider) == 0)
			return w;
	}
	return any;
}

const uint32_t *shape_signal_rules(const struct compiled *c, unsigned signal, uint32_t *n)
{
	*n = 0;
	if (signal == PEN_SIGNAL_NONE || signal >= PEN_SIGNAL_COUNT)
		return c->signal;
	*n = c->signal_at[signal + 1] - c->signal_at[signal];
	return c->signal + c->signal_at[signal];
}

static bool add_numbers(struct compiled *c, const struct pen_shape_config *cfg)
{
	c->owner = calloc(cfg->ntenants + cfg->ncampaigns + 1, sizeof(*c->owner));
	c->warm_first = calloc(cfg->nsources + 1, sizeof(uint32_t));
	c->warm_next = calloc(cfg->nwarmups + 1, sizeof(uint32_t));
	c->signal = calloc(cfg->nrules + 1, sizeof(uint32_t));
	if (c->owner == NULL || c->warm_first == NULL || c->warm_next == NULL ||
		c->signal == NULL || !shape_htab_init(&c->owners, 64))
		return false;
	add_owners(c, c->owner, cfg->tenant, cfg->ntenants, true);
	add_owners(c, c->owner + cfg->ntenants, cfg->campaign, cfg->ncampaigns, false);
	for (uint32_t i = 0; i < cfg->nwarmups; i++) {
		c->warm_next[i] = c->warm_first[cfg->warmup[i].source];
		c->warm_first[cfg->warmup[i].source] = i + 1;
	}
	uint32_t n = 0;
	for (unsigned s = 0; s < PEN_SIGNAL_COUNT; s++) {
		c->signal_at[s] = n;
		for (uint32_t i = 0; s != PEN_SIGNAL_NONE && i < cfg->nrules; i++) {
			if (cfg->rule[i].signal == s)
				c->signal[n++] = i;
		}
	}
	c->signal_at[PEN_SIGNAL_COUNT] = n;
	return true;
}

struct compiled *shape_compile(const struct pen_shape_config *cfg, uint64_t seed)
{
	size_t names =
		count_names(cfg->site, cfg->nsites) + count_names(cfg->provider, cfg->nproviders);
	struct compiled *c = calloc(1, sizeof(*c) + names * sizeof(c->ref[0]));

	if (c == NULL)
		return NULL;
	c->seed = seed;
	c->mx.provider = c->domain.provider = NO_SECTION;
	c->mx.site = calloc(cfg->nsites + 1, sizeof(uint32_t));
	c->domain.site = calloc(cfg->nsites + 1, sizeof(uint32_t));
	if (c->mx.site == NULL || c->domain.site == NULL || !shape_htab_init(&c->refs, 64) ||
		!add_numbers(c, cfg)) {
		shape_compiled_free(c);
		return NULL;
	}
	add_sections(c, cfg->provider, cfg->nproviders, true);
	add_sections(c, cfg->site, cfg->nsites, false);
	return c;
}

void shape_compiled_free(struct compiled *c)
{
	if (c == NULL)
		return;
	shape_htab_fini(&c->refs);
	shape_htab_fini(&c->owners);
	free(c->owner);
	free(c->warm_first);
	free(c->warm_next);
	free(c->signal);
	free(c->mx.site);
	free(c->domain.site);
	free(c);
}

static void found_add(struct found *f, bool provider, uint32_t section)
{
	uint32_t i = f->n;

	if (provider) {
		if (section < f->provider)
			f->provider = section;
		return;
	}
	while (i > 0 && f->site[i - 1] > section)
		i--;
	if (i > 0 && f->site[i - 1] == section)
		return;
	if (f->n == f->cap) {
		uint32_t cap = f->cap * 2 + 8;
		uint32_t *more = realloc(f->site, cap * sizeof(*more));
		if (more == NULL) {
			f->failed = true;
			return;
		}
		f->site = more;
		f->cap = cap;
	}
	memmove(f->site + i + 1, f->site + i, (f->n - i) * sizeof(*f->site));
	f->site[i] = section;
	f->n++;
}

void shape_find(const struct compiled *c, uint64_t key, struct found *f)
{
	for (struct hent *e = shape_htab_chain(&c->refs, key); e != NULL; e = e->next) {
		const struct ref *r = container(e, struct ref, hent);
		if (e->hash == key)
			found_add(f, r->provider, r->section);
	}
}

void shape_find_any(const struct compiled *c, bool domain, struct found *f)
{
	const struct any *a = domain ? &c->domain : &c->mx;

	if (a->provider != NO_SECTION)
		found_add(f, true, a->provider);
	for (uint32_t i = 0; i < a->n; i++)
		found_add(f, false, a->site[i]);
}

// ---- the keys of a site

static void keys_put(struct keys *k, uint64_t key)
{
	uint32_t i = (uint32_t)key & (k->cap - 1);

	while (k->k[i] != 0)
		i = (i + 1) & (k->cap - 1);
	k->k[i] = key;
	k->n++;
}

bool shape_keys_has(const struct keys *k, uint64_t key)
{
	if (k->cap == 0)
		return false;
	for (uint32_t i = (uint32_t)key & (k->cap - 1); k->k[i] != 0; i = (i + 1) & (k->cap - 1)) {
		if (k->k[i] == key)
			return true;
	}
	return false;
}

int shape_keys_add(struct keys *k, uint64_t key)
{
	if (shape_keys_has(k, key))
		return 0;
	if (k->n + 1 > k->cap / 4 * 3) {
		struct keys more = {.cap = k->cap > 0 ? k->cap * 2 : 8};
		more.k = calloc(more.cap, sizeof(*more.k));
		if (more.k == NULL)
			return -1;
		for (uint32_t i = 0; i < k->cap; i++) {
			if (k->k[i] != 0)
				keys_put(&more, k->k[i]);
		}
		free(k->k);
		*k = more;
	}
	keys_put(k, key);
	return 1;
}
