// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

bool shape_htab_init(struct htab *t, uint32_t buckets)
{
	t->bucket = calloc(buckets, sizeof(*t->bucket));
	t->mask = buckets - 1;
	t->n = 0;
	return t->bucket != NULL;
}

void shape_htab_fini(struct htab *t)
{
	free(t->bucket);
	t->bucket = NULL;
}

// No memory to grow: it goes on with longer chains.
static void grow(struct htab *t)
{
	struct htab bigger;

	if (t->mask >= UINT32_MAX / 2 || !shape_htab_init(&bigger, (t->mask + 1) * 2))
		return;
	for (uint32_t i = 0; i <= t->mask; i++) {
		struct hent *next;
		for (struct hent *e = t->bucket[i]; e != NULL; e = next) {
			next = e->next;
			e->next = bigger.bucket[e->hash & bigger.mask];
			bigger.bucket[e->hash & bigger.mask] = e;
		}
	}
	bigger.n = t->n;
	free(t->bucket);
	*t = bigger;
}

void shape_htab_put(struct htab *t, struct hent *e)
{
	if (t->n > t->mask)
		grow(t);
	e->next = t->bucket[e->hash & t->mask];
	t->bucket[e->hash & t->mask] = e;
	t->n++;
}

void shape_htab_remove(struct htab *t, struct hent *e)
{
	struct hent **at = &t->bucket[e->hash & t->mask];

	while (*at != NULL && *at != e)
		at = &(*at)->next;
	PEN_ASSERT(*at == e);
	*at = e->next;
	t->n--;
}

uint64_t shape_hash(uint64_t seed, struct pen_span s)
{
	uint64_t h = seed ^ (s.n * 0x9e3779b97f4a7c15u);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		h = (h ^ (c >= 'A' && c <= 'Z' ? c | 32 : c)) * 0x100000001b3u;
	}
	return shape_hash_mix(h);
}

// ---- slabs: given back to the system with the shape

#define BLOCK ((size_t)64 * 1024)

void *shape_slab_get(struct slab *s)
{
	if (s->free == NULL) {
		char *block = aligned_alloc(64, BLOCK);
		if (block == NULL)
			return NULL;
		*(void **)(void *)block = s->blocks;
		s->blocks = block;
		size_t n = (BLOCK - 64) / s->size;
		while (n-- > 0)
			shape_slab_put(s, block + 64 + n * s->size);
	}
	void *p = s->free;
	s->free = *(void **)p;
	return p;
}

void shape_slab_put(struct slab *s, void *p)
{
	*(void **)p = s->free;
	s->free = p;
}

void shape_slab_fini(struct slab *s)
{
	while (s->blocks != NULL) {
		void *next = *(void **)s->blocks;
		free(s->blocks);
		s->blocks = next;
	}
	s->free = NULL;
}
