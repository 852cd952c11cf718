// SPDX-License-Identifier: BSD-3-Clause
#include "pen_retry.h"
#include "pen_test.h"
#include "pen_trouble.h"

#define S PEN_US_PER_S

static void retries_come_at_the_age_of_the_message(void **state)
{
	static const int64_t expect[] = {310, 620, 1240, 2480, 4960, 8960, 12960};
	struct pen_retry_policy p = PEN_RETRY_POLICY_DEFAULT;
	pen_wall_us at = 10 * S; // the first attempt ended ten seconds after arrival

	(void)state;
	for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
		at = pen_retry_next(&p, 0, at);
		assert_int_equal(at, expect[i] * S);
	}
}

static void a_clock_set_back_waits_the_minimum(void **state)
{
	struct pen_retry_policy p = PEN_RETRY_POLICY_DEFAULT;

	(void)state;
	assert_int_equal(pen_retry_next(&p, 1000 * S, 10 * S), 310 * S);
}

static void a_null_sender_never_lives_longer_than_others(void **state)
{
	struct pen_retry_policy p = PEN_RETRY_POLICY_DEFAULT;

	(void)state;
	p.maximal_queue_lifetime = 100 * S;
	p.bounce_queue_lifetime = 50 * S;
	assert_int_equal(pen_retry_expiry(&p, 7 * S, false), 107 * S);
	assert_int_equal(pen_retry_expiry(&p, 7 * S, true), 57 * S);
	p.bounce_queue_lifetime = 500 * S;
	assert_int_equal(pen_retry_expiry(&p, 7 * S, true), 107 * S);
}

static void verdicts_follow_class_scope_and_source(void **state)
{
	static const struct {
		const char *label;
		unsigned klass;
		enum pen_dsn_scope scope;
		enum pen_trouble_source source;
		bool soft;
		enum pen_verdict expect;
	} cases[] = {
		{"250", 2, PEN_SCOPE_RECIPIENT, PEN_TROUBLE_DELIVERY, false, PEN_VERDICT_DELIVERED},
		{"450 rcpt", 4, PEN_SCOPE_RECIPIENT, PEN_TROUBLE_DELIVERY, false,
			PEN_VERDICT_RETRY},
		{"550 rcpt", 5, PEN_SCOPE_RECIPIENT, PEN_TROUBLE_DELIVERY, false,
			PEN_VERDICT_BOUNCE},
		{"552 message", 5, PEN_SCOPE_MESSAGE, PEN_TROUBLE_DELIVERY, false,
			PEN_VERDICT_BOUNCE},
		{"521 session", 5, PEN_SCOPE_SESSION, PEN_TROUBLE_DELIVERY, false,
			PEN_VERDICT_RETRY},
		{"554 site", 5, PEN_SCOPE_SITE, PEN_TROUBLE_DELIVERY, false, PEN_VERDICT_RETRY},
		{"554 greeting", 5, PEN_SCOPE_SESSION, PEN_TROUBLE_LEASE, false, PEN_VERDICT_RETRY},
		{"lease, clean", 2, PEN_SCOPE_SESSION, PEN_TROUBLE_LEASE, false, PEN_VERDICT_RETRY},
		{"no such domain", 5, PEN_SCOPE_SITE, PEN_TROUBLE_ROUTE, false, PEN_VERDICT_BOUNCE},
		{"servfail", 4, PEN_SCOPE_SITE, PEN_TROUBLE_ROUTE, false, PEN_VERDICT_RETRY},
		{"soft_bounce", 5, PEN_SCOPE_RECIPIENT, PEN_TROUBLE_DELIVERY, true,
			PEN_VERDICT_RETRY},
		{"soft_bounce, route", 5, PEN_SCOPE_SITE, PEN_TROUBLE_ROUTE, true,
			PEN_VERDICT_RETRY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_dsn d;
		pen_dsn_set(&d, cases[i].klass, 1, 1, cases[i].scope, PEN_ORIGIN_PEER,
			PEN_STAGE_RCPT, "x");
		if (pen_trouble_judge(&d, cases[i].source, cases[i].soft) != cases[i].expect)
			fail_msg("%s", cases[i].label);
	}
}

static void a_lease_tells_how_its_site_is(void **state)
{
	struct pen_lease *l = calloc(1, sizeof(*l));

	(void)state;
	l->result.klass = 4;
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_UNREACHABLE);
	l->result.klass = 5;
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_UNREACHABLE);
	l->ready = true;
	assert_int_equal(pen_trouble_site_effect(l, 0, 1), PEN_SITE_LOST);
	assert_int_equal(pen_trouble_site_effect(l, 3, 1), PEN_SITE_OK);
	l->result.klass = 2;
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_OK);
	assert_int_equal(pen_trouble_site_effect(l, 0, 2), PEN_SITE_LOST);
	free(l);
}

