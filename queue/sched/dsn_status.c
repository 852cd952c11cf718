// SPDX-License-Identifier: BSD-3-Clause

// The part of a notification that programs read (RFC 3464, and RFC 6533 for
// mail with SMTPUTF8).

#include "dsn_write.h"

#include "pen_trouble.h"

#include <stdio.h>

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// RFC 3461 4. What is not well-formed stays as it is; the rest is cut.
static struct pen_span decode_xtext(struct pen_span in, char out[DSN_XTEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < in.n && n < DSN_XTEXT_MAX; i++) {
		int hi = i + 2 < in.n && in.p[i] == '+' ? hex_digit(in.p[i + 1]) : -1;
		int lo = hi >= 0 ? hex_digit(in.p[i + 2]) : -1;
		if (lo >= 0)
			i += 2;
		out[n++] = lo >= 0 ? (char)(hi * 16 + lo) : (char)in.p[i];
	}
	return pen_span(out, n);
}

// "\x{E4}" at the start of in: its length and value; 0: it is none.
static size_t embedded_char(struct pen_span in, uint32_t *value)
{
	size_t i = 3;

	if (in.n < 6 || memcmp(in.p, "\\x{", 3) != 0)
		return 0;
	for (*value = 0; i < in.n && i < 9 && hex_digit(in.p[i]) >= 0; i++)
		*value = *value * 16 + (uint32_t)hex_digit(in.p[i]);
	bool good = i < in.n && in.p[i] == '}' && i > 4 && *value > 0x1f && *value < 0x110000 &&
		    (*value < 0xd800 || *value > 0xdfff);
	return good ? i + 1 : 0;
}

