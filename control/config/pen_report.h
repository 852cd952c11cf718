// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is wrong with a configuration, one entry per problem.
//
// Readers of configuration report everything that they find and go on, so that
// one run shows all mistakes; the caller decides by `errors` at the end.
//
// Threads: a report belongs to the thread that loads.
// Memory:  entries borrow their text; the callback copies what it keeps.

#include <stdbool.h>
#include <stddef.h>

enum pen_report_level {
	PEN_REPORT_WARNING, // odd, but usable
	PEN_REPORT_ERROR,   // the configuration is refused
};

struct pen_report_entry {
	enum pen_report_level level;
	const char *file; // NULL: no file is to blame
	unsigned line;    // 0: the file as a whole
	const char *text; // one line: value, fault, what is accepted
};

typedef void pen_report_fn(void *ctx, const struct pen_report_entry *entry);

struct pen_report {
	pen_report_fn *fn; // NULL: only count
	void *ctx;
	unsigned errors;
	unsigned warnings;
};

void pen_report_error(struct pen_report *r, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void pen_report_warning(struct pen_report *r, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// pen_report_format writes "file:line: error: text" (what is absent is left
// out), always NUL-terminated, and returns out.
char *pen_report_format(const struct pen_report_entry *e, char *out, size_t cap);

// pen_closest_name returns the candidate that a person most likely meant by
// `word` (at most two edits away, fewer for short words), or NULL. `next`
// returns candidates one by one and NULL at the end.
const char *pen_closest_name(
	const char *word, const char *(*next)(void *ctx, size_t index), void *ctx);
