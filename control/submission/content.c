// SPDX-License-Identifier: BSD-3-Clause
#include "content.h"

#include "header_field.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 4096
#define HINT_MAX (1u << 20) // a larger SIZE= is believed as the bytes come
#define HINT_EXTRA 512      // for the fields that are added

bool content_budget_take(struct content_budget *b, uint64_t n)
{
	if (__atomic_add_fetch(&b->used, n, __ATOMIC_RELAXED) <= b->max)
		return true;
	__atomic_sub_fetch(&b->used, n, __ATOMIC_RELAXED);
	return false;
}

void content_budget_give(struct content_budget *b, uint64_t n)
{
	__atomic_sub_fetch(&b->used, n, __ATOMIC_RELAXED);
}

static bool grow(struct content *c, size_t cap)
{
	if (c->err != 0)
		return false;
	if (!content_budget_take(c->budget, cap - c->cap)) {
		c->err = -ENOSPC;
		return false;
	}
	uint8_t *p = realloc(c->p, cap);
	if (p == NULL) {
		content_budget_give(c->budget, cap - c->cap);
		c->err = -ENOMEM;
		return false;
	}
	c->p = p;
	c->cap = cap;
	return true;
}

static bool reserve(struct content *c, size_t more)
{
	size_t cap = c->cap;

	if (c->err != 0)
		return false;
	if (more <= cap - c->n)
		return true;
	while (cap < c->n + more)
		cap *= 2;
	return grow(c, cap);
}

static void append(struct content *c, const void *p, size_t n)
{
	if (n == 0 || !reserve(c, n))
		return;
	memcpy(c->p + c->n, p, n);
	c->n += n;
}

static bool has_high_byte(const uint8_t *p, size_t n)
{
	uint64_t any = 0, w;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, 8);
		any |= w;
	}
	for (; i < n; i++)
		any |= p[i];
	return (any & 0x8080808080808080u) != 0;
}

void content_begin(
	struct content *c, struct content_budget *budget, struct pen_span own, uint64_t size_hint)
{
	size_t cap = size_hint < HINT_MAX ? (size_t)size_hint : HINT_MAX;

	*c = (struct content){.budget = budget, .in_header = true};
	cap += HINT_EXTRA + own.n;
	grow(c, cap > FIRST_CAP ? cap : FIRST_CAP);
	append(c, own.p, own.n);
	c->eight_bit = has_high_byte(own.p, own.n);
	c->line = c->scanned = c->n;
}

// Puts text in at offset `at`; bytes behind it move.
static void insert(struct content *c, size_t at, struct pen_span text)
{
	if (text.n == 0 || !reserve(c, text.n))
		return;
	memmove(c->p + at + text.n, c->p + at, c->n - at);
	memcpy(c->p + at, text.p, text.n);
	c->n += text.n;
}

// The header block ends at offset `at`.
static void close_header(struct content *c, size_t at)
{
	size_t before = c->n;
	// The header ends at a line that is neither a field nor empty. Without an empty
	// line it would become a part of the fields before it, ours among them
	// (Postfix: non_empty_end_of_header_action = fix_quietly).
	bool empty = c->n - at >= 2 && c->p[at] == '\r' && c->p[at + 1] == '\n';
	bool separate = at < c->n && !empty && c->p[at] != '\n';

	if (separate)
		insert(c, at, PEN_SPAN_LIT("\r\n"));
	size_t separator = c->n - before;
	if (!c->has_date)
		insert(c, at, c->add_date);
	size_t below = c->n;
	if (!c->has_message_id && c->add_message_id.n > 0) {
		insert(c, at, c->add_message_id);
		struct pen_span line = pen_span(c->p + at, c->n - below);
		ptrdiff_t colon = pen_span_find(line, ':');
		struct pen_span value = pen_span_trim(pen_span_from(line, (size_t)colon + 1));
		c->id_at = (size_t)(value.p - c->p);
		c->id_n = value.n;
	}
	c->header_end = at + (c->n - before) - separator;
	c->in_header = false;
}

// The field's name, or an empty span when the line is no field.
static struct pen_span field_name(struct pen_span line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > 32 && line.p[n] < 127 && line.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
		colon++;
	if (n == 0 || colon == line.n || line.p[colon] != ':')
		return pen_span(line.p, 0);
	return pen_span(line.p, n);
}

