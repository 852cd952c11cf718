// SPDX-License-Identifier: BSD-3-Clause

// What the SMTP client says when nothing breaks, and when servers refuse.

#include "pen_test.h"
#include "smtp_client_script.h"

static struct pen_smtp_client_counters ctr;

#define PLAIN (&(struct smtp_script_options){0})
#define RUN(opt, ...) smtp_script_run(__func__, opt, (const char *const[]){__VA_ARGS__, NULL}, &ctr)

// A server with PIPELINING, and one without, up to READY.
#define HELLO_PIPE                                                                                 \
	"S: 220 mx ESMTP", "C: EHLO me.example", "S: 250-mx\r\n250 PIPELINING",                    \
		"E: ready tls=0 size=0"
#define HELLO_SLOW "S: 220 mx ESMTP", "C: EHLO me.example", "S: 250 mx", "E: ready tls=0 size=0"
#define BYE "Q", "C: QUIT", "S: 221 bye", "E: end 2.0.0 session ended"
#define ENVELOPE1 "C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>", "C: DATA"
#define ENVELOPE2                                                                                  \
	"C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>", "C: RCPT TO:<r1@b.example>",    \
		"C: DATA"

static void a_message_goes_out_in_one_group_and_is_dot_stuffed(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - .x\r\n..\r\ny.z\r\n.\r\n\r\n.end\r\n", ENVELOPE1,
		"S: 250 ok", "S: 250 ok", "S: 354 go", "C: ..x", "C: ...", "C: y.z", "C: ..",
		"C: ", "C: ..end", "C: .", "S: 250 2.0.0 Ok: queued as 7",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 2.0.0 Ok: queued as 7", BYE);
	assert_int_equal(ctr.messages_accepted, 1);
	assert_int_equal(ctr.transactions, 1);
	assert_int_equal(ctr.sessions_clean, 1);
}

static void replies_in_one_piece_answer_a_whole_group(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", ENVELOPE2,
		"S: 250 2.1.0 s\r\n250 2.1.5 r\r\n250 2.1.5 r\r\n354 go", "C: x", "C: .",
		"S: 250 ok", "E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok",
		"E: rcpt 2.0.0 M 250 ok", BYE);
}

static void without_pipelining_each_command_waits(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_SLOW, "D: a 2 - x\r\n", "D: b 1 - y\r\n", "C: MAIL FROM:<s@a.example>",
		"S: 250 ok", "C: RCPT TO:<r0@b.example>", "S: 250 ok", "C: RCPT TO:<r1@b.example>",
		"S: 550 5.1.1 no", "C: DATA", "S: 354 go", "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok",
		"E: rcpt 5.1.1 R host mx[192.0.2.1] said: 550 5.1.1 no (in reply to RCPT TO "
		"command)",
		"C: MAIL FROM:<s@a.example>", "S: 250 ok", "C: RCPT TO:<r0@b.example>", "S: 250 ok",
		"C: DATA", "S: 354 go", "C: y", "C: .", "S: 250 ok",
		"E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 ok", BYE);
}

static void the_next_mail_follows_the_final_dot(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", "D: c 1 - z\r\n", ENVELOPE1,
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", ENVELOPE1, "K", "S: 250 a",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 a",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: y", "C: .", ENVELOPE1, "S: 250 b",
		"E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 b",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: z", "C: .", "S: 250 c",
		"E: done c tried=1 dot=2 use=3", "E: rcpt 2.0.0 M 250 c", BYE);
}

static void a_final_dot_waits_until_the_result_before_it_is_on_disk(void **state)
{
	(void)state;
	const struct smtp_script_options held = {.hold_dots = true};
	RUN(&held, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1,
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", ENVELOPE1, "S: 250 a",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 a",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: y", "N", "R", "C: .", "S: 250 b",
		"E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 b", BYE);
}

