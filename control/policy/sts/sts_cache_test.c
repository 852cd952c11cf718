// SPDX-License-Identifier: BSD-3-Clause

// What stays and what goes when the cache is full.

#include "pen_test.h"
#include "sts_cache.h"

static struct sts_cache cache;

static void begin(size_t max)
{
	assert_int_equal(sts_cache_init(&cache, max), 0);
}

static int end(void **state)
{
	(void)state;
	sts_cache_fini(&cache);
	return 0;
}

static struct sts_entry *add(const char *domain, const char *mode, pen_wall_us now)
{
	struct sts_entry *e = sts_cache_get(&cache, domain);
	struct pen_sts_policy p;
	char body[128];

	snprintf(
		body, sizeof(body), "version: STSv1\nmode: %s\nmax_age: 60\nmx: a.example\n", mode);
	assert_null(pen_sts_parse(pen_span_cstr(body), &p));
	assert_int_equal(sts_cache_set(&cache, e, &p, now), 0);
	sts_cache_touch(&cache, e, now);
	return e;
}

static void shrink(void)
{
	struct sts_entry *e;

	while ((e = sts_cache_victim(&cache, 0)) != NULL)
		sts_cache_remove(&cache, e);
}

static void an_entry_is_found_by_its_domain(void **state)
{
	(void)state;
	char name[32];

	begin(10000);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		add(name, "enforce", i);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		assert_int_equal(sts_cache_find(&cache, name)->fetched, i);
	}
	assert_null(sts_cache_find(&cache, "d5000.example"));
	assert_true(cache.nbuckets >= 4096);
	assert_null(sts_cache_victim(&cache, 0));
}

static void the_least_recently_used_go_first(void **state)
{
	(void)state;
	begin(2);
	add("a.example", "enforce", 1);
	add("b.example", "enforce", 2);
	sts_cache_touch(&cache, sts_cache_find(&cache, "a.example"), 3);
	add("c.example", "enforce", 4);
	shrink();
	assert_non_null(sts_cache_find(&cache, "a.example"));
	assert_null(sts_cache_find(&cache, "b.example"));
	assert_non_null(sts_cache_find(&cache, "c.example"));
}

static void what_does_not_enforce_goes_before_what_does(void **state)
{
	(void)state;
	begin(3);
	add("old.example", "enforce", 1);
	add("testing.example", "testing", 2);
	add("none.example", "none", 3);
	add("new.example", "enforce", 4);
	shrink();
	assert_null(sts_cache_find(&cache, "testing.example"));
	// It turns from testing to enforce and back.
	add("none.example", "enforce", 5);
	add("old.example", "testing", 6);
	add("x.example", "enforce", 7);
	shrink();
	assert_null(sts_cache_find(&cache, "old.example"));
	assert_int_equal(cache.n, 3);
}

static void an_entry_at_work_stays(void **state)
{
	(void)state;
	struct sts_entry *e;

	begin(1);
	e = add("busy.example", "none", 1);
	e->job = (struct sts_job *)e;
	add("b.example", "enforce", 2);
	assert_string_equal(sts_cache_victim(&cache, 0)->domain, "b.example");
	assert_null(sts_cache_victim(&cache, 1));
	e->job = NULL;
	assert_ptr_equal(sts_cache_victim(&cache, 0), e);
}

static void large_policies_count_for_more_than_one(void **state)
{
	(void)state;
	static char body[40000];
	struct pen_sts_policy p;

	begin(3);
	size_t n = (size_t)sprintf(body, "version: STSv1\nmode: enforce\nmax_age: 60\n");
	for (int i = 0; i < 64; i++)
		n += (size_t)sprintf(body + n, "mx: %060d.%060d.example%200s\n", i, i, "");
	add("a.example", "testing", 1);
	assert_null(sts_cache_victim(&cache, 0));
	assert_null(pen_sts_parse(pen_span_cstr(body), &p));
	struct sts_entry *e = sts_cache_get(&cache, "big.example");
	assert_int_equal(sts_cache_set(&cache, e, &p, 2), 0);
	assert_string_equal(sts_cache_victim(&cache, 0)->domain, "a.example");
	sts_cache_remove(&cache, sts_cache_find(&cache, "a.example"));
	sts_cache_remove(&cache, e);
	assert_int_equal(cache.bytes, 0);
}

static void a_policy_is_valid_until_its_age_is_reached(void **state)
{
	(void)state;
	begin(4);
	struct sts_entry *e = add("a.example", "enforce", 1000 * PEN_US_PER_S);
	assert_int_equal(e->expires, 1060 * PEN_US_PER_S);
	assert_true(sts_entry_valid(e, 1060 * PEN_US_PER_S - 1));
	assert_false(sts_entry_valid(e, 1060 * PEN_US_PER_S));
	assert_true(sts_entry_idle(e, 1060 * PEN_US_PER_S));
	e->failed_until = 1061 * PEN_US_PER_S;
	assert_false(sts_entry_idle(e, 1060 * PEN_US_PER_S));
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(an_entry_is_found_by_its_domain),
		TEST(the_least_recently_used_go_first),
		TEST(what_does_not_enforce_goes_before_what_does),
		TEST(an_entry_at_work_stays),
		TEST(large_policies_count_for_more_than_one),
		TEST(a_policy_is_valid_until_its_age_is_reached),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
