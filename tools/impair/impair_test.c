// SPDX-License-Identifier: BSD-3-Clause
#include "impair.h"
#include "pen_test.h"

static void percentages_are_met(void **state)
{
	(void)state;
	struct impair_config cfg = {.loss = 5, .reorder = 10, .dup = 2, .corrupt = 1};
	struct impair im;
	struct impair_plan plan;
	uint64_t copies = 0;

	cfg.seed = pen_test_seed();
	impair_init(&im, &cfg);
	for (int i = 0; i < 100000; i++) {
		impair_decide(&im, 100, 1000, &plan);
		copies += plan.copies;
		if (plan.corrupt)
			assert_in_range(plan.corrupt_bit, 14 * 8, 100 * 8 - 1);
	}
	assert_int_equal(im.frames, 100000);
	assert_in_range(im.lost, 4500, 5500);
	assert_in_range(im.reordered, 9000, 10000);
	assert_in_range(im.doubled, 1600, 2200);
	assert_in_range(im.corrupted, 750, 1150);
	assert_int_equal(copies, im.frames - im.lost + im.doubled);
}

static void the_same_seed_does_the_same(void **state)
{
	(void)state;
	struct impair_config cfg = {.loss = 20, .reorder = 20, .dup = 20, .seed = 42};
	struct impair a, b;
	struct impair_plan pa, pb;

	impair_init(&a, &cfg);
	impair_init(&b, &cfg);
	for (int i = 0; i < 1000; i++) {
		impair_decide(&a, 60, i, &pa);
		impair_decide(&b, 60, i, &pb);
		assert_memory_equal(&pa, &pb, sizeof(pa));
	}
}

static void a_held_back_frame_is_overtaken(void **state)
{
	(void)state;
	struct impair_config cfg = {.reorder = 100, .delay = 500, .reorder_hold = 100, .seed = 1};
	struct impair im;
	struct impair_plan plan;

	impair_init(&im, &cfg);
	impair_decide(&im, 60, 1000, &plan);
	assert_int_equal(plan.copies, 1);
	assert_in_range(plan.at[0], 1501, 1600);
}

static void frames_leave_by_time_then_by_arrival(void **state)
{
	(void)state;
	struct impair_queue q;
	struct pen_rand r;
	uintptr_t last = 0;
	pen_time_us last_at = 0;
	uint32_t len;

	pen_rand_seed(&r, pen_test_seed());
	assert_int_equal(impair_queue_init(&q, 500), 0);
	pen_time_us at[501];
	for (uintptr_t i = 1; i <= 500; i++) {
		at[i] = (pen_time_us)pen_rand_below(&r, 20);
		assert_true(impair_queue_put(&q, at[i], (void *)i, (uint32_t)i));
	}
	assert_false(impair_queue_put(&q, 0, NULL, 0));
	for (int n = 0; n < 500; n++) {
		pen_time_us now = impair_queue_next(&q);
		assert_null(impair_queue_get(&q, now - 1, &len));
		uintptr_t i = (uintptr_t)impair_queue_get(&q, now, &len);
		assert_int_equal(len, i);
		assert_true(at[i] > last_at || n == 0 || (at[i] == last_at && i > last));
		last = i;
		last_at = at[i];
	}
	assert_int_equal(impair_queue_next(&q), PEN_TIME_NEVER);
	impair_queue_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentages_are_met),
		cmocka_unit_test(the_same_seed_does_the_same),
		cmocka_unit_test(a_held_back_frame_is_overtaken),
		cmocka_unit_test(frames_leave_by_time_then_by_arrival),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
