// SPDX-License-Identifier: BSD-3-Clause
#include "pen_params.h"
#include "pen_test.h"
#include "report_lines.h"

static struct pen_main_cf cf;
static struct pen_params params;
static struct report_lines lines;

static int end(void **state)
{
	(void)state;
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	report_lines_fini(&lines);
	return 0;
}

static int load(const char *text)
{
	static const struct pen_params_env env = {"gw1.example.com", "/etc/penstock"};

	end(NULL);
	report_lines_init(&lines);
	assert_int_equal(pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &lines.report), 0);
	return pen_params_load(&params, &cf, &env, &lines.report);
}

static void an_empty_file_gives_postfix_defaults(void **state)
{
	(void)state;
	assert_int_equal(load(""), 0);
	assert_string_equal(report_lines_text(&lines), "");
	assert_string_equal(params.myhostname, "gw1.example.com");
	assert_string_equal(params.mydomain, "example.com");
	assert_string_equal(params.myorigin, "gw1.example.com");
	assert_string_equal(params.smtpd_banner, "gw1.example.com ESMTP Penstock");
	assert_string_equal(params.config_directory, "/etc/penstock");
	assert_int_equal(params.message_size_limit, 10240000);
	assert_int_equal(params.maximal_queue_lifetime, 5 * 86400 * PEN_US_PER_S);
	assert_string_equal(params.smtp_tls_security_level, "");
	assert_int_equal(pen_params_line(&params, "smtp_use_tls"), 0);
	assert_true(params.smtp_randomize_addresses);
	assert_int_equal(params.mynetworks.n, 2);
	assert_int_equal(params.mynetworks.item[1].bits, 128);
	assert_int_equal(params.smtpd_listen.item[0].port, 25);

	struct pen_smtp_timeouts want = PEN_SMTP_TIMEOUTS_DEFAULT;
	struct pen_smtp_timeouts got = pen_params_timeouts(&params);
	assert_memory_equal(&got, &want, sizeof(want));
}

static void values_are_expanded_and_typed(void **state)
{
	(void)state;
	assert_int_equal(load("myhostname = mail.$mydomain\n"
			      "mydomain = example.org\n"
			      "my_timeout = 2m\n"
			      "smtp_connect_timeout = $my_timeout\n"
			      "maximal_queue_lifetime = 2\n"
			      "message_size_limit = 20m\n"
			      "soft_bounce = YES\n"
			      "smtp_tls_security_level = encrypt\n"
			      "smtpd_listen = 127.0.0.1:2525, [::1]:587\n"
			      "dns_forwarders = 127.0.0.1@5353 192.0.2.53\n"
			      "dns_stub_zones = example.test.=127.0.0.1@5300\n"),
		0);
	assert_string_equal(report_lines_text(&lines), "");
	assert_string_equal(params.myhostname, "mail.example.org");
	assert_int_equal(params.smtp_connect_timeout, 120 * PEN_US_PER_S);
	assert_int_equal(params.maximal_queue_lifetime, 2 * 86400 * PEN_US_PER_S);
	assert_int_equal(params.message_size_limit, 20 << 20);
	assert_true(params.soft_bounce);
	assert_string_equal(params.smtp_tls_security_level, "encrypt");
	assert_int_equal(params.smtpd_listen.item[1].port, 587);
	assert_int_equal(params.smtpd_listen.item[1].addr.family, PEN_FAMILY_IP6);
	assert_int_equal(params.dns_forwarders.item[0].port, 5353);
	assert_int_equal(params.dns_forwarders.item[1].port, 53);
	assert_string_equal(params.dns_stub_zones.item[0].zone, "example.test");
	assert_int_equal(params.dns_stub_zones.item[0].server.port, 5300);
}

