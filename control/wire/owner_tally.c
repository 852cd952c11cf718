// SPDX-License-Identifier: BSD-3-Clause
#include "owner_tally.h"

#include <stdlib.h>

#define SLOTS 4096

struct owner_tally {
	struct owner *slot[SLOTS];
	size_t n;
	struct owner *other;
	struct owner **sorted;
};

static struct owner *owner_new(struct pen_span name)
{
	struct owner *o = calloc(1, sizeof(*o) + name.n + 1);

	if (o != NULL) {
		if (name.n > 0)
			memcpy(o->name, name.p, name.n);
		o->len = (uint32_t)name.n;
	}
	return o;
}

struct owner_tally *owner_tally_new(void)
{
	struct owner_tally *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->other = owner_new(PEN_SPAN_LIT("(other)"));
	if (t->other == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

void owner_tally_free(struct owner_tally *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		while (t->slot[i] != NULL) {
			struct owner *o = t->slot[i];
			t->slot[i] = o->next;
			free(o);
		}
	}
	free(t->other);
	free(t->sorted);
	free(t);
}

struct owner *owner_tally_at(struct owner_tally *t, struct pen_span name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ name.p[i]) * 16777619u;
	struct owner **slot = &t->slot[(h ^ h >> 15) % SLOTS];
	for (struct owner *o = *slot; o != NULL; o = o->next) {
		if (pen_span_eq(name, pen_span(o->name, o->len)))
			return o;
	}
	struct owner *o = t->n < OWNER_TALLY_MAX ? owner_new(name) : NULL;
	if (o == NULL)
		return t->other;
	o->next = *slot;
	*slot = o;
	t->n++;
	return o;
}

static int larger(const void *a, const void *b)
{
	const struct owner *x = *(struct owner *const *)a, *y = *(struct owner *const *)b;

	if (x->recipients != y->recipients)
		return x->recipients < y->recipients ? 1 : -1;
	return strcmp(x->name, y->name);
}

size_t owner_tally_sorted(struct owner_tally *t, struct owner ***out)
{
	size_t n = 0;

	free(t->sorted);
	*out = t->sorted = malloc((t->n + 1) * sizeof(*t->sorted));
	if (t->sorted == NULL)
		return 0;
	for (size_t i = 0; i < SLOTS; i++) {
		for (struct owner *o = t->slot[i]; o != NULL; o = o->next)
			t->sorted[n++] = o;
	}
	if (t->other->messages > 0)
		t->sorted[n++] = t->other;
	qsort(t->sorted, n, sizeof(*t->sorted), larger);
	return n;
}
