// SPDX-License-Identifier: BSD-3-Clause
#include "pen_dsn.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t klass;
	uint16_t subject, detail;
	size_t used = pen_dsn_parse_status(pen_span(data, size), &klass, &subject, &detail);

	PEN_ASSERT(used <= size && used <= 9);
	if (used > 0)
		PEN_ASSERT((klass == 2 || klass == 4 || klass == 5) && subject <= 999 &&
			   detail <= 999);
	return 0;
}