static size_t utf8_put(uint32_t v, char out[4])
{
	if (v < 0x80) {
		out[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		out[0] = (char)(0xc0 | v >> 6);
		out[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	if (v < 0x10000) {
		out[0] = (char)(0xe0 | v >> 12);
		out[1] = (char)(0x80 | (v >> 6 & 0x3f));
		out[2] = (char)(0x80 | (v & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | v >> 18);
	out[1] = (char)(0x80 | (v >> 12 & 0x3f));
	out[2] = (char)(0x80 | (v >> 6 & 0x3f));
	out[3] = (char)(0x80 | (v & 0x3f));
	return 4;
}

// RFC 6533 3: utf-8-addr-xtext becomes utf-8-addr-unitext where UTF-8 may stand.
static struct pen_span decode_embedded(struct pen_span in, char out[DSN_XTEXT_MAX])
{
	size_t n = 0;
	uint32_t v;

	for (size_t i = 0; i < in.n && n + 4 <= DSN_XTEXT_MAX;) {
		size_t used = embedded_char(pen_span_from(in, i), &v);
		if (used > 0)
			n += utf8_put(v, out + n);
		else
			out[n++] = (char)in.p[i];
		i += used > 0 ? used : 1;
	}
	return pen_span(out, n);
}

// An address's type: RFC 6533 has one of its own for those beyond ASCII.
static const char *type_of(const struct dsn_writer *w, struct pen_span addr)
{
	return w->global && dsn_has_eight_bit(addr) ? "utf-8" : "rfc822";
}

static void put_typed(const struct dsn_writer *w, const char *field, struct pen_span addr)
{
	char first[80];

	snprintf(first, sizeof(first), "%s: %s; ", field, type_of(w, addr));
	dsn_put_address(w, first, addr, "");
}

// What the sender called this recipient, or the address as it was accepted.
static void put_original_recipient(const struct dsn_writer *w, const struct pen_dsn_rcpt *f)
{
	ptrdiff_t semicolon = f->orcpt.n > 0 ? pen_span_find(f->orcpt, ';') : -1;
	char first[80], type[40], xtext[DSN_XTEXT_MAX], text[DSN_XTEXT_MAX];

	if (semicolon <= 0 || (size_t)semicolon >= sizeof(type)) {
		put_typed(w, "Original-Recipient", f->addr);
		return;
	}
	dsn_clean(type, sizeof(type), f->orcpt.p, (size_t)semicolon, false);
	snprintf(first, sizeof(first), "Original-Recipient: %s; ", type);
	struct pen_span value = decode_xtext(pen_span_from(f->orcpt, (size_t)semicolon + 1), xtext);
	if (w->global && strcasecmp(type, "utf-8") == 0)
		value = decode_embedded(value, text);
	dsn_put_address(w, first, value, "");
}

static void put_diagnostic(struct pen_buf *b, const struct pen_dsn_rcpt *f)
{
	const struct pen_dsn *d = &f->dsn;
	char text[PEN_TROUBLE_TEXT_MAX];

	// The reply alone: "host ... said" is for people.
	if (d->origin == PEN_ORIGIN_PEER && d->reply != 0) {
		pen_trouble_reply(d, text, sizeof(text));
		dsn_put_folded(b, "Diagnostic-Code: smtp; ", "    ", text);
	} else {
		pen_trouble_text(d, f->relay, text, sizeof(text));
		dsn_put_folded(b, "Diagnostic-Code: X-Penstock; ", "    ",
			text[0] != '\0' ? text : "no reason was given");
	}
}

static void put_message_fields(const struct dsn_writer *w)
{
	const struct pen_dsn_report *r = w->r;
	char date[64], xtext[DSN_XTEXT_MAX];

	if (r->envid.n > 0)
		dsn_put_address(w, "Original-Envelope-Id: ", decode_xtext(r->envid, xtext), "");
	pen_buf_addf(w->out,
		"Reporting-MTA: dns; %s\r\n"
		"X-Penstock-Queue-ID: %s\r\n",
		r->hostname, r->queue_id);
	put_typed(w, "X-Penstock-Sender", r->sender);
	pen_wall_rfc5322(date, sizeof(date), r->arrival);
	pen_buf_addf(w->out, "Arrival-Date: %s\r\n", date);
}

static void put_recipient_fields(const struct dsn_writer *w, const struct pen_dsn_rcpt *f)
{
	static const char *const words[PEN_ACTIONS] = {
		[PEN_ACTION_FAILED] = "failed",
		[PEN_ACTION_DELAYED] = "delayed",
		[PEN_ACTION_DELIVERED] = "delivered",
		[PEN_ACTION_RELAYED] = "relayed",
	};
	enum pen_dsn_action action = dsn_action(w->r, f);
	char status[PEN_STATUS_STR_MAX], mta[sizeof(f->relay)], date[64];

	pen_buf_add_cstr(w->out, "\r\n");
	put_original_recipient(w, f);
	put_typed(w, "Final-Recipient", f->addr);
	pen_buf_addf(w->out, "Action: %s\r\nStatus: %s\r\n", words[action],
		pen_trouble_status(&f->dsn, status));
	if (f->mta_len > 0) {
		dsn_clean(mta, sizeof(mta), f->relay, f->mta_len, false);
		pen_buf_addf(w->out, "Remote-MTA: dns; %s\r\n", mta);
	}
	put_diagnostic(w->out, f);
	if (action == PEN_ACTION_DELAYED && w->r->retry_until != 0) {
		pen_wall_rfc5322(date, sizeof(date), w->r->retry_until);
		pen_buf_addf(w->out, "Will-Retry-Until: %s\r\n", date);
	}
	if (f->doubts > 0)
		pen_buf_addf(w->out, "X-Penstock-In-Doubt: %u\r\n", f->doubts);
}

void dsn_put_status_part(const struct dsn_writer *w)
{
	struct pen_dsn_rcpt f;

	pen_buf_addf(w->out,
		"--%s\r\n"
		"Content-Description: Delivery report\r\n"
		"Content-Type: message/%s\r\n"
		"%s\r\n",
		w->boundary, w->global ? "global-delivery-status" : "delivery-status",
		w->global ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	put_message_fields(w);
	for (uint32_t i = 0; i < w->r->nrcpt; i++) {
		f = (struct pen_dsn_rcpt){0};
		w->r->rcpt(w->r->ctx, i, &f);
		put_recipient_fields(w, &f);
	}
	pen_buf_add_cstr(w->out, "\r\n");
}
