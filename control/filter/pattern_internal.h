// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What pattern_set.c (compiling) and pattern_scan.c (matching) share.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <hs/hs.h>
#include <pcre2.h>

#include "pen_pattern.h"

struct pattern {
	pcre2_code *code; // always there: it confirms, captures, and checks syntax
	enum pen_pattern_engine engine;
	uint32_t groups;
};

struct pen_pattern_set {
	struct pattern *pattern;
	size_t n;
	hs_database_t *db;     // NULL when no pattern is Hyperscan's
	hs_scratch_t *scratch; // the prototype that threads clone
	uint64_t *always;      // bits of the patterns that PCRE2 runs alone
	size_t words;
};
