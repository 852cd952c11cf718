// SPDX-License-Identifier: BSD-3-Clause
#include "sendmail.h"

#include "pen_addrlist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_MAX (1u << 30)

bool addresses_add(struct addresses *a, struct pen_span addr)
{
	if (a->n == RECIPIENTS_MAX)
		return false;
	if (a->n == a->cap) {
		size_t cap = a->cap != 0 ? a->cap * 2 : 16;
		char **p = realloc(a->item, cap * sizeof(*p));
		if (p == NULL)
			return false;
		a->item = p;
		a->cap = cap;
	}
	a->item[a->n] = strndup((const char *)addr.p, addr.n);
	return a->item[a->n] != NULL && ++a->n > 0;
}

void addresses_free(struct addresses *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->item[i]);
	free(a->item);
}

// One line without its line end; `ended`: it had one.
static void add_line(struct pen_buf *out, struct pen_span line, bool ended)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r' && ended)
		line.n--;
	pen_buf_add_span(out, line);
	pen_buf_add_cstr(out, "\r\n");
}

static bool is_dot(struct pen_span line)
{
	return pen_span_eq(line, PEN_SPAN_LIT(".")) || pen_span_eq(line, PEN_SPAN_LIT(".\r"));
}

static int read_all(int in, struct pen_buf *raw)
{
	raw->limit = MESSAGE_MAX;
	for (;;) {
		if (pen_buf_reserve(raw, 65536) != 0)
			return -EMSGSIZE;
		ssize_t r = read(in, raw->p + raw->n, 65536);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
		raw->n += (size_t)r;
	}
}

int message_read(int in, bool dot, struct pen_buf *out)
{
	struct pen_buf raw = PEN_BUF_INIT;
	int err = read_all(in, &raw);
	struct pen_span rest = pen_buf_span(&raw);
	bool first = true;

	while (err == 0 && rest.n > 0) {
		ptrdiff_t lf = pen_span_find(rest, '\n');
		struct pen_span line = lf >= 0 ? pen_span(rest.p, (size_t)lf) : rest;
		rest = pen_span_from(rest, line.n + 1);
		if (dot && is_dot(line))
			break;
		bool mbox = first && line.n >= 5 && memcmp(line.p, "From ", 5) == 0;
		first = false;
		if (!mbox)
			add_line(out, line, lf >= 0);
	}
	pen_buf_fini(&raw);
	return err != 0 ? err : out->failed ? -ENOMEM : 0;
}

// The next field of the header block at *at, with its continuation lines; false
// at the block's end.
static bool next_field(struct pen_span m, size_t *at, struct pen_span *field, struct pen_span *name)
{
	struct pen_span rest = pen_span_from(m, *at);
	size_t n = 0, end = 0;

	while (n < rest.n && rest.p[n] > 32 && rest.p[n] < 127 && rest.p[n] != ':')
		n++;
	size_t colon = n;
	while (colon < rest.n && (rest.p[colon] == ' ' || rest.p[colon] == '\t'))
		colon++;
	if (n == 0 || colon == rest.n || rest.p[colon] != ':')
		return false;
	do {
		ptrdiff_t lf = pen_span_find(pen_span_from(rest, end), '\n');
		end = lf < 0 ? rest.n : end + (size_t)lf + 1;
	} while (end < rest.n && (rest.p[end] == ' ' || rest.p[end] == '\t'));
	*name = pen_span(rest.p, n);
	*field = pen_span(rest.p, end);
	*at += end;
	return true;
}

bool message_has_field(struct pen_span m, const char *name)
{
	struct pen_span field, found;
	size_t at = 0;

	while (next_field(m, &at, &field, &found)) {
		if (pen_span_ieq(found, pen_span_cstr(name)))
			return true;
	}
	return false;
}

struct pen_span message_header(struct pen_span m)
{
	struct pen_span field, name;
	size_t at = 0;

	while (next_field(m, &at, &field, &name))
		;
	return pen_span(m.p, at);
}

bool message_field_is(struct pen_span m, const char *name, const char *value)
{
	struct pen_span field, found;
	size_t at = 0;

	while (next_field(m, &at, &field, &found)) {
		ptrdiff_t colon = pen_span_find(field, ':');
		if (pen_span_ieq(found, pen_span_cstr(name)) &&
			pen_span_ieq(pen_span_trim(pen_span_from(field, (size_t)colon + 1)),
				pen_span_cstr(value)))
			return true;
	}
	return false;
}

void message_add_field(struct pen_buf *m, const char *field)
{
	struct pen_buf whole = PEN_BUF_INIT;

	pen_buf_add_cstr(&whole, field);
	pen_buf_add_span(&whole, pen_buf_span(m));
	pen_buf_fini(m);
	*m = whole;
}

struct collect {
	struct addresses *to;
	bool failed;
};

static void collect_one(void *ctx, struct pen_span addr)
{
	struct collect *c = ctx;

	c->failed = c->failed || !addresses_add(c->to, addr);
}

static bool is_one_of(struct pen_span name, bool resent, const char *const *list)
{
	for (; *list != NULL; list++) {
		struct pen_span want = pen_span_cstr(*list);
		if (resent && pen_span_istarts(name, PEN_SPAN_LIT("Resent-")) &&
			pen_span_ieq(pen_span_from(name, 7), want))
			return true;
		if (!resent && pen_span_ieq(name, want))
			return true;
	}
	return false;
}

static bool any_resent(struct pen_span m)
{
	static const char *const names[] = {"To", "Cc", "Bcc", NULL};
	struct pen_span field, name;
	size_t at = 0;

	while (next_field(m, &at, &field, &name)) {
		if (is_one_of(name, true, names))
			return true;
	}
	return false;
}

int message_recipients(struct pen_buf *m, struct addresses *to, char *why, size_t cap)
{
	static const char *const names[] = {"To", "Cc", "Bcc", NULL};
	static const char *const blind[] = {"Bcc", NULL};
	bool resent = any_resent(pen_buf_span(m));
	struct collect c = {to, false};
	struct pen_span field, name;
	const char *fault;
	size_t at = 0;

	for (size_t start = 0; next_field(pen_buf_span(m), &at, &field, &name); start = at) {
		if (is_one_of(name, resent, names)) {
			struct pen_span value = field;
			value = pen_span_from(value, (size_t)pen_span_find(value, ':') + 1);
			if (pen_addrlist_parse(value, collect_one, &c, &fault) != 0) {
				snprintf(why, cap, "%.*s: %s", PEN_SPAN_ARG(name), fault);
				return -EINVAL;
			}
		}
		if (is_one_of(name, false, blind) || is_one_of(name, true, blind)) {
			memmove(m->p + start, m->p + at, m->n - at);
			m->n -= at - start;
			at = start;
		}
	}
	if (c.failed) {
		snprintf(why, cap, "too many recipients");
		return -EINVAL;
	}
	return 0;
}
