// SPDX-License-Identifier: BSD-3-Clause
#include "pen_config.h"
#include "pen_sasl_params.h"
#include "pen_test.h"
#include "report_lines.h"

#include <unistd.h>

static char dir[64];
static struct report_lines lines;

static int begin(void **state)
{
	(void)state;
	char *made = strdup("config_test.XXXXXX");
	assert_non_null(mkdtemp(made));
	snprintf(dir, sizeof(dir), "%s", made);
	free(made);
	report_lines_init(&lines);
	return 0;
}

static void put(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (text == NULL) {
		unlink(path);
		return;
	}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int end(void **state)
{
	(void)state;
	put("main.cf", NULL);
	put("egress.conf", NULL);
	put("transport", NULL);
	report_lines_fini(&lines);
	return rmdir(dir);
}

static const char egress_conf[] =
	"port p0 { device = net_tap0 }\nsource s0 { address = 10.0.0.2 }\n";

static void a_good_directory_loads_with_its_tables(void **state)
{
	(void)state;
	struct pen_span v;
	struct pen_buf shown = PEN_BUF_INIT;

	put("main.cf", "myhostname = gw.example.com\n"
		       "transport_maps = texthash:$config_directory/transport\n");
	put("egress.conf", egress_conf);
	put("transport", "example.org smtp:[relay.example.org]\n");
	struct pen_config *c = pen_config_load(dir, &lines.report);
	assert_string_equal(report_lines_text(&lines), "");
	assert_non_null(c);
	assert_true(pen_maps_find(&c->transport_maps, PEN_SPAN_LIT("EXAMPLE.org"), &v));
	assert_int_equal(c->egress.dataplane.nsources, 1);
	pen_config_show(c, PEN_SHOW_CHANGED, &shown);
	assert_true(pen_span_eq(pen_buf_span(&shown),
		PEN_SPAN_LIT("myhostname = gw.example.com\n"
			     "transport_maps = texthash:$config_directory/transport\n")));
	pen_buf_fini(&shown);
	pen_config_free(c);
}

static void faults_of_all_files_are_found_in_one_run(void **state)
{
	(void)state;
	put("main.cf", "message_size_limit = x\n"
		       "minimal_backoff_time = 2h\n"
		       "maximal_backoff_time = 1h\n"
		       "queue_directory = spool\n"
		       "smtp_helo_name = [10.0.0]\n"
		       "transport_maps = texthash:$config_directory/transport\n");
	put("egress.conf", "workers = 0\nport p0 { device = net_tap0 }\n"
			   "source s0 { address = 10.0.0.2 }\n");
	put("transport", "lonely\n");
	assert_null(pen_config_load(dir, &lines.report));
	const char *text = report_lines_text(&lines);
	assert_non_null(strstr(text, "main.cf:1: error: message_size_limit = x"));
	assert_non_null(
		strstr(text, "main.cf:2: error: minimal_backoff_time (7200s) is larger than "
			     "maximal_backoff_time (3600s)"));
	assert_non_null(strstr(text, "main.cf:4: error: queue_directory = spool: accepted is an "
				     "absolute path"));
	assert_non_null(strstr(text, "main.cf:5: error: smtp_helo_name = [10.0.0]"));
	assert_non_null(strstr(text, "transport:1: error: \"lonely\""));
	assert_non_null(strstr(text, "egress.conf:1: error: workers = 0"));
	assert_int_equal(lines.report.errors, 6);
}

static void a_lifetime_beyond_maximal_queue_lifetime_is_refused_at_load(void **state)
{
	static const char *const sections[] = {"default {", "site s { mx = [mx.example.org]",
		"provider p { mx = [mx.example.org]"};

	(void)state;
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		char conf[300];
		snprintf(conf, sizeof(conf), "%s%s\n  retry { lifetime = 2d }\n}\n", egress_conf,
			sections[i]);
		put("egress.conf", conf);
		put("main.cf", "myhostname = gw.test\nmaximal_queue_lifetime = 36h\n");
		assert_null(pen_config_load(dir, &lines.report));
		assert_non_null(strstr(report_lines_text(&lines),
			"egress.conf:4: error: lifetime (172800s) is larger than "
			"maximal_queue_lifetime (129600s) of main.cf: accepted is at most that"));
		assert_int_equal(lines.report.errors, 1);
		report_lines_fini(&lines);
		report_lines_init(&lines);
		put("main.cf", "myhostname = gw.test\nmaximal_queue_lifetime = 2d\n");
		struct pen_config *c = pen_config_load(dir, &lines.report);
		assert_string_equal(report_lines_text(&lines), "");
		assert_non_null(c);
		pen_config_free(c);
	}
}

