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
