// SPDX-License-Identifier: BSD-3-Clause

// The session of the SMTP server: lines in, replies out, verdicts between.

#include "smtp_server.h"

#include "pen_err.h"
#include "pen_secret.h"

#include <stdarg.h>
#include <stdio.h>

#define REPLY_MAX 1024

PEN_COUNTERS_DEFINE(pen_smtp_server, PEN_SMTP_SERVER_COUNTERS);

void smtp_server_close(struct pen_smtp_server *s)
{
	if (s->closed)
		return;
	s->closed = true;
	s->state = SERVER_CLOSED;
	s->asked = ASKED_NOTHING;
	smtp_server_reset(s);
	pen_secret_fini(&s->line);
	s->cb->on_close(s->ctx);
}

void smtp_server_reset(struct pen_smtp_server *s)
{
	bool was = s->mail;

	s->mail = false;
	s->nrcpt = 0;
	s->overshoot = 0;
	if (was)
		s->cb->on_reset(s->ctx);
}

static bool is_code(struct pen_span s)
{
	return s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '5' && s.p[1] >= '0' && s.p[1] <= '9' &&
	       s.p[2] >= '0' && s.p[2] <= '9' && (s.n == 3 || s.p[3] == ' ' || s.p[3] == '-');
}

// Writes one line "code-text" or "code text"; control bytes would let a reply's
// text forge another reply.
static void put_line(
	struct pen_smtp_server *s, const uint8_t *code, struct pen_span text, bool last)
{
	uint8_t klass;
	uint16_t subject, detail;

	if (!s->cfg->offer_enhanced) {
		text = pen_span_from(text, pen_dsn_parse_status(text, &klass, &subject, &detail));
		text = pen_span_trim(text);
	}
	if (pen_buf_reserve(&s->out, text.n + 6) != 0)
		return;
	uint8_t *o = s->out.p + s->out.n;
	memcpy(o, code, 3);
	o[3] = last ? ' ' : '-';
	for (size_t i = 0; i < text.n; i++)
		o[4 + i] = text.p[i] < ' ' || text.p[i] > '~' ? '?' : text.p[i];
	memcpy(o + 4 + text.n, "\r\n", 2);
	s->out.n += text.n + 6;
}

// Appends a reply of one or several lines and returns its code.
static unsigned put_reply(struct pen_smtp_server *s, struct pen_span text)
{
	uint8_t code[3];

	PEN_ASSERT(is_code(text));
	memcpy(code, text.p, 3);
	for (bool last = false; !last;) {
		ptrdiff_t lf = pen_span_find(text, '\n');
		struct pen_span line = lf >= 0 ? pen_span(text.p, (size_t)lf) : text;
		last = lf < 0;
		text = pen_span_from(text, line.n + 1);
		if (is_code(line) && memcmp(line.p, code, 3) == 0)
			line = pen_span_from(line, 4);
		put_line(s, code, line, last);
	}
	return (unsigned)(code[0] - '0') * 100 + (unsigned)(code[1] - '0') * 10 + code[2] - '0';
}

void smtp_server_error(struct pen_smtp_server *s)
{
	PEN_COUNT(s->ctr->errors);
	s->errors++;
	if (s->cfg->hard_error_limit == 0 || s->errors < s->cfg->hard_error_limit || s->closed)
		return;
	PEN_COUNT(s->ctr->error_limit_closes);
	char text[REPLY_MAX];
	snprintf(text, sizeof(text), "421 4.7.0 %s Error: too many errors", s->cfg->hostname);
	put_reply(s, pen_span_cstr(text));
	smtp_server_close(s);
}

static unsigned say(struct pen_smtp_server *s, struct pen_span text)
{
	unsigned code = put_reply(s, text);

	if (code >= 500)
		PEN_COUNT(s->ctr->replies_5xx);
	else if (code >= 400)
		PEN_COUNT(s->ctr->replies_4xx);
	else
		PEN_COUNT(s->ctr->replies_2xx);
	return code;
}

void smtp_server_say(struct pen_smtp_server *s, const char *text)
{
	unsigned code = say(s, pen_span_cstr(text));

	if (code == 421)
		smtp_server_close(s);
	else if (code >= 400)
		smtp_server_error(s);
}

void smtp_server_note(struct pen_smtp_server *s, const char *text)
{
	say(s, pen_span_cstr(text));
}

