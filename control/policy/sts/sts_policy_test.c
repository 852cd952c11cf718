// SPDX-License-Identifier: BSD-3-Clause

// The record, the policy file and the patterns, by the rules of RFC 8461.

#include "pen_sts.h"
#include "pen_test.h"

#define HEAD "version: STSv1\nmode: enforce\n"

static struct pen_sts_policy p;

static const char *parse(const char *body)
{
	pen_sts_policy_fini(&p);
	return pen_sts_parse(pen_span_cstr(body), &p);
}

static int end(void **state)
{
	(void)state;
	pen_sts_policy_fini(&p);
	return 0;
}

static void a_policy_is_read_with_either_line_end(void **state)
{
	(void)state;
	assert_null(parse("version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.com\r\n"
			  "mx: *.example.net\r\nmax_age: 604800\r\n"));
	assert_int_equal(p.mode, PEN_STS_ENFORCE);
	assert_int_equal(p.max_age_s, 604800);
	assert_int_equal(p.nmx, 2);
	assert_string_equal(p.mx[0], "mail.example.com");
	assert_string_equal(p.mx[1], "*.example.net");
	assert_string_equal(p.line[0], "version: STSv1");
	assert_string_equal(p.line[2], "mx: Mail.Example.com");
	assert_null(p.line[5]);
	assert_null(parse("max_age:1\nmx:\ta.example \nmode:testing\nversion:STSv1"));
	assert_int_equal(p.mode, PEN_STS_TESTING);
	assert_string_equal(p.mx[0], "a.example");
	assert_null(parse("version: STSv1\nmode: none\nmax_age: 0\n\n"));
	assert_int_equal(p.mode, PEN_STS_NONE);
	assert_int_equal(p.nmx, 0);
}

