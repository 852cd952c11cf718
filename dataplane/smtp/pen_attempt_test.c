// SPDX-License-Identifier: BSD-3-Clause

// Which host comes next, and what a list of failures means.

#include "pen_attempt.h"
#include "pen_test.h"

#define HOSTS 4

struct world {
	struct pen_smtp_rules rules;
	struct pen_tls_policy policy[HOSTS];
	struct pen_lease lease;
	struct pen_attempt a;
	char walk[256]; // "0 1p " for each connection
};

static void set_up(struct world *w, uint8_t nhosts)
{
	static const char *const names[HOSTS] = {"mx0", "mx0", "mx1", "mx2"};

	memset(w, 0, sizeof(*w));
	w->rules = PEN_SMTP_RULES_DEFAULT;
	w->lease.rules = &w->rules;
	w->lease.source.family = PEN_FAMILY_IP4;
	w->lease.source6.family = PEN_FAMILY_IP6;
	w->lease.nhosts = nhosts;
	for (uint8_t i = 0; i < nhosts; i++) {
		w->policy[i].level = PEN_TLS_MAY;
		w->lease.host[i] = (struct pen_lease_host){.name = names[i],
			.tls = &w->policy[i],
			.addr = pen_addr_ip4(0xc0000200u + i),
			.port = 25};
	}
	for (uint8_t i = 0; i < nhosts; i++)
		w->lease.host[i].tls_event = 7; // of an earlier attempt
	pen_attempt_init(&w->a, &w->lease);
	for (uint8_t i = 0; i < nhosts; i++)
		assert_int_equal(w->lease.host[i].tls_event, PEN_TLSRPT_NONE);
}

static bool next(struct world *w)
{
	size_t n = strlen(w->walk);

	if (!pen_attempt_next(&w->a))
		return false;
	snprintf(w->walk + n, sizeof(w->walk) - n, "%u%s ", w->lease.host_used,
		w->a.plain ? "p" : "");
	return true;
}

static void unreachable(struct world *w)
{
	assert_true(next(w));
	pen_attempt_no_connection(
		&w->a, w->lease.host_used, PEN_HOST_REFUSED, "Connection refused");
}

// The present host ends the session with this status.
static void ends(struct world *w, enum pen_attempt_end how, unsigned klass,
	enum pen_dsn_origin origin, enum pen_smtp_stage stage)
{
	struct pen_dsn why;

	assert_true(next(w));
	pen_dsn_set(&why, klass, 7, 30, PEN_SCOPE_SESSION, origin, stage, "host %u",
		w->lease.host_used);
	pen_attempt_ended(&w->a, how, &why);
}

static void skips(struct world *w, unsigned host, unsigned klass)
{
	w->policy[host].skipped = true;
	w->policy[host].failure = PEN_TLSRPT_STS_POLICY_INVALID;
	pen_dsn_set(&w->policy[host].skip, klass, 7, 10, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY,
		PEN_STAGE_NONE, "skipped %u", host);
}

static void is_over(struct world *w, const char *walk, unsigned klass, enum pen_dsn_scope scope,
	const char *text)
{
	assert_false(next(w));
	assert_string_equal(w->walk, walk);
	assert_int_equal(w->lease.result.klass, klass);
	assert_int_equal(w->lease.result.scope, scope);
	assert_string_equal(w->lease.result.text, text);
}

static void hosts_come_in_order_until_one_is_ready(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 3);
	assert_false(w.lease.host_tried);
	unreachable(&w);
	assert_true(w.lease.host_tried);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 4, PEN_ORIGIN_PEER, PEN_STAGE_GREETING);
	assert_true(next(&w));
	pen_attempt_ready(&w.a);
	assert_string_equal(w.walk, "0 1 2 ");
	assert_int_equal(w.lease.host_used, 2);
}

static void greets(struct world *w, enum pen_dsn_origin origin, unsigned klass, uint16_t reply)
{
	struct pen_dsn why;

	assert_true(next(w));
	pen_dsn_set(&why, klass, 3, 2, PEN_SCOPE_SESSION, origin, PEN_STAGE_GREETING, "no");
	why.reply = reply;
	pen_attempt_ended(&w->a, PEN_ATTEMPT_NO_SESSION, &why);
}

