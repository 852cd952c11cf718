// SPDX-License-Identifier: BSD-3-Clause

// Reading a table: physical lines become logical lines, logical lines become
// rules, and the patterns of all rules become one set.

#include "rule_table_internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NESTING_MAX 64
#define COMPILE_LIMIT (60 * PEN_US_PER_S)

struct parser {
	const char *name;
	enum pen_rule_syntax syntax;
	struct pen_rule_table *t;
	struct pen_pattern *pattern; // one per rule or if, in order
	size_t npatterns;
	size_t cap;                      // of both arrays
	const struct pen_pattern *extra; // behind them in the set
	size_t nextra;
	uint32_t open_if[NESTING_MAX];
	unsigned depth;
	unsigned line; // where the current logical line began
	char *err;
	size_t err_cap;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(p->err, p->err_cap, "%s:%u: ", p->name, p->line);

	if (n >= 0 && (size_t)n < p->err_cap) {
		va_start(ap, fmt);
		vsnprintf(p->err + n, p->err_cap - (size_t)n, fmt, ap);
		va_end(ap);
	}
	return false;
}

static struct pen_span skip_space(struct pen_span s)
{
	while (s.n > 0 && isspace(s.p[0]))
		s = pen_span_from(s, 1);
	return s;
}

static struct rule *add_rule(struct parser *p, enum rule_kind kind)
{
	struct pen_rule_table *t = p->t;

	if (t->n == p->cap) {
		size_t cap = p->cap != 0 ? p->cap * 2 : 64;
		struct rule *rule = realloc(t->rule, cap * sizeof(*rule));
		if (rule != NULL)
			t->rule = rule;
		struct pen_pattern *pattern = realloc(p->pattern, cap * sizeof(*pattern));
		if (pattern != NULL)
			p->pattern = pattern;
		if (rule == NULL || pattern == NULL) {
			fail(p, "out of memory");
			return NULL;
		}
		p->cap = cap;
	}
	struct rule *r = &t->rule[t->n++];
	*r = (struct rule){.kind = kind, .line = p->line};
	return r;
}

static const struct flag_letter {
	char letter;
	unsigned toggles;
} pcre_flags[] = {{'i', PEN_PATTERN_CASELESS}, {'m', PEN_PATTERN_MULTILINE},
	{'s', PEN_PATTERN_DOTALL}, {'x', PEN_PATTERN_EXTENDED}, {'A', PEN_PATTERN_ANCHORED},
	{'E', PEN_PATTERN_DOLLAR_END}, {'U', PEN_PATTERN_UNGREEDY}, {'X', 0}},
  posix_flags[] = {{'i', PEN_PATTERN_CASELESS},
	  // A newline is then special in every way.
	  {'m', PEN_PATTERN_MULTILINE | PEN_PATTERN_DOTALL}};

static bool toggle(const struct flag_letter *f, size_t n, uint8_t c, unsigned *flags)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].letter == (char)c) {
			*flags ^= f[i].toggles;
			return true;
		}
	}
	return false;
}

bool rule_flag(uint8_t c, unsigned *flags)
{
	return toggle(pcre_flags, sizeof(pcre_flags) / sizeof(pcre_flags[0]), c, flags);
}

static bool flag(struct parser *p, uint8_t c, unsigned *flags)
{
	bool is_pcre = p->syntax == PEN_RULES_PCRE;

	if (is_pcre ? rule_flag(c, flags)
		    : toggle(posix_flags, sizeof(posix_flags) / sizeof(posix_flags[0]), c, flags))
		return true;
	if (!is_pcre && c == 'x')
		return fail(p, "flag \"x\" (basic regular expressions) is not offered");
	return fail(p, "unknown flag \"%c\" after the pattern", isprint(c) ? c : '?');
}

