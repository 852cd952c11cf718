// SPDX-License-Identifier: BSD-3-Clause

#include "pen_bounce_templates.h"
#include "pen_err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pen_params params;
	static char **none;

	if (none == NULL) {
		none = calloc(pen_param_count, sizeof(*none));
		params.expanded = none;
	}
	struct pen_report r = {0};
	struct pen_bounce_templates *t =
		pen_bounce_templates_parse(pen_span(data, size), "f", &params, &r);
	PEN_ASSERT((t == NULL) == (r.errors > 0));
	if (t != NULL) {
		const struct pen_dsn_template *f = &pen_bounce_templates_get(t)->failure;
		PEN_ASSERT(f->text == NULL || strstr(f->text, "\r\n") != NULL);
		PEN_ASSERT(f->subject == NULL || strpbrk(f->subject, "\r\n") == NULL);
	}
	pen_bounce_templates_free(t);
	return 0;
}
