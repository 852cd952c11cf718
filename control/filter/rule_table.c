// SPDX-License-Identifier: BSD-3-Clause

#include "rule_table_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)8 << 20)

static bool read_file(const char *file, struct pen_buf *into)
{
	FILE *f = fopen(file, "re");
	char chunk[16384];
	size_t n;

	if (f == NULL)
		return false;
	into->limit = FILE_MAX;
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		pen_buf_add(into, chunk, n);
	bool ok = ferror(f) == 0;
	int saved = errno;
	fclose(f);
	errno = saved;
	if (ok && into->failed)
		errno = EFBIG;
	return ok && !into->failed;
}

struct pen_rule_table *rule_table_load(const char *file, enum pen_rule_syntax syntax,
	const struct pen_pattern *extra, size_t nextra, char *err, size_t err_cap)
{
	struct pen_buf text = PEN_BUF_INIT;
	struct pen_rule_table *t = NULL;

	if (read_file(file, &text))
		t = rule_table_parse(
			file, pen_buf_span(&text), syntax, extra, nextra, err, err_cap);
	else
		snprintf(err, err_cap, "%s: %s", file, strerror(errno));
	pen_buf_fini(&text);
	return t;
}

struct pen_rule_table *pen_rule_table_load(
	const char *file, enum pen_rule_syntax syntax, char *err, size_t err_cap)
{
	return rule_table_load(file, syntax, NULL, 0, err, err_cap);
}

struct pen_rule_table *pen_rule_table_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, char *err, size_t err_cap)
{
	return rule_table_parse(name, text, syntax, NULL, 0, err, err_cap);
}

void pen_rule_table_free(struct pen_rule_table *t)
{
	if (t == NULL)
		return;
	pen_pattern_set_free(t->set);
	free(t->rule);
	pen_buf_fini(&t->text);
	free(t);
}

size_t pen_rule_table_count(const struct pen_rule_table *t)
{
	return t->n;
}

bool pen_rule_table_is_rule(const struct pen_rule_table *t, size_t i)
{
	return t->rule[i].kind == RULE_RESULT;
}

struct pen_span pen_rule_table_result(const struct pen_rule_table *t, size_t i)
{
	return t->rule[i].result;
}

unsigned pen_rule_table_line(const struct pen_rule_table *t, size_t i)
{
	return t->rule[i].line;
}

struct pen_pattern_scratch *pen_rule_table_scratch_new(const struct pen_rule_table *t)
{
	return pen_pattern_scratch_new(t->set);
}

ptrdiff_t pen_rule_table_find(const struct pen_rule_table *t, struct pen_pattern_scratch *s,
	struct pen_span text, bool padded)
{
	int rc = pen_pattern_scan(s, text, padded);

	if (rc != 0)
		return rc == -ENOMEM ? rc : -1;
	if (t->plain) {
		ptrdiff_t first = pen_pattern_first(s);
		return first < (ptrdiff_t)t->npatterns ? first : -1;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct rule *r = &t->rule[i];

		if (r->kind == RULE_ENDIF)
			continue;
		bool applies = pen_pattern_hit(s, r->pattern) != r->negated;
		if (r->kind == RULE_RESULT && applies)
			return (ptrdiff_t)i;
		if (r->kind == RULE_IF && !applies)
			i = r->endif;
	}
	return -1;
}

size_t rule_macro(struct pen_span s, unsigned *group)
{
	uint8_t close = 0;
	size_t at = 1;

	if (s.n >= 2 && s.p[1] == '$') {
		*group = 0;
		return 2;
	}
	if (s.n >= 2 && (s.p[1] == '{' || s.p[1] == '(')) {
		close = s.p[1] == '{' ? '}' : ')';
		at = 2;
	}
	size_t digits = at;
	*group = 0;
	while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9' && at - digits < 2)
		*group = *group * 10 + (unsigned)(s.p[at++] - '0');
	if (at == digits || *group == 0)
		return 0;
	if (close != 0 && (at >= s.n || s.p[at++] != close))
		return 0;
	return at;
}

void pen_rule_table_expand(const struct pen_rule_table *t, struct pen_pattern_scratch *s, size_t i,
	struct pen_span part, struct pen_buf *out)
{
	struct pen_span group[PEN_PATTERN_GROUPS_MAX];
	size_t ngroups = 0;
	ptrdiff_t dollar;
	unsigned g;

	while ((dollar = pen_span_find(part, '$')) >= 0) {
		pen_buf_add(out, part.p, (size_t)dollar);
		part = pen_span_from(part, (size_t)dollar);
		part = pen_span_from(part, rule_macro(part, &g));
		if (g == 0) {
			pen_buf_add(out, "$", 1);
			continue;
		}
		if (ngroups == 0)
			ngroups = pen_pattern_capture(
				s, t->rule[i].pattern, group, PEN_PATTERN_GROUPS_MAX);
		if (g < ngroups)
			pen_buf_add_span(out, group[g]);
	}
	pen_buf_add_span(out, part);
}
