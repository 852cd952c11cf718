// SPDX-License-Identifier: BSD-3-Clause

// The patterns of pcre: and regexp: tables, run by PCRE2.

#define PCRE2_CODE_UNIT_WIDTH 8

#include "map_priv.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATTERN_MAX 8192
#define GROUPS_MAX 99
// A pattern that backtracks for longer fails the lookup.
#define MATCH_LIMIT 200000
#define HEAP_LIMIT 4096 // KiB

struct map_matcher {
	pcre2_match_data *data;
	pcre2_match_context *context;
};

__attribute__((format(printf, 3, 4))) static bool fail(
	struct map_rules *s, unsigned line, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pen_report_error(s->r, s->file, line, "%s%s", s->head, text);
	return false;
}

static uint32_t flag_bit(const struct pen_map *m, uint8_t c, bool *known)
{
	static const struct {
		char letter;
		uint32_t bit;
	} flags[] = {{'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE}, {'s', PCRE2_DOTALL},
		{'x', PCRE2_EXTENDED}, {'A', PCRE2_ANCHORED}, {'E', PCRE2_DOLLAR_ENDONLY},
		{'U', PCRE2_UNGREEDY}, {'X', 0}};

	*known = true;
	if (m->type == MAP_REGEXP && c == 'm')
		return PCRE2_MULTILINE | PCRE2_DOTALL; // a newline is special in every way
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].letter == (char)c && (m->type == MAP_PCRE || c == 'i'))
			return flags[i].bit;
	}
	*known = false;
	return 0;
}

static bool compile(struct map_rules *s, struct map_entry *e, struct pen_span pattern,
	uint32_t options, unsigned line)
{
	int err = 0;
	PCRE2_SIZE at = 0;
	char why[120];

	if (pattern.n > PATTERN_MAX)
		return fail(s, line, "a pattern is longer than %d bytes", PATTERN_MAX);
	pcre2_code *code = pcre2_compile(
		pattern.p, pattern.n, options | PCRE2_NEVER_BACKSLASH_C, &err, &at, NULL);
	if (code == NULL) {
		if (pcre2_get_error_message(err, (PCRE2_UCHAR *)why, sizeof(why)) < 0)
			why[0] = '\0';
		return fail(s, line, "pattern \"%.*s\": %s at offset %zu", MAP_QUOTE(pattern), why,
			(size_t)at);
	}
	e->code = code;
	return true;
}

bool map_pattern_read(
	struct map_rules *s, struct map_entry *e, struct pen_span *text, unsigned line)
{
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
	size_t end = 1;
	bool known;

	if (text->n == 0)
		return fail(s, line, "a pattern is missing");
	uint8_t delimiter = text->p[0];
	if (isalnum(delimiter) || delimiter == '\\' || !isprint(delimiter))
		return fail(s, line,
			"\"%.*s\": expected /pattern/flags result, \"if\" or \"endif\"",
			MAP_QUOTE(*text));
	while (end < text->n && text->p[end] != delimiter)
		end += text->p[end] == '\\' && end + 1 < text->n ? 2 : 1;
	if (end >= text->n)
		return fail(s, line, "\"%.*s\": no closing delimiter \"%c\"", MAP_QUOTE(*text),
			delimiter);
	struct pen_span pattern = pen_span(text->p + 1, end - 1);
	for (end++; end < text->n && !isspace(text->p[end]); end++) {
		options ^= flag_bit(s->m, text->p[end], &known);
		if (!known)
			return fail(s, line, "unknown flag \"%c\" after the pattern \"%.*s\"",
				isprint(text->p[end]) ? text->p[end] : '?', MAP_QUOTE(pattern));
	}
	*text = pen_span_trim(pen_span_from(*text, end));
	return compile(s, e, pattern, options, line);
}

// The bytes of the "$1", "${1}", "$(1)" or "$$" that s begins with, or 0.
// *group: 0 for "$$".
static size_t macro(struct pen_span s, unsigned *group)
{
	size_t i = 1, digits;

	*group = 0;
	if (s.n < 2)
		return 0;
	if (s.p[1] == '$')
		return 2;
	uint8_t close = s.p[1] == '{' ? '}' : s.p[1] == '(' ? ')' : 0;
	i += close != 0;
	for (digits = 0; i < s.n && isdigit(s.p[i]) && digits < 3; i++, digits++)
		*group = *group * 10 + (unsigned)(s.p[i] - '0');
	if (digits == 0 || *group == 0 || (close != 0 && (i >= s.n || s.p[i] != close)))
		return 0;
	return i + (close != 0);
}

