// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <errno.h>

// ---- sources in turn

struct slot { // one turn of a source in its pool's sequence
	double at;
	uint32_t member;
};

static int by_place(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->member < y->member ? -1 : x->member > y->member;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t t = a % b;
		a = b;
		b = t;
	}
	return a;
}

#define SEQUENCE_MAX 4096

static bool of_family(const struct pen_shape_config *cfg, uint32_t source, unsigned f)
{
	return cfg->source[source].addr.family == (f == 0 ? PEN_FAMILY_IP4 : PEN_FAMILY_IP6);
}

// Each source of the family as often as its weight says, evenly spread. Weights that make the
// sequence too long are rounded.
static bool sequence(const struct pen_shape_config *cfg, const struct pen_shape_pool *p, unsigned f,
	uint32_t **out, uint32_t *n)
{
	uint64_t sum = 0, common = 0, length = 0;
	uint32_t members = 0, nth = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!of_family(cfg, p->member[i].source, f))
			continue;
		sum += p->member[i].weight;
		common = divisor(p->member[i].weight, common);
		members++;
	}
	*out = NULL;
	*n = 0;
	if (members == 0)
		return true;
	sum /= common;
	struct slot *slot =
		calloc(sum < SEQUENCE_MAX ? sum : SEQUENCE_MAX + members, sizeof(*slot));
	if (slot == NULL)
		return false;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!of_family(cfg, p->member[i].source, f))
			continue;
		uint64_t w = p->member[i].weight / common;
		if (sum > SEQUENCE_MAX)
			w = w * SEQUENCE_MAX / sum;
		w = w > 0 ? w : 1;
		double phase = (nth++ + 0.5) / members;
		for (uint64_t k = 0; k < w; k++)
			slot[length++] = (struct slot){((double)k + phase) / (double)w, i};
	}
	qsort(slot, length, sizeof(*slot), by_place);
	*out = malloc(length * sizeof(**out));
	for (uint64_t i = 0; *out != NULL && i < length; i++)
		(*out)[i] = p->member[slot[i].member].source;
	free(slot);
	*n = (uint32_t)length;
	return *out != NULL;
}

// ---- what is made of a configuration before anything old is given up

struct prepared {
	struct compiled *index;
	uint32_t **seq[2], *nseq[2];
	uint32_t **pools, *npools; // of each source
	struct htab profiles;
};

static void prepared_free(struct prepared *p, uint32_t npools, uint32_t nsources)
{
	for (unsigned f = 0; f < 2; f++) {
		for (uint32_t i = 0; p->seq[f] != NULL && i < npools; i++)
			free(p->seq[f][i]);
		free(p->seq[f]);
		free(p->nseq[f]);
	}
	for (uint32_t i = 0; p->pools != NULL && i < nsources; i++)
		free(p->pools[i]);
	free(p->pools);
	free(p->npools);
	shape_compiled_free(p->index);
	if (p->profiles.bucket != NULL)
		shape_profiles_free(&p->profiles);
}

static bool prepare_sources(const struct pen_shape_config *cfg, struct prepared *p)
{
	p->pools = calloc(cfg->nsources + 1, sizeof(*p->pools));
	p->npools = calloc(cfg->nsources + 1, sizeof(*p->npools));
	if (p->pools == NULL || p->npools == NULL)
		return false;
	for (uint32_t i = 0; i < cfg->npools; i++) {
		for (uint32_t m = 0; m < cfg->pool[i].nmembers; m++) {
			uint32_t s = cfg->pool[i].member[m].source;
			uint32_t *more = realloc(p->pools[s], (p->npools[s] + 1) * sizeof(*more));
			if (more == NULL)
				return false;
			p->pools[s] = more;
			more[p->npools[s]++] = i;
		}
	}
	return true;
}

static bool prepare(struct pen_shape *sh, const struct pen_shape_config *cfg, struct prepared *p)
{
	*p = (struct prepared){.index = shape_compile(cfg, sh->seed)};
	bool good = p->index != NULL && shape_htab_init(&p->profiles, 16);
	for (unsigned f = 0; f < 2; f++) {
		p->seq[f] = calloc(cfg->npools, sizeof(*p->seq[f]));
		p->nseq[f] = calloc(cfg->npools, sizeof(*p->nseq[f]));
		good = good && p->seq[f] != NULL && p->nseq[f] != NULL;
		for (uint32_t i = 0; good && i < cfg->npools; i++)
			good = sequence(cfg, &cfg->pool[i], f, &p->seq[f][i], &p->nseq[f][i]);
	}
	good = good && prepare_sources(cfg, p);
	if (!good)
		prepared_free(p, cfg->npools, cfg->nsources);
	return good;
}

