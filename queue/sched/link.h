// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Intrusive circular lists, private to this folder.

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *next, *prev; // itself: an empty list; NULL: not in a list
};

#define LINK_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void link_init(struct link *head)
{
	head->next = head->prev = head;
}

static inline bool link_empty(const struct link *head)
{
	return head->next == head;
}

static inline bool link_in(const struct link *l)
{
	return l->next != NULL;
}

static inline void link_put(struct link *before, struct link *l)
{
	l->next = before;
	l->prev = before->prev;
	before->prev->next = l;
	before->prev = l;
}

static inline void link_push_back(struct link *head, struct link *l)
{
	link_put(head, l);
}

static inline void link_push_front(struct link *head, struct link *l)
{
	link_put(head->next, l);
}

// Does nothing when l is in no list.
static inline void link_remove(struct link *l)
{
	if (l->next == NULL)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->next = l->prev = NULL;
}

static inline struct link *link_pop(struct link *head)
{
	struct link *l = head->next;

	if (l == head)
		return NULL;
	link_remove(l);
	return l;
}
