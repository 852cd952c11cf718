// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_zone.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const pen_wall_us at[] = {INT64_MIN, -4000000000000000ll, 0, 1700000000000000ll,
		4000000000000000ll, INT64_MAX};
	uint8_t *copy = malloc(size > 0 ? size : 1); // so that reading beyond it is seen
	struct pen_zone z;

	if (size > 0)
		memcpy(copy, data, size);
	pen_zone_name_valid(pen_span(copy, size));
	if (pen_zone_parse(&z, pen_span(copy, size)) == 0) {
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			pen_wall_us t = at[i], until;
			int32_t offset;
			for (int k = 0; k < 8 && t != PEN_TIME_NEVER; k++, t = until) {
				pen_zone_at(&z, t, &offset, &until);
				PEN_ASSERT(until > t && offset > -27 * 3600 && offset < 27 * 3600);
			}
		}
	}
	free(copy);
	return 0;
}
