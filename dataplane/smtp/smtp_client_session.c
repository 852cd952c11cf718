// SPDX-License-Identifier: BSD-3-Clause

// From the greeting to the first transaction: EHLO, HELO, STARTTLS.

#include "smtp_client.h"

// "host X <what>: <reply>" as a failure of the session.
static void session_refusal(
	struct pen_smtp_client *c, enum pen_smtp_stage stage, const char *what, struct pen_dsn *out)
{
	char peer[SMTP_PEER_MAX];
	struct pen_dsn said;

	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, stage, &said);
	pen_dsn_set(out, said.klass == 2 ? 4 : said.klass, said.subject, said.detail,
		PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, stage, "host %s %s: %s",
		smtp_client_peer(c, peer), what, said.text);
	out->reply = said.reply;
}

// A server that says 421 closes by itself; others expect QUIT.
static void refuse_session(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now)
{
	if (c->reply.code == 421) {
		PEN_COUNT(c->ctr->replies_421);
		smtp_client_fail(c, why, CAUSE_PEER, now);
	} else {
		smtp_client_quit_with(c, why, now);
	}
}

static void forget_capabilities(struct pen_smtp_client *c)
{
	c->pipelining = c->size = c->eight_bit = c->starttls = false;
	c->lease->size_limit = 0;
}

static void greeting_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		smtp_client_enter(c, SMTP_EHLO, now);
		return;
	}
	// smtp_skip_5xx_greeting: another host of the site may be in better health.
	PEN_COUNT(c->ctr->greetings_refused);
	session_refusal(c, PEN_STAGE_GREETING, "refused to talk to me", &why);
	why.klass = 4;
	refuse_session(c, &why, now);
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

void smtp_client_on_ehlo_line(struct pen_smtp_client *c)
{
	struct pen_span line = pen_span_trim(pen_span(c->reply.line, c->reply.line_len));
	struct pen_span word = line, arg = {0};

	if (c->reply.lines == 1 || c->reply.klass != 2)
		return; // the first line names the server
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == ' ' || line.p[i] == '=') {
			word = pen_span(line.p, i);
			arg = pen_span_trim(pen_span_from(line, i + 1));
			break;
		}
	}
	if (pen_span_ieq(word, PEN_SPAN_LIT("PIPELINING"))) {
		c->pipelining = true;
	} else if (pen_span_ieq(word, PEN_SPAN_LIT("8BITMIME"))) {
		c->eight_bit = true;
	} else if (pen_span_ieq(word, PEN_SPAN_LIT("STARTTLS"))) {
		c->starttls = true;
	} else if (pen_span_ieq(word, PEN_SPAN_LIT("SIZE"))) {
		c->size = true;
		c->lease->size_limit = parse_size(arg);
	}
}

static void become_ready(struct pen_smtp_client *c, pen_time_us now)
{
	c->lease->ready = true;
	c->lease->ready_at = now;
	PEN_COUNT(c->ctr->sessions_ready);
	smtp_client_enter(c, SMTP_READY, now);
	c->cb->on_ready(c->ctx, now);
}

static enum pen_tls_level tls_level(const struct pen_smtp_client *c)
{
	return c->plain ? PEN_TLS_NONE : c->lease->host[c->lease->host_used].tls->level;
}

// EHLO or HELO succeeded: TLS first, if it may be or must be.
static void hello_done(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	if (c->lease->tls || tls_level(c) == PEN_TLS_NONE) {
		become_ready(c, now);
	} else if (c->starttls && c->cb->on_starttls != NULL) {
		smtp_client_enter(c, SMTP_STARTTLS, now);
	} else if (tls_level(c) == PEN_TLS_MAY) {
		become_ready(c, now);
	} else if (c->starttls) {
		pen_dsn_set(&why, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_STARTTLS,
			"TLS is required, but our TLS engine is unavailable");
		smtp_client_quit_with(c, &why, now);
	} else {
		PEN_COUNT(c->ctr->starttls_not_offered);
		pen_dsn_set(&why, 4, 7, 4, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_STARTTLS,
			"TLS is required, but was not offered by host %s",
			smtp_client_peer(c, peer));
		smtp_client_quit_with(c, &why, now);
	}
}

static void ehlo_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		smtp_client_on_ehlo_line(c);
		hello_done(c, now);
		return;
	}
	if (c->reply.code == 421) {
		PEN_COUNT(c->ctr->helos_refused);
		session_refusal(c, PEN_STAGE_EHLO, "refused to talk to me", &why);
		refuse_session(c, &why, now);
		return;
	}
	PEN_COUNT(c->ctr->helo_fallbacks);
	smtp_client_enter(c, SMTP_HELO, now);
}

static void helo_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		hello_done(c, now);
		return;
	}
	PEN_COUNT(c->ctr->helos_refused);
	session_refusal(c, PEN_STAGE_HELO, "refused to talk to me", &why);
	refuse_session(c, &why, now);
}

static void starttls_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;

	if (c->reply.klass == 2) {
		PEN_COUNT(c->ctr->starttls);
		// What the plaintext EHLO said is not to be trusted (RFC 3207 4.2).
		forget_capabilities(c);
		smtp_client_enter(c, SMTP_TLS, now);
		c->cb->on_starttls(c->ctx, now);
		return;
	}
	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	PEN_COUNT(c->ctr->starttls_refused);
	if (tls_level(c) == PEN_TLS_MAY && c->reply.code != 421) {
		become_ready(c, now);
		return;
	}
	if (tls_level(c) == PEN_TLS_MAY) {
		session_refusal(c, PEN_STAGE_STARTTLS, "refused to start TLS", &why);
		why.klass = 4;
		refuse_session(c, &why, now);
		return;
	}
	// Anybody on the path can forge a 5xx: it must not bounce mail by itself.
	// `reply` still tells it apart for the TLS policy.
	char peer[SMTP_PEER_MAX];
	struct pen_dsn said;
	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, PEN_STAGE_STARTTLS, &said);
	bool hard = said.klass == 5;
	pen_dsn_set(&why, 4, hard ? 7 : said.subject, hard ? 5 : said.detail, PEN_SCOPE_SESSION,
		PEN_ORIGIN_PEER, PEN_STAGE_STARTTLS,
		"TLS is required, but host %s refused to start TLS: %s", smtp_client_peer(c, peer),
		said.text);
	why.reply = said.reply;
	refuse_session(c, &why, now);
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
		starttls_reply(c, now);
}
