// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_rate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_rate r, again;
	struct pen_meter m;
	const char *why = NULL;
	char text[PEN_RATE_STR_MAX];
	size_t at = 0;

	if (!pen_rate_parse(pen_span(data, size), &r, &why, &at)) {
		PEN_ASSERT(why != NULL && at <= size);
		return 0;
	}
	pen_rate_str(&r, text);
	PEN_ASSERT(pen_rate_parse(pen_span_cstr(text), &again, &why, &at));
	PEN_ASSERT(again.count == r.count && again.period == r.period && again.burst == r.burst);
	if (!pen_rate_limited(&r) || r.count == 0)
		return 0;
	// One use passes at once, and all of them within two periods.
	pen_meter_init(&m);
	PEN_ASSERT(pen_meter_when(&m, &r, 1, 1) <= 1);
	pen_meter_begin(&m, &r, 1, r.count);
	pen_meter_end(&m, &r, 1, r.count, true);
	pen_time_us when = pen_meter_when(&m, &r, 1, 1);
	PEN_ASSERT(when > r.period && when <= 1 + r.period + r.period / 62 + 64);
	PEN_ASSERT(pen_meter_when(&m, &r, when, 1) <= when);
	return 0;
}
