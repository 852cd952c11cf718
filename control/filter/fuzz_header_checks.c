// SPDX-License-Identifier: BSD-3-Clause

// A table file and, behind its first NUL, the headers it is applied to.

#include "pen_header_checks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(struct pen_header_checks *c, struct pen_span headers)
{
	struct pen_header_scratch *s = pen_header_scratch_new(c);
	struct pen_header_verdict v = {0};
	struct pen_buf out = PEN_BUF_INIT;

	if (s == NULL || pen_header_checks_apply(c, s, headers, &v) != 0)
		abort();
	for (size_t i = 0; i < v.n; i++) {
		const struct pen_header_decision *d = &v.list[i];

		if (d->header.p < headers.p || d->header.p + d->header.n > headers.p + headers.n)
			abort();
		for (size_t k = 0; k < d->text.n; k++)
			if (d->text.p[k] < ' ')
				abort();
	}
	pen_header_verdict_rewrite(&v, headers, &out);
	pen_buf_fini(&out);
	pen_header_verdict_fini(&v);
	pen_header_scratch_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_span all = pen_span(data, size);
	ptrdiff_t nul = pen_span_find(all, 0);
	struct pen_span table = pen_span(data, nul >= 0 ? (size_t)nul : size);
	char err[200] = "";

	for (int syntax = PEN_RULES_PCRE; syntax <= PEN_RULES_REGEXP; syntax++) {
		struct pen_header_checks *c = pen_header_checks_parse(
			"fuzz", table, (enum pen_rule_syntax)syntax, err, sizeof(err));

		if (c == NULL && err[0] == '\0')
			abort();
		if (c != NULL && nul >= 0)
			run(c, pen_span_from(all, (size_t)nul + 1));
		pen_header_checks_free(c);
	}
	return 0;
}