// Reads "!/pattern/flags" from *s into rule r.
static bool parse_pattern(struct parser *p, struct rule *r, struct pen_span *s)
{
	unsigned flags = PEN_PATTERN_CASELESS | PEN_PATTERN_DOTALL;
	size_t end = 0;

	while (s->n > 0 && s->p[0] == '!') {
		r->negated = !r->negated;
		*s = skip_space(pen_span_from(*s, 1));
	}
	if (s->n == 0)
		return fail(p, "a pattern is missing");
	uint8_t delimiter = s->p[0];
	if (isalnum(delimiter) || delimiter == '\\' || !isprint(delimiter))
		return fail(p, "\"%.*s\": expected /pattern/flags result, \"if\" or \"endif\"",
			(int)(s->n < 40 ? s->n : 40), (const char *)s->p);
	*s = pen_span_from(*s, 1);
	while (end < s->n && s->p[end] != delimiter)
		end += s->p[end] == '\\' && end + 1 < s->n ? 2 : 1;
	if (end >= s->n)
		return fail(p, "no closing delimiter \"%c\"", delimiter);
	struct pen_span text = {s->p, end};
	*s = pen_span_from(*s, end + 1);
	for (; s->n > 0 && !isspace(s->p[0]); *s = pen_span_from(*s, 1)) {
		if (!flag(p, s->p[0], &flags))
			return false;
	}
	*s = skip_space(*s);
	r->pattern = (uint32_t)p->npatterns;
	p->pattern[p->npatterns++] = (struct pen_pattern){text, flags, p->name, p->line};
	return true;
}

// True when the line begins with the word, which is then taken from it.
static bool take_word(struct pen_span *s, const char *word)
{
	size_t n = strlen(word);

	if (!pen_span_istarts(*s, pen_span_cstr(word)) || (s->n > n && isalnum(s->p[n])))
		return false;
	*s = skip_space(pen_span_from(*s, n));
	return true;
}

static bool parse_endif(struct parser *p, struct pen_span s)
{
	if (s.n > 0)
		return fail(p, "unexpected text after \"endif\"");
	if (p->depth == 0)
		return fail(p, "\"endif\" without \"if\"");
	if (add_rule(p, RULE_ENDIF) == NULL)
		return false;
	p->t->rule[p->open_if[--p->depth]].endif = (uint32_t)p->t->n - 1;
	return true;
}

static bool parse_if(struct parser *p, struct pen_span s)
{
	if (p->depth == NESTING_MAX)
		return fail(p, "more than %d nested \"if\"", NESTING_MAX);
	struct rule *r = add_rule(p, RULE_IF);
	if (r == NULL || !parse_pattern(p, r, &s))
		return false;
	if (s.n > 0)
		return fail(p, "unexpected text after the \"if\" pattern");
	p->open_if[p->depth++] = (uint32_t)p->t->n - 1;
	return true;
}

static bool parse_rule(struct parser *p, struct pen_span s)
{
	struct rule *r = add_rule(p, RULE_RESULT);

	if (r == NULL || !parse_pattern(p, r, &s))
		return false;
	if (s.n == 0)
		return fail(p, "the result of the pattern is missing");
	r->result = s;
	return true;
}

static bool parse_line(struct parser *p, struct pen_span s)
{
	s = pen_span_trim(s);
	if (take_word(&s, "endif"))
		return parse_endif(p, s);
	if (take_word(&s, "if"))
		return parse_if(p, s);
	return parse_rule(p, s);
}

// The physical line at the start of *rest, without its end.
static struct pen_span next_line(struct pen_span *rest)
{
	ptrdiff_t nl = pen_span_find(*rest, '\n');
	struct pen_span line = *rest;

