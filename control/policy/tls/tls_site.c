// SPDX-License-Identifier: BSD-3-Clause

// The part of a decision that is the same for all hosts of a next hop.

#include "tls_private.h"

#include "pen_params.h"

#include <stdio.h>
#include <stdlib.h>

void tls_text_add(struct tls_text *t, struct pen_span s)
{
	size_t room = (size_t)(t->end - t->at);
	size_t n = s.n < room ? s.n : room;

	if (n > 0)
		memcpy(t->at, s.p, n);
	t->at += n;
	*t->at = '\0';
}

void tls_text_hit(struct tls_text *t, const char *param, const struct pen_map_hit *hit)
{
	char line[12], *p = line + sizeof(line);

	tls_text_cstr(t, param);
	tls_text_cstr(t, " ");
	struct pen_span name = pen_span_cstr(pen_map_name(hit->map));
	name.n = name.n < 160 ? name.n : 160;
	tls_text_add(t, name);
	if (hit->line > 0) {
		*--p = '\0';
		for (unsigned n = hit->line; n > 0; n /= 10)
			*--p = (char)('0' + n % 10);
		tls_text_cstr(t, " line ");
		tls_text_cstr(t, p);
	}
	tls_text_cstr(t, ": ");
	tls_text_add(t, hit->key);
	tls_text_cstr(t, " ");
	tls_text_add(t, hit->value);
}

void tls_dsn_config(struct pen_dsn *d)
{
	pen_dsn_set(d, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"client TLS configuration problem");
}

static void invalidate(struct pen_tls_site_decision *out)
{
	out->invalid = true;
	out->level = PEN_TLS_INVALID;
	out->attributes = NULL;
	tls_dsn_config(&out->why);
}

static struct tls_site_private *private_of(struct pen_tls_site_decision *out)
{
	if (out->owned == NULL)
		out->owned = calloc(1, sizeof(struct tls_site_private));
	return out->owned;
}

// The parsed value of a hit; what a pattern made is parsed now.
static const struct pen_tls_attributes *attributes_of(const struct pen_tls_settings *s,
	const struct pen_map_hit *hit, struct pen_tls_site_decision *out)
{
	if (!hit->lasts) {
		struct tls_site_private *own = private_of(out);
		if (own != NULL)
			own->attributes = tls_attributes_parse(hit->value, s->digest);
		return own != NULL ? own->attributes : NULL;
	}
	for (size_t t = 0; t < s->policy_maps.n; t++) {
		if (s->policy_maps.map[t] == hit->map)
			return s->entry[t][hit->index];
	}
	return NULL;
}

static void warn_value(struct pen_tls_site_decision *out, struct pen_span nexthop,
	const struct pen_map_hit *hit, const char *what)
{
	struct tls_text t = tls_text(out->warning, sizeof(out->warning));

	tls_text_cstr(&t, "TLS policy lookup for ");
	tls_text_add(&t, pen_span(nexthop.p, nexthop.n < 100 ? nexthop.n : 100));
	tls_text_cstr(&t, ": ");
	tls_text_cstr(&t, what);
	tls_text_cstr(&t, ": ");
	tls_text_hit(&t, "smtp_tls_policy_maps", hit);
}

static void take_value(const struct pen_tls_settings *s, struct pen_span nexthop,
	const struct pen_map_hit *hit, struct pen_tls_site_decision *out)
{
	const struct pen_tls_attributes *a = attributes_of(s, hit, out);
	struct tls_text t = tls_text(out->rule.text, sizeof(out->rule.text));

	tls_text_hit(&t, "smtp_tls_policy_maps", hit);
	out->from_table = true;
	if (a == NULL || a->level == PEN_TLS_INVALID) {
		invalidate(out);
		warn_value(out, nexthop, hit, a != NULL ? a->why : "out of memory");
		return;
	}
	out->level = a->level;
	out->attributes = a;
	if (a->note[0] != '\0')
		warn_value(out, nexthop, hit, a->note);
}

static void fail_lookup(
	struct pen_tls_site_decision *out, struct pen_span key, const struct pen_map_hit *hit)
{
	invalidate(out);
	out->from_table = true;
	snprintf(out->warning, sizeof(out->warning),
		"TLS policy lookup for %.*s: smtp_tls_policy_maps: %.200s lookup error",
		(int)(key.n < 200 ? key.n : 200), (const char *)key.p, pen_map_name(hit->map));
	snprintf(out->rule.text, sizeof(out->rule.text),
		"smtp_tls_policy_maps %.200s: lookup error", pen_map_name(hit->map));
}

