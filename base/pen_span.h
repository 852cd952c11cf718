// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Borrowed bytes.
//
// A span points into memory that somebody else owns; it is valid as long as
// the header that returned it says. Spans are not NUL-terminated: print one
// with "%.*s" and PEN_SPAN_ARG().

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct pen_span {
	const uint8_t *p;
	size_t n;
};

#define PEN_SPAN_ARG(s) (int)(s).n, (const char *)(s).p
#define PEN_SPAN_LIT(lit) ((struct pen_span){(const uint8_t *)("" lit), sizeof(lit) - 1})

static inline struct pen_span pen_span(const void *p, size_t n)
{
	return (struct pen_span){p, n};
}

static inline struct pen_span pen_span_cstr(const char *s)
{
	return (struct pen_span){(const uint8_t *)s, s != NULL ? strlen(s) : 0};
}

static inline bool pen_span_eq(struct pen_span a, struct pen_span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

// pen_span_ieq compares ASCII letters without regard to case.
static inline bool pen_span_ieq(struct pen_span a, struct pen_span b)
{
	return a.n == b.n &&
	       (a.n == 0 || strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0);
}

static inline bool pen_span_istarts(struct pen_span s, struct pen_span prefix)
{
	return s.n >= prefix.n && pen_span_ieq(pen_span(s.p, prefix.n), prefix);
}

// pen_span_from returns what follows the first `skip` bytes (empty past the end).
static inline struct pen_span pen_span_from(struct pen_span s, size_t skip)
{
	if (skip > s.n)
		skip = s.n;
	return (struct pen_span){s.p + skip, s.n - skip};
}

static inline struct pen_span pen_span_trim(struct pen_span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r' ||
				  s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

// pen_span_find returns the offset of the first `byte`, or -1.
static inline ptrdiff_t pen_span_find(struct pen_span s, uint8_t byte)
{
	const uint8_t *hit = s.n > 0 ? memchr(s.p, byte, s.n) : NULL;
	return hit != NULL ? hit - s.p : -1;
}
