// SPDX-License-Identifier: BSD-3-Clause
#include "pen_buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void pen_buf_fini(struct pen_buf *b)
{
	free(b->p);
	*b = PEN_BUF_INIT;
}

int pen_buf_reserve(struct pen_buf *b, size_t more)
{
	if (b->failed)
		return -ENOMEM;
	if (more > SIZE_MAX / 4 - b->n || (b->limit != 0 && b->n + more > b->limit)) {
		b->failed = true;
		return -EMSGSIZE;
	}
	if (b->n + more <= b->cap)
		return 0;
	size_t cap = b->cap != 0 ? b->cap : 256;
	while (cap < b->n + more)
		cap *= 2;
	uint8_t *p = realloc(b->p, cap);
	if (p == NULL) {
		b->failed = true;
		return -ENOMEM;
	}
	b->p = p;
	b->cap = cap;
	return 0;
}

void pen_buf_add(struct pen_buf *b, const void *p, size_t n)
{
	if (n == 0 || pen_buf_reserve(b, n) != 0)
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void pen_buf_add_span(struct pen_buf *b, struct pen_span s)
{
	pen_buf_add(b, s.p, s.n);
}

void pen_buf_add_cstr(struct pen_buf *b, const char *s)
{
	pen_buf_add(b, s, strlen(s));
}

void pen_buf_addf(struct pen_buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	// One more byte than text: vsnprintf writes the NUL.
	if (n >= 0 && pen_buf_reserve(b, (size_t)n + 1) == 0) {
		vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void pen_buf_consume(struct pen_buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n > 0) {
		memmove(b->p, b->p + n, b->n - n);
		b->n -= n;
	}
}

void pen_buf_reset(struct pen_buf *b)
{
	b->n = 0;
	b->failed = false;
}
