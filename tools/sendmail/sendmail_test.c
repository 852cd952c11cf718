// SPDX-License-Identifier: BSD-3-Clause
#include "pen_addrlist.h"
#include "pen_test.h"
#include "sendmail.h"

#include <errno.h>
#include <unistd.h>

static char got[2048];

static void note(void *ctx, struct pen_span addr)
{
	(void)ctx;
	size_t n = strlen(got);
	snprintf(got + n, sizeof(got) - n, "%.*s|", PEN_SPAN_ARG(addr));
}

static void expect(const char *text, const char *want)
{
	const char *why;

	got[0] = '\0';
	assert_int_equal(pen_addrlist_parse(pen_span_cstr(text), note, NULL, &why), 0);
	assert_string_equal(got, want);
}

static void addresses_come_out_of_every_form(void **state)
{
	(void)state;
	expect("a@b", "a@b|");
	expect(" a@b , c@d\r\n\t, e@f ", "a@b|c@d|e@f|");
	expect("John Smith <a@b>, \"Smith, J.\" <c@d>", "a@b|c@d|");
	expect("John \"Q, <x@y>\" Smith <a@b>", "a@b|");
	expect("a@b (a (nested, c@d) comment), e@f (x\\)y)", "a@b|e@f|");
	expect("(c)a(c) @ (c) b . c", "a@b.c|");
	expect("Friends: a@b, C D <c@d>;, e@f", "a@b|c@d|e@f|");
	expect("undisclosed-recipients:;", "");
	expect("", "");
	expect(",, ,", "");
	expect("\"a b\"@c, \"x\\\"y,\"@z", "\"a b\"@c|\"x\\\"y,\"@z|");
	expect("<@r1,@r2:a@b>", "a@b|");
	expect("a@[192.0.2.1], <b@[IPv6:::1]>", "a@[192.0.2.1]|b@[IPv6:::1]|");
	expect("<>", "");
	expect("postmaster", "postmaster|");
	expect("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
		"pete@silly.test|");
	expect("A Group(Some people)\r\n :Chris Jones <c@(x)p.h>, j@e.org; ", "c@p.h|j@e.org|");
}

static void faults_are_named(void **state)
{
	(void)state;
	static const char *const bad[] = {"a b", "<a@b", "\"a", "(a", "a@b>", "<a@b> <c@d>",
		"a@b; c@d", "g: h: a@b;", "a@[1", "<a b@c>", "<a@b;>"};
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int err = pen_addrlist_parse(pen_span_cstr(bad[i]), note, NULL, &why);
		if (err != -EINVAL)
			fail_msg("%s was accepted", bad[i]);
		assert_non_null(why);
		got[0] = '\0';
	}
	static char longest[2000];
	memset(longest, 'a', sizeof(longest) - 1);
	assert_int_equal(pen_addrlist_parse(pen_span_cstr(longest), note, NULL, &why), -EINVAL);
}

static void read_text(const char *text, bool dot, struct pen_buf *out)
{
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], text, strlen(text)), strlen(text));
	close(fd[1]);
	*out = PEN_BUF_INIT;
	assert_int_equal(message_read(fd[0], dot, out), 0);
	close(fd[0]);
	pen_buf_add(out, "", 1);
	out->n--;
}

static void expect_read(const char *in, bool dot, const char *want)
{
	struct pen_buf b;

	read_text(in, dot, &b);
	assert_string_equal((char *)b.p, want);
	pen_buf_fini(&b);
}

static void input_gets_crlf_and_may_end_at_a_dot(void **state)
{
	(void)state;
	expect_read("a\nb\r\n\nc", true, "a\r\nb\r\n\r\nc\r\n");
	expect_read("a\n.\nb\n", true, "a\r\n");
	expect_read("a\n.\r\nb\n", true, "a\r\n");
	expect_read("a\n.\nb\n", false, "a\r\n.\r\nb\r\n");
	expect_read("a\n..\nb\n", true, "a\r\n..\r\nb\r\n");
	expect_read("From a@b Sat Nov 21\nTo: x\n", true, "To: x\r\n");
	expect_read("", true, "");
}

