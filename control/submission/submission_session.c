// SPDX-License-Identifier: BSD-3-Clause

// The decisions of one SMTP session: who may relay, what is refused, and what
// is said.

#include "pen_verp.h"
#include "submission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define STORAGE "452 4.3.1 Insufficient system storage"
#define QUEUE_ERROR "451 4.3.0 Error: queue file write error"

void session_reset(struct conn *c)
{
	content_reset(&c->content);
	c->envelope.n = 0;
	if (c->envelope.cap > 4096)
		pen_buf_fini(&c->envelope);
	if (c->rcpt_cap > 32) {
		free(c->rcpt);
		c->rcpt = NULL;
		c->rcpt_cap = 0;
	}
	c->sender_n = c->nrcpt = 0;
	c->envid_n = c->mail_flags = 0;
	c->size_hint = 0;
	pen_mail_class_put(c->klass);
	c->klass = NULL;
	memset(&c->extra, 0, sizeof(c->extra));
	memset(&c->sender_class, 0, sizeof(c->sender_class));
	c->tenant_bound = false;
	auth_set_sender(c, pen_span(NULL, 0));
	c->queue_id[0] = '\0';
}

static enum pen_smtp_verdict on_connect(void *ctx)
{
	struct conn *c = ctx;

	pen_maillog_connect(c->loop->sub->cfg.maillog, &c->client);
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_helo(void *ctx, struct pen_span name, bool ehlo)
{
	struct conn *c = ctx;
	size_t n = name.n < sizeof(c->helo) - 1 ? name.n : sizeof(c->helo) - 1;

	// The name goes into Received:, where these would have a meaning.
	for (size_t i = 0; i < n; i++) {
		char ch = (char)name.p[i];
		bool odd = ch <= ' ' || ch > '~' || strchr("()<>\",;\\", ch) != NULL;
		c->helo[i] = odd ? '?' : ch;
	}
	c->helo[n] = '\0';
	c->esmtp = ehlo;
	c->count.helo++;
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict refuse_err(struct conn *c, const char *stage, int err)
{
	if (err == -ENOSPC) {
		PEN_COUNT(c->loop->ctr.storage_refused);
		return message_refuse(c, stage, STORAGE);
	}
	PEN_COUNT(c->loop->ctr.memory_refused);
	return message_refuse(c, stage, QUEUE_ERROR);
}

// Appends an address to the envelope, completed with our domain.
static bool envelope_add(struct conn *c, struct pen_span addr)
{
	const char *origin = c->loop->sub->myorigin;

	pen_buf_add_span(&c->envelope, addr);
	if (addr.n > 0 && origin != NULL && pen_span_find(addr, '@') < 0) {
		pen_buf_add_cstr(&c->envelope, "@");
		pen_buf_add_cstr(&c->envelope, origin);
	}
	return !c->envelope.failed;
}

// One character of well-formed UTF-8 as RFC 6533 writes it in ASCII, "\\x{E4}".
// Returns the bytes used.
static size_t envelope_add_embedded(struct conn *c, const uint8_t *p)
{
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t v = p[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		v = v << 6 | (p[i] & 0x3f);
	pen_buf_addf(&c->envelope, "\\x{%X}", v);
	return len;
}

// xtext, with the '=' encoded that some senders forget, and UTF-8 in a form that any
// server takes: what we send on and put into notifications is as RFC 3461 says.
// Returns its length.
static size_t envelope_add_xtext(struct conn *c, struct pen_span text)
{
	size_t before = c->envelope.n, plain = 0;

	while (text.n > 0) {
		while (plain < text.n && text.p[plain] != '=' && text.p[plain] < 0x80)
			plain++;
		pen_buf_add(&c->envelope, text.p, plain);
		text = pen_span_from(text, plain);
		plain = 0;
		if (text.n > 0 && text.p[0] == '=') {
			pen_buf_add_cstr(&c->envelope, "+3D");
			text = pen_span_from(text, 1);
		} else if (text.n > 0) {
			text = pen_span_from(text, envelope_add_embedded(c, text.p));
		}
	}
	return c->envelope.n - before;
}

// False: a reply was given.
static bool take_verp(struct conn *c, const struct pen_smtp_mail *m)
{
	const struct pen_submission *s = c->loop->sub;

	if ((m->flags & PEN_SMTP_MAIL_XVERP) == 0)
		return true;
	if (m->verp.n > 0 && !pen_verp_valid(m->verp, s->verp_filter)) {
		message_refuse(c, "MAIL", "501 5.5.4 Error: Bad VERP delimiters");
		return false;
	}
	memcpy(c->extra.verp, m->verp.n > 0 ? (const char *)m->verp.p : s->verp_delimiters, 2);
	PEN_COUNT(c->loop->ctr.verp);
	return true;
}

static enum pen_smtp_verdict on_mail(void *ctx, const struct pen_smtp_mail *m)
{
	struct conn *c = ctx;
	struct pen_submission *s = c->loop->sub;

	session_reset(c);
	pen_buf_reset(&c->envelope);
	c->count.mail++;
	int err = s->ops.admission != NULL ? s->ops.admission(s->ctx) : 0;
	if (err == 0 && !envelope_add(c, m->sender))
		err = -ENOMEM;
	if (err != 0) {
		enum pen_smtp_verdict v = refuse_err(c, "MAIL", err);
		session_reset(c);
		return v;
	}
	c->sender_n = (uint32_t)c->envelope.n;
	auth_set_sender(c, m->auth);
	if (!class_of_sender(c)) {
		enum pen_smtp_verdict v = message_refuse(c, "MAIL", QUEUE_ERROR);
		session_reset(c);
		return v;
	}
	if (!take_verp(c, m)) {
		session_reset(c);
		return PEN_SMTP_REPLY;
	}
	c->envid_n = (uint16_t)envelope_add_xtext(c, m->envid);
	if (c->envelope.failed) {
		enum pen_smtp_verdict v = refuse_err(c, "MAIL", -ENOMEM);
		session_reset(c);
		return v;
	}
	c->mail_flags = (uint16_t)m->flags;
	c->size_hint = m->size;
	c->count.mail_ok++;
	return PEN_SMTP_OK;
}

static bool rcpt_room(struct conn *c)
{
	if (c->nrcpt < c->rcpt_cap)
		return true;
	uint32_t cap = c->rcpt_cap != 0 ? c->rcpt_cap * 2 : 4;
	struct rcpt_at *p = realloc(c->rcpt, cap * sizeof(*p));
	if (p == NULL)
		return false;
	c->rcpt = p;
	c->rcpt_cap = cap;
	return true;
}

enum pen_smtp_verdict session_refuse_rcpt(
	struct conn *c, const char *stage, struct pen_span rcpt, const char *reply)
{
	struct pen_maillog_reject r = {
		.queue_id = c->queue_id[0] != '\0' ? c->queue_id : NULL,
		.stage = stage,
		.client = c->client,
		.reply = reply,
		.sender = conn_sender(c),
		.rcpt = rcpt,
		.helo = pen_span_cstr(c->helo),
		.has_sender = true,
		.esmtp = c->esmtp,
	};
	pen_maillog_reject(c->loop->sub->cfg.maillog, &r);
	pen_smtp_server_reply(&c->smtp, "%s", reply);
	return PEN_SMTP_REPLY;
}

static enum pen_smtp_verdict deny_relay(struct conn *c, struct pen_span rcpt)
{
	char reply[512];

	PEN_COUNT(c->loop->ctr.relay_denied);
	snprintf(reply, sizeof(reply), "554 5.7.1 <%.*s>: Relay access denied",
		(int)(rcpt.n < 400 ? rcpt.n : 400), (const char *)rcpt.p);
	return session_refuse_rcpt(c, "RCPT", rcpt, reply);
}

static enum pen_smtp_verdict on_rcpt(void *ctx, const struct pen_smtp_rcpt *r)
{
	struct conn *c = ctx;

	size_t before = c->envelope.n;

	c->count.rcpt++;
	if (!c->trusted && auth_user(c).n == 0)
		return deny_relay(c, r->addr);
	if (c->nrcpt >= c->loop->sub->cfg.recipient_limit)
		return message_refuse(c, "RCPT", "452 4.5.3 Error: too many recipients");
	if (!rcpt_room(c) || !envelope_add(c, r->addr))
		return refuse_err(c, "RCPT", -ENOMEM);
	size_t orcpt_n = envelope_add_xtext(c, r->orcpt);
	if (c->envelope.failed)
		return refuse_err(c, "RCPT", -ENOMEM);
	if (orcpt_n > PEN_XTEXT_MAX) {
		c->envelope.n = before;
		return message_refuse(c, "RCPT", "501 5.5.4 Error: Bad ORCPT parameter syntax");
	}
	c->rcpt[c->nrcpt++] =
		(struct rcpt_at){(uint32_t)c->envelope.n, (uint16_t)orcpt_n, r->notify, false};
	if (!class_admits_rcpt(c)) {
		c->nrcpt--;
		c->envelope.n = before;
		return PEN_SMTP_REPLY;
	}
	c->count.rcpt_ok++;
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_data(void *ctx)
{
	struct conn *c = ctx;
	struct pen_submission *s = c->loop->sub;
	char own[2048];

	c->count.data++;
	c->id = s->ops.next_id(s->ctx);
	pen_queue_id_format(c->id, c->queue_id);
	size_t n = message_received(c, own, sizeof(own));
	content_begin(&c->content, &s->budget, pen_span(own, n), c->size_hint);
	c->content.field_limit = (size_t)s->cfg.header_size_limit;
	if (c->content.err != 0) {
		int err = c->content.err;
		content_reset(&c->content);
		c->queue_id[0] = '\0';
		return refuse_err(c, "DATA", err);
	}
	return PEN_SMTP_OK;
}

// An empty piece is the end.
static void feed_content(struct conn *c, struct pen_span piece)
{
	char id[320], date[64];

	if (!c->trusted || !c->content.in_header) {
		content_add(&c->content, piece);
		return;
	}
	// This piece may close the header.
	message_missing(c, id, sizeof(id), date, sizeof(date));
	c->content.add_message_id = pen_span_cstr(id);
	c->content.add_date = pen_span_cstr(date);
	if (piece.n > 0)
		content_add(&c->content, piece);
	else
		content_end(&c->content);
	c->content.add_message_id = c->content.add_date = pen_span(NULL, 0);
}

static void on_content(void *ctx, struct pen_span piece)
{
	if (piece.n > 0)
		feed_content(ctx, piece);
}

static enum pen_smtp_verdict on_message(void *ctx, bool too_big)
{
	struct conn *c = ctx;
	enum pen_smtp_verdict v;

	if (too_big) {
		PEN_COUNT(c->loop->ctr.size_refused);
		v = message_refuse(c, "END-OF-MESSAGE", "552 5.3.4 Error: message file too big");
	} else {
		feed_content(c, pen_span(NULL, 0));
		content_end(&c->content);
		if (c->content.err != 0)
			v = refuse_err(c, "END-OF-MESSAGE", c->content.err);
		else
			v = message_complete(c);
	}
	if (!c->handed && !c->paused)
		session_reset(c);
	return v;
}

static void on_reset(void *ctx)
{
	session_reset(ctx);
}

static void on_close(void *ctx)
{
	struct conn *c = ctx;

	c->closing = true;
	c->until = c->loop->now + CLOSE_GRACE;
}

// RFC 3207 4.2: what the client said about itself in plaintext counts no more, and neither
// does who it was.
static void on_starttls(void *ctx)
{
	struct conn *c = ctx;

	c->helo[0] = '\0';
	c->esmtp = false;
	auth_free(c);
	if (tls_begin(c))
		return;
	PEN_COUNT(c->loop->ctr.memory_refused);
	c->closing = true; // 220 was promised already
}

void session_tls_up(struct conn *c)
{
	PEN_COUNT(c->loop->ctr.tls_sessions);
	pen_smtp_server_tls_up(&c->smtp, c->loop->now);
}

const struct pen_smtp_server_callbacks session_callbacks = {
	.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_message = on_message,
	.on_reset = on_reset,
	.on_starttls = on_starttls,
	.auth_mechanisms = auth_mechanisms,
	.on_auth = auth_begin,
	.on_auth_response = auth_response,
	.on_auth_cancel = auth_cancel,
	.on_close = on_close,
};

// The queue has answered for the message that was handed over.
void session_answer(struct conn *c, int err, const char *reply)
{
	if (err == 0)
		c->count.data_ok++;
	if (reply != NULL)
		pen_smtp_server_reply(&c->smtp, "%s", reply);
	else if (err == 0)
		pen_smtp_server_reply(&c->smtp, "250 2.0.0 Ok: queued as %s", c->queue_id);
	else
		message_refuse(c, "END-OF-MESSAGE", err == -ENOSPC ? STORAGE : QUEUE_ERROR);
	session_reset(c);
}

static size_t add_count(char *out, size_t cap, const char *name, uint32_t ok, uint32_t all)
{
	int n = 0;

	if (all > 0 && ok == all)
		n = snprintf(out, cap, "%s=%u ", name, all);
	else if (all > 0)
		n = snprintf(out, cap, "%s=%u/%u ", name, ok, all);
	return (size_t)n;
}

void session_log_end(struct conn *c)
{
	char text[256];
	size_t n = 0;
	uint32_t ok = c->count.helo + c->count.auth_ok + c->count.mail_ok + c->count.rcpt_ok +
		      c->count.data_ok;
	uint32_t all =
		c->count.helo + c->count.auth + c->count.mail + c->count.rcpt + c->count.data;

	n += add_count(
		text, sizeof(text), c->esmtp ? "ehlo" : "helo", c->count.helo, c->count.helo);
	if (c->tls != NULL) {
		uint32_t up = tls_is_up(c) ? 1 : 0;
		n += add_count(text + n, sizeof(text) - n, "starttls", up, 1);
		ok += up;
		all++;
	}
	n += add_count(text + n, sizeof(text) - n, "auth", c->count.auth_ok, c->count.auth);
	n += add_count(text + n, sizeof(text) - n, "mail", c->count.mail_ok, c->count.mail);
	n += add_count(text + n, sizeof(text) - n, "rcpt", c->count.rcpt_ok, c->count.rcpt);
	n += add_count(text + n, sizeof(text) - n, "data", c->count.data_ok, c->count.data);
	if (ok == all)
		snprintf(text + n, sizeof(text) - n, "commands=%u", all);
	else
		snprintf(text + n, sizeof(text) - n, "commands=%u/%u", ok, all);
	pen_maillog_disconnect(c->loop->sub->cfg.maillog, &c->client, text);
}
