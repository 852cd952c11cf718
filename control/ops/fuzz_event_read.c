// SPDX-License-Identifier: BSD-3-Clause

// Any line: what is read lies inside it, and lists end.

#include "pen_err.h"
#include "pen_event_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct pen_span part, const uint8_t *data, size_t size)
{
	return part.n == 0 || (part.p >= data && part.p + part.n <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_event_line line;
	struct pen_span item;
	const char *why;
	uint32_t n = 0;

	if (!pen_event_read(pen_span(data, size), &line, &why)) {
		PEN_ASSERT(*why != '\0');
		return 0;
	}
	PEN_ASSERT(inside(line.id, data, size) && inside(line.list, data, size));
	while (pen_event_next(&line.list, &item)) {
		PEN_ASSERT(inside(item, data, size));
		n++;
	}
	PEN_ASSERT(n == line.nrcpt);
	return 0;
}
