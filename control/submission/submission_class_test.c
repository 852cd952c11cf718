// SPDX-License-Identifier: BSD-3-Clause

// Whose mail it is, suppressed recipients, SMTPUTF8, VERP, and what is malformed.

#include "submission_rig.h"

#include <unistd.h>

static void all_on(struct pen_submission_config *cfg)
{
	static struct pen_cidr net;

	assert_int_equal(pen_cidr_parse(&net, PEN_SPAN_LIT("127.0.0.0/8"), true), 0);
	cfg->smtputf8 = true;
	cfg->verp_clients = &net;
	cfg->nverp_clients = 1;
	cfg->header_size_limit = 2000;
	cfg->reject_nul = true;
}

static void all_on_and_drop(struct pen_submission_config *cfg)
{
	all_on(cfg);
	cfg->suppression_drop = true;
}

static void autodetect(struct pen_submission_config *cfg)
{
	all_on(cfg);
	cfg->smtputf8_autodetect = true;
}

static void assert_class(
	const struct pen_message *m, const char *tenant, const char *campaign, const char *pool)
{
	assert_true(pen_span_eq(m->klass->tenant, pen_span_cstr(tenant)));
	assert_true(pen_span_eq(m->klass->campaign, pen_span_cstr(campaign)));
	assert_true(pen_span_eq(m->klass->pool, pen_span_cstr(pool)));
}

static void fields_make_the_class_and_leave_the_content(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on);
	int fd = greet(&f);
	envelope(fd);
	ask(fd,
		"X-Penstock-Tenant: acme\r\nSubject: x\r\nX-Penstock-Campaign: xmas\r\n"
		"X-Penstock-Pool: bulk\r\nX-Penstock-Priority: low\r\nMessage-Id: <1@x>\r\n"
		"X-Penstock-Schedule: not-before=2036-11-22T08:00:00Z;\r\n hours=09:00-17:00\r\n"
		"\r\nX-Penstock-Tenant: body\r\n.\r\n",
		"250 ");
	envelope(fd);
	ask(fd, "Subject: y\r\n\r\n.\r\n", "250 ");
	close(fd);
	struct pen_message *m = f.kept[0];
	assert_class(m, "acme", "xmas", "bulk");
	assert_int_equal(m->klass->priority, PEN_PRIORITY_LOW);
	assert_non_null(m->extra);
	assert_int_equal(m->extra->not_before, 2110953600 * PEN_US_PER_S);
	assert_int_equal(m->extra->window.days, 0x7f);
	assert_int_equal(m->extra->window.from, 540);
	assert_int_equal(m->extra->verp[0], 0);
	assert_false(contains(m, "acme"));
	assert_false(contains(m, "17:00"));
	assert_true(contains(m, "Subject: x\r\nMessage-Id: <1@x>\r\n"));
	assert_true(contains(m, "\r\n\r\nX-Penstock-Tenant: body\r\n"));
	assert_ptr_equal(f.kept[1]->klass, &pen_mail_class_none);
	assert_null(f.kept[1]->extra);
	stop(&f);
	assert_int_equal(pen_mail_class_count(), 0);
}

static void bad_fields_are_refused_by_name(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on);
	int fd = greet(&f);
	envelope(fd);
	ask(fd, "X-Penstock-Priority: urgent\r\n\r\n.\r\n",
		"554 5.6.0 X-Penstock-Priority: urgent: accepted is high, normal or low");
	envelope(fd);
	ask(fd, "X-Penstock-Schedule: days=mon; zone=Nowhere/Land\r\n\r\n.\r\n",
		"554 5.6.0 X-Penstock-Schedule: zone=Nowhere/Land: there is no such time zone");
	envelope(fd);
	ask(fd, "Subject: x\r\nX-Penstock-Pool: nowhere\r\n\r\n.\r\n",
		"554 5.6.0 X-Penstock-Pool: nowhere: egress.conf has no such pool");
	assert_int_equal(pen_submission_counters(f.s, 0)->fields_refused, 3);
	close(fd);
	assert_int_equal(f.nkept, 0);
	stop(&f);
}

