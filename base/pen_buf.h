// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A growable byte buffer for the control side (never for the fast path).
//
// Owner: whoever declares it; call pen_buf_fini to free. Appending grows by
// doubling up to `limit` bytes (0 = no limit). Once an append fails (limit or
// memory) `failed` stays set and later appends do nothing, so a caller may
// check once at the end.

#include "pen_span.h"

struct pen_buf {
	uint8_t *p;
	size_t n;
	size_t cap;
	size_t limit;
	bool failed;
};

#define PEN_BUF_INIT ((struct pen_buf){0})

void pen_buf_fini(struct pen_buf *b);
// pen_buf_reserve makes room for `more` bytes; 0 or -ENOMEM / -EMSGSIZE.
int pen_buf_reserve(struct pen_buf *b, size_t more);
void pen_buf_add(struct pen_buf *b, const void *p, size_t n);
void pen_buf_add_span(struct pen_buf *b, struct pen_span s);
void pen_buf_add_cstr(struct pen_buf *b, const char *s);
void pen_buf_addf(struct pen_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// pen_buf_consume drops the first n bytes.
void pen_buf_consume(struct pen_buf *b, size_t n);
void pen_buf_reset(struct pen_buf *b);

static inline struct pen_span pen_buf_span(const struct pen_buf *b)
{
	return (struct pen_span){b->p, b->n};
}