	if (nl >= 0)
		line.n = (size_t)nl;
	*rest = pen_span_from(*rest, nl >= 0 ? line.n + 1 : rest->n);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

// Joins logical lines into the table's text, each ended by a newline, with the
// number of its first physical line in front.
static bool join_lines(struct parser *p, struct pen_span rest, struct pen_buf *out)
{
	unsigned number = 0;

	while (rest.n > 0) {
		struct pen_span line = next_line(&rest);
		struct pen_span text = skip_space(line);

		p->line = ++number;
		if (pen_span_find(line, 0) >= 0)
			return fail(p, "the line has a NUL byte");
		if (text.n == 0 || text.p[0] == '#')
			continue;
		if (!isspace(line.p[0]))
			pen_buf_addf(out, "%s%u ", out->n > 0 ? "\n" : "", number);
		else if (out->n == 0)
			return fail(p, "the first line begins with white space");
		pen_buf_add_span(out, line);
	}
	return !out->failed || fail(p, "out of memory");
}

static bool parse_all(struct parser *p)
{
	struct pen_span rest = pen_buf_span(&p->t->text);

	while (rest.n > 0) {
		struct pen_span line = next_line(&rest);

		p->line = 0;
		while (line.n > 0 && isdigit(line.p[0])) {
			p->line = p->line * 10 + (unsigned)(line.p[0] - '0');
			line = pen_span_from(line, 1);
		}
		if (!parse_line(p, line))
			return false;
	}
	if (p->depth > 0) {
		p->line = p->t->rule[p->open_if[p->depth - 1]].line;
		return fail(p, "\"if\" without \"endif\"");
	}
	return true;
}

static bool check_macros(struct parser *p, const struct rule *r)
{
	struct pen_span s = r->result;
	size_t groups = pen_pattern_set_groups(p->t->set, r->pattern);
	ptrdiff_t dollar;
	unsigned g;

	p->line = r->line;
	while ((dollar = pen_span_find(s, '$')) >= 0) {
		s = pen_span_from(s, (size_t)dollar);
		size_t n = rule_macro(s, &g);

		if (n == 0)
			return fail(p,
				"\"%.*s\": write $1 to $%d, ${1}, $(1), or $$ for a dollar sign",
				(int)(s.n < 20 ? s.n : 20), (const char *)s.p,
				PEN_PATTERN_GROUPS_MAX - 1);
		if (g > 0 && r->negated)
			return fail(p, "a negated pattern has nothing to put in for $%u", g);
		if (g > groups || g >= PEN_PATTERN_GROUPS_MAX)
			return fail(p, "$%u: the pattern has %zu group%s", g, groups,
				groups == 1 ? "" : "s");
		s = pen_span_from(s, n);
	}
	return true;
}

// The patterns of the table, and those that share its set.
static bool compile_set(struct parser *p)
{
	size_t n = p->npatterns + p->nextra;
	struct pen_pattern *all = calloc(n + 1, sizeof(*all));

	if (all == NULL)
		return fail(p, "out of memory");
	if (p->npatterns > 0)
		memcpy(all, p->pattern, p->npatterns * sizeof(*all));
	if (p->nextra > 0)
		memcpy(all + p->npatterns, p->extra, p->nextra * sizeof(*all));
	p->t->set = pen_pattern_set_new(all, n, COMPILE_LIMIT, p->err, p->err_cap);
	free(all);
	return p->t->set != NULL;
}

static bool compile(struct parser *p)
{
	struct pen_rule_table *t = p->t;

	if (!compile_set(p))
		return false;
	t->npatterns = p->npatterns;
	t->plain = true;
	for (size_t i = 0; i < t->n; i++) {
		if (t->rule[i].kind == RULE_RESULT && !check_macros(p, &t->rule[i]))
			return false;
		t->plain &= t->rule[i].kind == RULE_RESULT && !t->rule[i].negated;
	}
	return true;
}

struct pen_rule_table *rule_table_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, const struct pen_pattern *extra, size_t nextra, char *err,
	size_t err_cap)
{
	struct parser p = {.name = name,
		.syntax = syntax,
		.t = calloc(1, sizeof(*p.t)),
		.extra = extra,
		.nextra = nextra,
		.err = err,
		.err_cap = err_cap};

	if (p.t == NULL) {
		fail(&p, "out of memory");
		return NULL;
	}
	bool ok = join_lines(&p, text, &p.t->text) && parse_all(&p) && compile(&p);
	free(p.pattern);
	if (!ok) {
		pen_rule_table_free(p.t);
		return NULL;
	}
	return p.t;
}
