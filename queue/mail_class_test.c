// SPDX-License-Identifier: BSD-3-Clause
#include "pen_mail_class.h"
#include "pen_rand.h"
#include "pen_test.h"

#include <pthread.h>

static const struct pen_mail_class *get(const char *tenant, const char *campaign, const char *pool)
{
	return pen_mail_class_get(pen_span_cstr(tenant), pen_span_cstr(campaign),
		pen_span_cstr(pool), PEN_PRIORITY_NORMAL);
}

static void equal_classes_are_the_same_pointer(void **state)
{
	(void)state;
	char name[] = "acme";
	const struct pen_mail_class *a = get(name, "xmas", "");

	memset(name, 'x', 4); // the class has a copy
	const struct pen_mail_class *b = get("acme", "xmas", "");
	assert_non_null(a);
	assert_ptr_equal(a, b);
	assert_string_equal((const char *)a->tenant.p, "acme");
	assert_string_equal((const char *)a->pool.p, "");
	assert_int_equal(pen_mail_class_count(), 1);
	const struct pen_mail_class *pooled = get("acme", "xmas", "fast");
	const struct pen_mail_class *other = get("acmex", "mas", "");
	assert_true(pooled->owner_hash == a->owner_hash);
	assert_false(other->owner_hash == a->owner_hash);
	pen_mail_class_put(pooled);
	pen_mail_class_put(other);
	pen_mail_class_put(a);
	assert_int_equal(pen_mail_class_count(), 1);
	assert_ptr_equal(pen_mail_class_ref(b), b);
	pen_mail_class_put(b);
	pen_mail_class_put(b);
	assert_int_equal(pen_mail_class_count(), 0);
}

static void the_same_letters_in_other_names_make_another_class(void **state)
{
	(void)state;
	const struct pen_mail_class *k[] = {get("ab", "c", ""), get("a", "bc", ""),
		get("abc", "", ""), get("", "abc", ""), get("", "", "abc"),
		pen_mail_class_get(
			PEN_SPAN_LIT("abc"), PEN_SPAN_LIT(""), PEN_SPAN_LIT(""), PEN_PRIORITY_LOW)};
	const size_t n = sizeof(k) / sizeof(k[0]);

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(k[i], k[j]);
	}
	assert_int_equal(pen_mail_class_count(), n);
	for (size_t i = 0; i < n; i++)
		pen_mail_class_put(k[i]);
	assert_int_equal(pen_mail_class_count(), 0);
}

static void no_names_and_normal_priority_cost_nothing(void **state)
{
	(void)state;
	const struct pen_mail_class *k = get("", "", "");

	assert_ptr_equal(k, &pen_mail_class_none);
	assert_ptr_equal(pen_mail_class_ref(k), k);
	pen_mail_class_put(k);
	pen_mail_class_put(k);
	pen_mail_class_put(NULL);
	assert_int_equal(pen_mail_class_count(), 0);
}

static void names_are_letters_digits_and_a_few_signs(void **state)
{
	(void)state;
	char longest[PEN_CLASS_NAME_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	assert_true(pen_class_name_valid(pen_span(longest, PEN_CLASS_NAME_MAX)));
	assert_false(pen_class_name_valid(pen_span(longest, PEN_CLASS_NAME_MAX + 1)));
	assert_false(pen_class_name_valid(PEN_SPAN_LIT("")));
	assert_true(pen_class_name_valid(PEN_SPAN_LIT("a.B_9-x@y+z")));
	static const char *const bad[] = {"a b", "a/b", "a\x80", "a\tb", "*", "{", "a`", "[x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pen_class_name_valid(pen_span_cstr(bad[i])));
	assert_false(pen_class_name_valid(pen_span("a\0b", 3)));
	// In each place.
	assert_null(get("a b", "", ""));
	assert_null(get("", "a b", ""));
	assert_null(get("", "", "a b"));
	assert_null(pen_mail_class_get(
		PEN_SPAN_LIT("a"), PEN_SPAN_LIT(""), PEN_SPAN_LIT(""), PEN_PRIORITIES));
	assert_int_equal(pen_mail_class_count(), 0);
}

static void *churn(void *arg)
{
	struct pen_rand rand;
	const struct pen_mail_class *held[64] = {0};

	pen_rand_seed(&rand, *(uint64_t *)arg);
	for (int i = 0; i < 20000; i++) {
		const struct pen_mail_class **at = &held[pen_rand_below(&rand, 64)];
		char name[16];
		snprintf(
			name, sizeof(name), "t%llu", (unsigned long long)pen_rand_below(&rand, 40));
		pen_mail_class_put(*at);
		*at = get(name, "", "");
		assert_non_null(*at);
		assert_true(pen_span_eq((*at)->tenant, pen_span_cstr(name)));
	}
	for (int i = 0; i < 64; i++)
		pen_mail_class_put(held[i]);
	return NULL;
}

static void threads_share_the_table_and_leave_nothing(void **state)
{
	(void)state;
	uint64_t seed = pen_test_seed(), seeds[3] = {seed, seed + 1, seed + 2};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(pen_mail_class_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_classes_are_the_same_pointer),
		cmocka_unit_test(the_same_letters_in_other_names_make_another_class),
		cmocka_unit_test(no_names_and_normal_priority_cost_nothing),
		cmocka_unit_test(names_are_letters_digits_and_a_few_signs),
		cmocka_unit_test(threads_share_the_table_and_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
