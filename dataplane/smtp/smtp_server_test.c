// SPDX-License-Identifier: BSD-3-Clause
#include "smtp_server_owner.h"

struct command_case {
	const char *in, *out, *log;
};

static const struct command_case cases[] = {
	{"MAIL FROM:<s@a.example>\r\n", "250 2.1.0 Ok\r\n", "mail s@a.example size=0 flags=0|"},
	{"mail from:<>\r\n", "250 2.1.0 Ok\r\n", "mail  size=0 flags=0|"},
	{"MAIL FROM: <s@a> size=10 BODY=8bitmime\r\n", "250 2.1.0 Ok\r\n",
		"mail s@a size=10 flags=1|"},
	{"MAIL FROM:s@a BODY=7BIT\r\n", "250 2.1.0 Ok\r\n", "mail s@a size=0 flags=0|"},
	{"MAIL FROM:<@r1,@r2:s@a>\n", "250 2.1.0 Ok\r\n", "mail s@a size=0 flags=0|"},
	{"MAIL FROM:<\"a b\\\"> @c\"@d.e> SIZE=1\r\n", "250 2.1.0 Ok\r\n",
		"mail \"a b\\\"> @c\"@d.e size=1 flags=0|"},
	{"MAIL FROM:<u@[IPv6:2001:db8::1]>\r\n", "250 2.1.0 Ok\r\n",
		"mail u@[IPv6:2001:db8::1] size=0 flags=0|"},
	{"MAIL FROM:<postmaster>\r\n", "250 2.1.0 Ok\r\n", "mail postmaster size=0 flags=0|"},
	{"MAIL FROM:<s@a> SIZE=10001\r\n", "552 5.3.4 Message size exceeds fixed limit\r\n", ""},
	{"MAIL FROM:<s@a> SIZE=x\r\n", "501 5.5.4 Bad message size syntax\r\n", ""},
	{"MAIL FROM:<s@a> SIZE=99999999999999999999999\r\n",
		"501 5.5.4 Bad message size syntax\r\n", ""},
	{"MAIL FROM:<s@a> SMTPUTF8\r\n", "555 5.5.4 Unsupported option: SMTPUTF8\r\n", ""},
	{"MAIL FROM:<s@a> BODY=BINARYMIME\r\n", "555 5.5.4 Unsupported option: BODY=BINARYMIME\r\n",
		""},
	{"MAIL FROM:<s@a>x\r\n", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", ""},
	{"MAIL FROM:<s@a\r\n", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", ""},
	{"MAIL FROM:\r\n", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", ""},
	{"MAIL TO:<s@a>\r\n", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", ""},
	{"MAIL\r\n", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", ""},
	{"MAIL FROM:<s@>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<@a>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<s@a..b>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<s@a@b>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<a b@c>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<a<b@c>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<x\"y\"@c>\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
	{"MAIL FROM:<s@\xc3\xa4.example>\r\n",
		"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n", ""},
	{"MAIL FROM:<\xc3\xa4@a>\r\n",
		"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n", ""},
	{"MAIL FROM:<s\x01@a>\r\n", "500 5.5.2 Error: bad syntax\r\n", ""},
	{"RCPT TO:<r@b>\r\n", "503 5.5.1 Error: need MAIL command\r\n", ""},
	{"DATA\r\n", "503 5.5.1 Error: need RCPT command\r\n", ""},
	{"DATA x\r\n", "501 5.5.4 Syntax: DATA\r\n", ""},
	{"RSET\r\n", "250 2.0.0 Ok\r\n", ""},
	{"RSET x\r\n", "501 5.5.4 Syntax: RSET\r\n", ""},
	{"NOOP\r\n", "250 2.0.0 Ok\r\n", ""},
	{"noop whatever\r\n", "250 2.0.0 Ok\r\n", ""},
	{"VRFY someone\r\n", "252 2.0.0 someone\r\n", ""},
	{"VRFY\r\n", "501 5.5.4 Syntax: VRFY address\r\n", ""},
	{"HELP\r\n",
		"214 2.0.0 Commands: HELO EHLO STARTTLS MAIL RCPT DATA RSET NOOP VRFY HELP QUIT "
		"(RFC 5321)\r\n",
		""},
	{"HELO\r\n", "501 Syntax: HELO hostname\r\n", ""},
	{"EHLO a b\r\n", "501 Syntax: EHLO hostname\r\n", ""},
	{"HELO c\r\n", "250 gw.example\r\n", "helo c|"},
	{"STARTTLS x\r\n", "501 5.5.4 Syntax: STARTTLS\r\n", ""},
	{"AUTH PLAIN\r\n", "502 5.5.1 Error: command not implemented\r\n", ""},
	{"FROB\r\n", "502 5.5.2 Error: command not recognized\r\n", ""},
	{"MAILFROM:<a@b>\r\n", "502 5.5.2 Error: command not recognized\r\n", ""},
	{"\r\n", "500 5.5.2 Error: bad syntax\r\n", ""},
	{"QUIT\r\n", "221 2.0.0 Bye\r\n", "close|"},
	{"GET / HTTP/1.1\r\n", "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n", "close|"},
	{"\x16\x03\x01\x02\r\n", "221 2.7.0 Error: I can break rules, too. Goodbye.\r\n", "close|"},
};

static void commands_are_answered_as_postfix_answers_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 100; step = step * 10 - 1) {
			struct owner *o = owner_greeted();
			size_t n = strlen(cases[i].in);
			assert_int_equal(owner_feed_n(o, cases[i].in, n, step), n);
			if (strcmp(o->log, cases[i].log) != 0)
				fail_msg("case %zu: log '%s'", i, o->log);
			pen_buf_add(&o->server.out, "", 1);
			if (strcmp((char *)o->server.out.p, cases[i].out) != 0)
				fail_msg("case %zu: '%s'", i, (char *)o->server.out.p);
			owner_free(o);
		}
	}
}

static void a_whole_transaction_in_one_piece_or_in_bytes(void **state)
{
	(void)state;
	static const char in[] =
		"MAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\nRCPT TO:<>\r\nRCPT TO:<r@b> NOTIFY=NEVER\r\n"
		"MAIL FROM:<x@y>\r\nDATA\r\nHi\r\n..dot\r\n.\r\nMAIL FROM:<s@a>\r\nQUIT\r\n";
	static const char out[] =
		"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n501 5.1.3 Bad recipient address syntax\r\n"
		"555 5.5.4 Unsupported option: NOTIFY=NEVER\r\n"
		"503 5.5.1 Error: nested MAIL command\r\n"
		"354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n"
		"221 2.0.0 Bye\r\n";

	for (size_t step = 1; step < 1000; step *= 3) {
		struct owner *o = owner_greeted();
		assert_int_equal(owner_feed_n(o, in, sizeof(in) - 1, step), sizeof(in) - 1);
		assert_out(o, out);
		assert_string_equal(o->log, "mail s@a size=0 flags=0|rcpt r@b|data|message|"
					    "mail s@a size=0 flags=0|reset|close|");
		assert_true(pen_span_eq(pen_buf_span(&o->content), PEN_SPAN_LIT("Hi\r\n.dot\r\n")));
		assert_int_equal(o->closes, 1);
		assert_int_equal(pen_smtp_server_deadline(&o->server), PEN_TIME_NEVER);
		// Afterwards nothing is read and nothing is said.
		assert_int_equal(owner_feed(o, "NOOP\r\n"), 6);
		assert_out(o, out);
		owner_free(o);
	}
}

static void ehlo_lists_what_is_offered(void **state)
{
	(void)state;
	struct owner *o = owner_new();

	owner_start(o);
	assert_out(o, "220 gw.example ESMTP Penstock\r\n");
	owner_forget(o);
	owner_feed(o, "EHLO c\r\n");
	assert_out(o, "250-gw.example\r\n250-PIPELINING\r\n250-SIZE 10000\r\n250-STARTTLS\r\n"
		      "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n");
	owner_free(o);
	o = owner_new();
	o->cfg = (struct pen_smtp_server_config){
		.hostname = "h", .banner = "x", .timeout = 1, .offer_size = true};
	owner_start(o);
	owner_forget(o);
	owner_feed(o, "EHLO c\r\nNOOP\r\nMAIL FROM:<a> BODY=8BITMIME\r\n");
	assert_out(o, "250-h\r\n250 SIZE\r\n250 Ok\r\n555 Unsupported option: BODY=8BITMIME\r\n");
	owner_free(o);
}

static struct owner *owner_with_dsn(bool tls)
{
	struct owner *o = owner_new();

	o->cfg.offer_dsn = o->cfg.offer_requiretls = true;
	owner_start(o);
	owner_feed(o, "EHLO c\r\n");
	if (tls) {
		owner_feed(o, "STARTTLS\r\n");
		pen_smtp_server_tls_up(&o->server, o->now);
		owner_feed(o, "EHLO c\r\n");
	}
	owner_forget(o);
	return o;
}

#define BAD_ENVID "501 5.5.4 Bad ENVID parameter syntax\r\n"
#define BAD_RET "501 5.5.4 Bad RET parameter syntax\r\n"
#define BAD_NOTIFY "501 5.5.4 Error: Bad NOTIFY parameter syntax\r\n"
#define BAD_ORCPT "501 5.5.4 Error: Bad ORCPT parameter syntax\r\n"
#define MAIL_OK "250 2.1.0 Ok\r\n"
#define RCPT_OK "250 2.1.5 Ok\r\n"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X500 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50

static const struct command_case mail_params[] = {
	{"ENVID=QQ314159 RET=HDRS", MAIL_OK, "mail a@b size=0 flags=8 envid=QQ314159|"},
	{"ret=full envid=a+2Bb+3D+20 SIZE=5", MAIL_OK,
		"mail a@b size=5 flags=4 envid=a+2Bb+3D+20|"},
	{"ENVID=+7e", MAIL_OK, "mail a@b size=0 flags=0 envid=+7e|"},
	{"ENVID=" X50 X50, MAIL_OK, "mail a@b size=0 flags=0 envid=" X50 X50 "|"},
	{"ENVID=x" X50 X50, BAD_ENVID, ""},
	{"ENVID=", BAD_ENVID, ""},
	{"ENVID=a+2", BAD_ENVID, ""},
	{"ENVID=a+", BAD_ENVID, ""},
	{"ENVID=a+G0", BAD_ENVID, ""},
	{"ENVID=a+0D+0A", BAD_ENVID, ""},
	{"ENVID=a+7F", BAD_ENVID, ""},
	{"ENVID=\xc3\xa4", BAD_ENVID, ""},
	{"ENVID=a ENVID=b", BAD_ENVID, ""},
	{"RET=", BAD_RET, ""},
	{"RET=HDR", BAD_RET, ""},
	{"RET=FULLY", BAD_RET, ""},
	{"RET=FULL RET=HDRS", BAD_RET, ""},
	{"ENVID", "555 5.5.4 Unsupported option: ENVID\r\n", ""},
	{"NOTIFY=NEVER", "555 5.5.4 Unsupported option: NOTIFY=NEVER\r\n", ""},
	{"REQUIRETLS", "555 5.5.4 Unsupported option: REQUIRETLS\r\n", ""},
};

static const struct command_case rcpt_params[] = {
	{"NOTIFY=NEVER", RCPT_OK, "rcpt c@d notify=1|"},
	{"notify=success,FAILURE,Delay", RCPT_OK, "rcpt c@d notify=14|"},
	{"NOTIFY=DELAY,DELAY ORCPT=rfc822;c+2Bd@e", RCPT_OK,
		"rcpt c@d notify=8 orcpt=rfc822;c+2Bd@e|"},
	{"ORCPT=rfc822;a=b@c", RCPT_OK, "rcpt c@d orcpt=rfc822;a=b@c|"},
	{"ORCPT=utf-8;\\x{e4}@c", RCPT_OK, "rcpt c@d orcpt=utf-8;\\x{e4}@c|"},
	{"ORCPT=t;" X500, BAD_ORCPT, ""},
	{"NOTIFY=", BAD_NOTIFY, ""},
	{"NOTIFY=NEVER,SUCCESS", BAD_NOTIFY, ""},
	{"NOTIFY=SUCCESS,", BAD_NOTIFY, ""},
	{"NOTIFY=,SUCCESS", BAD_NOTIFY, ""},
	{"NOTIFY=ALWAYS", BAD_NOTIFY, ""},
	{"NOTIFY=DELAY NOTIFY=DELAY", BAD_NOTIFY, ""},
	{"ORCPT=", BAD_ORCPT, ""},
	{"ORCPT=rfc822", BAD_ORCPT, ""},
	{"ORCPT=rfc822;", BAD_ORCPT, ""},
	{"ORCPT=;c@d", BAD_ORCPT, ""},
	{"ORCPT=a(b;c@d", BAD_ORCPT, ""},
	{"ORCPT=rfc822;a+0Ab", BAD_ORCPT, ""},
	{"ORCPT=rfc822;a ORCPT=rfc822;b", BAD_ORCPT, ""},
	{"RET=FULL", "555 5.5.4 Unsupported option: RET=FULL\r\n", ""},
	{"REQUIRETLS", "555 5.5.4 Unsupported option: REQUIRETLS\r\n", ""},
};

static void check_params(const char *before, const char *command, const struct command_case *c)
{
	struct owner *o = owner_with_dsn(false);
	char line[1200];

	owner_feed(o, before);
	owner_forget(o);
	snprintf(line, sizeof(line), "%s %s\r\n", command, c->in);
	owner_feed(o, line);
	if (strcmp(o->log, c->log) != 0)
		fail_msg("%s: log '%s'", c->in, o->log);
	assert_out(o, c->out);
	owner_free(o);
}

static void parameters_about_notifications_are_checked_as_rfc_3461_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mail_params) / sizeof(mail_params[0]); i++)
		check_params("", "MAIL FROM:<a@b>", &mail_params[i]);
	for (size_t i = 0; i < sizeof(rcpt_params) / sizeof(rcpt_params[0]); i++)
		check_params("MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>", &rcpt_params[i]);
	struct owner *o = owner_greeted(); // not offered: not known
	owner_feed(o, "MAIL FROM:<a@b> RET=FULL\r\n");
	assert_out(o, "555 5.5.4 Unsupported option: RET=FULL\r\n");
	assert_int_equal(o->ctr.bad_dsn_parameters, 0);
	owner_free(o);
}

