// SPDX-License-Identifier: BSD-3-Clause
#include "smtp_server_owner.h"

#include <stdlib.h>

// Past EHLO, and with the owner's answers to AUTH coming later.
static struct owner *with_auth(bool tls_only)
{
	struct owner *o = owner_new();

	o->cfg.offer_auth = true;
	o->cfg.auth_tls_only = tls_only;
	o->mechanisms = "PLAIN LOGIN";
	o->verdict[ON_AUTH] = PEN_SMTP_PENDING;
	owner_start(o);
	owner_feed(o, "EHLO c.example\r\n");
	return o;
}

static struct owner *asked(const char *command)
{
	struct owner *o = with_auth(false);

	owner_forget(o);
	owner_feed(o, command);
	return o;
}

static void tls_up(struct owner *o)
{
	owner_feed(o, "STARTTLS\r\n");
	pen_smtp_server_tls_up(&o->server, o->now);
	owner_forget(o);
}

static bool offered(struct owner *o)
{
	return memmem(o->server.out.p, o->server.out.n, "-AUTH PLAIN LOGIN\r\n", 19) != NULL;
}

static void ehlo_names_the_mechanisms_that_the_owner_has_now(void **state)
{
	(void)state;
	struct owner *o = with_auth(false);

	assert_true(offered(o));
	o->mechanisms = NULL;
	owner_forget(o);
	owner_feed(o, "EHLO c.example\r\n");
	assert_null(memmem(o->server.out.p, o->server.out.n, "AUTH", 4));
	owner_free(o);
}

static void without_tls_auth_is_neither_offered_nor_taken_where_it_needs_it(void **state)
{
	(void)state;
	struct owner *o = with_auth(true);

	assert_false(offered(o));
	owner_forget(o);
	owner_feed(o, "AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b> AUTH=<>\r\n");
	assert_out(o, "504 5.5.4 Encryption required for requested authentication mechanism\r\n"
		      "555 5.5.4 Unsupported option: AUTH=<>\r\n");
	assert_string_equal(o->log, "");
	tls_up(o);
	owner_feed(o, "EHLO c.example\r\n");
	assert_true(offered(o));
	owner_free(o);
}

static void an_initial_response_goes_to_the_owner_whose_answer_comes_later(void **state)
{
	(void)state;
	static const struct {
		const char *command, *log;
	} cases[] = {{"AUTH plain AGEAYg==\r\n", "auth PLAIN 'AGEAYg=='|"},
		{"AUTH PLAIN\r\n", "auth PLAIN|"},
		{"AUTH SCRAM-SHA-1 =\r\n", "auth SCRAM-SHA-1 ''|"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct owner *o = asked(cases[i].command);
		assert_string_equal(o->log, cases[i].log);
		assert_true(pen_smtp_server_pending(&o->server));
		assert_out(o, "");
		pen_smtp_server_reply(&o->server, "235 2.7.0 Authentication successful");
		assert_out(o, "235 2.7.0 Authentication successful\r\n");
		owner_free(o);
	}
}

static void challenges_go_back_and_forth_in_any_pieces(void **state)
{
	(void)state;
	for (size_t step = 1; step < 12; step++) {
		struct owner *o = asked("AUTH LOGIN\r\n");
		pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT("VXNlcm5hbWU6"));
		owner_feed_n(o, "dXNlcg==\r\n", 10, step);
		pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT(""));
		owner_feed_n(o, "\r\n", 2, step);
		pen_smtp_server_reply(&o->server, "535 5.7.8 Error: authentication failed: x");
		owner_feed(o, "NOOP\r\n");
		assert_string_equal(o->log, "auth LOGIN|response 'dXNlcg=='|response ''|");
		assert_out(o,
			"334 VXNlcm5hbWU6\r\n334 \r\n535 5.7.8 Error: authentication failed: x\r\n"
			"250 2.0.0 Ok\r\n");
		owner_free(o);
	}
}