static void recipients_are_taken_from_the_header_and_bcc_is_removed(void **state)
{
	(void)state;
	struct addresses to = {0};
	struct pen_buf b;
	char why[200];

	read_text("To: a@b,\n c@d\nBcc: e@f\nSubject: x\nbcc: g@h,\n\ti@j\nCc: K <k@l>\n\nTo: "
		  "no@no\n",
		true, &b);
	assert_int_equal(message_recipients(&b, &to, why, sizeof(why)), 0);
	static const char *const want[] = {"a@b", "c@d", "e@f", "g@h", "i@j", "k@l"};
	assert_int_equal(to.n, 6);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(to.item[i], want[i]);
	const char *rest = "To: a@b,\r\n c@d\r\nSubject: x\r\nCc: K <k@l>\r\n\r\nTo: no@no\r\n";
	assert_int_equal(b.n, strlen(rest));
	assert_memory_equal(b.p, rest, b.n);
	assert_true(message_has_field(pen_buf_span(&b), "subject"));
	assert_false(message_has_field(pen_buf_span(&b), "bcc"));
	addresses_free(&to);
	pen_buf_fini(&b);
}

static void resent_fields_win_over_the_first_ones(void **state)
{
	(void)state;
	struct addresses to = {0};
	struct pen_buf b;
	char why[200];

	read_text("Resent-To: a@b\nTo: c@d\nBcc: e@f\nResent-Bcc: g@h\n\n", true, &b);
	assert_int_equal(message_recipients(&b, &to, why, sizeof(why)), 0);
	assert_int_equal(to.n, 2);
	assert_string_equal(to.item[1], "g@h");
	assert_int_equal(b.n, strlen("Resent-To: a@b\r\nTo: c@d\r\n\r\n"));
	addresses_free(&to);
	pen_buf_fini(&b);
}

