// SPDX-License-Identifier: BSD-3-Clause
#include "pen_secret.h"

void pen_secret_fini(struct pen_buf *b)
{
	size_t limit = b->limit;

	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	pen_buf_fini(b);
	b->limit = limit;
}

void pen_secret_add(struct pen_buf *b, const void *p, size_t n)
{
	if (!b->failed && b->n + n > b->cap) {
		struct pen_buf grown = {.limit = b->limit};
		bool ok = pen_buf_reserve(&grown, b->n + n) == 0; // doubles
		if (ok)
			pen_buf_add(&grown, b->p, b->n);
		else
			pen_secret_fini(&grown);
		pen_secret_fini(b);
		*b = grown;
		b->failed = !ok;
	}
	pen_buf_add(b, p, n);
}

void pen_secret_consume(struct pen_buf *b, size_t n)
{
	size_t before = b->n;

	pen_buf_consume(b, n);
	if (b->p != NULL)
		explicit_bzero(b->p + b->n, before - b->n);
}
