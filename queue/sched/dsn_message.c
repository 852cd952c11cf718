// SPDX-License-Identifier: BSD-3-Clause
#include "dsn_write.h"

#include "pen_trouble.h"

#include <errno.h>
#include <stdio.h>

#define FOLD_AT 76

// The length of a well-formed character beyond ASCII at p, 0: it is none. C1
// controls and the two separators of lines are not printable.
static size_t utf8_char(const uint8_t *p, size_t n)
{
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool beyond = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
	bool control = (p[0] == 0xc2 && p[1] < 0xa0) ||
		       (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9));
	return overlong || beyond || control ? 0 : len;
}

void dsn_clean(char *out, size_t cap, const void *in, size_t n, bool utf8)
{
	const uint8_t *p = in;
	size_t i = 0, o = 0;

	while (i < n && o + 1 < cap) {
		size_t len = utf8 && p[i] > 127 ? utf8_char(p + i, n - i) : 0;
		if (len > 0 && o + len >= cap)
			break;
		if (len > 0) {
			memcpy(out + o, p + i, len);
		} else {
			out[o] = p[i] >= ' ' && p[i] < 127 ? (char)p[i] : '?';
			len = 1;
		}
		o += len;
		i += len;
	}
	out[o] = '\0';
}

void dsn_put_folded(struct pen_buf *b, const char *first, const char *indent, const char *text)
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

void dsn_put_address(
	const struct dsn_writer *w, const char *first, struct pen_span addr, const char *last)
{
	char text[DSN_XTEXT_MAX];

	dsn_clean(text, sizeof(text) / 2, addr.p, addr.n, w->global);
	pen_buf_addf(w->out, "%s%s%s\r\n", first, text, last);
}

enum pen_dsn_action dsn_action(const struct pen_dsn_report *r, const struct pen_dsn_rcpt *f)
{
	if (f->action != PEN_ACTION_OF_KIND && f->action < PEN_ACTIONS)
		return f->action;
	switch (r->kind) {
	case PEN_DSN_RELAYED:
		return PEN_ACTION_RELAYED;
	case PEN_DSN_DELAYED:
	case PEN_DSN_POSTMASTER_DELAYED:
		return PEN_ACTION_DELAYED;
	default:
		return PEN_ACTION_FAILED;
	}
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

bool dsn_has_eight_bit(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return true;
	}
	return false;
}

