// SPDX-License-Identifier: BSD-3-Clause
#include "pen_maillog_format.h"

#include <stdio.h>

static void add(struct pen_logline *b, const char *p, size_t n)
{
	size_t room = sizeof(b->text) - b->n;

	if (n > room)
		n = room;
	memcpy(b->text + b->n, p, n);
	b->n += n;
}

void pen_logline_cstr(struct pen_logline *b, const char *s)
{
	add(b, s, strlen(s));
}

void pen_logline_uint(struct pen_logline *b, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	add(b, digits + i, sizeof(digits) - i);
}

void pen_logline_foreign(struct pen_logline *b, struct pen_span s)
{
	size_t room = sizeof(b->text) - b->n;
	size_t n = s.n < room ? s.n : room;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = s.p[i];
		b->text[b->n + i] = c >= 32 && c < 127 ? (char)c : '?';
	}
	b->n += n;
}

void pen_logline_delay(struct pen_logline *b, pen_time_us us)
{
	uint64_t v = us > 0 ? (uint64_t)us : 0;
	// The last digit that is shown: two significant ones, 10 ms at the finest.
	uint64_t unit = v >= 10000000 ? 1000000 : v >= 1000000 ? 100000 : 10000;
	v = (v + unit / 2) / unit * unit;

	pen_logline_uint(b, v / 1000000);
	unsigned hundredths = (unsigned)(v % 1000000 / 10000);
	if (hundredths == 0)
		return;
	char frac[3] = {'.', (char)('0' + hundredths / 10), (char)('0' + hundredths % 10)};
	add(b, frac, frac[2] == '0' ? 2 : 3);
}

static void add_address(struct pen_logline *b, const struct pen_addr *a)
{
	char text[PEN_ADDR_STR_MAX];

	pen_logline_cstr(b, "[");
	pen_logline_cstr(b, a->family != PEN_FAMILY_NONE ? pen_addr_str(a, text) : "unknown");
	pen_logline_cstr(b, "]");
}

void pen_logline_client(struct pen_logline *b, const struct pen_addr *client)
{
	pen_logline_cstr(b, "unknown");
	add_address(b, client);
}

static void add_status(struct pen_logline *b, const struct pen_dsn *d)
{
	pen_logline_uint(b, d->klass);
	pen_logline_cstr(b, ".");
	pen_logline_uint(b, d->subject);
	pen_logline_cstr(b, ".");
	pen_logline_uint(b, d->detail);
}

// A reply's text may or may not still begin with its code and its enhanced
// status, depending on who made the value.
static void add_reply(struct pen_logline *b, const struct pen_dsn *d)
{
	struct pen_span text = pen_span(d->text, d->text_len);
	uint8_t klass;
	uint16_t subject, detail;
	char code[8];
	int n = snprintf(code, sizeof(code), "%u ", d->reply);

	if (!pen_span_istarts(text, pen_span(code, (size_t)n))) {
		add(b, code, (size_t)n);
		if (pen_dsn_parse_status(text, &klass, &subject, &detail) == 0) {
			add_status(b, d);
			pen_logline_cstr(b, text.n > 0 ? " " : "");
		}
	}
	pen_logline_foreign(b, text);
}

void pen_logline_reason(struct pen_logline *b, const struct pen_maillog_delivery *d)
{
	const struct pen_dsn *dsn = d->dsn;
	bool peer = dsn->origin == PEN_ORIGIN_PEER && dsn->reply != 0;

	if (!peer) {
		pen_logline_foreign(b, pen_span(dsn->text, dsn->text_len));
		return;
	}
	if (dsn->klass == 2) {
		add_reply(b, dsn);
		return;
	}
	pen_logline_cstr(b, "host ");
	pen_logline_foreign(b, pen_span_cstr(d->relay_host != NULL ? d->relay_host : "unknown"));
	add_address(b, &d->relay_addr);
	bool said = dsn->stage != PEN_STAGE_GREETING && dsn->stage != PEN_STAGE_CONNECT;
	pen_logline_cstr(b, said ? " said: " : " refused to talk to me: ");
	add_reply(b, dsn);
	if (said && dsn->stage != PEN_STAGE_NONE) {
		pen_logline_cstr(b, " (in reply to ");
		pen_logline_cstr(b, pen_smtp_stage_name(dsn->stage));
		pen_logline_cstr(b, " command)");
	}
}

