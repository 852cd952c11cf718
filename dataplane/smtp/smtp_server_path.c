// SPDX-License-Identifier: BSD-3-Clause

// Addresses of MAIL and RCPT (RFC 5321 4.1.2), as far as a gateway must judge
// them: where they end, and that nothing in them can break a command, a log
// line or a file.

#include "smtp_server.h"

#define PATH_MAX_BYTES 1024

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Finds the '>' (or, without brackets, the space or end) that ends the path.
static bool path_end(struct pen_span in, bool brackets, size_t *end)
{
	bool quoted = false;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		if (quoted && c == '\\') {
			i++;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && (c == '>' || (!brackets && c == ' '))) {
			*end = i;
			return brackets || c == ' ';
		}
	}
	*end = in.n;
	return !brackets && !quoted;
}

size_t smtp_utf8_char(struct pen_span s)
{
	const uint8_t *p = s.p;

	if (s.n == 0 || p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (s.n < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool beyond = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
	return overlong || beyond || (p[0] == 0xc2 && p[1] < 0xa0) ? 0 : len;
}

bool smtp_is_ascii(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 0x7f)
			return false;
	}
	return true;
}

static bool domain_ok(struct pen_span d)
{
	bool label = false;

	if (d.n >= 2 && d.p[0] == '[' && d.p[d.n - 1] == ']') {
		for (size_t i = 1; i + 1 < d.n; i++) {
			if (!is_alnum(d.p[i]) && d.p[i] != '.' && d.p[i] != ':' && d.p[i] != '-')
				return false;
		}
		return d.n > 2;
	}
	for (size_t i = 0; i < d.n; i++) {
		uint8_t c = d.p[i];
		if (c == '.' && !label)
			return false;
		label = c != '.';
		if (c > 0x7f) { // whether IDNA knows it is for routing to say
			size_t len = smtp_utf8_char(pen_span_from(d, i));
			if (len == 0)
				return false;
			i += len - 1;
			continue;
		}
		if (label && !is_alnum(c) && c != '-' && c != '_')
			return false;
	}
	return label;
}

// Checks the local part and finds where it ends: at '@' or at the end.
static enum smtp_path_status local_part(struct pen_span a, bool utf8, size_t *at)
{
	bool quoted = false;

	for (size_t i = 0; i < a.n; i++) {
		uint8_t c = a.p[i];
		if (c < ' ' || c == 0x7f)
			return PATH_BAD;
		if (c > 0x7f && !utf8)
			return PATH_UTF8;
		if (c > 0x7f) {
			size_t len = smtp_utf8_char(pen_span_from(a, i));
			if (len == 0)
				return PATH_BAD;
			i += len - 1;
			continue;
		}
		if (quoted && c == '\\') {
			if (i + 1 == a.n || a.p[i + 1] < ' ' || a.p[i + 1] > '~')
				return PATH_BAD;
			i++;
		} else if (c == '"') {
			// Quotes enclose the whole local part or nothing.
			if (!quoted && i != 0)
				return PATH_BAD;
			if (quoted && i + 1 < a.n && a.p[i + 1] != '@')
				return PATH_BAD;
			quoted = !quoted;
		} else if (!quoted && c == '@') {
			*at = i;
			return i > 0 ? PATH_OK : PATH_BAD;
		} else if (!quoted && (c == ' ' || strchr("<>()[]\\,;:", c) != NULL)) {
			return PATH_BAD;
		}
	}
	*at = a.n;
	return quoted ? PATH_BAD : PATH_OK;
}

static enum smtp_path_status address_check(struct pen_span a, bool utf8)
{
	size_t at;
	enum smtp_path_status st = local_part(a, utf8, &at);

	if (st != PATH_OK || at == a.n)
		return st;
	struct pen_span domain = pen_span_from(a, at + 1);
	if (!utf8 && !smtp_is_ascii(domain))
		return PATH_UTF8;
	return domain_ok(domain) ? PATH_OK : PATH_BAD;
}

enum smtp_path_status smtp_path_parse(
	struct pen_span in, bool null_ok, bool utf8, struct pen_span *addr, struct pen_span *rest)
{
	size_t end;
	bool brackets;

	while (in.n > 0 && in.p[0] == ' ')
		in = pen_span_from(in, 1);
	brackets = in.n > 0 && in.p[0] == '<';
	if (brackets)
		in = pen_span_from(in, 1);
	if (in.n == 0 || !path_end(in, brackets, &end))
		return PATH_SYNTAX;
	*addr = pen_span(in.p, end);
	*rest = pen_span_from(in, end + (brackets ? 1 : 0));
	if (rest->n > 0 && rest->p[0] != ' ')
		return PATH_SYNTAX;
	*rest = pen_span_trim(*rest);
	if (addr->n > PATH_MAX_BYTES)
		return PATH_BAD;
	// "@relay,@relay:address": RFC 5321 4.1.1.3 asks to ignore the route.
	if (addr->n > 0 && addr->p[0] == '@') {
		ptrdiff_t colon = pen_span_find(*addr, ':');
		if (colon < 0)
			return PATH_BAD;
		*addr = pen_span_from(*addr, (size_t)colon + 1);
		if (addr->n == 0)
			return PATH_BAD;
	}
	if (addr->n == 0)
		return null_ok && brackets ? PATH_OK : PATH_BAD;
	return address_check(*addr, utf8);
}
