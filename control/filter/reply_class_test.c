// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_reply_class.h"

static const char table[] =
#include "reply_table.inc"
	;

static struct pen_reply_classes *classes;
static struct pen_pattern_scratch *scratch;

static int setup(void **state)
{
	char err[300] = "";

	(void)state;
	classes = pen_reply_classes_load(NULL, err, sizeof(err));
	if (classes == NULL)
		print_message("%s\n", err);
	assert_non_null(classes);
	scratch = pen_reply_scratch_new(classes);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_pattern_scratch_free(scratch);
	pen_reply_classes_free(classes);
	return 0;
}

static struct pen_span take(struct pen_span *s, uint8_t end)
{
	ptrdiff_t at = pen_span_find(*s, end);
	struct pen_span head = pen_span(s->p, at >= 0 ? (size_t)at : s->n);

	*s = pen_span_from(*s, head.n + (at >= 0));
	return head;
}

static void replies_get_the_class_a_postmaster_would_give(void **state)
{
	struct pen_span rest = pen_span_cstr(table);
	unsigned wrong = 0, seen = 0;

	(void)state;
	while (rest.n > 0) {
		struct pen_span reply = pen_span_trim(take(&rest, '\n'));
		if (reply.n == 0 || reply.p[0] == '#')
			continue;
		struct pen_span want = take(&reply, ' ');
		reply = pen_span_trim(reply);
		const char *name = pen_reply_classify(classes, scratch, reply);
		seen++;
		if (!pen_span_eq(want, pen_span_cstr(name))) {
			print_message("%.*s\n  is %s, not %.*s\n", PEN_SPAN_ARG(reply), name,
				PEN_SPAN_ARG(want));
			wrong++;
		}
	}
	assert_true(seen > 150);
	assert_int_equal(wrong, 0);
	assert_string_equal(pen_reply_classify(classes, scratch, pen_span("", 0)), "other");
}

static void every_class_has_two_replies_in_the_table(void **state)
{
	(void)state;
	for (uint32_t i = 0; pen_failure_class_name(i) != NULL; i++) {
		const char *name = pen_failure_class_name(i);
		struct pen_span rest = pen_span_cstr(table);
		unsigned n = 0;

		while (rest.n > 0) {
			struct pen_span line = take(&rest, '\n');
			n += pen_span_eq(take(&line, ' '), pen_span_cstr(name));
		}
		if (n < 2 && strcmp(name, "tls-failed") != 0) // only we can say that
			fail_msg("%s has %u replies", name, n);
	}
}

static const char *class_of(unsigned klass, unsigned subject, unsigned detail,
	enum pen_dsn_origin origin, enum pen_smtp_stage stage, const char *text)
{
	struct pen_dsn d;

	pen_dsn_set(&d, klass, subject, detail, PEN_SCOPE_SITE, origin, stage, "%s", text);
	assert_false(pen_failure_is_reply(&d));
	return pen_failure_class(&d);
}

