// SPDX-License-Identifier: BSD-3-Clause

// The sections default, site and provider, and the whole of a shaping configuration.
//
// All of it lives in one block of memory, which is measured before: each node of
// the files becomes at most two texts and a pointer, each section its struct.

#include "egress_priv.h"

#include "pen_params.h"
#include "pen_provider_rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN(n) (((n) + 7) & ~(size_t)7)

// ---- the arena

void *egress_arena(struct egress_shape *sh, size_t size)
{
	char *p = sh->at;

	if (ALIGN(size) > (size_t)(sh->end - sh->at))
		abort(); // measured wrong
	sh->at += ALIGN(size);
	return p;
}

const char *egress_arena_text(struct egress_shape *sh, const char *text)
{
	size_t n = strlen(text) + 1;

	return memcpy(egress_arena(sh, n), text, n);
}

static size_t measure(const struct pen_ucl_node *n)
{
	size_t size = 48 + (n->key != NULL ? strlen(n->key) : 0) +
		      (n->text != NULL ? strlen(n->text) : 0);

	if (n->key != NULL && strcmp(n->key, "rule") == 0)
		size += sizeof(struct pen_shape_rule);
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		size += measure(c);
	return size;
}

static size_t measure_sections(const struct pen_ucl_node *root)
{
	return (egress_count(root, "site") + egress_count(root, "provider")) *
		       sizeof(struct pen_shape_section) +
	       egress_count(root, "pool") * sizeof(struct pen_shape_pool) +
	       (egress_count(root, "tenant") + egress_count(root, "campaign")) *
		       sizeof(struct pen_shape_owner) +
	       egress_count(root, "warmup") * sizeof(struct pen_shape_warmup);
}

static uint32_t count_rules(const struct pen_ucl_node *n)
{
	uint32_t count = n->key != NULL && strcmp(n->key, "rule") == 0;

	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		count += count_rules(c);
	return count;
}

// ---- what a section matches

// "mx.example.com", "*.example.com" or "*" in lower case; NULL: it is none of these.
static const char *match_text(struct egress_shape *sh, const char *text, bool mx)
{
	struct pen_span s = pen_span_cstr(text), name;
	struct pen_addr addr;

	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n > PEN_HOST_NAME_MAX + 2)
		return NULL;
	name = s.n > 2 && s.p[0] == '*' && s.p[1] == '.' ? pen_span_from(s, 2) : s;
	bool whole = s.n == 1 && s.p[0] == '*';
	if (!whole && !pen_hostname_valid(name) && !(mx && pen_addr_parse(&addr, s) == 0))
		return NULL;
	char *copy = egress_arena(sh, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		copy[i] = (char)tolower(s.p[i]);
	return copy;
}

static void add_match(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, const char **list, uint32_t *count)
{
	const char *text = n->text != NULL ? match_text(rd->shape, n->text, k->min != 0) : NULL;

	for (uint32_t i = 0; text != NULL && i < *count; i++) {
		if (strcmp(list[i], text) == 0)
			pen_report_error(rd->report, rd->file, n->line, "%s: %s is there twice",
				k->name, text);
	}
	if (text != NULL)
		list[(*count)++] = text;
	else if (n->text != NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"%s: \"%.120s\": accepted is %s, *.example.com (with all below it) or *",
			k->name, n->text, k->min != 0 ? "a host name, an address" : "a domain");
	else
		egress_refuse(rd, n, "a name in quotes");
}

// k->min: names of hosts (1) or domains (0); `out` is the section.
static void read_match(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_shape_section *section = out;
	uint32_t count = 0, found = 0;

	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		count++;
	if (n->type == PEN_UCL_OBJECT || (n->type == PEN_UCL_ARRAY && count == 0)) {
		egress_refuse(rd, n,
			k->min != 0 ? "an array of names of MX hosts: [\"*.mx.example.com\"]"
				    : "an array of domains: [\"example.com\"]");
		return;
	}
	const char **list = egress_arena(rd->shape, (count + 1) * sizeof(*list));
	if (n->type != PEN_UCL_ARRAY)
		add_match(rd, k, n, list, &found);
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next)
		add_match(rd, k, c, list, &found);
	if (k->min != 0) {
		section->match.mx = list;
		section->match.nmx = found;
	} else {
		section->match.domains = list;
		section->match.ndomains = found;
	}
}

