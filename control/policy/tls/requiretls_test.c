// SPDX-License-Identifier: BSD-3-Clause
#include "pen_requiretls.h"
#include "pen_test.h"
#include "tls_bed.h"

#define TABLE                                                                                      \
	"inline:{{.example = disable}, {.foo.example = enforce}, "                                 \
	"{bar.foo.example = opportunistic+starttls}}"

static struct report_lines lines;
static struct pen_requiretls_list *list;
static struct pen_requiretls_result result;

static int end(void **state)
{
	(void)state;
	pen_requiretls_list_free(list);
	list = NULL;
	report_lines_fini(&lines);
	return 0;
}

static void load(const char *text)
{
	static const struct pen_map_where where = {"main.cf", 9, "smtp_requiretls_policy"};

	end(NULL);
	report_lines_init(&lines);
	list = pen_requiretls_list_new(text, &where, &lines.report);
	assert_non_null(list);
}

static const char *ask(const char *key)
{
	pen_requiretls_find(list, pen_span_cstr(key), &result);
	return result.failed ? "error" : pen_requiretls_name(result.level);
}

static void parents_are_looked_up_with_a_leading_dot(void **state)
{
	(void)state; // O-71
	load(TABLE ", opportunistic");
	assert_string_equal(ask("foo.example"), "disable");
	assert_string_equal(ask("x.foo.example"), "enforce");
	assert_string_equal(ask("bar.foo.example"), "opportunistic+starttls");
	assert_string_equal(ask("BAR.foo.Example"), "opportunistic+starttls");
	assert_string_equal(ask("other.test"), "opportunistic");
	assert_string_equal(ask("example"), "opportunistic");
	assert_string_equal(report_lines_text(&lines), "");
}

static void an_unknown_word_is_an_error_only_when_reached(void **state)
{
	(void)state; // O-72
	load(TABLE ", nonsense");
	assert_string_equal(ask("foo.example"), "disable");
	assert_string_equal(ask("other.test"), "error");
	assert_string_equal(
		result.warning, "smtp_requiretls_policy list: not a word of this policy: nonsense");
	assert_non_null(strstr(report_lines_text(&lines), "main.cf:9: warning: "
							  "smtp_requiretls_policy: \"nonsense\""));
	load("nonsense, " TABLE);
	assert_string_equal(ask("foo.example"), "error");
	assert_string_equal(ask("other.test"), "error");
}

static void words_have_no_case_and_the_end_of_the_list_enforces(void **state)
{
	(void)state;
	load("Opportunistic+StartTLS");
	assert_string_equal(ask("x"), "opportunistic+starttls");
	load("");
	assert_string_equal(ask("x"), "enforce");
	load(TABLE);
	assert_string_equal(ask("other.test"), "enforce");
}

static void a_result_is_exactly_one_word(void **state)
{
	(void)state;
	load("inline:{{foo.example = hash:/x}}");
	assert_string_equal(ask("foo.example"), "error");
	assert_string_equal(ask("x.foo.example"), "enforce");
	load("inline:{{foo.example = foo bar}}, disable");
	assert_string_equal(ask("foo.example"), "error");
	load("inline:{{foo.example = enforce disable}}, disable");
	assert_string_equal(ask("foo.example"), "error");
	assert_string_equal(ask("other"), "disable");
}

static void a_lookup_that_fails_is_an_error(void **state)
{
	(void)state;
	load("fail:x, disable");
	assert_string_equal(ask("foo.example"), "error");
	assert_non_null(strstr(result.warning, "fail:x"));
	assert_int_equal(result.level, PEN_REQUIRETLS_ENFORCE);
}

static void patterns_and_networks_are_asked_once(void **state)
{
	(void)state;
	load("regexp:{{/^\\.foo\\.example$/ disable}}, opportunistic");
	assert_string_equal(ask("x.foo.example"), "opportunistic");
	load("regexp:{{/foo/ disable}}, opportunistic");
	assert_string_equal(ask("x.foo.example"), "disable");
	load("inline:{{.2.1 = disable}}, cidr:{{192.0.2.0/24 opportunistic}}");
	assert_string_equal(ask("192.0.2.1"), "opportunistic");
	assert_string_equal(ask("198.51.100.1"), "enforce");
}

