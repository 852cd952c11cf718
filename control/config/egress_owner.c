// SPDX-License-Identifier: BSD-3-Clause

// The sections pool, tenant, campaign and warmup, and the names that they refer to.

#include "egress_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARMUP_DAYS_MAX 366

void egress_refuse_name(struct egress_reader *rd, const struct pen_ucl_node *n, const char *what,
	const char *(*next)(void *ctx, size_t index), void *ctx)
{
	const char *text = n->text != NULL ? n->text : "";
	const char *like = pen_closest_name(text, next, ctx);

	pen_report_error(rd->report, rd->file, n->line,
		"%s = %.80s: there is no %s of that name%s%s%s", n->key != NULL ? n->key : what,
		text, what, like != NULL ? ": did you mean \"" : "", like != NULL ? like : "",
		like != NULL ? "\"?" : "");
}

// ---- names of each kind, by index

static const char *source_name(void *ctx, size_t i)
{
	const struct pen_shape_config *c = ctx;

	return i < c->nsources ? c->source[i].name : NULL;
}

static const char *pool_name(void *ctx, size_t i)
{
	const struct pen_shape_config *c = ctx;

	return i < c->npools ? c->pool[i].name : NULL;
}

static const char *provider_name(void *ctx, size_t i)
{
	const struct pen_shape_config *c = ctx;

	return i < c->nproviders ? c->provider[i].name : NULL;
}

static const char *tenant_name(void *ctx, size_t i)
{
	const struct pen_shape_config *c = ctx;

	return i < c->ntenants ? c->tenant[i].name : NULL;
}

typedef const char *name_fn(void *ctx, size_t i);

static ptrdiff_t index_of(struct egress_reader *rd, name_fn *next, const char *name)
{
	const char *at;

	for (size_t i = 0; (at = next(rd->shape->c, i)) != NULL; i++) {
		if (strcmp(at, name) == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

// The index of a name that must be there; -1 after a report.
static ptrdiff_t refer(struct egress_reader *rd, const struct pen_ucl_node *n, const char *what,
	name_fn *next, const char *name)
{
	ptrdiff_t i = name != NULL ? index_of(rd, next, name) : -1;

	if (i < 0)
		egress_refuse_name(rd, n, what, next, rd->shape->c);
	return i;
}

// ---- pools

static void add_source(struct egress_reader *rd, struct pen_shape_pool *pool,
	const struct pen_ucl_node *n, const char *name, uint32_t weight)
{
	struct pen_ucl_node named = {.type = PEN_UCL_WORD, .line = n->line, .text = (char *)name};

	ptrdiff_t i = refer(rd, &named, "source", source_name, name);
	if (i < 0)
		return;
	for (uint32_t m = 0; m < pool->nmembers; m++) {
		if (pool->member[m].source == (uint32_t)i) {
			pen_report_error(rd->report, rd->file, n->line,
				"sources: source %s is there twice", name);
			return;
		}
	}
	pool->member[pool->nmembers].source = (uint32_t)i;
	pool->member[pool->nmembers++].weight = weight;
}

// sources { s0 = 1; s1 = 3 } or sources = [s0, s1]
static void read_members(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	static const struct egress_key weights = {.name = "weight", .min = 1, .max = 1000};
	struct pen_shape_pool *pool = out;
	uint32_t count = 0;

	(void)k;
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		count++;
	if (count == 0) {
		egress_refuse(rd, n, "names of sources with weights: sources { s0 = 1; s1 = 3 }");
		return;
	}
	pool->nmembers = 0;
	pool->member = egress_arena(rd->shape, count * sizeof(pool->member[0]));
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		uint32_t weight = 1;
		if (n->type == PEN_UCL_OBJECT)
			egress_read_u32(rd, &weights, c, &weight);
		if (n->type == PEN_UCL_ARRAY && c->text == NULL)
			egress_refuse(rd, c, "the name of a source");
		else
			add_source(
				rd, pool, c, n->type == PEN_UCL_OBJECT ? c->key : c->text, weight);
	}
}

static const struct egress_key pool_keys[] = {
	{"sources", read_members, 0, 0, 0, NULL},
	EGRESS_FLOW_LIMITS(offsetof(struct pen_shape_pool, limits)),
	{0},
};

static void all_sources(struct egress_shape *sh, struct pen_shape_pool *pool)
{
	pool->nmembers = 0;
	pool->member = egress_arena(sh, sh->c->nsources * sizeof(pool->member[0]));
	for (uint32_t i = 0; i < sh->c->nsources; i++) {
		pool->member[pool->nmembers].source = i;
		pool->member[pool->nmembers++].weight = 1;
	}
}

static void read_pool(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct pen_shape_config *c = rd->shape->c;
	ptrdiff_t before = index_of(rd, pool_name, n->key);
	char within[64];

	if (before >= 0 && c->pool[before].line != 0) {
		pen_report_error(rd->report, rd->file, n->line, "pool %s is in line %u already",
			n->key, c->pool[before].line);
		return;
	}
	struct pen_shape_pool *pool = before >= 0 ? &c->pool[before] : &c->pool[c->npools++];
	pool->name = egress_arena_text(rd->shape, n->key);
	pool->line = n->line;
	snprintf(within, sizeof(within), " in pool %s", n->key);
	egress_read_keys(rd, pool_keys, n, pool, NULL, within);
	if (before != 0 && egress_member(n, "sources") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"pool %s has no sources: write sources { %s = 1 }", n->key,
			c->nsources > 0 ? c->source[0].name : "s0");
}

// ---- tenants and campaigns

static void read_pool_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	ptrdiff_t i = refer(rd, n, "pool", pool_name, n->text);
	if (i >= 0)
		*(const char **)out = rd->shape->c->pool[i].name;
}

// A campaign's tenant needs a section, its own or "*".
static void read_tenant_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	bool plain = n->text != NULL && strcmp(n->text, "*") != 0;

	(void)k;
	if (!plain)
		egress_refuse(rd, n, "the name of one tenant; without it, any");
	else if (index_of(rd, tenant_name, "*") >= 0 ||
		 refer(rd, n, "tenant", tenant_name, n->text) >= 0)
		*(const char **)out = egress_arena_text(rd->shape, n->text);
}

