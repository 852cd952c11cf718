// SPDX-License-Identifier: BSD-3-Clause
#include "pen_maillog_format.h"
#include "pen_test.h"

#include <sys/stat.h>
#include <unistd.h>

static void expect_delay(pen_time_us us, const char *want)
{
	struct pen_logline b = {.n = 0};

	pen_logline_delay(&b, us);
	b.text[b.n] = '\0';
	assert_string_equal(b.text, want);
}

static void delays_have_two_significant_digits_and_no_trailing_zero(void **state)
{
	(void)state;
	expect_delay(0, "0");
	expect_delay(-5, "0");
	expect_delay(4999, "0");
	expect_delay(5000, "0.01");
	expect_delay(12345, "0.01");
	expect_delay(100000, "0.1");
	expect_delay(523456, "0.52");
	expect_delay(994999, "0.99");
	expect_delay(995000, "1");
	expect_delay(1234567, "1.2");
	expect_delay(1250000, "1.3");
	expect_delay(9949999, "9.9");
	expect_delay(9960000, "10");
	expect_delay(12600000, "13");
	expect_delay(86400000000, "86400");
}

static struct pen_maillog_delivery sample(struct pen_dsn *dsn)
{
	struct pen_maillog_delivery d = {
		.queue_id = "3ZkWq51Bw0z4",
		.rcpt = PEN_SPAN_LIT("r@example.org"),
		.relay_host = "mx.example.org",
		.relay_addr = pen_addr_ip4(0xc0000207),
		.relay_port = 25,
		.before_queue = 10000,
		.in_queue = 0,
		.connect = 200000,
		.transmit = 310000,
		.dsn = dsn,
	};
	return d;
}

static void expect_delivery(const struct pen_maillog_delivery *d, const char *want)
{
	struct pen_logline b = {.n = 0};

	pen_logline_delivery(&b, d);
	b.text[b.n] = '\0';
	assert_string_equal(b.text, want);
}

static void a_sent_line_reads_as_postfix_writes_it(void **state)
{
	(void)state;
	struct pen_dsn dsn;
	struct pen_maillog_delivery d = sample(&dsn);
	const char *want = "3ZkWq51Bw0z4: to=<r@example.org>, "
			   "relay=mx.example.org[192.0.2.7]:25, delay=0.52, "
			   "delays=0.01/0/0.2/0.31, dsn=2.0.0, status=sent (250 2.0.0 Ok)";

	pen_dsn_set(&dsn, 2, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_DOT, "Ok");
	dsn.reply = 250;
	expect_delivery(&d, want);
	pen_dsn_set(&dsn, 2, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_DOT, "2.0.0 Ok");
	dsn.reply = 250;
	expect_delivery(&d, want);
	pen_dsn_set(
		&dsn, 2, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_DOT, "250 2.0.0 Ok");
	dsn.reply = 250;
	d.conn_use = 3;
	d.tls = "may";
	expect_delivery(&d, "3ZkWq51Bw0z4: to=<r@example.org>, relay=mx.example.org[192.0.2.7]:25, "
			    "conn_use=3, delay=0.52, delays=0.01/0/0.2/0.31, tls=may, dsn=2.0.0, "
			    "status=sent (250 2.0.0 Ok)");
}

static void a_refused_recipient_shows_who_said_what(void **state)
{
	(void)state;
	struct pen_dsn dsn;
	struct pen_maillog_delivery d = sample(&dsn);

	d.status = PEN_MAILLOG_BOUNCED;
	pen_dsn_set(&dsn, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT,
		"No such user");
	dsn.reply = 550;
	expect_delivery(&d, "3ZkWq51Bw0z4: to=<r@example.org>, relay=mx.example.org[192.0.2.7]:25, "
			    "delay=0.52, delays=0.01/0/0.2/0.31, dsn=5.1.1, status=bounced "
			    "(host mx.example.org[192.0.2.7] said: 550 5.1.1 No such user "
			    "(in reply to RCPT TO command))");
	d.klass = "bad-mailbox";
	expect_delivery(&d, "3ZkWq51Bw0z4: to=<r@example.org>, relay=mx.example.org[192.0.2.7]:25, "
			    "delay=0.52, delays=0.01/0/0.2/0.31, dsn=5.1.1, status=bounced "
			    "(host mx.example.org[192.0.2.7] said: 550 5.1.1 No such user "
			    "(in reply to RCPT TO command)), class=bad-mailbox");
}

