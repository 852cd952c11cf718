// SPDX-License-Identifier: BSD-3-Clause
#include "smtp_server_owner.h"

__attribute__((format(printf, 2, 3))) static void note(struct owner *o, const char *fmt, ...)
{
	size_t n = strlen(o->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o->log + n, sizeof(o->log) - n, fmt, ap);
	va_end(ap);
}

static enum pen_smtp_verdict decide(struct owner *o, unsigned what)
{
	if (o->verdict[what] == PEN_SMTP_REPLY)
		pen_smtp_server_reply(&o->server, "%s", o->reply);
	return o->verdict[what];
}

static enum pen_smtp_verdict on_connect(void *ctx)
{
	return decide(ctx, ON_CONNECT);
}

static enum pen_smtp_verdict on_helo(void *ctx, struct pen_span name, bool ehlo)
{
	note(ctx, "%s %.*s|", ehlo ? "ehlo" : "helo", PEN_SPAN_ARG(name));
	return decide(ctx, ON_HELO);
}

static enum pen_smtp_verdict on_mail(void *ctx, const struct pen_smtp_mail *m)
{
	note(ctx, "mail %.*s size=%llu flags=%u", PEN_SPAN_ARG(m->sender),
		(unsigned long long)m->size, m->flags);
	if (m->envid.n > 0)
		note(ctx, " envid=%.*s", PEN_SPAN_ARG(m->envid));
	if (m->verp.n > 0)
		note(ctx, " verp=%.*s", PEN_SPAN_ARG(m->verp));
	if (m->auth.n > 0)
		note(ctx, " auth=%.*s", PEN_SPAN_ARG(m->auth));
	note(ctx, "|");
	return decide(ctx, ON_MAIL);
}

static enum pen_smtp_verdict on_rcpt(void *ctx, const struct pen_smtp_rcpt *r)
{
	note(ctx, "rcpt %.*s", PEN_SPAN_ARG(r->addr));
	if (r->notify != 0)
		note(ctx, " notify=%u", r->notify);
	if (r->orcpt.n > 0)
		note(ctx, " orcpt=%.*s", PEN_SPAN_ARG(r->orcpt));
	note(ctx, "|");
	return decide(ctx, ON_RCPT);
}

static enum pen_smtp_verdict on_data(void *ctx)
{
	note(ctx, "data|");
	return decide(ctx, ON_DATA);
}

static void on_content(void *ctx, struct pen_span piece)
{
	struct owner *o = ctx;

	assert_true(piece.n > 0);
	pen_buf_add_span(&o->content, piece);
}

static enum pen_smtp_verdict on_message(void *ctx, bool too_big)
{
	struct owner *o = ctx;

	o->messages++;
	o->too_big = too_big;
	note(o, "message|");
	return decide(o, ON_MESSAGE);
}

static void on_reset(void *ctx)
{
	note(ctx, "reset|");
}

static void on_starttls(void *ctx)
{
	note(ctx, "starttls|");
}

static struct pen_span auth_mechanisms(void *ctx)
{
	const struct owner *o = ctx;

	return o->mechanisms != NULL ? pen_span_cstr(o->mechanisms) : pen_span(NULL, 0);
}

static enum pen_smtp_verdict on_auth(
	void *ctx, struct pen_span mechanism, const struct pen_span *initial)
{
	note(ctx, "auth %.*s", PEN_SPAN_ARG(mechanism));
	if (initial != NULL)
		note(ctx, " '%.*s'", PEN_SPAN_ARG(*initial));
	note(ctx, "|");
	return decide(ctx, ON_AUTH);
}

static enum pen_smtp_verdict on_auth_response(void *ctx, struct pen_span response)
{
	if (response.n < 100)
		note(ctx, "response '%.*s'|", PEN_SPAN_ARG(response));
	else
		note(ctx, "response of %zu|", response.n);
	return decide(ctx, ON_AUTH);
}

static void on_auth_cancel(void *ctx)
{
	note(ctx, "cancel|");
}

static void on_close(void *ctx)
{
	struct owner *o = ctx;

	o->closes++;
	note(o, "close|");
}

static const struct pen_smtp_server_callbacks callbacks = {.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_message = on_message,
	.on_reset = on_reset,
	.on_starttls = on_starttls,
	.auth_mechanisms = auth_mechanisms,
	.on_auth = on_auth,
	.on_auth_response = on_auth_response,
	.on_auth_cancel = on_auth_cancel,
	.on_close = on_close};

static const struct pen_smtp_server_config config = {.hostname = "gw.example",
	.banner = "ESMTP Penstock",
	.max_size = 10000,
	.max_recipients = 3,
	.soft_error_limit = 10,
	.hard_error_limit = 20,
	.timeout = 300 * PEN_US_PER_S,
	.offer_starttls = true,
	.offer_pipelining = true,
	.offer_8bitmime = true,
	.offer_size = true,
	.offer_enhanced = true};

void owner_forget(struct owner *o)
{
	pen_smtp_server_consume(&o->server, o->server.out.n);
	o->log[0] = '\0';
}

void owner_start(struct owner *o)
{
	pen_smtp_server_init(&o->server, &o->cfg, &callbacks, o, &o->ctr, o->now);
}

struct owner *owner_new(void)
{
	struct owner *o = calloc(1, sizeof(*o));

	o->cfg = config;
	o->now = 7;
	return o;
}

void owner_free(struct owner *o)
{
	pen_smtp_server_fini(&o->server);
	pen_buf_fini(&o->content);
	free(o);
}

size_t owner_feed_n(struct owner *o, const char *text, size_t n, size_t step)
{
	size_t at = 0;

	while (at < n) {
		size_t piece = n - at < step ? n - at : step;
		uint8_t *copy = malloc(piece);
		memcpy(copy, text + at, piece);
		size_t used = pen_smtp_server_feed(&o->server, copy, piece, o->now);
		free(copy);
		at += used;
		if (used < piece)
			break;
	}
	return at;
}

size_t owner_feed(struct owner *o, const char *text)
{
	return owner_feed_n(o, text, strlen(text), SIZE_MAX);
}

struct owner *owner_greeted(void)
{
	struct owner *o = owner_new();

	owner_start(o);
	owner_feed(o, "EHLO c.example\r\n");
	owner_forget(o);
	return o;
}
