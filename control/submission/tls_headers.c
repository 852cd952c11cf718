// SPDX-License-Identifier: BSD-3-Clause
#include "tls_headers.h"

static const struct pen_span require_name = PEN_SPAN_LIT("Require-TLS-ESMTP");
static const struct pen_span optional_name = PEN_SPAN_LIT("TLS-Required");

// The length of the first field, with its continuation lines.
static size_t field_length(struct pen_span block)
{
	size_t end = 0;

	do {
		ptrdiff_t lf = pen_span_find(pen_span_from(block, end), '\n');
		if (lf < 0)
			return block.n;
		end += (size_t)lf + 1;
	} while (end < block.n && (block.p[end] == ' ' || block.p[end] == '\t'));
	return end;
}

// White space may stand before the colon (RFC 5322 4.5.8).
static bool is_field(struct pen_span field, struct pen_span name, struct pen_span *value)
{
	size_t at = name.n;

	if (!pen_span_istarts(field, name))
		return false;
	while (at < field.n && (field.p[at] == ' ' || field.p[at] == '\t'))
		at++;
	if (at == field.n || field.p[at] != ':')
		return false;
	*value = pen_span_trim(pen_span_from(field, at + 1));
	return true;
}

void tls_headers_scan(struct pen_span block, struct tls_headers *out)
{
	*out = (struct tls_headers){0};
	while (block.n > 0) {
		size_t n = field_length(block);
		struct pen_span field = pen_span(block.p, n), value;
		block = pen_span_from(block, n);
		if (is_field(field, require_name, &value)) {
			out->require |= pen_span_ieq(value, PEN_SPAN_LIT("yes"));
		} else if (is_field(field, optional_name, &value)) {
			if (pen_span_ieq(value, PEN_SPAN_LIT("no"))) {
				out->optional = true;
			} else {
				out->unknown = value;
				out->has_unknown = true;
			}
		}
	}
}
