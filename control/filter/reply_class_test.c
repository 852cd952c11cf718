// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_reply_class.h"

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

static void replies_get_the_class_a_postmaster_would_give(void **state)
{
	static const struct {
		const char *reply, *name;
	} cases[] = {
		{"550 5.1.1 <a@b.test>: Recipient address rejected: User unknown in virtual "
		 "mailbox "
		 "table",
			"bad-mailbox"},
		{"550 5.1.1 The email account that you tried to reach does not exist.",
			"bad-mailbox"},
		{"550 No such user here", "bad-mailbox"},
		{"550 Requested action not taken: mailbox unavailable", "bad-mailbox"},
		{"554 delivery error: This user doesn't have an account here", "bad-mailbox"},
		{"550 5.1.10 RESOLVER.ADR.RecipientNotFound; nobody", "bad-mailbox"},
		{"556 5.1.10 null MX", "bad-domain"},
		{"550 5.4.4 unrouteable domain", "bad-domain"},
		{"550 5.1.2 Host unknown (Name server: x.test: host not found)", "bad-domain"},
		{"452 4.2.2 The recipient's inbox is full", "quota-issues"},
		{"552 5.2.2 Mailbox size limit exceeded, over quota", "quota-issues"},
		{"452 4.3.1 Insufficient system storage", "quota-issues"},
		{"550 5.2.1 The account you tried to reach is disabled.", "inactive-mailbox"},
		{"554 This mailbox has been inactive; account suspended", "inactive-mailbox"},
		{"550 5.1.6 address no longer in use", "inactive-mailbox"},
		{"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus",
			"spam-related"},
		{"550 5.7.1 Message looks like spam to us", "spam-related"},
		{"421 4.7.0 Our system has detected that your IP reputation is too low",
			"spam-related"},
		{"450 4.2.0 Greylisted, please try again later", "greylisted"},
		{"451 4.7.1 Greylisting in action, come back in 300 seconds", "greylisted"},
		{"421 4.7.0 Too many connections from your IP", "rate-limited"},
		{"450 4.7.1 You are sending too fast, slow down", "rate-limited"},
		{"452 4.5.3 Too many recipients", "rate-limited"},
		{"550 5.7.26 Unauthenticated email from x.test is not accepted due to domain's "
		 "DMARC "
		 "policy",
			"auth-failed"},
		{"550 5.7.23 SPF validation failed", "auth-failed"},
		{"550 5.7.20 no passing DKIM signature found", "auth-failed"},
		{"554 5.7.1 <a@b.test>: Relay access denied", "relaying-issues"},
		{"550 5.7.54 unable to relay recipient in non-accepted domain", "relaying-issues"},
		{"552 5.3.4 Message size exceeds fixed maximum message size", "message-too-big"},
		{"552 5.2.3 Your message is too large", "message-too-big"},
		{"554 5.7.1 Virus found in message: EICAR", "virus-related"},
		{"552 5.7.0 attachments of this file type are not allowed", "content-related"},
		{"550 5.6.0 message body contains bare LF", "content-related"},
		{"550 5.7.1 Rejected for policy reasons", "policy-related"},
		{"554 5.7.1 Access denied", "policy-related"},
		{"550 5.1.8 Sender address rejected: Domain not found", "bad-domain"},
		{"550 5.7.25 no reverse DNS for your address", "bad-configuration"},
		{"530 5.7.0 Must issue a STARTTLS command first", "bad-configuration"},
		{"503 5.5.1 bad sequence of commands", "protocol-errors"},
		{"500 command unrecognized", "protocol-errors"},
		{"421 4.4.2 Connection timed out", "bad-connection"},
		{"451 4.4.1 no answer from host while connecting", "no-answer-from-host"},
		{"554 5.4.6 Too many hops", "routing-errors"},
		{"550 5.4.7 gave up", "message-expired"},
		{"550 5.7.1 xyzzy", "policy-related"},
		{"554 transaction failed", "other"},
		{"", "other"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name =
			pen_reply_classify(classes, scratch, pen_span_cstr(cases[i].reply));

		if (strcmp(name, cases[i].name) != 0) {
			print_message(
				"%s: \"%s\" is not \"%s\"\n", cases[i].reply, name, cases[i].name);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
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
		cmocka_unit_test(the_first_pattern_in_the_file_wins),
		cmocka_unit_test(a_bad_class_name_is_refused_with_its_line),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
