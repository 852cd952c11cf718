// SPDX-License-Identifier: BSD-3-Clause
#include "pen_maillog_format.h"

#include <stdarg.h>
#include <stdio.h>

void pen_maillog_line(struct pen_maillog *l, const char *service, const char *fmt, ...)
{
	struct pen_logline b = {.n = 0};
	char text[PEN_MAILLOG_LINE_MAX];
	va_list ap;

	if (l == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pen_logline_foreign(&b, pen_span_cstr(text));
	pen_maillog_put(l, service, &b);
}

void pen_maillog_delivery(struct pen_maillog *l, const struct pen_maillog_delivery *d)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	b.n = 0;
	pen_logline_delivery(&b, d);
	pen_maillog_put(l, "smtp", &b);
}

void pen_maillog_connect(struct pen_maillog *l, const struct pen_addr *client)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	b.n = 0;
	pen_logline_cstr(&b, "connect from ");
	pen_logline_client(&b, client);
	pen_maillog_put(l, "smtpd", &b);
}

void pen_maillog_disconnect(
	struct pen_maillog *l, const struct pen_addr *client, const char *counts)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	b.n = 0;
	pen_logline_cstr(&b, "disconnect from ");
	pen_logline_client(&b, client);
	if (*counts != '\0')
		pen_logline_cstr(&b, " ");
	pen_logline_cstr(&b, counts);
	pen_maillog_put(l, "smtpd", &b);
}

static void start_line(struct pen_logline *b, const char *queue_id, const char *text)
{
	b->n = 0;
	pen_logline_cstr(b, queue_id);
	pen_logline_cstr(b, text);
}

static void add_sasl(struct pen_logline *b, const struct pen_maillog_sasl *sasl)
{
	pen_logline_cstr(b, ", sasl_method=");
	pen_logline_foreign(b, sasl->method);
	pen_logline_cstr(b, ", sasl_username=");
	pen_logline_foreign(b, sasl->user);
	if (sasl->sender.n == 0)
		return;
	pen_logline_cstr(b, ", sasl_sender=");
	pen_logline_foreign(b, sasl->sender);
}

void pen_maillog_client(struct pen_maillog *l, const char *queue_id, const struct pen_addr *client,
	const struct pen_maillog_sasl *sasl)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": client=");
	pen_logline_client(&b, client);
	if (sasl != NULL)
		add_sasl(&b, sasl);
	pen_maillog_put(l, "smtpd", &b);
}

void pen_maillog_reject(struct pen_maillog *l, const struct pen_maillog_reject *r)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	b.n = 0;
	pen_logline_reject(&b, r);
	pen_maillog_put(l, "smtpd", &b);
}

void pen_maillog_message_id(struct pen_maillog *l, const char *queue_id, struct pen_span id)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": message-id=");
	pen_logline_foreign(&b, id);
	pen_maillog_put(l, "cleanup", &b);
}

void pen_maillog_active(struct pen_maillog *l, const char *queue_id, struct pen_span sender,
	uint64_t size, uint32_t nrcpt)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": from=<");
	pen_logline_foreign(&b, sender);
	pen_logline_cstr(&b, ">, size=");
	pen_logline_uint(&b, size);
	pen_logline_cstr(&b, ", nrcpt=");
	pen_logline_uint(&b, nrcpt);
	pen_logline_cstr(&b, " (queue active)");
	pen_maillog_put(l, "qmgr", &b);
}

void pen_maillog_removed(struct pen_maillog *l, const char *queue_id)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": removed");
	pen_maillog_put(l, "qmgr", &b);
}

void pen_maillog_expired(struct pen_maillog *l, const char *queue_id, struct pen_span sender)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": from=<");
	pen_logline_foreign(&b, sender);
	pen_logline_cstr(&b, ">, status=expired, returned to sender");
	pen_maillog_put(l, "qmgr", &b);
}

void pen_maillog_bounce_notice(struct pen_maillog *l, const char *queue_id, const char *dsn_id)
{
	struct pen_logline b;

	if (l == NULL)
		return;
	start_line(&b, queue_id, ": sender non-delivery notification: ");
	pen_logline_cstr(&b, dsn_id);
	pen_maillog_put(l, "bounce", &b);
}