static void smtputf8_lets_addresses_beyond_ascii_in(void **state)
{
	(void)state;
	static const struct command_case rows[] = {
		{"MAIL FROM:<\xc3\xa4@b> SMTPUTF8\r\n", MAIL_OK,
			"mail \xc3\xa4@b size=0 flags=16|"},
		{"MAIL FROM:<a@b\xc3\xa4.\xe4\xb8\xad> BODY=8BITMIME smtputf8\r\n", MAIL_OK,
			"mail a@b\xc3\xa4.\xe4\xb8\xad size=0 flags=17|"},
		{"MAIL FROM:<\xc3\xa4@b>\r\n",
			"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n", ""},
		{"MAIL FROM:<a@\xc3\xa4> SIZE=5\r\n",
			"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n", ""},
		// Overlong, a surrogate, cut off, a C1 control, beyond Unicode.
		{"MAIL FROM:<\xc0\xaf@b> SMTPUTF8\r\n", "501 5.1.7 Bad sender address syntax\r\n",
			""},
		{"MAIL FROM:<\xed\xa0\x80@b> SMTPUTF8\r\n",
			"501 5.1.7 Bad sender address syntax\r\n", ""},
		{"MAIL FROM:<a@\xc3> SMTPUTF8\r\n", "501 5.1.7 Bad sender address syntax\r\n", ""},
		{"MAIL FROM:<\xc2\x85@b> SMTPUTF8\r\n", "501 5.1.7 Bad sender address syntax\r\n",
			""},
		{"MAIL FROM:<\xf4\x90\x80\x80@b> SMTPUTF8\r\n",
			"501 5.1.7 Bad sender address syntax\r\n", ""},
		{"MAIL FROM:<a@b> SMTPUTF8=1\r\n", "555 5.5.4 Unsupported option: SMTPUTF8=1\r\n",
			""},
		{"MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<\xc3\xa4@d> ORCPT=utf-8;\xc3\xa4@d\r\n",
			MAIL_OK RCPT_OK,
			"mail a@b size=0 flags=16|rcpt \xc3\xa4@d "
			"orcpt=utf-8;\xc3\xa4@d|"},
		{"MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d> ORCPT=rfc822;\xc3\xa4@d\r\n",
			MAIL_OK BAD_ORCPT, "mail a@b size=0 flags=16|"},
		{"MAIL FROM:<a@b>\r\nRCPT TO:<\xc3\xa4@d>\r\n",
			MAIL_OK "553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n",
			"mail a@b size=0 flags=0|"},
		{"MAIL FROM:<a@b>\r\nRCPT TO:<c@d> ORCPT=utf-8;\xc3\xa4@d\r\n", MAIL_OK BAD_ORCPT,
			"mail a@b size=0 flags=0|"},
		// One transaction's SMTPUTF8 is not the next one's.
		{"MAIL FROM:<a@b> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<\xc3\xa4@d>\r\n",
			MAIL_OK "250 2.0.0 Ok\r\n" MAIL_OK
				"553 5.6.7 Must declare SMTPUTF8 to send unicode address\r\n",
			"mail a@b size=0 flags=16|reset|mail a@b size=0 flags=0|"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct owner *o = owner_new();
		o->cfg.offer_dsn = o->cfg.offer_smtputf8 = true;
		owner_start(o);
		owner_feed(o, "EHLO c\r\n");
		owner_forget(o);
		owner_feed(o, rows[i].in);
		if (strcmp(o->log, rows[i].log) != 0)
			fail_msg("%s: log '%s'", rows[i].in, o->log);
		assert_out(o, rows[i].out);
		owner_free(o);
	}
}

static void xverp_is_a_parameter_where_it_is_offered(void **state)
{
	(void)state;
	static const struct command_case rows[] = {
		{"EHLO c\r\n", "250-h\r\n250-SMTPUTF8\r\n250 XVERP\r\n", "ehlo c|"},
		{"MAIL FROM:<a@b> XVERP\r\n", "250 Ok\r\n", "mail a@b size=0 flags=32|"},
		{"MAIL FROM:<a@b> xverp=+=\r\n", "250 Ok\r\n", "mail a@b size=0 flags=32 verp=+=|"},
		{"MAIL FROM:<a@b> XVERP=+\r\n", "501 Error: Bad XVERP parameter syntax\r\n", ""},
		{"MAIL FROM:<a@b> XVERP=+=+\r\n", "501 Error: Bad XVERP parameter syntax\r\n", ""},
		{"MAIL FROM:<> XVERP\r\n", "503 Error: XVERP requires non-null sender\r\n", ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct owner *o = owner_new();
		o->cfg = (struct pen_smtp_server_config){.hostname = "h",
			.banner = "x",
			.timeout = 1,
			.offer_smtputf8 = true,
			.offer_xverp = true};
		owner_start(o);
		if (i > 0)
			owner_feed(o, "EHLO c\r\n");
		owner_forget(o);
		owner_feed(o, rows[i].in);
		if (strcmp(o->log, rows[i].log) != 0)
			fail_msg("%s: log '%s'", rows[i].in, o->log);
		assert_out(o, rows[i].out);
		owner_free(o);
	}
	struct owner *o = owner_greeted();
	owner_feed(o, "MAIL FROM:<a@b> XVERP\r\n");
	assert_out(o, "555 5.5.4 Unsupported option: XVERP\r\n");
	owner_free(o);
}

static void requiretls_exists_inside_tls_only(void **state)
{
	(void)state;
	struct owner *o = owner_with_dsn(false);

	owner_feed(o, "EHLO c\r\n");
	assert_out(o, "250-gw.example\r\n250-PIPELINING\r\n250-SIZE 10000\r\n250-STARTTLS\r\n"
		      "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN\r\n");
	owner_free(o);
	o = owner_with_dsn(true);
	owner_feed(o, "EHLO c\r\n");
	assert_out(o, "250-gw.example\r\n250-PIPELINING\r\n250-SIZE 10000\r\n"
		      "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n"
		      "250 REQUIRETLS\r\n");
	owner_forget(o);
	owner_feed(o, "MAIL FROM:<a@b> requireTLS\r\nRSET\r\nMAIL FROM:<a@b> REQUIRETLS=yes\r\n");
	assert_out(o, "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"
		      "555 5.5.4 Unsupported option: REQUIRETLS=yes\r\n");
	assert_string_equal(o->log, "mail a@b size=0 flags=2|reset|");
	owner_free(o);
	o = owner_with_dsn(true);
	o->cfg.offer_requiretls = false;
	owner_feed(o, "MAIL FROM:<a@b> REQUIRETLS\r\n");
	assert_out(o, "555 5.5.4 Unsupported option: REQUIRETLS\r\n");
	owner_free(o);
}

static void where_tls_is_required_mail_waits_for_it(void **state)
{
	(void)state;
	struct owner *o = owner_new();

	o->cfg.require_starttls = true;
	owner_start(o);
	owner_forget(o);
	owner_feed(o, "HELO c\r\nNOOP\r\nMAIL FROM:<a@b>\r\nRSET\r\nVRFY x\r\nAUTH x\r\n"
		      "FROB\r\n");
	assert_out(o, "250 gw.example\r\n250 2.0.0 Ok\r\n"
		      "530 5.7.0 Must issue a STARTTLS command first\r\n"
		      "530 5.7.0 Must issue a STARTTLS command first\r\n"
		      "530 5.7.0 Must issue a STARTTLS command first\r\n"
		      "530 5.7.0 Must issue a STARTTLS command first\r\n"
		      "502 5.5.2 Error: command not recognized\r\n");
	assert_int_equal(o->ctr.tls_demanded, 4);
	owner_feed(o, "STARTTLS\r\n");
	pen_smtp_server_tls_up(&o->server, o->now);
	owner_forget(o);
	owner_feed(o, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
	assert_string_equal(o->log, "ehlo c|mail a@b size=0 flags=0|");
	owner_feed(o, "QUIT\r\n");
	owner_free(o);
}

static void input_waits_for_a_pending_answer(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();
	static const char in[] = ".\r\nMAIL FROM:<s@a>\r\n";

	o->verdict[ON_MESSAGE] = PEN_SMTP_PENDING;
	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<r@b>\r\nDATA\r\n");
	owner_forget(o);
	assert_int_equal(owner_feed(o, in), 3);
	assert_true(pen_smtp_server_pending(&o->server));
	assert_int_equal(owner_feed(o, in + 3), 0);
	assert_int_equal(o->server.out.n, 0);
	// Time does not run against the client while we make it wait.
	o->now += 400 * PEN_US_PER_S;
	pen_smtp_server_tick(&o->server, o->now);
	o->now += 200 * PEN_US_PER_S;
	pen_smtp_server_reply(&o->server, "250 2.0.0 Ok: queued as %s", "4F");
	assert_false(pen_smtp_server_pending(&o->server));
	o->now += 200 * PEN_US_PER_S;
	pen_smtp_server_tick(&o->server, o->now);
	assert_int_equal(o->closes, 0);
	assert_int_equal(owner_feed(o, in + 3), sizeof(in) - 1 - 3);
	assert_out(o, "250 2.0.0 Ok: queued as 4F\r\n250 2.1.0 Ok\r\n");
	owner_free(o);
}

static void the_owner_decides_at_every_step(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();

	o->verdict[ON_MAIL] = PEN_SMTP_REPLY;
	o->reply = "451 4.3.0 no\rstorage\nask again";
	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
	assert_out(o, "451-4.3.0 no?storage\r\n451 ask again\r\n"
		      "503 5.5.1 Error: need MAIL command\r\n");
	owner_forget(o);
	o->verdict[ON_MAIL] = PEN_SMTP_OK;
	o->verdict[ON_RCPT] = PEN_SMTP_REPLY;
	o->reply = "554 5.7.1 <a@b>: Relay access denied";
	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
	assert_out(o, "250 2.1.0 Ok\r\n554 5.7.1 <a@b>: Relay access denied\r\n"
		      "554 5.5.1 Error: no valid recipients\r\n");
	owner_forget(o);
	o->verdict[ON_RCPT] = PEN_SMTP_OK;
	o->verdict[ON_DATA] = PEN_SMTP_REPLY;
	o->reply = "421 4.3.2 gw.example closing";
	owner_feed(o, "RCPT TO:<a@b>\r\nDATA\r\nNOOP\r\n");
	assert_out(o, "250 2.1.5 Ok\r\n421 4.3.2 gw.example closing\r\n");
	assert_string_equal(o->log, "rcpt a@b|data|reset|close|");
	owner_free(o);

	o = owner_greeted();
	o->verdict[ON_RCPT] = PEN_SMTP_DROP;
	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nNOOP\r\n");
	assert_out(o, "250 2.1.0 Ok\r\n");
	assert_int_equal(o->closes, 1);
	assert_int_equal(o->ctr.drops, 1);
	owner_free(o);

	o = owner_new();
	o->verdict[ON_CONNECT] = PEN_SMTP_REPLY;
	o->reply = "554 5.7.1 no service for you";
	owner_start(o);
	owner_feed(o, "EHLO c\r\nMAIL FROM:<>\r\nQUIT\r\n");
	assert_out(o, "554 5.7.1 no service for you\r\n503 5.5.1 Error: access denied\r\n"
		      "503 5.5.1 Error: access denied\r\n221 2.0.0 Bye\r\n");
	owner_free(o);
}

static void recipients_have_a_limit(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();

	owner_feed(o, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\n");
	owner_forget(o);
	for (int i = 0; i < 30; i++)
		owner_feed(o, "RCPT TO:<a@b>\r\n");
	assert_int_equal(o->ctr.too_many_recipients, 30);
	assert_int_equal(o->server.errors, 0);
	owner_forget(o);
	owner_feed(o, "RCPT TO:<a@b>\r\nDATA\r\n.\r\n");
	assert_out(o, "452 4.5.3 Error: too many recipients\r\n"
		      "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok\r\n");
	owner_free(o);
}

static void too_many_errors_end_the_session(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();

	for (int i = 0; i < 19; i++)
		owner_feed(o, "FROB\r\n");
	owner_forget(o);
	owner_feed(o, "FROB\r\nNOOP\r\n");
	assert_out(o, "502 5.5.2 Error: command not recognized\r\n"
		      "421 4.7.0 gw.example Error: too many errors\r\n");
	assert_int_equal(o->closes, 1);
	owner_free(o);
	// Commands that bring nothing forward are errors in the end.
	o = owner_greeted();
	for (int i = 0; i < 500; i++)
		owner_feed(o, "NOOP\r\n");
	assert_int_equal(o->closes, 1);
	assert_int_equal(o->ctr.error_limit_closes, 1);
	owner_free(o);
}

static void a_line_too_long_is_refused_and_skipped(void **state)
{
	(void)state;
	for (size_t step = 1; step < 10000; step *= 17) {
		struct owner *o = owner_greeted();
		char line[PEN_SMTP_LINE_MAX + 3];
		memset(line, 'n', sizeof(line));
		memcpy(line, "NOOP ", 5);
		memcpy(line + PEN_SMTP_LINE_MAX - 2, "\r\n", 2);
		owner_feed_n(o, line, PEN_SMTP_LINE_MAX, step);
		assert_out(o, "250 2.0.0 Ok\r\n");
		owner_forget(o);
		memcpy(line + PEN_SMTP_LINE_MAX - 2, "nn\r\n", 4);
		owner_feed_n(o, line, PEN_SMTP_LINE_MAX + 2, step);
		assert_int_equal(o->server.line.cap, 0);
		owner_feed(o, "RSET\r\n");
		assert_out(o, "500 5.5.2 Error: line too long\r\n250 2.0.0 Ok\r\n");
		owner_free(o);
	}
}

static void an_idle_client_is_sent_away(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();

	o->now += 299 * PEN_US_PER_S;
	pen_smtp_server_tick(&o->server, o->now);
	owner_feed(o, "MAIL FROM:<>\r\n");
	assert_int_equal(pen_smtp_server_deadline(&o->server), o->now + 300 * PEN_US_PER_S);
	owner_forget(o);
	o->now += 300 * PEN_US_PER_S;
	pen_smtp_server_tick(&o->server, o->now);
	assert_out(o, "421 4.4.2 gw.example Error: timeout exceeded\r\n");
	assert_string_equal(o->log, "reset|close|");
	owner_free(o);
}

static void starttls_drops_what_was_sent_behind_it_and_starts_over(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();
	static const char in[] = "MAIL FROM:<>\r\nSTARTTLS\r\nRCPT TO:<evil@x>\r\n";

	assert_int_equal(owner_feed(o, in), sizeof(in) - 1);
	assert_out(o, "250 2.1.0 Ok\r\n220 2.0.0 Ready to start TLS\r\n");
	assert_string_equal(o->log, "mail  size=0 flags=0|reset|starttls|");
	assert_int_equal(o->ctr.starttls_injected_bytes, 18);
	assert_int_equal(owner_feed(o, "NOOP\r\n"), 0);
	pen_smtp_server_tls_up(&o->server, o->now);
	owner_forget(o);
	owner_feed(o, "RCPT TO:<a@b>\r\nSTARTTLS\r\nEHLO c\r\n");
	assert_out(o, "503 5.5.1 Error: need MAIL command\r\n"
		      "554 5.5.1 Error: TLS already active\r\n"
		      "250-gw.example\r\n250-PIPELINING\r\n250-SIZE 10000\r\n"
		      "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n");
	owner_free(o);
	o = owner_new();
	o->cfg.offer_starttls = false;
	owner_start(o);
	owner_forget(o);
	owner_feed(o, "STARTTLS\r\n");
	assert_out(o, "502 5.5.1 Error: command not implemented\r\n");
	owner_free(o);
}

static void an_idle_connection_holds_no_buffers(void **state)
{
	(void)state;
	struct owner *o = owner_greeted();

	assert_int_equal(o->server.out.cap, 0);
	assert_int_equal(o->server.line.cap, 0);
	owner_feed(o, "MAIL FR");
	assert_int_not_equal(o->server.line.cap, 0);
	owner_feed(o, "OM:<>\r\n");
	owner_forget(o);
	assert_int_equal(o->server.out.cap, 0);
	assert_int_equal(o->server.line.cap, 0);
	assert_true(sizeof(struct pen_smtp_server) <= 256);
	owner_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_answered_as_postfix_answers_them),
		cmocka_unit_test(a_whole_transaction_in_one_piece_or_in_bytes),
		cmocka_unit_test(ehlo_lists_what_is_offered),
		cmocka_unit_test(parameters_about_notifications_are_checked_as_rfc_3461_says),
		cmocka_unit_test(smtputf8_lets_addresses_beyond_ascii_in),
		cmocka_unit_test(xverp_is_a_parameter_where_it_is_offered),
		cmocka_unit_test(requiretls_exists_inside_tls_only),
		cmocka_unit_test(where_tls_is_required_mail_waits_for_it),
		cmocka_unit_test(input_waits_for_a_pending_answer),
		cmocka_unit_test(the_owner_decides_at_every_step),
		cmocka_unit_test(recipients_have_a_limit),
		cmocka_unit_test(too_many_errors_end_the_session),
		cmocka_unit_test(a_line_too_long_is_refused_and_skipped),
		cmocka_unit_test(an_idle_client_is_sent_away),
		cmocka_unit_test(starttls_drops_what_was_sent_behind_it_and_starts_over),
		cmocka_unit_test(an_idle_connection_holds_no_buffers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
