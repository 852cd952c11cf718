// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "suppression_csv.h"

static struct suppression_csv r;
static struct suppression_record rec;
static const char *why;

static enum suppression_csv_result line(const char *text)
{
	return suppression_csv_line(&r, pen_span_cstr(text), &rec, &why);
}

static bool is(struct pen_span s, const char *text)
{
	return pen_span_eq(s, pen_span_cstr(text));
}

static void addresses_alone_are_a_file(void **state)
{
	(void)state;
	suppression_csv_init(&r);
	assert_int_equal(line("bob@x.example"), SUPPRESSION_CSV_RECORD);
	assert_true(is(rec.address, "bob@x.example") && rec.reason.n == 0 && rec.since == 0);
	assert_int_equal(line("  "), SUPPRESSION_CSV_NOTHING);
	assert_int_equal(line("# a comment"), SUPPRESSION_CSV_NOTHING);
	assert_int_equal(line("@y.example\r"), SUPPRESSION_CSV_RECORD);
	assert_true(is(rec.address, "@y.example"));
}

static void columns_have_an_order_or_names(void **state)
{
	(void)state;
	suppression_csv_init(&r);
	assert_int_equal(line("a@b, \"user, \"\"unknown\"\"\" ,bounce"), SUPPRESSION_CSV_BAD);
	assert_int_equal(line("a@b,\"user, \"\"unknown\"\"\",bounce,2026-11-21T03:43:00Z,acme"),
		SUPPRESSION_CSV_RECORD);
	assert_true(is(rec.reason, "user, \"unknown\"") && is(rec.source, "bounce") &&
		    is(rec.tenant, "acme"));
	assert_int_equal(rec.since, 1795232580 * PEN_US_PER_S);
	suppression_csv_init(&r);
	assert_int_equal(line("\xef\xbb\xbfTenant,since,ADDRESS,else"), SUPPRESSION_CSV_NOTHING);
	assert_int_equal(line("acme,1795232580,a@b,x"), SUPPRESSION_CSV_RECORD);
	assert_true(is(rec.address, "a@b") && is(rec.tenant, "acme") && rec.source.n == 0);
	assert_int_equal(rec.since, 1795232580 * PEN_US_PER_S);
	assert_int_equal(line(",2026-11-21,c@d"), SUPPRESSION_CSV_RECORD);
	assert_int_equal(rec.since, 1795219200 * PEN_US_PER_S);
}

static void faults_are_told(void **state)
{
	(void)state;
	suppression_csv_init(&r);
	assert_int_equal(line("\"a@b"), SUPPRESSION_CSV_BAD);
	assert_string_equal(why, "a quoted field has no end");
	assert_int_equal(line("\"a@b\"c"), SUPPRESSION_CSV_BAD);
	assert_string_equal(why, "text behind a quoted field");
	assert_int_equal(line(",x"), SUPPRESSION_CSV_BAD);
	assert_string_equal(why, "there is no address");
	assert_int_equal(line("a@b,x,bounce,yesterday"), SUPPRESSION_CSV_BAD);
	assert_int_equal(line("a@b,x,bounce,2026-11-21T03:43:00"), SUPPRESSION_CSV_BAD);
	assert_int_equal(line("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"), SUPPRESSION_CSV_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_alone_are_a_file),
		cmocka_unit_test(columns_have_an_order_or_names),
		cmocka_unit_test(faults_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
