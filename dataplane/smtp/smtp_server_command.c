// SPDX-License-Identifier: BSD-3-Clause

// The commands of the SMTP server. Replies are worded as Postfix words them:
// operators and their tools know them.

#include "smtp_server.h"

#include <stdio.h>

// Commands that bring no message further are free up to here; then each counts
// as an error (smtpd_junk_command_limit).
#define JUNK_MAX 100
// Recipients beyond the limit are refused without counting as errors up to
// here (smtpd_recipient_overshoot_limit).
#define OVERSHOOT_MAX 1000
#define HELO_NAME_MAX 255
#define MECHANISMS_MAX 400 // the list in EHLO

static void bad_syntax(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->bad_syntax);
	smtp_server_say(s, reply);
}

static void bad_sequence(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->bad_sequence);
	smtp_server_say(s, reply);
}

// For commands that bring no message further, after their reply.
static void junk(struct pen_smtp_server *s)
{
	if (++s->junk > JUNK_MAX && !s->closed)
		smtp_server_error(s);
}

static void say_ehlo(struct pen_smtp_server *s, char *text, size_t cap)
{
	const struct pen_smtp_server_config *cfg = s->cfg;
	int n = snprintf(text, cap, "250 %.255s", cfg->hostname);

#define LINE(...) n += snprintf(text + n, cap - (size_t)n, __VA_ARGS__)
	if (cfg->offer_pipelining)
		LINE("\nPIPELINING");
	if (cfg->offer_size && cfg->max_size != 0)
		LINE("\nSIZE %llu", (unsigned long long)cfg->max_size);
	else if (cfg->offer_size)
		LINE("\nSIZE");
	if (cfg->offer_starttls && s->cb->on_starttls != NULL && !s->tls)
		LINE("\nSTARTTLS");
	if (smtp_offers_auth(s)) {
		struct pen_span list = s->cb->auth_mechanisms(s->ctx);
		if (list.n > 0 && list.n <= MECHANISMS_MAX)
			LINE("\nAUTH %.*s", PEN_SPAN_ARG(list));
	}
	if (cfg->offer_enhanced)
		LINE("\nENHANCEDSTATUSCODES");
	if (cfg->offer_8bitmime)
		LINE("\n8BITMIME");
	if (cfg->offer_dsn)
		LINE("\nDSN");
	if (cfg->offer_smtputf8)
		LINE("\nSMTPUTF8");
	if (smtp_offers_requiretls(s))
		LINE("\nREQUIRETLS");
	if (cfg->offer_xverp)
		LINE("\nXVERP");
#undef LINE
}

static void cmd_hello(struct pen_smtp_server *s, struct pen_span arg, bool ehlo)
{
	char text[1024]; // 255 of the host name, the list, and 120 of the rest

	bool good = arg.n > 0 && arg.n <= HELO_NAME_MAX;
	for (size_t i = 0; good && i < arg.n; i++)
		good = arg.p[i] > ' ' && arg.p[i] <= '~' && arg.p[i] != '<' && arg.p[i] != '>';
	if (!good) {
		bad_syntax(s, ehlo ? "501 Syntax: EHLO hostname" : "501 Syntax: HELO hostname");
		return;
	}
	smtp_server_reset(s);
	if (ehlo)
		say_ehlo(s, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "250 %s", s->cfg->hostname);
	smtp_server_ask(s, ehlo ? ASKED_EHLO : ASKED_HELO);
	smtp_server_verdict(s, s->cb->on_helo(s->ctx, arg, ehlo), text);
	junk(s);
}

static void cmd_ehlo(struct pen_smtp_server *s, struct pen_span arg)
{
	cmd_hello(s, arg, true);
}

static void cmd_helo(struct pen_smtp_server *s, struct pen_span arg)
{
	cmd_hello(s, arg, false);
}

static bool refuse_utf8(struct pen_smtp_server *s)
{
	bad_syntax(s, "553 5.6.7 Must declare SMTPUTF8 to send unicode address");
	return false;
}

// Splits "FROM:<path> options". False: a reply was given.
static bool take_path(struct pen_smtp_server *s, struct pen_span arg, bool mail,
	struct pen_span *addr, struct pen_span *rest)
{
	struct pen_span word = mail ? PEN_SPAN_LIT("FROM:") : PEN_SPAN_LIT("TO:");
	enum smtp_path_status st = PATH_SYNTAX;
	// At MAIL the parameter that allows it stands behind the address.
	bool utf8 = mail ? s->cfg->offer_smtputf8 : s->utf8;

