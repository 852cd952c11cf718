// SPDX-License-Identifier: BSD-3-Clause
#include "spool_index.h"

#include <stdlib.h>
#include <string.h>

#define STEP 8 // a full table grows by an eighth

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

// Where an id wants to stand. Tables are of any size, so that they grow in small
// steps; what stands in one is nearly in the order of the hash.
static uint32_t home_of(const struct spool_shard *s, uint64_t hash)
{
	return (uint32_t)((uint64_t)(uint32_t)hash * s->cap >> 32);
}

static uint32_t after(const struct spool_shard *s, uint32_t i)
{
	return i + 1 < s->cap ? i + 1 : 0;
}

// How far behind `from` a cell is.
static uint32_t distance(const struct spool_shard *s, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to + s->cap - from;
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
	for (uint32_t i = home_of(s, hash);; i = after(s, i)) {
		if (s->cells[i].id == id)
			return &s->cells[i];
		if (s->cells[i].id == 0)
			return NULL;
	}
}

static struct spool_entry *shard_place(struct spool_shard *s, uint64_t id)
{
	uint32_t i = home_of(s, mix(id));

	while (s->cells[i].id != 0)
		i = after(s, i);
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

// At most five sixths full.
static bool shard_is_full(const struct spool_shard *s)
{
	return (s->used + 1) * 6ull > s->cap * 5ull;
}

struct spool_entry *spool_index_add(struct spool_index *x, uint64_t id)
{
	struct spool_shard *s = shard_of(x, mix(id));

	if (shard_is_full(s) &&
		(s->cap > UINT32_MAX / 2 || !shard_resize(s, s->cap + s->cap / STEP + 16)))
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
	uint32_t hole = (uint32_t)(e - s->cells);
	// Close the hole by moving back what was pushed past it.
	for (uint32_t i = after(s, hole); s->cells[i].id != 0; i = after(s, i)) {
		uint32_t home = home_of(s, mix(s->cells[i].id));
		if (distance(s, home, i) >= distance(s, hole, i)) {
			s->cells[hole] = s->cells[i];
			hole = i;
		}
	}
	memset(&s->cells[hole], 0, sizeof(s->cells[hole]));
	s->used--;
	x->count--;
	// Give back the memory of a queue that has drained. A queue that goes up and
	// down by less does not resize.
	if (s->cap > 64 && s->used < s->cap / 3)
		shard_resize(s, s->cap / 2);
}
