// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "smtp_server_owner.h"

struct content_case {
	const char *in, *kept, *fixed; // fixed NULL: as kept
};

static const struct content_case contents[] = {
	{".\r\n", "", NULL},
	{"a\r\n.\r\n", "a\r\n", NULL},
	{"\r\n.\r\n", "\r\n", NULL},
	{"..\r\n.\r\n", ".\r\n", NULL},
	{".a\r\n..b\r\n.\r\n", "a\r\n.b\r\n", NULL},
	{"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "a\r\n.\r\nb\r\n"},
	{"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"},
	{"a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", NULL},
	{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "a\r\n\r\nb\r\n"},
	{"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", NULL},
	{"a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", NULL},
	{"a\r\r\n.\r\n", "a\r\r\n", NULL},
	{"\n\n\n\r\n.\r\n", "\n\n\n\r\n", "\r\n\r\n\r\n\r\n"},
	{"0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
	 "0123456789012345678901234567890123456789012345678901234567890123456789\r\n..x\n.\r\n."
	 "\r\n",
		"0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
		"0123456789012345678901234567890123456789012345678901234567890123456789\r\n.x\n"
		".\r\n",
		"0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
		"0123456789012345678901234567890123456789012345678901234567890123456789\r\n.x\r\n"
		".\r\n"},
};

static void only_crlf_dot_crlf_ends_the_content(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(contents) / sizeof(contents[0]); i++) {
		const struct content_case *c = &contents[i / 2];
		bool fix = i % 2 == 1;
		const char *want = fix && c->fixed != NULL ? c->fixed : c->kept;
		for (size_t step = 1; step < 200; step++) {
			struct owner *o = owner_greeted();
			o->cfg.fix_bare_lf = fix;
			owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<r@b>\r\nDATA\r\n");
			assert_int_equal(
				owner_feed_n(o, c->in, strlen(c->in), step), strlen(c->in));
			if (o->messages != 1 ||
				!pen_span_eq(pen_buf_span(&o->content), pen_span_cstr(want)))
				fail_msg("case %zu step %zu: '%.*s'", i, step, (int)o->content.n,
					(char *)o->content.p);
			owner_free(o);
		}
	}
}

static void random_content_survives_stuffing_and_pieces(void **state)
{
	(void)state;
	static const char alphabet[] = "..a\r\n\r\n";
	struct pen_rand rnd;

	pen_rand_seed(&rnd, pen_test_seed());
	for (int run = 0; run < 2000; run++) {
		struct pen_buf plain = PEN_BUF_INIT, wire = PEN_BUF_INIT;
		size_t n = (size_t)pen_rand_below(&rnd, 300);
		for (size_t i = 0; i < n; i++)
			pen_buf_add(&plain,
				&alphabet[pen_rand_below(&rnd, i % 40 ? 3 : sizeof(alphabet) - 1)],
				1);
		pen_buf_add_cstr(&plain, "\r\n");
		for (size_t i = 0; i < plain.n; i++) {
			bool bol = i == 0 || (i >= 2 && memcmp(plain.p + i - 2, "\r\n", 2) == 0);
			if (bol && plain.p[i] == '.')
				pen_buf_add_cstr(&wire, ".");
			pen_buf_add(&wire, plain.p + i, 1);
		}
		pen_buf_add_cstr(&wire, ".\r\n");
		struct owner *o = owner_greeted();
		owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<r@b>\r\nDATA\r\n");
		owner_feed_n(o, (char *)wire.p, wire.n, 1 + (size_t)pen_rand_below(&rnd, 200));
		assert_int_equal(o->messages, 1);
		assert_true(pen_span_eq(pen_buf_span(&o->content), pen_buf_span(&plain)));
		owner_free(o);
		pen_buf_fini(&plain);
		pen_buf_fini(&wire);
	}
}

static void a_message_beyond_the_limit_is_read_to_its_end_and_cut(void **state)
{
	(void)state;
	char body[6000];
	struct owner *o = owner_greeted();

	memset(body, 'x', sizeof(body));
	o->verdict[ON_MESSAGE] = PEN_SMTP_REPLY;
	o->reply = "552 5.3.4 Error: message file too big";
	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<r@b>\r\nDATA\r\n");
	for (int i = 0; i < 3; i++)
		assert_int_equal(owner_feed_n(o, body, sizeof(body), SIZE_MAX), sizeof(body));
	owner_forget(o);
	owner_feed(o, "\r\n.\r\n");
	assert_true(o->too_big);
	assert_int_equal(o->content.n, 10000);
	assert_out(o, "552 5.3.4 Error: message file too big\r\n");
	assert_int_equal(o->ctr.content_cut_bytes, 8002);
	owner_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_dot_crlf_ends_the_content),
		cmocka_unit_test(random_content_survives_stuffing_and_pieces),
		cmocka_unit_test(a_message_beyond_the_limit_is_read_to_its_end_and_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
