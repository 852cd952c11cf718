// SPDX-License-Identifier: BSD-3-Clause
#include "header_field.h"

bool header_field_next(struct pen_span *block, struct header_field *out)
{
	size_t end = 0, name = 0;

	if (block->n == 0)
		return false;
	do {
		ptrdiff_t lf = pen_span_find(pen_span_from(*block, end), '\n');
		end = lf < 0 ? block->n : end + (size_t)lf + 1;
	} while (end < block->n && (block->p[end] == ' ' || block->p[end] == '\t'));
	out->whole = pen_span(block->p, end);
	*block = pen_span_from(*block, end);
	while (name < end && out->whole.p[name] > ' ' && out->whole.p[name] < 127 &&
		out->whole.p[name] != ':')
		name++;
	size_t colon = name;
	while (colon < end && (out->whole.p[colon] == ' ' || out->whole.p[colon] == '\t'))
		colon++;
	bool field = name > 0 && colon < end && out->whole.p[colon] == ':';
	out->name = pen_span(out->whole.p, field ? name : 0);
	out->value = field ? pen_span_trim(pen_span_from(out->whole, colon + 1))
			   : pen_span(out->whole.p, 0);
	return true;
}