static void parameters_of_auth_are_checked_and_tables_of_users_are_read(void **state)
{
	(void)state;
	struct pen_sasl_server server;
	struct pen_sasl_options o;
	struct pen_span v;

	put("egress.conf", egress_conf);
	put("main.cf", "smtpd_sasl_auth_enable = yes\n"
		       "smtpd_sasl_type = cyrus\n"
		       "smtpd_sasl_path = inet:auth.example:12345\n"
		       "smtpd_sasl_security_options = noanonymous, noplain\n"
		       "smtpd_tls_auth_only = yes\n"
		       "smtpd_sasl_tenant_maps = inline:{{alice = a b}}\n");
	assert_null(pen_config_load(dir, &lines.report));
	const char *text = report_lines_text(&lines);
	assert_non_null(strstr(
		text, "main.cf:2: error: smtpd_sasl_type = cyrus: accepted is one of dovecot"));
	assert_non_null(
		strstr(text, "main.cf:3: error: smtpd_sasl_path = inet:auth.example:12345: "));
	assert_non_null(strstr(
		text, "main.cf:4: error: smtpd_sasl_security_options: noplain: accepted is "));
	assert_non_null(strstr(text, "main.cf:5: warning: smtpd_tls_auth_only = yes and "));
	assert_non_null(strstr(
		text, "main.cf:6: error: smtpd_sasl_tenant_maps: alice a b: accepted is tenant"));
	report_lines_fini(&lines);
	report_lines_init(&lines);
	put("main.cf", "queue_directory = /q\n"
		       "smtpd_sasl_security_options = noanonymous noplaintext\n"
		       "smtpd_sasl_tls_security_options = mutual_auth\n"
		       "smtpd_sasl_tenant_maps = inline:{alice = acme/news}\n");
	struct pen_config *c = pen_config_load(dir, &lines.report);
	assert_string_equal(report_lines_text(&lines), "");
	assert_non_null(c);
	assert_true(pen_maps_find(&c->smtpd_sasl_tenant_maps, PEN_SPAN_LIT("alice"), &v));
	assert_true(pen_sasl_server_parse(&c->params, &server));
	assert_string_equal(server.path, "/q/private/auth");
	assert_true(pen_sasl_options_parse(c->params.smtpd_sasl_security_options, &o, &v));
	assert_int_equal(o.refused, PEN_SASL_ANONYMOUS | PEN_SASL_PLAINTEXT);
	assert_true(pen_sasl_options_parse(c->params.smtpd_sasl_tls_security_options, &o, &v));
	assert_true(o.refused == 0 && o.required == PEN_SASL_MUTUAL_AUTH);
	pen_config_free(c);
}

static void the_authentication_server_is_a_socket_or_an_address(void **state)
{
	static const struct {
		const char *text, *path;
		uint16_t port;
	} cases[] = {{"private/auth", "/q/private/auth", 0}, {"unix:/run/auth", "/run/auth", 0},
		{"inet:127.0.0.1:12345", "", 12345}, {"inet:[::1]:12345", "", 12345},
		{"inet:127.0.0.1", NULL, 0}, {"inet:", NULL, 0}, {"", NULL, 0}, {"unix:", NULL, 0},
		{"/0123456789012345678901234567890123456789012345678901234567890123456789012345678"
		 "901234567890123456789012345678",
			NULL, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[200], queue[] = "/q";
		snprintf(path, sizeof(path), "%s", cases[i].text);
		struct pen_params p = {.queue_directory = queue, .smtpd_sasl_path = path};
		struct pen_sasl_server s;
		assert_int_equal(pen_sasl_server_parse(&p, &s), cases[i].path != NULL);
		if (cases[i].path == NULL)
			continue;
		assert_string_equal(s.path, cases[i].path);
		assert_int_equal(s.port, cases[i].port);
	}
}

static void classes_of_notices_without_effect_are_named(void **state)
{
	(void)state;
	put("egress.conf", "port p0 { device = net_tap0 }\nsource s0 { address = 10.0.0.2 }\n");
	put("main.cf", "myhostname = gw.test\nnotify_classes = delay, Protocol, 2bounce\n");
	struct pen_config *c = pen_config_load(dir, &lines.report);
	assert_non_null(c);
	pen_config_free(c);
	assert_non_null(
		strstr(report_lines_text(&lines), "main.cf:2: warning: notify_classes: Protocol "
						  "has no effect: the postmaster hears of "
						  "2bounce, bounce and delay only"));
	assert_int_equal(lines.report.warnings, 1);
	put("main.cf", "myhostname = gw.test\n\nnotify_classes = delays\n");
	assert_null(pen_config_load(dir, &lines.report));
	assert_non_null(strstr(report_lines_text(&lines),
		"main.cf:3: error: notify_classes: delays: accepted is 2bounce, bounce, data, "));
}

static void a_directory_without_main_cf_is_refused(void **state)
{
	(void)state;
	assert_null(pen_config_load(dir, &lines.report));
	assert_non_null(strstr(report_lines_text(&lines),
		"/main.cf: error: cannot be read: No such file or directory"));
	assert_int_equal(lines.report.errors, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_good_directory_loads_with_its_tables),
		TEST(faults_of_all_files_are_found_in_one_run),
		TEST(a_lifetime_beyond_maximal_queue_lifetime_is_refused_at_load),
		TEST(parameters_of_auth_are_checked_and_tables_of_users_are_read),
		TEST(the_authentication_server_is_a_socket_or_an_address),
		TEST(classes_of_notices_without_effect_are_named),
		TEST(a_directory_without_main_cf_is_refused),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