static void add_relay(struct pen_logline *b, const struct pen_maillog_delivery *d)
{
	if (d->relay_host == NULL) {
		pen_logline_cstr(b, ", relay=none");
		return;
	}
	pen_logline_cstr(b, ", relay=");
	pen_logline_foreign(b, pen_span_cstr(d->relay_host));
	add_address(b, &d->relay_addr);
	pen_logline_cstr(b, ":");
	pen_logline_uint(b, d->relay_port);
}

static void add_delays(struct pen_logline *b, const struct pen_maillog_delivery *d)
{
	const pen_time_us part[4] = {d->before_queue, d->in_queue, d->connect, d->transmit};
	pen_time_us sum = 0;

	for (int i = 0; i < 4; i++)
		sum += part[i] > 0 ? part[i] : 0;
	pen_logline_cstr(b, ", delay=");
	pen_logline_delay(b, sum);
	for (int i = 0; i < 4; i++) {
		pen_logline_cstr(b, i == 0 ? ", delays=" : "/");
		pen_logline_delay(b, part[i]);
	}
}

void pen_logline_delivery(struct pen_logline *b, const struct pen_maillog_delivery *d)
{
	static const char *const word[] = {"sent", "deferred", "bounced"};

	pen_logline_cstr(b, d->queue_id);
	pen_logline_cstr(b, ": to=<");
	pen_logline_foreign(b, d->rcpt);
	pen_logline_cstr(b, ">");
	add_relay(b, d);
	if (d->conn_use > 1) {
		pen_logline_cstr(b, ", conn_use=");
		pen_logline_uint(b, d->conn_use);
	}
	add_delays(b, d);
	if (d->tls != NULL) {
		pen_logline_cstr(b, ", tls=");
		pen_logline_cstr(b, d->tls);
	}
	pen_logline_cstr(b, ", dsn=");
	add_status(b, d->dsn);
	pen_logline_cstr(b, ", status=");
	pen_logline_cstr(b, word[d->status]);
	pen_logline_cstr(b, " (");
	pen_logline_reason(b, d);
	pen_logline_cstr(b, ")");
	if (d->klass != NULL) {
		pen_logline_cstr(b, ", class=");
		pen_logline_foreign(b, pen_span_cstr(d->klass));
	}
}

void pen_logline_reject(struct pen_logline *b, const struct pen_maillog_reject *r)
{
	pen_logline_cstr(b, r->queue_id != NULL ? r->queue_id : "NOQUEUE");
	pen_logline_cstr(b, ": reject: ");
	pen_logline_cstr(b, r->stage);
	pen_logline_cstr(b, " from ");
	pen_logline_client(b, &r->client);
	pen_logline_cstr(b, ": ");
	pen_logline_foreign(b, pen_span_cstr(r->reply));
	pen_logline_cstr(b, ";");
	if (r->has_sender) {
		pen_logline_cstr(b, " from=<");
		pen_logline_foreign(b, r->sender);
		pen_logline_cstr(b, ">");
	}
	if (r->rcpt.n > 0) {
		pen_logline_cstr(b, " to=<");
		pen_logline_foreign(b, r->rcpt);
		pen_logline_cstr(b, ">");
	}
	pen_logline_cstr(b, r->esmtp ? " proto=ESMTP" : " proto=SMTP");
	if (r->helo.n > 0) {
		pen_logline_cstr(b, " helo=<");
		pen_logline_foreign(b, r->helo);
		pen_logline_cstr(b, ">");
	}
}
