// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "tlsrpt_count.h"
#include "tlsrpt_report.h"
#include "tlsrpt_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static char domain[] = "example.com", version[] = "version: STSv1", mode[] = "mode: enforce",
	    pattern[] = "*.example.com";
static char *strings[] = {version, mode, NULL};
static char *patterns[] = {pattern, NULL};
static const struct pen_tls_policy sts = {.host = "mx1.example.com",
	.report = {.domain = domain,
		.type = PEN_TLSRPT_STS,
		.policy_domain = domain,
		.string = strings,
		.mx = patterns}};
static const struct pen_tls_policy none = {.host = "mx1.example.com", .report = {.domain = domain}};

static void add(struct tlsrpt_count *c, const struct pen_tls_policy *p, enum pen_tlsrpt_result r,
	const char *reason, unsigned times)
{
	struct tlsrpt_event e = {.policy = p,
		.result = r,
		.reason = reason,
		.source = pen_addr_ip4(0xc0000201),
		.receiver = pen_addr_ip4(0xc0000202)};

	while (times-- > 0)
		tlsrpt_count_add(c, &e);
}

static json_int_t at(json_t *report, size_t policy, const char *key)
{
	json_t *p = json_array_get(json_object_get(report, "policies"), policy);

	return json_integer_value(json_object_get(json_object_get(p, "summary"), key));
}

static const struct tlsrpt_identity who = {
	"Bulk Inc", "postmaster@bulk.example", "bulk.example", "tlsrpt@bulk.example"};

static json_t *report_of(const struct tlsrpt_count *c)
{
	return tlsrpt_report_json(
		&who, "example.com", json_object_get(c->days, "example.com"), "2026-11-21");
}

static void equal_sessions_are_one_entry_and_policies_are_kept_apart(void **state)
{
	struct tlsrpt_count c;

	(void)state;
	assert_int_equal(tlsrpt_count_init(&c), 0);
	add(&c, &sts, PEN_TLSRPT_SUCCESS, NULL, 3);
	add(&c, &sts, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL, 2);
	add(&c, &sts, PEN_TLSRPT_VALIDATION_FAILURE, "tls-handshake-failure", 1);
	add(&c, &none, PEN_TLSRPT_SUCCESS, NULL, 5);
	json_t *r = report_of(&c);
	assert_int_equal(json_array_size(json_object_get(r, "policies")), 2);
	assert_int_equal(at(r, 0, "total-successful-session-count"), 3);
	assert_int_equal(at(r, 0, "total-failure-session-count"), 3);
	assert_int_equal(at(r, 1, "total-successful-session-count"), 5);
	json_t *p = json_array_get(json_object_get(r, "policies"), 0);
	json_t *d = json_object_get(p, "failure-details");
	assert_int_equal(json_array_size(d), 2);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(d, 0), "failed-session-count")),
		2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(d, 1), "failure-reason-code")),
		"tls-handshake-failure");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(r, "date-range"), "end-datetime")),
		"2026-11-21T23:59:59Z");
	json_decref(r);
	tlsrpt_count_fini(&c);
}

static void a_policy_that_could_not_be_had_has_no_lines(void **state)
{
	static char *nothing[] = {NULL};
	static const struct pen_tls_policy broken = {.host = "mx1.example.com",
		.report = {.domain = domain,
			.type = PEN_TLSRPT_STS,
			.policy_domain = domain,
			.string = nothing,
			.mx = nothing}};
	struct tlsrpt_count c;

	(void)state;
	assert_int_equal(tlsrpt_count_init(&c), 0);
	add(&c, &broken, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, NULL, 1);
	json_t *r = report_of(&c);
	json_t *p = json_object_get(json_array_get(json_object_get(r, "policies"), 0), "policy");
	assert_string_equal(json_string_value(json_object_get(p, "policy-type")), "sts");
	assert_null(json_object_get(p, "policy-string"));
	assert_null(json_object_get(p, "mx-host"));
	json_decref(r);
	tlsrpt_count_fini(&c);
}

static void a_journal_gives_back_what_was_counted_up_to_a_torn_line(void **state)
{
	char folder[] = "/tmp/tlsrpt-test-XXXXXX", path[128], err[200], command[128];
	struct tlsrpt_store s;
	struct tlsrpt_count day, fresh, again;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(tlsrpt_store_open(&s, folder, err, sizeof(err)), 0);
	assert_int_equal(tlsrpt_count_init(&day), 0);
	assert_int_equal(tlsrpt_store_begin_day(&s, "2026-11-21", &day), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tlsrpt_count_init(&fresh), 0);
		add(&fresh, &sts, PEN_TLSRPT_SUCCESS, NULL, 2);
		add(&day, &sts, PEN_TLSRPT_SUCCESS, NULL, 2);
		assert_int_equal(tlsrpt_store_append(&s, fresh.days, day.days), 0);
		tlsrpt_count_fini(&fresh);
	}
	tlsrpt_store_close(&s);
	snprintf(path, sizeof(path), "%s/2026-11-21.journal", folder);
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "{\"example.com\":{\"to", 19), 19);
	close(fd);

	assert_int_equal(tlsrpt_store_open(&s, folder, err, sizeof(err)), 0);
	assert_int_equal(tlsrpt_count_init(&again), 0);
	assert_int_equal(tlsrpt_store_begin_day(&s, "2026-11-21", &again), 0);
	assert_true(json_equal(again.days, day.days));
	// What is appended now must not stand behind the torn line.
	assert_int_equal(tlsrpt_store_append(&s, day.days, day.days), 0);
	tlsrpt_count_fini(&again);
	assert_int_equal(tlsrpt_count_init(&again), 0);
	assert_int_equal(tlsrpt_store_begin_day(&s, "2026-11-21", &again), 0);
	json_int_t ok, failed;
	tlsrpt_count_sum(json_object_get(again.days, "example.com"), &ok, &failed);
	assert_int_equal(ok, 12);
	tlsrpt_count_fini(&again);
	tlsrpt_count_fini(&day);
	tlsrpt_store_close(&s);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void counts_of_another_shape_are_left_out(void **state)
{
	static const char *const odd[] = {"[]", "{\"a\":1}", "{\"a\":{\"k\":{}}}",
		"{\"a\":{\"k\":{\"policy\":{},\"ok\":-1}}}",
		"{\"a\":{\"k\":{\"policy\":{},\"ok\":1,\"failures\":{\"f\":{}}}}}"};
	struct tlsrpt_count c;

	(void)state;
	assert_int_equal(tlsrpt_count_init(&c), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *o = json_loads(odd[i], 0, NULL);
		assert_false(tlsrpt_count_merge(&c, o));
		json_decref(o);
	}
	tlsrpt_count_fini(&c);
}

