// SPDX-License-Identifier: BSD-3-Clause
#include "pen_content_hash.h"

enum state {
	AT_LINE,  // at the start of a line of the header block
	IN_NAME,  // the name is short enough to be one of ours, held back in `name`
	IN_LONG,  // the name is too long for that: passed on, waiting for the colon
	IN_VALUE, // behind the colon, or in a continuation line
	IN_BODY,
};

enum capture { CAPTURE_NONE, CAPTURE_HASH, CAPTURE_ID };

static bool name_byte(uint8_t c)
{
	return c > 32 && c < 127 && c != ':';
}

static bool removed_name(struct pen_span name)
{
	static const char *const list[] = {"Received", "Return-Path", "Delivered-To",
		"X-Original-To", "X-Penstock-Hash", "Message-Id", "Date"};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (pen_span_ieq(name, pen_span_cstr(list[i])))
			return true;
	}
	return false;
}

void pen_content_hash_init(struct pen_content_hash *h)
{
	XXH3_64bits_reset(&h->xxh);
	h->state = AT_LINE;
	h->last = 0;
	h->keep = true;
	h->any_field = false;
	h->capture = CAPTURE_NONE;
	h->name_len = 0;
	h->bytes = 0;
	h->value_len = 0;
	h->has_hash = h->has_id = false;
	h->has_claim = false;
	h->claim = 0;
	h->id[0] = '\0';
}

// Hashes p..end with each bare LF made CRLF; `last` is the byte before p.
static void hash_canonical(struct pen_content_hash *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;
	uint8_t before = h->last;

	while (p < end) {
		const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
		if (lf == NULL)
			break;
		if (lf > p)
			before = lf[-1];
		if (before != '\r') {
			XXH3_64bits_update(&h->xxh, from, (size_t)(lf - from));
			XXH3_64bits_update(&h->xxh, "\r", 1);
			from = lf;
		}
		before = '\n';
		p = lf + 1;
	}
	XXH3_64bits_update(&h->xxh, from, (size_t)(end - from));
}

static void flush_name(struct pen_content_hash *h)
{
	XXH3_64bits_update(&h->xxh, h->name, h->name_len);
	h->name_len = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static void note_claim(struct pen_content_hash *h, struct pen_span text)
{
	uint64_t v = 0;

	h->has_hash = true;
	if (text.n != PEN_CONTENT_HASH_HEX)
		return;
	for (size_t i = 0; i < text.n; i++) {
		int d = hex_digit((char)text.p[i]);
		if (d < 0)
			return;
		v = v << 4 | (uint64_t)d;
	}
	h->claim = v;
	h->has_claim = true;
}

// The field's first line is complete.
static void note_value(struct pen_content_hash *h)
{
	struct pen_span text = pen_span_trim(pen_span(h->value, h->value_len));

	if (h->capture == CAPTURE_HASH) {
		note_claim(h, text);
	} else if (h->capture == CAPTURE_ID) {
		memcpy(h->id, text.p, text.n);
		h->id[text.n] = '\0';
		h->has_id = true;
	}
	h->capture = CAPTURE_NONE;
}

static void colon(struct pen_content_hash *h)
{
	struct pen_span name = pen_span(h->name, h->name_len);

	h->any_field = true;
	h->keep = !removed_name(name);
	h->capture = CAPTURE_NONE;
	h->value_len = 0;
	if (!h->has_hash && pen_span_ieq(name, PEN_SPAN_LIT("X-Penstock-Hash")))
		h->capture = CAPTURE_HASH;
	else if (!h->has_id && pen_span_ieq(name, PEN_SPAN_LIT("X-Penstock-Id")))
		h->capture = CAPTURE_ID;
	if (h->keep)
		flush_name(h);
	h->name_len = 0;
	h->state = IN_VALUE;
}

// At the start of a header line; p stays.
static void line_start(struct pen_content_hash *h, uint8_t c)
{
	if (c == ' ' || c == '\t') {
		h->state = h->any_field ? IN_VALUE : IN_BODY; // `keep` stays the field's
	} else if (name_byte(c)) {
		h->name_len = 0;
		h->state = IN_NAME;
	} else {
		h->state = IN_BODY;
	}
}

// Takes bytes of the name; returns where it stopped.
static const uint8_t *in_name(struct pen_content_hash *h, const uint8_t *p, const uint8_t *end)
{
	while (p < end && name_byte(*p) && h->name_len < sizeof(h->name)) {
		h->name[h->name_len++] = *p;
		h->last = *p++;
	}
	if (p == end)
		return p;
	if (*p == ':' && h->name_len > 0) {
		colon(h);
	} else {
		h->state = name_byte(*p) ? IN_LONG : IN_BODY;
		flush_name(h);
	}
	return p;
}

static const uint8_t *in_long(struct pen_content_hash *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	while (p < end && name_byte(*p))
		p++;
	XXH3_64bits_update(&h->xxh, from, (size_t)(p - from));
	if (p > from)
		h->last = p[-1];
	if (p < end) {
		h->state = IN_BODY;
		if (*p == ':') {
			h->any_field = h->keep = true;
			h->state = IN_VALUE;
		}
	}
	return p;
}

static const uint8_t *in_value(struct pen_content_hash *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
	const uint8_t *stop = lf != NULL ? lf + 1 : end;

	if (h->capture != CAPTURE_NONE) {
		for (const uint8_t *q = p; q < stop && h->value_len < PEN_CONTENT_ID_MAX; q++) {
			if (h->value_len > 0 || *q != ':')
				h->value[h->value_len++] = (char)*q;
		}
		if (lf != NULL)
			note_value(h);
	}
	if (h->keep)
		hash_canonical(h, p, stop);
	h->last = stop[-1];
	if (lf != NULL)
		h->state = AT_LINE;
	return stop;
}

void pen_content_hash_feed(struct pen_content_hash *h, const void *data, size_t n)
{
	const uint8_t *p = data;
	const uint8_t *end = p + n;

	h->bytes += n;
	while (p < end) {
		switch ((enum state)h->state) {
		case AT_LINE:
			line_start(h, *p);
			break;
		case IN_NAME:
			p = in_name(h, p, end);
			break;
		case IN_LONG:
			p = in_long(h, p, end);
			break;
		case IN_VALUE:
			p = in_value(h, p, end);
			break;
		case IN_BODY:
			hash_canonical(h, p, end);
			h->last = end[-1];
			p = end;
			break;
		}
	}
}

uint64_t pen_content_hash_end(struct pen_content_hash *h)
{
	bool open = h->bytes > 0 && h->last != '\n';

	if (h->state == IN_NAME) {
		flush_name(h);
		h->keep = true;
	}
	if (h->state == IN_VALUE && h->capture != CAPTURE_NONE)
		note_value(h);
	if (open && (h->state != IN_VALUE || h->keep))
		XXH3_64bits_update(&h->xxh, "\r\n", 2);
	return XXH3_64bits_digest(&h->xxh);
}

uint64_t pen_content_hash(const void *p, size_t n)
{
	struct pen_content_hash h;

	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, p, n);
	return pen_content_hash_end(&h);
}

void pen_content_hash_hex(uint64_t hash, char out[PEN_CONTENT_HASH_HEX])
{
	for (int i = PEN_CONTENT_HASH_HEX - 1; i >= 0; i--) {
		out[i] = "0123456789abcdef"[hash & 15];
		hash >>= 4;
	}
}
