// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "send_schedule.h"
#include "x_headers.h"

#define NOW 1795232580000000 // 2026-11-21 03:43 UTC
#define S PEN_US_PER_S

static struct x_headers scan(const char *block)
{
	struct x_headers x;

	x_headers_scan(pen_span_cstr(block), NOW, &x);
	return x;
}

static void the_fields_name_class_and_pool(void **state)
{
	(void)state;
	struct x_headers x = scan("Received: x\r\nX-Penstock-Tenant: acme\r\n"
				  "x-penstock-CAMPAIGN : xmas.2026\r\nX-Penstock-Pool:\r\n bulk\r\n"
				  "X-Penstock-Priority: High\r\nSubject: y\r\n");
	assert_string_equal(x.why, "");
	assert_true(x.any);
	assert_true(pen_span_eq(x.tenant, PEN_SPAN_LIT("acme")));
	assert_true(pen_span_eq(x.campaign, PEN_SPAN_LIT("xmas.2026")));
	assert_true(pen_span_eq(x.pool, PEN_SPAN_LIT("bulk")));
	assert_int_equal(x.priority, PEN_PRIORITY_HIGH);
	assert_false(x.scheduled);
	x = scan("Subject: X-Penstock-Tenant: no\r\nX-Penstock-Id: 1\r\n");
	assert_false(x.any);
	assert_int_equal(x.priority, PEN_PRIORITY_NORMAL);
}

static void a_bad_field_is_named_with_its_value(void **state)
{
	(void)state;
	static const struct {
		const char *block, *why;
	} rows[] = {
		{"X-Penstock-Priority: urgent\r\n",
			"X-Penstock-Priority: urgent: accepted is high, normal or low"},
		{"X-Penstock-Tenant: a b\r\n", "X-Penstock-Tenant: a b: accepted is a name"},
		{"X-Penstock-Tenant:\r\n", "X-Penstock-Tenant: : accepted is a name"},
		{"X-Penstock-Tenant: a\r\nX-Penstock-Tenant: a\r\n",
			"X-Penstock-Tenant: a: the field stands twice"},
		{"X-Penstock-Pool: \xc3\xa4\r\n", "X-Penstock-Pool: ??: accepted is a name"},
		{"X-Penstock-Schedule: hours=9-17\r\n",
			"X-Penstock-Schedule: hours=9-17: accepted as hours is 09:00-17:00"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct x_headers x = scan(rows[i].block);
		if (strncmp(x.why, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("%s: \"%s\"", rows[i].block, x.why);
	}
}

static void they_are_taken_out_with_their_continuation_lines(void **state)
{
	(void)state;
	struct pen_buf out = PEN_BUF_INIT;

	x_headers_strip(PEN_SPAN_LIT("A: 1\r\n 2\r\nX-Penstock-Tenant: a\r\n\tb\r\nB: 3\r\n"
				     "X-PENSTOCK-POOL: 1\r\nX-Penstock-Id: 7\r\n"),
		&out);
	assert_true(pen_span_eq(
		pen_buf_span(&out), PEN_SPAN_LIT("A: 1\r\n 2\r\nB: 3\r\nX-Penstock-Id: 7\r\n")));
	pen_buf_fini(&out);
}

static void a_schedule_has_times_and_a_window(void **state)
{
	struct pen_message_extra x;
	char why[SEND_SCHEDULE_WHY_MAX];

	(void)state;
	assert_true(send_schedule_parse(
		PEN_SPAN_LIT("not-before=2026-11-22T08:00:00Z; not-after=2026-11-24T08:00:00+01:00;"
			     "\r\n days=fri-mon, wed; hours=22:00-06:30; zone=Europe/Berlin;"),
		NOW, &x, why));
	assert_int_equal(x.not_before, 1795334400 * S);
	assert_int_equal(x.not_after, 1795503600 * S);
	assert_int_equal(x.window.days, 1 << 5 | 1 << 6 | 1 << 0 | 1 << 1 | 1 << 3);
	assert_int_equal(x.window.from, 22 * 60);
	assert_int_equal(x.window.to, 6 * 60 + 30);
	assert_string_equal(x.window.zone, "Europe/Berlin");
	assert_true(send_schedule_parse(PEN_SPAN_LIT("HOURS=00:00-24:00"), NOW, &x, why));
	assert_int_equal(x.window.days, 0x7f);
	assert_int_equal(x.window.to, 1440);
	assert_int_equal(x.not_before, 0);
	assert_true(send_schedule_parse(PEN_SPAN_LIT("days=tue"), NOW, &x, why));
	assert_int_equal(x.window.days, 1 << 2);
	assert_int_equal(x.window.from, 0);
	assert_int_equal(x.window.to, 1440);
	assert_true(send_schedule_parse(
		PEN_SPAN_LIT("not-before=2026-11-22t08:00:00.25-00:30"), NOW, &x, why));
	assert_int_equal(x.not_before, (1795334400 + 1800) * S);
	assert_int_equal(x.window.days, 0);
}

static void a_bad_schedule_says_what_is_accepted(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "it is empty"},
		{" ; ;", "it is empty"},
		{"tomorrow", "accepted is not-before, not-after, days, hours and zone"},
		{"at=2026-11-22T08:00:00Z", "accepted is not-before"},
		{"days=mon;days=tue", "a part stands twice"},
		{"not-before=2026-11-22", "accepted as a time"},
		{"not-before=2026-11-22T08:00:00", "accepted as a time"},
		{"not-before=2026-02-30T08:00:00Z", "accepted as a time"},
		{"not-before=2026-13-01T08:00:00Z", "accepted as a time"},
		{"not-before=2026-11-22T24:00:00Z", "accepted as a time"},
		{"not-before=2026-11-22T08:00:60Z", "accepted as a time"},
		{"not-after=2026-11-20T08:00:00Z", "not-after is over"},
		{"not-before=2026-11-23T08:00:00Z;not-after=2026-11-22T08:00:00Z",
			"not-after has to be later"},
		{"days=monday", "accepted as days"},
		{"days=mon-", "accepted as days"},
		{"days=", "accepted as days"},
		{"hours=09:00-25:00", "accepted as hours"},
		{"hours=24:00-06:00", "accepted as hours"},
		{"hours=09:00-09:00", "accepted as hours"},
		{"hours=09:60-10:00", "accepted as hours"},
		{"zone=Europe/Berlin", "zone needs days or hours"},
		{"days=mon;zone=../etc/passwd", "accepted as zone"},
		{"days=mon;zone=/etc", "accepted as zone"},
	};
	struct pen_message_extra x;
	char why[SEND_SCHEDULE_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why[0] = '\0';
		assert_false(send_schedule_parse(pen_span_cstr(rows[i].text), NOW, &x, why));
		if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("%s: \"%s\"", rows[i].text, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fields_name_class_and_pool),
		cmocka_unit_test(a_bad_field_is_named_with_its_value),
		cmocka_unit_test(they_are_taken_out_with_their_continuation_lines),
		cmocka_unit_test(a_schedule_has_times_and_a_window),
		cmocka_unit_test(a_bad_schedule_says_what_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
