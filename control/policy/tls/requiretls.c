// SPDX-License-Identifier: BSD-3-Clause
#include "pen_requiretls.h"

#include "pen_addr.h"
#include "tls_match.h"

#include <stdio.h>
#include <stdlib.h>

#define WORD_MAX 64

struct item {
	struct pen_map *map; // or
	char word[WORD_MAX]; // as written
};

struct pen_requiretls_list {
	char param[48];
	struct item *item;
	size_t n;
};

static const char *const words[] = {[PEN_REQUIRETLS_DISABLE] = "disable",
	[PEN_REQUIRETLS_OPPORTUNISTIC] = "opportunistic",
	[PEN_REQUIRETLS_STARTTLS] = "opportunistic+starttls",
	[PEN_REQUIRETLS_ENFORCE] = "enforce"};

const char *pen_requiretls_name(enum pen_requiretls level)
{
	return (unsigned)level <= PEN_REQUIRETLS_ENFORCE ? words[level] : "unknown";
}

static bool parse_word(struct pen_span text, enum pen_requiretls *out)
{
	text = pen_span_trim(text);
	for (int i = PEN_REQUIRETLS_DISABLE; i <= PEN_REQUIRETLS_ENFORCE; i++) {
		if (pen_span_ieq(text, pen_span_cstr(words[i]))) {
			*out = (enum pen_requiretls)i;
			return true;
		}
	}
	return false;
}

static bool add_item(struct pen_requiretls_list *l, struct pen_span text,
	const struct pen_map_where *where, struct pen_report *r)
{
	struct item it = {0};
	enum pen_requiretls level;
	void *grown = realloc(l->item, (l->n + 1) * sizeof(*l->item));

	if (grown == NULL)
		return false;
	l->item = grown;
	if (pen_span_find(text, ':') >= 0) {
		it.map = pen_map_open(text, where, r);
		if (it.map == NULL)
			return true; // reported
	} else {
		snprintf(it.word, sizeof(it.word), "%.*s", PEN_SPAN_ARG(text));
		if (!parse_word(text, &level))
			pen_report_warning(r, where->file, where->line,
				"%s: \"%s\": accepted is a table, enforce, opportunistic+starttls, "
				"opportunistic or disable; mail with REQUIRETLS that gets here is "
				"deferred",
				where->param, it.word);
	}
	l->item[l->n++] = it;
	return true;
}

struct pen_requiretls_list *pen_requiretls_list_new(
	const char *list, const struct pen_map_where *where, struct pen_report *r)
{
	struct pen_requiretls_list *l = calloc(1, sizeof(*l));
	struct pen_span rest = pen_span_cstr(list), item;
	unsigned errors = r->errors;

	if (l == NULL) {
		pen_report_error(r, where->file, where->line, "%s: out of memory", where->param);
		return NULL;
	}
	snprintf(l->param, sizeof(l->param), "%s", where->param);
	while (pen_list_next(&rest, &item)) {
		if (!add_item(l, item, where, r)) {
			pen_report_error(
				r, where->file, where->line, "%s: out of memory", where->param);
			break;
		}
	}
	if (r->errors == errors)
		return l;
	pen_requiretls_list_free(l);
	return NULL;
}

void pen_requiretls_list_free(struct pen_requiretls_list *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		pen_map_free(l->item[i].map);
	free(l->item);
	free(l);
}

// One table: the key, then ".parent" up to the top; tables of patterns and
// addresses are asked once.
static enum pen_map_status find_in(
	const struct pen_map *m, struct pen_span key, struct pen_map_hit *hit)
{
	struct pen_addr addr;
	enum pen_map_status found = pen_map_lookup(m, key, hit);

	if (found != PEN_MAP_MISSING || !pen_map_fixed(m) || pen_addr_parse(&addr, key) == 0)
		return found;
	for (;;) {
		ptrdiff_t dot = pen_span_find(pen_span_from(key, 1), '.');
		if (dot < 0)
			return PEN_MAP_MISSING;
		key = pen_span_from(key, (size_t)dot + 1);
		found = pen_map_lookup(m, key, hit);
		if (found != PEN_MAP_MISSING)
			return found;
	}
}

static void fail(struct pen_requiretls_result *out, const struct pen_requiretls_list *l,
	const char *what, const char *where, struct pen_span value)
{
	out->failed = true;
	out->level = PEN_REQUIRETLS_ENFORCE;
	snprintf(out->warning, sizeof(out->warning), "%s %.100s: %s%.*s", l->param, where, what,
		(int)(value.n < 60 ? value.n : 60), value.n > 0 ? (const char *)value.p : "");
}

// True when the item decides, also by failing.
static bool ask(const struct pen_requiretls_list *l, const struct item *it, struct pen_span key,
	struct pen_requiretls_result *out)
{
	struct pen_map_hit hit;
	struct pen_span value = pen_span_cstr(it->word);

	if (it->map != NULL) {
		enum pen_map_status found = find_in(it->map, key, &hit);
		if (found == PEN_MAP_MISSING)
			return false;
		if (found == PEN_MAP_FAILED) {
			fail(out, l, "lookup failed for ", pen_map_name(it->map), key);
			return true;
		}
		value = hit.value;
	}
	if (!parse_word(value, &out->level)) {
		fail(out, l, "not a word of this policy: ",
			it->map != NULL ? pen_map_name(it->map) : "list", value);
		return true;
	}
	if (it->map != NULL)
		snprintf(out->rule, sizeof(out->rule), "%s %.100s line %u: %.*s", l->param,
			pen_map_name(it->map), hit.line, (int)(hit.key.n < 60 ? hit.key.n : 60),
			(const char *)hit.key.p);
	else
		snprintf(out->rule, sizeof(out->rule), "%s: %s", l->param, it->word);
	return true;
}

void pen_requiretls_find(const struct pen_requiretls_list *l, struct pen_span domain,
	struct pen_requiretls_result *out)
{
	char key[256];

	out->failed = false;
	out->level = PEN_REQUIRETLS_ENFORCE;
	out->rule[0] = out->warning[0] = '\0';
	if (!tls_to_ascii(domain, key)) {
		snprintf(out->rule, sizeof(out->rule), "%s: no A-label form", l->param);
		snprintf(out->warning, sizeof(out->warning),
			"%s: \"%.*s\" has no A-label form: enforce", l->param,
			(int)(domain.n < 100 ? domain.n : 100), (const char *)domain.p);
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		if (ask(l, &l->item[i], pen_span_cstr(key), out))
			return;
	}
	snprintf(out->rule, sizeof(out->rule), "%s: end of the list", l->param);
}