	if (pen_span_istarts(arg, word))
		st = smtp_path_parse(pen_span_from(arg, word.n), mail, utf8, addr, rest);
	switch (st) {
	case PATH_OK:
		return true;
	case PATH_SYNTAX:
		bad_syntax(s, mail ? "501 5.5.4 Syntax: MAIL FROM:<address>"
				   : "501 5.5.4 Syntax: RCPT TO:<address>");
		return false;
	case PATH_BAD:
		bad_syntax(s, mail ? "501 5.1.7 Bad sender address syntax"
				   : "501 5.1.3 Bad recipient address syntax");
		return false;
	case PATH_UTF8:
		return refuse_utf8(s);
	}
	return false;
}

static void cmd_mail(struct pen_smtp_server *s, struct pen_span arg)
{
	struct pen_smtp_mail m = {0};
	struct pen_span rest;

	if (s->mail) {
		bad_sequence(s, "503 5.5.1 Error: nested MAIL command");
		return;
	}
	if (!take_path(s, arg, true, &m.sender, &rest) || !smtp_mail_params(s, rest, &m))
		return;
	s->utf8 = (m.flags & PEN_SMTP_MAIL_SMTPUTF8) != 0;
	if (!s->utf8 && !smtp_is_ascii(m.sender)) {
		refuse_utf8(s);
		return;
	}
	if ((m.flags & PEN_SMTP_MAIL_XVERP) != 0 && m.sender.n == 0) {
		bad_syntax(s, "503 5.5.4 Error: XVERP requires non-null sender");
		return;
	}
	s->nrcpt = 0;
	s->overshoot = 0;
	smtp_server_ask(s, ASKED_MAIL);
	smtp_server_verdict(s, s->cb->on_mail(s->ctx, &m), "250 2.1.0 Ok");
}

static void cmd_rcpt(struct pen_smtp_server *s, struct pen_span arg)
{
	struct pen_smtp_rcpt r = {0};
	struct pen_span rest;

	if (!s->mail) {
		bad_sequence(s, "503 5.5.1 Error: need MAIL command");
		return;
	}
	if (!take_path(s, arg, false, &r.addr, &rest) || !smtp_rcpt_params(s, rest, &r))
		return;
	if (s->cfg->max_recipients != 0 && s->nrcpt >= s->cfg->max_recipients) {
		PEN_COUNT(s->ctr->too_many_recipients);
		if (s->overshoot++ < OVERSHOOT_MAX)
			smtp_server_note(s, "452 4.5.3 Error: too many recipients");
		else
			smtp_server_say(s, "452 4.5.3 Error: too many recipients");
		return;
	}
	smtp_server_ask(s, ASKED_RCPT);
	smtp_server_verdict(s, s->cb->on_rcpt(s->ctx, &r), "250 2.1.5 Ok");
}

static void cmd_data(struct pen_smtp_server *s, struct pen_span arg)
{
	if (arg.n > 0) {
		bad_syntax(s, "501 5.5.4 Syntax: DATA");
	} else if (!s->mail) {
		bad_sequence(s, "503 5.5.1 Error: need RCPT command");
	} else if (s->nrcpt == 0) {
		bad_sequence(s, "554 5.5.1 Error: no valid recipients");
	} else {
		smtp_server_ask(s, ASKED_DATA);
		smtp_server_verdict(
			s, s->cb->on_data(s->ctx), "354 End data with <CR><LF>.<CR><LF>");
	}
}

static void cmd_rset(struct pen_smtp_server *s, struct pen_span arg)
{
	if (arg.n > 0) {
		bad_syntax(s, "501 5.5.4 Syntax: RSET");
		return;
	}
	smtp_server_reset(s);
	smtp_server_say(s, "250 2.0.0 Ok");
	junk(s);
}

static void cmd_noop(struct pen_smtp_server *s, struct pen_span arg)
{
	(void)arg;
	smtp_server_say(s, "250 2.0.0 Ok");
	junk(s);
}

static void cmd_vrfy(struct pen_smtp_server *s, struct pen_span arg)
{
	if (arg.n == 0) {
		bad_syntax(s, "501 5.5.4 Syntax: VRFY address");
		return;
	}
	int n = arg.n < 400 ? (int)arg.n : 400;
	smtp_server_sayf(s, "252 2.0.0 %.*s", n, (const char *)arg.p);
	junk(s);
}

