// SPDX-License-Identifier: BSD-3-Clause
#include "pen_smtp_reply.h"

#include "pen_err.h"

#define LINE_BYTES_MAX 4096
#define LINES_MAX 256

// So many bytes of a line's text decide whether it starts with an enhanced
// status: "5.999.999 " has ten.
#define HEAD_BYTES 12

// pen_reply.state: where in a line we are, and what to remember of it.
enum {
	AT_CODE, // reading the three digits
	AT_SEP,  // the byte behind them
	AT_HEAD, // text that may be an enhanced status
	AT_TEXT,
	AT_DONE, // the next byte starts a new reply
	AT_BAD,
	AT_MASK = 0x0f,
	MORE_LINES = 1 << 4, // the separator was '-'
	CR_SEEN = 1 << 5,    // a CR that is a line's end only if LF follows
};

void pen_reply_init(struct pen_reply *r)
{
	memset(r, 0, sizeof(*r));
}

static void reply_restart(struct pen_reply *r)
{
	r->code = 0;
	r->has_status = false;
	r->klass = 0;
	r->subject = r->detail = 0;
	r->text_len = 0;
	r->text[0] = '\0';
	r->lines = 0;
}

static void line_restart(struct pen_reply *r)
{
	r->state = AT_CODE;
	r->digits = 0;
	r->line_code = 0;
	r->line_bytes = 0;
	r->line_len = 0;
	r->line[0] = '\0';
}

static void text_add(struct pen_reply *r, const char *s, size_t n)
{
	size_t room = PEN_REPLY_TEXT_MAX - r->text_len;

	if (n > room)
		n = room;
	memcpy(r->text + r->text_len, s, n);
	r->text_len = (uint16_t)(r->text_len + n);
	r->text[r->text_len] = '\0';
}

// The head of a line is complete: take the status out, pass the rest on.
static void line_open(struct pen_reply *r)
{
	struct pen_span head = pen_span(r->line, r->line_len);
	uint8_t klass = 0;
	uint16_t subject = 0, detail = 0;
	size_t used = pen_dsn_parse_status(head, &klass, &subject, &detail);

	if (used > 0 && klass != r->code / 100)
		used = 0;
	if (used > 0 && r->lines == 0) {
		r->has_status = true;
		r->subject = subject;
		r->detail = detail;
	} else if (!r->has_status) {
		used = 0;
	}
	while (used > 0 && used < head.n && head.p[used] == ' ')
		used++;
	head = pen_span_from(head, used);
	if (head.n > 0 && r->text_len > 0)
		text_add(r, " ", 1);
	text_add(r, (const char *)head.p, head.n);
	r->state = (uint8_t)((r->state & ~AT_MASK) | AT_TEXT);
}

static void text_byte(struct pen_reply *r, uint8_t byte)
{
	char c = (char)byte;

	if (byte == '\t')
		c = ' ';
	else if (byte < ' ' || byte > '~')
		c = '?';
	if (r->line_len < sizeof(r->line) - 1) {
		r->line[r->line_len++] = c;
		r->line[r->line_len] = '\0';
	}
	if ((r->state & AT_MASK) == AT_TEXT) {
		if (r->text_len < PEN_REPLY_TEXT_MAX) {
			r->text[r->text_len++] = c;
			r->text[r->text_len] = '\0';
		}
	} else if (r->line_len >= HEAD_BYTES) {
		line_open(r);
	}
}

static enum pen_reply_status reply_bad(struct pen_reply *r)
{
	r->state = AT_BAD;
	return PEN_REPLY_BAD;
}

static enum pen_reply_status line_end(struct pen_reply *r)
{
	unsigned at = r->state & AT_MASK;

	if (at == AT_CODE)
		return reply_bad(r);
	if (at != AT_TEXT)
		line_open(r);
	if (r->state & MORE_LINES) {
		if (++r->lines >= LINES_MAX)
			return reply_bad(r);
		r->state = AT_CODE;
		r->digits = 0;
		return PEN_REPLY_LINE;
	}
	r->lines++;
	r->state = AT_DONE;
	return PEN_REPLY_DONE;
}