static void the_senders_class_yields_to_the_header(void **state)
{
	(void)state;
	static const char *const senders[] = {"a@b globex/news", "x@b unknown/-", NULL};
	struct fixture f;

	start(&f, all_on);
	f.senders = senders;
	int fd = greet(&f);
	envelope(fd);
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 ");
	envelope(fd);
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n", "250 ");
	envelope(fd);
	ask(fd, "X-Penstock-Campaign: own\r\n\r\n.\r\n", "250 ");
	envelope(fd);
	ask(fd, "X-Penstock-Tenant: globex\r\nX-Penstock-Pool: p\r\n\r\n.\r\n", "250 ");
	ask(fd, "MAIL FROM:<x@b>\r\n", "451 4.3.0 ");
	ask(fd, "MAIL FROM:<c@b>\r\n", "250 ");
	close(fd);
	assert_class(f.kept[0], "globex", "news", "");
	assert_class(f.kept[1], "acme", "", "");
	assert_class(f.kept[2], "globex", "own", "");
	assert_class(f.kept[3], "globex", "news", "p");
	stop(&f);
}

static const char *const lists[] = {"- all@d", "acme c@d", "acme e@d", NULL};

static void suppressed_recipients_are_refused_at_rcpt(void **state)
{
	(void)state;
	static const char *const senders[] = {"a@b acme/-", NULL};
	struct fixture f;

	start(&f, all_on);
	f.suppressed = lists;
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<x@y>\r\n", "250 ");
	ask(fd, "RCPT TO:<all@d>\r\n",
		"550 5.7.1 <all@d>: Recipient address suppressed (bounce: global)");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 "); // another tenant's list
	ask(fd, "RCPT TO:<all@d>\r\n", "550 5.7.1 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "\r\n.\r\n", "250 ");
	f.senders = senders;
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n",
		"550 5.7.1 <c@d>: Recipient address suppressed (bounce: acme)");
	ask(fd, "DATA\r\n", "554 5.5.1 ");
	close(fd);
	assert_int_equal(f.nkept, 1);
	assert_int_equal(f.kept[0]->nrcpt, 1);
	assert_int_equal(f.kept[0]->rcpt[0].fate, PEN_FATE_QUEUED);
	assert_int_equal(pen_submission_counters(f.s, 0)->suppressed_refused, 3);
	stop(&f);
}

static void a_tenant_of_the_header_is_checked_when_it_is_known(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on);
	f.suppressed = lists;
	int fd = greet(&f);
	// Its only recipient.
	envelope(fd);
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n",
		"550 5.7.1 <c@d>: Recipient address suppressed (bounce: acme)");
	// All of them.
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<e@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n", "550 5.7.1 <e@d>: ");
	// Some of them.
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<good@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n", "250 ");
	close(fd);
	assert_int_equal(f.nkept, 1);
	assert_int_equal(f.kept[0]->nrcpt, 2);
	assert_int_equal(f.kept[0]->rcpt[0].fate, PEN_FATE_QUEUED);
	assert_int_equal(f.kept[0]->rcpt[1].fate, PEN_FATE_DELETED);
	assert_string_equal(f.dropped, "");
	stop(&f);
}

static void suppressed_recipients_can_be_dropped(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on_and_drop);
	f.suppressed = lists;
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<all@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<good@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n", "250 ");
	// Nobody is left: answered, reported, and not handed over.
	ask(fd, "MAIL FROM:<a@b>\r\n", "250 ");
	ask(fd, "RCPT TO:<all@d>\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "X-Penstock-Tenant: acme\r\n\r\n.\r\n", "250 2.0.0 Ok: queued as ");
	ask(fd, "QUIT\r\n", "221 ");
	hear(fd, "");
	close(fd);
	assert_int_equal(f.nkept, 1);
	assert_int_equal(f.kept[0]->rcpt[0].fate, PEN_FATE_DELETED);
	assert_int_equal(f.kept[0]->rcpt[1].fate, PEN_FATE_QUEUED);
	assert_int_equal(f.kept[0]->rcpt[2].fate, PEN_FATE_DELETED);
	assert_string_equal(f.dropped, "all@d (bounce: global)|c@d (bounce: acme)|");
	assert_int_equal(pen_submission_counters(f.s, 0)->suppressed_dropped, 4);
	assert_int_equal(pen_submission_stats(f.s).in_flight, 0);
	stop(&f);
}

