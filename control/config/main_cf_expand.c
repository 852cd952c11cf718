// SPDX-License-Identifier: BSD-3-Clause
#include "pen_main_cf.h"

#include <ctype.h>
#include <stdlib.h>

// A name that is being expanded, and who asked for it.
struct frame {
	const char *name;
	const struct frame *up;
	unsigned depth;
};

struct expansion {
	struct pen_main_cf_scope *scope;
	unsigned steps; // bounds the work of values that double at each level
};

#define DEPTH_MAX 64
#define STEPS_MAX 10000

static bool expand_text(
	struct expansion *x, const struct frame *up, struct pen_span text, struct pen_buf *out);

static bool fault(struct expansion *x, const struct frame *up, const char *what)
{
	struct pen_main_cf_scope *s = x->scope;

	if (up->name != NULL)
		pen_report_error(s->report, s->file, s->line, "%s: %s", up->name, what);
	else
		pen_report_error(s->report, s->file, s->line, "%s", what);
	return false;
}

static bool is_name(uint8_t c)
{
	return isalnum(c) || c == '_';
}

static size_t name_len(struct pen_span s)
{
	size_t n = 0;

	while (n < s.n && is_name(s.p[n]))
		n++;
	return n;
}

// The offset of the bracket that closes the one at s.p[0], or 0.
static size_t closing(struct pen_span s)
{
	uint8_t open = s.p[0], close = open == '{' ? '}' : ')';
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == open)
			depth++;
		else if (s.p[i] == close && --depth == 0)
			return i;
	}
	return 0;
}

static bool expand_name(struct expansion *x, const struct frame *up, struct pen_span span,
	bool tested, struct pen_buf *out)
{
	struct pen_main_cf_scope *s = x->scope;
	char name[PEN_MAIN_CF_NAME_MAX + 1];

	if (span.n > PEN_MAIN_CF_NAME_MAX)
		return fault(x, up, "a name after \"$\" is too long");
	memcpy(name, span.p, span.n);
	name[span.n] = '\0';
	for (const struct frame *f = up; f != NULL; f = f->up) {
		if (f->name != NULL && strcmp(f->name, name) == 0) {
			pen_report_error(s->report, s->file, s->line, "%s: $%s refers to itself",
				up->name, name);
			return false;
		}
	}
	const char *raw = s->find(s->ctx, name);
	if (raw == NULL) {
		if (!tested)
			pen_report_warning(s->report, s->file, s->line,
				"$%s is not defined: nothing is put in its place", name);
		return true;
	}
	struct frame f = {name, up, up->depth + 1};
	return expand_text(x, &f, pen_span_cstr(raw), out);
}

// take_braced takes "{value}" with white space around it from *s.
static bool take_braced(struct pen_span *s, struct pen_span *value)
{
	struct pen_span t = pen_span_trim(*s);

	if (t.n == 0 || t.p[0] != '{')
		return false;
	size_t end = closing(t);
	if (end == 0)
		return false;
	*value = pen_span_trim(pen_span(t.p + 1, end - 1));
	*s = pen_span_trim(pen_span_from(t, end + 1));
	return true;
}

static bool all_digits(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!isdigit(s.p[i]))
			return false;
	}
	return s.n > 0 && s.n < 18;
}

static int compare(struct pen_span a, struct pen_span b)
{
	if (all_digits(a) && all_digits(b)) {
		long long x = 0, y = 0;
		for (size_t i = 0; i < a.n; i++)
			x = x * 10 + (a.p[i] - '0');
		for (size_t i = 0; i < b.n; i++)
			y = y * 10 + (b.p[i] - '0');
		return (x > y) - (x < y);
	}
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n > 0 ? memcmp(a.p, b.p, n) : 0;
	return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static bool holds(const char *op, int cmp)
{
	switch (op[0]) {
	case '=':
		return cmp == 0;
	case '!':
		return cmp != 0;
	case '<':
		return op[1] == '=' ? cmp <= 0 : cmp < 0;
	default:
		return op[1] == '=' ? cmp >= 0 : cmp > 0;
	}
}

// expand_relation reads "{a} op {b}" and leaves what follows in *rest.
static bool expand_relation(
	struct expansion *x, const struct frame *up, struct pen_span *rest, bool *truth)
{
	static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
	struct pen_span a, b;
	const char *op = NULL;
	struct pen_buf left = {.limit = PEN_MAIN_CF_VALUE_MAX};
	struct pen_buf right = {.limit = PEN_MAIN_CF_VALUE_MAX};

	if (!take_braced(rest, &a))
		return fault(x, up, "\"{\" without \"}\" in an expression");
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]) && op == NULL; i++) {
		if (pen_span_istarts(*rest, pen_span_cstr(ops[i])))
			op = ops[i];
	}
	if (op == NULL)
		return fault(x, up, "expected ==, !=, <, <=, > or >= between two {values}");
	*rest = pen_span_from(*rest, strlen(op));
	if (!take_braced(rest, &b))
		return fault(x, up, "expected a {value} after the operator");
	bool ok = expand_text(x, up, a, &left) && expand_text(x, up, b, &right);
	if (ok)
		*truth = holds(op, compare(pen_buf_span(&left), pen_buf_span(&right)));
	pen_buf_fini(&left);
	pen_buf_fini(&right);
	return ok;
}