bool pen_dsn_message_global(const struct pen_dsn_report *r)
{
	struct pen_dsn_rcpt f = {0};

	if (!r->smtputf8)
		return false;
	if (dsn_has_eight_bit(r->sender) || dsn_has_eight_bit(r->to) ||
		dsn_has_eight_bit(header_section(r->original, r->original.n)))
		return true;
	for (uint32_t i = 0; i < r->nrcpt; i++) {
		r->rcpt(r->ctx, i, &f);
		if (dsn_has_eight_bit(f.addr))
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

static const char *subject_of(const struct dsn_writer *w)
{
	static const char *const subjects[] = {
		[PEN_DSN_FAILED] = "Undelivered Mail Returned to Sender",
		[PEN_DSN_RELAYED] = "Successful Mail Delivery Report",
		[PEN_DSN_POSTMASTER] = "Undelivered Mail Without a Sender",
		[PEN_DSN_DELAYED] = "Delayed Mail (still being retried)",
		[PEN_DSN_POSTMASTER_DELAYED] = "Delayed Mail of a Sender",
	};
	bool postmaster =
		w->r->kind == PEN_DSN_POSTMASTER || w->r->kind == PEN_DSN_POSTMASTER_DELAYED;
	const char *own = postmaster ? w->template->postmaster_subject : w->template->subject;

	return own != NULL ? own : subjects[w->r->kind];
}

// "name@host (comment)", "Words <name@host>" or "name@host" becomes the second
// form, with our host where there is none: a header field without one is no
// address.
static void put_from(const struct dsn_writer *w)
{
	const char *from = w->template->from, *name = "Mail Delivery System", *addr;
	int name_n = (int)strlen(name), addr_n;

	addr = w->r->mailer_daemon;
	addr_n = (int)strlen(addr);
	if (from != NULL) {
		const char *open = strchr(from, '<'),
			   *close = open != NULL ? strchr(open, '>') : NULL;
		const char *paren = strchr(from, '(');
		if (close != NULL) {
			addr = open + 1;
			addr_n = (int)(close - addr);
			name = from;
			name_n = (int)(open - from);
		} else {
			addr = from;
			addr_n = (int)strcspn(from, " \t(");
			name = paren != NULL ? paren + 1 : "";
			name_n = (int)strcspn(name, ")");
		}
	}
	while (name_n > 0 && (name[name_n - 1] == ' ' || name[name_n - 1] == '\t'))
		name_n--;
	bool host = memchr(addr, '@', (size_t)addr_n) != NULL;
	pen_buf_addf(w->out, "From: %.*s%s<%.*s%s%s>\r\n", name_n, name, name_n > 0 ? " " : "",
		addr_n, addr, host ? "" : "@", host ? "" : w->r->hostname);
}

static void put_header(const struct dsn_writer *w, bool eight_bit)
{
	const struct pen_dsn_report *r = w->r;
	char date[64];

	pen_wall_rfc5322(date, sizeof(date), r->wall);
	pen_buf_addf(w->out, "Date: %s\r\n", date);
	put_from(w);
	dsn_put_address(w, "To: <", r->to, ">");
	pen_buf_addf(w->out, "Subject: %s\r\n", subject_of(w));
	pen_buf_addf(w->out, "Message-ID: <%s.%016llx@%s>\r\n", r->queue_id,
		(unsigned long long)r->salt, r->hostname);
	pen_buf_add_cstr(w->out, "Auto-Submitted: auto-replied\r\n"
				 "MIME-Version: 1.0\r\n");
	// RFC 6522: the report-type is the subtype of the second part.
	pen_buf_addf(w->out,
		"Content-Type: multipart/report; report-type=%sdelivery-status;\r\n"
		"\tboundary=\"%s\"\r\n",
		w->global ? "global-" : "", w->boundary);
	if (eight_bit)
		pen_buf_add_cstr(w->out, "Content-Transfer-Encoding: 8bit\r\n");
	if (r->tls_optional)
		pen_buf_add_cstr(w->out, "TLS-Required: no\r\n");
	pen_buf_add_cstr(w->out, "\r\nThis is a MIME-encapsulated message.\r\n\r\n");
}

static void put_original(const struct dsn_writer *w, struct pen_span part, bool headers_only)
{
	static const char *const types[2][2] = {
		{"message/rfc822", "text/rfc822-headers"},
		{"message/global", "message/global-headers"},
	};
	const char *what = w->r->kind == PEN_DSN_RELAYED   ? "Delivered"
			   : w->r->kind == PEN_DSN_DELAYED ? "Delayed"
							   : "Undelivered";

	pen_buf_addf(w->out,
		"--%s\r\n"
		"Content-Description: %s Message%s\r\n"
		"Content-Type: %s\r\n",
		w->boundary, what, headers_only ? " Headers" : "", types[w->global][headers_only]);
	if (w->global || dsn_has_eight_bit(part))
		pen_buf_add_cstr(w->out, "Content-Transfer-Encoding: 8bit\r\n");
	pen_buf_add_cstr(w->out, "\r\n");
	pen_buf_add_span(w->out, part);
	if (part.n == 0 || part.p[part.n - 1] != '\n')
		pen_buf_add_cstr(w->out, "\r\n");
	pen_buf_add_cstr(w->out, "\r\n");
}

static const struct pen_dsn_template *template_of(const struct pen_dsn_report *r)
{
	static const struct pen_dsn_template none;

	if (r->templates == NULL)
		return &none;
	switch (r->kind) {
	case PEN_DSN_RELAYED:
		return &r->templates->success;
	case PEN_DSN_DELAYED:
	case PEN_DSN_POSTMASTER_DELAYED:
		return &r->templates->delay;
	default:
		return &r->templates->failure;
	}
}

int pen_dsn_message_build(const struct pen_dsn_report *r, struct pen_buf *out, bool *eight_bit)
{
	bool warning = r->kind == PEN_DSN_DELAYED || r->kind == PEN_DSN_POSTMASTER_DELAYED;
	bool headers_only = r->headers_only || warning || r->original.n > r->size_limit;
	struct pen_span part =
		headers_only ? header_section(r->original, r->size_limit) : r->original;
	char boundary[PEN_STATUS_STR_MAX + 64];
	struct dsn_writer w = {
		.r = r,
		.template = template_of(r),
		.out = out,
		.boundary = boundary,
		.global = pen_dsn_message_global(r),
	};
	size_t before = out->n;
	struct pen_span text = pen_span_cstr(w.template->text);

	// The marks go in front of what they announce, so this is known first.
	*eight_bit = w.global || dsn_has_eight_bit(part) || dsn_has_eight_bit(text);
	choose_boundary(r, part, boundary, sizeof(boundary));
	put_header(&w, *eight_bit);
	dsn_put_people_part(&w);
	dsn_put_status_part(&w);
	if (r->original.p != NULL)
		put_original(&w, part, headers_only);
	pen_buf_addf(out, "--%s--\r\n", boundary);
	if (out->failed)
		return -ENOMEM;
	if (w.global)
		*eight_bit = dsn_has_eight_bit(pen_span(out->p + before, out->n - before));
	return 0;
}
