// SPDX-License-Identifier: BSD-3-Clause

// The policy file's text (RFC 8461 3.2), read strictly: whoever can put bytes
// into it decides which hosts get the domain's mail.

#include "pen_sts.h"
#include "sts_name.h"

#include <stdio.h>
#include <stdlib.h>

// What TLSRPT quotes of lines that mean nothing to us, in all.
#define EXTRA_BYTES 1024
// A longer line is quoted as "key: value": the rest of it is white space.
#define QUOTE_MAX 320
#define KEY_MAX 32
#define MAX_AGE_DIGITS 10

struct parse {
	struct pen_sts_policy *out;
	bool version, mode, max_age;
	uint32_t nlines, cap;
	size_t extra;
};

// utf8_len: bytes of the character that s starts with; 0: none, or a control.
static size_t utf8_len(struct pen_span s)
{
	uint8_t c = s.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;

	if (n == 1)
		return (c >= 0x20 && c != 0x7f) || c == '\t' ? 1 : 0;
	if (c < 0xc2 || c > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	}
	// Overlong forms, surrogates, beyond U+10FFFF.
	if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f) ||
		(c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
		return 0;
	return n;
}

static bool is_text(struct pen_span s)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		if (n == 0)
			return false;
		s = pen_span_from(s, n);
	}
	return true;
}

static const char *keep_line(struct parse *ps, char *line)
{
	struct pen_sts_policy *p = ps->out;

	if (line != NULL && ps->nlines + 1 >= ps->cap) {
		uint32_t cap = ps->cap == 0 ? 16 : ps->cap * 2;
		char **more = realloc(p->line, cap * sizeof(*more));
		if (more == NULL) {
			free(line);
			return "out of memory";
		}
		p->line = more;
		ps->cap = cap;
	}
	if (line == NULL)
		return "out of memory";
	p->line[ps->nlines++] = line;
	p->line[ps->nlines] = NULL;
	return NULL;
}

static const char *keep_raw(struct parse *ps, struct pen_span line)
{
	return keep_line(ps, strndup((const char *)line.p, line.n));
}

// keep_known keeps a line that counts.
static const char *keep_known(
	struct parse *ps, struct pen_span line, struct pen_span key, struct pen_span value)
{
	char quote[KEY_MAX + 2 + 256];

	if (line.n <= QUOTE_MAX)
		return keep_raw(ps, line);
	int n = snprintf(
		quote, sizeof(quote), "%.*s: %.*s", PEN_SPAN_ARG(key), PEN_SPAN_ARG(value));
	return keep_raw(ps, pen_span(quote, (size_t)n));
}

static const char *keep_extra(struct parse *ps, struct pen_span line)
{
	if (line.n > EXTRA_BYTES - ps->extra)
		return NULL;
	// An empty line costs something too.
	ps->extra += line.n + 1 < EXTRA_BYTES - ps->extra ? line.n + 1 : EXTRA_BYTES - ps->extra;
	return keep_raw(ps, line);
}

static const char *read_mode(struct pen_sts_policy *p, struct pen_span value)
{
	if (pen_span_eq(value, PEN_SPAN_LIT("enforce")))
		p->mode = PEN_STS_ENFORCE;
	else if (pen_span_eq(value, PEN_SPAN_LIT("testing")))
		p->mode = PEN_STS_TESTING;
	else if (pen_span_eq(value, PEN_SPAN_LIT("none")))
		p->mode = PEN_STS_NONE;
	else
		return "mode is not enforce, testing or none";
	return NULL;
}

static const char *read_max_age(struct pen_sts_policy *p, struct pen_span value)
{
	uint64_t age = 0;

	if (value.n == 0 || value.n > MAX_AGE_DIGITS)
		return "max_age is not a number of 1 to 10 digits";
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return "max_age is not a number of 1 to 10 digits";
		age = age * 10 + (value.p[i] - '0');
	}
	p->max_age_s = age < PEN_STS_MAX_AGE ? (uint32_t)age : PEN_STS_MAX_AGE;
	return NULL;
}

