// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The four kinds of failure, kept apart:
//
//   our bug              PEN_ASSERT      aborts, with file and line
//   bad start-up         pen_fatal       exits with 1 and one clear sentence
//   run-time, local      -errno          returned, handled by the caller
//   the other side       struct pen_dsn  a value (pen_dsn.h), never an errno

#include <stdarg.h>

#define PEN_ASSERT(cond)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			pen_panic(__FILE__, __LINE__, #cond);                                      \
	} while (0)

// pen_panic reports a broken invariant and aborts. Use PEN_ASSERT.
_Noreturn void pen_panic(const char *file, int line, const char *what);

// pen_fatal ends a start-up that cannot succeed: name the file, the line, the
// value and the fix. Never used once the program serves mail.
_Noreturn void pen_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