// Of the limits, those that have a meaning for deliveries.
#define OWNER(f) offsetof(struct pen_shape_owner, f)
#define OWNER_KEYS                                                                                 \
	{"weight", egress_read_u32, OWNER(weight), 1, 1000, NULL},                                 \
		{"pool", read_pool_ref, OWNER(pool), 0, 0, NULL},                                  \
		{"connections", egress_read_limit, OWNER(limits), PEN_LIMIT_CONNECTIONS, 4000000,  \
			NULL},                                                                     \
		{"message_rate", egress_read_limit, OWNER(limits), PEN_LIMIT_MESSAGE_RATE, 0,      \
			NULL},                                                                     \
	{                                                                                          \
		"byte_rate", egress_read_limit, OWNER(limits), PEN_LIMIT_BYTE_RATE, 0, NULL        \
	}
static const struct egress_key tenant_keys[] = {OWNER_KEYS, {0}};
static const struct egress_key campaign_keys[] = {
	{"tenant", read_tenant_ref, OWNER(tenant), 0, 0, NULL}, OWNER_KEYS, {0}};

static void read_owner(struct egress_reader *rd, const struct pen_ucl_node *n, const char *what,
	const struct egress_key *keys, struct pen_shape_owner *o)
{
	char within[96];

	*o = (struct pen_shape_owner){.name = egress_arena_text(rd->shape, n->key),
		.line = n->line,
		.tenant = "",
		.pool = "",
		.weight = 10};
	snprintf(within, sizeof(within), " in %s %s", what, n->key);
	egress_read_keys(rd, keys, n, o, NULL, within);
}

static void read_tenant(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct pen_shape_config *c = rd->shape->c;
	ptrdiff_t before = index_of(rd, tenant_name, n->key);

	if (before >= 0)
		pen_report_error(rd->report, rd->file, n->line, "tenant %s is in line %u already",
			n->key, c->tenant[before].line);
	else
		read_owner(rd, n, "tenant", tenant_keys, &c->tenant[c->ntenants++]);
}

static void read_campaign(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct pen_shape_config *c = rd->shape->c;
	struct pen_shape_owner *o = &c->campaign[c->ncampaigns];

	read_owner(rd, n, "campaign", campaign_keys, o);
	for (uint32_t i = 0; i < c->ncampaigns; i++) {
		const struct pen_shape_owner *b = &c->campaign[i];
		if (strcmp(b->name, o->name) == 0 && strcmp(b->tenant, o->tenant) == 0) {
			pen_report_error(rd->report, rd->file, n->line,
				"campaign %s%s%s is in line %u already", o->name,
				o->tenant[0] != '\0' ? " of tenant " : "", o->tenant, b->line);
			return;
		}
	}
	c->ncampaigns++;
}

// ---- warm-up

