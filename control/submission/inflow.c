// SPDX-License-Identifier: BSD-3-Clause
#include "inflow.h"

void inflow_init(struct inflow *f, uint32_t max)
{
	*f = (struct inflow){.tokens = max, .max = max};
}

bool inflow_take(struct inflow *f)
{
	uint32_t n = __atomic_load_n(&f->tokens, __ATOMIC_RELAXED);

	while (n > 0) {
		if (__atomic_compare_exchange_n(
			    &f->tokens, &n, n - 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

void inflow_give(struct inflow *f)
{
	uint32_t n = __atomic_load_n(&f->tokens, __ATOMIC_RELAXED);

	while (n < f->max) {
		if (__atomic_compare_exchange_n(
			    &f->tokens, &n, n + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return;
	}
}