static void names_are_asked_as_a_labels(void **state)
{
	(void)state;
	load("inline:{{xn--1xa = disable}, {.xn--1xa = opportunistic}}");
	assert_string_equal(ask("\xcf\x80"), "disable");
	assert_string_equal(ask("mx.\xce\xa0"), "opportunistic");
	load("inline:{{.example = disable}}, disable");
	assert_string_equal(ask("foo.-\xcf\x80.example"), "enforce");
	assert_string_equal(result.warning, "smtp_requiretls_policy: \"foo.-\xcf\x80.example\" has "
					    "no A-label form: enforce");
	assert_string_equal(ask("\xff\xfe.example"), "enforce");
	assert_string_equal(ask("foo.example"), "disable");
}

static void the_default_list_knows_the_own_domain_and_addresses(void **state)
{
	(void)state;
	static struct tls_bed bed;
	static const struct {
		const char *nexthop;
		enum pen_requiretls want;
	} cases[] = {{"example.com", PEN_REQUIRETLS_OPPORTUNISTIC},
		{"[mail.example.com]:587", PEN_REQUIRETLS_OPPORTUNISTIC},
		{"[localhost]", PEN_REQUIRETLS_OPPORTUNISTIC},
		{"[192.0.2.1]", PEN_REQUIRETLS_OPPORTUNISTIC},
		{"[ipv6:2001:db8::1]", PEN_REQUIRETLS_OPPORTUNISTIC},
		{"example.net", PEN_REQUIRETLS_ENFORCE}};

	assert_true(tls_bed_load(&bed, ""));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			tls_bed_site(&bed, cases[i].nexthop, PEN_DEMAND_REQUIRETLS)->requiretls,
			cases[i].want);
	assert_int_equal(tls_bed_site(&bed, "example.net", PEN_DEMAND_NONE)->requiretls,
		PEN_REQUIRETLS_DISABLE);
	assert_true(tls_bed_load(&bed, "requiretls_enable = no\n"));
	assert_int_equal(tls_bed_site(&bed, "example.net", PEN_DEMAND_REQUIRETLS)->requiretls,
		PEN_REQUIRETLS_DISABLE);
	struct pen_tls_host_facts facts = tls_bed_facts("mx.example.net");
	assert_int_equal(tls_bed_host(&bed, &facts)->demand, PEN_DEMAND_NONE);
	tls_bed_fini(&bed);
}

static void an_error_defers_the_mail_with_4_7_10(void **state)
{
	(void)state;
	static struct tls_bed bed;
	struct pen_tls_host_facts facts = tls_bed_facts("mx.example.net");

	assert_true(tls_bed_load(&bed, "smtp_requiretls_policy = fail:x\n"));
	assert_true(tls_bed_site(&bed, "example.net", PEN_DEMAND_REQUIRETLS)->invalid);
	const struct pen_tls_policy *p = tls_bed_host(&bed, &facts);
	assert_true(p->skipped);
	assert_int_equal(p->skip.klass, 4);
	assert_int_equal(p->skip.detail, 10);
	assert_string_equal(p->skip.text, "REQUIRETLS policy configuration error");
	assert_int_equal(p->requiretls, PEN_REQUIRETLS_ENFORCE);
	assert_false(tls_bed_site(&bed, "example.net", PEN_DEMAND_NONE)->invalid);
	tls_bed_fini(&bed);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(parents_are_looked_up_with_a_leading_dot),
		TEST(an_unknown_word_is_an_error_only_when_reached),
		TEST(words_have_no_case_and_the_end_of_the_list_enforces),
		TEST(a_result_is_exactly_one_word),
		TEST(a_lookup_that_fails_is_an_error),
		TEST(patterns_and_networks_are_asked_once),
		TEST(names_are_asked_as_a_labels),
		TEST(the_default_list_knows_the_own_domain_and_addresses),
		TEST(an_error_defers_the_mail_with_4_7_10),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