static void each_host_is_remembered_by_whether_it_answered(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 4);
	w.lease.host[0].answer = PEN_HOST_BUSY; // of an attempt before
	pen_attempt_init(&w.a, &w.lease);
	assert_int_equal(w.lease.host[0].answer, PEN_HOST_UNTRIED);
	unreachable(&w);
	greets(&w, PEN_ORIGIN_PEER, 4, 421);
	greets(&w, PEN_ORIGIN_LOCAL, 4, 0);
	greets(&w, PEN_ORIGIN_PEER, 4, 450);
	assert_int_equal(w.lease.host[0].answer, PEN_HOST_REFUSED);
	assert_int_equal(w.lease.host[1].answer, PEN_HOST_BUSY);
	assert_int_equal(w.lease.host[2].answer, PEN_HOST_SILENT);
	assert_int_equal(w.lease.host[3].answer, PEN_HOST_ANSWERED);

	set_up(&w, 4);
	greets(&w, PEN_ORIGIN_LOCAL, 2, 0); // closed by us
	ends(&w, PEN_ATTEMPT_NO_SESSION, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_EHLO);
	assert_true(next(&w));
	pen_attempt_ready(&w.a);
	assert_int_equal(w.lease.host[0].answer, PEN_HOST_UNTRIED);
	assert_int_equal(w.lease.host[1].answer, PEN_HOST_ANSWERED);
	assert_int_equal(w.lease.host[2].answer, PEN_HOST_ANSWERED);
	assert_int_equal(w.lease.host[3].answer, PEN_HOST_UNTRIED);
}

static void a_list_without_hosts_is_a_local_failure(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 0);
	is_over(&w, "", 4, PEN_SCOPE_SITE, "no host to connect to");
	assert_false(w.lease.host_tried);
}

static void a_plaintext_retry_takes_the_same_address_and_costs_nothing(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 3);
	w.rules.session_limit = 1;
	ends(&w, PEN_ATTEMPT_RETRY_PLAIN, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 4, PEN_ORIGIN_PEER, PEN_STAGE_GREETING);
	ends(&w, PEN_ATTEMPT_RETRY_PLAIN, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS);
	unreachable(&w);
	unreachable(&w);
	is_over(&w, "0 0p 1 1p 2 ", 4, PEN_SCOPE_SITE,
		"connect to mx1[192.0.2.2]:25: Connection refused");
}

static void only_sessions_that_passed_count_for_their_limit(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 4);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 4, PEN_ORIGIN_PEER, PEN_STAGE_EHLO);
	ends(&w, PEN_ATTEMPT_PASSED, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	ends(&w, PEN_ATTEMPT_PASSED, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	is_over(&w, "0 1 2 ", 4, PEN_SCOPE_SESSION, "host 2");
	set_up(&w, 3);
	w.rules.session_limit = 0;
	for (int i = 0; i < 3; i++)
		ends(&w, PEN_ATTEMPT_PASSED, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	is_over(&w, "0 1 2 ", 5, PEN_SCOPE_SITE, "host 2");
}

static void a_temporary_failure_anywhere_keeps_the_mail(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 2);
	unreachable(&w);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_TLS);
	is_over(&w, "0 1 ", 4, PEN_SCOPE_SESSION, "host 1");

	set_up(&w, 2);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_TLS);
	unreachable(&w);
	is_over(&w, "0 1 ", 4, PEN_SCOPE_SITE, "connect to mx0[192.0.2.1]:25: Connection refused");
}

static void the_last_error_decides_when_it_is_told_to(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 2);
	w.rules.last_error_wins = true;
	unreachable(&w);
	skips(&w, 1, 5);
	is_over(&w, "0 ", 5, PEN_SCOPE_SITE, "skipped 1");

	set_up(&w, 2);
	w.rules.last_error_wins = true;
	skips(&w, 0, 5);
	unreachable(&w);
	is_over(&w, "1 ", 4, PEN_SCOPE_SITE, "connect to mx0[192.0.2.1]:25: Connection refused");
}

static void hosts_that_their_policy_forbids_are_passed_over_and_reported(void **state)
{
	(void)state;
	struct world w;
	char field[PEN_TLS_FIELD_MAX];

	set_up(&w, 3);
	skips(&w, 0, 4);
	w.policy[1].requiretls = PEN_REQUIRETLS_ENFORCE;
	assert_true(next(&w));
	assert_int_equal(w.lease.host_used, 2);
	assert_int_equal(w.lease.host[0].tls_event, PEN_TLSRPT_STS_POLICY_INVALID);
	assert_int_equal(w.lease.host[1].tls_event, PEN_TLSRPT_NONE);

	set_up(&w, 1);
	w.policy[0].requiretls = PEN_REQUIRETLS_ENFORCE;
	is_over(&w, "", 5, PEN_SCOPE_SITE,
		"REQUIRETLS needs a matching certificate, but the TLS policy for host : may");
	assert_true(w.lease.host_tried);
	pen_tls_field_str(&w.lease.tls_field, field);
	assert_string_equal(field, "may?/!requiretls:nocertmatch");
}

