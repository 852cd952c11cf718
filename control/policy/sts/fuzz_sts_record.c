// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The input is TXT records, one on each line.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_span rest = pen_span(data, size), txt[16] = {0};
	char id[PEN_STS_ID_MAX + 1];
	uint32_t n = 0, versions = 0;

	while (rest.n > 0 && n < 16) {
		ptrdiff_t end = pen_span_find(rest, '\n');
		txt[n] = pen_span(rest.p, end < 0 ? rest.n : (size_t)end);
		rest = pen_span_from(rest, txt[n].n + 1);
		versions += txt[n].n >= 8 && memcmp(txt[n].p, "v=STSv1;", 8) == 0;
		n++;
	}
	memset(id, 'x', sizeof(id));
	bool found = pen_sts_record(txt, n, id);
	PEN_ASSERT(strlen(id) <= PEN_STS_ID_MAX && found == (id[0] != '\0'));
	PEN_ASSERT(!found || versions <= 1);
	return 0;
}