// What a provider's section says; providers that are not named any more have no limits.
static void provider_configure(const struct pen_shape_config *cfg, struct provider *pr)
{
	pr->cfg = pr->cfg_next;
	memset(&pr->limits, 0, sizeof(pr->limits));
	memset(&pr->backoff, 0, sizeof(pr->backoff));
	memset(&pr->source, 0, sizeof(pr->source));
	if (pr->cfg == NO_SECTION)
		return;
	const struct pen_shape_section *s = &cfg->provider[pr->cfg];
	shape_limits_over(&pr->limits, &s->limits, s->line, s->shipped);
	shape_limits_over(&pr->backoff, &s->backoff, s->line, s->shipped);
	shape_limits_over(&pr->source, &s->source_limits, s->line, s->shipped);
}

static bool name_providers(struct pen_shape *sh, const struct pen_shape_config *cfg)
{
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		for (struct hent *e = sh->providers.bucket[i]; e != NULL; e = e->next)
			container(e, struct provider, hent)->cfg_next = NO_SECTION;
	}
	for (uint32_t i = cfg->nproviders; i-- > 0;) {
		struct provider *p =
			shape_provider_get(sh, pen_span_cstr(cfg->provider[i].name), true);
		if (p == NULL)
			return false;
		p->cfg_next = i;
	}
	return true;
}

static void install(struct pen_shape *sh, struct prepared *p)
{
	const struct pen_shape_config *cfg = sh->cfg;

	sh->index = p->index;
	sh->profiles = p->profiles;
	for (uint32_t i = 0; i < cfg->npools; i++) {
		for (unsigned f = 0; f < 2; f++) {
			sh->pool[i].seq[f] = p->seq[f][i];
			sh->pool[i].nseq[f] = p->nseq[f][i];
		}
		shape_node_refresh(sh, &sh->pool[i].node, false);
	}
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		sh->source[i].pool = p->pools[i];
		sh->source[i].npools = p->npools[i];
		sh->source[i].warm = false;
		shape_node_refresh(sh, &sh->source[i].node, false);
	}
	for (uint32_t i = 0; i < cfg->nwarmups; i++)
		sh->source[cfg->warmup[i].source].warm = true;
	for (unsigned f = 0; f < 2; f++) {
		free(p->seq[f]);
		free(p->nseq[f]);
	}
	free(p->pools);
	free(p->npools);
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		for (struct hent *e = sh->providers.bucket[i]; e != NULL; e = e->next) {
			struct provider *pr = container(e, struct provider, hent);
			provider_configure(cfg, pr);
			shape_node_refresh(sh, &pr->node, false);
		}
	}
	shape_classes_configure(sh);
}

// ---- life

static bool init_nodes(struct pen_shape *sh)
{
	const struct pen_shape_config *cfg = sh->cfg;

	sh->source = calloc(cfg->nsources + 1, sizeof(*sh->source));
	sh->pool = calloc(cfg->npools, sizeof(*sh->pool));
	if (sh->source == NULL || sh->pool == NULL ||
		!shape_node_init(sh, &sh->recall, NODE_RECALL))
		return false;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		sh->source[i].name = strdup(cfg->source[i].name);
		if (sh->source[i].name == NULL ||
			!shape_node_init(sh, &sh->source[i].node, PEN_HELD_SOURCE))
			return false;
	}
	for (uint32_t i = 0; i < cfg->npools; i++) {
		sh->pool[i].name = strdup(cfg->pool[i].name);
		if (sh->pool[i].name == NULL ||
			!shape_node_init(sh, &sh->pool[i].node, PEN_HELD_POOL) ||
			!shape_node_init(sh, &sh->pool[i].lane.node, NODE_LANE))
			return false;
	}
	return true;
}

