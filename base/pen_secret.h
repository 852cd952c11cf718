// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A pen_buf that holds passwords for a moment: what leaves it is overwritten, and growing
// leaves no copy behind.

#include "pen_buf.h"

// As pen_buf_add.
void pen_secret_add(struct pen_buf *b, const void *p, size_t n);
static inline void pen_secret_add_span(struct pen_buf *b, struct pen_span s)
{
	pen_secret_add(b, s.p, s.n);
}
// As pen_buf_consume.
void pen_secret_consume(struct pen_buf *b, size_t n);
// As pen_buf_fini; the limit stays.
void pen_secret_fini(struct pen_buf *b);
