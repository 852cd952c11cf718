// SPDX-License-Identifier: BSD-3-Clause

// Applying: each logical header once against the table, in order.

#include "header_checks_internal.h"

#include <errno.h>
#include <stdlib.h>

#define HEADER_MAX ((size_t)100 << 10)

struct pen_header_scratch {
	struct pen_pattern_scratch *patterns;
	struct pen_buf logical; // the header as it is matched
};

struct pen_header_scratch *pen_header_scratch_new(const struct pen_header_checks *c)
{
	struct pen_header_scratch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->patterns = pen_rule_table_scratch_new(c->table);
	if (s->patterns == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

void pen_header_scratch_free(struct pen_header_scratch *s)
{
	if (s == NULL)
		return;
	pen_pattern_scratch_free(s->patterns);
	pen_buf_fini(&s->logical);
	free(s);
}

void pen_header_verdict_fini(struct pen_header_verdict *v)
{
	free(v->list);
	pen_buf_fini(&v->texts);
	*v = (struct pen_header_verdict){0};
}

static size_t line_length(struct pen_span s)
{
	ptrdiff_t nl = pen_span_find(s, '\n');

	return nl >= 0 ? (size_t)nl + 1 : s.n;
}

// The raw header at the start of the block, with its continuation lines and
// line ends; empty at the end of the headers.
static struct pen_span next_header(struct pen_span block)
{
	size_t n = line_length(block);

	if (pen_span_trim(pen_span(block.p, n)).n == 0 &&
		(n == 0 || block.p[0] == '\r' || block.p[0] == '\n'))
		return pen_span(block.p, 0);
	while (n < block.n && (block.p[n] == ' ' || block.p[n] == '\t'))
		n += line_length(pen_span_from(block, n));
	return pen_span(block.p, n);
}

// The header as patterns see it: lines joined by a newline, no line end, and
// the padding that a scan needs behind it.
static struct pen_span logical_header(struct pen_header_scratch *s, struct pen_span raw)
{
	static const uint8_t zeros[PEN_PATTERN_PADDING];

	pen_buf_reset(&s->logical);
	s->logical.failed = false;
	if (raw.n > HEADER_MAX)
		raw.n = HEADER_MAX;
	while (raw.n > 0) {
		size_t n = line_length(raw), text = n;

		while (text > 0 && (raw.p[text - 1] == '\n' || raw.p[text - 1] == '\r'))
			text--;
		if (s->logical.n > 0)
			pen_buf_add(&s->logical, "\n", 1);
		pen_buf_add(&s->logical, raw.p, text);
		raw = pen_span_from(raw, n);
	}
	size_t n = s->logical.n;
	pen_buf_add(&s->logical, zeros, sizeof(zeros));
	return pen_span(s->logical.p, n);
}

// Texts go to a log or into the message: a capture must not add lines to
// either, and a folded header does have newlines in it.
static void make_one_line(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n' || p[i] == '\t')
			p[i] = ' ';
		else if (p[i] < ' ' || p[i] == 127)
			p[i] = '?';
	}
}

static struct pen_header_decision *add_decision(struct pen_header_verdict *v)
{
	if (v->n == v->cap) {
		size_t cap = v->cap != 0 ? v->cap * 2 : 8;
		struct pen_header_decision *list = realloc(v->list, cap * sizeof(*list));

		if (list == NULL)
			return NULL;
		v->list = list;
		v->cap = cap;
	}
	return &v->list[v->n++];
}

static void set_reject(struct pen_header_verdict *v, struct pen_span text)
{
	uint8_t klass = 5;
	uint16_t subject = 7, detail = 1;
	size_t used = pen_dsn_parse_status(text, &klass, &subject, &detail);

	if (used > 0 && klass == 2) { // out of a capture
		klass = 5;
		subject = 7;
		detail = 1;
	}
	text = pen_span_trim(pen_span_from(text, used));
	if (text.n == 0)
		text = PEN_SPAN_LIT("message content rejected");
	pen_dsn_set(&v->reject, klass, subject, detail, PEN_SCOPE_MESSAGE, PEN_ORIGIN_POLICY,
		PEN_STAGE_NONE, "%.*s", PEN_SPAN_ARG(text));
	v->reject.reply = klass == 5 ? 550 : 451;
}

// Records what rule i wants for a header. False when memory is short.
static bool decide(const struct pen_header_checks *c, struct pen_header_scratch *s, size_t i,
	struct pen_span raw, struct pen_header_verdict *v)
{
	const struct header_rule *r = &c->rule[i];

	if (r->action == PEN_HEADER_DUNNO)
		return true;
	struct pen_header_decision *d = add_decision(v);
	if (d == NULL)
		return false;
	size_t at = v->texts.n;
	pen_rule_table_expand(c->table, s->patterns, i, r->text, &v->texts);
	if (v->texts.failed)
		return false;
	if (v->texts.n > at)
		make_one_line(v->texts.p + at, v->texts.n - at);
	// The buffer may still move: the place is known only at the end.
	*d = (struct pen_header_decision){.action = r->action,
		.line = pen_rule_table_line(c->table, i),
		.header = raw,
		.text = {NULL, v->texts.n - at}};
	if (r->action == PEN_HEADER_REJECT)
		set_reject(v, pen_span(v->texts.p + at, v->texts.n - at));
	v->hold |= r->action == PEN_HEADER_HOLD;
	v->discard |= r->action == PEN_HEADER_DISCARD;
	return true;
}

static void place_texts(struct pen_header_verdict *v)
{
	struct pen_span rest = pen_buf_span(&v->texts);

	for (size_t i = 0; i < v->n; i++) {
		v->list[i].text.p = rest.p;
		rest = pen_span_from(rest, v->list[i].text.n);
	}
}

int pen_header_checks_apply(const struct pen_header_checks *c, struct pen_header_scratch *s,
	struct pen_span headers, struct pen_header_verdict *v)
{
	struct pen_span raw;

	v->n = 0;
	v->hold = v->discard = false;
	v->reject.klass = 0;
	pen_buf_reset(&v->texts);
	v->texts.failed = false;
	while ((raw = next_header(headers)).n > 0) {
		headers = pen_span_from(headers, raw.n);
		struct pen_span logical = logical_header(s, raw);
		if (s->logical.failed)
			return -ENOMEM;
		ptrdiff_t i = pen_rule_table_find(c->table, s->patterns, logical, true);
		if (i == -ENOMEM || (i >= 0 && !decide(c, s, (size_t)i, raw, v)))
			return -ENOMEM;
		if (v->discard || v->reject.klass != 0)
			break;
	}
	place_texts(v);
	return 0;
}

bool pen_header_verdict_changes(const struct pen_header_verdict *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (v->list[i].action >= PEN_HEADER_PREPEND)
			return true;
	}
	return false;
}

void pen_header_verdict_rewrite(
	const struct pen_header_verdict *v, struct pen_span headers, struct pen_buf *out)
{
	const uint8_t *done = headers.p, *end = headers.p + headers.n;

	for (size_t i = 0; i < v->n; i++) {
		const struct pen_header_decision *d = &v->list[i];

		pen_buf_add(out, done, (size_t)(d->header.p - done));
		done = d->header.p;
		if (d->action == PEN_HEADER_PREPEND) {
			pen_buf_add_span(out, d->text);
			pen_buf_add(out, "\r\n", 2);
		} else if (d->action == PEN_HEADER_IGNORE || d->action == PEN_HEADER_STRIP) {
			done += d->header.n;
		}
	}
	pen_buf_add(out, done, (size_t)(end - done));
}
