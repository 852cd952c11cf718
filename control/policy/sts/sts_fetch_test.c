// SPDX-License-Identifier: BSD-3-Clause

// What policy hosts do wrong, how long they take, and how many at a time.

#include "sts_bed.h"

static void what_a_policy_host_may_do_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *domain;
		enum pen_tlsrpt_result failure;
		const char *why;
	} cases[] = {
		// O-88
		{"redirect.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "redirect"},
		{"missing.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "not 200"},
		{"error.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "not 200"},
		{"html.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "text/plain"},
		{"typeless.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "text/plain"},
		{"big.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "64 KiB"},
		{"declared.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "64 KiB"},
		{"headers.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "header"},
		{"short.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, ""},
		{"old.example", PEN_TLSRPT_STS_POLICY_FETCH_ERROR, ""},
		{"expired.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "expired"},
		{"wrong.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "ostname mismatch"},
		{"cn.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "ostname mismatch"},
		{"ip.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "ostname mismatch"},
		{"deep.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "ostname mismatch"},
		{"untrusted.example", PEN_TLSRPT_STS_WEBPKI_INVALID, "local issuer"},
		// O-89
		{"bad.example", PEN_TLSRPT_STS_POLICY_INVALID, "no mx"},
	};
	unsigned n = sizeof(cases) / sizeof(cases[0]), webpki = 0;

	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	fake_host_file("bad.example", "version: STSv1\nmode: enforce\nmax_age: 86400\n");
	for (unsigned i = 0; i < n; i++) {
		publish(cases[i].domain, "1");
		if (cases[i].failure == PEN_TLSRPT_STS_WEBPKI_INVALID)
			fake_host_file(cases[i].domain, POLICY("enforce", "a.example", "86400"));
		ask(cases[i].domain);
		if (!LAST.policy || LAST.failure != cases[i].failure)
			fail_msg("%s: %s", cases[i].domain, pen_tlsrpt_result_name(LAST.failure));
		assert_string_equal(LAST.domain, cases[i].domain);
		expect_why(cases[i].domain, cases[i].why);
		webpki += cases[i].failure == PEN_TLSRPT_STS_WEBPKI_INVALID;
	}
	assert_int_equal(counter("webpki_invalid"), webpki);
	assert_int_equal(counter("invalid"), 1);
	assert_int_equal(counter("fetch_errors"), n - webpki - 1);
	assert_int_equal(counter("fetches"), 1);
	// Nobody with a certificate that is refused got to see the request.
	assert_int_equal(fake_host_requests("cn.example"), 0);
	assert_int_equal(fake_host_requests("expired.example"), 0);
}

static void a_wildcard_certificate_of_one_label_will_do(void **state)
{
	(void)state;
	publish("wild.example", "1");
	fake_host_file("wild.example", POLICY("enforce", "a.example", "86400"));
	ask("wild.example");
	expect_policy(PEN_STS_ENFORCE, "1");
}

static void a_policy_host_without_address_is_a_failure(void **state)
{
	(void)state;
	fake_dns_set("_mta-sts.ok.example", PEN_DNS_TXT, "v=STSv1; id=1;");
	ask("ok.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	expect_why("ok.example", "no address");
}

static void one_address_that_answers_is_enough(void **state)
{
	(void)state;
	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	fake_dns_set("mta-sts.ok.example", PEN_DNS_AAAA, "::1");
	ask("ok.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "86400"));
	fake_dns_fail("mta-sts.one.example", PEN_DNS_AAAA, PEN_DNS_FAILED);
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
}

static void a_lookup_does_not_wait_for_a_slow_host(void **state)
{
	(void)state;
	publish("silent.example", "1");
	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	pen_sts_lookup(service, "silent.example", on_policy, NULL);
	// Others are served meanwhile.
	ask("ok.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	while (fake_host_requests("silent.example") == 0)
		event_base_loop(fake_base, EVLOOP_ONCE);
	fake_time_pass(10);
	sts_service_tick(service);
	assert_int_equal(nanswers, 1);
	fake_time_pass(11);
	sts_service_tick(service);
	assert_int_equal(nanswers, 2);
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	assert_int_equal(counter("timeouts"), 1);
	// The fetch goes on for those who come later.
	assert_int_equal(service->fetches, 1);
	pen_sts_lookup(service, "silent.example", on_policy, NULL);
	fake_time_pass(21);
	sts_service_tick(service);
	assert_int_equal(nanswers, 3);
	assert_int_equal(fake_host_requests("silent.example"), 1);
}

static void a_fetch_that_outlives_its_lookup_fills_the_cache(void **state)
{
	(void)state;
	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	fake_dns_hold("mta-sts.ok.example", PEN_DNS_AAAA);
	pen_sts_lookup(service, "ok.example", on_policy, NULL);
	event_base_loop(fake_base, EVLOOP_ONCE);
	fake_time_pass(21);
	sts_service_tick(service);
	await(1);
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	fake_dns_release();
	settle();
	ask("ok.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_int_equal(counter("cached"), 1);
}

static void dns_that_does_not_answer_ends_the_job(void **state)
{
	(void)state;
	fake_dns_hold("_mta-sts.a.example", PEN_DNS_TXT);
	publish("b.example", "1");
	fake_dns_hold("mta-sts.b.example", PEN_DNS_A);
	pen_sts_lookup(service, "a.example", on_policy, NULL);
	pen_sts_lookup(service, "b.example", on_policy, NULL);
	// The record of b, then the address that does not come.
	while (service->fetches == 0)
		event_base_loop(fake_base, EVLOOP_ONCE);
	fake_time_pass(61);
	sts_service_tick(service);
	assert_int_equal(service->running, 0);
	assert_int_equal(service->fetches, 0);
	await(2);
	// Late answers meet nobody.
	fake_dns_release();
	settle();
	assert_true(service->jobs.next == &service->jobs);
	assert_int_equal(nanswers, 2);
}

static void a_body_that_drips_is_cut_off_by_time(void **state)
{
	(void)state;
	publish("slow.example", "1");
	stop();
	fake_env.fetch_ms = 300;
	start("");
	ask("slow.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	expect_why("slow.example", "Timeout");
}

static void fetches_in_flight_are_bounded(void **state)
{
	(void)state;
	char domain[64], name[128];

	for (int i = 0; i < 100; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		publish(domain, "1");
		snprintf(name, sizeof(name), "mta-sts.d%d.example", i);
		fake_dns_hold(name, PEN_DNS_A);
		pen_sts_lookup(service, domain, on_policy, NULL);
	}
	while (service->fetches + service->queued < 100)
		event_base_loop(fake_base, EVLOOP_ONCE);
	assert_int_equal(service->fetches, STS_FETCHES_MAX);
	assert_int_equal(service->queued, 100 - STS_FETCHES_MAX);
	// Those who wait get the places of those who are done.
	fake_time_pass(61);
	sts_service_tick(service);
	assert_int_equal(service->fetches, 100 - STS_FETCHES_MAX);
	assert_int_equal(service->queued, 0);
	await(100);
	fake_time_pass(61);
	sts_service_tick(service);
	assert_int_equal(service->running, 0);
	fake_dns_release();
	while (service->jobs.next != &service->jobs)
		event_base_loop(fake_base, EVLOOP_ONCE);
}

static void stopping_in_the_middle_leaves_nothing_behind(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("silent.example");

	publish("silent.example", "1");
	pen_sts_lookup(service, "silent.example", on_policy, NULL);
	while (fake_host_requests("silent.example") == before)
		event_base_loop(fake_base, EVLOOP_ONCE);
	fake_dns_hold("_mta-sts.a.example", PEN_DNS_TXT);
	pen_sts_lookup(service, "a.example", on_policy, NULL);
	pen_sts_lookup(service, "not a domain", on_policy, NULL);
	stop(); // the sanitizers look at the rest
	assert_int_equal(nanswers, 0);
}

static void lookups_of_one_domain_share_a_fetch(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("ok.example"), asked = fake_questions;

	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	for (int i = 0; i < 100; i++)
		pen_sts_lookup(service, i % 2 ? "ok.example" : "OK.Example", on_policy, NULL);
	await(100);
	for (unsigned i = 0; i < nanswers; i++)
		assert_true(answers[i].policy && answers[i].mode == PEN_STS_ENFORCE);
	assert_int_equal(fake_host_requests("ok.example"), before + 1);
	assert_int_equal(fake_questions - asked, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(what_a_policy_host_may_do_wrong),
		TEST(a_wildcard_certificate_of_one_label_will_do),
		TEST(a_policy_host_without_address_is_a_failure),
		TEST(one_address_that_answers_is_enough),
		TEST(a_lookup_does_not_wait_for_a_slow_host),
		TEST(a_fetch_that_outlives_its_lookup_fills_the_cache),
		TEST(dns_that_does_not_answer_ends_the_job),
		TEST(a_body_that_drips_is_cut_off_by_time),
		TEST(fetches_in_flight_are_bounded),
		TEST(stopping_in_the_middle_leaves_nothing_behind),
		TEST(lookups_of_one_domain_share_a_fetch),
	};
	return cmocka_run_group_tests(all, bed_host_begin, bed_host_end);
}
