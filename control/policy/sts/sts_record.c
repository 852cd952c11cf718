// SPDX-License-Identifier: BSD-3-Clause

// Names, the record at _mta-sts.<domain> (RFC 8461 3.1), and host patterns (4.1).

#include "pen_sts.h"
#include "sts_name.h"

#define LABEL_MAX 63
#define KEY_MAX 32

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool label_ok(struct pen_span l, bool underscore)
{
	if (l.n == 0 || l.n > LABEL_MAX || l.p[0] == '-' || l.p[l.n - 1] == '-')
		return false;
	for (size_t i = 0; i < l.n; i++) {
		if (!is_alnum(l.p[i]) && l.p[i] != '-' && !(underscore && l.p[i] == '_'))
			return false;
	}
	return true;
}

static bool name_read(struct pen_span text, bool underscore, char out[STS_NAME_MAX + 1])
{
	struct pen_span rest = text;

	if (text.n == 0 || text.n > STS_NAME_MAX)
		return false;
	for (;;) {
		ptrdiff_t dot = pen_span_find(rest, '.');
		if (!label_ok(pen_span(rest.p, dot < 0 ? rest.n : (size_t)dot), underscore))
			return false;
		if (dot < 0)
			break;
		rest = pen_span_from(rest, (size_t)dot + 1);
	}
	for (size_t i = 0; i < text.n; i++)
		out[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]);
	out[text.n] = '\0';
	return true;
}

bool sts_name_read(struct pen_span text, char out[STS_NAME_MAX + 1])
{
	return name_read(text, false, out);
}

bool sts_domain_read(struct pen_span text, char out[STS_NAME_MAX + 1])
{
	if (text.n > 0 && text.p[text.n - 1] == '.')
		text.n--;
	return name_read(text, true, out);
}

bool sts_key_ok(struct pen_span key)
{
	if (key.n == 0 || key.n > KEY_MAX || !is_alnum(key.p[0]))
		return false;
	for (size_t i = 1; i < key.n; i++) {
		uint8_t c = key.p[i];
		if (!is_alnum(c) && c != '_' && c != '-' && c != '.')
			return false;
	}
	return true;
}

static struct pen_span trim_wsp(struct pen_span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = pen_span_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

// The part behind "v=STSv1" of a record of that version, from the ";" on.
static bool is_stsv1(struct pen_span txt, struct pen_span *fields)
{
	const struct pen_span v = PEN_SPAN_LIT("v=STSv1");

	if (txt.n < v.n || !pen_span_eq(pen_span(txt.p, v.n), v))
		return false;
	*fields = trim_wsp(pen_span_from(txt, v.n));
	return fields->n > 0 && fields->p[0] == ';';
}

static bool id_read(struct pen_span value, char id[PEN_STS_ID_MAX + 1])
{
	if (value.n == 0 || value.n > PEN_STS_ID_MAX)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (!is_alnum(value.p[i]))
			return false;
	}
	memcpy(id, value.p, value.n);
	id[value.n] = '\0';
	return true;
}

static bool value_ok(struct pen_span v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || v.p[i] == '=')
			return false;
	}
	return v.n > 0;
}

// fields_read: "; name=value" as often as there are any, one ";" at the end.
static bool fields_read(struct pen_span fields, char id[PEN_STS_ID_MAX + 1])
{
	bool have = false;

	while (fields.n > 0) {
		fields = trim_wsp(pen_span_from(fields, 1));
		if (fields.n == 0)
			break;
		ptrdiff_t semicolon = pen_span_find(fields, ';');
		size_t n = semicolon < 0 ? fields.n : (size_t)semicolon;
		struct pen_span field = trim_wsp(pen_span(fields.p, n));
		ptrdiff_t equals = pen_span_find(field, '=');
		if (equals < 0)
			return false;
		struct pen_span name = pen_span(field.p, (size_t)equals);
		struct pen_span value = pen_span_from(field, (size_t)equals + 1);
		if (pen_span_eq(name, PEN_SPAN_LIT("id")) && !have) {
			if (!id_read(value, id))
				return false;
			have = true;
		} else if (!sts_key_ok(name) || !value_ok(value)) {
			return false;
		}
		fields = pen_span_from(fields, n);
	}
	return have;
}

bool pen_sts_record(const struct pen_span *txt, uint32_t n, char id[PEN_STS_ID_MAX + 1])
{
	struct pen_span fields = {0}, found;
	uint32_t records = 0;

	id[0] = '\0';
	for (uint32_t i = 0; i < n; i++) {
		if (is_stsv1(txt[i], &found)) {
			fields = found;
			records++;
		}
	}
	if (records == 1 && fields_read(fields, id))
		return true;
	id[0] = '\0';
	return false;
}

bool pen_sts_pattern_match(const char *pattern, const char *host)
{
	struct pen_span p = pen_span_cstr(pattern), h = pen_span_cstr(host);

	if (h.n > 0 && h.p[h.n - 1] == '.')
		h.n--;
	if (p.n > 2 && p.p[0] == '*' && p.p[1] == '.') {
		ptrdiff_t dot = pen_span_find(h, '.');
		if (dot <= 0)
			return false;
		p = pen_span_from(p, 2);
		h = pen_span_from(h, (size_t)dot + 1);
	}
	return p.n > 0 && pen_span_ieq(p, h);
}

bool pen_sts_mx_allowed(const struct pen_sts_policy *p, const char *host)
{
	for (uint32_t i = 0; i < p->nmx; i++) {
		if (pen_sts_pattern_match(p->mx[i], host))
			return true;
	}
	return false;
}