static void check_field_size(struct content *c, struct pen_span line)
{
	size_t end = (size_t)(line.p - c->p) + line.n;

	if (c->field_limit != 0 && end - c->field_at > c->field_limit)
		c->long_field = true;
}

// A complete line of the header block. False: it does not belong to it.
static bool header_line(struct content *c, struct pen_span line)
{
	if (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		if (c->any_field)
			check_field_size(c, line);
		return c->any_field;
	}
	c->field_at = (size_t)(line.p - c->p);
	struct pen_span name = field_name(line);
	if (name.n == 0)
		return false;
	c->any_field = true;
	check_field_size(c, line);
	if (pen_span_ieq(name, PEN_SPAN_LIT("Received"))) {
		c->received++;
	} else if (pen_span_ieq(name, PEN_SPAN_LIT("Date"))) {
		c->has_date = true;
	} else if (pen_span_ieq(name, PEN_SPAN_LIT("Message-Id"))) {
		struct pen_span v = pen_span_from(line, (size_t)pen_span_find(line, ':') + 1);
		v = pen_span_trim(v);
		c->has_message_id = true;
		c->id_at = (size_t)(v.p - c->p);
		c->id_n = v.n;
	}
	return true;
}

static void scan_header(struct content *c)
{
	while (c->in_header && c->err == 0) {
		const uint8_t *from = c->p + c->scanned;
		const uint8_t *lf = memchr(from, '\n', c->n - c->scanned);
		if (lf == NULL) {
			c->scanned = c->n;
			return;
		}
		size_t end = (size_t)(lf - c->p) + 1;
		if (!header_line(c, pen_span(c->p + c->line, end - c->line))) {
			close_header(c, c->line);
			return;
		}
		c->line = c->scanned = end;
	}
}

void content_add(struct content *c, struct pen_span piece)
{
	if (c->err != 0 || piece.n == 0)
		return;
	append(c, piece.p, piece.n);
	if (!c->eight_bit)
		c->eight_bit = has_high_byte(piece.p, piece.n);
	if (!c->has_nul)
		c->has_nul = memchr(piece.p, '\0', piece.n) != NULL;
	if (c->in_header)
		scan_header(c);
}

void content_end(struct content *c)
{
	if (c->err != 0)
		return;
	if (c->n < 2 || memcmp(c->p + c->n - 2, "\r\n", 2) != 0)
		append(c, "\r\n", 2);
	if (c->in_header)
		scan_header(c);
	if (c->in_header)
		close_header(c, c->n);
}

bool content_header_is_ascii(const struct content *c)
{
	return !c->eight_bit || !has_high_byte(c->p, c->header_end);
}

// As header_line does for what the client sent: the last one counts.
static void find_message_id(struct content *c)
{
	struct pen_span block = pen_span(c->p, c->header_end);
	struct header_field f;

	c->id_n = 0;
	while (header_field_next(&block, &f)) {
		if (!pen_span_ieq(f.name, PEN_SPAN_LIT("Message-Id")))
			continue;
		c->id_at = (size_t)(f.value.p - c->p);
		c->id_n = f.value.n;
	}
}

void content_replace_header(struct content *c, struct pen_span headers)
{
	size_t rest = c->n - c->header_end;

	if (headers.n > c->header_end && !reserve(c, headers.n - c->header_end))
		return;
	memmove(c->p + headers.n, c->p + c->header_end, rest);
	memcpy(c->p, headers.p, headers.n);
	c->header_end = headers.n;
	c->n = headers.n + rest;
	find_message_id(c);
	if (!c->eight_bit)
		c->eight_bit = has_high_byte(headers.p, headers.n);
}

void content_append_field(struct content *c, struct pen_span field)
{
	insert(c, c->header_end, field);
	if (c->err == 0)
		c->header_end += field.n;
}

uint8_t *content_take(struct content *c, size_t *n)
{
	uint8_t *p = c->p;

	if (c->cap - c->n > c->n / 8) {
		uint8_t *less = realloc(p, c->n);
		if (less != NULL)
			p = less;
	}
	content_budget_give(c->budget, c->cap - c->n);
	*n = c->n;
	c->p = NULL;
	c->n = c->cap = 0;
	return p;
}

void content_reset(struct content *c)
{
	if (c->cap > 0)
		content_budget_give(c->budget, c->cap);
	free(c->p);
	*c = (struct content){0};
}
