// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "pen_smtp_reply.h"
#include "pen_test.h"

// Feeds all of `in` in pieces of `step` bytes; returns the first status that is
// neither MORE nor LINE, and how many bytes were used until then.
static enum pen_reply_status feed(
	struct pen_reply *r, const char *in, size_t n, size_t step, size_t *total)
{
	*total = 0;
	while (*total < n) {
		size_t used, piece = n - *total < step ? n - *total : step;
		enum pen_reply_status st =
			pen_reply_feed(r, (const uint8_t *)in + *total, piece, &used);
		*total += used;
		if (st == PEN_REPLY_DONE || st == PEN_REPLY_BAD)
			return st;
	}
	return PEN_REPLY_MORE;
}

struct reply_case {
	const char *in;
	enum pen_reply_status st;
	unsigned code, klass, subject, detail;
	bool has_status;
	const char *text;
};

static const struct reply_case cases[] = {
	{"250 2.1.5 Ok\r\n", PEN_REPLY_DONE, 250, 2, 1, 5, true, "Ok"},
	{"250\r\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, ""},
	{"250 \r\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, ""},
	{"250 ok\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, "ok"},
	{"250 2.0.0\r\n", PEN_REPLY_DONE, 250, 2, 0, 0, true, ""},
	{"550-5.1.1 no such\r\n550-5.1.1 user,\r\n550 5.1.1 sorry\r\n", PEN_REPLY_DONE, 550, 5, 1,
		1, true, "no such user, sorry"},
	{"550-5.7.26 a\r\n550 b\r\n", PEN_REPLY_DONE, 550, 5, 7, 26, true, "a b"},
	{"550-\r\n550 5.1.1 b\r\n", PEN_REPLY_DONE, 550, 5, 0, 0, false, "5.1.1 b"},
	{"550 4.2.2 class differs\r\n", PEN_REPLY_DONE, 550, 5, 0, 0, false, "4.2.2 class differs"},
	{"451 5.1.1 x\r\n", PEN_REPLY_DONE, 451, 4, 0, 0, false, "5.1.1 x"},
	{"550 5.999.999 long status\r\n", PEN_REPLY_DONE, 550, 5, 999, 999, true, "long status"},
	{"550 5.1.1234 no status\r\n", PEN_REPLY_DONE, 550, 5, 0, 0, false, "5.1.1234 no status"},
	{"354 go\r\n", PEN_REPLY_DONE, 354, 3, 0, 0, false, "go"},
	{"250 a\rb\tc\x01\xff\r\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, "a?b c??"},
	{"250 a\r\r\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, "a?"},
	{"250-a\n250 b\n", PEN_REPLY_DONE, 250, 2, 0, 0, false, "a b"},
	{"250-a\r\n251 b\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"hello\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"25\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"2500 x\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"150 x\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"650 x\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"250\rx\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"250=x\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{" 250 x\r\n", PEN_REPLY_BAD, 0, 0, 0, 0, false, NULL},
	{"250-never ends\r\n", PEN_REPLY_MORE, 250, 2, 0, 0, false, "never ends"},
};

static void replies_parse_the_same_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct reply_case *c = &cases[i];
		for (size_t step = 1; step <= 64; step = step * 2 + 1) {
			struct pen_reply r;
			size_t used;
			pen_reply_init(&r);
			enum pen_reply_status st = feed(&r, c->in, strlen(c->in), step, &used);
			if (st != c->st)
				fail_msg("case %zu step %zu: status %d", i, step, st);
			if (c->text == NULL)
				continue;
			assert_int_equal(used, strlen(c->in));
			assert_int_equal(r.code, c->code);
			assert_int_equal(r.klass, c->klass);
			assert_int_equal(r.subject, c->subject);
			assert_int_equal(r.detail, c->detail);
			assert_int_equal(r.has_status, c->has_status);
			assert_string_equal(r.text, c->text);
			assert_int_equal(r.text_len, strlen(c->text));
		}
	}
}

static void each_line_of_an_ehlo_reply_is_shown(void **state)
{
	(void)state;
	static const char in[] = "250-mx.example\r\n250-SIZE 1000\r\n250 PIPELINING\r\n";
	static const char *const want[] = {"mx.example", "SIZE 1000", "PIPELINING"};
	struct pen_reply r;
	size_t at = 0, used, lines = 0;

	pen_reply_init(&r);
	while (at < sizeof(in) - 1) {
		enum pen_reply_status st =
			pen_reply_feed(&r, (const uint8_t *)in + at, sizeof(in) - 1 - at, &used);
		at += used;
		assert_int_equal(st, lines < 2 ? PEN_REPLY_LINE : PEN_REPLY_DONE);
		assert_int_equal(r.code, 250);
		assert_string_equal(r.line, want[lines++]);
		assert_int_equal(r.lines, lines);
	}
	assert_int_equal(lines, 3);
}

static void a_second_reply_in_the_same_bytes_starts_afresh(void **state)
{
	(void)state;
	static const char in[] = "550-5.1.1 first\r\n550 5.1.1 one\r\n250 second\r\n";
	struct pen_reply r;
	size_t used, more;

	pen_reply_init(&r);
	assert_int_equal(feed(&r, in, sizeof(in) - 1, 100, &used), PEN_REPLY_DONE);
	assert_string_equal(r.text, "first one");
	assert_int_equal(feed(&r, in + used, sizeof(in) - 1 - used, 100, &more), PEN_REPLY_DONE);
	assert_int_equal(used + more, sizeof(in) - 1);
	assert_int_equal(r.code, 250);
	assert_false(r.has_status);
	assert_string_equal(r.text, "second");
}

static void endless_input_ends_in_bad_and_stays_there(void **state)
{
	(void)state;
	struct pen_reply r;
	size_t used;
	uint8_t x = 'x';

	// One line without an end.
	pen_reply_init(&r);
	assert_int_equal(feed(&r, "250 ", 4, 4, &used), PEN_REPLY_MORE);
	for (int i = 4; i < 4096; i++)
		assert_int_equal(pen_reply_feed(&r, &x, 1, &used), PEN_REPLY_MORE);
	assert_int_equal(r.text_len, PEN_REPLY_TEXT_MAX);
	assert_int_equal(pen_reply_feed(&r, &x, 1, &used), PEN_REPLY_BAD);
	assert_int_equal(feed(&r, "250 ok\r\n", 8, 8, &used), PEN_REPLY_BAD);

	// Lines without an end.
	pen_reply_init(&r);
	for (int i = 0; i < 255; i++)
		assert_int_equal(feed(&r, "250-x\r\n", 7, 7, &used), PEN_REPLY_MORE);
	assert_int_equal(feed(&r, "250-x\r\n", 7, 7, &used), PEN_REPLY_BAD);

	// A NUL.
	pen_reply_init(&r);
	assert_int_equal(feed(&r, "250 a\0b\r\n", 9, 9, &used), PEN_REPLY_BAD);
}

static void a_reply_becomes_an_outcome(void **state)
{
	(void)state;
	struct pen_reply r;
	struct pen_dsn d;
	size_t used;

	pen_reply_init(&r);
	feed(&r, "550-5.1.1 no\r\n550 5.1.1 way\r\n", 29, 29, &used);
	pen_reply_to_dsn(&r, PEN_SCOPE_RECIPIENT, PEN_STAGE_RCPT, &d);
	assert_int_equal(d.klass * 100 + d.subject * 10 + d.detail, 511);
	assert_int_equal(d.reply, 550);
	assert_int_equal(d.scope, PEN_SCOPE_RECIPIENT);
	assert_int_equal(d.stage, PEN_STAGE_RCPT);
	assert_int_equal(d.origin, PEN_ORIGIN_PEER);
	assert_string_equal(d.text, "550 5.1.1 no way");
	assert_int_equal(d.text_len, strlen(d.text));

	feed(&r, "451 later\r\n", 11, 11, &used);
	pen_reply_to_dsn(&r, PEN_SCOPE_MESSAGE, PEN_STAGE_DOT, &d);
	assert_int_equal(d.klass * 100 + d.subject * 10 + d.detail, 400);
	assert_string_equal(d.text, "451 later");

	feed(&r, "354 go\r\n", 8, 8, &used);
	pen_reply_to_dsn(&r, PEN_SCOPE_MESSAGE, PEN_STAGE_MAIL, &d);
	assert_int_equal(d.klass * 100 + d.subject * 10 + d.detail, 450);
}

static void random_bytes_never_leave_the_struct(void **state)
{
	(void)state;
	static const char alphabet[] = "2455 -.\r\nax";
	struct pen_rand rnd;
	struct pen_reply r;

	pen_rand_seed(&rnd, pen_test_seed());
	for (int run = 0; run < 2000; run++) {
		pen_reply_init(&r);
		for (int i = 0; i < 200; i++) {
			uint8_t c = (uint8_t)alphabet[pen_rand_below(&rnd, sizeof(alphabet) - 1)];
			size_t used;
			enum pen_reply_status st = pen_reply_feed(&r, &c, 1, &used);
			assert_true(r.text_len <= PEN_REPLY_TEXT_MAX && r.text[r.text_len] == 0);
			assert_true(r.line_len < sizeof(r.line));
			if (st == PEN_REPLY_BAD)
				break;
			assert_int_equal(used, 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_parse_the_same_in_any_pieces),
		cmocka_unit_test(each_line_of_an_ehlo_reply_is_shown),
		cmocka_unit_test(a_second_reply_in_the_same_bytes_starts_afresh),
		cmocka_unit_test(endless_input_ends_in_bad_and_stays_there),
		cmocka_unit_test(a_reply_becomes_an_outcome),
		cmocka_unit_test(random_bytes_never_leave_the_struct),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
