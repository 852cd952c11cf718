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

// Tables in files are not for a fuzzer: it would read the machine's.
static bool names_a_file(struct pen_span spec)
{
	ptrdiff_t colon = pen_span_find(spec, ':');
	struct pen_span arg = pen_span_trim(pen_span_from(spec, (size_t)(colon + 1)));

	return colon >= 0 && arg.n > 0 && arg.p[0] == '/';
}

static void look_up_anything(const struct pen_map *m, struct pen_span key)
{
	struct pen_map_hit hit;

	key.n = key.n < 64 ? key.n : 64;
	if (pen_map_lookup(m, key, &hit) != PEN_MAP_FOUND)
		return;
	PEN_ASSERT(hit.index < pen_map_count(m) && hit.map == m);
	PEN_ASSERT(hit.value.n <= PEN_MAP_EXPANDED_MAX || hit.lasts);
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
	} else if (data[0] == 'p') {
		m = pen_map_parse("pcre", text, "table", &report);
	} else if (data[0] == 'r') {
		m = pen_map_parse("regexp", text, "table", &report);
	} else if (!names_a_file(text)) {
		m = pen_map_open(text, &where, &report);
	}
	if (m == NULL) {
		PEN_ASSERT(report.errors > 0 || names_a_file(text));
		return 0;
	}
	pen_map_each(m, look_up, m);
	pen_map_find(m, PEN_SPAN_LIT("192.0.2.1"), &value);
	look_up_anything(m, text);
	pen_map_free(m);
	return 0;
}
