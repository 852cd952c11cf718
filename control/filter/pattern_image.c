// SPDX-License-Identifier: BSD-3-Clause

// An image is a head with three lengths, the recipe (all that decides what
// Hyperscan compiles), the engine of each pattern, and the database.

#include "pen_pattern_image.h"

#include "pattern_internal.h"

#include <stdlib.h>

struct head {
	uint64_t recipe, patterns, db; // bytes, count, bytes
};

static struct pen_span ready;
static struct pen_buf *record;
static uint64_t uses;

void pen_pattern_image_use(struct pen_span image)
{
	ready = image;
}

void pen_pattern_image_record(struct pen_buf *into)
{
	record = into;
}

uint64_t pen_pattern_image_uses(void)
{
	return __atomic_load_n(&uses, __ATOMIC_RELAXED);
}

static void write_recipe(struct pen_buf *out, const struct pen_pattern *p, size_t n)
{
	hs_platform_info_t cpu;

	if (hs_populate_platform(&cpu) != HS_SUCCESS)
		cpu = (hs_platform_info_t){0}; // compiling will not succeed either
	pen_buf_addf(out, "%s, %u, %llx\n", hs_version(), cpu.tune, cpu.cpu_features);
	for (size_t i = 0; i < n; i++) {
		pen_buf_addf(out, "%x %zu ", p[i].flags, p[i].text.n);
		pen_buf_add_span(out, p[i].text);
	}
}

// The first n bytes of *s, which loses them. False: it has fewer.
static bool take(struct pen_span *s, uint64_t n, struct pen_span *out)
{
	if (n > s->n)
		return false;
	*out = pen_span(s->p, (size_t)n);
	*s = pen_span_from(*s, (size_t)n);
	return true;
}

static bool read_image(
	struct pen_span s, struct pen_span *recipe, struct pen_span *engines, struct pen_span *db)
{
	struct pen_span first;
	struct head h;

	if (!take(&s, sizeof(h), &first))
		return false;
	memcpy(&h, first.p, sizeof(h));
	return take(&s, h.recipe, recipe) && take(&s, h.patterns, engines) && take(&s, h.db, db) &&
	       s.n == 0;
}

bool pattern_image_take(
	const struct pen_pattern *p, size_t n, enum pen_pattern_engine *engine, hs_database_t **db)
{
	struct pen_span recipe, engines, bytes;
	struct pen_buf mine = PEN_BUF_INIT;

	if (!read_image(ready, &recipe, &engines, &bytes) || engines.n != n)
		return false;
	write_recipe(&mine, p, n);
	bool same = !mine.failed && pen_span_eq(recipe, pen_buf_span(&mine));
	pen_buf_fini(&mine);
	for (size_t i = 0; i < n; i++)
		same = same && engines.p[i] <= PEN_ENGINE_PCRE2;
	// The database has a checksum.
	if (!same || hs_deserialize_database((const char *)bytes.p, bytes.n, db) != HS_SUCCESS)
		return false;
	for (size_t i = 0; i < n; i++)
		engine[i] = engines.p[i];
	__atomic_fetch_add(&uses, 1, __ATOMIC_RELAXED);
	return true;
}

void pattern_image_put(const struct pen_pattern *p, size_t n, const enum pen_pattern_engine *engine,
	const hs_database_t *db)
{
	struct pen_buf recipe = PEN_BUF_INIT;
	struct pen_buf *out = record;
	char *bytes;
	size_t size;

	if (out == NULL || hs_serialize_database(db, &bytes, &size) != HS_SUCCESS)
		return;
	record = NULL;
	write_recipe(&recipe, p, n);
	struct head h = {recipe.n, n, size};
	pen_buf_add(out, &h, sizeof(h));
	pen_buf_add_span(out, pen_buf_span(&recipe));
	for (size_t i = 0; i < n; i++)
		pen_buf_add(out, &(uint8_t){(uint8_t)engine[i]}, 1);
	pen_buf_add(out, bytes, size);
	out->failed |= recipe.failed;
	pen_buf_fini(&recipe);
	free(bytes);
}
