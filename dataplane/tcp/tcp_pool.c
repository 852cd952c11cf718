// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

#include <sys/mman.h>

// Anonymous memory is zero and is not there before it is touched, so a limit
// of a million connections costs nothing until they exist.
void *tcp_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

void tcp_unmap(void *p, size_t bytes)
{
	if (p != NULL)
		munmap(p, bytes);
}

bool pool_init(struct pool *p, size_t item, uint32_t total)
{
	*p = (struct pool){.item = item, .total = total};
	p->base = tcp_map(item * total);
	return p->base != NULL;
}

void pool_fini(struct pool *p)
{
	tcp_unmap(p->base, p->item * p->total);
}

void *pool_get(struct pool *p)
{
	void *item = p->free;

	if (item != NULL)
		memcpy(&p->free, item, sizeof(void *));
	else if (p->mark < p->total)
		item = pool_at(p, p->mark++);
	else
		return NULL;
	p->used++;
	return item;
}

void pool_put(struct pool *p, void *item)
{
	memcpy(item, &p->free, sizeof(void *));
	p->free = item;
	p->used--;
}

struct chunk *chunk_get(struct pen_tcp *t)
{
	struct chunk *k = pool_get(&t->chunks);

	if (k != NULL) {
		k->next = NULL;
		k->off = k->len = 0;
	}
	return k;
}

void chunk_put(struct pen_tcp *t, struct chunk *k)
{
	pool_put(&t->chunks, k);
}

void link_add(struct tcp_link *head, struct tcp_link *l)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}

void link_del(struct tcp_link *l)
{
	if (l->next == NULL)
		return;
	l->next->prev = l->prev;
	l->prev->next = l->next;
	l->next = l->prev = NULL;
}
