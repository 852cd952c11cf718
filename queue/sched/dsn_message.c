// SPDX-License-Identifier: BSD-3-Clause
#include "pen_dsn_message.h"

#include "pen_trouble.h"

#include <errno.h>
#include <stdio.h>

#define FOLD_AT 76
#define XTEXT_MAX 512 // decoded

// What goes into the notification from outside: one line of printable ASCII.
static void clean(char *out, size_t cap, const void *in, size_t n)
{
	const uint8_t *p = in;
	size_t i;

	for (i = 0; i < n && i + 1 < cap; i++)
		out[i] = p[i] >= ' ' && p[i] < 127 ? (char)p[i] : '?';
	out[i] = '\0';
}

// Folds `text` behind `first` at spaces; a word longer than a line is cut.
// Continuation lines start with `indent`, which must begin with a space for
// header-like fields.
static void put_folded(struct pen_buf *b, const char *first, const char *indent, const char *text)
{
	size_t left = strlen(text), room = FOLD_AT - strlen(first);

	pen_buf_add_cstr(b, first);
	while (left > room) {
		size_t cut = room;
		while (cut > 0 && text[cut] != ' ')
			cut--;
		size_t skip = 1;
		if (cut == 0) {
			cut = room;
			skip = 0;
		}
		pen_buf_add(b, text, cut);
		pen_buf_add_cstr(b, "\r\n");
		pen_buf_add_cstr(b, indent);
		text += cut + skip;
		left -= cut + skip;
		room = FOLD_AT - strlen(indent);
	}
	pen_buf_add(b, text, left);
	pen_buf_add_cstr(b, "\r\n");
}

// Address fields are not folded: they are at most a few hundred bytes, and a
// space inside would change them.
static void put_address(
	struct pen_buf *b, const char *first, struct pen_span addr, const char *last)
{
	char text[PEN_DSN_TEXT_MAX * 2];

	clean(text, sizeof(text), addr.p, addr.n);
	pen_buf_addf(b, "%s%s%s\r\n", first, text, last);
}

// The header section including the line that ends it; everything when there is
// no body. At most `limit` bytes, cut after a line end.
static struct pen_span header_section(struct pen_span content, size_t limit)
{
	size_t at = 0;

	while (at < content.n) {
		ptrdiff_t nl = pen_span_find(pen_span_from(content, at), '\n');
		size_t end = nl < 0 ? content.n : at + (size_t)nl + 1;
		if (end > limit)
			break;
		bool empty = end - at == 2 && content.p[at] == '\r';
		at = end;
		if (empty)
			break;
	}
	return pen_span(content.p, at);
}

static bool has_eight_bit(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return true;
	}
	return false;
}

static void choose_boundary(
	const struct pen_dsn_report *r, struct pen_span original, char *out, size_t cap)
{
	uint64_t salt = r->salt;

	do {
		snprintf(out, cap, "=_%s.%016llx", r->queue_id, (unsigned long long)salt);
		salt = salt * 6364136223846793005ULL + 1442695040888963407ULL;
	} while (original.n > 0 && memmem(original.p, original.n, out, strlen(out)) != NULL);
}

static void put_header(
	const struct pen_dsn_report *r, struct pen_buf *b, const char *boundary, bool eight_bit)
{
	static const char *const subjects[] = {
		[PEN_DSN_FAILED] = "Undelivered Mail Returned to Sender",
		[PEN_DSN_RELAYED] = "Successful Mail Delivery Report",
		[PEN_DSN_POSTMASTER] = "Undelivered Mail Without a Sender",
	};
	char date[64];

	pen_wall_rfc5322(date, sizeof(date), r->wall);
	pen_buf_addf(b, "Date: %s\r\n", date);
	pen_buf_addf(b, "From: Mail Delivery System <%s@%s>\r\n", r->mailer_daemon, r->hostname);
	put_address(b, "To: <", r->to, ">");
	pen_buf_addf(b, "Subject: %s\r\n", subjects[r->kind]);
	pen_buf_addf(b, "Message-ID: <%s.%016llx@%s>\r\n", r->queue_id, (unsigned long long)r->salt,
		r->hostname);
	pen_buf_add_cstr(b, "Auto-Submitted: auto-replied\r\n"
			    "MIME-Version: 1.0\r\n");
	pen_buf_addf(b,
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"%s\"\r\n",
		boundary);
	if (eight_bit)
		pen_buf_add_cstr(b, "Content-Transfer-Encoding: 8bit\r\n");
	if (r->tls_optional)
		pen_buf_add_cstr(b, "TLS-Required: no\r\n");
	pen_buf_add_cstr(b, "\r\nThis is a MIME-encapsulated message.\r\n\r\n");
}

