// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The shape of a queue: how many addresses of each domain are how old, as
// Postfix's qshape(1) counts them.
//
// Pure: addresses and ages in, rows out.
// Memory: about 150 bytes a domain, at most PEN_QSHAPE_DOMAINS_MAX of them; what
// comes after is counted as "(other)".

#include "pen_span.h"

#define PEN_QSHAPE_BUCKETS_MAX 32
#define PEN_QSHAPE_DOMAINS_MAX 1000000

struct pen_qshape_config {
	uint32_t buckets;        // 2 to PEN_QSHAPE_BUCKETS_MAX; 10
	uint32_t minutes;        // of the first, at least 1; 5
	bool linear;             // all are as wide as the first, instead of doubling
	bool parents;            // also count parent domains, as ".example.com"
	uint32_t min_subdomains; // a parent with fewer is not shown; 5
};

struct pen_qshape_row {
	struct pen_span name;  // "TOTAL" is the first
	const uint32_t *count; // [0] all, [1] the youngest ... [buckets] the oldest
};

struct pen_qshape;

struct pen_qshape *pen_qshape_new(const struct pen_qshape_config *cfg); // NULL: no memory
void pen_qshape_free(struct pen_qshape *q);
// An address ("" is the null sender) and its age in seconds.
void pen_qshape_add(struct pen_qshape *q, struct pen_span addr, int64_t age);
// The `most` largest rows, largest first; returns how many there are. *out lives until the next
// call or free; *left gets the number of rows that are not among them.
size_t pen_qshape_rows(
	struct pen_qshape *q, size_t most, const struct pen_qshape_row **out, size_t *left);
