// SPDX-License-Identifier: BSD-3-Clause

// Lines of a file: what is read, written and read again is the same.

#include "pen_err.h"
#include "suppression_csv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct suppression_record *rec)
{
	static struct suppression_csv r;
	struct suppression_record copy;
	struct pen_buf b = PEN_BUF_INIT;
	const char *why;

	suppression_csv_init(&r);
	r.begun = true;
	suppression_csv_put(&b, rec->address, false);
	suppression_csv_put(&b, rec->reason, false);
	suppression_csv_put(&b, rec->source, true);
	// A carriage return inside a field becomes a space.
	bool same = pen_span_find(rec->source, '\r') < 0;
	if (same && b.n <= SUPPRESSION_CSV_LINE_MAX && rec->address.p[0] != '#') {
		PEN_ASSERT(suppression_csv_line(&r, pen_buf_span(&b), &copy, &why) ==
			   SUPPRESSION_CSV_RECORD);
		PEN_ASSERT(pen_span_eq(copy.source, rec->source));
	}
	pen_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct suppression_csv r;
	uint8_t *exact = malloc(size + 1);
	struct pen_span rest = pen_span(exact, size);
	struct suppression_record rec;
	const char *why = NULL;

	if (size > 0)
		memcpy(exact, data, size);
	suppression_csv_init(&r);
	while (rest.n > 0) {
		ptrdiff_t lf = pen_span_find(rest, '\n');
		struct pen_span line = lf >= 0 ? pen_span(rest.p, (size_t)lf) : rest;
		rest = pen_span_from(rest, line.n + 1);
		switch (suppression_csv_line(&r, line, &rec, &why)) {
		case SUPPRESSION_CSV_RECORD:
			PEN_ASSERT(rec.address.n > 0 && rec.address.n <= SUPPRESSION_CSV_LINE_MAX);
			again(&rec);
			break;
		case SUPPRESSION_CSV_BAD:
			PEN_ASSERT(why != NULL);
			break;
		case SUPPRESSION_CSV_NOTHING:
			break;
		}
	}
	free(exact);
	return 0;
}
