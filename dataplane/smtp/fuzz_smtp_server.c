// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_smtp_server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct pen_smtp_server server;
	struct pen_smtp_server_counters ctr;
	bool mail, utf8, closed, tls, tls_up, auth, authed;
	uint64_t content;
};

static void check_text(struct pen_span s, bool quoted_space)
{
	for (size_t i = 0; i < s.n; i++)
		PEN_ASSERT(s.p[i] <= '~' && s.p[i] >= (quoted_space ? ' ' : '!'));
}

// With SMTPUTF8 there may be more than ASCII, and no controls either.
static void check_addr(struct pen_span s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++)
		PEN_ASSERT(s.p[i] >= ' ' && s.p[i] != 0x7f && (utf8 || s.p[i] <= '~'));
}

// Decodes to printable text, whatever was sent.
static void check_xtext(struct pen_span s)
{
	check_text(s, false);
	for (size_t i = 0; i < s.n; i++) {
		char hex[3] = {0};
		if (s.p[i] != '+')
			continue;
		PEN_ASSERT(i + 2 < s.n);
		memcpy(hex, s.p + i + 1, 2);
		long c = strtol(hex, NULL, 16);
		PEN_ASSERT(c >= ' ' && c <= '~');
		i += 2;
	}
}

static enum pen_smtp_verdict on_connect(void *ctx)
{
	(void)ctx;
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_helo(void *ctx, struct pen_span name, bool ehlo)
{
	struct world *w = ctx;

	(void)ehlo;
	PEN_ASSERT(!w->closed && !w->mail && name.n > 0);
	check_text(name, false);
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_mail(void *ctx, const struct pen_smtp_mail *m)
{
	struct world *w = ctx;

	PEN_ASSERT(!w->closed && !w->mail && m->sender.n <= 1024);
	w->utf8 = (m->flags & PEN_SMTP_MAIL_SMTPUTF8) != 0;
	check_addr(m->sender, w->utf8);
	PEN_ASSERT(m->envid.n <= PEN_SMTP_ENVID_MAX);
	check_xtext(m->envid);
	PEN_ASSERT((m->flags & PEN_SMTP_MAIL_REQUIRETLS) == 0 || w->tls_up);
	uint32_t both = PEN_SMTP_MAIL_RET_FULL | PEN_SMTP_MAIL_RET_HDRS;
	PEN_ASSERT((m->flags & both) != both);
	w->mail = true;
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_rcpt(void *ctx, const struct pen_smtp_rcpt *r)
{
	struct world *w = ctx;

	PEN_ASSERT(!w->closed && w->mail && r->addr.n > 0 && r->addr.n <= 1024);
	check_addr(r->addr, w->utf8);
	PEN_ASSERT((r->notify & PEN_NOTIFY_NEVER) == 0 || r->notify == PEN_NOTIFY_NEVER);
	PEN_ASSERT(r->orcpt.n <= PEN_SMTP_ORCPT_MAX);
	if (r->orcpt.n > 0) {
		ptrdiff_t semicolon = pen_span_find(r->orcpt, ';');
		PEN_ASSERT(semicolon > 0);
		check_text(pen_span(r->orcpt.p, (size_t)semicolon), false);
		struct pen_span text = pen_span_from(r->orcpt, (size_t)semicolon + 1);
		if (w->utf8)
			check_addr(text, true);
		else
			check_xtext(text);
	}
	return r->addr.p[0] == 'p' ? PEN_SMTP_PENDING : PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_data(void *ctx)
{
	struct world *w = ctx;

	PEN_ASSERT(w->mail);
	w->content = 0;
	return PEN_SMTP_OK;
}

static void on_content(void *ctx, struct pen_span piece)
{
	struct world *w = ctx;

	PEN_ASSERT(w->mail && !w->closed && piece.n > 0);
	w->content += piece.n;
	PEN_ASSERT(w->content <= 200);
}

static enum pen_smtp_verdict on_message(void *ctx, bool too_big)
{
	struct world *w = ctx;

	PEN_ASSERT(w->mail && (!too_big || w->content == 200));
	w->mail = false;
	return PEN_SMTP_PENDING;
}

static void on_reset(void *ctx)
{
	struct world *w = ctx;

	PEN_ASSERT(w->mail);
	w->mail = false;
}

static void on_starttls(void *ctx)
{
	((struct world *)ctx)->tls = true;
}

static struct pen_span auth_mechanisms(void *ctx)
{
	(void)ctx;
	return PEN_SPAN_LIT("PLAIN LOGIN");
}

static void check_base64(struct pen_span s)
{
	PEN_ASSERT(s.n % 4 == 0 && s.n <= PEN_SMTP_AUTH_LINE_MAX);
	check_text(s, false);
}

static enum pen_smtp_verdict on_auth(
	void *ctx, struct pen_span mechanism, const struct pen_span *initial)
{
	struct world *w = ctx;

	PEN_ASSERT(!w->closed && !w->mail && !w->auth && !w->authed);
	PEN_ASSERT(mechanism.n > 0 && mechanism.n <= PEN_SMTP_MECHANISM_MAX);
	check_text(mechanism, false);
	if (initial != NULL)
		check_base64(*initial);
	w->auth = true;
	return PEN_SMTP_PENDING;
}

static enum pen_smtp_verdict on_auth_response(void *ctx, struct pen_span response)
{
	struct world *w = ctx;

	PEN_ASSERT(w->auth && !w->closed && !w->mail);
	check_base64(response);
	return PEN_SMTP_PENDING;
}

static void on_auth_cancel(void *ctx)
{
	struct world *w = ctx;

	PEN_ASSERT(w->auth && !w->closed);
	w->auth = false;
}

// A challenge or two, then the end, as the number of commands has it.
static void answer_auth(struct world *w)
{
	w->auth = w->ctr.commands % 3 != 0 && w->ctr.replies_2xx % 3 != 0;
	w->authed = !w->auth && w->ctr.commands % 2 == 0;
	if (w->auth)
		pen_smtp_server_challenge(&w->server, PEN_SPAN_LIT("QUFB"));
	else
		pen_smtp_server_reply(
			&w->server, "%s", w->authed ? "235 2.7.0 Yes" : "535 5.7.8 No");
}

static void on_close(void *ctx)
{
	struct world *w = ctx;

	PEN_ASSERT(!w->closed);
	w->closed = true;
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

// Each reply is whole lines "ddd text" or "ddd-text" of printable bytes.
static void check_out(struct world *w)
{
	struct pen_span out = pen_buf_span(&w->server.out);

	while (out.n > 0) {
		ptrdiff_t lf = pen_span_find(out, '\n');
		PEN_ASSERT(lf >= 5 && out.p[lf - 1] == '\r');
		PEN_ASSERT(out.p[0] >= '2' && out.p[0] <= '5');
		PEN_ASSERT(out.p[3] == ' ' || out.p[3] == '-');
		check_text(pen_span(out.p, (size_t)lf - 1), true);
		out = pen_span_from(out, (size_t)lf + 1);
	}
	pen_smtp_server_consume(&w->server, w->server.out.n);
}

// The first byte chooses options and the size of pieces; the rest is what the
// client says.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {0};
	pen_time_us now = 1;

	if (size < 1)
		return 0;
	const struct pen_smtp_server_config cfg = {.hostname = "h",
		.banner = "b",
		.max_size = 200,
		.max_recipients = 3,
		.hard_error_limit = 50,
		.timeout = 1000,
		.fix_bare_lf = data[0] & 1,
		.offer_starttls = data[0] & 2,
		.offer_enhanced = data[0] & 4,
		.offer_dsn = data[0] & 4,
		.offer_requiretls = true,
		.offer_smtputf8 = true,
		.offer_xverp = true,
		.offer_auth = true,
		.auth_tls_only = data[0] & 0x40,
		.require_starttls = (data[0] & 0x86) == 0x86,
		.offer_8bitmime = true,
		.offer_size = true};
	pen_smtp_server_init(&w.server, &cfg, &callbacks, &w, &w.ctr, now);
	size_t step = data[0] & 8 ? size : 1u + (data[0] >> 4);
	for (size_t at = 1; at < size;) {
		size_t piece = size - at < step ? size - at : step;
		size_t used = pen_smtp_server_feed(&w.server, data + at, piece, now++);
		PEN_ASSERT(used <= piece);
		at += used;
		check_out(&w);
		w.tls_up |= w.tls;
		if (w.tls) {
			pen_smtp_server_tls_up(&w.server, now);
			w.authed = false;
		} else if (pen_smtp_server_pending(&w.server) && w.auth)
			answer_auth(&w);
		else if (pen_smtp_server_pending(&w.server))
			pen_smtp_server_reply(&w.server, "250 2.0.0 Ok");
		else
			PEN_ASSERT(used == piece);
		w.tls = false;
		PEN_ASSERT(w.closed == (pen_smtp_server_deadline(&w.server) == PEN_TIME_NEVER));
	}
	check_out(&w);
	pen_smtp_server_fini(&w.server);
	PEN_ASSERT(!w.mail);
	return 0;
}
