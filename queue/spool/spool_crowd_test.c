// SPDX-License-Identifier: BSD-3-Clause

// Who waits for whom, in virtual time.

#include "pen_test.h"
#include "spool_crowd.h"

#include <stddef.h>

#define FLUSHED 1000000
#define BYTES 600u

// Requests come `apart` microseconds one from the other, from FLUSHED on. Returns
// how many go with the first batch, and when it goes.
static uint32_t first_batch(uint32_t last, uint32_t n, pen_time_us apart, pen_time_us *at)
{
	struct spool_crowd c = {.last = last, .fresh = 1, .fresh_bytes = BYTES, .flushed = FLUSHED};
	uint32_t had = 0;
	pen_time_us now = FLUSHED, until;

	while ((until = spool_crowd_wait(&c, had, now)) != 0) {
		assert_true(until > now);
		had = c.fresh;
		// As pen_spool_put wakes the writer.
		while (c.fresh < n && !spool_crowd_enough(c.fresh, c.fresh_bytes) &&
			FLUSHED + c.fresh * apart <= until) {
			now = FLUSHED + c.fresh * apart;
			c.fresh++;
			c.fresh_bytes += BYTES;
		}
		if (!spool_crowd_enough(c.fresh, c.fresh_bytes))
			now = until;
	}
	*at = now;
	return c.fresh;
}

static void who_comes_soon_after_a_crowd_shares_a_flush(void **state)
{
	(void)state;
	pen_time_us at;

	assert_int_equal(first_batch(12, 12, 100, &at), 12);
	// One look after the last of them.
	assert_in_range(at, FLUSHED + 1100, FLUSHED + 1100 + 2 * SPOOL_CROWD_LOOK_US);
}

static void who_comes_one_by_one_waits_for_nobody(void **state)
{
	(void)state;
	pen_time_us at;

	for (uint32_t last = 0; last < SPOOL_CROWD_MIN; last++) {
		assert_int_equal(first_batch(last, 12, 100, &at), 1);
		assert_int_equal(at, FLUSHED);
	}
	assert_true(first_batch(SPOOL_CROWD_MIN, 12, 100, &at) > 1);
}

static void a_crowd_that_is_large_enough_goes_at_once(void **state)
{
	(void)state;
	pen_time_us at;

	assert_int_equal(first_batch(64, 64, 1, &at), SPOOL_CROWD);
	assert_int_equal(at, FLUSHED + SPOOL_CROWD - 1);
	struct spool_crowd c = {
		.last = 64, .fresh = 2, .fresh_bytes = SPOOL_CROWD_BYTES, .flushed = FLUSHED};
	assert_int_equal(spool_crowd_wait(&c, 0, FLUSHED), 0);
}

static void a_crowd_that_does_not_come_back_is_not_waited_for(void **state)
{
	(void)state;
	pen_time_us at;

	assert_int_equal(first_batch(64, 1, 0, &at), 1);
	assert_int_equal(at, FLUSHED + SPOOL_CROWD_LOOK_US);
}

static void nobody_waits_longer_than_two_milliseconds(void **state)
{
	(void)state;
	pen_time_us at;

	first_batch(64, SPOOL_CROWD - 1, 200, &at);
	assert_int_equal(at, FLUSHED + SPOOL_CROWD_US);
	// The disk was idle for long: then at once.
	struct spool_crowd c = {.last = 64, .fresh = 1, .fresh_bytes = 1, .flushed = FLUSHED};
	assert_int_equal(spool_crowd_wait(&c, 0, FLUSHED + SPOOL_CROWD_US), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_soon_after_a_crowd_shares_a_flush),
		cmocka_unit_test(who_comes_one_by_one_waits_for_nobody),
		cmocka_unit_test(a_crowd_that_is_large_enough_goes_at_once),
		cmocka_unit_test(a_crowd_that_does_not_come_back_is_not_waited_for),
		cmocka_unit_test(nobody_waits_longer_than_two_milliseconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
