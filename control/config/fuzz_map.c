// SPDX-License-Identifier: BSD-3-Clause

// The first byte chooses the kind of table; the rest is its text.

#include "pen_err.h"
#include "pen_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(
	void *ctx, struct pen_span key, struct pen_span value, const char *file, unsigned line)
{
	struct pen_map *m = ctx;
	struct pen_span found;

	(void)file;
	(void)line;
	if (pen_map_find(m, key, &found) && found.n == value.n)
		PEN_ASSERT(found.n == 0 || found.p != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_report report = {0};
	const struct pen_map_where where = {"main.cf", 1, "transport_maps"};
	struct pen_span text = pen_span_from(pen_span(data, size), 1), value;
	struct pen_map *m = NULL;

	if (size == 0)
		return 0;
	if (data[0] == 't') {
		m = pen_map_parse("texthash", text, "table", &report);
	} else if (data[0] == 'c') {
		m = pen_map_parse("cidr", text, "table", &report);
	} else if (!pen_span_istarts(text, PEN_SPAN_LIT("texthash:")) &&
		   !pen_span_istarts(text, PEN_SPAN_LIT("cidr:"))) {
		m = pen_map_open(text, &where, &report);
	}
	if (m == NULL)
		return 0;
	pen_map_each(m, look_up, m);
	pen_map_find(m, PEN_SPAN_LIT("192.0.2.1"), &value);
	pen_map_free(m);
	return 0;
}
