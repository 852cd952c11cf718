// SPDX-License-Identifier: BSD-3-Clause

// The SMTP client's extensions: DSN, LMTP, keywords that are ignored, and
// servers that have our own name.

#include "pen_test.h"
#include "smtp_client_script.h"

static struct pen_smtp_client_counters ctr;

#define PLAIN (&(struct smtp_script_options){0})
#define WITH(...) (&(struct smtp_script_options){__VA_ARGS__})
#define RUN(opt, ...) smtp_script_run(__func__, opt, (const char *const[]){__VA_ARGS__, NULL}, &ctr)

#define MX "mx[192.0.2.1]"
#define GREET "S: 220 mx ESMTP", "C: EHLO me.example"
#define BYE "Q", "C: QUIT", "S: 221 bye", "E: end 2.0.0 session ended"
#define NOT_NOW "S: 450 no", "S: 503 x", "S: 503 x", "S: 503 x"
#define NOT_SENT "E: done a tried=1 dot=0 use=1", "E: rcpt 4.0.0 M*", "E: rcpt 4.0.0 M*"

static void dsn_parameters_go_to_servers_that_know_them(void **state)
{
	(void)state;
	const struct smtp_script_options *all =
		WITH(.envid = "id+2B7", .ret = PEN_RET_FULL, .orcpt = "rfc822;r+2Bx@b.example",
			.notify = {PEN_NOTIFY_SUCCESS | PEN_NOTIFY_DELAY, PEN_NOTIFY_NEVER});
	RUN(all, GREET, "S: 250-mx\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 DSN",
		"E: ready tls=0 size=0", "D: a 2 8 x\r\n",
		"C: MAIL FROM:<s@a.example> SIZE=3 BODY=8BITMIME ENVID=id+2B7 RET=FULL",
		"C: RCPT TO:<r0@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;r+2Bx@b.example",
		"C: RCPT TO:<r1@b.example> NOTIFY=NEVER ORCPT=rfc822;r+2Bx@b.example", "C: DATA",
		NOT_NOW, NOT_SENT, BYE);
	RUN(all, GREET, "S: 250-mx\r\n250 PIPELINING", "E: ready tls=0 size=0", "D: a 2 - x\r\n",
		"C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>",
		"C: RCPT TO:<r1@b.example>", "C: DATA", NOT_NOW, NOT_SENT, BYE);
	RUN(WITH(.ret = PEN_RET_HDRS,
		    .notify = {PEN_NOTIFY_FAILURE,
			    PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY}),
		GREET, "S: 250-mx\r\n250-PIPELINING\r\n250 DSN", "E: ready tls=0 size=0",
		"D: a 2 - x\r\n", "C: MAIL FROM:<s@a.example> RET=HDRS",
		"C: RCPT TO:<r0@b.example> NOTIFY=FAILURE",
		"C: RCPT TO:<r1@b.example> NOTIFY=SUCCESS,FAILURE,DELAY", "C: DATA", NOT_NOW,
		NOT_SENT, BYE);
}

static void keywords_can_be_ignored(void **state)
{
	(void)state;
	const struct smtp_script_options *deaf =
		WITH(.envid = "7", .discard = PEN_EHLO_SIZE | PEN_EHLO_DSN | PEN_EHLO_PIPELINING);
	RUN(deaf, GREET, "S: 250-mx\r\n250-PIPELINING\r\n250-SIZE 1\r\n250-8BITMIME\r\n250 DSN",
		"E: ready tls=0 size=0", "D: a 2 8 x\r\n",
		"C: MAIL FROM:<s@a.example> BODY=8BITMIME", "S: 450 no", NOT_SENT, BYE);
	RUN(WITH(.discard = PEN_EHLO_8BITMIME), GREET, "S: 250-mx\r\n250 8BITMIME",
		"E: ready tls=0 size=0", "D: a 2 8 x\r\n", "C: MAIL FROM:<s@a.example>",
		"S: 450 no", NOT_SENT, BYE);
}