static void a_report_moves_from_the_outbox_to_the_sent_ones(void **state)
{
	char folder[] = "/tmp/tlsrpt-test-XXXXXX", err[200], command[128];
	struct tlsrpt_store s;
	json_t *report = json_pack("{s:s}", "report-id", "x");

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(tlsrpt_store_open(&s, folder, err, sizeof(err)), 0);
	assert_int_equal(tlsrpt_store_put(&s, "2026-11-20", "example.com", report), 0);
	json_t *back = tlsrpt_store_get(&s, "outbox", "2026-11-20", "example.com");
	assert_true(json_equal(back, report));
	json_decref(back);
	assert_int_equal(tlsrpt_store_done(&s, "2026-11-20", "example.com", true), 0);
	assert_null(tlsrpt_store_get(&s, "outbox", "2026-11-20", "example.com"));
	back = tlsrpt_store_get(&s, "sent", "2026-11-20", "example.com");
	assert_non_null(back);
	json_decref(back);
	tlsrpt_store_prune(&s, "2026-11-20");
	back = tlsrpt_store_get(&s, "sent", "2026-11-20", "example.com");
	assert_non_null(back);
	json_decref(back);
	tlsrpt_store_prune(&s, "2026-11-21");
	assert_null(tlsrpt_store_get(&s, "sent", "2026-11-20", "example.com"));
	json_decref(report);
	tlsrpt_store_close(&s);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void days_are_dates_of_the_calendar(void **state)
{
	int64_t start;
	char day[TLSRPT_DAY_MAX];

	(void)state;
	assert_true(tlsrpt_day_start("2026-11-21", &start));
	tlsrpt_day(start + 86399, day);
	assert_string_equal(day, "2026-11-21");
	assert_false(tlsrpt_day_start("2026-02-30", &start));
	assert_false(tlsrpt_day_start("2026-11-21x", &start));
	assert_false(tlsrpt_day_start("../../etc", &start));
}

static void the_mail_is_a_multipart_report_with_the_zipped_json(void **state)
{
	struct pen_buf zip = PEN_BUF_INIT, mail = PEN_BUF_INIT;
	char file[256], plain[100] = "";

	(void)state;
	assert_int_equal(tlsrpt_gzip(PEN_SPAN_LIT("{\"a\":1}"), &zip), 0);
	z_stream z = {.next_in = zip.p,
		.avail_in = (uInt)zip.n,
		.next_out = (Bytef *)plain,
		.avail_out = sizeof(plain) - 1};
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	assert_string_equal(plain, "{\"a\":1}");
	tlsrpt_report_file(&who, "example.com", "2026-11-21", "1", file, sizeof(file));
	assert_string_equal(file, "bulk.example!example.com!1795219200!1795305599!1.json.gz");
	assert_int_equal(tlsrpt_report_mail(&who, "example.com", "r@example.com", "id", file,
				 pen_buf_span(&zip), 1795300000, &mail),
		0);
	pen_buf_add(&mail, "", 1);
	const char *text = (const char *)mail.p;
	assert_non_null(strstr(text, "Content-Type: multipart/report; report-type=\"tlsrpt\";"));
	assert_non_null(strstr(text, "\r\nTLS-Required: No\r\n"));
	assert_non_null(strstr(text, "\r\nTLS-Report-Domain: example.com\r\n"));
	assert_non_null(strstr(text, "Content-Type: application/tlsrpt+gzip\r\n"));
	assert_non_null(strstr(text, "H4sI")); // gzip's magic in base64
	assert_null(strstr(text, "\n\n"));
	pen_buf_fini(&zip);
	pen_buf_fini(&mail);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(equal_sessions_are_one_entry_and_policies_are_kept_apart),
		cmocka_unit_test(a_policy_that_could_not_be_had_has_no_lines),
		cmocka_unit_test(a_journal_gives_back_what_was_counted_up_to_a_torn_line),
		cmocka_unit_test(counts_of_another_shape_are_left_out),
		cmocka_unit_test(a_report_moves_from_the_outbox_to_the_sent_ones),
		cmocka_unit_test(days_are_dates_of_the_calendar),
		cmocka_unit_test(the_mail_is_a_multipart_report_with_the_zipped_json),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
