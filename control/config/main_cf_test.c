// SPDX-License-Identifier: BSD-3-Clause
#include "pen_main_cf.h"
#include "pen_test.h"
#include "report_lines.h"

static struct pen_main_cf cf;
static struct report_lines lines;

static int begin(void **state)
{
	(void)state;
	cf = (struct pen_main_cf){0};
	report_lines_init(&lines);
	return 0;
}

static int end(void **state)
{
	(void)state;
	pen_main_cf_fini(&cf);
	report_lines_fini(&lines);
	return 0;
}

static void parse(const char *text)
{
	pen_main_cf_fini(&cf);
	assert_int_equal(pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &lines.report), 0);
}

static void assert_value(const char *name, const char *value)
{
	struct pen_main_cf_def *d = pen_main_cf_find(&cf, name);

	assert_non_null(d);
	assert_string_equal(d->value, value);
}

static const char *find(void *ctx, const char *name)
{
	(void)ctx;
	struct pen_main_cf_def *d = pen_main_cf_find(&cf, name);

	return d != NULL ? d->value : NULL;
}

// expand returns the expansion, or NULL after a reported error.
static const char *expand(const char *name, const char *text)
{
	static char out[PEN_MAIN_CF_VALUE_MAX];
	struct pen_buf b = PEN_BUF_INIT;
	struct pen_main_cf_scope scope = {find, NULL, "main.cf", 7, &lines.report};
	bool ok = pen_main_cf_expand(&scope, name, text, &b);

	snprintf(out, sizeof(out), "%.*s", (int)b.n, b.p != NULL ? (const char *)b.p : "");
	pen_buf_fini(&b);
	return ok ? out : NULL;
}

static void lines_join_and_comments_inside_a_value_are_skipped(void **state)
{
	(void)state;
	parse("# comment\n"
	      "  # indented comment\n"
	      "a = one\n"
	      "  two\n"
	      "# comment inside\n"
	      "   # another\n"
	      "\n"
	      "\tthree  \r\n"
	      "b=\n"
	      "c =  x = y # no comment here\n"
	      "d = last without a newline");
	assert_value("a", "one two three");
	assert_value("b", "");
	assert_value("c", "x = y # no comment here");
	assert_value("d", "last without a newline");
	assert_int_equal(pen_main_cf_find(&cf, "c")->line, 10);
	assert_int_equal(lines.report.errors + lines.report.warnings, 0);
}

static void the_last_definition_wins_and_is_warned_about(void **state)
{
	(void)state;
	parse("a = 1\nb = 2\na = 3\n");
	assert_value("a", "3");
	assert_int_equal(cf.ndefs, 2);
	assert_string_equal(report_lines_text(&lines),
		"main.cf:3: warning: a replaces the value given in line 1\n");
}

static void every_fault_of_a_file_is_reported_with_its_line(void **state)
{
	(void)state;
	parse("  starts = indented\n"
	      "good = 1\n"
	      "no equals sign\n"
	      "bad name = 1\n"
	      "= nothing\n"
	      "bell = \a\n"
	      "last = 1\n");
	assert_value("good", "1");
	assert_value("last", "1");
	assert_int_equal(cf.ndefs, 2);
	assert_string_equal(report_lines_text(&lines),
		"main.cf:1: error: starts with white space but continues no line: \"starts = "
		"indented\"\n"
		"main.cf:3: error: \"no equals sign\": expected \"parameter = value\"\n"
		"main.cf:4: error: bad parameter name \"bad name\": letters, digits and \"_\" "
		"only\n"
		"main.cf:5: error: parameter name is missing before \"=\"\n"
		"main.cf:6: error: control character 0x07: this is not a text file, or it is "
		"damaged\n");
}

static void a_binary_file_gives_one_error(void **state)
{
	(void)state;
	static const char binary[] = "\x7f"
				     "ELF\0\0\n\0\1\n\0\2\n";
	assert_int_equal(
		pen_main_cf_parse(&cf, pen_span("\0\1\n\0\2\n\0", 7), "main.cf", &lines.report), 0);
	assert_int_equal(lines.report.errors, 1);
	pen_main_cf_fini(&cf);
	assert_int_equal(
		pen_main_cf_parse(&cf, pen_span(binary, sizeof(binary)), "main.cf", &lines.report),
		0);
	assert_int_equal(cf.ndefs, 0);
}

static void a_line_that_is_too_long_is_refused_and_the_next_is_read(void **state)
{
	(void)state;
	struct pen_buf b = PEN_BUF_INIT;

	pen_buf_add_cstr(&b, "a = ");
	for (int i = 0; i < 7000; i++)
		pen_buf_add_cstr(&b, "0123456789");
	pen_buf_add_cstr(&b, "\n more\nb = 2\n");
	pen_buf_add(&b, "", 1);
	parse((const char *)b.p);
	pen_buf_fini(&b);
	assert_null(pen_main_cf_find(&cf, "a"));
	assert_value("b", "2");
	assert_int_equal(lines.report.errors, 1);
	assert_non_null(
		strstr(report_lines_text(&lines), "main.cf:1: error: logical line is longer"));
}

