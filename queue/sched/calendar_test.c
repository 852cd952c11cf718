// SPDX-License-Identifier: BSD-3-Clause
#include "calendar.h"

#include "pen_rand.h"
#include "pen_test.h"

#define S PEN_US_PER_S
#define N 3000

struct item {
	struct pen_wheel_node node;
	pen_time_us wanted; // NEVER: not armed
	uint32_t fired;
};

static struct item item[N];
static pen_time_us latest, now;
static uint32_t total;

static void fire(void *ctx, struct pen_wheel_node *n, pen_time_us at)
{
	struct item *it = (struct item *)(void *)n;

	(void)ctx;
	assert_true(at == now && it->wanted <= now && !pen_wheel_armed(n));
	if (now - it->wanted > latest)
		latest = now - it->wanted;
	it->wanted = PEN_TIME_NEVER;
	it->fired++;
	total++;
}

static void start(struct calendar *c)
{
	latest = 0;
	total = 0;
	now = S;
	assert_true(calendar_init(c, now));
	for (int i = 0; i < N; i++) {
		pen_wheel_node_init(&item[i].node);
		item[i].wanted = PEN_TIME_NEVER;
		item[i].fired = 0;
	}
}

static void arm(struct calendar *c, uint32_t i, pen_time_us at)
{
	item[i].wanted = at;
	calendar_arm(c, &item[i].node, at);
}

// Sleeps as long as it may, as a caller would.
static void run_until(struct calendar *c, pen_time_us end)
{
	while (now < end) {
		while (calendar_advance(c, now, 50, fire, NULL) > 0)
			;
		pen_time_us next = calendar_next(c);
		assert_true(next > now);
		now = next < end ? next : end;
	}
	while (calendar_advance(c, now, 50, fire, NULL) > 0)
		;
}

static void timers_fire_on_time_however_far_they_are(void **state)
{
	static struct calendar c;
	static const pen_time_us far[] = {0, 1, 1000, 5 * S, 16 * S, 24 * S, 25 * S, 3600 * S,
		86400 * S, 6 * 86400 * S, 7 * 86400 * S, 40 * 86400 * S};

	(void)state;
	start(&c);
	for (uint32_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		arm(&c, i, now + far[i]);
	run_until(&c, 41 * 86400 * S);
	for (uint32_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		assert_int_equal(item[i].fired, 1);
	assert_true(latest <= 1000);
	assert_true(calendar_next(&c) == PEN_TIME_NEVER);
	calendar_fini(&c);
}

static void random_arming_and_disarming_loses_none_and_keeps_the_time(void **state)
{
	static struct calendar c;
	struct pen_rand r;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	start(&c);
	for (int step = 0; step < 20000; step++) {
		uint32_t i = (uint32_t)pen_rand_below(&r, N);
		unsigned shift = (unsigned)pen_rand_below(&r, 40);
		pen_time_us wait = (pen_time_us)pen_rand_below(&r, 1ull << shift);
		if (pen_rand_below(&r, 6) == 0) {
			calendar_disarm(&c, &item[i].node);
			item[i].wanted = PEN_TIME_NEVER;
		} else {
			arm(&c, i, now + wait);
		}
		if (pen_rand_below(&r, 4) == 0)
			run_until(&c, now + (pen_time_us)pen_rand_below(&r, 1ull << shift));
	}
	run_until(&c, now + 13 * 86400 * S);
	for (uint32_t i = 0; i < N; i++)
		assert_true(item[i].wanted == PEN_TIME_NEVER);
	assert_true(latest <= 1000);
	assert_int_equal(c.armed, 0);
	calendar_fini(&c);
}

static void many_timers_of_one_moment_are_moved_in_pieces(void **state)
{
	static struct calendar c;

	(void)state;
	start(&c);
	for (uint32_t i = 0; i < N; i++)
		arm(&c, i, 1000 * S);
	now = 984 * S;
	for (int i = 0; i < N / 100; i++)
		assert_int_equal(calendar_advance(&c, now, 100, fire, NULL), 100);
	assert_int_equal(calendar_advance(&c, now, 100, fire, NULL), 0);
	now = 1000 * S;
	for (int i = 0; i < N / 100; i++)
		assert_int_equal(calendar_advance(&c, now, 100, fire, NULL), 100);
	assert_int_equal(total, N);
	calendar_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_on_time_however_far_they_are),
		cmocka_unit_test(random_arming_and_disarming_loses_none_and_keeps_the_time),
		cmocka_unit_test(many_timers_of_one_moment_are_moved_in_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
