// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "sts_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_sts_policy p;
	pen_wall_us fetched;

	if (sts_file_decode(pen_span(data, size), &p, &fetched) != NULL)
		return 0;
	PEN_ASSERT(p.domain[0] != '\0' && p.domain[0] != '.' && strchr(p.domain, '/') == NULL);
	PEN_ASSERT(p.id[0] != '\0' && fetched >= 0);
	pen_sts_policy_fini(&p);
	return 0;
}
