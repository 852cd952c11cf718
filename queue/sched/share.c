// SPDX-License-Identifier: BSD-3-Clause
#include "share.h"

#include "link.h"

#define SCALE ((uint64_t)1 << 20) // of virtual time: a cost of 1 at weight 1

void share_init(struct share *leaf, struct share_node *parent, uint32_t weight)
{
	*leaf = (struct share){.parent = parent, .weight = weight > 0 ? weight : 1};
}

void share_node_init(struct share_node *n, struct share_node *parent, uint32_t weight)
{
	*n = (struct share_node){.top = NULL};
	share_init(&n->share, parent, weight);
	n->share.inner = true;
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

static void set_top(struct share_node *parent, struct share *top)
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
	struct share_node *parent = n->parent;
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
	for (; n->parent != NULL && !n->in; n = &n->parent->share) {
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
	do {
		take(n);
		n->in = false;
		n = &n->parent->share;
	} while (n->parent != NULL && LINK_OF(n, struct share_node, share)->top == NULL);
}

void share_insert(struct share_node *n, struct share *leaf, uint32_t weight)
{
	*n = (struct share_node){.share = *leaf};
	n->share.inner = true;
	if (leaf->in) {
		*n->share.at = &n->share;
		if (n->share.next != NULL)
			n->share.next->at = &n->share.next;
		if (n->share.child != NULL)
			n->share.child->at = &n->share.child;
	}
	bool in = leaf->in;
	share_init(leaf, n, weight);
	leaf->in = in;
	if (in)
		put(leaf);
}

struct share *share_pick(const struct share_node *root)
{
	struct share *n = root->top;

	while (n != NULL && n->inner)
		n = LINK_OF(n, struct share_node, share)->top;
	return n;
}

void share_charge(struct share *leaf, uint32_t cost)
{
	for (struct share *n = leaf; n->parent != NULL; n = &n->parent->share) {
		if (n->start > n->parent->reached)
			n->parent->reached = n->start;
		n->start += cost * SCALE / n->weight;
		if (!n->in || (n->parent->top == n && n->child == NULL))
			continue;
		take(n);
		put(n);
	}
}
