// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_tlsrpt_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The records are separated by NUL bytes.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pen_tlsrpt_rua rua;
	struct pen_span txt[4], rest = pen_span(data, size);
	uint32_t n = 0;

	while (n < 4) {
		ptrdiff_t at = pen_span_find(rest, 0);
		txt[n++] = at < 0 ? rest : pen_span(rest.p, (size_t)at);
		if (at < 0)
			break;
		rest = pen_span_from(rest, (size_t)at + 1);
	}
	if (pen_tlsrpt_record(txt, n, &rua)) {
		PEN_ASSERT(rua.n > 0 && rua.n <= PEN_TLSRPT_RUA_MAX);
		for (uint32_t i = 0; i < rua.n; i++)
			PEN_ASSERT(strlen(rua.to[i].uri) > 0);
	}
	return 0;
}