static void only_refusals_that_concern_the_mail_can_bounce_it(void **state)
{
	(void)state;
	static const struct {
		enum pen_dsn_origin origin;
		enum pen_smtp_stage stage;
		bool bounces;
	} rows[] = {
		{PEN_ORIGIN_POLICY, PEN_STAGE_EHLO, true},
		{PEN_ORIGIN_POLICY, PEN_STAGE_STARTTLS, true},
		{PEN_ORIGIN_PEER, PEN_STAGE_STARTTLS, true},
		{PEN_ORIGIN_PEER, PEN_STAGE_GREETING, false},
		{PEN_ORIGIN_PEER, PEN_STAGE_HELO, false},
	};
	struct world w;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up(&w, 2);
		ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
		ends(&w, PEN_ATTEMPT_NO_SESSION, 5, rows[i].origin, rows[i].stage);
		is_over(&w, "0 1 ", 5, rows[i].bounces ? PEN_SCOPE_SITE : PEN_SCOPE_SESSION,
			"host 1");
	}
}

static void a_5xx_greeting_that_is_not_to_be_skipped_ends_the_attempt(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 3);
	w.rules.skip_5xx_greeting = false;
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_PEER, PEN_STAGE_GREETING);
	is_over(&w, "0 ", 5, PEN_SCOPE_SITE, "host 0");
}

static void a_family_without_a_source_counts_only_when_nothing_else_is_left(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 2);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	assert_true(next(&w));
	pen_attempt_no_source(&w.a);
	is_over(&w, "0 1 ", 5, PEN_SCOPE_SITE, "host 0");

	set_up(&w, 2);
	assert_true(next(&w));
	pen_attempt_no_source(&w.a);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	is_over(&w, "0 1 ", 5, PEN_SCOPE_SITE, "host 1");

	set_up(&w, 1);
	assert_true(next(&w));
	pen_attempt_no_source(&w.a);
	is_over(&w, "0 ", 4, PEN_SCOPE_SITE,
		"connect to mx0[192.0.2.0]:25: no source address of this family");
}

static void an_attempt_that_is_given_up_is_no_verdict_over_mail(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 2);
	ends(&w, PEN_ATTEMPT_NO_SESSION, 5, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO);
	pen_attempt_stop(&w.a);
	assert_int_equal(w.lease.result.klass, 4);
}

static void the_first_failure_of_a_host_is_what_the_report_says(void **state)
{
	(void)state;
	struct world w;
	struct pen_tls_verdict v = {.event = PEN_TLSRPT_SUCCESS};
	const struct pen_lease_host *h = &w.lease.host[0];

	set_up(&w, 1);
	assert_true(next(&w));
	pen_attempt_note(&w.lease, &v);
	assert_int_equal(h->tls_event, PEN_TLSRPT_SUCCESS);
	v = (struct pen_tls_verdict){.event = PEN_TLSRPT_VALIDATION_FAILURE, .reason = "why"};
	pen_attempt_note(&w.lease, &v);
	v = (struct pen_tls_verdict){.event = PEN_TLSRPT_NONE};
	pen_attempt_note(&w.lease, &v);
	v = (struct pen_tls_verdict){.event = PEN_TLSRPT_SUCCESS};
	pen_attempt_note(&w.lease, &v);
	assert_int_equal(h->tls_event, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_string_equal(h->tls_reason, "why");
}

static void the_rules_of_a_verdict_are_those_of_the_host(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 2);
	w.lease.plain_retry = true;
	w.lease.host[1].tls_remembered = true;
	unreachable(&w);
	assert_false(pen_attempt_rules(&w.lease).remembered);
	assert_true(next(&w));
	struct pen_tls_rules r = pen_attempt_rules(&w.lease);
	assert_true(r.remembered && r.plain_retry);
}

// ---- racing ----

static void make_ip6(struct world *w, unsigned host)
{
	w->lease.host[host].addr.family = PEN_FAMILY_IP6;
}

static int race(struct world *w)
{
	int i = pen_attempt_rival(&w->a);

	if (i >= 0)
		pen_attempt_race(&w->a, (uint8_t)i);
	return i;
}

