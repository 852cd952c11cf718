// SPDX-License-Identifier: BSD-3-Clause

// Loading: a rule table whose results are actions that we know.

#include "header_checks_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *word; // in a table
	const char *name; // in a log
	enum pen_header_action action;
} actions[] = {
	{"DUNNO", "dunno", PEN_HEADER_DUNNO},
	{"REJECT", "reject", PEN_HEADER_REJECT},
	{"HOLD", "hold", PEN_HEADER_HOLD},
	{"DISCARD", "discard", PEN_HEADER_DISCARD},
	{"WARN", "warning", PEN_HEADER_WARN},
	{"INFO", "info", PEN_HEADER_INFO},
	{"PREPEND", "prepend", PEN_HEADER_PREPEND},
	{"IGNORE", "ignore", PEN_HEADER_IGNORE},
	{"STRIP", "strip", PEN_HEADER_STRIP},
	{"OK", "dunno", PEN_HEADER_DUNNO},
};
#define NACTIONS (sizeof(actions) / sizeof(actions[0]))

const char *pen_header_action_name(enum pen_header_action a)
{
	return actions[a].name;
}

// A header name, its colon, and no capture before it: so that what is put in
// front of a header is one, whatever the mail holds.
static bool has_label(struct pen_span text)
{
	ptrdiff_t colon = pen_span_find(text, ':');

	for (ptrdiff_t i = 0; i < colon; i++) {
		if (text.p[i] <= ' ' || text.p[i] > '~' || text.p[i] == '$')
			return false;
	}
	return colon > 0;
}

// NULL, or what is wrong with the text of the action.
static const char *wrong_text(const struct header_rule *r)
{
	uint8_t klass;
	uint16_t subject, detail;

	if (r->action == PEN_HEADER_PREPEND && !has_label(r->text))
		return "PREPEND needs a header, as in \"PREPEND X-Name: value\"";
	if (r->action == PEN_HEADER_REJECT &&
		pen_dsn_parse_status(r->text, &klass, &subject, &detail) > 0 && klass == 2)
		return "REJECT cannot have a 2.x.x status; use 4.x.x or 5.x.x";
	return NULL;
}

static bool parse_action(struct header_rule *r, struct pen_span result, char *err, size_t cap)
{
	size_t n = 0;

	while (n < result.n && !isspace(result.p[n]))
		n++;
	r->text = pen_span_trim(pen_span_from(result, n));
	for (size_t i = 0; i < NACTIONS; i++) {
		if (!pen_span_ieq(pen_span(result.p, n), pen_span_cstr(actions[i].word)))
			continue;
		r->action = actions[i].action;
		const char *wrong = wrong_text(r);
		if (wrong != NULL)
			snprintf(err, cap, "%s", wrong);
		return wrong == NULL;
	}
	snprintf(err, cap,
		"unknown action \"%.*s\"; known are REJECT, HOLD, DISCARD, WARN, INFO, PREPEND, "
		"IGNORE, STRIP and DUNNO",
		(int)(n < 40 ? n : 40), (const char *)result.p);
	return false;
}

static struct pen_header_checks *from_table(
	const char *name, struct pen_rule_table *table, char *err, size_t err_cap)
{
	struct pen_header_checks *c = calloc(1, sizeof(*c));
	size_t n = table != NULL ? pen_rule_table_count(table) : 0;
	char why[200] = "out of memory";
	unsigned line = 0;
	bool ok = false;

	if (table == NULL) { // err is set
		free(c);
		return NULL;
	}
	if (c != NULL) {
		c->table = table;
		c->rule = calloc(n + 1, sizeof(*c->rule));
		ok = c->rule != NULL;
	} else {
		pen_rule_table_free(table);
	}
	for (size_t i = 0; ok && i < n; i++) {
		line = pen_rule_table_line(table, i);
		ok = !pen_rule_table_is_rule(table, i) ||
		     parse_action(&c->rule[i], pen_rule_table_result(table, i), why, sizeof(why));
	}
	if (!ok) {
		snprintf(err, err_cap, "%s:%u: %s", name, line, why);
		pen_header_checks_free(c);
		return NULL;
	}
	return c;
}

struct pen_header_checks *pen_header_checks_load(
	const char *file, enum pen_rule_syntax syntax, char *err, size_t err_cap)
{
	return from_table(file, pen_rule_table_load(file, syntax, err, err_cap), err, err_cap);
}

struct pen_header_checks *pen_header_checks_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, char *err, size_t err_cap)
{
	return from_table(
		name, pen_rule_table_parse(name, text, syntax, err, err_cap), err, err_cap);
}

void pen_header_checks_free(struct pen_header_checks *c)
{
	if (c == NULL)
		return;
	pen_rule_table_free(c->table);
	free(c->rule);
	free(c);
}
