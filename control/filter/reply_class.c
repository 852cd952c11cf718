// SPDX-License-Identifier: BSD-3-Clause

#include "reply_class_internal.h"

#include "rule_table_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char builtin[] =
#include "reply_classes.inc"
	;
#define BUILTIN_NAME "built-in reply classes"

static bool valid_name(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < '0' || s.p[i] > '9') &&
			s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	}
	return s.n > 0 && s.n <= PEN_REPLY_CLASS_NAME_MAX;
}

// The id of a name, which is new or known. 0 when there are too many.
static uint16_t intern(struct pen_reply_classes *c, struct pen_span s)
{
	for (uint32_t i = 0; i < c->nnames; i++) {
		if (pen_span_eq(s, pen_span_cstr(c->name[i])))
			return (uint16_t)i;
	}
	if (c->nnames == REPLY_CLASS_NAMES_MAX)
		return 0;
	memcpy(c->name[c->nnames], s.p, s.n);
	return (uint16_t)c->nnames++;
}

static bool name_all(struct pen_reply_classes *c, const char *name, char *err, size_t cap)
{
	size_t n = pen_rule_table_count(c->table);

	for (size_t i = 0; i < n; i++) {
		struct pen_span s = pen_rule_table_result(c->table, i);
		unsigned line = pen_rule_table_line(c->table, i);

		if (!pen_rule_table_is_rule(c->table, i))
			continue;
		if (!valid_name(s)) {
			snprintf(err, cap,
				"%s:%u: \"%.*s\" is no class name: up to %d of a-z, 0-9 and -_.",
				name, line, (int)(s.n < 40 ? s.n : 40), (const char *)s.p,
				PEN_REPLY_CLASS_NAME_MAX);
			return false;
		}
		c->id[i] = intern(c, s);
		if (c->id[i] == 0 && !pen_span_eq(s, pen_span_cstr(PEN_REPLY_CLASS_OTHER))) {
			snprintf(err, cap, "%s:%u: more than %d classes", name, line,
				REPLY_CLASS_NAMES_MAX);
			return false;
		}
	}
	return true;
}

// Takes over the table.
static struct pen_reply_classes *from_table(
	const char *name, struct pen_rule_table *table, char *err, size_t cap)
{
	struct pen_reply_classes *c = calloc(1, sizeof(*c));

	if (table == NULL) { // err is set
		free(c);
		return NULL;
	}
	if (c != NULL) {
		c->id = calloc(pen_rule_table_count(table) + 1, sizeof(*c->id));
		c->name = calloc(REPLY_CLASS_NAMES_MAX, sizeof(*c->name));
	}
	if (c == NULL || c->id == NULL || c->name == NULL) {
		snprintf(err, cap, "%s: out of memory", name);
		pen_rule_table_free(table);
		pen_reply_classes_free(c);
		return NULL;
	}
	c->table = table;
	intern(c, pen_span_cstr(PEN_REPLY_CLASS_OTHER));
	for (uint32_t i = 0; pen_failure_class_name(i) != NULL; i++)
		intern(c, pen_span_cstr(pen_failure_class_name(i)));
	if (!name_all(c, name, err, cap)) {
		pen_reply_classes_free(c);
		return NULL;
	}
	return c;
}

struct pen_reply_classes *reply_classes_load(
	const char *file, const struct pen_pattern *extra, size_t nextra, char *err, size_t err_cap)
{
	struct pen_rule_table *t;

	if (file != NULL)
		t = rule_table_load(file, PEN_RULES_PCRE, extra, nextra, err, err_cap);
	else
		t = rule_table_parse(BUILTIN_NAME, pen_span_cstr(builtin), PEN_RULES_PCRE, extra,
			nextra, err, err_cap);
	return from_table(file != NULL ? file : BUILTIN_NAME, t, err, err_cap);
}

struct pen_reply_classes *pen_reply_classes_load(const char *file, char *err, size_t err_cap)
{
	return reply_classes_load(file, NULL, 0, err, err_cap);
}

struct pen_reply_classes *pen_reply_classes_parse(
	const char *name, struct pen_span text, char *err, size_t err_cap)
{
	return from_table(
		name, pen_rule_table_parse(name, text, PEN_RULES_PCRE, err, err_cap), err, err_cap);
}

void pen_reply_classes_free(struct pen_reply_classes *c)
{
	if (c == NULL)
		return;
	pen_rule_table_free(c->table);
	free(c->id);
	free(c->name);
	free(c);
}

struct pen_pattern_scratch *pen_reply_scratch_new(const struct pen_reply_classes *c)
{
	return pen_rule_table_scratch_new(c->table);
}

const char *pen_reply_classify(
	const struct pen_reply_classes *c, struct pen_pattern_scratch *s, struct pen_span reply)
{
	ptrdiff_t i = pen_rule_table_find(c->table, s, reply, false);

	return c->name[i >= 0 ? c->id[i] : 0];
}