static struct htab *const *tables(struct pen_shape *sh, struct htab *list[10])
{
	struct htab *all[] = {&sh->sites, &sh->providers, &sh->owners, &sh->classes, &sh->ats,
		&sh->suspended, &sh->triggers, &sh->restored, &sh->due_effects};

	memset(list, 0, 10 * sizeof(list[0]));
	memcpy(list, all, sizeof(all));
	return list;
}

static void shape_bare_free(struct pen_shape *sh)
{
	struct htab *list[10];

	for (struct htab *const *t = tables(sh, list); *t != NULL; t++)
		shape_htab_fini(*t);
	for (uint32_t i = 0; sh->source != NULL && i < sh->cfg->nsources; i++)
		free(sh->source[i].name);
	for (uint32_t i = 0; sh->pool != NULL && i < sh->cfg->npools; i++)
		free(sh->pool[i].name);
	shape_slab_fini(&sh->links);
	shape_slab_fini(&sh->meters);
	shape_slab_fini(&sh->ats_slab);
	free(sh->source);
	free(sh->pool);
	free(sh->heap);
	free(sh);
}

struct pen_shape *pen_shape_new(struct pen_shape_config *cfg, pen_time_us now, pen_wall_us wall)
{
	struct pen_shape *sh = calloc(1, sizeof(*sh));
	struct htab *list[10];
	struct prepared p;
	bool good = true;

	if (sh == NULL)
		return NULL;
	PEN_ASSERT(cfg->npools > 0);
	sh->cfg = cfg;
	sh->now = now;
	sh->offset = wall - now;
	sh->seed = shape_hash_mix((uint64_t)wall ^ cfg->hash_seed);
	sh->loaded_at = PEN_TIME_NEVER;
	sh->lost_at = PEN_TIME_NEVER;
	sh->saved_at = now;
	sh->sweep_at = now + SHAPE_SWEEP;
	sh->polls = 1;
	sh->links.size = sizeof(struct pen_shape_link);
	sh->meters.size = (sizeof(struct meter) + 63) & ~(size_t)63;
	sh->ats_slab.size = (sizeof(struct at_node) + 63) & ~(size_t)63;
	sh->idle_end = &sh->idle;
	for (struct htab *const *t = tables(sh, list); *t != NULL; t++)
		good = good && shape_htab_init(*t, 16);
	if (!good || !init_nodes(sh) || !name_providers(sh, cfg) || !prepare(sh, cfg, &p)) {
		for (uint32_t i = 0; sh->providers.bucket != NULL && i <= sh->providers.mask; i++) {
			while (sh->providers.bucket[i] != NULL) {
				struct hent *e = sh->providers.bucket[i];
				sh->providers.bucket[i] = e->next;
				free(container(e, struct provider, hent));
			}
		}
		shape_bare_free(sh);
		return NULL;
	}
	install(sh, &p);
	return sh;
}

void pen_shape_free(struct pen_shape *sh)
{
	if (sh == NULL)
		return;
	PEN_ASSERT(sh->nheap == 0);
	while (sh->idle != NULL)
		shape_site_free(sh, sh->idle);
	PEN_ASSERT(sh->sites.n == 0);
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		while (sh->providers.bucket[i] != NULL) {
			struct provider *p =
				container(sh->providers.bucket[i], struct provider, hent);
			struct at_node *next;
			sh->providers.bucket[i] = p->hent.next;
			for (struct at_node *a = p->ats; a != NULL; a = next) {
				next = a->next;
				shape_at_free(sh, a);
			}
			shape_node_fini(sh, &p->node);
			free(p);
		}
	}
	while (sh->suspensions != NULL)
		shape_suspension_end(sh, sh->suspensions);
	shape_classes_free(sh);
	shape_restored_free(sh);
	shape_triggers_free(sh);
	for (uint32_t i = 0; i < sh->cfg->nsources; i++) {
		shape_node_fini(sh, &sh->source[i].node);
		free(sh->source[i].pool);
	}
	for (uint32_t i = 0; i < sh->cfg->npools; i++) {
		shape_node_fini(sh, &sh->pool[i].node);
		free(sh->pool[i].seq[0]);
		free(sh->pool[i].seq[1]);
	}
	shape_profiles_free(&sh->profiles);
	shape_compiled_free(sh->index);
	struct pen_shape_config *cfg = sh->cfg;
	shape_bare_free(sh);
	pen_shape_config_free(cfg);
}

