// SPDX-License-Identifier: BSD-3-Clause

// Names: what is one, and which matches which. tls-policy 3.10 by the number.

#include "pen_test.h"

#include "tls_alabel.h"
#include "tls_name_match.h"

static const char *alabel(const char *raw, size_t n)
{
	static char out[TLS_NAME_MAX + 1];

	return tls_alabel(pen_span(raw, n), out) ? out : NULL;
}

static void assert_alabel(const char *raw, const char *want)
{
	const char *got = alabel(raw, strlen(raw));

	if (want == NULL)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static bool matches(const char *reference, const char *presented)
{
	bool domain = reference[0] == '.';
	struct pen_tls_name name = {
		.domain = domain, .name = (char *)(uintptr_t)(reference + domain)};

	return tls_name_match(&name, presented);
}

static void names_are_compared_in_lower_case(void **state)
{
	(void)state;
	assert_alabel("MX.Example.COM", "mx.example.com");
}

static void a_nul_a_space_or_a_control_character_makes_no_name(void **state)
{
	(void)state;
	assert_null(alabel("mx.test\0.evil.test", 18));
	assert_null(alabel("mx.test\0", 8));
	assert_alabel("mx test", NULL);
	assert_alabel("mx.test\n", NULL);
	assert_alabel("mx\x7f.test", NULL);
	assert_alabel("\xc2\x85.test", NULL); // a C1 control
	assert_alabel("", NULL);
}

static void u_labels_become_a_labels(void **state)
{
	(void)state;
	assert_alabel("m\xc3\xbcnchen.test", "xn--mnchen-3ya.test");
	assert_alabel("mx.b\xc3\xbc"
		      "cher.test",
		"mx.xn--bcher-kva.test");
	assert_alabel("\xe4\xbe\x8b\xe3\x81\x88.test", "xn--r8jz45g.test");
	assert_alabel("\xf0\x9f\x92\xa9.la", "xn--ls8h.la");
	assert_alabel("\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0.\xd1\x80\xd1\x84",
		"xn--80a1acny.xn--p1ai");
}

static void bytes_that_are_no_utf_8_make_no_name(void **state)
{
	static const char *const bad[] = {"\xff.test", "\xc3", "\xc0\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xe2\x82", "\xf0\x82\x82\xac"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_alabel(bad[i], NULL);
}

static void a_name_has_253_bytes_at_most_and_labels_63(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 51)
		name[i] = '.';
	assert_non_null(alabel(name, 253));
	assert_null(alabel(name, 254));
	memset(name, 'a', sizeof(name));
	assert_non_null(alabel(name, 63));
	assert_null(alabel(name, 64));
}

static void a_name_matches_itself_only(void **state)
{
	(void)state;
	assert_true(matches("mx.example.com", "mx.example.com"));
	assert_false(matches("mx.example.com", "example.com"));
	assert_false(matches("example.com", "mx.example.com"));
	assert_false(matches("mx.example.com", "mx.example.com.evil.test"));
	assert_false(matches("", ""));
}

static void a_star_stands_for_the_first_label(void **state)
{
	(void)state;
	assert_true(matches("mx.example.com", "*.example.com"));
	assert_false(matches("a.mx.example.com", "*.example.com"));
	assert_false(matches("example.com", "*.example.com"));
	assert_false(matches(".com", "*"));
	assert_false(matches("com", "*"));
	assert_false(matches("mx.", "*."));
}

static void a_star_beside_other_characters_or_further_inside_is_none(void **state)
{
	(void)state;
	assert_false(matches("mx1.example.com", "mx*.example.com"));
	assert_false(matches("mx1.example.com", "*1.example.com"));
	assert_false(matches("mx.a.example.com", "mx.*.example.com"));
	assert_false(matches("mx.a.example.com", "*.*.example.com"));
}

static void a_domain_takes_any_number_of_labels_but_not_none(void **state)
{
	(void)state;
	assert_true(matches(".example.com", "mx.example.com"));
	assert_true(matches(".example.com", "a.b.example.com"));
	assert_true(matches(".example.com", "*.example.com"));
	assert_true(matches(".example.com", "mx*.example.com")); // as Postfix
	assert_true(matches(".com", "*.example.com"));
	assert_false(matches(".example.com", "example.com"));
	assert_false(matches(".example.com", ".example.com"));
	assert_false(matches(".example.com", "mxexample.com"));
	assert_false(matches(".", "mx.example.com"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_compared_in_lower_case),
		cmocka_unit_test(a_nul_a_space_or_a_control_character_makes_no_name),
		cmocka_unit_test(u_labels_become_a_labels),
		cmocka_unit_test(bytes_that_are_no_utf_8_make_no_name),
		cmocka_unit_test(a_name_has_253_bytes_at_most_and_labels_63),
		cmocka_unit_test(a_name_matches_itself_only),
		cmocka_unit_test(a_star_stands_for_the_first_label),
		cmocka_unit_test(a_star_beside_other_characters_or_further_inside_is_none),
		cmocka_unit_test(a_domain_takes_any_number_of_labels_but_not_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
