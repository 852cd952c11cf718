// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The main.cf format, as postconf(5) describes it: logical lines, comments,
// "name = value" definitions, and $name expansion.
//
// This reads the format only; what the names mean is in pen_params.h.
//
// Memory:  everything is owned by the struct until pen_main_cf_fini.
// Limits:  a logical line and an expanded value have at most
//          PEN_MAIN_CF_VALUE_MAX bytes, a file PEN_MAIN_CF_DEFS_MAX names.
// Errors:  all faults of a file are reported (pen_report.h), not just the first.

#include "pen_buf.h"
#include "pen_report.h"

#define PEN_MAIN_CF_VALUE_MAX (64 * 1024)
#define PEN_MAIN_CF_DEFS_MAX 4096
#define PEN_MAIN_CF_NAME_MAX 128

struct pen_main_cf_def {
	char *name;
	char *value;   // as written, lines joined, not expanded
	unsigned line; // where the definition begins
	bool used;     // somebody asked for it
};

struct pen_main_cf {
	char *file;
	struct pen_main_cf_def *def;
	size_t ndefs;
};

// pen_main_cf_parse reads text. Faults are reported against `file`. Returns 0,
// also after reported faults (what could be read is there), or -ENOMEM.
int pen_main_cf_parse(
	struct pen_main_cf *cf, struct pen_span text, const char *file, struct pen_report *r);
// pen_main_cf_read reads a file; an unreadable one is reported. 0 or -errno.
int pen_main_cf_read(struct pen_main_cf *cf, const char *file, struct pen_report *r);
void pen_main_cf_fini(struct pen_main_cf *cf);
struct pen_main_cf_def *pen_main_cf_find(const struct pen_main_cf *cf, const char *name);

// Expansion of $name, ${name}, $(name), ${name?value}, ${name:value},
// ${name?{value}:{value}}, ${{value} == {value}?...} and $$.
struct pen_main_cf_scope {
	// The raw text of a name, or NULL when it is not defined.
	const char *(*find)(void *ctx, const char *name);
	void *ctx;
	const char *file; // for reports
	unsigned line;
	struct pen_report *report;
};

// pen_main_cf_expand appends the expansion of `text` to out. `name` is the
// parameter being expanded (NULL: none), so that a loop is found. False after
// a reported error.
bool pen_main_cf_expand(
	struct pen_main_cf_scope *scope, const char *name, const char *text, struct pen_buf *out);

// pen_read_file reads a regular file of at most `limit` bytes into out; what
// goes wrong is reported against `what` ("main.cf"). 0 or -errno.
int pen_read_file(const char *path, size_t limit, struct pen_buf *out, struct pen_report *r);

// Logical lines are shared with table files (pen_map.h).
struct pen_logical_lines {
	struct pen_span rest;
	const char *file;
	struct pen_report *report;
	struct pen_buf text; // the current logical line, NUL-terminated, trimmed
	unsigned line;       // its first physical line
	unsigned at;         // physical lines consumed
	size_t limit;
};

void pen_logical_lines_init(struct pen_logical_lines *l, struct pen_span text, const char *file,
	size_t limit, struct pen_report *r);
// pen_logical_lines_next is false at the end. A line with a NUL byte, one that
// is too long and a continuation of nothing are reported and left out.
bool pen_logical_lines_next(struct pen_logical_lines *l);
void pen_logical_lines_fini(struct pen_logical_lines *l);
