// SPDX-License-Identifier: BSD-3-Clause
#include "pen_content_hash.h"

#include <stdlib.h>

enum { // state
	LINE_START,
	FIELD_NAME,
	FIELD_REST, // up to the line end
	BODY,
};

enum { // capture
	CAPTURE_NONE,
	CAPTURE_ID,
	CAPTURE_HASH,
};

void pen_content_hash_init(struct pen_content_hash *h)
{
	XXH3_64bits_reset(&h->xxh);
	h->bytes = 0;
	h->state = LINE_START;
	h->top = true;
	h->drop = false;
	h->capture = CAPTURE_NONE;
	h->name_n = h->value_n = 0;
	h->hash = h->claimed = h->number = 0;
	h->has_claim = h->has_id = false;
	h->run[0] = '\0';
}

static void take_id(struct pen_content_hash *h)
{
	char *dash = strrchr(h->value, '-'), *end;

	if (dash == NULL)
		return;
	h->number = strtoull(dash + 1, &end, 10);
	if (end == dash + 1 || *end != '\0')
		return;
	*dash = '\0';
	memcpy(h->run, h->value, (size_t)(dash - h->value) + 1);
	h->has_id = true;
}

static void field_ends(struct pen_content_hash *h)
{
	struct pen_span v = pen_span_trim(pen_span(h->value, h->value_n));
	char *end;

	if (h->capture == CAPTURE_NONE || v.n >= sizeof(h->value))
		return;
	memmove(h->value, v.p, v.n);
	h->value[v.n] = '\0';
	if (h->capture == CAPTURE_ID) {
		take_id(h);
	} else {
		h->claimed = strtoull(h->value, &end, 16);
		h->has_claim = v.n == 16 && *end == '\0';
	}
	h->capture = CAPTURE_NONE;
}

// The name in h->name is complete, up to and with the colon if it has one.
static void name_known(struct pen_content_hash *h)
{
	static const struct pen_span trace[] = {
		{(const uint8_t *)"Received", 8},
		{(const uint8_t *)"Return-Path", 11},
		{(const uint8_t *)"Delivered-To", 12},
	};
	struct pen_span name = pen_span_trim(pen_span(h->name, h->name_n));

	if (name.n > 0 && name.p[name.n - 1] == ':')
		name.n--;
	name = pen_span_trim(name);
	h->drop = false;
	h->value_n = 0;
	h->state = FIELD_REST;
	if (pen_span_ieq(name, PEN_SPAN_LIT("X-Penstock-Hash"))) {
		h->drop = true;
		h->capture = CAPTURE_HASH;
		return;
	}
	if (pen_span_ieq(name, PEN_SPAN_LIT("X-Penstock-Id"))) {
		h->capture = CAPTURE_ID;
	} else if (h->top) {
		for (size_t i = 0; i < sizeof(trace) / sizeof(trace[0]); i++)
			h->drop |= pen_span_ieq(name, trace[i]);
		h->top = h->drop;
	}
	if (!h->drop)
		XXH3_64bits_update(&h->xxh, h->name, h->name_n);
}

static void start_line(struct pen_content_hash *h, uint8_t first)
{
	if (first == ' ' || first == '\t') {
		h->state = FIELD_REST; // a continuation shares its field's fate
		return;
	}
	field_ends(h);
	h->name_n = 0;
	h->drop = false;
	h->state = first == '\r' || first == '\n' ? BODY : FIELD_NAME;
}

static size_t feed_name(struct pen_content_hash *h, struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		h->name[h->name_n++] = s.p[i];
		if (s.p[i] == ':' || s.p[i] == '\n' || h->name_n == PEN_CONTENT_NAME_MAX) {
			name_known(h);
			if (s.p[i] == '\n')
				h->state = LINE_START;
			return i + 1;
		}
	}
	return s.n;
}

static size_t feed_rest(struct pen_content_hash *h, struct pen_span s)
{
	ptrdiff_t eol = pen_span_find(s, '\n');
	size_t n = eol >= 0 ? (size_t)eol + 1 : s.n;

	if (!h->drop)
		XXH3_64bits_update(&h->xxh, s.p, n);
	if (h->capture != CAPTURE_NONE) {
		size_t room = sizeof(h->value) - h->value_n, take = n < room ? n : room;
		memcpy(h->value + h->value_n, s.p, take);
		h->value_n = (uint8_t)(h->value_n + take);
	}
	if (eol >= 0)
		h->state = LINE_START;
	return n;
}

void pen_content_hash_feed(struct pen_content_hash *h, struct pen_span s)
{
	h->bytes += s.n;
	while (s.n > 0) {
		size_t used = 0;
		if (h->state == LINE_START)
			start_line(h, s.p[0]);
		if (h->state == FIELD_NAME) {
			used = feed_name(h, s);
		} else if (h->state == FIELD_REST) {
			used = feed_rest(h, s);
		} else {
			XXH3_64bits_update(&h->xxh, s.p, s.n);
			used = s.n;
		}
		s = pen_span_from(s, used);
	}
}

void pen_content_hash_finish(struct pen_content_hash *h)
{
	if (h->state == FIELD_NAME && h->name_n > 0)
		name_known(h); // the content ended inside a line
	field_ends(h);
	h->hash = XXH3_64bits_digest(&h->xxh);
}

uint64_t pen_content_hash_of(struct pen_span content)
{
	struct pen_content_hash h;

	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, content);
	pen_content_hash_finish(&h);
	return h.hash;
}
