// SPDX-License-Identifier: BSD-3-Clause
#include "faults.h"
#include "pen_test.h"
#include "tally.h"

static void a_message_counts_once_per_run(void **state)
{
	(void)state;
	struct tally t = {0};

	assert_int_equal(tally_add(&t, "a", 0), TALLY_NEW);
	assert_int_equal(tally_add(&t, "a", 0), TALLY_SEEN);
	assert_int_equal(tally_add(&t, "b", 0), TALLY_NEW);
	assert_int_equal(tally_add(&t, "a", 65535), TALLY_NEW);
	assert_int_equal(tally_add(&t, "a", 65536), TALLY_NEW);
	assert_int_equal(tally_add(&t, "a", 65536), TALLY_SEEN);
	assert_int_equal(tally_add(&t, "a", 1ull << 33), TALLY_FULL);
	tally_fini(&t);
}

static void fault_lists_are_understood(void **state)
{
	(void)state;
	struct faults f = {0};

	assert_true(faults_parse_list(&f, "rcpt, DATA:12.5 .", FAULT_SOFT));
	assert_true(f.rule[FAULT_RCPT].soft == 100);
	assert_true(f.rule[FAULT_DATA].soft == 12.5);
	assert_true(f.rule[FAULT_DOT].soft == 100);
	assert_false(faults_parse_list(&f, "RCPTX", FAULT_HARD));
	assert_false(faults_parse_list(&f, "RCPT:101", FAULT_HARD));
	assert_false(faults_parse_list(&f, "RCPT:1x", FAULT_HARD));
	assert_true(faults_parse_delay(&f, "MAIL:0.5:20"));
	assert_int_equal(f.rule[FAULT_MAIL].delay, 500000);
	assert_int_equal(f.rule[FAULT_MAIL].odds, 20);
	assert_false(faults_parse_delay(&f, "MAIL"));
	assert_false(faults_parse_delay(&f, "MAIL:1:100"));
	assert_false(faults_parse_delay(&f, "QUIT:1"));
}

static void faults_come_as_often_as_asked(void **state)
{
	(void)state;
	struct faults f = {0};
	struct pen_rand r;
	unsigned n[FAULT_SHUTDOWN + 1] = {0};
	pen_time_us delay;

	pen_rand_seed(&r, pen_test_seed());
	faults_parse_list(&f, ".:10", FAULT_SOFT);
	faults_parse_list(&f, ".:5", FAULT_HARD);
	faults_parse_list(&f, ".:2", FAULT_DROP);
	for (int i = 0; i < 100000; i++)
		n[faults_draw(&f, &r, FAULT_DOT, &delay)]++;
	assert_in_range(n[FAULT_SOFT], 9000, 11000);
	assert_in_range(n[FAULT_HARD], 4500, 5500);
	assert_in_range(n[FAULT_DROP], 1700, 2300);
	assert_int_equal(n[FAULT_SHUTDOWN], 0);
	assert_int_equal(faults_draw(&f, &r, FAULT_MAIL, &delay), FAULT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_counts_once_per_run),
		cmocka_unit_test(fault_lists_are_understood),
		cmocka_unit_test(faults_come_as_often_as_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
