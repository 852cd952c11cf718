// SPDX-License-Identifier: BSD-3-Clause

// What the resolver does without a network: set-up errors, next hops that need
// no question, and the end.

#include "pen_dns.h"
#include "pen_test.h"

#include <pthread.h>

static struct pen_params params;
static struct pen_main_cf cf;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct pen_dns_hosts *results[64];
static unsigned nresults;

static int end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < nresults; i++)
		pen_dns_hosts_free(results[i]);
	nresults = 0;
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	return 0;
}

static void load(const char *text)
{
	struct pen_params_env env = {"gw.example.com", "/etc/penstock"};
	struct pen_report report = {0};

	assert_int_equal(pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &report), 0);
	assert_int_equal(pen_params_load(&params, &cf, &env, &report), 0);
}

static void on_result(void *ctx, struct pen_dns_hosts *hosts)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	results[nresults++] = hosts;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void await(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (nresults < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void a_bad_set_up_is_one_sentence(void **state)
{
	(void)state;
	char err[256];

	load("dns_resolv_conf = /nonexistent/resolv.conf\n");
	assert_null(pen_dns_new(&params, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "dns_resolv_conf = /nonexistent/resolv.conf: No such file"));
	end(NULL);
	load("dns_resolv_conf =\ndns_trust_anchor_file = /nonexistent/root.key\n");
	assert_null(pen_dns_new(&params, 1, err, sizeof(err)));
	assert_string_equal(
		err, "dns_trust_anchor_file = /nonexistent/root.key: No such file or directory");
}

static void literals_and_bad_next_hops_need_no_question(void **state)
{
	(void)state;
	char err[256];

	load("dns_resolv_conf =\n");
	struct pen_dns *dns = pen_dns_new(&params, 1, err, sizeof(err));
	assert_non_null(dns);
	assert_int_equal(pen_dns_start(dns), 0);
	assert_int_equal(pen_dns_resolve(dns, PEN_SPAN_LIT("[192.0.2.5]:26"), on_result, NULL), 0);
	await(1);
	assert_int_equal(pen_dns_resolve(dns, PEN_SPAN_LIT("[x"), on_result, NULL), 0);
	await(2);
	assert_int_equal(results[0]->dsn.klass, 2);
	assert_int_equal(results[0]->host[0].port, 26);
	assert_int_equal(results[1]->dsn.klass, 5);
	assert_string_equal(results[1]->dsn.text, "next hop \"[x\": \"[\" without \"]\"");
	pen_dns_free(dns);
	assert_int_equal(nresults, 2);
}

static void every_accepted_request_gets_one_answer_also_at_the_end(void **state)
{
	(void)state;
	char err[256], name[64];

	// A port where nobody answers.
	load("dns_forwarders = 127.0.0.1@1\n");
	struct pen_dns *dns = pen_dns_new(&params, 1, err, sizeof(err));
	assert_non_null(dns);
	assert_int_equal(pen_dns_start(dns), 0);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "d%d.example", i);
		assert_int_equal(pen_dns_resolve(dns, pen_span_cstr(name), on_result, NULL), 0);
	}
	pen_dns_free(dns);
	assert_int_equal(nresults, 50);
	for (unsigned i = 0; i < nresults; i++) {
		assert_int_equal(results[i]->dsn.klass, 4);
		assert_int_equal(results[i]->dsn.detail, 3);
	}
}

static void more_requests_than_the_limit_are_refused(void **state)
{
	(void)state;
	char err[256];

	load("dns_resolv_conf =\n");
	struct pen_dns *dns = pen_dns_new(&params, 1, err, sizeof(err));
	assert_non_null(dns);
	for (int i = 0; i < PEN_DNS_REQUESTS_MAX; i++)
		assert_int_equal(
			pen_dns_resolve(dns, PEN_SPAN_LIT("a.example"), on_result, NULL), 0);
	assert_int_equal(pen_dns_resolve(dns, PEN_SPAN_LIT("a.example"), on_result, NULL), -11);
	pen_dns_free(dns);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_bad_set_up_is_one_sentence),
		TEST(literals_and_bad_next_hops_need_no_question),
		TEST(every_accepted_request_gets_one_answer_also_at_the_end),
		TEST(more_requests_than_the_limit_are_refused),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