// ---- sections

#define SECTION(f) offsetof(struct pen_shape_section, f)
#define MATCHES                                                                                    \
	{"mx", read_match, 0, 1, 0, NULL},                                                         \
	{                                                                                          \
		"domains", read_match, 0, 0, 0, NULL                                               \
	}
#define PARTS                                                                                      \
	{"source", egress_read_block, SECTION(source_limits), 0, 0, egress_flow_keys},             \
		{"backoff", egress_read_block, SECTION(backoff), 0, 0, egress_all_keys},           \
	{                                                                                          \
		"retry", egress_read_retry, 0, 0, 0, NULL                                          \
	}

static const struct egress_key default_keys[] = {EGRESS_ALL_LIMITS(SECTION(limits)), PARTS, {0}};
static const struct egress_key site_keys[] = {
	MATCHES, EGRESS_ALL_LIMITS(SECTION(limits)), PARTS, {0}};
static const struct egress_key provider_keys[] = {MATCHES, EGRESS_FLOW_LIMITS(SECTION(limits)),
	{"site", egress_read_block, SECTION(site_limits), 0, 0, egress_all_keys}, PARTS, {0}};
static const char *const with_rules[] = {"rule", NULL};

static void read_defaults(struct egress_reader *rd, const struct pen_ucl_node *root)
{
	const struct pen_ucl_node *n = egress_member(root, "default"), *again;

	if (n == NULL)
		return;
	for (again = n->next; again != NULL; again = again->next) {
		if (strcmp(again->key, "default") == 0)
			pen_report_error(rd->report, rd->file, again->line,
				"default is given in line %u already", n->line);
	}
	rd->shape->c->defaults.line = n->line;
	if (n->type != PEN_UCL_OBJECT)
		egress_refuse(rd, n, "default { ... }");
	else
		egress_read_keys(rd, default_keys, n, &rd->shape->c->defaults, NULL, " in default");
}

// The section of that name among the first `count`, or NULL.
static struct pen_shape_section *find(
	struct pen_shape_section *list, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].name != NULL && strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	return NULL;
}

static void read_section(struct egress_reader *rd, const struct pen_ucl_node *n, const char *what,
	const struct egress_key *keys, struct pen_shape_section *s)
{
	char within[64];

	s->name = egress_arena_text(rd->shape, n->key);
	s->line = n->line;
	s->shipped = rd->shape->shipped;
	snprintf(within, sizeof(within), " in %s %s", what, n->key);
	unsigned errors = rd->report->errors;
	egress_read_keys(rd, keys, n, s, with_rules, within);
	if (s->match.nmx == 0 && s->match.ndomains == 0 && rd->report->errors == errors)
		pen_report_error(rd->report, rd->file, n->line,
			"%s %s matches nothing: write mx = [\"*.mx.example.com\"] or domains = "
			"[\"example.com\"]",
			what, n->key);
	egress_rules_read(rd, n);
}

static void read_site(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct egress_shape *sh = rd->shape;
	struct pen_shape_section *before = find(sh->c->site, sh->c->nsites, n->key);

	if (before != NULL) {
		pen_report_error(rd->report, rd->file, n->line, "site %s is in line %u already",
			n->key, before->line);
		return;
	}
	struct pen_shape_section *s = &sh->c->site[sh->c->nsites++];
	sh->rule_site = egress_arena_text(sh, n->key);
	read_section(rd, n, "site", site_keys, s);
	sh->rule_site = "";
}

