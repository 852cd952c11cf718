// SPDX-License-Identifier: BSD-3-Clause
#include "content.h"
#include "pen_test.h"

#define OWN "Received: from x\r\n\tby y; z\r\n"
#define ADD_ID "Message-Id: <new@h>\r\n"
#define ADD_DATE "Date: now\r\n"

static struct content_budget budget = {.max = 1 << 20};

// Runs `in` through in pieces of `step` bytes and compares.
static void expect_steps(const char *in, const char *want, size_t step)
{
	struct content c;
	size_t len = strlen(in), n;

	content_begin(&c, &budget, PEN_SPAN_LIT(OWN), 0);
	c.add_message_id = PEN_SPAN_LIT(ADD_ID);
	c.add_date = PEN_SPAN_LIT(ADD_DATE);
	for (size_t at = 0; at < len; at += step)
		content_add(&c, pen_span(in + at, step < len - at ? step : len - at));
	content_end(&c);
	assert_int_equal(c.err, 0);
	assert_false(c.in_header);
	uint8_t *p = content_take(&c, &n);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(p, want, n);
	assert_int_equal(budget.used, n);
	content_budget_give(&budget, n);
	free(p);
	content_reset(&c);
	assert_int_equal(budget.used, 0);
}

static void expect(const char *in, const char *want)
{
	for (size_t step = 1; step < 8; step++)
		expect_steps(in, want, step);
	expect_steps(in, want, 4096);
}

static void missing_fields_are_added_at_the_end_of_the_header(void **state)
{
	(void)state;
	expect("Subject: a\r\n b\r\n\r\nbody\r\n",
		OWN "Subject: a\r\n b\r\n" ADD_ID ADD_DATE "\r\nbody\r\n");
	expect("Date: d\r\n\r\nDate: x\r\n", OWN "Date: d\r\n" ADD_ID "\r\nDate: x\r\n");
	expect("message-ID: <a@b>\r\n\r\nx\r\n", OWN "message-ID: <a@b>\r\n" ADD_DATE "\r\nx\r\n");
	expect("Date: d\r\nMessage-Id: <a@b>\r\n\r\nx\r\n",
		OWN "Date: d\r\nMessage-Id: <a@b>\r\n\r\nx\r\n");
	expect("Subject: only\r\n", OWN "Subject: only\r\n" ADD_ID ADD_DATE);
}

static void a_header_that_ends_without_an_empty_line_gets_one(void **state)
{
	(void)state;
	expect("\r\nbody\r\n", OWN ADD_ID ADD_DATE "\r\nbody\r\n");
	expect("hello world\r\n", OWN ADD_ID ADD_DATE "\r\nhello world\r\n");
	expect(" leading\r\n", OWN ADD_ID ADD_DATE "\r\n leading\r\n");
	expect("Subject: a\r\nno field\r\n",
		OWN "Subject: a\r\n" ADD_ID ADD_DATE "\r\nno field\r\n");
	expect("Date: d\r\nMessage-Id: <a@b>\r\nno field\r\n",
		OWN "Date: d\r\nMessage-Id: <a@b>\r\n\r\nno field\r\n");
}

static void the_content_ends_with_a_line_end(void **state)
{
	(void)state;
	expect("Date: d\r\nMessage-Id: <a@b>\r\n\r\nx",
		OWN "Date: d\r\nMessage-Id: <a@b>\r\n\r\nx\r\n");
	expect("", OWN ADD_ID ADD_DATE);
	expect("Subject: a", OWN "Subject: a\r\n" ADD_ID ADD_DATE);
}

static void what_is_learned_on_the_way(void **state)
{
	(void)state;
	struct content c;

	content_begin(&c, &budget, PEN_SPAN_LIT(OWN), 100000);
	content_add(&c, PEN_SPAN_LIT("received: 1\r\nReceived : 2\r\nX-Received: 3\r\n"
				     "Message-Id:  <q@w> \r\n\r\nReceived: x\r\n\xc3"));
	content_end(&c);
	assert_int_equal(c.received, 2);
	assert_true(c.eight_bit);
	assert_true(pen_span_eq(content_message_id(&c), PEN_SPAN_LIT("<q@w>")));
	struct pen_span h = content_header(&c);
	assert_memory_equal(h.p + h.n, "\r\nReceived: x\r\n", 15);
	content_replace_header(&c, PEN_SPAN_LIT("A: b\r\n"));
	assert_true(pen_span_eq(
		pen_span(c.p, c.n), PEN_SPAN_LIT("A: b\r\n\r\nReceived: x\r\n\xc3\r\n")));
	content_append_field(&c, PEN_SPAN_LIT("C: d\r\n"));
	assert_true(pen_span_eq(content_header(&c), PEN_SPAN_LIT("A: b\r\nC: d\r\n")));
	assert_true(pen_span_eq(
		pen_span(c.p, c.n), PEN_SPAN_LIT("A: b\r\nC: d\r\n\r\nReceived: x\r\n\xc3\r\n")));
	content_reset(&c);

	content_begin(&c, &budget, PEN_SPAN_LIT(OWN), 0);
	c.add_message_id = PEN_SPAN_LIT(ADD_ID);
	content_add(&c, PEN_SPAN_LIT("Subject: a\r\n\r\n"));
	content_end(&c);
	assert_false(c.eight_bit);
	assert_true(pen_span_eq(content_message_id(&c), PEN_SPAN_LIT("<new@h>")));
	content_reset(&c);
	assert_int_equal(budget.used, 0);
}

static void growth_beyond_the_budget_fails_and_gives_all_back(void **state)
{
	(void)state;
	struct content_budget small = {.max = 20000};
	struct content a, b;
	static uint8_t piece[9000];

	content_begin(&a, &small, PEN_SPAN_LIT(OWN), 0);
	content_add(&a, pen_span(piece, sizeof(piece)));
	assert_int_equal(a.err, 0);
	content_begin(&b, &small, PEN_SPAN_LIT(OWN), 0);
	content_add(&b, pen_span(piece, sizeof(piece)));
	content_end(&b);
	assert_int_not_equal(b.err, 0);
	content_reset(&b);
	content_reset(&a);
	assert_int_equal(small.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_fields_are_added_at_the_end_of_the_header),
		cmocka_unit_test(a_header_that_ends_without_an_empty_line_gets_one),
		cmocka_unit_test(the_content_ends_with_a_line_end),
		cmocka_unit_test(what_is_learned_on_the_way),
		cmocka_unit_test(growth_beyond_the_budget_fails_and_gives_all_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
