// SPDX-License-Identifier: BSD-3-Clause

#include "pen_reply_class.h"

#include <stdio.h>
#include <stdlib.h>

static const char builtin[] =
#include "reply_classes.inc"
	;

struct pen_reply_classes {
	struct pen_rule_table *table;
	char (*name)[PEN_REPLY_CLASS_NAME_MAX + 1]; // by index of the table
};

static bool valid_name(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < '0' || s.p[i] > '9') &&
			s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	}
	return s.n > 0 && s.n <= PEN_REPLY_CLASS_NAME_MAX;
}

static struct pen_reply_classes *from_table(
	const char *name, struct pen_rule_table *table, char *err, size_t cap)
{
	size_t n = table != NULL ? pen_rule_table_count(table) : 0;
	struct pen_reply_classes *c = calloc(1, sizeof(*c));

	if (table == NULL) { // err is set
		free(c);
		return NULL;
	}
	if (c != NULL)
		c->name = calloc(n + 1, sizeof(*c->name));
	if (c == NULL || c->name == NULL) {
		snprintf(err, cap, "%s: out of memory", name);
		pen_rule_table_free(table);
		free(c);
		return NULL;
	}
	c->table = table;
	for (size_t i = 0; i < n; i++) {
		struct pen_span s = pen_rule_table_result(table, i);

		if (!pen_rule_table_is_rule(table, i))
			continue;
		if (!valid_name(s)) {
			snprintf(err, cap,
				"%s:%u: \"%.*s\" is no class name: up to %d of a-z, 0-9 and -_.",
				name, pen_rule_table_line(table, i), (int)(s.n < 40 ? s.n : 40),
				(const char *)s.p, PEN_REPLY_CLASS_NAME_MAX);
			pen_reply_classes_free(c);
			return NULL;
		}
		memcpy(c->name[i], s.p, s.n);
	}
	return c;
}

struct pen_reply_classes *pen_reply_classes_load(const char *file, char *err, size_t err_cap)
{
	if (file == NULL)
		return pen_reply_classes_parse(
			"built-in reply classes", pen_span_cstr(builtin), err, err_cap);
	return from_table(
		file, pen_rule_table_load(file, PEN_RULES_PCRE, err, err_cap), err, err_cap);
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

	return i >= 0 ? c->name[i] : PEN_REPLY_CLASS_OTHER;
}