// expand_choice handles what follows a condition: "?value", ":value",
// "?{value}:{value}".
static bool expand_choice(struct expansion *x, const struct frame *up, struct pen_span s,
	bool truth, struct pen_buf *out)
{
	if (s.n == 0 || (s.p[0] != '?' && s.p[0] != ':'))
		return fault(x, up, "expected \"?\" or \":\" after the name in ${...}");
	bool when = s.p[0] == '?';
	struct pen_span rest = pen_span_trim(pen_span_from(s, 1)), yes, no = {0};
	if (take_braced(&rest, &yes)) {
		if (rest.n > 0) {
			if (!when || rest.p[0] != ':')
				return fault(x, up, "text after {value} in ${...}");
			rest = pen_span_from(rest, 1);
			if (!take_braced(&rest, &no))
				no = pen_span_trim(rest);
			else if (rest.n > 0)
				return fault(x, up, "text after {value} in ${...}");
		}
	} else if (rest.n > 0 && rest.p[0] == '{') {
		return fault(x, up, "\"{\" without \"}\" in ${...}");
	} else {
		yes = rest;
	}
	if (truth != when)
		yes = no;
	return expand_text(x, up, yes, out);
}

static bool expand_bracketed(
	struct expansion *x, const struct frame *up, struct pen_span in, struct pen_buf *out)
{
	bool truth = false;

	in = pen_span_trim(in);
	if (in.n > 0 && in.p[0] == '{')
		return expand_relation(x, up, &in, &truth) && expand_choice(x, up, in, truth, out);

	size_t n = name_len(in);
	struct pen_span name = pen_span(in.p, n);
	struct pen_span rest = pen_span_trim(pen_span_from(in, n));
	if (n == 0)
		return fault(x, up, "expected a parameter name in ${...}");
	if (rest.n == 0)
		return expand_name(x, up, name, false, out);

	struct pen_buf value = {.limit = PEN_MAIN_CF_VALUE_MAX};
	bool ok = expand_name(x, up, name, true, &value);
	truth = value.n > 0;
	pen_buf_fini(&value);
	return ok && expand_choice(x, up, rest, truth, out);
}

// expand_dollar handles one "$..." at the start of s; returns the bytes used,
// 0 after a fault.
static size_t expand_dollar(
	struct expansion *x, const struct frame *up, struct pen_span s, struct pen_buf *out)
{
	struct pen_span in = pen_span_from(s, 1);

	if (++x->steps > STEPS_MAX || up->depth > DEPTH_MAX) {
		fault(x, up, "the parameters that this value refers to are nested too deeply");
		return 0;
	}
	if (in.n > 0 && in.p[0] == '$') {
		pen_buf_add(out, "$", 1);
		return 2;
	}
	if (in.n > 0 && (in.p[0] == '{' || in.p[0] == '(')) {
		size_t end = closing(in);
		if (end == 0) {
			fault(x, up,
				in.p[0] == '{' ? "\"${\" without \"}\"" : "\"$(\" without \")\"");
			return 0;
		}
		return expand_bracketed(x, up, pen_span(in.p + 1, end - 1), out) ? end + 2 : 0;
	}
	size_t n = name_len(in);
	if (n == 0) {
		fault(x, up, "\"$\" without a name: write \"$$\" for a dollar sign");
		return 0;
	}
	return expand_name(x, up, pen_span(in.p, n), false, out) ? n + 1 : 0;
}

static bool expand_text(
	struct expansion *x, const struct frame *up, struct pen_span text, struct pen_buf *out)
{
	// "${" nests through the call stack as names do.
	struct frame here = {up->name, up->up, up->depth + 1};

	while (text.n > 0) {
		ptrdiff_t dollar = pen_span_find(text, '$');
		size_t plain = dollar < 0 ? text.n : (size_t)dollar;
		pen_buf_add(out, text.p, plain);
		text = pen_span_from(text, plain);
		if (text.n == 0)
			break;
		size_t used = expand_dollar(x, &here, text, out);
		if (used == 0)
			return false;
		text = pen_span_from(text, used);
	}
	if (out->failed)
		return fault(x, up, "the value is too long after expansion");
	return true;
}

bool pen_main_cf_expand(
	struct pen_main_cf_scope *scope, const char *name, const char *text, struct pen_buf *out)
{
	struct expansion x = {.scope = scope};
	struct frame top = {name, NULL, 0};

	if (out->limit == 0)
		out->limit = PEN_MAIN_CF_VALUE_MAX;
	return expand_text(&x, &top, pen_span_cstr(text), out);
}
