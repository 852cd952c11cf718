// SPDX-License-Identifier: BSD-3-Clause
#include "map_priv.h"

#include "pen_main_cf.h"
#include "pen_rand.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define KEY_MAX 1024

// Tables are written by the operator, so the hash needs no secret.
static const struct pen_siphash_key hash_key = {0x70656e73746f636bULL, 0x6d61707300000001ULL};

struct pen_map *map_new(enum map_type type, struct pen_span name, const char *file)
{
	struct pen_map *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->type = type;
	m->name = strndup((const char *)name.p, name.n);
	m->file = file != NULL ? strdup(file) : NULL;
	if (m->name == NULL || (file != NULL && m->file == NULL)) {
		pen_map_free(m);
		return NULL;
	}
	return m;
}

void pen_map_free(struct pen_map *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n && map_is_pattern(m); i++)
		map_pattern_free(&m->entry[i]);
	free(m->name);
	free(m->file);
	free(m->entry);
	free(m->slot);
	pen_buf_fini(&m->text);
	free(m);
}

const char *pen_map_name(const struct pen_map *m)
{
	return m->name;
}

size_t pen_map_count(const struct pen_map *m)
{
	return m->n;
}

bool pen_map_fixed(const struct pen_map *m)
{
	return m->type != MAP_CIDR && !map_is_pattern(m);
}

static struct pen_span entry_key(const struct pen_map *m, const struct map_entry *e)
{
	return pen_span(m->text.p + e->key, e->key_len);
}

struct pen_span map_value(const struct pen_map *m, const struct map_entry *e)
{
	return pen_span(m->text.p + e->value, e->value_len);
}

// slot_for returns the slot of a key: taken by it, or free.
static size_t slot_for(const struct pen_map *m, struct pen_span key)
{
	size_t i = (size_t)pen_siphash(&hash_key, key.p, key.n) & m->mask;

	while (m->slot[i] != 0 && !pen_span_eq(entry_key(m, &m->entry[m->slot[i] - 1]), key))
		i = (i + 1) & m->mask;
	return i;
}

static bool map_grow(struct pen_map *m)
{
	size_t cap = m->cap == 0 ? 16 : m->cap * 2;
	struct map_entry *entry = realloc(m->entry, cap * sizeof(*entry));

	if (entry == NULL)
		return false;
	m->entry = entry;
	m->cap = cap;
	if (m->type != MAP_HASH)
		return true;
	free(m->slot);
	m->slot = calloc(cap * 2, sizeof(*m->slot));
	if (m->slot == NULL)
		return false;
	m->mask = cap * 2 - 1;
	for (size_t i = 0; i < m->n; i++)
		m->slot[slot_for(m, entry_key(m, &m->entry[i]))] = (uint32_t)i + 1;
	return true;
}

enum map_added map_add(struct pen_map *m, struct pen_span key, struct pen_span value, unsigned line)
{
	if (m->n >= PEN_MAP_ENTRIES_MAX || (m->n == m->cap && !map_grow(m)))
		return MAP_FULL;
	struct map_entry *e = &m->entry[m->n];
	size_t start = m->text.n;
	*e = (struct map_entry){.key = start,
		.key_len = key.n,
		.value = start + key.n,
		.value_len = value.n,
		.line = line};
	pen_buf_add_span(&m->text, key);
	pen_buf_add_span(&m->text, value);
	if (m->text.failed)
		return MAP_FULL;
	if (m->type == MAP_HASH) {
		for (size_t i = 0; i < key.n; i++)
			m->text.p[start + i] = (uint8_t)tolower(m->text.p[start + i]);
		size_t slot = slot_for(m, entry_key(m, e));
		if (m->slot[slot] != 0) {
			m->text.n = start;
			return MAP_DUPLICATE;
		}
		m->slot[slot] = (uint32_t)m->n + 1;
	}
	m->n++;
	return MAP_ADDED;
}

static bool find_hash(const struct pen_map *m, struct pen_span key, size_t *index)
{
	uint8_t folded[KEY_MAX];

	if (m->n == 0 || key.n > sizeof(folded))
		return false;
	for (size_t i = 0; i < key.n; i++)
		folded[i] = (uint8_t)tolower(key.p[i]);
	uint32_t found = m->slot[slot_for(m, pen_span(folded, key.n))];
	if (found != 0)
		*index = found - 1;
	return found != 0;
}

