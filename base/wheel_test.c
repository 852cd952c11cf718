// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "pen_test.h"
#include "pen_wheel.h"

#include <stdlib.h>

struct timer {
	struct pen_wheel_node node; // first: the callback casts back
	pen_time_us want;
	int fired;
};

static void fire(void *ctx, struct pen_wheel_node *n, pen_time_us now)
{
	struct timer *t = (struct timer *)n;

	(void)ctx;
	assert_true(now >= t->want);
	t->fired++;
}

static void nodes_fire_once_never_early_and_at_most_a_step_late(void **state)
{
	(void)state;
	uint64_t seed = pen_test_seed();
	struct pen_rand r;
	struct pen_wheel *w = malloc(sizeof(*w));
	enum { N = 3000 };
	struct timer *t = calloc(N, sizeof(*t));
	pen_time_us now = 12345;

	pen_rand_seed(&r, seed);
	pen_wheel_init(w, now);
	for (int i = 0; i < N; i++) {
		pen_wheel_node_init(&t[i].node);
		int bits = (int)pen_rand_below(&r, 37);
		t[i].want = now + (pen_time_us)pen_rand_below(&r, 1ULL << bits);
		pen_wheel_arm(w, &t[i].node, t[i].want);
	}
	for (int i = 0; i < N; i += 3) { // later or earlier, lazily or not
		t[i].want = now + (pen_time_us)pen_rand_below(&r, 1ULL << 34);
		pen_wheel_arm(w, &t[i].node, t[i].want);
	}
	for (int i = 1; i < N; i += 10) {
		pen_wheel_disarm(w, &t[i].node);
		t[i].want = PEN_TIME_NEVER;
	}
	while (w->armed != 0) {
		pen_time_us next = pen_wheel_next(w);
		for (int i = 0; i < N; i++) // next is a lower bound
			assert_true(t[i].fired || t[i].want == PEN_TIME_NEVER ||
				    next <= t[i].want + 1000);
		now = next > now ? next : now;
		now += (pen_time_us)pen_rand_below(&r, 2) *
		       (pen_time_us)pen_rand_below(&r, 900000000);
		while (pen_wheel_advance(w, now, 7, fire, NULL) == 7)
			;
		for (int i = 0; i < N; i++)
			assert_true(t[i].fired == 1 || t[i].want > now - 1000 ||
				    t[i].want == PEN_TIME_NEVER);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(t[i].fired, t[i].want != PEN_TIME_NEVER);
	free(t);
	free(w);
}

// The slot of tick t is also the slot of tick t + 256.
static void a_node_put_back_256_ticks_on_does_not_spin(void **state)
{
	(void)state;
	struct pen_wheel *w = malloc(sizeof(*w));
	struct timer t = {.want = 100 * 1000};

	pen_wheel_init(w, 0);
	pen_wheel_node_init(&t.node);
	pen_wheel_arm(w, &t.node, t.want);
	t.want = (100 + 256) * 1000;
	pen_wheel_arm(w, &t.node, t.want);
	assert_int_equal(pen_wheel_advance(w, 100 * 1000, 7, fire, NULL), 0);
	assert_int_equal(pen_wheel_advance(w, 355 * 1000, 7, fire, NULL), 0);
	assert_int_equal(pen_wheel_advance(w, 356 * 1000, 7, fire, NULL), 1);
	assert_int_equal(w->armed, 0);
	free(w);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(a_node_put_back_256_ticks_on_does_not_spin),
		cmocka_unit_test(nodes_fire_once_never_early_and_at_most_a_step_late),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