static void mail_with_smtputf8_goes_to_servers_that_offer_it(void **state)
{
	(void)state;
	RUN(WITH(.smtputf8 = true), GREET, "S: 250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8",
		"E: ready tls=0 size=0", "D: a 2 8 x\r\n",
		"C: MAIL FROM:<s@a.example> BODY=8BITMIME SMTPUTF8", "S: 450 no", NOT_SENT, BYE);
	assert_int_equal(ctr.smtputf8_missing, 0);
	// Another host may offer it: the attempt goes on as after a session.
	RUN(WITH(.smtputf8 = true), GREET, "S: 250-mx\r\n250 8BITMIME", "C: QUIT", "S: 221 bye",
		"E: end 5.6.7 SMTPUTF8 is required, but was not offered by host " MX, "A: passed");
	assert_int_equal(ctr.smtputf8_missing, 1);
	RUN(WITH(.smtputf8 = true, .discard = PEN_EHLO_SMTPUTF8), GREET,
		"S: 250-mx\r\n250 SMTPUTF8", "C: QUIT", "S: 221 bye", "E: end 5.6.7*");
	assert_int_equal(ctr.smtputf8_missing, 1);
	// Offered, and not needed: mail as ever.
	RUN(PLAIN, GREET, "S: 250-mx\r\n250 SMTPUTF8", "E: ready tls=0 size=0", "D: a 2 8 x\r\n",
		"C: MAIL FROM:<s@a.example>", "S: 450 no", NOT_SENT, BYE);
}

static void a_server_with_our_own_name_is_left(void **state)
{
	(void)state;
	RUN(PLAIN, GREET, "S: 250 ME.example Hello", "C: QUIT", "S: 221 bye",
		"E: end 4.4.6 mail loops back to myself");
	RUN(WITH(.nexthop = "b.example"), GREET, "S: 250-me.example\r\n250 SIZE", "C: QUIT",
		"S: 221 bye", "E: end 4.4.6 mail for b.example loops back to myself");
	assert_int_equal(ctr.loops, 1);
	// Its greeting proves nothing, and neither does a name that begins like ours.
	RUN(PLAIN, "S: 220 me.example ESMTP", "C: EHLO me.example", "S: 250 me.example.org",
		"E: ready tls=0 size=0", BYE);
}

static void a_5xx_greeting_stays_permanent_when_told(void **state)
{
	(void)state;
	RUN(WITH(.keep_5xx_greeting = true), "S: 554 5.7.1 go away", "C: QUIT", "S: 221 bye",
		"E: end 5.7.1 host " MX " refused to talk to me: 554 5.7.1 go away");
	RUN(WITH(.keep_5xx_greeting = true), "S: 450 later", "C: QUIT", "S: 221 bye",
		"E: end 4.0.0*");
}

// ---- LMTP ----

#define LMTP WITH(.lmtp = true)
#define LHLO                                                                                       \
	"S: 220 mx LMTP", "C: LHLO me.example", "S: 250-mx\r\n250 PIPELINING",                     \
		"E: ready tls=0 size=0"
#define ENVELOPE3                                                                                  \
	"C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>", "C: RCPT TO:<r1@b.example>",    \
		"C: RCPT TO:<r2@b.example>", "C: DATA"
#define SAID(text, cmd) "host " MX " said: " text " (in reply to " cmd " command)"

