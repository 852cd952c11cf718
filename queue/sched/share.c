// SPDX-License-Identifier: BSD-3-Clause
#include "share.h"

#include <stddef.h>

#define SCALE ((uint64_t)1 << 20) // of virtual time: a cost of 1 at weight 1

void share_init(struct share *n, struct share *parent, uint32_t weight)
{
	*n = (struct share){.parent = parent, .weight = weight > 0 ? weight : 1};
}

static struct share *merge(struct share *a, struct share *b)
{
	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (b->start < a->start) {
		struct share *swap = a;
		a = b;
		b = swap;
	}
	b->next = a->child;
	if (b->next != NULL)
		b->next->at = &b->next;
	b->at = &a->child;
	a->child = b;
	return a;
}

// Two by two from the front, then all together from the back.
static struct share *merge_all(struct share *first)
{
	struct share *pairs = NULL, *all = NULL;

	while (first != NULL) {
		struct share *a = first, *b = a->next;
		first = b != NULL ? b->next : NULL;
		a->next = NULL;
		if (b != NULL)
			b->next = NULL;
		a = merge(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct share *a = pairs;
		pairs = a->next;
		a->next = NULL;
		all = merge(all, a);
	}
	return all;
}

static void set_top(struct share *parent, struct share *top)
{
	parent->top = top;
	if (top != NULL) {
		top->next = NULL;
		top->at = &parent->top;
	}
}

static void put(struct share *n)
{
	n->child = n->next = NULL;
	set_top(n->parent, merge(n->parent->top, n));
}

static void take(struct share *n)
{
	struct share *parent = n->parent;
	struct share *below = merge_all(n->child);

	n->child = NULL;
	if (parent->top == n) {
		set_top(parent, below);
		return;
	}
	*n->at = n->next;
	if (n->next != NULL)
		n->next->at = n->at;
	n->next = NULL;
	set_top(parent, merge(parent->top, below));
}

void share_enter(struct share *n)
{
	for (; n->parent != NULL && !n->in; n = n->parent) {
		if (n->start < n->parent->reached)
			n->start = n->parent->reached;
		n->in = true;
		put(n);
	}
}

void share_leave(struct share *n)
{
	if (!n->in)
		return;
	for (; n->parent != NULL && n->top == NULL; n = n->parent) {
		take(n);
		n->in = false;
	}
}

struct share *share_pick(const struct share *root)
{
	struct share *n = root->top;

	while (n != NULL && n->top != NULL)
		n = n->top;
	return n;
}

void share_charge(struct share *leaf, uint32_t cost)
{
	for (struct share *n = leaf; n->parent != NULL; n = n->parent) {
		if (n->start > n->parent->reached)
			n->parent->reached = n->start;
		n->start += cost * SCALE / n->weight;
		if (!n->in || (n->parent->top == n && n->child == NULL))
			continue;
		take(n);
		put(n);
	}
}
