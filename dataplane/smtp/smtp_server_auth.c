// SPDX-License-Identifier: BSD-3-Clause

// AUTH (RFC 4954): order, syntax and limits. What is in the base64 is the owner's affair;
// none of it is kept here.

#include "smtp_server.h"

bool smtp_offers_auth(const struct pen_smtp_server *s)
{
	return s->cfg->offer_auth && s->cb->on_auth != NULL && (s->tls || !s->cfg->auth_tls_only);
}

static bool is_base64(struct pen_span v)
{
	size_t padding = 0;

	while (padding < 2 && padding < v.n && v.p[v.n - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < v.n - padding; i++) {
		uint8_t c = v.p[i];
		bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			  (c >= '0' && c <= '9') || c == '+' || c == '/';
		if (!ok)
			return false;
	}
	return v.n % 4 == 0;
}

// In upper case; false: it is no name of a mechanism.
static bool take_mechanism(struct pen_span word, char out[PEN_SMTP_MECHANISM_MAX])
{
	if (word.n == 0 || word.n > PEN_SMTP_MECHANISM_MAX)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		uint8_t c = word.p[i];
		if (c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 'a' + 'A');
		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
		out[i] = (char)c;
	}
	return true;
}

// What forbids AUTH now, as Postfix words it; NULL: nothing.
static const char *out_of_order(const struct pen_smtp_server *s)
{
	if (s->mail)
		return "503 5.5.1 Error: MAIL transaction in progress";
	if (!smtp_offers_auth(s))
		return "504 5.5.4 Encryption required for requested authentication mechanism";
	if (s->authenticated)
		return "503 5.5.1 Error: already authenticated";
	return NULL;
}

static void bad_syntax(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->bad_syntax);
	smtp_server_say(s, reply);
}

void smtp_server_auth(struct pen_smtp_server *s, struct pen_span arg)
{
	const char *why = out_of_order(s);
	char name[PEN_SMTP_MECHANISM_MAX];

	if (why != NULL) {
		PEN_COUNT(s->ctr->bad_sequence);
		smtp_server_say(s, why);
		return;
	}
	struct pen_span word = smtp_next_word(&arg), initial = smtp_next_word(&arg);
	bool given = initial.n > 0;
	if (pen_span_trim(arg).n > 0 || !take_mechanism(word, name)) {
		bad_syntax(s, "501 5.5.4 Syntax: AUTH mechanism");
		return;
	}
	if (pen_span_eq(initial, PEN_SPAN_LIT("=")))
		initial.n = 0; // there is a response, and it is empty
	if (!is_base64(initial)) {
		bad_syntax(s, "501 5.5.2 Error: invalid base64 data in initial response");
		return;
	}
	PEN_COUNT(s->ctr->auths);
	smtp_server_ask(s, ASKED_AUTH);
	smtp_server_verdict(s,
		s->cb->on_auth(s->ctx, pen_span(name, word.n), given ? &initial : NULL),
		"235 2.7.0 Authentication successful");
}

static void abort_exchange(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->auths_aborted);
	s->state = SERVER_COMMAND;
	s->cb->on_auth_cancel(s->ctx);
	smtp_server_say(s, reply);
}

void smtp_server_auth_line(struct pen_smtp_server *s, struct pen_span line)
{
	if (pen_span_eq(line, PEN_SPAN_LIT("*"))) {
		abort_exchange(s, "501 5.7.0 Authentication aborted");
	} else if (line.n > PEN_SMTP_AUTH_LINE_MAX) {
		smtp_server_auth_too_long(s);
	} else if (!is_base64(line)) {
		abort_exchange(s, "501 5.5.2 Error: invalid base64 data in response");
	} else {
		smtp_server_ask(s, ASKED_AUTH);
		smtp_server_verdict(s, s->cb->on_auth_response(s->ctx, line),
			"235 2.7.0 Authentication successful");
	}
}

void smtp_server_auth_too_long(struct pen_smtp_server *s)
{
	abort_exchange(s, "500 5.5.6 SASL response limit exceeded");
}
