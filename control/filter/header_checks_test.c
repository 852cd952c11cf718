// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_header_checks.h"

struct fixture {
	struct pen_header_checks *checks;
	struct pen_header_scratch *scratch;
	struct pen_header_verdict v;
};

static void load(struct fixture *f, const char *table)
{
	char err[300] = "";

	*f = (struct fixture){0};
	f->checks = pen_header_checks_parse(
		"hc", pen_span_cstr(table), PEN_RULES_PCRE, err, sizeof(err));
	if (f->checks == NULL)
		print_message("%s\n", err);
	assert_non_null(f->checks);
	f->scratch = pen_header_scratch_new(f->checks);
	assert_non_null(f->scratch);
}

static void unload(struct fixture *f)
{
	pen_header_verdict_fini(&f->v);
	pen_header_scratch_free(f->scratch);
	pen_header_checks_free(f->checks);
}

static void apply(struct fixture *f, const char *headers)
{
	assert_int_equal(
		pen_header_checks_apply(f->checks, f->scratch, pen_span_cstr(headers), &f->v), 0);
}

static void expect(const struct fixture *f, size_t i, enum pen_header_action action,
	const char *text, const char *header)
{
	assert_true(i < f->v.n);
	assert_int_equal(f->v.list[i].action, action);
	assert_true(pen_span_eq(f->v.list[i].text, pen_span_cstr(text)));
	assert_true(pen_span_eq(f->v.list[i].header, pen_span_cstr(header)));
}

static void each_header_gets_its_first_matching_rule_in_order(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "/^Subject: ok/ DUNNO\n"
		 "/^Subject:.*test/ WARN a test of $$ and more\n"
		 "/^From: (.*)/ INFO sender $1\n"
		 "/^X-Old/ IGNORE\n"
		 "/^X-Log/ strip gone\n"
		 "/^To:/ HOLD for review\n"
		 "/^Date:/ PREPEND X-Dated: yes\n");
	apply(&f, "From: ann@a.test\r\nX-Old: 1\r\nSubject: a test\r\nTo: b\r\nSubject: ok test\r\n"
		  "Date: now\r\nX-Log: 2\r\nMessage-ID: <1>\r\n\r\nTo: body\r\n");
	assert_int_equal(f.v.n, 6);
	expect(&f, 0, PEN_HEADER_INFO, "sender ann@a.test", "From: ann@a.test\r\n");
	expect(&f, 1, PEN_HEADER_IGNORE, "", "X-Old: 1\r\n");
	expect(&f, 2, PEN_HEADER_WARN, "a test of $ and more", "Subject: a test\r\n");
	expect(&f, 3, PEN_HEADER_HOLD, "for review", "To: b\r\n");
	expect(&f, 4, PEN_HEADER_PREPEND, "X-Dated: yes", "Date: now\r\n");
	expect(&f, 5, PEN_HEADER_STRIP, "gone", "X-Log: 2\r\n");
	assert_int_equal(f.v.list[2].line, 2);
	assert_true(f.v.hold);
	assert_false(f.v.discard);
	assert_int_equal(f.v.reject.klass, 0);
	// A verdict is made afresh each time.
	apply(&f, "Nothing: here\r\n");
	assert_int_equal(f.v.n, 0);
	assert_false(f.v.hold);
	unload(&f);
}

static void folded_headers_match_as_one_text_with_newlines(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "/^Subject: one\\n two\\n\\tthree$/ WARN joined\n"
		 "/^ two/ WARN a continuation is not a header\n"
		 "/^List: (.*)/ PREPEND X-Copy: $1\n");
	apply(&f, "Subject: one\r\n two\r\n\tthree\r\nB: c\r\n");
	assert_int_equal(f.v.n, 1);
	expect(&f, 0, PEN_HEADER_WARN, "joined", "Subject: one\r\n two\r\n\tthree\r\n");
	apply(&f, "Subject: one\n two\n\tthree\nB: c\n");
	assert_int_equal(f.v.n, 1);
	// What is captured from a folded header does not fold what is added.
	apply(&f, "List: a\r\n\tb\x01\r\n");
	expect(&f, 0, PEN_HEADER_PREPEND, "X-Copy: a  b?", "List: a\r\n\tb\x01\r\n");
	unload(&f);
}

