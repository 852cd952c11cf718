// SPDX-License-Identifier: BSD-3-Clause

// Tables that are lists of rules, tried in order: cidr, pcre and regexp.

#include "map_priv.h"

#include "pen_params.h"

#include <ctype.h>

#define NESTING_MAX (sizeof(((struct map_rules *)0)->open_if) / sizeof(uint32_t))

static bool is_cidr(const struct map_rules *s)
{
	return s->m->type == MAP_CIDR;
}

static struct pen_span skip_space(struct pen_span s)
{
	while (s.n > 0 && isspace(s.p[0]))
		s = pen_span_from(s, 1);
	return s;
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

static bool fail(struct map_rules *s, unsigned line, struct pen_span text, const char *what)
{
	pen_report_error(s->r, s->file, line, "%s\"%.*s\": %s", s->head, MAP_QUOTE(text), what);
	return false;
}

// Reads "!network" or "!/pattern/flags" from *text into e.
static bool take_condition(
	struct map_rules *s, struct map_entry *e, struct pen_span *text, unsigned line)
{
	struct pen_span all = *text;
	size_t n = 0;

	while (text->n > 0 && text->p[0] == '!') {
		e->negated = !e->negated;
		*text = skip_space(pen_span_from(*text, 1));
	}
	if (!is_cidr(s))
		return map_pattern_read(s, e, text, line);
	while (n < text->n && !isspace(text->p[n]))
		n++;
	if (pen_net_parse(&e->net, pen_span(text->p, n)) != 0)
		return fail(s, line, all,
			"expected a network with host bits zero (10.0.0.0/8), white space and a "
			"value");
	*text = skip_space(pen_span_from(*text, n));
	return true;
}

// Keeps what the reading of a line found: the entry, with its texts.
static bool keep(struct map_rules *s, struct map_entry *made, struct pen_span key,
	struct pen_span value, unsigned line)
{
	if (!map_add_reported(s->m, key, value, s->file, s->head, line, s->r)) {
		map_pattern_free(made);
		s->failed = true;
		return false;
	}
	struct map_entry *e = &s->m->entry[s->m->n - 1];
	e->rule = made->rule;
	e->negated = made->negated;
	e->expands = made->expands;
	e->net = made->net;
	e->code = made->code;
	return true;
}

static void read_endif(
	struct map_rules *s, struct pen_span text, struct pen_span rest, unsigned line)
{
	struct map_entry e = {.rule = MAP_ENDIF};

	if (rest.n > 0)
		fail(s, line, text, "unexpected text after \"endif\"");
	else if (s->depth == 0)
		fail(s, line, text, "\"endif\" without \"if\"");
	else if (keep(s, &e, text, pen_span("", 0), line))
		s->m->entry[s->open_if[--s->depth]].endif = (uint32_t)s->m->n - 1;
}

static void read_if(struct map_rules *s, struct pen_span text, struct pen_span rest, unsigned line)
{
	struct map_entry e = {.rule = MAP_IF};

	if (s->depth == NESTING_MAX) {
		fail(s, line, text, "too many nested \"if\"");
	} else if (!take_condition(s, &e, &rest, line)) {
		map_pattern_free(&e);
	} else if (rest.n > 0) {
		fail(s, line, text, "unexpected text after the condition of \"if\"");
		map_pattern_free(&e);
	} else if (keep(s, &e, text, pen_span("", 0), line)) {
		s->open_if[s->depth++] = (uint32_t)s->m->n - 1;
	}
}

static void read_rule(struct map_rules *s, struct pen_span text, unsigned line)
{
	struct map_entry e = {.rule = MAP_RESULT};
	struct pen_span rest = text;
	bool good = take_condition(s, &e, &rest, line);
	struct pen_span key = pen_span_trim(pen_span(text.p, text.n - rest.n));

	if (good && rest.n == 0)
		good = fail(s, line, text,
			is_cidr(s) ? "expected a network with host bits zero (10.0.0.0/8), white "
				     "space and a value"
				   : "the result of the pattern is missing");
	if (good && !is_cidr(s))
		good = map_pattern_result(s, &e, rest, line);
	if (good)
		keep(s, &e, key, rest, line);
	else
		map_pattern_free(&e);
}

void map_rules_line(struct map_rules *s, struct pen_span text, unsigned line)
{
	struct pen_span rest = text;

	if (take_word(&rest, "endif"))
		read_endif(s, text, rest, line);
	else if (take_word(&rest, "if"))
		read_if(s, text, rest, line);
	else
		read_rule(s, text, line);
}

void map_rules_end(struct map_rules *s)
{
	if (s->depth > 0 && !s->failed)
		pen_report_error(s->r, s->file, s->m->entry[s->open_if[s->depth - 1]].line,
			"%s\"if\" without \"endif\"", s->head);
}

enum pen_map_status map_rules_find(const struct pen_map *m, struct pen_span key,
	const struct pen_addr *addr, struct map_matcher **with, size_t *index)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct map_entry *e = &m->entry[i];
		if (e->rule == MAP_ENDIF)
			continue;
		int matched = m->type == MAP_CIDR ? pen_cidr_has(&e->net, addr)
						  : map_pattern_match(m, e, key, with);
		if (matched < 0)
			return PEN_MAP_FAILED;
		bool applies = (matched == 1) != e->negated;
		if (e->rule == MAP_IF && !applies)
			i = e->endif;
		if (e->rule == MAP_IF || !applies)
			continue;
		*index = i;
		return PEN_MAP_FOUND;
	}
	return PEN_MAP_MISSING;
}