static void each_accepted_recipient_has_its_own_answer_after_the_dot(void **state)
{
	(void)state;
	RUN(LMTP, LHLO, "D: a 3 - x\r\n", "D: b 3 - y\r\n", ENVELOPE3, "S: 250 ok", "S: 250 ok",
		"S: 550 5.1.1 no", "S: 250 ok", "S: 354 go", "C: x", "C: .", ENVELOPE3, "K",
		"S: 250 2.1.5 stored", "L: 600", "S: 452 4.2.2 full",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.1.5 R 250 2.1.5 stored",
		"E: rcpt 5.1.1 R " SAID("550 5.1.1 no", "RCPT TO"),
		"E: rcpt 4.2.2 R " SAID("452 4.2.2 full", "end of DATA"),
		"S: 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go", "C: y", "C: .",
		"S: 250 1\r\n250 2\r\n550 3", "E: done b tried=1 dot=2 use=2",
		"E: rcpt 2.0.0 R 250 1", "E: rcpt 2.0.0 R 250 2",
		"E: rcpt 5.0.0 R " SAID("550 3", "end of DATA"), BYE);
	assert_int_equal(ctr.messages_accepted, 3);
	assert_int_equal(ctr.dot_refused, 2);
}

static void recipients_without_an_answer_share_the_fate_of_the_session(void **state)
{
	(void)state;
#define DOT "sending end of data -- message may be sent more than once"
	RUN(LMTP, LHLO, "D: a 3 - x\r\n", ENVELOPE3,
		"S: 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 1",
		"X", "E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 R 250 1",
		"E: rcpt 4.4.2 S lost connection with " MX " while " DOT,
		"E: rcpt 4.4.2 S lost connection with " MX " while " DOT,
		"E: end 4.4.2 lost connection with " MX " while " DOT);
	RUN(LMTP, LHLO, "D: a 3 - x\r\n", ENVELOPE3,
		"S: 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 1",
		"S: 421 4.3.2 down", "E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 R 250 1",
		"E: rcpt 4.3.2 R " SAID("421 4.3.2 down", "end of DATA"),
		"E: rcpt 4.3.2 S " SAID("421 4.3.2 down", "end of DATA"),
		"E: end 4.3.2 " SAID("421 4.3.2 down", "end of DATA"));
	// One answer too many is nobody's.
	RUN(LMTP, LHLO, "D: a 1 - x\r\n", "C: MAIL FROM:<s@a.example>", "C: RCPT TO:<r0@b.example>",
		"C: DATA", "S: 250 ok\r\n250 ok\r\n354 go", "C: x", "C: .", "S: 250 1\r\n250 2",
		"E: done a tried=1 dot=2 use=1", "E: rcpt 2.0.0 R 250 1", "E: end 4.5.0*");
}

static void lmtp_knows_neither_helo_nor_content_for_nobody(void **state)
{
	(void)state;
	RUN(LMTP, "S: 220 mx", "C: LHLO me.example", "S: 500 5.5.1 what", "C: QUIT", "S: 221 x",
		"E: end 5.5.1 host " MX " refused to talk to me: 500 5.5.1 what");
	RUN(LMTP, "S: 220 mx", "C: LHLO me.example", "X",
		"E: end 4.4.2 lost connection with " MX " while performing the LHLO handshake");
	RUN(LMTP, LHLO, "D: a 3 - x\r\n", ENVELOPE3, "S: 250 ok\r\n550 a\r\n550 b\r\n550 c",
		"S: 354 go", "E: done a tried=1 dot=0 use=1", "E: rcpt 5.0.0 R*",
		"E: rcpt 5.0.0 R*", "E: rcpt 5.0.0 R*",
		"E: end 4.5.0 protocol error: host " MX " said: 354 go");
	// A server on this host may well have our name.
	RUN(LMTP, "S: 220 me.example", "C: LHLO me.example", "S: 250 me.example",
		"E: ready tls=0 size=0", BYE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dsn_parameters_go_to_servers_that_know_them),
		cmocka_unit_test(keywords_can_be_ignored),
		cmocka_unit_test(mail_with_smtputf8_goes_to_servers_that_offer_it),
		cmocka_unit_test(a_server_with_our_own_name_is_left),
		cmocka_unit_test(a_5xx_greeting_stays_permanent_when_told),
		cmocka_unit_test(each_accepted_recipient_has_its_own_answer_after_the_dot),
		cmocka_unit_test(recipients_without_an_answer_share_the_fate_of_the_session),
		cmocka_unit_test(lmtp_knows_neither_helo_nor_content_for_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
