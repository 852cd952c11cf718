// SPDX-License-Identifier: BSD-3-Clause

// What lookups are answered, from the network, the cache and the disk.

#include "sts_bed.h"

#include <errno.h>

static void a_policy_is_found_and_then_cached(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("ok.example");

	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "*.Example.com", "86400"));
	ask("OK.example.");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_string_equal(LAST.domain, "ok.example");
	assert_string_equal(LAST.mx, "*.example.com");
	for (int i = 0; i < 5; i++)
		ask("ok.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_int_equal(fake_host_requests("ok.example"), before + 1);
	assert_int_equal(counter("cached"), 5);
	assert_int_equal(counter("fetches"), 1);
	assert_int_equal(counter("records"), 1);
	assert_int_equal(counter("lookups"), 6);
}

static void an_answer_never_comes_inside_the_question(void **state)
{
	(void)state;
	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("enforce", "a.example", "86400"));
	ask("ok.example");
	pen_sts_lookup(service, "ok.example", on_policy, NULL);
	pen_sts_lookup(service, "not a domain", on_policy, NULL);
	fake_dns_refuse(-EAGAIN);
	pen_sts_lookup(service, "other.example", on_policy, NULL);
	assert_int_equal(nanswers, 1);
	await(4);
}

static void a_domain_without_record_has_no_policy(void **state)
{
	(void)state;
	char name[300];

	ask("none.example");
	assert_false(LAST.policy);
	fake_dns_set("_mta-sts.nodata.example", PEN_DNS_TXT, "");
	ask("nodata.example");
	assert_false(LAST.policy);
	fake_dns_set("_mta-sts.other.example", PEN_DNS_TXT, "v=spf1 -all|v=STSv2; id=1");
	ask("other.example");
	assert_false(LAST.policy);
	// O-87
	fake_dns_set("_mta-sts.two.example", PEN_DNS_TXT, "v=STSv1; id=1;|v=STSv1; id=2;");
	ask("two.example");
	assert_false(LAST.policy);
	ask("[192.0.2.1]");
	assert_false(LAST.policy);
	ask("../../etc/passwd");
	assert_false(LAST.policy);
	memset(name, 'a', 250);
	for (int i = 50; i < 250; i += 50)
		name[i] = '.';
	name[250] = '\0';
	ask(name);
	assert_false(LAST.policy);
	// Nothing of this stays.
	assert_int_equal(service->cache.n, 0);
	assert_int_equal(counter("fetch_errors"), 0);
}