static void names_expand_in_all_forms(void **state)
{
	(void)state;
	parse("host = mx\ndomain = example.com\nfull = $host.$domain\nempty =\nn = 10\n");
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"$full", "mx.example.com"},
		{"${host}x", "mxx"},
		{"$(host)-$domain.", "mx-example.com."},
		{"$$host", "$host"},
		{"${host?yes}", "yes"},
		{"${empty?yes}", ""},
		{"${empty:$full}", "mx.example.com"},
		{"${host:no}", ""},
		{"${host?{a b}:{c}}", "a b"},
		{"${empty?{a}:{c $host}}", "c mx"},
		{"${empty?{a}:plain}", "plain"},
		{"${host?{${domain?{$domain}:{x}}}:{y}}", "example.com"},
		{"${undefined?a}${undefined:b}", "b"},
		{"${{$n} == {10}?{ten}:{other}}", "ten"},
		{"${{9} < {10}?{numbers}:{text}}", "numbers"},
		{"${{a9} < {a10}?{less}:{not less}}", "not less"},
		{"${{$host} != {mx}:{equal}}", "equal"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = expand("x", cases[i].in);
		if (got == NULL || strcmp(got, cases[i].out) != 0)
			fail_msg("%s gives %s", cases[i].in, got != NULL ? got : "an error");
	}
	assert_int_equal(lines.report.errors + lines.report.warnings, 0);
}

static void an_undefined_name_is_empty_and_warned_about(void **state)
{
	(void)state;
	assert_string_equal(expand("x", "a$nobody.b"), "a.b");
	assert_string_equal(report_lines_text(&lines),
		"main.cf:7: warning: $nobody is not defined: nothing is put in its place\n");
}

static void loops_and_broken_expressions_are_refused(void **state)
{
	(void)state;
	parse("a = $b\nb = x${c}\nc = $(a)\nself = $self\n");
	static const struct {
		const char *in, *error;
	} cases[] = {
		{"$a", "a: $x refers to itself"},
		{"$self", "self: $self refers to itself"},
		{"${a", "x: \"${\" without \"}\""},
		{"$(a", "x: \"$(\" without \")\""},
		{"5$", "x: \"$\" without a name: write \"$$\" for a dollar sign"},
		{"$-", "x: \"$\" without a name: write \"$$\" for a dollar sign"},
		{"${}", "x: expected a parameter name in ${...}"},
		{"${self!}", "x: expected \"?\" or \":\" after the name in ${...}"},
		{"${none?{a}b}", "x: text after {value} in ${...}"},
		{"${{1} = {2}?y}", "x: expected ==, !=, <, <=, > or >= between two {values}"},
	};
	for (size_t i = 1; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report_lines_fini(&lines);
		report_lines_init(&lines);
		if (i == 7)
			parse("self = 1\n");
		assert_null(expand("x", cases[i].in));
		if (strstr(report_lines_text(&lines), cases[i].error) == NULL)
			fail_msg("%s: %s", cases[i].in, report_lines_text(&lines));
	}
	report_lines_fini(&lines);
	report_lines_init(&lines);
	parse("a = $b\nb = x${c}\nc = $(a)\n");
	assert_null(expand("a", "$b"));
	assert_string_equal(
		report_lines_text(&lines), "main.cf:7: error: c: $a refers to itself\n");
}

static void values_that_double_at_each_level_are_stopped(void **state)
{
	(void)state;
	struct pen_buf b = PEN_BUF_INIT;

	pen_buf_add_cstr(&b, "v0 =\n");
	for (int i = 1; i < 40; i++)
		pen_buf_addf(&b, "v%d = $v%d$v%d\n", i, i - 1, i - 1);
	pen_buf_add(&b, "", 1);
	parse((const char *)b.p);
	pen_buf_fini(&b);
	assert_null(expand("x", "$v39"));
	assert_non_null(strstr(report_lines_text(&lines), "nested too deeply"));
}

static void an_unreadable_file_is_one_clear_error(void **state)
{
	(void)state;
	assert_int_equal(pen_main_cf_read(&cf, "/nonexistent/main.cf", &lines.report), -2);
	assert_string_equal(report_lines_text(&lines),
		"/nonexistent/main.cf: error: cannot be read: No such file or directory\n");
	report_lines_fini(&lines);
	report_lines_init(&lines);
	assert_true(pen_main_cf_read(&cf, "/", &lines.report) < 0);
	assert_string_equal(report_lines_text(&lines), "/: error: is not a regular file\n");
}

static const char *next_word(void *ctx, size_t i)
{
	const char *const *words = ctx;

	return words[i];
}

static void a_mistyped_name_finds_the_right_one(void **state)
{
	(void)state;
	static const char *const words[] = {"relayhost", "myhostname", "mtu", NULL};
	union {
		const char *const *in;
		void *out;
	} u = {words};

	assert_string_equal(pen_closest_name("realyhost", next_word, u.out), "relayhost");
	assert_string_equal(pen_closest_name("myhostnam", next_word, u.out), "myhostname");
	assert_string_equal(pen_closest_name("mut", next_word, u.out), "mtu");
	assert_null(pen_closest_name("completely_else", next_word, u.out));
	assert_null(pen_closest_name("xy", next_word, u.out));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(lines_join_and_comments_inside_a_value_are_skipped),
		TEST(the_last_definition_wins_and_is_warned_about),
		TEST(every_fault_of_a_file_is_reported_with_its_line),
		TEST(a_binary_file_gives_one_error),
		TEST(a_line_that_is_too_long_is_refused_and_the_next_is_read),
		TEST(names_expand_in_all_forms),
		TEST(an_undefined_name_is_empty_and_warned_about),
		TEST(loops_and_broken_expressions_are_refused),
		TEST(values_that_double_at_each_level_are_stopped),
		TEST(an_unreadable_file_is_one_clear_error),
		TEST(a_mistyped_name_finds_the_right_one),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
