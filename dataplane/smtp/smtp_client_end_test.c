// SPDX-License-Identifier: BSD-3-Clause

// How sessions of the SMTP client end: 421, closed connections, time limits,
// STARTTLS, and replies that nobody asked for.

#include "pen_test.h"
#include "smtp_client_script.h"

static struct pen_smtp_client_counters ctr;

#define PLAIN (&(struct smtp_script_options){0})
#define MAY (&(struct smtp_script_options){.tls = PEN_TLS_MAY})
#define ENCRYPT (&(struct smtp_script_options){.tls = PEN_TLS_ENCRYPT})
#define RUN(opt, ...) smtp_script_run(__func__, opt, (const char *const[]){__VA_ARGS__, NULL}, &ctr)

#define GREET "S: 220 mx ESMTP", "C: EHLO me.example"
#define HELLO_PIPE GREET, "S: 250-mx\r\n250 PIPELINING", "E: ready tls=0 size=0"
#define HELLO_SLOW GREET, "S: 250 mx", "E: ready tls=0 size=0"
#define ENVELOPE1 "C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>", "C: DATA"
#define ACCEPT1 "S: 250 ok\r\n250 ok\r\n354 go"
#define GOOD "E: rcpt 2.0.0 M 250 ok"
// Delivery a is done; b, in the same session, has just been begun.
#define SECOND                                                                                     \
	HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1, ACCEPT1, "C: x", "C: .",        \
		ENVELOPE1, "S: 250 ok", "E: done a tried=1 dot=2 use=1", GOOD
#define SAID(text, cmd) "host mx[192.0.2.1] said: " text " (in reply to " cmd " command)"
#define LOST "4.4.2 S lost connection with mx[192.0.2.1] while "
#define SLOW "4.4.2 S conversation with mx[192.0.2.1] timed out while "
#define END_LOST "E: end 4.4.2 lost connection with mx[192.0.2.1] while "
#define END_SLOW "E: end 4.4.2 conversation with mx[192.0.2.1] timed out while "
#define DOT "sending end of data -- message may be sent more than once"

static void code_421_ends_the_session_with_the_command_it_answers(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1, "S: 421 4.3.2 down",
		"E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.3.2 M " SAID("421 4.3.2 down", "MAIL FROM"),
		"E: end 4.3.2 " SAID("421 4.3.2 down", "MAIL FROM"));
	assert_int_equal(ctr.replies_421, 1);
	RUN(PLAIN, HELLO_PIPE, "D: a 3 - x\r\n", "C: MAIL FROM:<s@a.example>",
		"C: RCPT TO:<r0@b.example>", "C: RCPT TO:<r1@b.example>",
		"C: RCPT TO:<r2@b.example>", "C: DATA", "S: 250 ok\r\n550 no\r\n421 down",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"),
		"E: rcpt 4.0.0 R " SAID("421 down", "RCPT TO"),
		"E: rcpt 4.0.0 S " SAID("421 down", "RCPT TO"),
		"E: end 4.0.0 " SAID("421 down", "RCPT TO"));
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok\r\n250 ok\r\n421 down",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 4.0.0 M " SAID("421 down", "DATA"),
		"E: end 4.0.0 " SAID("421 down", "DATA"));
}

static void code_421_to_a_final_dot_leaves_the_next_delivery_untried(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1, ACCEPT1, "C: x",
		"C: .", ENVELOPE1, "S: 421 down", "E: done a tried=1 dot=2 use=1",
		"E: rcpt 4.0.0 M " SAID("421 down", "end of DATA"), "E: done b tried=0 dot=0 use=2",
		"E: end 4.0.0 " SAID("421 down", "end of DATA"));
	assert_int_equal(ctr.unattempted, 1);
	// RSET is refused: b behind it was not tried either.
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1,
		"S: 250 ok\r\n550 no\r\n503 no", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"), "C: RSET", ENVELOPE1, "S: 500 what",
		"E: done b tried=0 dot=0 use=2", "E: end 4.0.0 " SAID("500 what", "RSET"));
	assert_int_equal(ctr.rset_refused, 1);
}