static void put_people_part(const struct pen_dsn_report *r, struct pen_buf *b, const char *boundary)
{
	static const char *const leads[] = {
		[PEN_DSN_FAILED] =
			"Your message did not reach the recipients below, and no further\r\n"
			"attempt will be made. What each receiving system answered is given\r\n"
			"behind the address.",
		[PEN_DSN_RELAYED] =
			"Your message was given to the mail systems of the recipients below.\r\n"
			"They send no reports of delivery, so this is the last you hear of it\r\n"
			"unless it fails there.",
		[PEN_DSN_POSTMASTER] =
			"A message without a sender, most likely a notification, did not reach\r\n"
			"the recipients below. Nobody else is told.",
	};
	struct pen_dsn_rcpt f;
	char text[PEN_TROUBLE_TEXT_MAX];

	pen_buf_addf(b,
		"--%s\r\n"
		"Content-Description: Notification\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"This is the mail system at host %s.\r\n"
		"\r\n"
		"%s %s\r\n"
		"\r\n"
		"If you ask your postmaster for help, please forward this report.\r\n"
		"\r\n",
		boundary, r->hostname, leads[r->kind],
		r->original.p == NULL ? "The message itself could no longer be read."
				      : "The message, or its header, is attached.");
	for (uint32_t i = 0; i < r->nrcpt; i++) {
		r->rcpt(r->ctx, i, &f);
		put_address(b, "<", f.addr, ">:");
		pen_trouble_text(&f.dsn, f.relay, text, sizeof(text));
		if (f.expired)
			put_folded(
				b, "    ", "    ", "The time for delivery is over. Last answer:");
		put_folded(b, "    ", "    ", text[0] != '\0' ? text : "no reason was given");
		pen_buf_add_cstr(b, "\r\n");
	}
}

