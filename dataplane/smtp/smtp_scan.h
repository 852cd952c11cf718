// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Searches content for the line starts that matter, 64 bytes at a step.
//
// Nearly every line starts with something else than a dot, so looking at each
// line end (memchr) costs more than the rest of a message's handling; a
// two-byte pattern in vector registers costs one load per 16 bytes.

#include "pen_span.h"

typedef uint8_t smtp_v16 __attribute__((vector_size(16)));

static inline smtp_v16 smtp_v16_load(const uint8_t *p)
{
	smtp_v16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline bool smtp_v16_any(smtp_v16 v)
{
	uint64_t h[2];

	memcpy(h, &v, sizeof(h));
	return (h[0] | h[1]) != 0;
}

// smtp_find_dot_line returns the least i with p[i] == LF and p[i + 1] == '.',
// i + 1 < n, or n when there is none.
static inline size_t smtp_find_dot_line(const uint8_t *p, size_t n)
{
	size_t i = 0;

	for (; i + 65 <= n; i += 64) {
		smtp_v16 hit = {0};
		for (size_t k = 0; k < 64; k += 16)
			hit |= (smtp_v16)((smtp_v16_load(p + i + k) == '\n') &
					  (smtp_v16_load(p + i + k + 1) == '.'));
		if (smtp_v16_any(hit))
			break;
	}
	for (; i + 1 < n; i++) {
		if (p[i] == '\n' && p[i + 1] == '.')
			return i;
	}
	return n;
}

// smtp_find_line_event is the same for a receiver that also repairs line ends:
// the least i >= 1, i + 1 < n, with p[i] == LF and (p[i - 1] != CR or
// p[i + 1] == '.'), or n.
static inline size_t smtp_find_line_event(const uint8_t *p, size_t n)
{
	size_t i = 1;

	for (; i + 65 <= n; i += 64) {
		smtp_v16 hit = {0};
		for (size_t k = 0; k < 64; k += 16)
			hit |= (smtp_v16)((smtp_v16_load(p + i + k) == '\n') &
					  ((smtp_v16_load(p + i + k - 1) != '\r') |
						  (smtp_v16_load(p + i + k + 1) == '.')));
		if (smtp_v16_any(hit))
			break;
	}
	for (; i + 1 < n; i++) {
		if (p[i] == '\n' && (p[i - 1] != '\r' || p[i + 1] == '.'))
			return i;
	}
	return n;
}
