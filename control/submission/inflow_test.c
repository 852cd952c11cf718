// SPDX-License-Identifier: BSD-3-Clause
#include "inflow.h"
#include "pen_test.h"

#include <pthread.h>

static void tokens_run_out_and_come_back_one_by_one(void **state)
{
	(void)state;
	struct inflow f;

	inflow_init(&f, 2);
	assert_true(inflow_take(&f));
	assert_true(inflow_take(&f));
	assert_false(inflow_take(&f));
	assert_false(inflow_take(&f));
	inflow_give(&f);
	assert_true(inflow_take(&f));
	assert_false(inflow_take(&f));
}

static void there_are_never_more_tokens_than_at_the_start(void **state)
{
	(void)state;
	struct inflow f;

	inflow_init(&f, 2);
	for (int i = 0; i < 10; i++)
		inflow_give(&f);
	assert_true(inflow_take(&f));
	assert_true(inflow_take(&f));
	assert_false(inflow_take(&f));
}

static void *take_and_give(void *arg)
{
	uintptr_t taken = 0;

	for (int i = 0; i < 200000; i++) {
		if (inflow_take(arg)) {
			taken++;
			inflow_give(arg);
		}
	}
	return (void *)taken;
}

static void threads_neither_lose_nor_make_tokens(void **state)
{
	(void)state;
	struct inflow f;
	pthread_t t[3];
	void *taken;

	inflow_init(&f, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_and_give, &f), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &taken);
		// As many tokens as threads: nobody ever goes without.
		assert_int_equal((uintptr_t)taken, 200000);
	}
	assert_int_equal(f.tokens, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_run_out_and_come_back_one_by_one),
		cmocka_unit_test(there_are_never_more_tokens_than_at_the_start),
		cmocka_unit_test(threads_neither_lose_nor_make_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