static void what_is_sent_behind_auth_waits_for_its_answer(void **state)
{
	(void)state;
	struct owner *o = with_auth(false);

	owner_forget(o);
	assert_int_equal(owner_feed(o, "AUTH LOGIN\r\ndQ==\r\nNOOP\r\n"), 12);
	pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT("QQ=="));
	assert_int_equal(owner_feed(o, "dQ==\r\nNOOP\r\n"), 6);
	pen_smtp_server_reply(&o->server, "235 2.7.0 Authentication successful");
	assert_int_equal(owner_feed(o, "NOOP\r\n"), 6);
	assert_out(o, "334 QQ==\r\n235 2.7.0 Authentication successful\r\n250 2.0.0 Ok\r\n");
	owner_free(o);
}

static void the_client_may_give_up(void **state)
{
	(void)state;
	struct owner *o = asked("AUTH LOGIN\r\n");

	pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT("QQ=="));
	owner_forget(o);
	owner_feed(o, "*\r\nNOOP\r\n");
	assert_out(o, "501 5.7.0 Authentication aborted\r\n250 2.0.0 Ok\r\n");
	assert_string_equal(o->log, "cancel|");
	assert_int_equal(o->ctr.auths_aborted, 1);
	owner_free(o);
}

static void what_is_no_base64_ends_the_exchange(void **state)
{
	(void)state;
	static const char *const bad[] = {"a",
		"ab=", "====", "a b=", "QQ==QQ==", "QUJD\tQQ==", "Q\xc3\xa4\x41",
		"MAIL FROM:<a@b>"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct owner *o = asked("AUTH LOGIN\r\n");
		pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT("QQ=="));
		owner_forget(o);
		owner_feed(o, bad[i]);
		owner_feed(o, "\r\n");
		assert_out(o, "501 5.5.2 Error: invalid base64 data in response\r\n");
		assert_string_equal(o->log, "cancel|");
		owner_free(o);
	}
	struct owner *o = asked("AUTH PLAIN a\r\n");
	assert_out(o, "501 5.5.2 Error: invalid base64 data in initial response\r\n");
	assert_string_equal(o->log, "");
	owner_free(o);
}

static void a_response_has_at_most_12288_bytes(void **state)
{
	(void)state;
	static const struct {
		size_t n, step;
		const char *log;
	} cases[] = {{12288, 1000000, "response of 12288|"}, {12288, 999, "response of 12288|"},
		{12292, 1000000, "cancel|"}, {12292, 999, "cancel|"}, {50000, 777, "cancel|"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct owner *o = asked("AUTH LOGIN\r\n");
		char *line = malloc(cases[i].n + 2);
		memset(line, 'A', cases[i].n);
		memcpy(line + cases[i].n, "\r\n", 2);
		pen_smtp_server_challenge(&o->server, PEN_SPAN_LIT("QQ=="));
		owner_forget(o);
		assert_int_equal(
			owner_feed_n(o, line, cases[i].n + 2, cases[i].step), cases[i].n + 2);
		assert_string_equal(o->log, cases[i].log);
		if (cases[i].log[0] == 'c')
			assert_out(o, "500 5.5.6 SASL response limit exceeded\r\n");
		free(line);
		owner_free(o);
	}
}

static void a_challenge_may_be_longer_than_a_reply(void **state)
{
	(void)state;
	struct owner *o = asked("AUTH LOGIN\r\n");
	uint8_t text[4000];

	memset(text, 'A', sizeof(text));
	pen_smtp_server_challenge(&o->server, pen_span(text, sizeof(text)));
	assert_int_equal(o->server.out.n, 4 + sizeof(text) + 2);
	owner_free(o);
}

static void auth_comes_once_and_outside_of_a_transaction(void **state)
{
	(void)state;
	struct owner *o = with_auth(false);

	owner_forget(o);
	owner_feed(o, "MAIL FROM:<a@b>\r\nAUTH PLAIN\r\nRSET\r\nAUTH PLAIN\r\n");
	pen_smtp_server_reply(&o->server, "235 2.7.0 Authentication successful");
	owner_forget(o);
	owner_feed(o, "AUTH PLAIN\r\nEHLO again\r\n");
	pen_smtp_server_consume(&o->server, o->server.out.n);
	owner_feed(o, "AUTH PLAIN\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN\r\n");
	assert_out(o, "503 5.5.1 Error: already authenticated\r\n250 2.1.0 Ok\r\n"
		      "503 5.5.1 Error: MAIL transaction in progress\r\n");
	owner_free(o);
}

static void starttls_makes_a_client_unknown_again(void **state)
{
	(void)state;
	struct owner *o = asked("AUTH PLAIN\r\n");

	pen_smtp_server_reply(&o->server, "235 2.7.0 Authentication successful");
	tls_up(o);
	owner_feed(o, "AUTH PLAIN AGEAYg==\r\n");
	assert_string_equal(o->log, "auth PLAIN 'AGEAYg=='|");
	owner_free(o);
}

static void bad_commands_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"AUTH\r\n", "AUTH PLAIN AAAA AAAA\r\n", "AUTH PL=AIN\r\n",
		"AUTH ABCDEFGHIJKLMNOPQRSTU\r\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct owner *o = asked(bad[i]);
		assert_out(o, "501 5.5.4 Syntax: AUTH mechanism\r\n");
		owner_free(o);
	}
	struct owner *o = owner_greeted(); // not offered
	owner_feed(o, "AUTH PLAIN\r\n");
	assert_out(o, "502 5.5.1 Error: command not implemented\r\n");
	owner_free(o);
}