static void smtputf8_is_kept_with_what_needs_it(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<\xc3\xa4@b>\r\n", "553 5.6.7 ");
	ask(fd, "MAIL FROM:<a@b> SMTPUTF8\r\n", "250 ");
	ask(fd, "RCPT TO:<\xc3\xa4@d\xc3\xb6> ORCPT=utf-8;\xc3\xa4=\xe4\xb8\xad@d\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "Subject: x\r\n\r\n.\r\n", "250 ");
	ask(fd, "MAIL FROM:<a@b> SMTPUTF8\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "Subject: x\r\n\r\n\xc3\xa4\r\n.\r\n", "250 ");
	envelope(fd);
	ask(fd, "Subject: \xc3\xa4\r\n\r\n.\r\n", "250 ");
	close(fd);
	struct pen_message *m = f.kept[0];
	assert_int_equal(m->flags & (PEN_MESSAGE_SMTPUTF8 | PEN_MESSAGE_UTF8_HEADER),
		PEN_MESSAGE_SMTPUTF8 | PEN_MESSAGE_UTF8_HEADER); // Received: names the recipient
	assert_true(contains(m, " with UTF8SMTP id "));
	assert_true(pen_span_eq(
		pen_recipient_orcpt(&m->rcpt[0]), PEN_SPAN_LIT("utf-8;\\x{E4}+3D\\x{4E2D}@d")));
	assert_true(pen_message_needs_utf8(m, pen_recipient_addr(&m->rcpt[0])));
	assert_int_equal(f.kept[1]->flags, PEN_MESSAGE_SMTPUTF8 | PEN_MESSAGE_8BIT);
	assert_false(pen_message_needs_utf8(f.kept[1], pen_recipient_addr(&f.kept[1]->rcpt[0])));
	assert_int_equal(f.kept[2]->flags, PEN_MESSAGE_8BIT); // nobody asked
	stop(&f);
	start(&f, autodetect);
	fd = greet(&f);
	envelope(fd);
	ask(fd, "Subject: \xc3\xa4\r\n\r\n.\r\n", "250 ");
	close(fd);
	assert_int_equal(f.kept[0]->flags,
		PEN_MESSAGE_8BIT | PEN_MESSAGE_SMTPUTF8 | PEN_MESSAGE_UTF8_HEADER);
	stop(&f);
}

static void verp_is_kept_with_its_delimiters(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, all_on);
	int fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b> XVERP=@=\r\n", "501 5.5.4 Error: Bad VERP delimiters");
	ask(fd, "MAIL FROM:<a@b> XVERP=-+\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "\r\n.\r\n", "250 ");
	ask(fd, "MAIL FROM:<a@b> XVERP\r\n", "250 ");
	ask(fd, "RCPT TO:<c@d>\r\n", "250 ");
	ask(fd, "DATA\r\n", "354 ");
	ask(fd, "\r\n.\r\n", "250 ");
	envelope(fd);
	ask(fd, "\r\n.\r\n", "250 ");
	close(fd);
	assert_memory_equal(f.kept[0]->extra->verp, "-+", 2);
	assert_memory_equal(f.kept[1]->extra->verp, "+=", 2);
	assert_null(f.kept[2]->extra);
	stop(&f);
	start(&f, NULL);
	fd = greet(&f);
	ask(fd, "MAIL FROM:<a@b> XVERP\r\n", "555 5.5.4 ");
	close(fd);
	stop(&f);
}

static void malformed_content_is_refused(void **state)
{
	(void)state;
	struct fixture f;
	char big[4000] = "Subject: ";

	start(&f, all_on);
	int fd = greet(&f);
	envelope(fd);
	assert_int_equal(write(fd, "Subject: a\0b\r\n\r\n.\r\n", 19), 19);
	hear(fd, "554 5.6.0 Error: NUL byte in the message");
	// One line, or one with its continuation lines.
	memset(big + 9, 'x', 2500);
	strcpy(big + 2509, "\r\n\r\n.\r\n");
	envelope(fd);
	ask(fd, big, "554 5.6.0 Error: header field too long");
	for (size_t i = 70; i < 2500; i += 70)
		memcpy(big + i, "\r\n ", 3);
	envelope(fd);
	ask(fd, big, "554 5.6.0 Error: header field too long");
	for (size_t i = 70; i < 2500; i += 70)
		memcpy(big + i, "\r\nX:", 4);
	envelope(fd);
	ask(fd, big, "250 ");
	assert_int_equal(pen_submission_counters(f.s, 0)->malformed_refused, 3);
	close(fd);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_make_the_class_and_leave_the_content),
		cmocka_unit_test(bad_fields_are_refused_by_name),
		cmocka_unit_test(the_senders_class_yields_to_the_header),
		cmocka_unit_test(suppressed_recipients_are_refused_at_rcpt),
		cmocka_unit_test(a_tenant_of_the_header_is_checked_when_it_is_known),
		cmocka_unit_test(suppressed_recipients_can_be_dropped),
		cmocka_unit_test(smtputf8_is_kept_with_what_needs_it),
		cmocka_unit_test(verp_is_kept_with_its_delimiters),
		cmocka_unit_test(malformed_content_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