static void a_rival_is_the_other_family_of_the_name_or_the_next_host(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 4);
	assert_true(next(&w));
	assert_int_equal(race(&w), 1);
	// The same name comes first only with another family...
	set_up(&w, 4);
	w.lease.host[3].name = "mx0";
	make_ip6(&w, 3);
	assert_true(next(&w));
	assert_int_equal(race(&w), 3);
	// ...and another name not at all: it may be less preferred.
	set_up(&w, 4);
	make_ip6(&w, 3);
	assert_true(next(&w));
	assert_int_equal(race(&w), 1);
	assert_int_equal(race(&w), 2);
	assert_int_equal(race(&w), 3);
	assert_int_equal(race(&w), -1);
}

static void a_host_that_its_policy_forbids_or_that_we_have_no_source_for_is_no_rival(void **state)
{
	(void)state;
	struct world w;

	set_up(&w, 3);
	skips(&w, 1, 4);
	assert_true(next(&w));
	assert_int_equal(race(&w), 2);
	assert_int_equal(race(&w), -1);
	assert_int_equal(w.lease.host[1].tls_event, PEN_TLSRPT_NONE);
	set_up(&w, 2);
	make_ip6(&w, 1);
	w.lease.source6.family = PEN_FAMILY_NONE;
	assert_true(next(&w));
	assert_int_equal(race(&w), -1);
	// A retry without TLS is one address's affair.
	set_up(&w, 3);
	ends(&w, PEN_ATTEMPT_RETRY_PLAIN, 4, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS);
	assert_true(next(&w));
	assert_int_equal(race(&w), -1);
}

static void the_loser_of_a_race_has_another_turn_and_a_lost_host_has_not(void **state)
{
	(void)state;
	struct world w;
	char field[PEN_TLS_FIELD_MAX];

	set_up(&w, 3);
	w.policy[1].level = PEN_TLS_ENCRYPT;
	assert_true(next(&w));
	assert_int_equal(race(&w), 1);
	pen_attempt_replace(&w.a, 1, false);
	assert_int_equal(w.lease.host_used, 1);
	pen_tls_field_str(&w.lease.tls_field, field);
	assert_string_equal(field, "encrypt?");
	pen_attempt_ended(&w.a, PEN_ATTEMPT_NO_SESSION, &(struct pen_dsn){.klass = 4});
	unreachable(&w);
	unreachable(&w);
	is_over(&w, "0 0 2 ", 4, PEN_SCOPE_SITE,
		"connect to mx1[192.0.2.2]:25: Connection refused");

	set_up(&w, 3);
	assert_true(next(&w));
	assert_int_equal(race(&w), 1);
	pen_attempt_no_connection(&w.a, 0, PEN_HOST_REFUSED, "Connection refused");
	pen_attempt_replace(&w.a, 1, true);
	pen_attempt_ended(&w.a, PEN_ATTEMPT_NO_SESSION, &(struct pen_dsn){.klass = 4});
	unreachable(&w);
	is_over(&w, "0 2 ", 4, PEN_SCOPE_SITE, "connect to mx1[192.0.2.2]:25: Connection refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_come_in_order_until_one_is_ready),
		cmocka_unit_test(each_host_is_remembered_by_whether_it_answered),
		cmocka_unit_test(a_list_without_hosts_is_a_local_failure),
		cmocka_unit_test(a_plaintext_retry_takes_the_same_address_and_costs_nothing),
		cmocka_unit_test(only_sessions_that_passed_count_for_their_limit),
		cmocka_unit_test(a_temporary_failure_anywhere_keeps_the_mail),
		cmocka_unit_test(the_last_error_decides_when_it_is_told_to),
		cmocka_unit_test(hosts_that_their_policy_forbids_are_passed_over_and_reported),
		cmocka_unit_test(only_refusals_that_concern_the_mail_can_bounce_it),
		cmocka_unit_test(a_5xx_greeting_that_is_not_to_be_skipped_ends_the_attempt),
		cmocka_unit_test(a_family_without_a_source_counts_only_when_nothing_else_is_left),
		cmocka_unit_test(an_attempt_that_is_given_up_is_no_verdict_over_mail),
		cmocka_unit_test(the_first_failure_of_a_host_is_what_the_report_says),
		cmocka_unit_test(the_rules_of_a_verdict_are_those_of_the_host),
		cmocka_unit_test(a_rival_is_the_other_family_of_the_name_or_the_next_host),
		cmocka_unit_test(
			a_host_that_its_policy_forbids_or_that_we_have_no_source_for_is_no_rival),
		cmocka_unit_test(the_loser_of_a_race_has_another_turn_and_a_lost_host_has_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