static void a_record_that_cannot_be_looked_up_is_a_failure(void **state)
{
	(void)state;
	fake_dns_fail("_mta-sts.a.example", PEN_DNS_TXT, PEN_DNS_FAILED);
	ask("a.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	fake_dns_fail("_mta-sts.a.example", PEN_DNS_TXT, PEN_DNS_BOGUS);
	ask("a.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	// It is not held against the domain.
	publish("ok.example", "1");
	fake_host_file("ok.example", POLICY("testing", "a.example", "86400"));
	fake_dns_refuse(-EAGAIN);
	ask("ok.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	fake_dns_refuse(0);
	ask("ok.example");
	expect_policy(PEN_STS_TESTING, "1");
}

static void a_failure_is_remembered_for_its_id(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("three.example");

	publish("three.example", "1");
	for (int i = 0; i < 3; i++) {
		ask("three.example");
		expect_failure(PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	}
	assert_int_equal(fake_host_requests("three.example"), before + 1);
	// Another id is tried at once, the same one after 5 minutes.
	publish("three.example", "2");
	ask("three.example");
	assert_int_equal(fake_host_requests("three.example"), before + 2);
	fake_time_pass(280);
	ask("three.example");
	assert_int_equal(fake_host_requests("three.example"), before + 2);
	fake_host_file("three.example", POLICY("enforce", "a.example", "86400"));
	fake_time_pass(21);
	ask("three.example");
	expect_policy(PEN_STS_ENFORCE, "2");
	assert_int_equal(fake_host_requests("three.example"), before + 3);
}

// Moves past the time in which the record is not asked again.
static void let_record_age(void)
{
	fake_time_pass(61);
}

static void a_new_id_is_fetched_in_the_background(void **state)
{
	(void)state;
	publish("one.example", "1");
	fake_host_file("one.example", POLICY("testing", "a.example", "86400"));
	ask("one.example");
	expect_policy(PEN_STS_TESTING, "1");
	publish("one.example", "2");
	fake_host_file("one.example", POLICY("enforce", "b.example", "86400"));
	ask("one.example"); // the record is too young to ask again
	settle();
	ask("one.example");
	expect_policy(PEN_STS_TESTING, "1");
	let_record_age();
	ask("one.example"); // answered at once, asked behind it
	expect_policy(PEN_STS_TESTING, "1");
	settle();
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "2");
	assert_string_equal(LAST.mx, "b.example");
	assert_int_equal(counter("refreshed"), 1);
}

static void the_same_id_is_not_fetched_again_within_a_day(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("one.example");

	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	for (int i = 0; i < 22; i++) {
		ask("one.example");
		settle();
		fake_time_pass(3700);
	}
	assert_int_equal(fake_host_requests("one.example"), before + 1);
	assert_true(counter("records") > 20);
	fake_time_pass(2 * 3700);
	ask("one.example");
	settle();
	assert_int_equal(fake_host_requests("one.example"), before + 2);
	assert_int_equal(counter("refreshed"), 1);
}

static void sweep_all(void)
{
	fake_time_pass(2);
	sts_service_tick(service);
	settle();
}

static void a_domain_in_use_is_refreshed_daily_by_itself(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("one.example");

	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	fake_time_pass(80000);
	ask("one.example");
	settle();
	unsigned asked = fake_questions;
	fake_time_pass(3700);
	sweep_all();
	assert_int_equal(fake_host_requests("one.example"), before + 1);
	assert_int_equal(fake_questions, asked);
	fake_time_pass(2800);
	sweep_all();
	assert_int_equal(fake_host_requests("one.example"), before + 2);
	assert_int_equal(counter("lookups"), 2);
	assert_int_equal(counter("refreshed"), 1);
	// Nobody asked for it since: it rests, and then goes.
	fake_time_pass(100000);
	sweep_all();
	assert_int_equal(fake_host_requests("one.example"), before + 2);
	assert_int_equal(service->cache.n, 1);
	fake_time_pass(604800);
	sweep_all();
	assert_int_equal(service->cache.n, 0);
}

// O-90
static void a_cached_policy_outlives_its_record_and_its_host(void **state)
{
	(void)state;
	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	withdraw("one.example");
	for (int i = 0; i < 6; i++) {
		fake_time_pass(100000);
		sweep_all();
		ask("one.example");
		expect_policy(PEN_STS_ENFORCE, "1");
		settle();
	}
	// The record is back with another id; the host serves nonsense.
	publish("one.example", "2");
	fake_host_file("one.example", "nonsense");
	let_record_age();
	ask("one.example");
	settle();
	assert_int_equal(counter("invalid"), 1);
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	fake_dns_fail("_mta-sts.one.example", PEN_DNS_TXT, PEN_DNS_FAILED);
	let_record_age();
	ask("one.example");
	settle();
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	withdraw("one.example");
	fake_time_pass(10000);
	ask("one.example");
	assert_false(LAST.policy);
}

static void mode_none_withdraws(void **state)
{
	(void)state;
	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	publish("one.example", "2");
	fake_host_file("one.example", "version: STSv1\nmode: none\nmax_age: 100\n");
	let_record_age();
	ask("one.example");
	settle();
	ask("one.example");
	expect_policy(PEN_STS_NONE, "2");
}

static void a_live_check_sees_a_new_policy_before_it_answers(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("one.example");

	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	pen_sts_refresh(service, "one.example", on_policy, NULL);
	await(2);
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_int_equal(fake_host_requests("one.example"), before + 1);
	publish("one.example", "2");
	fake_host_file("one.example", POLICY("enforce", "b.example", "604800"));
	pen_sts_refresh(service, "one.example", on_policy, NULL);
	await(3);
	expect_policy(PEN_STS_ENFORCE, "2");
	// A host that does not answer changes nothing.
	publish("one.example", "3");
	fake_dns_hold("mta-sts.one.example", PEN_DNS_A);
	pen_sts_refresh(service, "one.example", on_policy, NULL);
	while (service->fetches == 0)
		event_base_loop(fake_base, EVLOOP_ONCE);
	fake_time_pass(21);
	sts_service_tick(service);
	await(4);
	expect_policy(PEN_STS_ENFORCE, "2");
	pen_sts_refresh(service, "one.example", NULL, NULL);
}

static void a_policy_of_no_age_is_good_for_those_who_waited(void **state)
{
	(void)state;
	unsigned before = fake_host_requests("one.example");

	publish("one.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "0"));
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_int_equal(fake_host_requests("one.example"), before + 2);
	sweep_all();
	assert_int_equal(service->cache.n, 0);
}

static void restart(const char *more)
{
	stop();
	start(more);
}

static void the_cache_survives_a_restart(void **state)
{
	(void)state;
	publish("one.example", "1");
	publish("two.example", "7");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	fake_host_file("two.example", POLICY("testing", "*.b.example", "1000"));
	ask("one.example");
	ask("two.example");
	fake_time_pass(900);
	restart("");
	withdraw("one.example");
	withdraw("two.example");
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_string_equal(LAST.domain, "one.example");
	ask("two.example");
	expect_policy(PEN_STS_TESTING, "7");
	assert_string_equal(LAST.mx, "*.b.example");
	assert_int_equal(counter("fetches"), 0);
	assert_int_equal(counter("cached"), 2);
	// Its age counts from the fetch, not from the restart.
	fake_time_pass(101);
	ask("two.example");
	assert_false(LAST.policy);
	fake_time_pass(604800);
	restart("");
	assert_int_equal(service->cache.n, 0);
}

static void a_damaged_cache_file_is_fetched_anew(void **state)
{
	(void)state;
	char path[256];

	publish("one.example", "1");
	publish("two.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	fake_host_file("two.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	ask("two.example");
	stop();
	snprintf(path, sizeof(path), "%s/mta-sts/one.example", spool);
	FILE *f = fopen(path, "r+");
	assert_non_null(f);
	fseek(f, -30, SEEK_END);
	fputc('#', f);
	fclose(f);
	start("");
	assert_int_equal(counter("bad_files"), 1);
	withdraw("two.example");
	ask("two.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_int_equal(counter("fetches"), 1);
}

// peers.md, pain 2: both domains have their mail at one set of hosts.
static void a_broken_policy_is_its_own_domains_alone(void **state)
{
	(void)state;
	publish("one.example", "1");
	publish("bad.example", "1");
	publish("two.example", "1");
	fake_host_file("one.example", POLICY("enforce", "mx.shared.example", "604800"));
	fake_host_file("bad.example", "version: STSv1\nmode: enforce\nmx: mx.shared.example\n");
	fake_host_file("two.example", POLICY("enforce", "mx.elsewhere.example", "604800"));
	pen_sts_lookup(service, "bad.example", on_policy, NULL);
	pen_sts_lookup(service, "two.example", on_policy, NULL);
	pen_sts_lookup(service, "one.example", on_policy, NULL);
	await(3);
	ask("bad.example");
	expect_failure(PEN_TLSRPT_STS_POLICY_INVALID);
	ask("two.example");
	assert_string_equal(LAST.mx, "mx.elsewhere.example");
	ask("one.example");
	expect_policy(PEN_STS_ENFORCE, "1");
	assert_string_equal(LAST.mx, "mx.shared.example");
}

static void the_cache_is_bounded(void **state)
{
	(void)state;
	restart("mta_sts_cache_size = 2\n");
	publish("one.example", "1");
	publish("two.example", "1");
	publish("ok.example", "1");
	fake_host_file("one.example", POLICY("enforce", "a.example", "604800"));
	fake_host_file("two.example", POLICY("testing", "a.example", "604800"));
	fake_host_file("ok.example", POLICY("enforce", "a.example", "604800"));
	ask("one.example");
	ask("two.example");
	ask("ok.example");
	assert_int_equal(counter("evicted"), 1);
	// What has no policy pushes nobody out, nor what may have one.
	ask("none.example");
	fake_dns_hold("_mta-sts.busy.example", PEN_DNS_TXT);
	pen_sts_lookup(service, "busy.example", on_policy, NULL);
	publish("ok.example", "2");
	pen_sts_refresh(service, "ok.example", on_policy, NULL);
	await(5);
	expect_policy(PEN_STS_ENFORCE, "2");
	assert_int_equal(counter("evicted"), 1);
	fake_dns_release();
	settle();
	restart("");
	assert_int_equal(service->cache.n, 2);
	assert_null(sts_cache_find(&service->cache, "two.example"));
}

static struct pen_sts_info listed;
static unsigned nlisted;

static void on_listed(void *ctx, const struct pen_sts_info *info)
{
	(void)ctx;
	listed = *info;
	nlisted++;
}

static void what_is_known_can_be_listed(void **state)
{
	(void)state;
	pen_wall_us now = fake_env.wall();

	publish("one.example", "1");
	publish("three.example", "5");
	publish("html.example", "1");
	fake_host_file("one.example", POLICY("testing", "a.example", "604800"));
	ask("one.example");
	ask("html.example");
	pen_sts_each(service, NULL, on_listed, NULL);
	assert_int_equal(nlisted, 2);
	pen_sts_each(service, "one.example", on_listed, NULL);
	assert_int_equal(nlisted, 3);
	assert_string_equal(listed.domain, "one.example");
	assert_string_equal(listed.policy->id, "1");
	assert_true(listed.fetched >= now && listed.used >= now && !listed.busy);
	assert_int_equal(listed.expires, listed.fetched + 604800 * PEN_US_PER_S);
	assert_int_equal(listed.failure, PEN_TLSRPT_NONE);
	assert_string_equal(listed.why, "");
	pen_sts_each(service, "html.example", on_listed, NULL);
	assert_null(listed.policy);
	assert_int_equal(listed.failure, PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	assert_true(listed.retry > now + 299 * PEN_US_PER_S);
	fake_dns_hold("_mta-sts.three.example", PEN_DNS_TXT);
	pen_sts_lookup(service, "three.example", on_policy, NULL);
	pen_sts_each(service, "three.example", on_listed, NULL);
	assert_true(listed.busy && listed.policy == NULL);
}

static void bad_set_up_is_one_sentence(void **state)
{
	(void)state;
	char err[256];

	load_params("mta_sts_CAfile = /nonexistent/ca.pem\n");
	assert_null(sts_service_new(&params, &fake_env, err, sizeof(err)));
	assert_string_equal(err, "mta_sts_CAfile = /nonexistent/ca.pem: No such file or directory");
	load_params("queue_directory = /nonexistent/spool\n");
	assert_null(sts_service_new(&params, &fake_env, err, sizeof(err)));
	assert_string_equal(err, "/nonexistent/spool/mta-sts: No such file or directory");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_begin, bed_end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_policy_is_found_and_then_cached),
		TEST(an_answer_never_comes_inside_the_question),
		TEST(a_domain_without_record_has_no_policy),
		TEST(a_record_that_cannot_be_looked_up_is_a_failure),
		TEST(a_failure_is_remembered_for_its_id),
		TEST(a_new_id_is_fetched_in_the_background),
		TEST(the_same_id_is_not_fetched_again_within_a_day),
		TEST(a_domain_in_use_is_refreshed_daily_by_itself),
		TEST(a_cached_policy_outlives_its_record_and_its_host),
		TEST(mode_none_withdraws),
		TEST(a_live_check_sees_a_new_policy_before_it_answers),
		TEST(a_policy_of_no_age_is_good_for_those_who_waited),
		TEST(the_cache_survives_a_restart),
		TEST(a_damaged_cache_file_is_fetched_anew),
		TEST(a_broken_policy_is_its_own_domains_alone),
		TEST(the_cache_is_bounded),
		TEST(what_is_known_can_be_listed),
		TEST(bad_set_up_is_one_sentence),
	};
	return cmocka_run_group_tests(all, bed_host_begin, bed_host_end);
}