void smtp_server_sayf(struct pen_smtp_server *s, const char *fmt, ...)
{
	char text[REPLY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	smtp_server_say(s, text);
}

void smtp_server_ask(struct pen_smtp_server *s, enum smtp_server_asked what)
{
	s->asked = (uint8_t)what;
	s->answered = false;
}

// What an answer with this code changes.
static void settle(struct pen_smtp_server *s, enum smtp_server_asked what, unsigned code)
{
	bool ok = code < 400;

	switch (what) {
	case ASKED_CONNECT:
		s->refused = !ok;
		break;
	case ASKED_EHLO:
	case ASKED_HELO:
		if (ok) {
			s->helo = true;
			s->ehlo = what == ASKED_EHLO;
		}
		break;
	case ASKED_MAIL:
		s->mail = ok;
		break;
	case ASKED_RCPT:
		if (ok)
			s->nrcpt++;
		break;
	case ASKED_DATA:
		if (code == 354) {
			s->state = SERVER_CONTENT;
			s->content = CONTENT_BOL;
			s->content_n = 0;
			s->too_big = false;
		}
		break;
	case ASKED_MESSAGE:
		if (ok)
			s->junk = 0;
		break;
	case ASKED_AUTH:
		s->state = code == 334 ? SERVER_AUTH : SERVER_COMMAND;
		s->authenticated = ok && code != 334;
		break;
	case ASKED_NOTHING:
		break;
	}
}

static void answer(struct pen_smtp_server *s, struct pen_span text)
{
	enum smtp_server_asked what = s->asked;

	s->asked = ASKED_NOTHING;
	s->answered = true;
	s->rearm = true;
	unsigned code = say(s, text);
	settle(s, what, code);
	if (code == 421)
		smtp_server_close(s);
	else if (code >= 400 && what != ASKED_CONNECT)
		smtp_server_error(s);
}

void pen_smtp_server_reply(struct pen_smtp_server *s, const char *fmt, ...)
{
	char text[REPLY_MAX];
	va_list ap;

	if (s->closed)
		return; // the client left while the owner was deciding
	PEN_ASSERT(s->asked != ASKED_NOTHING);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer(s, pen_span_cstr(text));
}

void pen_smtp_server_challenge(struct pen_smtp_server *s, struct pen_span base64)
{
	struct pen_buf text = PEN_BUF_INIT;

	if (s->closed)
		return;
	PEN_ASSERT(s->asked == ASKED_AUTH);
	pen_buf_add_cstr(&text, "334 ");
	pen_buf_add_span(&text, base64);
	answer(s, text.failed ? PEN_SPAN_LIT("454 4.7.0 Temporary authentication failure")
			      : pen_buf_span(&text));
	pen_buf_fini(&text);
}

void smtp_server_verdict(struct pen_smtp_server *s, enum pen_smtp_verdict v, const char *standard)
{
	switch (v) {
	case PEN_SMTP_OK:
		answer(s, pen_span_cstr(standard));
		break;
	case PEN_SMTP_REPLY:
		PEN_ASSERT(s->answered || s->closed);
		break;
	case PEN_SMTP_PENDING:
		break;
	case PEN_SMTP_DROP:
		PEN_COUNT(s->ctr->drops);
		smtp_server_close(s);
		break;
	}
}

void pen_smtp_server_init(struct pen_smtp_server *s, const struct pen_smtp_server_config *cfg,
	const struct pen_smtp_server_callbacks *cb, void *ctx, struct pen_smtp_server_counters *ctr,
	pen_time_us now)
{
	char greeting[REPLY_MAX];

	memset(s, 0, sizeof(*s));
	s->cfg = cfg;
	s->cb = cb;
	s->ctx = ctx;
	s->ctr = ctr;
	s->deadline = now + cfg->timeout;
	PEN_COUNT(ctr->sessions);
	snprintf(greeting, sizeof(greeting), "220 %s %s", cfg->hostname, cfg->banner);
	smtp_server_ask(s, ASKED_CONNECT);
	smtp_server_verdict(s, cb->on_connect(ctx), greeting);
}

void pen_smtp_server_fini(struct pen_smtp_server *s)
{
	s->closed = true;
	s->state = SERVER_CLOSED;
	smtp_server_reset(s);
	pen_secret_fini(&s->line);
	pen_buf_fini(&s->out);
}

void pen_smtp_server_consume(struct pen_smtp_server *s, size_t n)
{
	pen_buf_consume(&s->out, n);
	if (s->out.n == 0)
		pen_buf_fini(&s->out);
}

static void line_too_long(struct pen_smtp_server *s)
{
	PEN_COUNT(s->ctr->lines_too_long);
	if (s->state == SERVER_AUTH)
		smtp_server_auth_too_long(s);
	else
		smtp_server_say(s, "500 5.5.2 Error: line too long");
}

static void run_line(struct pen_smtp_server *s, struct pen_span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (s->state == SERVER_AUTH) {
		smtp_server_auth_line(s, line);
		return;
	}
	PEN_COUNT(s->ctr->commands);
	smtp_server_command(s, line);
}

static void no_memory(struct pen_smtp_server *s)
{
	smtp_server_sayf(s, "421 4.3.0 %s Error: out of memory", s->cfg->hostname);
}

// Takes one command line, or what there is of it. Returns bytes used.
static size_t take_line(struct pen_smtp_server *s, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t used = lf != NULL ? (size_t)(lf - p) + 1 : n;
	// The response's own length is limited, not its line end's.
	size_t max = s->state == SERVER_AUTH ? PEN_SMTP_AUTH_LINE_MAX + 2 : PEN_SMTP_LINE_MAX;

	if (!s->skip_line && s->line.n + used > max) {
		s->skip_line = true;
		pen_secret_fini(&s->line);
	}
	if (s->skip_line) {
		if (lf != NULL) {
			s->skip_line = false;
			line_too_long(s);
		}
		return used;
	}
	if (lf == NULL) {
		pen_secret_add(&s->line, p, n);
		if (s->line.failed)
			no_memory(s);
		return used;
	}
	if (s->line.n == 0) {
		run_line(s, pen_span(p, used - 1));
		return used;
	}
	pen_secret_add(&s->line, p, used - 1);
	// Out of the struct: the command may close the session, which frees it.
	struct pen_buf whole = s->line;
	s->line = PEN_BUF_INIT;
	if (!whole.failed)
		run_line(s, pen_buf_span(&whole));
	else
		no_memory(s);
	pen_secret_fini(&whole);
	return used;
}

static size_t feed(struct pen_smtp_server *s, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n && s->asked == ASKED_NOTHING) {
		switch (s->state) {
		case SERVER_COMMAND:
		case SERVER_AUTH:
			at += take_line(s, p + at, n - at);
			// Plaintext behind STARTTLS must not become a command of the
			// encrypted session (RFC 3207).
			if (s->state == SERVER_TLS) {
				PEN_COUNT_N(s->ctr->starttls_injected_bytes, n - at);
				s->cb->on_starttls(s->ctx);
				return n;
			}
			break;
		case SERVER_CONTENT:
			at += smtp_server_content(s, p + at, n - at);
			break;
		case SERVER_TLS:
			return at;
		default:
			PEN_COUNT_N(s->ctr->late_bytes, n - at);
			return n;
		}
	}
	return at;
}

