// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which messages have arrived: a bitmap per run of penstock-source, so that a
// second copy of a message is seen as such.
//
// Threads: one writer. Memory: 8 KiB per 65,536 messages, when they come.

#include <stdbool.h>
#include <stdint.h>

#define TALLY_RUNS_MAX 256
#define TALLY_NUMBER_MAX (1ull << 32)

struct tally {
	struct tally_run *run[TALLY_RUNS_MAX];
	uint32_t nruns;
};

enum tally_result {
	TALLY_NEW,
	TALLY_SEEN,
	TALLY_FULL, // too many runs, a number out of range, or no memory
};

enum tally_result tally_add(struct tally *t, const char *run, uint64_t number);
void tally_fini(struct tally *t);
