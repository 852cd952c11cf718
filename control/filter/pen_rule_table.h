// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Postfix's pcre: and regexp: tables: an ordered list of patterns with results,
// matched in one scan.
//
//   /pattern/flags result     !/pattern/flags result     if [!]/pattern/flags ... endif
//
// Any character that is no letter, digit or space may delimit a pattern; a
// backslash protects it. Lines that begin with white space continue the one
// before; comment and empty lines are skipped. In a result, $1, ${1} and $(1)
// are captures and $$ is a dollar sign. Matching ignores case and "." matches a
// newline unless a flag toggles that.
//
// Where Postfix warns and goes on without a rule, loading fails here: a filter
// that silently lacks a rule lets through what it was written to stop.
//
// Threads: a table is read-only once made; a scratch belongs to one thread.
// Limits:  files of 8 MiB, 64 nested ifs, and those of pen_pattern.h.
// Follows: pcre_table(5), regexp_table(5).

#include "pen_buf.h"
#include "pen_pattern.h"

enum pen_rule_syntax {
	PEN_RULES_PCRE,   // flags i m s x A E U X
	PEN_RULES_REGEXP, // flags i m; patterns are run by the same engines
};

struct pen_rule_table;

// NULL on failure, with one sentence in err that names file and line.
struct pen_rule_table *pen_rule_table_load(
	const char *file, enum pen_rule_syntax syntax, char *err, size_t err_cap);
// The same from memory; `name` stands for the file in messages.
struct pen_rule_table *pen_rule_table_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, char *err, size_t err_cap);
void pen_rule_table_free(struct pen_rule_table *t);

// Lines of the table, by index: rules, and the ifs and endifs between them,
// whose result is empty.
size_t pen_rule_table_count(const struct pen_rule_table *t);
bool pen_rule_table_is_rule(const struct pen_rule_table *t, size_t i);
struct pen_span pen_rule_table_result(const struct pen_rule_table *t, size_t i);
unsigned pen_rule_table_line(const struct pen_rule_table *t, size_t i);

struct pen_pattern_scratch *pen_rule_table_scratch_new(const struct pen_rule_table *t);

// pen_rule_table_find returns the first rule that applies to `text`, -1 for none
// or -ENOMEM. `padded` as in pen_pattern_scan.
ptrdiff_t pen_rule_table_find(const struct pen_rule_table *t, struct pen_pattern_scratch *s,
	struct pen_span text, bool padded);
// pen_rule_table_expand appends `part` (the result of rule i, or the end of it)
// with the captures of the last find filled in.
void pen_rule_table_expand(const struct pen_rule_table *t, struct pen_pattern_scratch *s, size_t i,
	struct pen_span part, struct pen_buf *out);
