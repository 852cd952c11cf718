// SPDX-License-Identifier: BSD-3-Clause
#include "spool_index.h"

#include <stdlib.h>
#include <string.h>

// Ids are times and so nearly consecutive: mix all their bits.
static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9ull;
	v = (v ^ (v >> 27)) * 0x94d049bb133111ebull;
	return v ^ (v >> 31);
}

static struct spool_shard *shard_of(struct spool_index *x, uint64_t hash)
{
	return &x->shard[hash >> 58];
}

void spool_index_fini(struct spool_index *x)
{
	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++)
		free(x->shard[i].cells);
	memset(x, 0, sizeof(*x));
}

struct spool_entry *spool_index_find(struct spool_index *x, uint64_t id)
{
	uint64_t hash = mix(id);
	struct spool_shard *s = shard_of(x, hash);

	if (s->cap == 0)
		return NULL;
	for (uint32_t i = (uint32_t)hash & (s->cap - 1);; i = (i + 1) & (s->cap - 1)) {
		if (s->cells[i].id == id)
			return &s->cells[i];
		if (s->cells[i].id == 0)
			return NULL;
	}
}

static struct spool_entry *shard_place(struct spool_shard *s, uint64_t id)
{
	uint32_t i = (uint32_t)mix(id) & (s->cap - 1);

	while (s->cells[i].id != 0)
		i = (i + 1) & (s->cap - 1);
	return &s->cells[i];
}

static bool shard_resize(struct spool_shard *s, uint32_t cap)
{
	struct spool_shard bigger = {calloc(cap, sizeof(struct spool_entry)), cap, s->used};

	if (bigger.cells == NULL)
		return false;
	for (uint32_t i = 0; i < s->cap; i++) {
		if (s->cells[i].id != 0)
			*shard_place(&bigger, s->cells[i].id) = s->cells[i];
	}
	free(s->cells);
	*s = bigger;
	return true;
}

struct spool_entry *spool_index_add(struct spool_index *x, uint64_t id)
{
	struct spool_shard *s = shard_of(x, mix(id));

	if (s->used >= s->cap / 4 * 3 && !shard_resize(s, s->cap != 0 ? s->cap * 2 : 16))
		return NULL;
	struct spool_entry *e = shard_place(s, id);
	memset(e, 0, sizeof(*e));
	e->id = id;
	s->used++;
	x->count++;
	return e;
}

void spool_index_remove(struct spool_index *x, uint64_t id)
{
	struct spool_entry *e = spool_index_find(x, id);

	if (e != NULL)
		spool_index_remove_entry(x, e);
}

void spool_index_remove_entry(struct spool_index *x, struct spool_entry *e)
{
	struct spool_shard *s = shard_of(x, mix(e->id));
	uint32_t mask = s->cap - 1, hole = (uint32_t)(e - s->cells);
	// Close the hole by moving back what was pushed past it.
	for (uint32_t i = (hole + 1) & mask; s->cells[i].id != 0; i = (i + 1) & mask) {
		uint32_t home = (uint32_t)mix(s->cells[i].id) & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			s->cells[hole] = s->cells[i];
			hole = i;
		}
	}
	memset(&s->cells[hole], 0, sizeof(s->cells[hole]));
	s->used--;
	x->count--;
	// Give back the memory of a queue that has drained.
	if (s->cap > 1024 && s->used < s->cap / 8)
		shard_resize(s, s->cap / 2);
}
