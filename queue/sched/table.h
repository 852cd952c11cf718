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

// The chain that may hold the hash; walk `next`.
static inline struct table_node *table_chain(const struct table *t, uint64_t hash)
{
	return t->bucket[hash & t->mask];
}
