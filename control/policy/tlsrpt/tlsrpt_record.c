// SPDX-License-Identifier: BSD-3-Clause
#include "pen_tlsrpt_record.h"

#include <ctype.h>
#include <stdio.h>

static bool is_version(struct pen_span field)
{
	return pen_span_eq(pen_span_trim(field), PEN_SPAN_LIT("v=TLSRPTv1"));
}

// The text up to `sep`, which *rest loses along with the separator.
static struct pen_span take(struct pen_span *rest, uint8_t sep)
{
	ptrdiff_t at = pen_span_find(*rest, sep);
	struct pen_span out = *rest;

	if (at < 0) {
		*rest = (struct pen_span){0};
		return out;
	}
	out.n = (size_t)at;
	*rest = pen_span_from(*rest, (size_t)at + 1);
	return out;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (uint8_t)tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// An address for MAIL and a header: printable, one "@", no blanks or brackets.
static bool mail_address(struct pen_span in, char out[PEN_TLSRPT_URI_MAX])
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < in.n; i++) {
		int c = in.p[i];
		if (c == '?') // a header list such as ?subject=
			break;
		if (c == '%') {
			if (in.n - i < 3 || hex(in.p[i + 1]) < 0 || hex(in.p[i + 2]) < 0)
				return false;
			c = hex(in.p[i + 1]) * 16 + hex(in.p[i + 2]);
			i += 2;
		}
		if (c <= ' ' || c >= 127 || strchr("<>()[]\\,;:\"", c) != NULL || n >= 320)
			return false;
		at += c == '@';
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return at == 1 && out[0] != '@' && n > 0 && out[n - 1] != '@';
}

static bool https_uri(struct pen_span in, char out[PEN_TLSRPT_URI_MAX])
{
	if (in.n >= PEN_TLSRPT_URI_MAX || in.n < sizeof("https://x") - 1)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] <= ' ' || in.p[i] >= 127 || strchr("<>\"\\", in.p[i]) != NULL)
			return false;
	}
	snprintf(out, PEN_TLSRPT_URI_MAX, "%.*s", PEN_SPAN_ARG(in));
	return true;
}

static void take_rua(struct pen_span list, struct pen_tlsrpt_rua *out)
{
	while (list.n > 0 && out->n < PEN_TLSRPT_RUA_MAX) {
		struct pen_span uri = pen_span_trim(take(&list, ','));
		char *to = out->to[out->n].uri;
		if (pen_span_istarts(uri, PEN_SPAN_LIT("mailto:"))) {
			out->to[out->n].https = false;
			out->n += mail_address(pen_span_from(uri, 7), to);
		} else if (pen_span_istarts(uri, PEN_SPAN_LIT("https://"))) {
			out->to[out->n].https = true;
			out->n += https_uri(uri, to);
		}
	}
}

bool pen_tlsrpt_record(const struct pen_span *txt, uint32_t n, struct pen_tlsrpt_rua *out)
{
	const struct pen_span *found = NULL;

	out->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct pen_span rest = txt[i];
		bool more = pen_span_find(rest, ';') >= 0;
		if (!more || !is_version(take(&rest, ';')))
			continue;
		if (found != NULL)
			return false; // two records: none counts
		found = &txt[i];
	}
	if (found == NULL)
		return false;
	struct pen_span rest = *found;
	while (rest.n > 0) {
		struct pen_span field = pen_span_trim(take(&rest, ';'));
		struct pen_span key = pen_span_trim(take(&field, '='));
		if (pen_span_eq(key, PEN_SPAN_LIT("rua")))
			take_rua(field, out);
	}
	return out->n > 0;
}
