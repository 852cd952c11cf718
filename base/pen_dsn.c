// SPDX-License-Identifier: BSD-3-Clause
#include "pen_dsn.h"

#include "pen_err.h"

#include <stdarg.h>
#include <stdio.h>

void pen_dsn_set(struct pen_dsn *d, unsigned klass, unsigned subject, unsigned detail,
	enum pen_dsn_scope scope, enum pen_dsn_origin origin, enum pen_smtp_stage stage,
	const char *fmt, ...)
{
	va_list ap;

	PEN_ASSERT(klass == 2 || klass == 4 || klass == 5);
	d->klass = (uint8_t)klass;
	d->subject = (uint16_t)subject;
	d->detail = (uint16_t)detail;
	d->scope = (uint8_t)scope;
	d->origin = (uint8_t)origin;
	d->stage = (uint8_t)stage;
	d->reply = 0;
	va_start(ap, fmt);
	int n = vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	d->text_len = (uint16_t)((size_t)n < sizeof(d->text) ? (size_t)n : sizeof(d->text) - 1);
	for (unsigned i = 0; i < d->text_len; i++) {
		if ((unsigned char)d->text[i] < ' ' || d->text[i] == 0x7f)
			d->text[i] = '?';
	}
	d->text[d->text_len] = '\0';
}

// Reads 1 to 3 digits; returns how many, 0 if there are none or too many.
static size_t parse_number(struct pen_span s, uint16_t *out)
{
	size_t i = 0;
	unsigned v = 0;

	while (i < s.n && i < 4 && s.p[i] >= '0' && s.p[i] <= '9')
		v = v * 10 + (s.p[i++] - '0');
	if (i == 0 || i > 3)
		return 0;
	*out = (uint16_t)v;
	return i;
}

size_t pen_dsn_parse_status(struct pen_span s, uint8_t *klass, uint16_t *subject, uint16_t *detail)
{
	uint16_t a, b;

	if (s.n < 5 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5') || s.p[1] != '.')
		return 0;
	size_t at = 2;
	size_t used = parse_number(pen_span_from(s, at), &a);
	if (used == 0 || at + used >= s.n || s.p[at + used] != '.')
		return 0;
	at += used + 1;
	used = parse_number(pen_span_from(s, at), &b);
	if (used == 0)
		return 0;
	at += used;
	if (at < s.n && s.p[at] != ' ' && s.p[at] != '\t')
		return 0;
	*klass = (uint8_t)(s.p[0] - '0');
	*subject = a;
	*detail = b;
	return at;
}

const char *pen_smtp_stage_name(enum pen_smtp_stage stage)
{
	static const char *const names[PEN_STAGE_COUNT] = {
		[PEN_STAGE_NONE] = "none",
		[PEN_STAGE_CONNECT] = "connect",
		[PEN_STAGE_GREETING] = "initial server greeting",
		[PEN_STAGE_EHLO] = "EHLO",
		[PEN_STAGE_HELO] = "HELO",
		[PEN_STAGE_STARTTLS] = "STARTTLS",
		[PEN_STAGE_TLS] = "TLS handshake",
		[PEN_STAGE_MAIL] = "MAIL FROM",
		[PEN_STAGE_RCPT] = "RCPT TO",
		[PEN_STAGE_DATA] = "DATA",
		[PEN_STAGE_BODY] = "message content",
		[PEN_STAGE_DOT] = "end of DATA",
		[PEN_STAGE_RSET] = "RSET",
		[PEN_STAGE_QUIT] = "QUIT",
	};
	return (unsigned)stage < PEN_STAGE_COUNT ? names[stage] : "unknown";
}
