// SPDX-License-Identifier: BSD-3-Clause

// The patterns of the rules stand behind those of the classes in one set: the
// scan that names the class has found the rules too.

#include "pen_reply_rules.h"

#include "reply_class_internal.h"
#include "rule_table_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// The site section that a rule stands in, kept because the configuration may be
// replaced before the rules are.
struct place {
	char *name;
	char **mx;
	uint32_t nmx;
	bool domains; // it also names domains, which a host set does not tell
};

struct reply_rule {
	uint32_t index;  // in the configuration
	char *provider;  // NULL: everywhere
	ptrdiff_t place; // -1: everywhere
};

struct pen_reply_rules {
	struct pen_reply_classes *classes;
	size_t first; // pattern of rule[0]
	struct reply_rule *rule;
	struct place *place;
	uint32_t nrules, nplaces;
};

// ---- patterns

// "/pattern/flags", as in a table, or a bare pattern. False: *err is set.
static bool take_pattern(const char *egress, const struct pen_shape_rule *r,
	struct pen_pattern *out, char *err, size_t cap)
{
	struct pen_span s = pen_span_cstr(r->pattern);
	const char *close = strrchr(r->pattern, '/');

	*out = (struct pen_pattern){s, PEN_PATTERN_CASELESS | PEN_PATTERN_DOTALL, egress, r->line};
	if (s.p[0] != '/')
		return true;
	if (close == r->pattern) {
		snprintf(err, cap, "%s:%u: reply = \"%.80s\": no closing \"/\" at position %zu",
			egress, r->line, r->pattern, s.n + 1);
		return false;
	}
	out->text = pen_span(s.p + 1, (size_t)(close - r->pattern) - 1);
	for (const char *f = close + 1; *f != '\0'; f++) {
		if (rule_flag((uint8_t)*f, &out->flags))
			continue;
		snprintf(err, cap,
			"%s:%u: reply = \"%.80s\": \"%c\" at position %zu is no flag: accepted are "
			"i m s x A E U X",
			egress, r->line, r->pattern, *f >= ' ' && *f <= '~' ? *f : '?',
			(size_t)(f - r->pattern) + 1);
		return false;
	}
	return true;
}

// ---- sections

static bool copy_place(struct place *p, const struct pen_shape_section *sec)
{
	p->name = strdup(sec->name);
	p->mx = calloc(sec->match.nmx + 1, sizeof(*p->mx));
	p->domains = sec->match.ndomains > 0;
	if (p->name == NULL || p->mx == NULL)
		return false;
	for (; p->nmx < sec->match.nmx; p->nmx++) {
		p->mx[p->nmx] = strdup(sec->match.mx[p->nmx]);
		if (p->mx[p->nmx] == NULL)
			return false;
	}
	return true;
}

static bool copy_places(struct pen_reply_rules *r, const struct pen_shape_config *cfg)
{
	r->place = calloc(cfg->nsites + 1, sizeof(*r->place));
	if (r->place == NULL)
		return false;
	for (; r->nplaces < cfg->nsites; r->nplaces++) {
		if (!copy_place(&r->place[r->nplaces], &cfg->site[r->nplaces])) {
			r->nplaces++; // what there is of it is freed
			return false;
		}
	}
	return true;
}

static bool copy_rule(struct pen_reply_rules *r, const struct pen_shape_rule *from, uint32_t index)
{
	struct reply_rule *to = &r->rule[r->nrules++];

	*to = (struct reply_rule){.index = index, .place = -1};
	if (from->provider != NULL && from->provider[0] != '\0' &&
		(to->provider = strdup(from->provider)) == NULL)
		return false;
	if (from->site == NULL || from->site[0] == '\0')
		return true;
	for (uint32_t i = 0; i < r->nplaces; i++) {
		if (strcmp(r->place[i].name, from->site) == 0)
			to->place = i;
	}
	return true;
}

// Hosts of a set, one after the other. Of "(a|b)?.mx.example." first the common part,
// which may itself be a host, then a and b with it.
struct hosts {
	struct pen_span rest;   // of the name of the set
	struct pen_span labels; // of "(a|b|c)?" not given yet
	struct pen_span common; // what follows
};

static bool next_host(struct hosts *h, struct pen_span *label, struct pen_span *rest)
{
	if (h->labels.n > 0) {
		ptrdiff_t bar = pen_span_find(h->labels, '|');
		*label = pen_span(h->labels.p, bar >= 0 ? (size_t)bar : h->labels.n);
		*rest = h->common;
		h->labels = pen_span_from(h->labels, label->n + (bar >= 0));
		return true;
	}
	if (h->rest.n == 0)
		return false;
	ptrdiff_t comma = pen_span_find(h->rest, ',');
	struct pen_span one = pen_span(h->rest.p, comma >= 0 ? (size_t)comma : h->rest.n);
	h->rest = pen_span_from(h->rest, one.n + (comma >= 0));
	ptrdiff_t close = one.n > 0 && one.p[0] == '(' ? pen_span_find(one, ')') : -1;
	*label = pen_span("", 0);
	*rest = one;
	if (close > 0) {
		h->labels = pen_span(one.p + 1, (size_t)close - 1);
		h->common = pen_span_from(one, (size_t)close + 1);
		if (h->common.n > 0 && h->common.p[0] == '?')
			h->common = pen_span_from(h->common, 1);
		*rest = pen_span_from(h->common, h->common.n > 0 && h->common.p[0] == '.');
	}
	return true;
}