static void a_lost_connection_names_what_we_were_doing(void **state)
{
	(void)state;
	RUN(PLAIN, "X", END_LOST "receiving the initial server greeting");
	RUN(PLAIN, GREET, "X", END_LOST "performing the EHLO handshake");
	RUN(PLAIN, GREET, "S: 500 x", "C: HELO me.example", "X",
		END_LOST "performing the HELO handshake");
	RUN(PLAIN, HELLO_PIPE, "X", END_LOST "waiting for a delivery");
	RUN(PLAIN, HELLO_SLOW, "D: a 1 - x\r\n", "C: MAIL FROM:<s@a.example>", "X",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " LOST "sending MAIL FROM",
		END_LOST "sending MAIL FROM");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok", "X",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " LOST "sending RCPT TO",
		END_LOST "sending RCPT TO");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok\r\n250 ok", "X",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " LOST "sending DATA command",
		END_LOST "sending DATA command");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "H", ACCEPT1, "X",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " LOST "sending message body",
		END_LOST "sending message body");
	assert_int_equal(ctr.lost, 1);
	assert_int_equal(ctr.sessions_failed, 1);
}

static void a_lost_final_reply_tells_whether_the_dot_was_acknowledged(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, ACCEPT1, "C: x", "C: .", "X",
		"E: done a tried=1 dot=1 use=1", "E: rcpt " LOST DOT, END_LOST DOT);
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1, ACCEPT1, "C: x",
		"C: .", ENVELOPE1, "K", "X", "E: done a tried=1 dot=2 use=1", "E: rcpt " LOST DOT,
		"E: done b tried=0 dot=0 use=2", END_LOST DOT);
	// An acknowledgement that comes late does not count for the next message.
	RUN(PLAIN, SECOND, "K", ACCEPT1, "C: y", "C: .", "X", "E: done b tried=1 dot=1 use=2",
		"E: rcpt " LOST DOT, END_LOST DOT);
	RUN(PLAIN, SECOND, ACCEPT1, "C: y", "C: .", "K", "X", "E: done b tried=1 dot=1 use=2",
		"E: rcpt " LOST DOT, END_LOST DOT);
	RUN(PLAIN, SECOND, ACCEPT1, "C: y", "C: .", "K", "K", "X", "E: done b tried=1 dot=2 use=2",
		"E: rcpt " LOST DOT, END_LOST DOT);
}

static void a_reused_session_that_was_closed_costs_no_attempt(void **state)
{
	(void)state;
	RUN(PLAIN, SECOND, "X", "E: done b tried=0 dot=0 use=2", END_LOST "sending MAIL FROM");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, ACCEPT1, "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", GOOD, "X", "E: end 2.0.0 session ended");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, ACCEPT1, "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", GOOD, "S: 421 idle for too long",
		"E: end 2.0.0 session ended");
	assert_int_equal(ctr.early_replies, 1);
	// A session that was never of use is a failure.
	RUN(PLAIN, HELLO_PIPE, "S: 554 5.3.2 no",
		"E: end 4.3.2 host mx[192.0.2.1] ended the session: 554 5.3.2 no");
}

static void every_stage_has_its_time_limit(void **state)
{
	(void)state;
	RUN(PLAIN, "L: 300", "T: 299", "T: 1", END_SLOW "receiving the initial server greeting");
	RUN(PLAIN, "T: 200", GREET, "L: 300", "T: 300", END_SLOW "performing the EHLO handshake");
	RUN(PLAIN, GREET, "S: 500 x", "C: HELO me.example", "T: 300",
		END_SLOW "performing the HELO handshake");
	RUN(PLAIN, HELLO_PIPE, "T: 1", "D: a 1 - x\r\n", ENVELOPE1, "L: 300", "T: 300",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " SLOW "sending MAIL FROM",
		END_SLOW "sending MAIL FROM");
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", "C: MAIL FROM:<s@a.example>",
		"C: RCPT TO:<r0@b.example>", "C: RCPT TO:<r1@b.example>", "C: DATA", "S: 250 ok",
		"T: 299", "S: 250 ok", "L: 300", "T: 300", "E: done a tried=1 dot=0 use=1",
		"E: rcpt " SLOW "sending RCPT TO", "E: rcpt " SLOW "sending RCPT TO",
		END_SLOW "sending RCPT TO");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok\r\n250 ok", "L: 120",
		"T: 120", "E: done a tried=1 dot=0 use=1", "E: rcpt " SLOW "sending DATA command",
		END_SLOW "sending DATA command");
}