static void read_source_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	ptrdiff_t i = refer(rd, n, "source", source_name, n->text);
	if (i >= 0)
		*(uint32_t *)out = (uint32_t)i;
}

static void read_provider_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	ptrdiff_t i = refer(rd, n, "provider", provider_name, n->text);
	if (i >= 0)
		*(const char **)out = rd->shape->c->provider[i].name;
}

// "2026-11-01": midnight UTC of a day that exists.
static bool date(const char *text, pen_wall_us *out)
{
	static const char shape[] = "dddd-dd-dd";
	struct tm day = {0};

	if (strlen(text) != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; shape[i] != '\0'; i++) {
		if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	}
	day.tm_year = atoi(text) - 1900;
	day.tm_mon = atoi(text + 5) - 1;
	day.tm_mday = atoi(text + 8);
	struct tm asked = day;
	time_t t = timegm(&day);
	*out = (pen_wall_us)t * PEN_US_PER_S;
	return day.tm_year == asked.tm_year && day.tm_mon == asked.tm_mon &&
	       day.tm_mday == asked.tm_mday && asked.tm_year >= 70;
}

static void read_date(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	pen_wall_us at;

	(void)k;
	if (n->text == NULL || !date(n->text, &at))
		egress_refuse(rd, n, "a day of the calendar, such as \"2026-11-01\"");
	else
		*(pen_wall_us *)out = at;
}

static void read_schedule(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	static const struct egress_key cap = {.name = "schedule", .min = 1, .max = 1000000000};
	struct pen_shape_warmup *w = out;
	uint32_t count = 0;

	(void)k;
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		count++;
	if (n->type != PEN_UCL_ARRAY || count == 0 || count > WARMUP_DAYS_MAX) {
		egress_refuse(rd, n,
			"an array of 1 to 366 numbers, messages of each day: [50, 100, 200]");
		return;
	}
	w->ndays = 0;
	w->cap = egress_arena(rd->shape, count * sizeof(*w->cap));
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		egress_read_u32(rd, &cap, c, &w->cap[w->ndays++]);
}

#define WARMUP(f) offsetof(struct pen_shape_warmup, f)
static const struct egress_key warmup_keys[] = {
	{"source", read_source_ref, WARMUP(source), 0, 0, NULL},
	{"provider", read_provider_ref, WARMUP(provider), 0, 0, NULL},
	{"start", read_date, WARMUP(start), 0, 0, NULL},
	{"schedule", read_schedule, 0, 0, 0, NULL},
	{0},
};

static bool warmup_again(
	struct egress_reader *rd, const struct pen_ucl_node *n, const struct pen_shape_warmup *w)
{
	const struct pen_shape_config *c = rd->shape->c;

	for (uint32_t i = 0; i < c->nwarmups; i++) {
		const struct pen_shape_warmup *b = &c->warmup[i];
		bool name = strcmp(b->name, w->name) == 0;
		if (!name && (b->source != w->source || strcmp(b->provider, w->provider) != 0))
			continue;
		pen_report_error(rd->report, rd->file, n->line, "warmup %s: %s in line %u already",
			w->name, name ? "is" : "its source and provider are", b->line);
		return true;
	}
	return false;
}

static void read_warmup(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	static const char *const due[] = {"source", "start", "schedule"};
	struct pen_shape_config *c = rd->shape->c;
	struct pen_shape_warmup *w = &c->warmup[c->nwarmups];
	unsigned errors = rd->report->errors;
	char within[64];

	*w = (struct pen_shape_warmup){
		.name = egress_arena_text(rd->shape, n->key), .line = n->line, .provider = ""};
	snprintf(within, sizeof(within), " in warmup %s", n->key);
	egress_read_keys(rd, warmup_keys, n, w, NULL, within);
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
		if (egress_member(n, due[i]) == NULL)
			pen_report_error(rd->report, rd->file, n->line,
				"warmup %s has no %s: write source = s0; start = \"2026-11-01\"; "
				"schedule = [50, 100, 200]",
				n->key, due[i]);
	}
	if (rd->report->errors == errors && !warmup_again(rd, n, w))
		c->nwarmups++;
}

void egress_owners_read(struct egress_reader *rd, const struct pen_ucl_node *root)
{
	struct pen_shape_config *c = rd->shape->c;

	c->pool[c->npools++].name = "default";
	all_sources(rd->shape, &c->pool[0]);
	egress_each(rd, root, "pool", false, read_pool);
	egress_each(rd, root, "tenant", true, read_tenant);
	egress_each(rd, root, "campaign", true, read_campaign);
	egress_each(rd, root, "warmup", false, read_warmup);
}
