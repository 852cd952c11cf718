// SPDX-License-Identifier: BSD-3-Clause

// From the greeting to the first transaction: EHLO, HELO. For TLS see
// smtp_client_tls.c.

#include "smtp_client.h"

void smtp_client_session_refusal(const struct pen_smtp_client *c, enum pen_smtp_stage stage,
	const char *what, struct pen_dsn *out)
{
	char peer[SMTP_PEER_MAX];
	struct pen_dsn said;

	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, stage, &said);
	pen_dsn_set(out, said.klass == 2 ? 4 : said.klass, said.subject, said.detail,
		PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, stage, "host %s %s: %s",
		smtp_client_peer(c, peer), what, said.text);
	out->reply = said.reply;
}

void smtp_client_refuse(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now)
{
	if (c->reply.code == 421) {
		PEN_COUNT(c->ctr->replies_421);
		smtp_client_fail(c, why, CAUSE_PEER, now);
	} else {
		smtp_client_quit_with(c, why, now);
	}
}

static void greeting_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		smtp_client_enter(c, SMTP_EHLO, now);
		return;
	}
	PEN_COUNT(c->ctr->greetings_refused);
	smtp_client_session_refusal(c, PEN_STAGE_GREETING, "refused to talk to me", &why);
	// Another host of the site may be in better health.
	if (c->lease->rules->skip_5xx_greeting)
		why.klass = 4;
	smtp_client_refuse(c, &why, now);
}

static uint64_t parse_size(struct pen_span s)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || v > UINT64_MAX / 10 - 1)
			return 0;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	return v;
}

// The server has our own name: mail for it would come back to us. Other ports
// belong to filters and to servers on the same host.
static bool is_me(const struct pen_smtp_client *c, struct pen_span name)
{
	return !c->lease->lmtp && smtp_client_host(c)->port == 25 &&
	       pen_span_ieq(name, pen_span_cstr(smtp_client_helo(c)));
}

static const struct {
	struct pen_span word;
	uint32_t bit;
} keywords[] = {
	{PEN_SPAN_LIT("PIPELINING"), PEN_EHLO_PIPELINING},
	{PEN_SPAN_LIT("SIZE"), PEN_EHLO_SIZE},
	{PEN_SPAN_LIT("8BITMIME"), PEN_EHLO_8BITMIME},
	{PEN_SPAN_LIT("STARTTLS"), PEN_EHLO_STARTTLS},
	{PEN_SPAN_LIT("DSN"), PEN_EHLO_DSN},
	{PEN_SPAN_LIT("REQUIRETLS"), PEN_EHLO_REQUIRETLS},
	{PEN_SPAN_LIT("SMTPUTF8"), PEN_EHLO_SMTPUTF8},
};

static void keyword(struct pen_smtp_client *c, uint32_t bit, struct pen_span arg)
{
	switch (bit & ~c->lease->rules->discard_keywords) {
	case PEN_EHLO_PIPELINING:
		c->pipelining = true;
		break;
	case PEN_EHLO_8BITMIME:
		c->eight_bit = true;
		break;
	case PEN_EHLO_STARTTLS:
		c->starttls = true;
		break;
	case PEN_EHLO_DSN:
		c->lease->dsn = true;
		break;
	case PEN_EHLO_REQUIRETLS:
		c->requiretls = true;
		break;
	case PEN_EHLO_SMTPUTF8:
		c->smtputf8 = true;
		break;
	case PEN_EHLO_SIZE:
		c->size = true;
		c->lease->size_limit = parse_size(arg);
		break;
	}
}

void smtp_client_on_ehlo_line(struct pen_smtp_client *c)
{
	struct pen_span line = pen_span_trim(pen_span(c->reply.line, c->reply.line_len));
	struct pen_span word = line, arg = {0};

	if (c->reply.klass != 2)
		return;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == ' ' || line.p[i] == '=') {
			word = pen_span(line.p, i);
			arg = pen_span_trim(pen_span_from(line, i + 1));
			break;
		}
	}
	if (c->reply.lines == 1) { // it names the server
		c->loops = is_me(c, word);
		return;
	}
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (pen_span_ieq(word, keywords[i].word))
			keyword(c, keywords[i].bit, arg);
	}
}

static void refuse_loop(struct pen_smtp_client *c, pen_time_us now)
{
	const char *domain = smtp_client_host(c)->tls->nexthop;
	struct pen_dsn why;

	PEN_COUNT(c->ctr->loops);
	pen_dsn_set(&why, 4, 4, 6, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_EHLO,
		"mail%s%s loops back to myself", domain[0] != '\0' ? " for " : "", domain);
	smtp_client_quit_with(c, &why, now);
}

static void ehlo_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		smtp_client_on_ehlo_line(c);
		if (c->loops)
			refuse_loop(c, now);
		else
			smtp_client_hello_done(c, now);
		return;
	}
	// LMTP has no HELO to fall back to.
	if (c->reply.code == 421 || c->lease->lmtp) {
		PEN_COUNT(c->ctr->helos_refused);
		smtp_client_session_refusal(c, PEN_STAGE_EHLO, "refused to talk to me", &why);
		smtp_client_refuse(c, &why, now);
		return;
	}
	PEN_COUNT(c->ctr->helo_fallbacks);
	smtp_client_enter(c, SMTP_HELO, now);
}

static void helo_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		smtp_client_hello_done(c, now);
		return;
	}
	PEN_COUNT(c->ctr->helos_refused);
	smtp_client_session_refusal(c, PEN_STAGE_HELO, "refused to talk to me", &why);
	smtp_client_refuse(c, &why, now);
}

void smtp_client_on_reply(struct pen_smtp_client *c, pen_time_us now)
{
	switch (c->state) {
	case SMTP_GREETING:
		greeting_reply(c, now);
		return;
	case SMTP_READY:
		smtp_client_ready_reply(c, now);
		return;
	case SMTP_QUIT:
		smtp_client_finish(c, now);
		return;
	default:
		break;
	}
	// EHLO, HELO, STARTTLS: only what was asked for is answered.
	if (!c->cmd_sent && c->reply.klass < 4) {
		PEN_COUNT(c->ctr->early_replies);
		smtp_client_protocol_error(c, now);
		return;
	}
	if (c->state == SMTP_EHLO)
		ehlo_reply(c, now);
	else if (c->state == SMTP_HELO)
		helo_reply(c, now);
	else
		smtp_client_starttls_reply(c, now);
}
