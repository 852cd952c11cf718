// SPDX-License-Identifier: BSD-3-Clause
#include "tls_headers.h"

#include "header_field.h"

void tls_headers_scan(struct pen_span block, struct tls_headers *out)
{
	struct header_field f;

	*out = (struct tls_headers){0};
	while (header_field_next(&block, &f)) {
		if (pen_span_ieq(f.name, PEN_SPAN_LIT("Require-TLS-ESMTP"))) {
			out->require |= pen_span_ieq(f.value, PEN_SPAN_LIT("yes"));
		} else if (pen_span_ieq(f.name, PEN_SPAN_LIT("TLS-Required"))) {
			if (pen_span_ieq(f.value, PEN_SPAN_LIT("no"))) {
				out->optional = true;
			} else {
				out->unknown = f.value;
				out->has_unknown = true;
			}
		}
	}
}
