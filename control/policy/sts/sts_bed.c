// SPDX-License-Identifier: BSD-3-Clause
#include "sts_bed.h"

#include "pen_log.h"

#include <signal.h>

struct pen_params params;
static struct pen_main_cf cf;
struct pen_sts_service *service;
char spool[64];

struct bed_answer answers[ANSWERS_MAX];
unsigned nanswers;

void load_params(const char *more)
{
	struct pen_params_env env = {"gw.example.com", "/etc/penstock"};
	struct pen_report report = {0};
	static char text[1024];

	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	snprintf(text, sizeof(text), "queue_directory = %s\nmta_sts_CAfile = %s/ca.pem\n%s", spool,
		fake_dir, more);
	assert_int_equal(pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &report), 0);
	assert_int_equal(pen_params_load(&params, &cf, &env, &report), 0);
}

void start(const char *more)
{
	char err[256] = "";

	load_params(more);
	fake_base = event_base_new();
	service = sts_service_new(&params, &fake_env, err, sizeof(err));
	if (service == NULL)
		fail_msg("%s", err);
}

// The order of the daemon: the loop first, then what lived on it.
void stop(void)
{
	if (service == NULL)
		return;
	event_base_free(fake_base);
	pen_sts_service_free(service);
	service = NULL;
}

int bed_begin(void **state)
{
	(void)state;
	snprintf(spool, sizeof(spool), "/tmp/pen-sts-spool-XXXXXX");
	assert_non_null(mkdtemp(spool));
	nanswers = 0;
	fake_env.fetch_ms = 60000;
	start("");
	return 0;
}

int bed_end(void **state)
{
	char cmd[128];

	(void)state;
	stop();
	fake_dns_clear();
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", spool);
	return system(cmd);
}

uint64_t counter(const char *name)
{
	struct pen_counter_set set = pen_sts_counters_of(service);

	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.desc[i].name, name) == 0)
			return pen_counter_read(&set.value[i]);
	}
	fail_msg("no counter %s", name);
	return 0;
}

void on_policy(void *ctx, const struct pen_sts_policy *p)
{
	(void)ctx;
	assert_true(nanswers < ANSWERS_MAX);
	memset(&answers[nanswers], 0, sizeof(answers[0]));
	if (p != NULL) {
		answers[nanswers].policy = true;
		answers[nanswers].mode = p->mode;
		answers[nanswers].failure = p->failure;
		strcpy(answers[nanswers].domain, p->domain);
		strcpy(answers[nanswers].id, p->id);
		strcpy(answers[nanswers].mx, p->nmx > 0 ? p->mx[0] : "");
	}
	nanswers++;
}

void await(unsigned n)
{
	pen_time_us limit = pen_clock_mono() + 20 * PEN_US_PER_S;

	while (nanswers < n) {
		event_base_loop(fake_base, EVLOOP_ONCE);
		if (pen_clock_mono() > limit)
			fail_msg("%u of %u answers", nanswers, n);
	}
	assert_int_equal(nanswers, n);
}

// settle runs until nothing is going on.
void settle(void)
{
	pen_time_us limit = pen_clock_mono() + 20 * PEN_US_PER_S;

	while (service->running > 0 || service->ready.next != &service->ready) {
		event_base_loop(fake_base, EVLOOP_ONCE);
		assert_true(pen_clock_mono() < limit);
	}
}

void ask(const char *domain)
{
	pen_sts_lookup(service, domain, on_policy, NULL);
	await(nanswers + 1);
}

void publish(const char *domain, const char *id)
{
	char name[300], record[100];

	snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	snprintf(record, sizeof(record), "v=STSv1; id=%s;", id);
	fake_dns_set(name, PEN_DNS_TXT, record);
	snprintf(name, sizeof(name), "mta-sts.%s", domain);
	fake_dns_set(name, PEN_DNS_A, "127.0.0.1");
}

void withdraw(const char *domain)
{
	char name[300];

	snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	fake_dns_fail(name, PEN_DNS_TXT, PEN_DNS_NXDOMAIN);
}

void expect_policy(enum pen_sts_mode mode, const char *id)
{
	assert_true(LAST.policy);
	assert_int_equal(LAST.failure, PEN_TLSRPT_NONE);
	assert_int_equal(LAST.mode, mode);
	assert_string_equal(LAST.id, id);
}

void expect_failure(enum pen_tlsrpt_result failure)
{
	assert_true(LAST.policy);
	assert_string_equal(pen_tlsrpt_result_name(LAST.failure), pen_tlsrpt_result_name(failure));
	assert_int_equal(LAST.mode, PEN_STS_NONE);
}

static char why[256];

static void on_info(void *ctx, const struct pen_sts_info *info)
{
	(void)ctx;
	snprintf(why, sizeof(why), "%s", info->why);
}

void expect_why(const char *domain, const char *text)
{
	why[0] = '\0';
	pen_sts_each(service, domain, on_info, NULL);
	if (strstr(why, text) == NULL)
		fail_msg("%s: \"%s\" has no \"%s\"", domain, why, text);
}

int bed_host_begin(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	pen_log_set_level(PEN_LOG_ERROR);
	fake_host_start();
	return 0;
}

int bed_host_end(void **state)
{
	(void)state;
	fake_host_stop();
	return 0;
}