static void a_refused_message_holds_nothing_back(void **state)
{
	(void)state;
	const struct smtp_script_options held = {.hold_dots = true};
	RUN(&held, HELLO_SLOW, "D: a 1 - x\r\n", "D: b 1 - y\r\n", "C: MAIL FROM:<s@a.example>",
		"S: 450 later", "E: done a tried=1 dot=0 use=1", "E: rcpt 4.0.0 M *",
		"C: MAIL FROM:<s@a.example>", "S: 250 ok", "C: RCPT TO:<r0@b.example>", "S: 250 ok",
		"C: DATA", "S: 354 go", "C: y", "C: .", "S: 250 b", "E: done b tried=1 dot=2 use=2",
		"E: rcpt 2.0.0 M 250 b", BYE);
}

static void a_dot_held_too_long_ends_the_session_without_a_duplicate(void **state)
{
	(void)state;
	const struct smtp_script_options held = {.hold_dots = true};
	RUN(&held, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1,
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", ENVELOPE1, "S: 250 a",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 a",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: y", "T: 181", "E: done b tried=1 dot=0 use=2",
		"E: rcpt 4.4.2 *", "E: end 4.4.2 *");
}

static void content_without_bytes_or_without_a_line_end_is_ended_properly(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 -", ENVELOPE1, "S: 250 ok\r\n250 ok\r\n354 go", "C: .",
		"S: 250 ok", "E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok",
		"D: b 1 - x", ENVELOPE1, "S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .",
		"S: 250 ok", "E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 ok", BYE);
}

static void size_and_8bitmime_are_used_when_offered(void **state)
{
	(void)state;
	RUN(PLAIN, "S: 220 mx", "C: EHLO me.example",
		"S: 250-mx\r\n250-size 8\r\n250-8bitmime\r\n250-PIPELININGX\r\n250 X=y",
		"E: ready tls=0 size=8", "D: big 1 - 123456789", "D: a 1 8 123456\r\n",
		"E: done big tried=1 dot=0 use=1",
		"E: rcpt 5.3.4 M message size 9 exceeds size limit 8 of server mx[192.0.2.1]",
		"C: MAIL FROM:<s@a.example> SIZE=8 BODY=8BITMIME", "S: 250 ok",
		"C: RCPT TO:<r0@b.example>", "S: 250 ok", "C: DATA", "S: 354 go", "C: 123456",
		"C: .", "S: 250 ok", "E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok",
		BYE);
	assert_int_equal(ctr.size_exceeded, 1);
	assert_int_equal(ctr.eight_bit_not_offered, 0);
}

