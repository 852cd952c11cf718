// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What rule_table.c (looking up) and rule_table_parse.c share.

#include "pen_rule_table.h"

enum rule_kind {
	RULE_RESULT,
	RULE_IF,
	RULE_ENDIF,
};

struct rule {
	enum rule_kind kind;
	bool negated;
	uint32_t pattern; // RULE_RESULT and RULE_IF
	uint32_t endif;   // RULE_IF: index of its endif
	unsigned line;
	struct pen_span result; // into the table's text
};

struct pen_rule_table {
	struct pen_pattern_set *set;
	struct rule *rule;
	size_t n;
	size_t npatterns; // of the table; what follows in the set is somebody else's
	bool plain;       // neither ifs nor negations: rule i is pattern i
	struct pen_buf text;
};

// One "$..." in a result: its value is group `group`, or '$' for 0. Returns the
// bytes used, 0 when it is malformed.
size_t rule_macro(struct pen_span s, unsigned *group);

// rule_table_parse.c: a table whose set holds `extra` patterns behind its own, from
// npatterns on: one scan answers for both.
struct pen_rule_table *rule_table_parse(const char *name, struct pen_span text,
	enum pen_rule_syntax syntax, const struct pen_pattern *extra, size_t nextra, char *err,
	size_t err_cap);
// The same from a file.
struct pen_rule_table *rule_table_load(const char *file, enum pen_rule_syntax syntax,
	const struct pen_pattern *extra, size_t nextra, char *err, size_t err_cap);

// One of the flags behind a pattern of PEN_RULES_PCRE. False: there is no such flag.
bool rule_flag(uint8_t c, unsigned *flags);