// A provider that the shipped file has too begins as that one: what is written here holds, the
// rest stays, and so do its rules.
static void read_provider(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct egress_shape *sh = rd->shape;
	struct pen_shape_config *c = sh->c;
	struct pen_shape_section *before = find(c->provider, c->nproviders, n->key);
	struct pen_shape_section *shipped = find(sh->shipped_provider, sh->nshipped, n->key);

	if (before != NULL) {
		pen_report_error(rd->report, rd->file, n->line, "provider %s is in line %u already",
			n->key, before->line);
		return;
	}
	struct pen_shape_section *s = &c->provider[c->nproviders++];
	if (shipped != NULL) {
		*s = *shipped;
		shipped->name = NULL;
	}
	sh->rule_provider = egress_arena_text(sh, n->key);
	read_section(rd, n, "provider", provider_keys, s);
	sh->rule_provider = "";
}

// ---- the shipped file

// Its providers and rules stand behind the user's, which are read next: the first provider that
// matches is the one of a site.
static void read_shipped(struct egress_reader *rd, const struct pen_ucl_node *root,
	uint32_t providers, uint32_t rules)
{
	struct egress_shape *sh = rd->shape;
	struct pen_shape_config *c = sh->c;
	struct egress_reader own = *rd;

	own.file = PEN_PROVIDER_RULES_NAME;
	sh->shipped = true;
	sh->rule_at = rules;
	c->provider += providers;
	egress_each(&own, root, "provider", false, read_provider);
	sh->shipped_provider = c->provider;
	sh->nshipped = c->nproviders;
	egress_rules_read(&own, root);
	c->provider -= providers;
	c->nproviders = 0;
	sh->shipped_rule = c->rule + rules;
	sh->nshipped_rules = sh->rule_at - rules;
	sh->rule_at = 0;
	sh->shipped = false;
}

static void append_shipped(struct egress_shape *sh)
{
	struct pen_shape_config *c = sh->c;

	for (uint32_t i = 0; i < sh->nshipped; i++) {
		if (sh->shipped_provider[i].name != NULL)
			c->provider[c->nproviders++] = sh->shipped_provider[i];
	}
	c->nrules = sh->rule_at + sh->nshipped_rules;
	if (sh->nshipped_rules > 0)
		memmove(c->rule + sh->rule_at, sh->shipped_rule,
			sh->nshipped_rules * sizeof(*c->rule));
}

// ---- a pattern that can never be reached

#define COMPARED_MAX 4096 // patterns; beyond, the comparison costs more than it is worth

struct pattern {
	const char *text;
	const struct pen_shape_section *section;
	bool mx;
};

static uint32_t list_patterns(const struct pen_shape_config *c, struct pattern *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->nproviders; i++) {
		const struct pen_shape_section *s = &c->provider[i];
		if (n + s->match.nmx + s->match.ndomains > COMPARED_MAX)
			return n;
		for (uint32_t k = 0; k < s->match.nmx; k++)
			out[n++] = (struct pattern){s->match.mx[k], s, true};
		for (uint32_t k = 0; k < s->match.ndomains; k++)
			out[n++] = (struct pattern){s->match.domains[k], s, false};
	}
	return n;
}

static int by_text(const void *a, const void *b)
{
	const struct pattern *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	if (order == 0)
		order = x->mx - y->mx;
	return order != 0 ? order : (x->section > y->section) - (x->section < y->section);
}

static void warn_unreachable(struct egress_reader *rd)
{
	struct pattern *list = calloc(COMPARED_MAX, sizeof(*list));
	uint32_t n = list != NULL ? list_patterns(rd->shape->c, list) : 0;

	if (n > 0)
		qsort(list, n, sizeof(*list), by_text);
	for (uint32_t i = 1; i < n; i++) {
		const struct pattern *a = &list[i - 1], *b = &list[i];
		if (strcmp(a->text, b->text) == 0 && a->mx == b->mx && a->section != b->section)
			pen_report_warning(rd->report, rd->file, b->section->line,
				"provider %s: %s = %s is of provider %s in line %u already, which "
				"counts",
				b->section->name, b->mx ? "mx" : "domains", b->text,
				a->section->name, a->section->line);
	}
	free(list);
}

// ---- the whole