static void failures_count_as_errors(void **state)
{
	(void)state;
	struct owner *o = with_auth(false);

	o->verdict[ON_AUTH] = PEN_SMTP_REPLY;
	o->reply = "535 5.7.8 Error: authentication failed: x";
	for (int i = 0; i < 20; i++)
		owner_feed(o, "AUTH PLAIN\r\n");
	assert_int_equal(o->closes, 1);
	owner_free(o);
}

static void mail_takes_one_auth_parameter(void **state)
{
	(void)state;
	struct owner *o = asked(
		"MAIL FROM:<a@b> AUTH=e+3Dmc2@b\r\nRSET\r\nMAIL FROM:<a@b> AUTH=<>\r\nRSET\r\n");

	assert_string_equal(o->log,
		"mail a@b size=0 flags=0 auth=e+3Dmc2@b|reset|mail a@b size=0 flags=0|reset|");
	owner_forget(o);
	owner_feed(o, "MAIL FROM:<a@b> AUTH=a AUTH=b\r\nMAIL FROM:<a@b> AUTH=\r\n");
	assert_out(o, "503 5.5.4 Error: multiple AUTH= options\r\n501 5.5.4 Bad AUTH parameter "
		      "syntax\r\n");
	owner_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ehlo_names_the_mechanisms_that_the_owner_has_now),
		cmocka_unit_test(without_tls_auth_is_neither_offered_nor_taken_where_it_needs_it),
		cmocka_unit_test(an_initial_response_goes_to_the_owner_whose_answer_comes_later),
		cmocka_unit_test(challenges_go_back_and_forth_in_any_pieces),
		cmocka_unit_test(what_is_sent_behind_auth_waits_for_its_answer),
		cmocka_unit_test(the_client_may_give_up),
		cmocka_unit_test(what_is_no_base64_ends_the_exchange),
		cmocka_unit_test(a_response_has_at_most_12288_bytes),
		cmocka_unit_test(a_challenge_may_be_longer_than_a_reply),
		cmocka_unit_test(auth_comes_once_and_outside_of_a_transaction),
		cmocka_unit_test(starttls_makes_a_client_unknown_again),
		cmocka_unit_test(bad_commands_are_refused),
		cmocka_unit_test(failures_count_as_errors),
		cmocka_unit_test(mail_takes_one_auth_parameter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