static void eight_bit_content_is_counted_where_the_server_has_no_8bitmime(void **state)
{
	(void)state;
	RUN(PLAIN, "S: 220 mx", "C: EHLO me.example", "S: 250-mx\r\n250 SIZE",
		"E: ready tls=0 size=0", "D: a 1 8 x\r\n", "C: MAIL FROM:<s@a.example> SIZE=3",
		"S: 451 4.3.0 no", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.3.0 M host mx[192.0.2.1] said: 451 4.3.0 no (in reply to MAIL FROM "
		"command)",
		BYE);
	assert_int_equal(ctr.eight_bit_not_offered, 1);
}

static void a_server_that_refuses_ehlo_gets_helo(void **state)
{
	(void)state;
	RUN(PLAIN, "S: 220 mx", "C: EHLO me.example", "S: 502 what", "C: HELO me.example",
		"S: 250 mx", "E: ready tls=0 size=0", BYE);
	assert_int_equal(ctr.helo_fallbacks, 1);
	RUN(PLAIN, "S: 220 mx", "C: EHLO me.example", "S: 502 what", "C: HELO me.example",
		"S: 550 5.7.1 never", "C: QUIT", "S: 221 bye",
		"E: end 5.7.1 host mx[192.0.2.1] refused to talk to me: 550 5.7.1 never");
	RUN(PLAIN, "S: 220 mx", "C: EHLO me.example", "S: 421 busy",
		"E: end 4.0.0 host mx[192.0.2.1] refused to talk to me: 421 busy");
}

static void a_bad_greeting_is_a_temporary_failure_of_the_session(void **state)
{
	(void)state;
	RUN(PLAIN, "S: 554 5.7.1 go away", "C: QUIT", "L: 10", "S: 221 bye",
		"E: end 4.7.1 host mx[192.0.2.1] refused to talk to me: 554 5.7.1 go away");
	RUN(PLAIN, "S: 450 later", "C: QUIT", "X",
		"E: end 4.0.0 host mx[192.0.2.1] refused to talk to me: 450 later");
	RUN(PLAIN, "S: 450 later", "C: QUIT", "T: 9", "T: 1",
		"E: end 4.0.0 host mx[192.0.2.1] refused to talk to me: 450 later");
	RUN(PLAIN, "S: 421 4.3.2 busy",
		"E: end 4.3.2 host mx[192.0.2.1] refused to talk to me: 421 4.3.2 busy");
	RUN(PLAIN, "S: SSH-2.0-x",
		"E: end 4.5.0 host mx[192.0.2.1] sent a malformed reply while receiving the "
		"initial server greeting");
	assert_int_equal(ctr.bad_replies, 1);
}

static void refused_recipients_have_their_own_results(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", ENVELOPE2, "S: 250 ok", "S: 550-5.1.1 no",
		"S: 550 5.1.1 such", "S: 250 ok", "S: 354 go", "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1",
		"E: rcpt 5.1.1 R host mx[192.0.2.1] said: 550 5.1.1 no such (in reply to RCPT TO "
		"command)",
		"E: rcpt 2.0.0 M 250 ok", BYE);
	assert_int_equal(ctr.rcpt_refused, 1);
}

#define SAID(text, cmd) "host mx[192.0.2.1] said: " text " (in reply to " cmd " command)"

static void without_recipients_a_server_that_wants_content_gets_a_lone_dot(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", "D: b 1 - y\r\n", ENVELOPE2, "S: 250 ok",
		"S: 550 no", "S: 450 no", "S: 354 go", "C: .", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"),
		"E: rcpt 4.0.0 R " SAID("450 no", "RCPT TO"), ENVELOPE1, "S: 554 no recipients",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: y", "C: .", "K", "S: 250 ok",
		"E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 ok", BYE);
	assert_int_equal(ctr.lone_dots, 1);
	assert_int_equal(ctr.rsets, 0);
}

static void without_recipients_a_refused_data_is_fine_and_reset_follows(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1, "S: 250 ok",
		"S: 550 no", "S: 554 no recipients", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"), "C: RSET", ENVELOPE1, "S: 250 reset",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: y", "C: .", "S: 250 ok",
		"E: done b tried=1 dot=2 use=2", "E: rcpt 2.0.0 M 250 ok", BYE);
	assert_int_equal(ctr.rsets, 1);
	// Without PIPELINING: no DATA, and RSET waits for its answer.
	RUN(PLAIN, HELLO_SLOW, "D: a 1 - x\r\n", "D: b 1 - y\r\n", "C: MAIL FROM:<s@a.example>",
		"S: 250 ok", "C: RCPT TO:<r0@b.example>", "S: 550 no",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 5.0.0 R " SAID("550 no", "RCPT TO"),
		"C: RSET", "L: 20", "S: 250 reset", "C: MAIL FROM:<s@a.example>", "L: 300",
		"S: 550 no", "E: done b tried=1 dot=0 use=2",
		"E: rcpt 5.0.0 M " SAID("550 no", "MAIL FROM"), BYE);
}

static void a_refused_sender_fails_all_recipients(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", "D: b 1 - y\r\n", ENVELOPE2, "S: 550 5.7.1 no",
		"S: 503 5.5.1 need MAIL", "S: 503 5.5.1 need MAIL", "S: 503 5.5.1 need RCPT",
		"E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.7.1 M " SAID("550 5.7.1 no", "MAIL FROM"),
		"E: rcpt 5.7.1 M " SAID("550 5.7.1 no", "MAIL FROM"), ENVELOPE1,
		"S: 452 4.3.1 full\r\n503 x\r\n354 go", "C: .", "E: done b tried=1 dot=0 use=2",
		"E: rcpt 4.3.1 M " SAID("452 4.3.1 full", "MAIL FROM"), "S: 250 whatever", BYE);
	assert_int_equal(ctr.mail_refused, 2);
}

