// SPDX-License-Identifier: BSD-3-Clause

// From a finished content to the queue: our own header fields, the loop check,
// the header checks, and the hand-over.

#include "submission.h"
#include "tls_headers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// RFC 3848; there are no such words for HELO. RFC 6531 4.3: UTF8SMTP.
static const char *protocol(const struct conn *c)
{
	static const char *const words[2][4] = {{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"},
		{"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"}};
	bool utf8 = (c->mail_flags & PEN_SMTP_MAIL_SMTPUTF8) != 0;

	if (!c->esmtp)
		return "SMTP";
	return words[utf8][(tls_is_up(c) ? 1 : 0) + (auth_user(c).n > 0 ? 2 : 0)];
}

size_t message_received(struct conn *c, char *out, size_t cap)
{
	struct pen_submission *s = c->loop->sub;
	char ip[PEN_ADDR_STR_MAX], date[64];
	bool v6 = c->client.family == PEN_FAMILY_IP6;

	pen_wall_rfc5322(date, sizeof(date), pen_clock_wall());
	int n = snprintf(out, cap, "Received: from %s (unknown [%s%s])\r\n",
		c->helo[0] != '\0' ? c->helo : "unknown", v6 ? "IPv6:" : "",
		pen_addr_str(&c->client, ip));
	n += (int)tls_received(c, out + n, cap - (size_t)n);
	n += (int)auth_received(c, out + n, cap - (size_t)n);
	n += snprintf(out + n, cap - (size_t)n, "\tby %s (%s) with %s id %s", s->hostname,
		s->mail_name, protocol(c), c->queue_id);
	// With several recipients none is named: they must not learn of each other.
	if (c->nrcpt == 1) {
		struct pen_span r = conn_rcpt(c, 0);
		n += snprintf(out + n, cap - (size_t)n, "\r\n\tfor <%.*s>",
			(int)(r.n < 320 ? r.n : 320), (const char *)r.p);
	}
	n += snprintf(out + n, cap - (size_t)n, "; %s\r\n", date);
	return (size_t)n < cap ? (size_t)n : cap - 1;
}

void message_missing(struct conn *c, char *id, size_t id_cap, char *date, size_t date_cap)
{
	pen_wall_us now = pen_clock_wall();
	time_t second = (time_t)(now / PEN_US_PER_S);
	char stamp[24], text[56];
	struct tm tm;

	if (c->content.has_date && c->content.has_message_id) {
		id[0] = date[0] = '\0';
		return;
	}
	gmtime_r(&second, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	snprintf(id, id_cap, "Message-Id: <%s.%s@%.255s>\r\n", stamp, c->queue_id,
		c->loop->sub->hostname);
	pen_wall_rfc5322(text, sizeof(text), now);
	snprintf(date, date_cap, "Date: %s\r\n", text);
}

// Says no, and logs it as Postfix does.
enum pen_smtp_verdict message_refuse(struct conn *c, const char *stage, const char *reply)
{
	struct pen_maillog_reject r = {
		.queue_id = c->queue_id[0] != '\0' ? c->queue_id : NULL,
		.stage = stage,
		.client = c->client,
		.reply = reply,
		.helo = pen_span_cstr(c->helo),
		.esmtp = c->esmtp,
	};

	if (c->envelope.n > 0 || c->nrcpt > 0) {
		r.sender = conn_sender(c);
		r.has_sender = true;
	}
	if (c->nrcpt > 0)
		r.rcpt = conn_rcpt(c, 0);
	pen_maillog_reject(c->loop->sub->cfg.maillog, &r);
	pen_smtp_server_reply(&c->smtp, "%s", reply);
	return PEN_SMTP_REPLY;
}

static enum pen_smtp_verdict discard(struct conn *c, const char *why)
{
	PEN_COUNT(c->loop->ctr.filter_discarded);
	c->count.data_ok++;
	pen_maillog_line(c->loop->sub->cfg.maillog, "cleanup", "%s: discard: %s", c->queue_id,
		why[0] != '\0' ? why : "header checks");
	pen_smtp_server_reply(&c->smtp, "250 2.0.0 Ok: queued as %s", c->queue_id);
	return PEN_SMTP_REPLY;
}

// True: the message goes on. Otherwise *verdict is what the server is told.
static bool filter(struct conn *c, uint32_t *flags, enum pen_smtp_verdict *verdict)
{
	struct pen_submission *s = c->loop->sub;
	struct pen_submission_verdict v = {.action = PEN_SUBMISSION_ACCEPT};
	struct pen_submission_mail mail = {c->queue_id, c->client, conn_sender(c), conn_rcpt(c, 0),
		pen_span_cstr(c->helo), c->nrcpt, c->esmtp, auth_user(c)};
	bool go = false;

	s->ops.filter(s->ctx, c->loop->index, &mail, content_header(&c->content), &v);
	v.text[sizeof(v.text) - 1] = '\0';
	switch (v.action) {
	case PEN_SUBMISSION_REJECT:
		PEN_COUNT(c->loop->ctr.filter_rejected);
		*verdict = message_refuse(c, "END-OF-MESSAGE",
			v.text[0] != '\0' ? v.text : "550 5.7.1 message content rejected");
		break;
	case PEN_SUBMISSION_DISCARD:
		*verdict = discard(c, v.text);
		break;
	case PEN_SUBMISSION_HOLD:
		PEN_COUNT(c->loop->ctr.filter_held);
		*flags |= PEN_MESSAGE_HOLD;
		pen_maillog_line(s->cfg.maillog, "cleanup", "%s: hold: %s", c->queue_id,
			v.text[0] != '\0' ? v.text : "header checks");
		go = true;
		break;
	case PEN_SUBMISSION_ACCEPT:
		go = true;
		break;
	}
	if (go && v.replaced && !v.headers.failed)
		content_replace_header(&c->content, pen_buf_span(&v.headers));
	if (go && (v.headers.failed || c->content.err != 0)) {
		PEN_COUNT(c->loop->ctr.memory_refused);
		*verdict = message_refuse(
			c, "END-OF-MESSAGE", "451 4.3.0 Error: queue file write error");
		go = false;
	}
	pen_buf_fini(&v.headers);
	return go;
}

void message_token_back(struct conn *c)
{
	if (c->token)
		inflow_give(&c->loop->sub->inflow);
	c->token = false;
}

// What was not taken is refused, and freed.
static enum pen_smtp_verdict not_taken(struct conn *c, struct pen_message *m, int err)
{
	pen_message_free(m);
	message_token_back(c);
	content_budget_give(&c->loop->sub->budget, c->handed_bytes);
	c->handed_bytes = 0;
	if (err == -ENOSPC)
		PEN_COUNT(c->loop->ctr.storage_refused);
	else
		PEN_COUNT(c->loop->ctr.failed);
	return message_refuse(c, "END-OF-MESSAGE",
		err == -ENOSPC ? "452 4.3.1 Insufficient system storage"
			       : "451 4.3.0 Error: queue file write error");
}

// Takes the content over; NULL: out of memory.
static struct pen_message *make_message(struct conn *c)
{
	static const struct pen_message_extra no_extra;
	struct loop *l = c->loop;
	size_t n;

	for (uint32_t i = 0; i < c->nrcpt; i++)
		l->rcpts[i] = (struct pen_envelope_rcpt){
			conn_rcpt(c, i), conn_orcpt(c, i), c->rcpt[i].notify};
	const struct pen_envelope e = {.sender = conn_sender(c),
		.envid = conn_envid(c),
		.rcpt = l->rcpts,
		.nrcpt = c->nrcpt,
		.flags = c->flags,
		.arrival = pen_clock_wall(),
		.klass = c->klass,
		.extra = memcmp(&c->extra, &no_extra, sizeof(no_extra)) != 0 ? &c->extra : NULL};
	uint8_t *content = content_take(&c->content, &n);
	c->handed_bytes = n;
	struct pen_message *m = pen_message_make(&e, content, (uint32_t)n);
	for (uint32_t i = 0; m != NULL && i < c->nrcpt; i++) {
		if (c->rcpt[i].dropped)
			m->rcpt[i].fate = PEN_FATE_DELETED;
	}
	return m;
}

static enum pen_smtp_verdict hand_over(struct conn *c)
{
	struct loop *l = c->loop;
	struct pen_submission *s = l->sub;

	struct pen_maillog_sasl sasl;

	pen_maillog_client(s->cfg.maillog, c->queue_id, &c->client, auth_log(c, &sasl));
	pen_maillog_message_id(s->cfg.maillog, c->queue_id, content_message_id(&c->content));
	struct pen_message *m = make_message(c);
	if (m == NULL)
		return not_taken(c, NULL, -ENOMEM);
	m->id = c->id;
	c->generation++;
	c->handed = true;
	l->waiting++;
	PEN_COUNT(l->ctr.messages);
	PEN_COUNT_N(l->ctr.recipients, c->nrcpt);
	int err = s->ops.intake(s->ctx, m, auth_user(c), conn_token(c));
	if (err != 0) {
		c->handed = false;
		l->waiting--;
		return not_taken(c, m, err);
	}
	return PEN_SMTP_PENDING;
}

static void warn_unknown(struct conn *c, struct pen_span value)
{
	PEN_COUNT(c->loop->ctr.tls_required_unknown);
	if (value.n > 100)
		value.n = 100;
	pen_maillog_line(c->loop->sub->cfg.maillog, "cleanup",
		"%s: warning: ignoring header TLS-Required: %.*s", c->queue_id,
		PEN_SPAN_ARG(value));
}

// REQUIRETLS by the client's parameter or the message's header, and the header that
// carries it on; TLS-Required: no, which REQUIRETLS overrides (RFC 8689 5).
static uint32_t tls_flags(struct conn *c)
{
	const struct pen_submission_config *cfg = &c->loop->sub->cfg;
	bool use_header = cfg->requiretls && cfg->requiretls_header;
	struct tls_headers h;

	tls_headers_scan(content_header(&c->content), &h);
	if (cfg->tls_required && h.has_unknown)
		warn_unknown(c, h.unknown);
	if ((c->mail_flags & PEN_SMTP_MAIL_REQUIRETLS) != 0 || (use_header && h.require)) {
		PEN_COUNT(c->loop->ctr.requiretls);
		if (use_header && !h.require)
			content_append_field(
				&c->content, PEN_SPAN_LIT("Require-TLS-ESMTP: yes\r\n"));
		return PEN_MESSAGE_REQUIRETLS;
	}
	if (!cfg->tls_required || !h.optional)
		return 0;
	PEN_COUNT(c->loop->ctr.tls_optional);
	return PEN_MESSAGE_TLS_OPTIONAL;
}

static uint32_t utf8_flags(struct conn *c)
{
	bool ascii = content_header_is_ascii(&c->content);
	bool found = c->loop->sub->cfg.smtputf8_autodetect && c->loop->sub->cfg.smtputf8 && !ascii;

	if ((c->mail_flags & PEN_SMTP_MAIL_SMTPUTF8) == 0 && !found)
		return 0;
	PEN_COUNT(c->loop->ctr.smtputf8);
	return PEN_MESSAGE_SMTPUTF8 | (ascii ? 0 : PEN_MESSAGE_UTF8_HEADER);
}

static uint32_t asked_flags(struct conn *c)
{
	uint32_t flags = utf8_flags(c) | (c->content.eight_bit ? PEN_MESSAGE_8BIT : 0);

	if ((c->mail_flags & PEN_SMTP_MAIL_RET_FULL) != 0)
		flags |= PEN_MESSAGE_RET_FULL;
	if ((c->mail_flags & PEN_SMTP_MAIL_RET_HDRS) != 0)
		flags |= PEN_MESSAGE_RET_HDRS;
	return flags;
}

// Mail on hold does not reach the queue's active part, so it gives its token back.
static bool take_token(struct conn *c)
{
	c->token = inflow_take(&c->loop->sub->inflow);
	bool got = c->token;
	if ((c->flags & PEN_MESSAGE_HOLD) != 0)
		message_token_back(c);
	return got;
}

enum pen_smtp_verdict message_complete(struct conn *c)
{
	struct pen_submission *s = c->loop->sub;
	enum pen_smtp_verdict v;
	uint32_t hold = 0;

	if (s->cfg.hopcount_limit != 0 && c->content.received + 1 >= s->cfg.hopcount_limit) {
		PEN_COUNT(c->loop->ctr.hops_refused);
		return message_refuse(c, "END-OF-MESSAGE", "554 5.4.0 Error: too many hops");
	}
	bool nul = s->cfg.reject_nul && c->content.has_nul;
	if (nul || c->content.long_field) {
		PEN_COUNT(c->loop->ctr.malformed_refused);
		return message_refuse(c, "END-OF-MESSAGE",
			nul ? "554 5.6.0 Error: NUL byte in the message"
			    : "554 5.6.0 Error: header field too long");
	}
	if (s->ops.filter != NULL && !filter(c, &hold, &v))
		return v;
	if (!class_of_message(c, &v))
		return v;
	c->flags = hold | tls_flags(c);
	if (c->content.err != 0) {
		PEN_COUNT(c->loop->ctr.memory_refused);
		return message_refuse(
			c, "END-OF-MESSAGE", "451 4.3.0 Error: queue file write error");
	}
	c->flags |= asked_flags(c);
	if (!take_token(c) && s->cfg.in_flow_delay > 0) {
		PEN_COUNT(c->loop->ctr.in_flow_pauses);
		c->paused = true;
		c->until = c->loop->now + s->cfg.in_flow_delay;
		return PEN_SMTP_PENDING;
	}
	return hand_over(c);
}

void message_resume(struct conn *c)
{
	c->paused = false;
	hand_over(c);
	if (!c->handed)
		session_reset(c);
}

void pen_submission_token_back(struct pen_submission *s)
{
	inflow_give(&s->inflow);
}
