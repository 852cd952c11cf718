// SPDX-License-Identifier: BSD-3-Clause
#include "pen_event.h"

// How many bytes of UTF-8 begin here; 0: none that are valid (RFC 3629).
static size_t utf8_at(const uint8_t *p, size_t n)
{
	size_t len = *p < 0x80   ? 1
		     : *p < 0xc2 ? 0
		     : *p < 0xe0 ? 2
		     : *p < 0xf0 ? 3
		     : *p < 0xf5 ? 4
				 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	bool overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
	bool surrogate = *p == 0xed && p[1] >= 0xa0;
	bool large = *p == 0xf4 && p[1] >= 0x90;
	return overlong || surrogate || large ? 0 : len;
}

static void add_string(struct pen_buf *b, struct pen_span s)
{
	size_t from = 0;

	pen_buf_add(b, "\"", 1);
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_at(s.p + i, s.n - i);
		bool plain = len > 0 && s.p[i] >= ' ' && s.p[i] != '"' && s.p[i] != '\\' &&
			     s.p[i] != 0x7f;
		if (plain) {
			i += len;
			continue;
		}
		pen_buf_add(b, s.p + from, i - from);
		if (len == 0)
			pen_buf_add(b, "?", 1);
		else if (s.p[i] == '"' || s.p[i] == '\\')
			pen_buf_addf(b, "\\%c", s.p[i]);
		else
			pen_buf_addf(b, "\\u%04x", s.p[i]);
		from = ++i;
	}
	pen_buf_add(b, s.p + from, s.n - from);
	pen_buf_add(b, "\"", 1);
}

static void add_key(struct pen_event *e, const char *key)
{
	pen_buf_addf(&e->text, e->comma ? ",\"%s\":" : "\"%s\":", key);
	e->comma = true;
}

void pen_event_begin(struct pen_event *e, const char *type)
{
	pen_buf_reset(&e->text);
	pen_buf_add(&e->text, "{", 1);
	e->comma = false;
	pen_event_cstr(e, "type", type);
}

void pen_event_text(struct pen_event *e, const char *key, struct pen_span value)
{
	add_key(e, key);
	add_string(&e->text, value);
}

void pen_event_cstr(struct pen_event *e, const char *key, const char *value)
{
	pen_event_text(e, key, pen_span_cstr(value));
}

void pen_event_number(struct pen_event *e, const char *key, int64_t value)
{
	add_key(e, key);
	pen_buf_addf(&e->text, "%lld", (long long)value);
}

void pen_event_bool(struct pen_event *e, const char *key, bool value)
{
	add_key(e, key);
	pen_buf_add_cstr(&e->text, value ? "true" : "false");
}

void pen_event_object(struct pen_event *e, const char *key)
{
	add_key(e, key);
	pen_buf_add(&e->text, "{", 1);
	e->comma = false;
}

void pen_event_list(struct pen_event *e, const char *key)
{
	add_key(e, key);
	pen_buf_add(&e->text, "[", 1);
	e->comma = false;
}

void pen_event_item(struct pen_event *e, struct pen_span value)
{
	if (e->comma)
		pen_buf_add(&e->text, ",", 1);
	e->comma = true;
	add_string(&e->text, value);
}

void pen_event_close(struct pen_event *e)
{
	pen_buf_add(&e->text, "}", 1);
	e->comma = true;
}

void pen_event_close_list(struct pen_event *e)
{
	pen_buf_add(&e->text, "]", 1);
	e->comma = true;
}

struct pen_span pen_event_end(struct pen_event *e)
{
	pen_event_close(e);
	return e->text.failed ? pen_span(NULL, 0) : pen_buf_span(&e->text);
}

void pen_event_fini(struct pen_event *e)
{
	pen_buf_fini(&e->text);
}