size_t pen_smtp_server_feed(struct pen_smtp_server *s, const uint8_t *p, size_t n, pen_time_us now)
{
	if (n > 0 && !s->closed)
		s->deadline = now + s->cfg->timeout;
	size_t used = feed(s, p, n);
	s->rearm = false;
	return used;
}

bool pen_smtp_server_pending(const struct pen_smtp_server *s)
{
	return s->asked != ASKED_NOTHING;
}

void pen_smtp_server_tls_up(struct pen_smtp_server *s, pen_time_us now)
{
	PEN_ASSERT(s->state == SERVER_TLS || s->closed);
	if (s->closed)
		return;
	s->state = SERVER_COMMAND;
	s->tls = true;
	s->helo = s->ehlo = s->authenticated = false;
	s->deadline = now + s->cfg->timeout;
}

pen_time_us pen_smtp_server_deadline(const struct pen_smtp_server *s)
{
	return s->closed ? PEN_TIME_NEVER : s->deadline;
}

void pen_smtp_server_tick(struct pen_smtp_server *s, pen_time_us now)
{
	if (s->closed || now < s->deadline)
		return;
	// The client waits for the owner's answer, not we for the client.
	if (s->asked != ASKED_NOTHING || s->rearm) {
		s->rearm = false;
		s->deadline = now + s->cfg->timeout;
		return;
	}
	PEN_COUNT(s->ctr->timeouts);
	smtp_server_sayf(s, "421 4.4.2 %s Error: timeout exceeded", s->cfg->hostname);
}