static void failures_without_a_reply_have_a_class_too(void **state)
{
	static const struct {
		unsigned klass, subject, detail;
		enum pen_dsn_origin origin;
		enum pen_smtp_stage stage;
		const char *text, *name;
	} cases[] = {
		{4, 4, 1, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
			"connect to mx[192.0.2.1]:25: Connection timed out", "no-answer-from-host"},
		{4, 4, 1, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
			"connect to mx[192.0.2.1]:25: Connection refused", "bad-connection"},
		{4, 4, 1, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection "
			"timed out",
			"no-answer-from-host"},
		{4, 4, 2, PEN_ORIGIN_LOCAL, PEN_STAGE_MAIL,
			"lost connection with mx[192.0.2.1] while sending MAIL FROM",
			"bad-connection"},
		{4, 4, 2, PEN_ORIGIN_LOCAL, PEN_STAGE_DOT,
			"conversation with mx[192.0.2.1] timed out while sending end of data",
			"no-answer-from-host"},
		{4, 4, 2, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS, "TLS connection with mx failed: alert",
			"tls-failed"},
		{4, 7, 5, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS,
			"Cannot start TLS with mx[192.0.2.1]: handshake failure", "tls-failed"},
		{4, 7, 4, PEN_ORIGIN_POLICY, PEN_STAGE_STARTTLS,
			"TLS is required, but was not offered by host mx[192.0.2.1]",
			"tls-required"},
		{5, 7, 30, PEN_ORIGIN_POLICY, PEN_STAGE_STARTTLS, "REQUIRETLS", "tls-required"},
		{5, 7, 10, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "REQUIRETLS needs encryption",
			"tls-required"},
		{4, 7, 5, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "TLSA lookup error for mx",
			"tls-failed"},
		{5, 4, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"Host or domain name not found. Name service error for name=x.test "
			"type=MX: Host not found",
			"bad-domain"},
		{4, 4, 3, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"Host or domain name not found. Name service error for name=x.test "
			"type=MX: Host not found, try again",
			"routing-errors"},
		{4, 4, 3, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "the resolver did not answer in time",
			"no-answer-from-host"},
		{5, 1, 10, PEN_ORIGIN_PEER, PEN_STAGE_NONE,
			"Domain x.test does not accept mail (nullMX)", "bad-domain"},
		{5, 1, 0, PEN_ORIGIN_PEER, PEN_STAGE_NONE,
			"Domain x.test does not accept mail (nullMX)", "bad-domain"},
		{5, 1, 2, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "bad recipient domain", "bad-domain"},
		{5, 1, 1, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "no such address", "bad-mailbox"},
		{5, 4, 6, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "mail for x loops back to myself",
			"routing-errors"},
		{4, 4, 7, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "too old", "message-expired"},
		{5, 3, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_MAIL,
			"message size 9 exceeds size limit 8 of server mx", "message-too-big"},
		{4, 3, 5, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "server configuration error",
			"bad-configuration"},
		{4, 5, 0, PEN_ORIGIN_PEER, PEN_STAGE_MAIL,
			"host mx[192.0.2.1] sent a malformed reply while sending MAIL FROM",
			"protocol-errors"},
		{4, 3, 0, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "out of memory", "other"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = class_of(cases[i].klass, cases[i].subject, cases[i].detail,
			cases[i].origin, cases[i].stage, cases[i].text);
		if (strcmp(name, cases[i].name) != 0)
			fail_msg("%s: %s, not %s", cases[i].text, name, cases[i].name);
	}
}

static void the_first_pattern_in_the_file_wins(void **state)
{
	static const char text[] = "/full/ first\n/mailbox/ second\n/^4/ third\n";
	char err[300];
	struct pen_reply_classes *c =
		pen_reply_classes_parse("rc", pen_span_cstr(text), err, sizeof(err));
	struct pen_pattern_scratch *s = pen_reply_scratch_new(c);

	(void)state;
	assert_string_equal(pen_reply_classify(c, s, PEN_SPAN_LIT("450 mailbox full")), "first");
	assert_string_equal(pen_reply_classify(c, s, PEN_SPAN_LIT("450 mailbox")), "second");
	assert_string_equal(pen_reply_classify(c, s, PEN_SPAN_LIT("450 x")), "third");
	assert_string_equal(pen_reply_classify(c, s, PEN_SPAN_LIT("550 x")), "other");
	pen_pattern_scratch_free(s);
	pen_reply_classes_free(c);
}

static void a_bad_class_name_is_refused_with_its_line(void **state)
{
	char err[300];

	(void)state;
	assert_null(pen_reply_classes_parse(
		"rc", PEN_SPAN_LIT("/a/ fine\n/b/ Not Fine\n"), err, sizeof(err)));
	assert_string_equal(
		err, "rc:2: \"Not Fine\" is no class name: up to 64 of a-z, 0-9 and -_.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_get_the_class_a_postmaster_would_give),
		cmocka_unit_test(every_class_has_two_replies_in_the_table),
		cmocka_unit_test(failures_without_a_reply_have_a_class_too),
		cmocka_unit_test(the_first_pattern_in_the_file_wins),
		cmocka_unit_test(a_bad_class_name_is_refused_with_its_line),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