static enum pen_map_status find_index(
	const struct pen_map *m, struct pen_span key, struct pen_map_hit *hit)
{
	struct map_matcher *with = NULL;
	struct pen_addr addr = {0};

	hit->index = 0;
	switch (m->type) {
	case MAP_FAIL:
		return PEN_MAP_FAILED;
	case MAP_STATIC:
		return PEN_MAP_FOUND;
	case MAP_HASH:
		return find_hash(m, key, &hit->index) ? PEN_MAP_FOUND : PEN_MAP_MISSING;
	case MAP_CIDR:
		if (pen_addr_parse(&addr, key) != 0)
			return PEN_MAP_MISSING;
		return map_rules_find(m, key, &addr, &with, &hit->index);
	default:
		break;
	}
	enum pen_map_status found = map_rules_find(m, key, &addr, &with, &hit->index);
	if (found == PEN_MAP_FOUND && m->entry[hit->index].expands) {
		hit->lasts = false;
		if (!map_pattern_expand(m, &m->entry[hit->index], key, with, &hit->value))
			found = PEN_MAP_FAILED;
	}
	map_matcher_free(with);
	return found;
}

static void describe(const struct pen_map *m, struct pen_map_hit *hit)
{
	const struct map_entry *e = &m->entry[hit->index];

	if (hit->lasts)
		hit->value = map_value(m, e);
	hit->key = entry_key(m, e);
	hit->file = m->file;
	hit->line = e->line;
}

enum pen_map_status pen_map_lookup(
	const struct pen_map *m, struct pen_span key, struct pen_map_hit *hit)
{
	*hit = (struct pen_map_hit){.map = m, .lasts = true};
	enum pen_map_status found = find_index(m, key, hit);
	if (found == PEN_MAP_FOUND)
		describe(m, hit);
	return found;
}

bool pen_map_find(const struct pen_map *m, struct pen_span key, struct pen_span *value)
{
	struct pen_map_hit hit;

	if (pen_map_lookup(m, key, &hit) != PEN_MAP_FOUND)
		return false;
	*value = hit.value;
	return true;
}

bool pen_map_entry(const struct pen_map *m, size_t index, struct pen_map_hit *out)
{
	*out = (struct pen_map_hit){.map = m, .lasts = true, .index = index};
	if (index >= m->n || m->entry[index].rule != MAP_RESULT)
		return false;
	describe(m, out);
	out->lasts = !m->entry[index].expands;
	return true;
}

void pen_map_each(const struct pen_map *m,
	void (*fn)(void *ctx, struct pen_span key, struct pen_span value, const char *file,
		unsigned line),
	void *ctx)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct map_entry *e = &m->entry[i];
		if (e->rule == MAP_RESULT)
			fn(ctx, entry_key(m, e), map_value(m, e), m->file, e->line);
	}
}

// item_len returns the extent of one list item: commas and spaces inside
// braces do not end it.
static size_t item_len(struct pen_span s)
{
	int depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}')
			depth--;
		else if (depth <= 0 && (s.p[i] == ',' || isspace(s.p[i])))
			return i;
	}
	return s.n;
}

bool pen_list_next(struct pen_span *rest, struct pen_span *item)
{
	while (rest->n > 0 && (rest->p[0] == ',' || isspace(rest->p[0])))
		*rest = pen_span_from(*rest, 1);
	if (rest->n == 0)
		return false;
	*item = pen_span(rest->p, item_len(*rest));
	*rest = pen_span_from(*rest, item->n);
	return true;
}

static int open_list(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	bool plain, struct pen_report *r)
{
	struct pen_span rest = pen_span_cstr(list), item;
	unsigned errors = r->errors;

	*maps = (struct pen_maps){0};
	while (pen_list_next(&rest, &item)) {
		struct pen_map *m = map_open(item, where, plain, r);
		if (m == NULL)
			continue;
		void *grown = realloc(maps->map, (maps->n + 1) * sizeof(struct pen_map *));
		if (grown == NULL) {
			pen_map_free(m);
			return -ENOMEM;
		}
		maps->map = grown;
		maps->map[maps->n++] = m;
	}
	return r->errors > errors ? -EINVAL : 0;
}

int pen_maps_open(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	struct pen_report *r)
{
	return open_list(maps, list, where, false, r);
}

int pen_maps_open_plain(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	struct pen_report *r)
{
	return open_list(maps, list, where, true, r);
}

void pen_maps_fini(struct pen_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		pen_map_free(maps->map[i]);
	free(maps->map);
	*maps = (struct pen_maps){0};
}

enum pen_map_status pen_maps_lookup(
	const struct pen_maps *maps, struct pen_span key, struct pen_map_hit *hit)
{
	for (size_t i = 0; i < maps->n; i++) {
		enum pen_map_status found = pen_map_lookup(maps->map[i], key, hit);
		if (found != PEN_MAP_MISSING)
			return found;
	}
	return PEN_MAP_MISSING;
}

bool pen_maps_find(const struct pen_maps *maps, struct pen_span key, struct pen_span *value)
{
	struct pen_map_hit hit;

	if (pen_maps_lookup(maps, key, &hit) != PEN_MAP_FOUND)
		return false;
	*value = hit.value;
	return true;
}
