// SPDX-License-Identifier: BSD-3-Clause
#include "hot_names.h"
#include "pen_test.h"

#define S PEN_US_PER_S

static struct hot_names *h;
static char name[PEN_IDN_NAME_MAX];
static uint16_t type;

static int begin(void **state)
{
	(void)state;
	h = hot_names_new();
	return h == NULL;
}

static int end(void **state)
{
	(void)state;
	hot_names_free(h);
	return 0;
}

static void use(const char *what, unsigned times, uint32_t ttl_s, pen_time_us now)
{
	for (unsigned i = 0; i < times; i++)
		hot_names_seen(h, what, 15, ttl_s, true, now);
}

static void a_name_in_use_is_due_when_its_answer_has_expired(void **state)
{
	(void)state;
	use("hot.example", HOT_USES_MIN, 60, 1 * S);
	assert_false(hot_names_due(h, 61 * S, name, &type));
	assert_true(hot_names_due(h, 62 * S, name, &type));
	assert_string_equal(name, "hot.example");
	assert_int_equal(type, 15);
	assert_false(hot_names_due(h, 62 * S, name, &type)); // once
	// Asked again by us, and then used by nobody: forgotten.
	hot_names_seen(h, "hot.example", 15, 60, false, 62 * S);
	for (int t = 63; t < 300; t++)
		assert_false(hot_names_due(h, t * S, name, &type));
}

static void a_name_that_stays_in_use_is_due_again_and_again(void **state)
{
	(void)state;
	unsigned due = 0;

	for (pen_time_us now = 1 * S; now < 601 * S; now += S) {
		uint32_t left = 10 - (uint32_t)(now / S) % 11;
		if (hot_names_due(h, now, name, &type)) {
			assert_int_equal(left, 10); // in the moment of the next answer
			due++;
			hot_names_seen(h, name, type, left, false, now);
		}
		use("hot.example", 1, left, now);
	}
	assert_in_range(due, 40, 60);
}

static void a_name_that_is_seldom_used_is_left_alone(void **state)
{
	(void)state;
	use("cold.example", HOT_USES_MIN - 1, 60, 1 * S);
	use("old.example", HOT_USES_MIN, 1000000, 1 * S);
	for (int t = 1; t < 200; t++)
		assert_false(hot_names_due(h, t * S, name, &type));
}

static void answers_are_known_as_cached_while_they_live(void **state)
{
	(void)state;
	assert_false(hot_names_fresh(h, "a.example", 15, 1 * S));
	hot_names_seen(h, "a.example", 15, 60, false, 1 * S);
	assert_true(hot_names_fresh(h, "a.example", 15, 60 * S));
	assert_false(hot_names_fresh(h, "a.example", 1, 60 * S));
	assert_false(hot_names_fresh(h, "b.example", 15, 60 * S));
	assert_false(hot_names_fresh(h, "a.example", 15, 61 * S));
}

static void memory_is_bounded_and_the_busy_name_stays(void **state)
{
	(void)state;
	char other[32];
	unsigned found = 0;

	use("hot.example", 1000, 60, 1 * S);
	for (unsigned i = 0; i < 5 * HOT_NAMES_MAX; i++) {
		snprintf(other, sizeof(other), "n%u.example", i);
		use(other, 1, 60, 1 * S);
	}
	while (hot_names_due(h, 62 * S, name, &type))
		found += strcmp(name, "hot.example") == 0;
	assert_int_equal(found, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_name_in_use_is_due_when_its_answer_has_expired),
		TEST(a_name_that_stays_in_use_is_due_again_and_again),
		TEST(a_name_that_is_seldom_used_is_left_alone),
		TEST(answers_are_known_as_cached_while_they_live),
		TEST(memory_is_bounded_and_the_busy_name_stays),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