static bool code_digit(struct pen_reply *r, uint8_t byte)
{
	if (byte < '0' || byte > '9' || (r->digits == 0 && (byte < '2' || byte > '5')))
		return false;
	r->line_code = (uint16_t)(r->line_code * 10 + (byte - '0'));
	if (++r->digits < 3)
		return true;
	if (r->lines > 0 && r->line_code != r->code)
		return false;
	r->code = r->line_code;
	r->klass = (uint8_t)(r->code / 100);
	r->state = AT_SEP;
	return true;
}

static enum pen_reply_status reply_byte(struct pen_reply *r, uint8_t byte)
{
	unsigned at = r->state & AT_MASK;

	if (byte == 0 || ++r->line_bytes > LINE_BYTES_MAX)
		return reply_bad(r);
	if (byte == '\n')
		return line_end(r);
	if (r->state & CR_SEEN) {
		r->state &= (uint8_t)~CR_SEEN;
		if (at == AT_SEP)
			return reply_bad(r);
		text_byte(r, '\r');
		at = r->state & AT_MASK;
	}
	if (byte == '\r' && at != AT_CODE) {
		r->state |= CR_SEEN;
		return PEN_REPLY_MORE;
	}
	if (at == AT_CODE)
		return code_digit(r, byte) ? PEN_REPLY_MORE : reply_bad(r);
	if (at == AT_SEP) {
		if (byte != ' ' && byte != '-')
			return reply_bad(r);
		r->state = (uint8_t)(AT_HEAD | (byte == '-' ? MORE_LINES : 0));
		return PEN_REPLY_MORE;
	}
	text_byte(r, byte);
	return PEN_REPLY_MORE;
}

enum pen_reply_status pen_reply_feed(struct pen_reply *r, const uint8_t *p, size_t n, size_t *used)
{
	*used = 0;
	if (r->state == AT_BAD)
		return PEN_REPLY_BAD;
	while (*used < n) {
		if (r->state == AT_DONE)
			reply_restart(r);
		if (r->state == AT_DONE || (r->state == AT_CODE && r->digits == 0))
			line_restart(r);
		enum pen_reply_status st = reply_byte(r, p[(*used)++]);
		if (st != PEN_REPLY_MORE)
			return st;
	}
	return PEN_REPLY_MORE;
}

static size_t put_number(char *out, unsigned v)
{
	char digits[10];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

// Written by hand: this runs once per delivered message.
void pen_reply_to_dsn(const struct pen_reply *r, enum pen_dsn_scope scope,
	enum pen_smtp_stage stage, struct pen_dsn *out)
{
	char *t = out->text;

	_Static_assert(PEN_REPLY_TEXT_MAX + sizeof("550 5.999.999 ") < PEN_DSN_TEXT_MAX, "fits");
	PEN_ASSERT(r->code >= 200 && r->code <= 599);
	out->klass = r->klass;
	out->subject = r->subject;
	out->detail = r->detail;
	if (r->klass == 3) {
		out->klass = 4;
		out->subject = 5;
		out->detail = 0;
	}
	out->scope = (uint8_t)scope;
	out->origin = PEN_ORIGIN_PEER;
	out->stage = (uint8_t)stage;
	out->reply = r->code;
	t += put_number(t, r->code);
	if (r->has_status) {
		*t++ = ' ';
		t += put_number(t, r->klass);
		*t++ = '.';
		t += put_number(t, r->subject);
		*t++ = '.';
		t += put_number(t, r->detail);
	}
	if (r->text_len > 0)
		*t++ = ' ';
	memcpy(t, r->text, r->text_len);
	t += r->text_len;
	*t = '\0';
	out->text_len = (uint16_t)(t - out->text);
}