static void read_sources(struct egress_reader *rd)
{
	const struct pen_dataplane_config *d = &rd->e->dataplane;
	struct pen_shape_config *c = rd->shape->c;

	c->nsources = d->nsources;
	for (uint32_t i = 0; i < d->nsources; i++)
		c->source[i] = (struct pen_shape_source){
			.name = egress_arena_text(rd->shape, rd->e->sources[i].name),
			.addr = rd->e->sources[i].addr,
			.helo = egress_arena_text(rd->shape, rd->e->sources[i].helo),
			.limits = rd->source_limits[i],
		};
}

static bool too_many(struct egress_reader *rd, const struct pen_ucl_node *root)
{
	static const char *const kinds[] = {
		"site", "provider", "pool", "tenant", "campaign", "warmup"};
	bool over = false;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint32_t n = egress_count(root, kinds[i]);
		if (n > PEN_SECTIONS_MAX)
			pen_report_error(rd->report, rd->file, 0,
				"%u sections %s: accepted are at most %d", n, kinds[i],
				PEN_SECTIONS_MAX);
		over = over || n > PEN_SECTIONS_MAX;
	}
	return over;
}

static void *section_array(struct egress_shape *sh, uint32_t n, size_t size)
{
	return egress_arena(sh, n * size);
}

static void make_arrays(struct egress_shape *sh, const struct pen_ucl_node *root,
	uint32_t shipped_providers, uint32_t shipped_rules)
{
	struct pen_shape_config *c = sh->c;
	uint32_t rules = count_rules(root);

	c->site = section_array(sh, egress_count(root, "site"), sizeof(*c->site));
	c->provider = section_array(
		sh, egress_count(root, "provider") + shipped_providers, sizeof(*c->provider));
	c->pool = section_array(sh, egress_count(root, "pool") + 1, sizeof(*c->pool));
	c->tenant = section_array(sh, egress_count(root, "tenant"), sizeof(*c->tenant));
	c->campaign = section_array(sh, egress_count(root, "campaign"), sizeof(*c->campaign));
	c->warmup = section_array(sh, egress_count(root, "warmup"), sizeof(*c->warmup));
	c->rule = section_array(sh, rules + shipped_rules, sizeof(*c->rule));
}

static struct pen_shape_config *make_config(
	struct egress_shape *sh, const struct pen_dataplane_config *d, size_t size)
{
	struct pen_shape_config *c = calloc(1, sizeof(*c));

	size += d->nsources * (sizeof(struct pen_shape_source) + 320) +
		sizeof(struct pen_shape_pool) + 4096;
	if (c == NULL || (c->arena = calloc(1, size)) == NULL) {
		free(c);
		return NULL;
	}
	sh->c = c;
	sh->at = c->arena;
	sh->end = sh->at + size;
	sh->rule_provider = sh->rule_site = "";
	c->source = egress_arena(sh, d->nsources * sizeof(*c->source));
	c->defaults.name = egress_arena_text(sh, "default");
	return c;
}

int egress_shape_build(struct egress_reader *rd, const struct pen_ucl_node *root,
	const struct pen_ucl_node *shipped)
{
	struct egress_shape sh = {0};
	size_t size = measure(root) + measure_sections(root);
	uint32_t user = egress_count(root, "provider"), providers = 0, rules = 0;

	if (too_many(rd, root))
		return -EINVAL;
	if (shipped != NULL) {
		size += measure(shipped) + measure_sections(shipped);
		providers = egress_count(shipped, "provider");
		rules = count_rules(shipped);
	}
	rd->e->shape = make_config(&sh, &rd->e->dataplane, size);
	if (rd->e->shape == NULL)
		return -ENOMEM;
	rd->shape = &sh;
	make_arrays(&sh, root, providers, rules);
	if (shipped != NULL)
		read_shipped(rd, shipped, user, count_rules(root));
	read_sources(rd);
	read_defaults(rd, root);
	egress_each(rd, root, "site", false, read_site);
	egress_each(rd, root, "provider", false, read_provider);
	warn_unreachable(rd);
	egress_rules_read(rd, root);
	append_shipped(&sh);
	egress_owners_read(rd, root);
	rd->shape = NULL;
	return 0;
}