static void any_violation_makes_it_no_policy(void **state)
{
	(void)state;
	static const struct {
		const char *body, *why;
	} bad[] = {
		{"", "no version"},
		{"mode: enforce\nmax_age: 1\nmx: a.example\n", "no version"},
		{"version: STSv2\n", "version is not STSv1"},
		{"version: stsv1\n", "version is not STSv1"},
		{"Version: STSv1\nmode: none\nmax_age: 1\n", "no version"},
		{"version: STSv1\nmax_age: 1\nmx: a.example\n", "no mode"},
		{"version: STSv1\nmode: Enforce\n", "mode is not enforce, testing or none"},
		{"version: STSv1\nmode:\n", "mode is not enforce, testing or none"},
		{HEAD "mx: a.example\n", "no max_age"},
		{HEAD "max_age: 12345678901\n", "max_age is not a number of 1 to 10 digits"},
		{HEAD "max_age: -1\n", "max_age is not a number of 1 to 10 digits"},
		{HEAD "max_age: 1d\n", "max_age is not a number of 1 to 10 digits"},
		{HEAD "max_age:\n", "max_age is not a number of 1 to 10 digits"},
		// O-89
		{HEAD "max_age: 86400\n", "no mx"},
		{"version: STSv1\nmode: testing\nmax_age: 86400\n", "no mx"},
		{HEAD "mx: \n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: *\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: *.\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: .example.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: a.*.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: *.*.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: a..com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: -a.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: a_b.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: a.com, b.com\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "mx: b\xc3\xbc.example\n", "mx is neither a host name nor a \"*.\" pattern"},
		{HEAD "no colon here\n", "a line is not \"key: value\""},
		{HEAD ": value\n", "a line does not start with a key"},
		{HEAD " mx: a.example\n", "a line does not start with a key"},
		{HEAD "mx : a.example\n", "a line does not start with a key"},
		{HEAD "k123456789012345678901234567890123: v\n",
			"a line does not start with a key"},
		{HEAD "x: \xff\xfe\n", "a line is no UTF-8 text"},
		{HEAD "x: \xc0\xaf\n", "a line is no UTF-8 text"},
		{HEAD "x: \xed\xa0\x80\n", "a line is no UTF-8 text"},
		{HEAD "x: \xf4\x90\x80\x80\n", "a line is no UTF-8 text"},
		{HEAD "x: \xe2\x82\n", "a line is no UTF-8 text"},
		{HEAD "x: a\rb\n", "a line is no UTF-8 text"},
		{HEAD "x: a\x01\n", "a line is no UTF-8 text"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = parse(bad[i].body);
		if (why == NULL || strcmp(why, bad[i].why) != 0)
			fail_msg("%s: %s", bad[i].body, why != NULL ? why : "accepted");
	}
	assert_non_null(pen_sts_parse(PEN_SPAN_LIT("version: STSv1\nmode: none\nx: \0\n"), &p));
}

static void the_first_of_duplicates_counts_but_every_mx(void **state)
{
	(void)state;
	assert_null(parse("version: STSv1\nversion: x\nmode: testing\nmode: enforce\n"
			  "max_age: 5\nmax_age: no\nmx: a.example\nmx: b.example\n"));
	assert_int_equal(p.mode, PEN_STS_TESTING);
	assert_int_equal(p.max_age_s, 5);
	assert_int_equal(p.nmx, 2);
}

static void unknown_keys_are_ignored_and_quoted_within_bounds(void **state)
{
	(void)state;
	static char body[60000];
	size_t n = (size_t)sprintf(
		body, HEAD "max_age: 5\nmx: a.example\nnew-key_1.x: gr\xc3\xbc\xc3\x9f dich\n");

	assert_null(parse(body));
	assert_string_equal(p.line[4], "new-key_1.x: gr\xc3\xbc\xc3\x9f dich");
	for (int i = 0; i < 5000; i++)
		n += (size_t)sprintf(body + n, "k%d: v\n", i);
	assert_null(parse(body));
	size_t quoted = 0;
	for (char **l = p.line; *l != NULL; l++)
		quoted += strlen(*l);
	assert_true(quoted > 500 && quoted < 1200);
	assert_int_equal(p.nmx, 1);
}

static void a_line_of_spaces_is_quoted_without_them(void **state)
{
	(void)state;
	static char body[2000];

	snprintf(body, sizeof(body), HEAD "max_age: 5\nmx:%1000s\n", "A.example");
	assert_null(parse(body));
	assert_string_equal(p.line[3], "mx: A.example");
}

static void max_age_has_a_ceiling(void **state)
{
	(void)state;
	assert_null(parse(HEAD "mx: a.example\nmax_age: 31557600\n"));
	assert_int_equal(p.max_age_s, 31557600);
	assert_null(parse(HEAD "mx: a.example\nmax_age: 31557601\n"));
	assert_int_equal(p.max_age_s, 31557600);
	assert_null(parse(HEAD "mx: a.example\nmax_age: 9999999999\n"));
	assert_int_equal(p.max_age_s, 31557600);
}

static void size_and_number_of_hosts_are_bounded(void **state)
{
	(void)state;
	static char body[PEN_STS_BODY_MAX + 2];
	size_t n = (size_t)sprintf(body, HEAD "max_age: 5\n");

	for (int i = 0; i < 64; i++)
		n += (size_t)sprintf(body + n, "mx: m%d.example\n", i);
	assert_null(parse(body));
	assert_int_equal(p.nmx, 64);
	n += (size_t)sprintf(body + n, "x: ");
	size_t keep = n;
	memset(body + n, 'y', sizeof(body) - 1 - n);
	body[PEN_STS_BODY_MAX] = '\0';
	assert_null(parse(body));
	body[PEN_STS_BODY_MAX] = 'y';
	assert_string_equal(parse(body), "longer than 64 KiB");
	sprintf(body + keep - 3, "mx: m64.example\n");
	assert_string_equal(parse(body), "more than 64 mx lines");
}

static void a_record_is_found_among_others(void **state)
{
	(void)state;
	static const struct {
		const char *txt, *id;
	} cases[] = {
		{"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
		{"v=STSv1;id=1", "1"},
		{"v=STSv1 ;\tid=a1 ; ", "a1"},
		{"v=STSv1; foo=bar; id=2; foo=baz", "2"},
		{"v=STSv1; id=2; id=3", "2"},
		{"v=STSv1; id=12345678901234567890123456789012",
			"12345678901234567890123456789012"},
		{"v=STSv1; id=123456789012345678901234567890123", NULL},
		{"v=STSv1; id=", NULL},
		{"v=STSv1; id=a-b", NULL},
		{"v=STSv1; id=a b", NULL},
		{"v=STSv1; id=-; id=3", NULL},
		{"v=STSv1; ID=1", NULL},
		{"v=STSv1;", NULL},
		{"v=STSv1", NULL},
		{"v=STSv1 id=1", NULL},
		{"v=STSv10; id=1", NULL},
		{"v=STSv2; id=1", NULL},
		{"V=STSv1; id=1", NULL},
		{" v=STSv1; id=1", NULL},
		{"v=STSv1; id=1; nonsense", NULL},
		{"v=STSv1; id=1; =x", NULL},
		{"v=STSv1; id=1; x=", NULL},
		{"v=spf1 -all", NULL},
		{"", NULL},
	};
	char id[PEN_STS_ID_MAX + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_span txt[] = {PEN_SPAN_LIT("other=1"), pen_span_cstr(cases[i].txt),
			PEN_SPAN_LIT("v=STSv2; id=9")};
		bool found = pen_sts_record(txt, 3, id);
		if (found != (cases[i].id != NULL) || strcmp(id, found ? cases[i].id : "") != 0)
			fail_msg("%s: %s", cases[i].txt, found ? id : "refused");
	}
	assert_false(pen_sts_record(NULL, 0, id));
}

// O-87
static void two_records_are_no_record(void **state)
{
	(void)state;
	struct pen_span txt[] = {PEN_SPAN_LIT("v=STSv1; id=1"), PEN_SPAN_LIT("v=STSv1; id=1")};
	char id[PEN_STS_ID_MAX + 1];

	assert_false(pen_sts_record(txt, 2, id));
	assert_true(pen_sts_record(txt, 1, id));
	// One that is broken counts too.
	txt[1] = PEN_SPAN_LIT("v=STSv1; nothing");
	assert_false(pen_sts_record(txt, 2, id));
}

// O-69
static void a_pattern_matches_one_label_without_case(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *host;
		bool match;
	} cases[] = {
		{"*.example.com", "mx.example.com", true},
		{"*.example.com", "MX.EXAMPLE.COM", true},
		{"*.Example.com", "mx.example.com.", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "a.b.example.com", false},
		{"*.example.com", ".example.com", false},
		{"*.example.com", "mxexample.com", false},
		{"*.example.com", "mx.example.com.evil.net", false},
		{"mx.example.com", "MX.example.COM", true},
		{"mx.example.com", "a.mx.example.com", false},
		{"example.com", "mx.example.com", false},
		{".example.com", "mx.example.com", false},
		{"*", "mx", false},
		{"", "", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (pen_sts_pattern_match(cases[i].pattern, cases[i].host) != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].host);
	}
}

static void one_of_the_patterns_is_enough(void **state)
{
	(void)state;
	assert_null(parse(HEAD "max_age: 5\nmx: a.example\nmx: *.b.example\n"));
	assert_true(pen_sts_mx_allowed(&p, "A.example"));
	assert_true(pen_sts_mx_allowed(&p, "mx.b.example"));
	assert_false(pen_sts_mx_allowed(&p, "b.example"));
	assert_false(pen_sts_mx_allowed(&p, "mx.evil.net"));
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_policy_is_read_with_either_line_end),
		TEST(any_violation_makes_it_no_policy),
		TEST(the_first_of_duplicates_counts_but_every_mx),
		TEST(unknown_keys_are_ignored_and_quoted_within_bounds),
		TEST(a_line_of_spaces_is_quoted_without_them),
		TEST(max_age_has_a_ceiling),
		TEST(size_and_number_of_hosts_are_bounded),
		TEST(a_record_is_found_among_others),
		TEST(two_records_are_no_record),
		TEST(a_pattern_matches_one_label_without_case),
		TEST(one_of_the_patterns_is_enough),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