static void stalled_content_and_a_missing_final_reply_time_out(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - \r\nx\r\n", ENVELOPE1, "H", ACCEPT1, "L: 180", "T: 100",
		"P: 2", "C: ", "L: 180", "T: 179", "T: 1", "E: done a tried=1 dot=0 use=1",
		"E: rcpt " SLOW "sending message body", END_SLOW "sending message body");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - x\r\n", ENVELOPE1, ACCEPT1, "C: x",
		"C: .", ENVELOPE1, "L: 600", "K", "T: 600", "E: done a tried=1 dot=2 use=1",
		"E: rcpt " SLOW DOT, "E: done b tried=0 dot=0 use=2", END_SLOW DOT);
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1,
		"S: 250 ok\r\n550 no\r\n503 no", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"), "C: RSET", ENVELOPE1, "L: 20",
		"T: 20", "E: done b tried=0 dot=0 use=2", END_SLOW "sending RSET");
	assert_int_equal(ctr.timeouts, 1);
}

static void a_final_reply_before_the_final_dot_ends_the_session(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - \r\nx\r\n", "D: b 1 - y\r\n", ENVELOPE1, "H", ACCEPT1,
		"P: 2", "C: ", "S: 552 5.3.4 too big", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.3.4 M " SAID("552 5.3.4 too big", "end of DATA"),
		"E: end 2.0.0 session ended");
	assert_int_equal(ctr.early_final_replies, 1);
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - \r\nx\r\n", ENVELOPE1, "H", ACCEPT1, "S: 421 down",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 4.0.0 M " SAID("421 down", "end of DATA"),
		"E: end 4.0.0 " SAID("421 down", "end of DATA"));
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - \r\nx\r\n", ENVELOPE1, "H", ACCEPT1, "S: 250 ok",
		"E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.7.0 S host mx[192.0.2.1] replied 250 before the message was sent",
		"E: end 4.7.0 host mx[192.0.2.1] replied 250 before the message was sent");
	assert_int_equal(ctr.protocol_errors, 1);
}

static void replies_of_the_wrong_kind_end_the_session(void **state)
{
	(void)state;
#define WRONG(text) "protocol error: host mx[192.0.2.1] said: " text
	RUN(PLAIN, HELLO_PIPE, "S: 250 hello?", "E: end 4.5.0 " WRONG("250 hello?"));
	RUN(PLAIN, HELLO_SLOW, "D: a 1 - x\r\n", "C: MAIL FROM:<s@a.example>", "S: 354 go",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 4.5.0 S " WRONG("354 go"),
		"E: end 4.5.0 " WRONG("354 go"));
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok\r\n250 ok\r\n250 ok",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 4.5.0 S " WRONG("250 ok"),
		"E: end 4.5.0 " WRONG("250 ok"));
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, ACCEPT1, "C: x", "C: .", "S: 354 more",
		"E: done a tried=1 dot=1 use=1", "E: rcpt 4.5.0 S " WRONG("354 more"),
		"E: end 4.5.0 " WRONG("354 more"));
	RUN(PLAIN, "H", "S: 220 mx", "S: 250 early", "E: end 4.5.0 " WRONG("250 early"));
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 250 ok", "S: ok",
		"E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.5.0 S host mx[192.0.2.1] sent a malformed reply while sending RCPT TO",
		"E: end 4.5.0*");
}

#define OFFER GREET, "S: 250-mx\r\n250-SIZE 9\r\n250-PIPELINING\r\n250 STARTTLS"

static void starttls_is_used_as_the_level_says(void **state)
{
	(void)state;
	RUN(PLAIN, OFFER, "E: ready tls=0 size=9", "Q", "C: QUIT", "X",
		"E: end 2.0.0 session ended");
	RUN(MAY, HELLO_PIPE, "Q", "C: QUIT", "X", "E: end 2.0.0 session ended");
	// What was said in plaintext is forgotten: no PIPELINING, no SIZE.
	RUN(ENCRYPT, OFFER, "C: STARTTLS", "L: 300", "S: 220 go", "E: starttls", "L: 300", "U",
		"C: EHLO me.example", "L: 300", "S: 250 mx", "E: ready tls=1 size=0",
		"D: a 1 - 1234567890\r\n", "C: MAIL FROM:<s@a.example>", "X",
		"E: done a tried=1 dot=0 use=1", "E: rcpt " LOST "sending MAIL FROM",
		END_LOST "sending MAIL FROM");
	assert_int_equal(ctr.starttls, 1);
	// No second STARTTLS, and HELO may follow inside TLS.
	RUN(MAY, OFFER, "C: STARTTLS", "S: 220 go", "E: starttls", "U", "C: EHLO me.example",
		"S: 250-mx\r\n250 STARTTLS", "E: ready tls=1 size=0", "Q", "C: QUIT", "X",
		"E: end 2.0.0 session ended");
}