static const char *read_mx(struct pen_sts_policy *p, struct pen_span value)
{
	struct pen_span host = value;
	char name[STS_NAME_MAX + 1], *mx;

	if (host.n > 2 && host.p[0] == '*' && host.p[1] == '.')
		host = pen_span_from(host, 2);
	if (!sts_name_read(host, name))
		return "mx is neither a host name nor a \"*.\" pattern";
	if (p->nmx == PEN_STS_MX_MAX)
		return "more than 64 mx lines";
	mx = malloc(value.n + 1);
	if (mx == NULL)
		return "out of memory";
	memcpy(mx, value.p, value.n - host.n);
	memcpy(mx + value.n - host.n, name, host.n + 1);
	p->mx[p->nmx++] = mx;
	return NULL;
}

// read_field: NULL, or what is wrong. `known`: the line counts.
static const char *read_field(
	struct parse *ps, struct pen_span key, struct pen_span value, bool *known)
{
	*known = true;
	if (pen_span_eq(key, PEN_SPAN_LIT("mx")))
		return read_mx(ps->out, value);
	if (pen_span_eq(key, PEN_SPAN_LIT("version")) && !ps->version) {
		ps->version = true;
		return pen_span_eq(value, PEN_SPAN_LIT("STSv1")) ? NULL : "version is not STSv1";
	}
	if (pen_span_eq(key, PEN_SPAN_LIT("mode")) && !ps->mode) {
		ps->mode = true;
		return read_mode(ps->out, value);
	}
	if (pen_span_eq(key, PEN_SPAN_LIT("max_age")) && !ps->max_age) {
		ps->max_age = true;
		return read_max_age(ps->out, value);
	}
	*known = false;
	return NULL;
}

static const char *read_line(struct parse *ps, struct pen_span line)
{
	struct pen_span key, value;
	bool known;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!is_text(line))
		return "a line is no UTF-8 text";
	// RFC 8461 has no empty lines; published files do, at the end.
	if (pen_span_trim(line).n == 0)
		return NULL;
	ptrdiff_t colon = pen_span_find(line, ':');
	if (colon < 0)
		return "a line is not \"key: value\"";
	key = pen_span(line.p, (size_t)colon);
	if (!sts_key_ok(key))
		return "a line does not start with a key";
	value = pen_span_trim(pen_span_from(line, (size_t)colon + 1));
	const char *wrong = read_field(ps, key, value, &known);
	if (wrong != NULL)
		return wrong;
	return known ? keep_known(ps, line, key, value) : keep_extra(ps, line);
}

static const char *parse_body(struct parse *ps, struct pen_span body)
{
	if (body.n > PEN_STS_BODY_MAX)
		return "longer than 64 KiB";
	while (body.n > 0) {
		ptrdiff_t end = pen_span_find(body, '\n');
		struct pen_span line = pen_span(body.p, end < 0 ? body.n : (size_t)end);
		const char *wrong = read_line(ps, line);
		if (wrong != NULL)
			return wrong;
		body = pen_span_from(body, line.n + 1);
	}
	if (!ps->version)
		return "no version";
	if (!ps->mode)
		return "no mode";
	if (!ps->max_age)
		return "no max_age";
	if (ps->out->nmx == 0 && ps->out->mode != PEN_STS_NONE)
		return "no mx";
	return NULL;
}

const char *pen_sts_parse(struct pen_span body, struct pen_sts_policy *out)
{
	struct parse ps = {.out = out};

	memset(out, 0, sizeof(*out));
	const char *wrong = parse_body(&ps, body);
	if (wrong != NULL)
		pen_sts_policy_fini(out);
	return wrong;
}

void pen_sts_policy_fini(struct pen_sts_policy *p)
{
	for (uint32_t i = 0; i < p->nmx; i++)
		free(p->mx[i]);
	for (char **l = p->line; l != NULL && *l != NULL; l++)
		free(*l);
	free(p->line);
	memset(p, 0, sizeof(*p));
}
