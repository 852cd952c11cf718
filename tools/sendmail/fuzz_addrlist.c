// SPDX-License-Identifier: BSD-3-Clause
#include "pen_addrlist.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *ctx, struct pen_span addr)
{
	(void)ctx;
	PEN_ASSERT(addr.n > 0 && addr.n <= PEN_ADDRLIST_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why;
	int err = pen_addrlist_parse(pen_span(data, size), check, NULL, &why);

	PEN_ASSERT((err == 0) == (why == NULL));
	return 0;
}