static void bad_values_are_all_refused_with_line_value_and_range(void **state)
{
	(void)state;
	assert_int_equal(load("smtpd_recipient_limit = many\n"
			      "smtp_connect_timeout = 2y\n"
			      "soft_bounce = maybe\n"
			      "smtp_tls_ciphers = good\n"
			      "mynetworks = 10.0.0.1/8\n"
			      "smtpd_listen = localhost:25\n"
			      "myhostname = bad_-.example..com\n"
			      "message_size_limit = 1\n"
			      "dns_stub_zones = example.test\n"
			      "smtp_rset_timeout = $smtp_rset_timeout\n"
			      "smtp_mx_address_limit = 33\n"
			      "bounce_size_limit =\n"),
		-22);
	assert_string_equal(report_lines_text(&lines),
		"main.cf:7: error: myhostname = bad_-.example..com: accepted is a host name: "
		"letters, "
		"digits and \"-\" in labels joined by \".\"\n"
		"main.cf:8: error: message_size_limit = 1: accepted is a number from 1024 to "
		"1073741824 (k, m and g may follow)\n"
		"main.cf:5: error: mynetworks = 10.0.0.1/8: accepted is a list of networks such as "
		"10.0.0.0/8 or [2001:db8::]/32, host bits zero; \"10.0.0.1/8\" is none\n"
		"main.cf:6: error: smtpd_listen = localhost:25: accepted is a list of address:port "
		"such as 127.0.0.1:25 or [::1]:25; \"localhost:25\" is none\n"
		"main.cf:1: error: smtpd_recipient_limit = many: accepted is a number from 1 to "
		"100000\n"
		"main.cf:12: error: bounce_size_limit = : accepted is a number from 0 to "
		"1073741824 "
		"(k, m and g may follow)\n"
		"main.cf:3: error: soft_bounce = maybe: accepted is yes or no\n"
		"main.cf:2: error: smtp_connect_timeout = 2y: accepted is a time from 1s to 1h: a "
		"number with s, m, h, d or w (none means s)\n"
		"main.cf:11: error: smtp_mx_address_limit = 33: accepted is a number from 0 to 32\n"
		"main.cf:10: error: smtp_rset_timeout: $smtp_rset_timeout refers to itself\n"
		"main.cf:4: error: smtp_tls_ciphers = good: accepted is one of medium, high, null, "
		"low, export\n"
		"main.cf:9: error: dns_stub_zones = example.test: accepted is a list of "
		"zone=address@port such as example.test=127.0.0.1@5353; \"example.test\" is "
		"none\n");
	assert_int_equal(params.smtpd_recipient_limit, 1000);
}

static void unknown_names_are_warned_about_unless_something_uses_them(void **state)
{
	(void)state;
	assert_int_equal(
		load("indirect = $mine\nmine = relay.example.com\nrelayhost = [$indirect]\n"
		     "realyhost = x\nmydestination = y\n"),
		0);
	assert_string_equal(params.relayhost, "[relay.example.com]");
	assert_string_equal(report_lines_text(&lines),
		"main.cf:4: warning: unused parameter: realyhost=x (did you mean relayhost?)\n"
		"main.cf:5: warning: unused parameter: mydestination=y\n");
}

static void a_host_name_loop_is_an_error_and_not_a_crash(void **state)
{
	(void)state;
	assert_int_equal(load("myhostname = mx.$mydomain\nmydomain = $myhostname\n"), -22);
	assert_true(lines.report.errors >= 2);
	assert_non_null(params.myhostname);
	assert_non_null(params.smtpd_banner);
}

static void show_one(void *ctx, const struct pen_param_desc *desc, const char *value)
{
	pen_buf_addf(ctx, "%s=%s\n", desc->name, value);
}

static void show_prints_what_was_written_or_what_it_means(void **state)
{
	(void)state;
	struct pen_buf out = PEN_BUF_INIT;

	load("smtp_helo_name = out.$mydomain\nmaillog_file =\n");
	pen_params_each(&params, PEN_SHOW_CHANGED, show_one, &out);
	pen_params_each(&params, PEN_SHOW_CHANGED | PEN_SHOW_EXPANDED, show_one, &out);
	assert_true(
		pen_span_eq(pen_buf_span(&out), PEN_SPAN_LIT("maillog_file=\n"
							     "smtp_helo_name=out.$mydomain\n"
							     "maillog_file=\n"
							     "smtp_helo_name=out.example.com\n")));
	pen_buf_reset(&out);
	pen_params_each(&params, 0, show_one, &out);
	pen_buf_add(&out, "", 1);
	assert_non_null(strstr((char *)out.p, "\nmyorigin=$myhostname\n"));
	assert_non_null(strstr((char *)out.p, "\nmyhostname=gw1.example.com\n"));
	pen_buf_fini(&out);
}

static void every_parameter_has_a_default_that_its_own_check_accepts(void **state)
{
	(void)state;
	load("");
	for (size_t i = 0; i < pen_param_count; i++) {
		assert_non_null(params.expanded[i]);
		assert_true(strlen(pen_param_table[i].doc) > 10);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(pen_param_table[i].name, pen_param_table[j].name);
	}
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(an_empty_file_gives_postfix_defaults),
		TEST(values_are_expanded_and_typed),
		TEST(bad_values_are_all_refused_with_line_value_and_range),
		TEST(unknown_names_are_warned_about_unless_something_uses_them),
		TEST(a_host_name_loop_is_an_error_and_not_a_crash),
		TEST(show_prints_what_was_written_or_what_it_means),
		TEST(every_parameter_has_a_default_that_its_own_check_accepts),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