// Is the text a domain, so that its parents are keys too?
static bool has_parents(struct pen_span text)
{
	return pen_hostname_valid(text);
}

// Parents are looked up in tables of fixed strings only.
static enum pen_map_status find_parent(
	const struct pen_maps *maps, struct pen_span key, struct pen_map_hit *hit)
{
	for (size_t i = 0; i < maps->n; i++) {
		if (!pen_map_fixed(maps->map[i]))
			continue;
		enum pen_map_status found = pen_map_lookup(maps->map[i], key, hit);
		if (found != PEN_MAP_MISSING)
			return found;
	}
	return PEN_MAP_MISSING;
}

// True when the tables decided, also by failing.
static bool decide_by_tables(
	const struct pen_tls_settings *s, struct pen_span text, struct pen_tls_site_decision *out)
{
	struct pen_map_hit hit;
	struct pen_span key = text;
	enum pen_map_status found = pen_maps_lookup(&s->policy_maps, key, &hit);

	while (found == PEN_MAP_MISSING && has_parents(text)) {
		ptrdiff_t dot = pen_span_find(pen_span_from(key, 1), '.');
		if (dot < 0)
			return false;
		key = pen_span_from(key, (size_t)dot + 1);
		found = find_parent(&s->policy_maps, key, &hit);
	}
	if (found == PEN_MAP_MISSING)
		return false;
	if (found == PEN_MAP_FAILED)
		fail_lookup(out, key, &hit);
	else
		take_value(s, text, &hit, out);
	return true;
}

// One key of the legacy table. False: the lookup failed.
static bool per_site_find(const struct pen_tls_settings *s, struct pen_span key,
	struct pen_map_hit *hit, enum pen_tls_per_site *out)
{
	enum pen_map_status found = pen_maps_lookup(&s->per_site, key, hit);

	*out = found == PEN_MAP_FOUND ? pen_tls_per_site_parse(hit->value) : PEN_PER_SITE_NO_MATCH;
	return found != PEN_MAP_FAILED;
}

static void per_site_broken(struct pen_span key, bool failed, const struct pen_map_hit *hit,
	struct pen_dsn *why, char *warning, size_t cap)
{
	struct pen_span value = failed ? pen_span("", 0) : hit->value;

	if (failed)
		pen_dsn_set(why, 4, 3, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
			"Temporary lookup error");
	else
		tls_dsn_config(why);
	snprintf(warning, cap, "TLS policy lookup for %.*s: smtp_tls_per_site %.100s: %s%.*s",
		(int)(key.n < 60 ? key.n : 60), (const char *)key.p, pen_map_name(hit->map),
		failed ? "lookup error"
		       : "accepted is NONE, MAY, MUST_NOPEERMATCH or MUST, and not ",
		(int)(value.n < 20 ? value.n : 20), (const char *)value.p);
}

static void decide_by_per_site(
	const struct pen_tls_settings *s, const char *text, struct pen_tls_site_decision *out)
{
	struct tls_site_private *own = private_of(out);
	struct pen_span key = pen_span_cstr(text);
	struct pen_map_hit hit;

	if (own == NULL) {
		invalidate(out);
		return;
	}
	own->per_site = true;
	snprintf(own->nexthop_text, sizeof(own->nexthop_text), "%s", text);
	bool found = per_site_find(s, key, &hit, &own->keyword);
	if (!found || own->keyword == PEN_PER_SITE_BAD) {
		invalidate(out);
		per_site_broken(key, !found, &hit, &out->why, out->warning, sizeof(out->warning));
		snprintf(out->rule.text, sizeof(out->rule.text), "smtp_tls_per_site");
		return;
	}
	out->level = pen_tls_per_site_level(s->global, own->keyword);
	if (own->keyword != PEN_PER_SITE_NO_MATCH) {
		struct tls_text t = tls_text(out->rule.text, sizeof(out->rule.text));
		tls_text_hit(&t, "smtp_tls_per_site", &hit);
	}
}

// The mail says that TLS is not required: no policy is looked up, and nothing
// that would stop the mail is left.
static void decide_not_required(const struct pen_tls_settings *s, struct pen_tls_site_decision *out)
{
	enum pen_tls_level most = s->wrapper ? PEN_TLS_ENCRYPT : PEN_TLS_MAY;

	out->level = s->global < most ? s->global : most;
	snprintf(
		out->rule.text, sizeof(out->rule.text), "TLS-Required: no, and %s", s->global_rule);
}

static void decide_requiretls(const struct pen_requiretls_list *list, struct pen_span host,
	struct pen_tls_site_decision *out)
{
	struct pen_requiretls_result found;