static void a_bad_list_names_its_field(void **state)
{
	(void)state;
	struct addresses to = {0};
	struct pen_buf b;
	char why[200];

	read_text("To: <a@b\n\n", true, &b);
	assert_int_equal(message_recipients(&b, &to, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "To: a < has no >");
	addresses_free(&to);
	pen_buf_fini(&b);
}

typedef enum request_result request_fn(struct requests *r, const char *text, char *why, size_t cap);

// What `fn` makes of text: the result, and the requests afterwards.
static enum request_result asked(request_fn *fn, const char *text, struct requests *r)
{
	char why[256] = "";

	*r = (struct requests){0};
	enum request_result result = fn(r, text, why, sizeof(why));
	assert_int_equal(result != REQUEST_TAKEN, why[0] != '\0');
	return result;
}

static void requests_become_parameters_of_smtp(void **state)
{
	(void)state;
	struct requests r;

	assert_int_equal(asked(request_notify, "never", &r), REQUEST_TAKEN);
	assert_string_equal(r.notify, "NEVER");
	assert_int_equal(asked(request_notify, "delay,Success", &r), REQUEST_TAKEN);
	assert_string_equal(r.notify, "SUCCESS,DELAY");
	assert_int_equal(asked(request_notify, "failure, delay,success,delay", &r), REQUEST_TAKEN);
	assert_string_equal(r.notify, "SUCCESS,FAILURE,DELAY");
	static const char *const bad[] = {"", "never,delay", "delay,", "always", "success delay"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(asked(request_notify, bad[i], &r), REQUEST_IGNORED);
		assert_string_equal(r.notify, "");
	}
	assert_int_equal(asked(request_ret, "Full", &r), REQUEST_TAKEN);
	assert_string_equal(r.ret, "FULL");
	assert_int_equal(asked(request_ret, "hdrs", &r), REQUEST_TAKEN);
	assert_string_equal(r.ret, "HDRS");
	assert_int_equal(asked(request_ret, "header", &r), REQUEST_IGNORED);
	assert_null(r.ret);
}

static void an_envelope_id_is_encoded_and_bounded(void **state)
{
	(void)state;
	struct requests r;
	char longest[200];

	assert_int_equal(asked(request_envid, "a+b=c d~", &r), REQUEST_TAKEN);
	assert_string_equal(r.envid, "a+2Bb+3Dc+20d~");
	static const char *const bad[] = {"", "a\nb", "\x7f", "\xc3\xa4"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(asked(request_envid, bad[i], &r), REQUEST_IGNORED);
		assert_string_equal(r.envid, "");
	}
	memset(longest, 'x', sizeof(longest));
	longest[100] = '\0';
	assert_int_equal(asked(request_envid, longest, &r), REQUEST_TAKEN);
	assert_string_equal(r.envid, longest);
	longest[99] = '=';
	assert_int_equal(asked(request_envid, longest, &r), REQUEST_IGNORED);
	longest[100] = 'x';
	longest[101] = '\0';
	assert_int_equal(asked(request_envid, longest, &r), REQUEST_IGNORED);
}

static void options_need_a_value_and_two_of_them_have_a_meaning(void **state)
{
	(void)state;
	struct requests r;
	char why[256];

	assert_int_equal(asked(request_option, "RequireTLS=YES", &r), REQUEST_TAKEN);
	assert_int_equal(r.requiretls, REQUEST_YES);
	assert_int_equal(request_option(&r, "requiretls=no", why, sizeof(why)), REQUEST_TAKEN);
	assert_int_equal(r.requiretls, REQUEST_NO);
	assert_int_equal(request_option(&r, "smtputf8=yes", why, sizeof(why)), REQUEST_TAKEN);
	assert_int_equal(r.smtputf8, REQUEST_YES);
	assert_int_equal(r.requiretls, REQUEST_NO);
	assert_int_equal(asked(request_option, "requiretls=maybe", &r), REQUEST_IGNORED);
	assert_int_equal(r.requiretls, REQUEST_UNSET);
	assert_int_equal(asked(request_option, "requiretls=", &r), REQUEST_IGNORED);
	assert_int_equal(asked(request_option, "smtputf8=1", &r), REQUEST_IGNORED);
	assert_int_equal(request_verp(&r, "/tmp/log", why, sizeof(why)), REQUEST_TAKEN);
	assert_false(r.verp);
	assert_int_equal(request_verp(&r, "V", why, sizeof(why)), REQUEST_TAKEN);
	assert_true(r.verp);
	assert_string_equal(r.verp_delims, "");
	assert_int_equal(request_verp(&r, "V+=", why, sizeof(why)), REQUEST_TAKEN);
	assert_string_equal(r.verp_delims, "+=");
	assert_int_equal(request_verp(&r, "V+", why, sizeof(why)), REQUEST_WRONG);
	assert_int_equal(request_verp(&r, "V+ ", why, sizeof(why)), REQUEST_WRONG);
	assert_int_equal(asked(request_option, "requiretls", &r), REQUEST_WRONG);
	assert_int_equal(asked(request_option, "QueueDirectory", &r), REQUEST_WRONG);
	assert_int_equal(asked(request_option, "QueueDirectory=/x", &r), REQUEST_TAKEN);
	assert_int_equal(r.requiretls, REQUEST_UNSET);
}

static void a_field_is_put_on_top_and_found_by_its_value(void **state)
{
	(void)state;
	struct pen_buf b;

	read_text("Subject: x\nA:\n  Yes\n\nB: yes\n", true, &b);
	assert_true(message_field_is(pen_buf_span(&b), "a", "yes"));
	assert_false(message_field_is(pen_buf_span(&b), "A", "no"));
	assert_false(message_field_is(pen_buf_span(&b), "B", "yes"));
	message_add_field(&b, "B: yes\r\n");
	assert_true(message_field_is(pen_buf_span(&b), "B", "yes"));
	assert_memory_equal(b.p, "B: yes\r\nSubject: x\r\n", 20);
	pen_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_come_out_of_every_form),
		cmocka_unit_test(faults_are_named),
		cmocka_unit_test(input_gets_crlf_and_may_end_at_a_dot),
		cmocka_unit_test(recipients_are_taken_from_the_header_and_bcc_is_removed),
		cmocka_unit_test(resent_fields_win_over_the_first_ones),
		cmocka_unit_test(a_bad_list_names_its_field),
		cmocka_unit_test(requests_become_parameters_of_smtp),
		cmocka_unit_test(an_envelope_id_is_encoded_and_bounded),
		cmocka_unit_test(options_need_a_value_and_two_of_them_have_a_meaning),
		cmocka_unit_test(a_field_is_put_on_top_and_found_by_its_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