static void put_diagnostic(struct pen_buf *b, const struct pen_dsn_rcpt *f)
{
	const struct pen_dsn *d = &f->dsn;
	char text[PEN_TROUBLE_TEXT_MAX];

	// The reply alone: "host ... said" is for people.
	if (d->origin == PEN_ORIGIN_PEER && d->reply != 0) {
		pen_trouble_reply(d, text, sizeof(text));
		put_folded(b, "Diagnostic-Code: smtp; ", "    ", text);
	} else {
		pen_trouble_text(d, f->relay, text, sizeof(text));
		put_folded(b, "Diagnostic-Code: X-Penstock; ", "    ",
			text[0] != '\0' ? text : "no reason was given");
	}
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// RFC 3461 4. What is not well-formed stays as it is; the rest is cut.
static struct pen_span decode_xtext(struct pen_span in, char out[XTEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < in.n && n < XTEXT_MAX; i++) {
		int hi = i + 2 < in.n && in.p[i] == '+' ? hex_digit(in.p[i + 1]) : -1;
		int lo = hi >= 0 ? hex_digit(in.p[i + 2]) : -1;
		if (lo >= 0)
			i += 2;
		out[n++] = lo >= 0 ? (char)(hi * 16 + lo) : (char)in.p[i];
	}
	return pen_span(out, n);
}

// What the sender called this recipient, or the address as it was accepted.
static void put_original_recipient(struct pen_buf *b, const struct pen_dsn_rcpt *f)
{
	ptrdiff_t semicolon = f->orcpt.n > 0 ? pen_span_find(f->orcpt, ';') : -1;
	char first[80], type[40], xtext[XTEXT_MAX];

	if (semicolon <= 0 || (size_t)semicolon >= sizeof(type)) {
		put_address(b, "Original-Recipient: rfc822; ", f->addr, "");
		return;
	}
	clean(type, sizeof(type), f->orcpt.p, (size_t)semicolon);
	snprintf(first, sizeof(first), "Original-Recipient: %s; ", type);
	put_address(
		b, first, decode_xtext(pen_span_from(f->orcpt, (size_t)semicolon + 1), xtext), "");
}

static void put_status_part(const struct pen_dsn_report *r, struct pen_buf *b, const char *boundary)
{
	struct pen_dsn_rcpt f;
	char date[64], status[PEN_STATUS_STR_MAX], mta[sizeof(f.relay)], xtext[XTEXT_MAX];

	pen_wall_rfc5322(date, sizeof(date), r->arrival);
	pen_buf_addf(b,
		"--%s\r\n"
		"Content-Description: Delivery report\r\n"
		"Content-Type: message/delivery-status\r\n"
		"\r\n",
		boundary);
	if (r->envid.n > 0)
		put_address(b, "Original-Envelope-Id: ", decode_xtext(r->envid, xtext), "");
	pen_buf_addf(b,
		"Reporting-MTA: dns; %s\r\n"
		"X-Penstock-Queue-ID: %s\r\n",
		r->hostname, r->queue_id);
	put_address(b, "X-Penstock-Sender: rfc822; ", r->sender, "");
	pen_buf_addf(b, "Arrival-Date: %s\r\n", date);
	for (uint32_t i = 0; i < r->nrcpt; i++) {
		r->rcpt(r->ctx, i, &f);
		pen_buf_add_cstr(b, "\r\n");
		put_original_recipient(b, &f);
		put_address(b, "Final-Recipient: rfc822; ", f.addr, "");
		pen_buf_addf(b, "Action: %s\r\nStatus: %s\r\n",
			r->kind == PEN_DSN_RELAYED ? "relayed" : "failed",
			pen_trouble_status(&f.dsn, status));
		if (f.mta_len > 0) {
			clean(mta, sizeof(mta), f.relay, f.mta_len);
			pen_buf_addf(b, "Remote-MTA: dns; %s\r\n", mta);
		}
		put_diagnostic(b, &f);
	}
	pen_buf_add_cstr(b, "\r\n");
}

int pen_dsn_message_build(const struct pen_dsn_report *r, struct pen_buf *out, bool *eight_bit)
{
	bool headers_only = r->headers_only || r->original.n > r->size_limit;
	struct pen_span part =
		headers_only ? header_section(r->original, r->size_limit) : r->original;
	char boundary[PEN_STATUS_STR_MAX + 64];

	*eight_bit = has_eight_bit(part);
	choose_boundary(r, part, boundary, sizeof(boundary));
	put_header(r, out, boundary, *eight_bit);
	put_people_part(r, out, boundary);
	put_status_part(r, out, boundary);
	if (r->original.p != NULL) {
		pen_buf_addf(out,
			"--%s\r\n"
			"Content-Description: %s%s\r\n"
			"Content-Type: %s\r\n",
			boundary,
			r->kind == PEN_DSN_RELAYED ? "Delivered Message" : "Undelivered Message",
			headers_only ? " Headers" : "",
			headers_only ? "text/rfc822-headers" : "message/rfc822");
		if (*eight_bit)
			pen_buf_add_cstr(out, "Content-Transfer-Encoding: 8bit\r\n");
		pen_buf_add_cstr(out, "\r\n");
		pen_buf_add_span(out, part);
		if (part.n == 0 || part.p[part.n - 1] != '\n')
			pen_buf_add_cstr(out, "\r\n");
		pen_buf_add_cstr(out, "\r\n");
	}
	pen_buf_addf(out, "--%s--\r\n", boundary);
	return out->failed ? -ENOMEM : 0;
}