static void only_the_last_word_on_a_site_bounces_mail_without_a_session(void **state)
{
	static const struct {
		const char *label;
		unsigned klass;
		enum pen_dsn_scope scope;
		enum pen_dsn_origin origin;
		enum pen_smtp_stage stage;
		bool ready;
		enum pen_site_effect effect;
		enum pen_verdict verdict;
	} cases[] = {
		{"skipped by policy", 5, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, false,
			PEN_SITE_REFUSED, PEN_VERDICT_BOUNCE},
		{"REQUIRETLS missing", 5, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO, false,
			PEN_SITE_REFUSED, PEN_VERDICT_BOUNCE},
		{"STARTTLS refused", 5, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_STARTTLS, false,
			PEN_SITE_REFUSED, PEN_VERDICT_BOUNCE},
		{"5xx greeting", 5, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_GREETING, false,
			PEN_SITE_REFUSED, PEN_VERDICT_BOUNCE},
		{"other hosts are left", 5, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO,
			false, PEN_SITE_UNREACHABLE, PEN_VERDICT_RETRY},
		{"another host may take it later", 4, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY,
			PEN_STAGE_EHLO, false, PEN_SITE_UNREACHABLE, PEN_VERDICT_RETRY},
		{"EHLO refused", 5, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_EHLO, false,
			PEN_SITE_UNREACHABLE, PEN_VERDICT_RETRY},
		{"our own trouble", 5, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, false,
			PEN_SITE_UNREACHABLE, PEN_VERDICT_RETRY},
		{"skipped for now", 4, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, false,
			PEN_SITE_UNREACHABLE, PEN_VERDICT_RETRY},
	};
	struct pen_lease *l = calloc(1, sizeof(*l));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		l->ready = cases[i].ready;
		pen_dsn_set(&l->result, cases[i].klass, 7, 10, cases[i].scope, cases[i].origin,
			cases[i].stage, "x");
		if (pen_trouble_site_effect(l, 0, 0) != cases[i].effect ||
			pen_trouble_judge(&l->result, PEN_TROUBLE_LEASE, false) !=
				cases[i].verdict ||
			pen_trouble_judge(&l->result, PEN_TROUBLE_LEASE, true) != PEN_VERDICT_RETRY)
			fail_msg("%s", cases[i].label);
	}
	free(l);
}

static void a_failed_handshake_says_nothing_about_a_site_at_level_may(void **state)
{
	struct pen_lease *l = calloc(1, sizeof(*l));

	(void)state;
	pen_dsn_set(&l->result, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS, "x");
	l->tls_field = (struct pen_tls_field){.shown = true, .level = PEN_TLS_MAY};
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_MAIL_WAITS);
	l->tls_field.level = PEN_TLS_ENCRYPT;
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_UNREACHABLE);
	l->tls_field.level = PEN_TLS_MAY;
	l->result.stage = PEN_STAGE_CONNECT;
	assert_int_equal(pen_trouble_site_effect(l, 0, 0), PEN_SITE_UNREACHABLE);
	free(l);
}

static void a_text_that_names_the_host_already_is_not_wrapped_again(void **state)
{
	static const char whole[] = "host mx.test[192.0.2.1] said: 550 5.1.1 no such user (in "
				    "reply to RCPT TO command)";
	struct pen_dsn d;
	char out[PEN_TROUBLE_TEXT_MAX];

	(void)state;
	pen_dsn_set(&d, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT, "%s", whole);
	d.reply = 550;
	pen_trouble_text(&d, "mx.test[192.0.2.1]", out, sizeof(out));
	assert_string_equal(out, whole);
	pen_trouble_reply(&d, out, sizeof(out));
	assert_string_equal(out, "550 5.1.1 no such user");
}

static void texts_read_as_in_a_postfix_log(void **state)
{
	struct pen_dsn d;
	char out[PEN_TROUBLE_TEXT_MAX];

	(void)state;
	pen_dsn_set(&d, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT,
		"550 5.1.1 no such user");
	d.reply = 550;
	pen_trouble_text(&d, "mx.test[192.0.2.1]", out, sizeof(out));
	assert_string_equal(out, "host mx.test[192.0.2.1] said: 550 5.1.1 no such user "
				 "(in reply to RCPT TO command)");
	pen_dsn_set(&d, 4, 2, 0, PEN_SCOPE_MESSAGE, PEN_ORIGIN_PEER, PEN_STAGE_DOT, "later");
	d.reply = 451;
	pen_trouble_text(&d, "mx.test[192.0.2.1]", out, sizeof(out));
	assert_string_equal(
		out, "host mx.test[192.0.2.1] said: 451 4.2.0 later (in reply to end of DATA)");
	pen_dsn_set(&d, 2, 0, 0, PEN_SCOPE_MESSAGE, PEN_ORIGIN_PEER, PEN_STAGE_DOT,
		"250 2.0.0 Ok: queued as 1");
	d.reply = 250;
	pen_trouble_text(&d, "mx.test[192.0.2.1]", out, sizeof(out));
	assert_string_equal(out, "250 2.0.0 Ok: queued as 1");
	pen_dsn_set(&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to x: Connection refused");
	pen_trouble_text(&d, "", out, sizeof(out));
	assert_string_equal(out, "connect to x: Connection refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retries_come_at_the_age_of_the_message),
		cmocka_unit_test(a_clock_set_back_waits_the_minimum),
		cmocka_unit_test(a_null_sender_never_lives_longer_than_others),
		cmocka_unit_test(verdicts_follow_class_scope_and_source),
		cmocka_unit_test(a_lease_tells_how_its_site_is),
		cmocka_unit_test(only_the_last_word_on_a_site_bounces_mail_without_a_session),
		cmocka_unit_test(a_failed_handshake_says_nothing_about_a_site_at_level_may),
		cmocka_unit_test(texts_read_as_in_a_postfix_log),
		cmocka_unit_test(a_text_that_names_the_host_already_is_not_wrapped_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