static void starttls_that_is_refused_is_fatal_only_where_tls_is_required(void **state)
{
	(void)state;
	RUN(MAY, OFFER, "C: STARTTLS", "S: 454 4.7.0 not now", "E: ready tls=0 size=9", "Q",
		"C: QUIT", "X", "E: end 2.0.0 session ended");
	RUN(MAY, OFFER, "C: STARTTLS", "S: 421 bye",
		"E: end 4.0.0 host mx[192.0.2.1] refused to start TLS: 421 bye");
#define REFUSED "TLS is required, but host mx[192.0.2.1] refused to start TLS: "
	RUN(ENCRYPT, OFFER, "C: STARTTLS", "S: 454 4.7.0 not now", "C: QUIT", "S: 221 bye",
		"E: end 4.7.0 " REFUSED "454 4.7.0 not now");
	RUN(ENCRYPT, OFFER, "C: STARTTLS", "S: 554 5.7.0 never", "C: QUIT", "S: 221 bye",
		"E: end 5.7.0 " REFUSED "554 5.7.0 never");
	RUN(ENCRYPT, GREET, "S: 250-mx\r\n250 PIPELINING", "C: QUIT", "S: 221 bye",
		"E: end 4.7.4 TLS is required, but was not offered by host mx[192.0.2.1]");
	assert_int_equal(ctr.starttls_not_offered, 1);
	RUN(ENCRYPT, GREET, "S: 500 x", "C: HELO me.example", "S: 250 mx", "C: QUIT", "S: 221 x",
		"E: end 4.7.4 TLS is required, but was not offered by host mx[192.0.2.1]");
	RUN(ENCRYPT, OFFER, "C: STARTTLS", "X", END_LOST "receiving the STARTTLS response");
	RUN(ENCRYPT, OFFER, "C: STARTTLS", "T: 300", END_SLOW "receiving the STARTTLS response");
}

static void a_failed_handshake_ends_the_session_without_a_word(void **state)
{
	(void)state;
	RUN(MAY, OFFER, "C: STARTTLS", "S: 220 go", "E: starttls", "F: it broke",
		"E: end 4.7.5 Cannot start TLS with mx[192.0.2.1]: handshake failure: it broke");
	RUN(MAY, OFFER, "C: STARTTLS", "S: 220 go", "E: starttls", "T: 300",
		END_SLOW "performing the TLS handshake");
}

static void plaintext_behind_the_starttls_reply_is_dropped(void **state)
{
	(void)state;
	RUN(MAY, OFFER, "C: STARTTLS", "S: 220 go\r\n250-evil\r\n250 PIPELINING", "E: starttls",
		"U", "C: EHLO me.example", "S: 250 mx", "E: ready tls=1 size=0", "D: a 1 - x\r\n",
		"C: MAIL FROM:<s@a.example>", "S: 421 x", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.0.0 M*", "E: end 4.0.0*");
	assert_int_equal(ctr.starttls_injected_bytes, 26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_421_ends_the_session_with_the_command_it_answers),
		cmocka_unit_test(code_421_to_a_final_dot_leaves_the_next_delivery_untried),
		cmocka_unit_test(a_lost_connection_names_what_we_were_doing),
		cmocka_unit_test(a_lost_final_reply_tells_whether_the_dot_was_acknowledged),
		cmocka_unit_test(a_reused_session_that_was_closed_costs_no_attempt),
		cmocka_unit_test(every_stage_has_its_time_limit),
		cmocka_unit_test(stalled_content_and_a_missing_final_reply_time_out),
		cmocka_unit_test(a_final_reply_before_the_final_dot_ends_the_session),
		cmocka_unit_test(replies_of_the_wrong_kind_end_the_session),
		cmocka_unit_test(starttls_is_used_as_the_level_says),
		cmocka_unit_test(starttls_that_is_refused_is_fatal_only_where_tls_is_required),
		cmocka_unit_test(a_failed_handshake_ends_the_session_without_a_word),
		cmocka_unit_test(plaintext_behind_the_starttls_reply_is_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