static void a_local_failure_shows_its_own_words_and_no_relay(void **state)
{
	(void)state;
	struct pen_dsn dsn;
	struct pen_maillog_delivery d = sample(&dsn);

	d.status = PEN_MAILLOG_DEFERRED;
	d.relay_host = NULL;
	pen_dsn_set(&dsn, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to mx.example.org[192.0.2.7]:25: Connection refused");
	expect_delivery(&d, "3ZkWq51Bw0z4: to=<r@example.org>, relay=none, delay=0.52, "
			    "delays=0.01/0/0.2/0.31, dsn=4.4.1, status=deferred "
			    "(connect to mx.example.org[192.0.2.7]:25: Connection refused)");
}

static void a_reject_line_names_client_reply_and_envelope(void **state)
{
	(void)state;
	struct pen_logline b = {.n = 0};
	struct pen_maillog_reject r = {
		.stage = "RCPT",
		.client = pen_addr_ip4(0x7f000001),
		.reply = "554 5.7.1 <y@b>: Relay access denied",
		.sender = PEN_SPAN_LIT("x@a"),
		.rcpt = PEN_SPAN_LIT("y@b"),
		.helo = PEN_SPAN_LIT("h\nNov 21"),
		.has_sender = true,
		.esmtp = true,
	};

	pen_logline_reject(&b, &r);
	b.text[b.n] = '\0';
	assert_string_equal(b.text,
		"NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <y@b>: Relay access "
		"denied; from=<x@a> to=<y@b> proto=ESMTP helo=<h?Nov 21>");
}

static void a_line_longer_than_the_limit_is_cut(void **state)
{
	(void)state;
	static struct pen_logline b;
	static uint8_t big[3 * PEN_MAILLOG_LINE_MAX];

	memset(big, 'a', sizeof(big));
	b.n = 0;
	pen_logline_cstr(&b, "x");
	pen_logline_foreign(&b, pen_span(big, sizeof(big)));
	pen_logline_cstr(&b, "more");
	pen_logline_uint(&b, 123456);
	assert_int_equal(b.n, PEN_MAILLOG_LINE_MAX);
}

// A folder of its own for each test; the caller removes what it made.
static void temp_dir(char *out, size_t cap)
{
	const char *base = getenv("TMPDIR");

	snprintf(out, cap, "%s/penstock-test-XXXXXX", base != NULL ? base : P_tmpdir);
	assert_non_null(mkdtemp(out));
}

static size_t slurp(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	size_t n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	fclose(f);
	return n;
}

static void lines_reach_the_file_with_stamp_host_service_and_pid(void **state)
{
	(void)state;
	char dir[128], path[192], text[2000], want[100];
	struct pen_maillog *l;

	temp_dir(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/maillog", dir);
	struct pen_maillog_config cfg = {.path = path, .name = "penstock", .host = "relay1"};
	assert_int_equal(pen_maillog_open(&cfg, &l), 0);
	pen_maillog_active(l, "3Zk", PEN_SPAN_LIT("a@b"), 4096, 2);
	pen_maillog_removed(l, "3Zk");
	pen_maillog_expired(l, "3Zm", PEN_SPAN_LIT("a@b"));
	pen_maillog_bounce_notice(l, "3Zm", "3Zn");
	pen_maillog_message_id(l, "3Zn", PEN_SPAN_LIT("<1@x>"));
	struct pen_addr ip = pen_addr_ip4(0x7f000001);
	pen_maillog_connect(l, &ip);
	pen_maillog_client(l, "3Zn", &ip, NULL);
	const struct pen_maillog_sasl sasl = {
		PEN_SPAN_LIT("PLAIN"), PEN_SPAN_LIT("u\nser"), PEN_SPAN_LIT("")};
	pen_maillog_client(l, "3Zn", &ip, &sasl);
	pen_maillog_disconnect(l, &ip, "ehlo=1 quit=1 commands=2");
	pen_maillog_line(l, "penstockd", "started %d\n", 7);
	pen_maillog_flush(l);
	slurp(path, text, sizeof(text));
	static const char *const lines[][2] = {
		{"qmgr", "3Zk: from=<a@b>, size=4096, nrcpt=2 (queue active)\n"},
		{"qmgr", "3Zk: removed\n"},
		{"qmgr", "3Zm: from=<a@b>, status=expired, returned to sender\n"},
		{"bounce", "3Zm: sender non-delivery notification: 3Zn\n"},
		{"cleanup", "3Zn: message-id=<1@x>\n"},
		{"smtpd", "connect from unknown[127.0.0.1]\n"},
		{"smtpd", "3Zn: client=unknown[127.0.0.1]\n"},
		{"smtpd", "3Zn: client=unknown[127.0.0.1], sasl_method=PLAIN, "
			  "sasl_username=u?ser\n"},
		{"smtpd", "disconnect from unknown[127.0.0.1] ehlo=1 quit=1 commands=2\n"},
		{"penstockd", "started 7?\n"},
	};
	char *at = text;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		// "Nov 21 03:43:00 " is 16 bytes.
		assert_int_equal(at[3], ' ');
		assert_int_equal(at[15], ' ');
		assert_memory_equal(at + 16, "relay1 penstock/", 16);
		int n = snprintf(
			want, sizeof(want), "%s[%d]: %s", lines[i][0], (int)getpid(), lines[i][1]);
		assert_memory_equal(at + 32, want, (size_t)n);
		at += 32 + n;
	}
	assert_int_equal(*at, '\0');
	pen_maillog_close(l);
	unlink(path);
	rmdir(dir);
}

static void a_reopened_log_goes_to_the_new_file(void **state)
{
	(void)state;
	char dir[128], path[192], old[192], text[500];
	struct pen_maillog *l;

	temp_dir(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/maillog", dir);
	snprintf(old, sizeof(old), "%s/maillog.1", dir);
	struct pen_maillog_config cfg = {.path = path, .host = "h"};
	assert_int_equal(pen_maillog_open(&cfg, &l), 0);
	pen_maillog_line(l, "x", "first");
	pen_maillog_flush(l);
	assert_int_equal(rename(path, old), 0);
	pen_maillog_reopen(l);
	pen_maillog_flush(l);
	pen_maillog_line(l, "x", "second");
	pen_maillog_close(l);
	slurp(old, text, sizeof(text));
	assert_non_null(strstr(text, "first\n"));
	assert_null(strstr(text, "second"));
	slurp(path, text, sizeof(text));
	assert_non_null(strstr(text, "second\n"));
	unlink(path);
	unlink(old);
	rmdir(dir);
}

static void a_full_buffer_drops_lines_counts_them_and_says_so(void **state)
{
	(void)state;
	char dir[128], path[192];
	static char text[200000];
	struct pen_maillog *l;

	temp_dir(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/maillog", dir);
	struct pen_maillog_config cfg = {.path = path, .host = "h", .buffer_bytes = 300};
	assert_int_equal(pen_maillog_open(&cfg, &l), 0);
	for (int i = 0; i < 1000; i++)
		pen_maillog_line(l, "x", "%0100d", i);
	struct pen_maillog_stats s = pen_maillog_stats(l);
	assert_int_equal(s.lines + s.dropped, 1000);
	assert_true(s.dropped > 0);
	pen_maillog_flush(l);
	pen_maillog_close(l);
	slurp(path, text, sizeof(text));
	assert_non_null(strstr(text, "lines of this log were dropped\n"));
	unlink(path);
	rmdir(dir);
}

static void a_log_that_cannot_be_opened_is_an_error(void **state)
{
	(void)state;
	struct pen_maillog *l;
	struct pen_maillog_config cfg = {.path = "/proc/no/such/file", .host = "h"};

	assert_true(pen_maillog_open(&cfg, &l) < 0);
	pen_maillog_line(NULL, "x", "nobody listens");
	pen_maillog_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_have_two_significant_digits_and_no_trailing_zero),
		cmocka_unit_test(a_sent_line_reads_as_postfix_writes_it),
		cmocka_unit_test(a_refused_recipient_shows_who_said_what),
		cmocka_unit_test(a_local_failure_shows_its_own_words_and_no_relay),
		cmocka_unit_test(a_reject_line_names_client_reply_and_envelope),
		cmocka_unit_test(a_line_longer_than_the_limit_is_cut),
		cmocka_unit_test(lines_reach_the_file_with_stamp_host_service_and_pid),
		cmocka_unit_test(a_reopened_log_goes_to_the_new_file),
		cmocka_unit_test(a_full_buffer_drops_lines_counts_them_and_says_so),
		cmocka_unit_test(a_log_that_cannot_be_opened_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
