// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Intrusive chained hash table, private to this folder. Nodes carry their
// hash; the caller compares keys. Doubles when there are as many nodes as
// buckets; when there is no memory for that it goes on with longer chains.

#include <stdbool.h>
#include <stdint.h>

struct table_node {
	struct table_node *next;
	uint64_t hash; // well mixed: the low bits choose the bucket
};

struct table {
	struct table_node **bucket;
	uint32_t mask;
	uint32_t n;
};

bool table_init(struct table *t, uint32_t buckets); // a power of two
void table_fini(struct table *t);
void table_put(struct table *t, struct table_node *node);
void table_remove(struct table *t, struct table_node *node);

// Objects by id, where a node in each would cost too much: open addressing with
// 8 bytes per slot, at most four fifths full, linear probing. A slot holds the
// object's address (malloc'ed: 16-byte aligned, 48 bits) and 20 bits of its hash,
// which are enough to take one out without looking at the others. Growing asks
// each object for its id.
struct id_table {
	uint64_t *slot;
	uint64_t mask;
	uint32_t n;
	uint64_t (*id)(const void *object);
};

bool id_table_init(struct id_table *t, uint64_t (*id)(const void *object));
void id_table_fini(struct id_table *t);
bool id_table_put(struct id_table *t, uint64_t id, void *object); // false: no memory
void id_table_remove(struct id_table *t, uint64_t id, const void *object);
// It will be removed soon.
static inline void id_table_prefetch(const struct id_table *t, uint64_t id)
{
	uint64_t hash = id * 0x9e3779b97f4a7c15ULL;

	__builtin_prefetch(&t->slot[(hash ^ (hash >> 32)) & t->mask], 1);
}
void *id_table_find(const struct id_table *t, uint64_t id);

// What has this hash will be looked for, or taken out, soon.
static inline void table_prefetch(const struct table *t, uint64_t hash)
{
	__builtin_prefetch(&t->bucket[hash & t->mask], 1);
}

// The chain that may hold the hash; walk `next`.
static inline struct table_node *table_chain(const struct table *t, uint64_t hash)
{
	return t->bucket[hash & t->mask];
}
