// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_rule_table.h"

#include <unistd.h>

static struct pen_rule_table *table(const char *text)
{
	char err[300] = "";
	struct pen_rule_table *t =
		pen_rule_table_parse("t", pen_span_cstr(text), PEN_RULES_PCRE, err, sizeof(err));

	if (t == NULL)
		print_message("%s\n", err);
	assert_non_null(t);
	return t;
}

// The expanded result for a text, "" for none.
static const char *lookup(const struct pen_rule_table *t, const char *text)
{
	static char out[200];
	struct pen_pattern_scratch *s = pen_rule_table_scratch_new(t);
	struct pen_buf b = PEN_BUF_INIT;
	ptrdiff_t i = pen_rule_table_find(t, s, pen_span_cstr(text), false);

	out[0] = '\0';
	if (i >= 0) {
		size_t at = (size_t)i;
		pen_rule_table_expand(t, s, at, pen_rule_table_result(t, at), &b);
		snprintf(out, sizeof(out), "%.*s", (int)b.n, (char *)b.p);
	}
	pen_buf_fini(&b);
	pen_pattern_scratch_free(s);
	return out;
}

static void expect_error(const char *text, enum pen_rule_syntax syntax, const char *expected)
{
	char err[300] = "";

	assert_null(pen_rule_table_parse("t", pen_span_cstr(text), syntax, err, sizeof(err)));
	assert_string_equal(err, expected);
}

static void comments_and_continuations_are_joined_like_postfix_does(void **state)
{
	struct pen_rule_table *t = table("# a comment\n"
					 "\n"
					 "/one/ first\n"
					 "   \t\n"
					 "# in between\n"
					 "  and more\r\n"
					 "!/x/\n"
					 "  second");

	(void)state;
	assert_int_equal(pen_rule_table_count(t), 2);
	assert_string_equal(lookup(t, "ONE"), "first  and more");
	assert_string_equal(lookup(t, "two"), "second");
	assert_string_equal(lookup(t, "x"), "");
	assert_int_equal(pen_rule_table_line(t, 0), 3);
	assert_int_equal(pen_rule_table_line(t, 1), 7);
	pen_rule_table_free(t);
}

static void flags_toggle_postfix_defaults(void **state)
{
	struct pen_rule_table *t = table("/case/i sensitive\n"
					 "/dot.all/ crossed\n"
					 "/dot.none/s crossed\n"
					 "/^line/m begins\n"
					 "/anch/A anchored\n"
					 "/e x t/x extended\n"
					 "/up/ii up\n");

	(void)state;
	assert_string_equal(lookup(t, "case"), "sensitive");
	assert_string_equal(lookup(t, "CASE"), "");
	assert_string_equal(lookup(t, "DOT\nALL"), "crossed");
	assert_string_equal(lookup(t, "dot\nnone"), "");
	assert_string_equal(lookup(t, "a\nline"), "begins");
	assert_string_equal(lookup(t, "anch"), "anchored");
	assert_string_equal(lookup(t, "xanch"), "");
	assert_string_equal(lookup(t, "ext"), "extended");
	assert_string_equal(lookup(t, "UP"), "up");
	pen_rule_table_free(t);
}

static void any_delimiter_works_and_a_backslash_protects_it(void **state)
{
	struct pen_rule_table *t = table("/a\\/b/ slash\n"
					 "!!:/etc/: path\n"
					 "|a\\|b| bar\n"
					 "#not# a comment\n");

	(void)state;
	assert_string_equal(lookup(t, "a/b"), "slash");
	assert_string_equal(lookup(t, "/etc/"), "path");
	assert_string_equal(lookup(t, "a|b"), "bar"); // as Postfix: \| stays escaped
	assert_string_equal(lookup(t, "not"), "");
	pen_rule_table_free(t);
}

