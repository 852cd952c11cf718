// SPDX-License-Identifier: BSD-3-Clause
#include "pen_bounce_templates.h"
#include "pen_test.h"

#include <stdio.h>

static struct pen_params params;
static char problems[2000];

static void note(void *ctx, const struct pen_report_entry *e)
{
	size_t n = strlen(problems);
	char text[600];

	(void)ctx;
	snprintf(problems + n, sizeof(problems) - n, "%s\n",
		pen_report_format(e, text, sizeof(text)));
}

static struct pen_bounce_templates *parse(const char *text)
{
	struct pen_report r = {.fn = note};

	problems[0] = '\0';
	return pen_bounce_templates_parse(pen_span_cstr(text), "bounce.cf", &params, &r);
}

static int load_params(void **state)
{
	static const char text[] = "myhostname = gw.test\nmaximal_queue_lifetime = 36h\n"
				   "mail_name = a$$b\n";
	struct pen_params_env env = {"gw.test", "/etc"};
	struct pen_report r = {.fn = note};
	struct pen_main_cf cf;

	(void)state;
	pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &r);
	int err = pen_params_load(&params, &cf, &env, &r);
	pen_main_cf_fini(&cf);
	return err;
}

static int free_params(void **state)
{
	(void)state;
	pen_params_fini(&params);
	return 0;
}

static void a_file_replaces_texts_and_fields(void **state)
{
	(void)state;
	struct pen_bounce_templates *t =
		parse("# comment\n\nfailure_template = <<EOF\nCharset: utf-8\n"
		      "From: MAILER-DAEMON (Mail)\nSubject: It did not work\n"
		      "Postmaster-Subject: Copy: it did not\n\nThis is $myhostname.\n"
		      "\n  Tried for $maximal_queue_lifetime_days days, "
		      "${maximal_queue_lifetime_hours} hours,\n"
		      "${soft_bounce?no end}. \xc3\xa4 $$5\nEOF\n"
		      "delay_template=<<  END\nSubject: Late\n\nLate.\r\nEND\n");
	assert_string_equal(problems, "");
	const struct pen_dsn_templates *d = pen_bounce_templates_get(t);
	assert_string_equal(d->failure.charset, "utf-8");
	assert_string_equal(d->failure.from, "MAILER-DAEMON (Mail)");
	assert_string_equal(d->failure.subject, "It did not work");
	assert_string_equal(d->failure.postmaster_subject, "Copy: it did not");
	assert_string_equal(d->failure.text,
		"This is gw.test.\r\n\r\n  Tried for 2 days, 36 hours,\r\nno end. \xc3\xa4 $5\r\n");
	assert_string_equal(d->delay.subject, "Late");
	assert_string_equal(d->delay.text, "Late.\r\n");
	assert_null(d->delay.charset);
	assert_null(d->success.text);
	pen_bounce_templates_free(t);
	assert_null(pen_bounce_templates_get(NULL));
}

static void faults_are_named_with_their_lines(void **state)
{
	(void)state;
	assert_null(parse("failure_template = <<EOF\nSubject It\nX-Else: 1\n\n"
			  "no $such_name here\n\xc3\xa4\nEOF\nother = 1\n"
			  "delay_template = <<END\nSubject: \xc3\xa4\n\ntext\n"));
	assert_string_equal(problems,
		"bounce.cf:2: error: Subject It: accepted is \"Name: value\", or an empty line "
		"before the text\n"
		"bounce.cf:3: error: X-Else: 1: accepted is Charset, From, Subject or "
		"Postmaster-Subject\n"
		"bounce.cf:5: warning: $such_name is not defined: nothing is put in its place\n"
		"bounce.cf:1: error: the text is beyond ASCII: give a field \"Charset: utf-8\", or "
		"the one that it is in\n"
		"bounce.cf:8: error: other = 1: accepted is failure_template, delay_template, "
		"success_template or verify_template, followed by = <<EOF\n"
		"bounce.cf:10: error: Subject: accepted is printable ASCII, with encoded words "
		"(RFC 2047) for the rest\n"
		"bounce.cf:9: error: there is no line \"END\" that ends it\n");
	assert_null(parse("success_template = <<EOF\nSubject: x\nEOF\n"));
	assert_string_equal(problems, "bounce.cf:1: error: it has no text: accepted are fields, an "
				      "empty line, and text\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_replaces_texts_and_fields),
		cmocka_unit_test(faults_are_named_with_their_lines),
	};
	return cmocka_run_group_tests(tests, load_params, free_params);
}
