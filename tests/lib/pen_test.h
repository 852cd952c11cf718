// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What every unit test includes: cmocka with its prerequisites, and seeds.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

// pen_test_seed returns PENSTOCK_SEED from the environment, or a fresh seed,
// and prints it, so that a failing run can be repeated.
static inline uint64_t pen_test_seed(void)
{
	const char *env = getenv("PENSTOCK_SEED");
	uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;

	fprintf(stderr, "seed: PENSTOCK_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}