static void reject_becomes_an_smtp_answer(void **state)
{
	static const struct {
		const char *action;
		unsigned reply, klass, subject, detail;
		const char *text;
	} cases[] = {
		{"REJECT", 550, 5, 7, 1, "message content rejected"},
		{"reject no $1 here", 550, 5, 7, 1, "no spam here"},
		{"REJECT 5.6.2 odd content", 550, 5, 6, 2, "odd content"},
		{"REJECT 4.7.0 come back", 451, 4, 7, 0, "come back"},
		{"REJECT 5.7.9", 550, 5, 7, 9, "message content rejected"},
	};
	struct fixture f;
	char table[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(table, sizeof(table), "/(spam)/ %s\n/./ WARN other\n", cases[i].action);
		load(&f, table);
		apply(&f, "A: b\r\nSubject: spam\r\nTo: c\r\n");
		assert_int_equal(f.v.n, 2); // what follows a REJECT is not looked at
		assert_int_equal(f.v.list[1].action, PEN_HEADER_REJECT);
		assert_int_equal(f.v.reject.reply, cases[i].reply);
		assert_int_equal(f.v.reject.klass, cases[i].klass);
		assert_int_equal(f.v.reject.subject, cases[i].subject);
		assert_int_equal(f.v.reject.detail, cases[i].detail);
		assert_string_equal(f.v.reject.text, cases[i].text);
		unload(&f);
	}
}

static void discard_ends_the_inspection(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "/^B/ DISCARD unwanted\n/./ REJECT\n");
	apply(&f, "B: 1\r\nC: 2\r\n");
	assert_int_equal(f.v.n, 1);
	assert_true(f.v.discard);
	assert_int_equal(f.v.reject.klass, 0);
	unload(&f);
}

static void rewriting_prepends_and_drops_whole_headers(void **state)
{
	struct pen_buf out = PEN_BUF_INIT;
	const char *headers = "A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n";
	struct fixture f;

	(void)state;
	load(&f, "/^A/ PREPEND X: y\n/^B/ IGNORE\n/^C/ WARN\n");
	apply(&f, headers);
	assert_true(pen_header_verdict_changes(&f.v));
	pen_header_verdict_rewrite(&f.v, pen_span_cstr(headers), &out);
	assert_true(pen_span_eq(pen_buf_span(&out), PEN_SPAN_LIT("X: y\r\nA: 1\r\nC: 4\r\n")));
	apply(&f, "C: 4\r\n");
	assert_false(pen_header_verdict_changes(&f.v));
	pen_buf_fini(&out);
	unload(&f);
}

static void expect_error(const char *table, const char *expected)
{
	char err[300] = "";

	assert_null(pen_header_checks_parse(
		"hc", pen_span_cstr(table), PEN_RULES_PCRE, err, sizeof(err)));
	assert_string_equal(err, expected);
}

static void bad_actions_are_refused_with_file_and_line(void **state)
{
	(void)state;
	expect_error("/a/ WARN\n/b/ FILTER smtp:x\n",
		"hc:2: unknown action \"FILTER\"; known are REJECT, HOLD, DISCARD, WARN, INFO, "
		"PREPEND, IGNORE, STRIP and DUNNO");
	expect_error("/a/ PREPEND no label\n",
		"hc:1: PREPEND needs a header, as in \"PREPEND X-Name: value\"");
	expect_error("/(a)/ PREPEND $1: x\n",
		"hc:1: PREPEND needs a header, as in \"PREPEND X-Name: value\"");
	expect_error("/a/ REJECT 2.0.0 x\n",
		"hc:1: REJECT cannot have a 2.x.x status; use 4.x.x or 5.x.x");
	expect_error("/a(/ REJECT\n",
		"hc:1: missing closing parenthesis at position 3 of pattern \"a(\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header_gets_its_first_matching_rule_in_order),
		cmocka_unit_test(folded_headers_match_as_one_text_with_newlines),
		cmocka_unit_test(reject_becomes_an_smtp_answer),
		cmocka_unit_test(discard_ends_the_inspection),
		cmocka_unit_test(rewriting_prepends_and_drops_whole_headers),
		cmocka_unit_test(bad_actions_are_refused_with_file_and_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
