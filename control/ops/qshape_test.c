// SPDX-License-Identifier: BSD-3-Clause
#include "pen_qshape.h"
#include "pen_test.h"

static const struct pen_qshape_config plain = {.buckets = 10, .minutes = 5, .min_subdomains = 5};

static void add(struct pen_qshape *q, const char *addr, int64_t minutes)
{
	pen_qshape_add(q, pen_span_cstr(addr), minutes * 60);
}

static const struct pen_qshape_row *row(struct pen_qshape *q, const char *name)
{
	const struct pen_qshape_row *rows;
	size_t left, n = pen_qshape_rows(q, 100000, &rows, &left);

	for (size_t i = 0; i < n; i++) {
		if (pen_span_eq(rows[i].name, pen_span_cstr(name)))
			return &rows[i];
	}
	return NULL;
}

static void ages_double_from_column_to_column(void **state)
{
	static const int64_t at[] = {0, 4, 5, 9, 10, 19, 20, 39, 40, 1279, 1280, 100000};
	static const uint32_t want[] = {12, 2, 2, 2, 2, 1, 0, 0, 0, 1, 2};
	struct pen_qshape *q = pen_qshape_new(&plain);

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		add(q, "a@one.test", at[i]);
	add(q, "future@two.test", -7);
	assert_memory_equal(row(q, "one.test")->count, want, sizeof(want));
	assert_int_equal(row(q, "two.test")->count[1], 1);
	assert_int_equal(row(q, "TOTAL")->count[0], 13);
	pen_qshape_free(q);
}

static void linear_columns_are_of_one_width(void **state)
{
	struct pen_qshape_config cfg = {
		.buckets = 3, .minutes = 10, .linear = true, .min_subdomains = 5};
	struct pen_qshape *q = pen_qshape_new(&cfg);

	(void)state;
	add(q, "a@one.test", 9);
	add(q, "a@one.test", 10);
	add(q, "a@one.test", 19);
	add(q, "a@one.test", 20);
	add(q, "a@one.test", 99);
	static const uint32_t want[] = {5, 1, 2, 2};
	assert_memory_equal(row(q, "one.test")->count, want, sizeof(want));
	pen_qshape_free(q);
}

static void domains_are_put_together_as_qshape_does(void **state)
{
	struct pen_qshape *q = pen_qshape_new(&plain);

	(void)state;
	add(q, "a@One.TEST", 0);
	add(q, "a@b@one.test", 0);
	add(q, "a@one..test.", 0);
	add(q, "", 0);
	add(q, "local", 0);
	assert_int_equal(row(q, "one.test")->count[0], 3);
	assert_int_equal(row(q, "MAILER-DAEMON")->count[0], 1);
	assert_int_equal(row(q, "local")->count[0], 1);
	pen_qshape_free(q);
}

static void parents_need_enough_subdomains(void **state)
{
	struct pen_qshape_config cfg = {
		.buckets = 2, .minutes = 5, .parents = true, .min_subdomains = 2};
	struct pen_qshape *q = pen_qshape_new(&cfg);

	(void)state;
	add(q, "x@a.b.example.com", 0);
	add(q, "x@c.b.example.com", 0);
	add(q, "x@c.b.example.com", 0);
	add(q, "x@d.other.org", 0);
	assert_int_equal(row(q, ".b.example.com")->count[0], 3);
	assert_null(row(q, ".example.com")); // one subdomain: .b
	assert_null(row(q, ".other.org"));
	assert_null(row(q, ".com"));
	add(q, "x@e.example.com", 0);
	assert_int_equal(row(q, ".example.com")->count[0], 4);
	pen_qshape_free(q);
}

static void the_largest_come_first_and_the_rest_is_counted(void **state)
{
	struct pen_qshape *q = pen_qshape_new(&plain);
	const struct pen_qshape_row *rows;
	char addr[40];
	size_t left;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(addr, sizeof(addr), "x@d%d.test", i);
		for (int k = 0; k <= (i == 77) + (i == 4999) * 2; k++)
			add(q, addr, 0);
	}
	assert_int_equal(pen_qshape_rows(q, 3, &rows, &left), 3);
	assert_int_equal(left, 4998);
	assert_true(pen_span_eq(rows[0].name, PEN_SPAN_LIT("TOTAL")));
	assert_true(pen_span_eq(rows[1].name, PEN_SPAN_LIT("d4999.test")));
	assert_true(pen_span_eq(rows[2].name, PEN_SPAN_LIT("d77.test")));
	pen_qshape_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages_double_from_column_to_column),
		cmocka_unit_test(linear_columns_are_of_one_width),
		cmocka_unit_test(domains_are_put_together_as_qshape_does),
		cmocka_unit_test(parents_need_enough_subdomains),
		cmocka_unit_test(the_largest_come_first_and_the_rest_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