bool map_pattern_result(
	struct map_rules *s, struct map_entry *e, struct pen_span value, unsigned line)
{
	uint32_t groups = 0;
	ptrdiff_t dollar;
	unsigned group;

	pcre2_pattern_info(e->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	while ((dollar = pen_span_find(value, '$')) >= 0) {
		value = pen_span_from(value, (size_t)dollar);
		size_t n = macro(value, &group);
		if (n == 0)
			return fail(s, line,
				"\"%.*s\": write $1, ${1}, $(1), or $$ for a dollar sign",
				MAP_QUOTE(value));
		if (group > 0 && e->negated)
			return fail(
				s, line, "a negated pattern has nothing to put in for $%u", group);
		if (group > groups || group > GROUPS_MAX)
			return fail(s, line, "$%u: the pattern has %u groups", group, groups);
		e->expands = true;
		if (group > s->m->groups)
			s->m->groups = group;
		value = pen_span_from(value, n);
	}
	return true;
}

void map_pattern_free(struct map_entry *e)
{
	pcre2_code_free(e->code);
	e->code = NULL;
}

void map_matcher_free(struct map_matcher *with)
{
	if (with == NULL)
		return;
	pcre2_match_data_free(with->data);
	pcre2_match_context_free(with->context);
	free(with);
}

static struct map_matcher *matcher_new(const struct pen_map *m)
{
	struct map_matcher *with = calloc(1, sizeof(*with));

	if (with == NULL)
		return NULL;
	with->data = pcre2_match_data_create(m->groups + 1, NULL);
	with->context = pcre2_match_context_create(NULL);
	if (with->data == NULL || with->context == NULL) {
		map_matcher_free(with);
		return NULL;
	}
	pcre2_set_match_limit(with->context, MATCH_LIMIT);
	pcre2_set_heap_limit(with->context, HEAP_LIMIT);
	return with;
}

int map_pattern_match(const struct pen_map *m, const struct map_entry *e, struct pen_span key,
	struct map_matcher **with)
{
	if (*with == NULL && (*with = matcher_new(m)) == NULL)
		return -1;
	int rc = pcre2_match(e->code, key.n > 0 ? key.p : (const uint8_t *)"", key.n, 0, 0,
		(*with)->data, (*with)->context);
	return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static bool append(uint8_t *out, size_t *n, const uint8_t *p, size_t len)
{
	if (len > PEN_MAP_EXPANDED_MAX - *n)
		return false;
	if (len > 0)
		memcpy(out + *n, p, len);
	*n += len;
	return true;
}

bool map_pattern_expand(const struct pen_map *m, const struct map_entry *e, struct pen_span key,
	struct map_matcher *with, struct pen_span *out)
{
	static _Thread_local uint8_t expanded[PEN_MAP_EXPANDED_MAX];
	struct pen_span value = map_value(m, e);
	PCRE2_SIZE *at = pcre2_get_ovector_pointer(with->data);
	size_t n = 0;

	while (value.n > 0) {
		ptrdiff_t dollar = pen_span_find(value, '$');
		size_t plain = dollar < 0 ? value.n : (size_t)dollar;
		unsigned group = 0;
		if (!append(expanded, &n, value.p, plain))
			return false;
		value = pen_span_from(value, plain);
		if (value.n == 0)
			break;
		value = pen_span_from(value, macro(value, &group));
		const uint8_t *from = group > 0 ? key.p : (const uint8_t *)"$";
		size_t len = group > 0 ? 0 : 1;
		if (group > 0 && at[2 * group] != PCRE2_UNSET) {
			from = key.p + at[2 * group];
			len = at[2 * group + 1] - at[2 * group];
		}
		if (!append(expanded, &n, from, len))
			return false;
	}
	*out = pen_span(expanded, n);
	return true;
}