static void ifs_nest_and_negate(void **state)
{
	struct pen_rule_table *t = table("if /outer/\n"
					 "/a/ outer a\n"
					 "if !/inner/\n"
					 "/b/ outer b, not inner\n"
					 "endif\n"
					 "IF /inner/\n"
					 "/b/ outer inner b\n"
					 "ENDIF\n"
					 "endif\n"
					 "/b/ plain b\n"
					 "!/never/ the rest\n");

	(void)state;
	assert_string_equal(lookup(t, "outer a b"), "outer a");
	assert_string_equal(lookup(t, "outer b"), "outer b, not inner");
	assert_string_equal(lookup(t, "outer inner b"), "outer inner b");
	assert_string_equal(lookup(t, "b"), "plain b");
	assert_string_equal(lookup(t, "outer"), "the rest");
	assert_string_equal(lookup(t, "never"), "");
	pen_rule_table_free(t);
}

static void captures_are_filled_in(void **state)
{
	struct pen_rule_table *t = table("/^(\\w+)=(\\w*)(x)?$/ ${1}s is $2$(3), costs $$5\n");

	(void)state;
	assert_string_equal(lookup(t, "key=value"), "keys is value, costs $5");
	pen_rule_table_free(t);
}

static void errors_name_file_line_and_value(void **state)
{
	(void)state;
	expect_error("/a/ ok\n\n/b(/ x\n", PEN_RULES_PCRE,
		"t:3: missing closing parenthesis at position 3 of pattern \"b(\"");
	expect_error("/a/q x\n", PEN_RULES_PCRE, "t:1: unknown flag \"q\" after the pattern");
	expect_error("/a/x x\n", PEN_RULES_REGEXP,
		"t:1: flag \"x\" (basic regular expressions) is not offered");
	expect_error("/a x\n", PEN_RULES_PCRE, "t:1: no closing delimiter \"/\"");
	expect_error("/a\\/ x\n", PEN_RULES_PCRE, "t:1: no closing delimiter \"/\"");
	expect_error("/a/\n", PEN_RULES_PCRE, "t:1: the result of the pattern is missing");
	expect_error("  /a/ x\n", PEN_RULES_PCRE, "t:1: the first line begins with white space");
	expect_error("hello\n", PEN_RULES_PCRE,
		"t:1: \"hello\": expected /pattern/flags result, \"if\" or \"endif\"");
	expect_error("endif\n", PEN_RULES_PCRE, "t:1: \"endif\" without \"if\"");
	expect_error("if /a/\n/b/ x\n", PEN_RULES_PCRE, "t:1: \"if\" without \"endif\"");
	expect_error("if /a/ x\nendif\n", PEN_RULES_PCRE,
		"t:1: unexpected text after the \"if\" pattern");
	expect_error("if /a/\nendif x\n", PEN_RULES_PCRE, "t:2: unexpected text after \"endif\"");
	expect_error("!\n", PEN_RULES_PCRE, "t:1: a pattern is missing");
	expect_error("/(a)/ $2\n", PEN_RULES_PCRE, "t:1: $2: the pattern has 1 group");
	expect_error("!/(a)/ $1\n", PEN_RULES_PCRE,
		"t:1: a negated pattern has nothing to put in for $1");
	expect_error("/(a)/ $name\n", PEN_RULES_PCRE,
		"t:1: \"$name\": write $1 to $31, ${1}, $(1), or $$ for a dollar sign");
	expect_error("/(a)/ ${1\n", PEN_RULES_PCRE,
		"t:1: \"${1\": write $1 to $31, ${1}, $(1), or $$ for a dollar sign");
}

static void a_missing_file_is_named(void **state)
{
	char err[300] = "";

	(void)state;
	assert_null(pen_rule_table_load("/nonexistent/checks", PEN_RULES_PCRE, err, sizeof(err)));
	assert_string_equal(err, "/nonexistent/checks: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comments_and_continuations_are_joined_like_postfix_does),
		cmocka_unit_test(flags_toggle_postfix_defaults),
		cmocka_unit_test(any_delimiter_works_and_a_backslash_protects_it),
		cmocka_unit_test(ifs_nest_and_negate),
		cmocka_unit_test(captures_are_filled_in),
		cmocka_unit_test(errors_name_file_line_and_value),
		cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