const struct pen_shape_config *pen_shape_config_of(const struct pen_shape *sh)
{
	return sh->cfg;
}

// ---- another configuration

static bool prepare_sites(
	struct pen_shape *sh, const struct pen_shape_config *cfg, struct prepared *p)
{
	for (uint32_t i = 0; i <= sh->sites.mask; i++) {
		for (struct hent *e = sh->sites.bucket[i]; e != NULL; e = e->next) {
			struct pen_shape_site *s = container(e, struct pen_shape_site, hent);
			struct found f;
			s->next_profile = NULL;
			if (shape_site_find_sections(p->index, s, &f))
				s->next_profile = shape_profile(sh, &p->profiles, cfg, &f);
			free(f.site);
			if (s->next_profile == NULL)
				return false;
		}
	}
	return true;
}

static void each_site(struct pen_shape *sh, void (*fn)(struct pen_shape *, struct pen_shape_site *))
{
	for (uint32_t i = 0; i <= sh->sites.mask; i++) {
		for (struct hent *e = sh->sites.bucket[i]; e != NULL; e = e->next)
			fn(sh, container(e, struct pen_shape_site, hent));
	}
}

static void move_site(struct pen_shape *sh, struct pen_shape_site *s)
{
	s->profile = s->next_profile;
	shape_node_refresh(sh, &s->node, false);
	for (struct at_node *a = s->ats; a != NULL; a = a->next)
		shape_node_refresh(sh, &a->node, false);
}

static void refresh_at_providers(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		for (struct hent *e = sh->providers.bucket[i]; e != NULL; e = e->next) {
			struct at_node *a = container(e, struct provider, hent)->ats;
			for (; a != NULL; a = a->next)
				shape_node_refresh(sh, &a->node, false);
		}
	}
}

static bool same_names(const struct pen_shape *sh, const struct pen_shape_config *cfg)
{
	if (cfg->nsources != sh->cfg->nsources || cfg->npools != sh->cfg->npools)
		return false;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (strcmp(cfg->source[i].name, sh->source[i].name) != 0)
			return false;
	}
	for (uint32_t i = 0; i < cfg->npools; i++) {
		if (strcmp(cfg->pool[i].name, sh->pool[i].name) != 0)
			return false;
	}
	return true;
}

static void old_away(struct pen_shape *sh)
{
	shape_compiled_free(sh->index);
	for (uint32_t i = 0; i < sh->cfg->npools; i++) {
		free(sh->pool[i].seq[0]);
		free(sh->pool[i].seq[1]);
	}
	for (uint32_t i = 0; i < sh->cfg->nsources; i++)
		free(sh->source[i].pool);
}

int pen_shape_apply(struct pen_shape *sh, struct pen_shape_config *cfg, pen_time_us now)
{
	struct prepared p;

	shape_clock(sh, now);
	PEN_ASSERT(same_names(sh, cfg)); // config checks it
	if (!prepare(sh, cfg, &p))
		return -ENOMEM;
	if (!name_providers(sh, cfg) || !prepare_sites(sh, cfg, &p)) {
		prepared_free(&p, cfg->npools, cfg->nsources);
		name_providers(sh, sh->cfg);
		return -ENOMEM;
	}
	each_site(sh, shape_links_take);
	shape_triggers_free(sh); // rules have other numbers
	old_away(sh);
	struct htab old = sh->profiles;
	struct pen_shape_config *old_cfg = sh->cfg;
	sh->cfg = cfg;
	install(sh, &p);
	for (struct at_node *a = sh->warms; a != NULL; a = a->next_warm)
		a->warm = NULL; // looked up when it is used
	each_site(sh, move_site);
	refresh_at_providers(sh);
	each_site(sh, shape_links_put);
	shape_profiles_free(&old);
	pen_shape_config_free(old_cfg);
	shape_wake_all(sh);
	sh->dirty = true;
	return 0;
}

void shape_sweep(struct pen_shape *sh)
{
	sh->sweep_at = sh->now + SHAPE_SWEEP;
	shape_suspensions_sweep(sh);
	shape_triggers_sweep(sh);
	shape_restored_sweep(sh);
	shape_sites_sweep(sh);
}
