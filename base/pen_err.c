// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void pen_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "penstock: panic: %s:%d: %s\n", file, line, what);
	fflush(NULL);
	abort();
}

_Noreturn void pen_fatal(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: fatal: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(NULL);
	exit(1);
}