	pen_requiretls_find(list, host, &found);
	out->requiretls = found.level;
	size_t n = strlen(out->rule.text);
	snprintf(out->rule.text + n, sizeof(out->rule.text) - n, "; %s", found.rule);
	if (found.warning[0] != '\0' && out->warning[0] == '\0')
		snprintf(out->warning, sizeof(out->warning), "%s", found.warning);
	if (!found.failed || out->invalid)
		return;
	out->invalid = true;
	out->level = PEN_TLS_INVALID;
	pen_dsn_set(&out->why, 4, 7, 10, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"REQUIRETLS policy configuration error");
}

static void decide_wants(const struct pen_tls_settings *s, const struct pen_nexthop *nexthop,
	bool excused, struct pen_tls_site_decision *out)
{
	const struct tls_site_private *own = out->owned;
	bool matched = own != NULL && own->keyword != PEN_PER_SITE_NO_MATCH;

	out->want_tlsa =
		s->dane_possible && (out->level == PEN_TLS_DANE || out->level == PEN_TLS_DANE_ONLY);
	out->want_sts = s->sts_enable && !out->from_table && !matched && !excused &&
			out->level > PEN_TLS_NONE && !nexthop->literal &&
			nexthop->port == PEN_NEXTHOP_PORT;
	out->want_tlsrpt = s->tlsrpt_enable && s->global > PEN_TLS_NONE && !excused &&
			   nexthop->addr.family == PEN_FAMILY_NONE;
}

void pen_tls_site_decide(const struct pen_tls_settings *s, const struct pen_nexthop *nexthop,
	const char *nexthop_text, enum pen_tls_demand demand, bool lmtp,
	struct pen_tls_site_decision *out)
{
	bool excused = demand == PEN_DEMAND_NOT_REQUIRED && s->required_enable;
	char canonical[PEN_NEXTHOP_MAX];
	struct pen_span host = pen_span_cstr(nexthop->host);

	*out = (struct pen_tls_site_decision){.level = s->global, .demand = demand};
	if (nexthop_text == NULL)
		nexthop_text = pen_nexthop_str(nexthop, canonical);
	if (!tls_to_ascii(host, out->nexthop))
		snprintf(out->nexthop, sizeof(out->nexthop), "%s", nexthop->host);
	if (excused)
		decide_not_required(s, out);
	else if (s->use_per_site)
		decide_by_per_site(s, nexthop_text, out);
	else if (s->policy_maps.n > 0)
		decide_by_tables(s, pen_span_cstr(nexthop_text), out);
	if (out->rule.text[0] == '\0') {
		struct tls_text t = tls_text(out->rule.text, sizeof(out->rule.text));
		tls_text_cstr(&t, s->global_rule);
	}
	if (demand == PEN_DEMAND_REQUIRETLS && s->requiretls_enable)
		decide_requiretls(lmtp ? s->lmtp_requiretls : s->requiretls, host, out);
	decide_wants(s, nexthop, excused, out);
}

void pen_tls_site_decision_fini(struct pen_tls_site_decision *d)
{
	struct tls_site_private *own = d->owned;

	if (own != NULL)
		tls_attributes_free(own->attributes);
	free(own);
	d->owned = NULL;
	d->attributes = NULL;
}

void tls_base_decide(const struct pen_tls_settings *s, const struct pen_tls_site_decision *site,
	const char *host, struct tls_base *out)
{
	const struct tls_site_private *own = site->owned;
	enum pen_tls_per_site keyword = PEN_PER_SITE_NO_MATCH;
	struct pen_map_hit hit = {0};
	bool found = true;

	out->level = site->level;
	out->local = site->from_table;
	out->invalid = site->invalid;
	out->rule[0] = out->warning[0] = '\0';
	if (site->invalid) {
		out->why = site->why;
		return;
	}
	if (own == NULL || !own->per_site)
		return;
	if (strcasecmp(host, own->nexthop_text) != 0)
		found = per_site_find(s, pen_span_cstr(host), &hit, &keyword);
	if (!found || keyword == PEN_PER_SITE_BAD) {
		out->invalid = true;
		out->level = PEN_TLS_INVALID;
		per_site_broken(pen_span_cstr(host), !found, &hit, &out->why, out->warning,
			sizeof(out->warning));
		return;
	}
	enum pen_tls_per_site both = pen_tls_per_site_combine(keyword, own->keyword);
	out->level = pen_tls_per_site_level(s->global, both);
	out->local = both != PEN_PER_SITE_NO_MATCH;
	if (keyword > own->keyword) {
		struct tls_text t = tls_text(out->rule, sizeof(out->rule));
		tls_text_hit(&t, "smtp_tls_per_site", &hit);
	}
}