static void an_empty_message_is_never_sent_to_a_confused_server(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "S: 550 no", "S: 250 yes", "S: 354 go",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 5.0.0 M " SAID("550 no", "MAIL FROM"),
		"E: end 4.5.0 protocol error: host mx[192.0.2.1] said: 354 go");
}

static void refused_data_and_refused_content_fail_the_accepted_recipients(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 2 - x\r\n", "D: b 1 - y\r\n", ENVELOPE2, "S: 250 ok",
		"S: 551 no", "S: 250 ok", "S: 451 4.3.0 no data", "E: done a tried=1 dot=0 use=1",
		"E: rcpt 5.0.0 R " SAID("551 no", "RCPT TO"),
		"E: rcpt 4.3.0 M " SAID("451 4.3.0 no data", "DATA"), "C: RSET", ENVELOPE1,
		"S: 250 reset\r\n250 ok\r\n250 ok\r\n354 go", "C: y", "C: .", "S: 554 5.6.0 virus",
		"E: done b tried=1 dot=2 use=2",
		"E: rcpt 5.6.0 M " SAID("554 5.6.0 virus", "end of DATA"), BYE);
	assert_int_equal(ctr.data_refused, 1);
	assert_int_equal(ctr.dot_refused, 1);
}

static void long_envelopes_need_no_more_memory(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 16 - x\r\n", "C: MAIL FROM:<s@a.example>",
		"C: RCPT TO:<r0@b.example>", "C: RCPT TO:<r1@b.example>",
		"C: RCPT TO:<r2@b.example>", "C: RCPT TO:<r3@b.example>",
		"C: RCPT TO:<r4@b.example>", "C: RCPT TO:<r5@b.example>",
		"C: RCPT TO:<r6@b.example>", "C: RCPT TO:<r7@b.example>",
		"C: RCPT TO:<r8@b.example>", "C: RCPT TO:<r9@b.example>",
		"C: RCPT TO:<r10@b.example>", "C: RCPT TO:<r11@b.example>",
		"C: RCPT TO:<r12@b.example>", "C: RCPT TO:<r13@b.example>",
		"C: RCPT TO:<r14@b.example>", "C: RCPT TO:<r15@b.example>", "C: DATA", "X",
		"E: done a tried=1 dot=0 use=1",
		"E: rcpt 4.4.2 S lost connection with mx[192.0.2.1] while sending MAIL FROM",
		"E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*",
		"E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*",
		"E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*",
		"E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: rcpt 4.4.2*", "E: end 4.4.2*");
}

static void a_sender_refused_while_its_group_is_half_sent_ends_the_group(void **state)
{
	(void)state;
	// 16 recipients do not fit into the buffer: the group stops behind the
	// command that was cut, and nothing refers to the delivery afterwards.
	RUN(PLAIN, HELLO_PIPE, "H", "D: a 16 - x\r\n", "P: 1", "S: 550 no", "G",
		"C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>",
		"C: RCPT TO:<r1@b.example>", "C: RCPT TO:<r2@b.example>",
		"C: RCPT TO:<r3@b.example>", "C: RCPT TO:<r4@b.example>",
		"C: RCPT TO:<r5@b.example>", "C: RCPT TO:<r6@b.example>",
		"S: 503 x\r\n503 x\r\n503 x\r\n503 x\r\n503 x\r\n503 x", "S: 503 x",
		"E: done a tried=1 dot=0 use=1", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*",
		"E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*",
		"E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*",
		"E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*",
		"E: rcpt 5.0.0 M*", "E: rcpt 5.0.0 M*", BYE);
}