static void cmd_help(struct pen_smtp_server *s, struct pen_span arg)
{
	(void)arg;
	smtp_server_say(s, "214 2.0.0 Commands: HELO EHLO STARTTLS MAIL RCPT DATA RSET NOOP VRFY "
			   "HELP QUIT (RFC 5321)");
	junk(s);
}

static void cmd_quit(struct pen_smtp_server *s, struct pen_span arg)
{
	(void)arg;
	smtp_server_say(s, "221 2.0.0 Bye");
	smtp_server_close(s);
}

static void not_implemented(struct pen_smtp_server *s)
{
	PEN_COUNT(s->ctr->unknown_commands);
	smtp_server_say(s, "502 5.5.1 Error: command not implemented");
}

static void cmd_starttls(struct pen_smtp_server *s, struct pen_span arg)
{
	if (arg.n > 0) {
		bad_syntax(s, "501 5.5.4 Syntax: STARTTLS");
	} else if (s->tls) {
		bad_sequence(s, "554 5.5.1 Error: TLS already active");
	} else if (!s->cfg->offer_starttls || s->cb->on_starttls == NULL) {
		not_implemented(s);
	} else {
		PEN_COUNT(s->ctr->starttls);
		smtp_server_reset(s);
		smtp_server_say(s, "220 2.0.0 Ready to start TLS");
		if (!s->closed)
			s->state = SERVER_TLS;
	}
}

// Known, and refused as such: clients try them.
static void cmd_unoffered(struct pen_smtp_server *s, struct pen_span arg)
{
	(void)arg;
	not_implemented(s);
}

static void cmd_auth(struct pen_smtp_server *s, struct pen_span arg)
{
	if (!s->cfg->offer_auth || s->cb->on_auth == NULL)
		not_implemented(s);
	else
		smtp_server_auth(s, arg);
}

// A client that speaks another protocol (a browser made to post, a TLS hello)
// would send its whole request as commands: smtpd_forbidden_commands.
static bool forbidden(struct pen_span line, struct pen_span word)
{
	uint8_t c = line.p[0];

	return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) ||
	       pen_span_ieq(word, PEN_SPAN_LIT("GET")) ||
	       pen_span_ieq(word, PEN_SPAN_LIT("POST")) ||
	       pen_span_ieq(word, PEN_SPAN_LIT("CONNECT"));
}

static const struct {
	char word[12];
	bool plaintext; // allowed before a TLS that is required (RFC 3207 4)
	void (*run)(struct pen_smtp_server *s, struct pen_span arg);
} commands[] = {
	{"MAIL", false, cmd_mail},
	{"RCPT", false, cmd_rcpt},
	{"DATA", false, cmd_data},
	{"EHLO", true, cmd_ehlo},
	{"HELO", true, cmd_helo},
	{"RSET", false, cmd_rset},
	{"NOOP", true, cmd_noop},
	{"QUIT", true, cmd_quit},
	{"STARTTLS", true, cmd_starttls},
	{"VRFY", false, cmd_vrfy},
	{"HELP", true, cmd_help},
	{"EXPN", false, cmd_unoffered},
	{"ETRN", false, cmd_unoffered},
	{"AUTH", false, cmd_auth},
	{"BDAT", false, cmd_unoffered},
};

static void run(struct pen_smtp_server *s, struct pen_span word, struct pen_span arg)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!pen_span_ieq(word, pen_span_cstr(commands[i].word)))
			continue;
		if (s->refused && commands[i].run != cmd_quit) {
			bad_sequence(s, "503 5.5.1 Error: access denied");
		} else if (s->cfg->require_starttls && !s->tls && !commands[i].plaintext) {
			PEN_COUNT(s->ctr->tls_demanded);
			smtp_server_say(s, "530 5.7.0 Must issue a STARTTLS command first");
		} else {
			commands[i].run(s, arg);
		}
		return;
	}
	PEN_COUNT(s->ctr->unknown_commands);
	smtp_server_say(s, "502 5.5.2 Error: command not recognized");
}

void smtp_server_command(struct pen_smtp_server *s, struct pen_span line)
{
	line = pen_span_trim(line);
	if (line.n == 0) {
		bad_syntax(s, "500 5.5.2 Error: bad syntax");
		return;
	}
	struct pen_span arg = line, word = smtp_next_word(&arg);
	if (forbidden(line, word)) {
		PEN_COUNT(s->ctr->forbidden_commands);
		smtp_server_say(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
		smtp_server_close(s);
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < ' ' || line.p[i] == 0x7f) {
			bad_syntax(s, "500 5.5.2 Error: bad syntax");
			return;
		}
	}
	run(s, word, pen_span_trim(arg));
}