// Whether "mx.example.com", "*.example.com" or "*" holds for label + rest.
static bool host_matches(const char *pattern, struct pen_span label, struct pen_span rest)
{
	char host[256]; // no name is longer
	size_t n = strlen(pattern);

	int len = snprintf(host, sizeof(host), "%.*s%.*s", PEN_SPAN_ARG(label), PEN_SPAN_ARG(rest));
	if (len <= 0 || (size_t)len >= sizeof(host))
		return false;
	if (host[len - 1] == '.')
		host[--len] = '\0';
	if (strcmp(pattern, "*") == 0)
		return true;
	if (strncmp(pattern, "*.", 2) != 0)
		return strcasecmp(pattern, host) == 0;
	if (strcasecmp(pattern + 2, host) == 0)
		return true;
	return (size_t)len >= n && strcasecmp(host + len - (n - 1), pattern + 1) == 0;
}

static bool place_holds(const struct place *p, struct pen_span site)
{
	struct hosts h = {.rest = site};
	struct pen_span label, rest;

	if (site.n == 0)
		return false;
	if (p->domains || pen_span_eq(site, pen_span_cstr(p->name)))
		return true;
	while (next_host(&h, &label, &rest)) {
		for (uint32_t i = 0; i < p->nmx; i++) {
			if (host_matches(p->mx[i], label, rest))
				return true;
		}
	}
	return false;
}

// ---- the rules

static bool fill(struct pen_reply_rules *r, const char *egress, const struct pen_shape_config *cfg,
	struct pen_pattern *pattern, char *err, size_t cap)
{
	for (uint32_t i = 0; i < cfg->nrules; i++) {
		const struct pen_shape_rule *rule = &cfg->rule[i];

		if (rule->pattern == NULL || rule->pattern[0] == '\0')
			continue; // it waits for a signal
		if (!take_pattern(egress, rule, &pattern[r->nrules], err, cap))
			return false;
		if (!copy_rule(r, rule, i)) {
			snprintf(err, cap, "%s: out of memory", egress);
			return false;
		}
	}
	return true;
}

struct pen_reply_rules *pen_reply_rules_new(const char *class_file, const char *egress,
	const struct pen_shape_config *cfg, char *err, size_t err_cap)
{
	static const struct pen_shape_config none;
	struct pen_reply_rules *r = calloc(1, sizeof(*r));
	struct pen_pattern *pattern;

	if (cfg == NULL)
		cfg = &none;
	pattern = calloc(cfg->nrules + 1, sizeof(*pattern));
	if (r != NULL)
		r->rule = calloc(cfg->nrules + 1, sizeof(*r->rule));
	bool ok = r != NULL && pattern != NULL && r->rule != NULL && copy_places(r, cfg);
	if (!ok)
		snprintf(err, err_cap, "%s: out of memory", egress);
	ok = ok && fill(r, egress, cfg, pattern, err, err_cap);
	if (ok)
		r->classes = reply_classes_load(class_file, pattern, r->nrules, err, err_cap);
	free(pattern);
	if (!ok || r->classes == NULL) {
		pen_reply_rules_free(r);
		return NULL;
	}
	r->first = r->classes->table->npatterns;
	return r;
}

void pen_reply_rules_free(struct pen_reply_rules *r)
{
	if (r == NULL)
		return;
	pen_reply_classes_free(r->classes);
	for (uint32_t i = 0; i < r->nrules; i++)
		free(r->rule[i].provider);
	for (uint32_t i = 0; i < r->nplaces; i++) {
		for (uint32_t k = 0; k < r->place[i].nmx; k++)
			free(r->place[i].mx[k]);
		free(r->place[i].mx);
		free(r->place[i].name);
	}
	free(r->rule);
	free(r->place);
	free(r);
}

struct pen_pattern_scratch *pen_reply_rules_scratch(const struct pen_reply_rules *r)
{
	return pen_reply_scratch_new(r->classes);
}

uint32_t pen_reply_class_count(const struct pen_reply_rules *r)
{
	return r->classes->nnames;
}

const char *pen_reply_class_name(const struct pen_reply_rules *r, uint32_t id)
{
	return r->classes->name[id];
}

uint32_t pen_reply_class_find(const struct pen_reply_rules *r, const char *name)
{
	for (uint32_t i = 0; i < r->classes->nnames; i++) {
		if (strcmp(r->classes->name[i], name) == 0)
			return i;
	}
	return 0;
}

static bool applies(const struct pen_reply_rules *r, const struct reply_rule *rule,
	const char *provider, struct pen_span site)
{
	if (rule->provider != NULL && strcmp(rule->provider, provider) != 0)
		return false;
	return rule->place < 0 || place_holds(&r->place[rule->place], site);
}

void pen_reply_rules_match(const struct pen_reply_rules *r, struct pen_pattern_scratch *s,
	struct pen_span reply, const char *provider, struct pen_span site,
	struct pen_reply_match *out)
{
	ptrdiff_t i = pen_rule_table_find(r->classes->table, s, reply, false);

	out->klass_id = i >= 0 ? r->classes->id[i] : 0;
	out->klass = r->classes->name[out->klass_id];
	out->nrules = 0;
	if (i == -ENOMEM || r->nrules == 0)
		return; // nothing was scanned
	for (ptrdiff_t p = (ptrdiff_t)r->first - 1;
		out->nrules < PEN_REPLY_RULES_MAX &&
		(p = pen_pattern_next(s, (size_t)p + 1)) >= 0;) {
		const struct reply_rule *rule = &r->rule[(size_t)p - r->first];
		if (applies(r, rule, provider, site))
			out->rule[out->nrules++] = rule->index;
	}
}
