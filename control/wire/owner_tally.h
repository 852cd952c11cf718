// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a queue holds for each tenant, campaign or pool: counts by name.
//
// Pure. Memory: about 150 bytes a name; names beyond OWNER_TALLY_MAX are counted as
// "(other)".

#include "pen_span.h"

#define OWNER_TALLY_MAX 100000

struct owner {
	struct owner *next; // of the same hash
	uint64_t messages, recipients, in_flight, deferred, held, in_doubt;
	uint32_t len;
	char name[];
};

struct owner_tally;

struct owner_tally *owner_tally_new(void); // NULL: no memory
void owner_tally_free(struct owner_tally *t);
// Its row, made when there is none; "(other)" when there cannot be another. Never NULL.
struct owner *owner_tally_at(struct owner_tally *t, struct pen_span name);
// All rows, those with the most recipients first; freed with the tally.
size_t owner_tally_sorted(struct owner_tally *t, struct owner ***out);