static void the_session_quits_after_its_last_message_or_at_its_age(void **state)
{
	(void)state;
	struct smtp_script_options one = {.max_messages = 1};
	RUN(&one, HELLO_PIPE, "D: a 1 - x\r\n", "D: b 1 - y\r\n", ENVELOPE1,
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok", "C: QUIT", "L: 300",
		"S: 221 bye", "E: end 2.0.0 session ended");
	struct smtp_script_options age = {.max_age = 100 * PEN_US_PER_S};
	RUN(&age, HELLO_PIPE, "T: 1", "D: a 1 - x\r\n", ENVELOPE1, "T: 99",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "D: b 1 - y\r\n", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok", "C: QUIT", "X",
		"E: end 2.0.0 session ended");
}

static void an_idle_session_quits_after_the_idle_time(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "L: 2", "T: 1", "W", "D: a 1 - x\r\n", ENVELOPE1,
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok", "L: 2", "T: 2",
		"C: QUIT", "L: 300", "S: 221 bye", "E: end 2.0.0 session ended");
	assert_int_equal(ctr.idle_quits, 1);
}

static void close_waits_for_what_is_under_way(void **state)
{
	(void)state;
	RUN(PLAIN, "Q", HELLO_PIPE, "C: QUIT", "S: 500 whatever", "E: end 2.0.0 session ended");
	RUN(PLAIN, HELLO_PIPE, "D: a 1 - x\r\n", ENVELOPE1, "Q", "D: b 1 - y\r\n",
		"S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 ok",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 M 250 ok", "C: QUIT", "T: 300",
		"E: end 2.0.0 session ended");
	assert_int_equal(ctr.quit_timeouts, 1);
}

static void a_delivery_without_recipients_is_handed_back(void **state)
{
	(void)state;
	RUN(PLAIN, HELLO_PIPE, "D: a 0 - x\r\n", "E: done a tried=1 dot=0 use=1", BYE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_goes_out_in_one_group_and_is_dot_stuffed),
		cmocka_unit_test(replies_in_one_piece_answer_a_whole_group),
		cmocka_unit_test(without_pipelining_each_command_waits),
		cmocka_unit_test(the_next_mail_follows_the_final_dot),
		cmocka_unit_test(a_final_dot_waits_until_the_result_before_it_is_on_disk),
		cmocka_unit_test(a_refused_message_holds_nothing_back),
		cmocka_unit_test(a_dot_held_too_long_ends_the_session_without_a_duplicate),
		cmocka_unit_test(content_without_bytes_or_without_a_line_end_is_ended_properly),
		cmocka_unit_test(size_and_8bitmime_are_used_when_offered),
		cmocka_unit_test(eight_bit_content_is_counted_where_the_server_has_no_8bitmime),
		cmocka_unit_test(a_server_that_refuses_ehlo_gets_helo),
		cmocka_unit_test(a_bad_greeting_is_a_temporary_failure_of_the_session),
		cmocka_unit_test(refused_recipients_have_their_own_results),
		cmocka_unit_test(without_recipients_a_server_that_wants_content_gets_a_lone_dot),
		cmocka_unit_test(without_recipients_a_refused_data_is_fine_and_reset_follows),
		cmocka_unit_test(a_refused_sender_fails_all_recipients),
		cmocka_unit_test(an_empty_message_is_never_sent_to_a_confused_server),
		cmocka_unit_test(refused_data_and_refused_content_fail_the_accepted_recipients),
		cmocka_unit_test(long_envelopes_need_no_more_memory),
		cmocka_unit_test(a_sender_refused_while_its_group_is_half_sent_ends_the_group),
		cmocka_unit_test(the_session_quits_after_its_last_message_or_at_its_age),
		cmocka_unit_test(an_idle_session_quits_after_the_idle_time),
		cmocka_unit_test(close_waits_for_what_is_under_way),
		cmocka_unit_test(a_delivery_without_recipients_is_handed_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
