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

// The database of the image in use and the engines of its patterns, if it was made
// of exactly these by this Hyperscan for this kind of CPU. False: compile them;
// nothing was changed.
bool pattern_image_take(
	const struct pen_pattern *p, size_t n, enum pen_pattern_engine *engine, hs_database_t **db);
// Writes the image, if pen_pattern_image_record waits for one.
void pattern_image_put(const struct pen_pattern *p, size_t n, const enum pen_pattern_engine *engine,
	const hs_database_t *db);

struct pen_pattern_set {
	struct pattern *pattern;
	size_t n;
	hs_database_t *db;     // NULL when no pattern is Hyperscan's
	hs_scratch_t *scratch; // the prototype that threads clone
	uint64_t *always;      // bits of the patterns that PCRE2 runs alone
	size_t words;
};
