// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"

#include "pen_err.h"

#include <stdlib.h>

bool table_init(struct table *t, uint32_t buckets)
{
	t->bucket = calloc(buckets, sizeof(*t->bucket));
	t->mask = buckets - 1;
	t->n = 0;
	return t->bucket != NULL;
}

void table_fini(struct table *t)
{
	free(t->bucket);
	t->bucket = NULL;
}

static void grow(struct table *t)
{
	struct table bigger;

	if (t->mask >= UINT32_MAX / 2 || !table_init(&bigger, (t->mask + 1) * 2))
		return;
	for (uint32_t i = 0; i <= t->mask; i++) {
		struct table_node *next;
		for (struct table_node *n = t->bucket[i]; n != NULL; n = next) {
			next = n->next;
			struct table_node **head = &bigger.bucket[n->hash & bigger.mask];
			n->next = *head;
			*head = n;
		}
	}
	bigger.n = t->n;
	free(t->bucket);
	*t = bigger;
}

void table_put(struct table *t, struct table_node *node)
{
	if (t->n > t->mask)
		grow(t);
	struct table_node **head = &t->bucket[node->hash & t->mask];
	node->next = *head;
	*head = node;
	t->n++;
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = &t->bucket[node->hash & t->mask];

	while (*at != NULL && *at != node)
		at = &(*at)->next;
	PEN_ASSERT(*at == node);
	*at = node->next;
	t->n--;
}

#define TAG_BITS 20
#define TAG_MASK (((uint64_t)1 << TAG_BITS) - 1)
#define HOME_BITS                                                                                  \
	12 // of the tag: where it wants to stand. At four fifths nothing is ever so far off
#define HOME_MASK (((uint64_t)1 << HOME_BITS) - 1)
#define ID_TABLE_FIRST 4096

static uint64_t id_hash(uint64_t id)
{
	id *= 0x9e3779b97f4a7c15ULL;
	return id ^ (id >> 32);
}

static uint64_t tag_of(uint64_t hash)
{
	return (hash & HOME_MASK) | hash >> (64 - TAG_BITS + HOME_BITS) << HOME_BITS;
}

static uint64_t slot_of(const void *object, uint64_t hash)
{
	uintptr_t p = (uintptr_t)object;

	PEN_ASSERT(p % 16 == 0 && p >> 48 == 0);
	return (uint64_t)(p >> 4) << TAG_BITS | tag_of(hash);
}

static void *object_of(uint64_t slot)
{
	return (void *)(uintptr_t)(slot >> TAG_BITS << 4);
}

bool id_table_init(struct id_table *t, uint64_t (*id)(const void *object))
{
	t->slot = calloc(ID_TABLE_FIRST, sizeof(*t->slot));
	t->mask = ID_TABLE_FIRST - 1;
	t->n = 0;
	t->id = id;
	return t->slot != NULL;
}

void id_table_fini(struct id_table *t)
{
	free(t->slot);
	t->slot = NULL;
}

static void id_put(struct id_table *t, uint64_t hash, uint64_t slot)
{
	uint64_t i = hash & t->mask;

	while (t->slot[i] != 0)
		i = (i + 1) & t->mask;
	t->slot[i] = slot;
}

static bool id_grow(struct id_table *t)
{
	struct id_table bigger = {.mask = t->mask * 2 + 1};

	bigger.slot = calloc(bigger.mask + 1, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		return false;
	for (uint64_t i = 0; i <= t->mask; i++) {
		if (t->slot[i] != 0)
			id_put(&bigger, id_hash(t->id(object_of(t->slot[i]))), t->slot[i]);
	}
	free(t->slot);
	t->slot = bigger.slot;
	t->mask = bigger.mask;
	return true;
}

bool id_table_put(struct id_table *t, uint64_t id, void *object)
{
	uint64_t hash = id_hash(id);

	// Without memory it may fill up, but one slot has to stay free.
	if ((t->n + 1) * 5ull > (t->mask + 1) * 4 && !id_grow(t) && t->n >= t->mask)
		return false;
	id_put(t, hash, slot_of(object, hash));
	t->n++;
	return true;
}

void *id_table_find(const struct id_table *t, uint64_t id)
{
	uint64_t hash = id_hash(id);

	for (uint64_t i = hash & t->mask; t->slot[i] != 0; i = (i + 1) & t->mask) {
		if ((t->slot[i] & TAG_MASK) == tag_of(hash) && t->id(object_of(t->slot[i])) == id)
			return object_of(t->slot[i]);
	}
	return NULL;
}

// How far the object in a slot stands behind where its hash wants it. The tag
// has the low bits of that; it is never farther away than they can say.
static uint64_t displaced(const struct id_table *t, uint64_t i)
{
	return (i - t->slot[i]) & HOME_MASK & t->mask;
}

void id_table_remove(struct id_table *t, uint64_t id, const void *object)
{
	uint64_t hash = id_hash(id), slot = slot_of(object, hash);
	uint64_t i = hash & t->mask;

	while (t->slot[i] != slot) {
		PEN_ASSERT(t->slot[i] != 0);
		i = (i + 1) & t->mask;
	}
	// Those behind move up, so that no search ends before its time.
	for (uint64_t k = (i + 1) & t->mask; t->slot[k] != 0; k = (k + 1) & t->mask) {
		if (displaced(t, k) < ((k - i) & t->mask))
			continue;
		t->slot[i] = t->slot[k];
		i = k;
	}
	t->slot[i] = 0;
	t->n--;
}
