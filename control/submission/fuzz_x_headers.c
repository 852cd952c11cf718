// SPDX-License-Identifier: BSD-3-Clause

// A header block through the fields of ours: whatever is in it, none is left
// behind, and nothing else is lost.

#include "pen_err.h"
#include "x_headers.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size + 1); // ASan sees what reads beyond it
	struct pen_buf kept = PEN_BUF_INIT;
	struct x_headers x, again;

	if (size > 0)
		memcpy(exact, data, size);
	struct pen_span block = pen_span(exact, size);
	x_headers_scan(block, 1795232580000000, &x);
	PEN_ASSERT(x.tenant.n <= PEN_CLASS_NAME_MAX && x.pool.n <= PEN_CLASS_NAME_MAX);
	if (x.why[0] == '\0' && x.scheduled) {
		const struct pen_send_window *w = &x.extra.window;
		PEN_ASSERT(w->days <= 0x7f && w->from < 1440 && w->to <= 1440);
		PEN_ASSERT(w->days != 0 || (w->from == 0 && w->to == 0 && w->zone[0] == '\0'));
		PEN_ASSERT(memchr(w->zone, '\0', sizeof(w->zone)) != NULL);
		PEN_ASSERT(x.extra.not_after == 0 || x.extra.not_after > x.extra.not_before);
	}
	x_headers_strip(block, &kept);
	PEN_ASSERT(kept.n <= size);
	x_headers_scan(pen_buf_span(&kept), 1795232580000000, &again);
	PEN_ASSERT(!again.any && (x.any || kept.n == size));
	pen_buf_fini(&kept);
	free(exact);
	return 0;
}
