// SPDX-License-Identifier: BSD-3-Clause
#include "pen_event_read.h"

struct cursor {
	const uint8_t *p, *end;
	const char *why; // NULL: all is well
};

static const char *const type_words[] = {[PEN_EVENT_OTHER] = "other",
	[PEN_EVENT_RECEPTION] = "Reception",
	[PEN_EVENT_COMMIT] = "Commit",
	[PEN_EVENT_DELIVERY] = "Delivery",
	[PEN_EVENT_TRANSIENT] = "TransientFailure",
	[PEN_EVENT_BOUNCE] = "Bounce",
	[PEN_EVENT_EXPIRATION] = "Expiration",
	[PEN_EVENT_ADMIN_BOUNCE] = "AdminBounce",
	[PEN_EVENT_ADMIN_DELETE] = "AdminDelete",
	[PEN_EVENT_SUPPRESSED] = "Suppressed",
	[PEN_EVENT_START] = "Start",
	[PEN_EVENT_STOP] = "Stop",
	[PEN_EVENT_LOST] = "Lost"};

const char *pen_event_type_word(enum pen_event_type type)
{
	return type_words[type];
}

static bool fail(struct cursor *c, const char *why)
{
	if (c->why == NULL)
		c->why = why;
	return false;
}

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n'))
		c->p++;
}

static bool take(struct cursor *c, uint8_t byte)
{
	skip_space(c);
	if (c->p >= c->end || *c->p != byte)
		return false;
	c->p++;
	return true;
}

// The text between the quotes, as it is written.
static bool string(struct cursor *c, struct pen_span *out)
{
	if (!take(c, '"'))
		return fail(c, "a string was expected");
	const uint8_t *from = c->p;
	while (c->p < c->end && *c->p != '"') {
		if (*c->p < ' ')
			return fail(c, "a control byte in a string");
		if (*c->p == '\\' && ++c->p == c->end)
			break;
		c->p++;
	}
	if (c->p >= c->end)
		return fail(c, "a string does not end");
	*out = pen_span(from, (size_t)(c->p++ - from));
	return true;
}

static bool number(struct cursor *c, int64_t *out)
{
	bool minus = take(c, '-');
	int64_t n = 0;

	skip_space(c);
	const uint8_t *from = c->p;
	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c->p - '0', &n))
			return fail(c, "a number is too large");
	}
	if (c->p == from)
		return fail(c, "a number was expected");
	// What stands behind the point does not matter here.
	while (c->p < c->end && (*c->p == '.' || *c->p == '+' || *c->p == '-' || *c->p == 'e' ||
					*c->p == 'E' || (*c->p >= '0' && *c->p <= '9')))
		c->p++;
	*out = minus ? -n : n;
	return true;
}

static bool word(struct cursor *c, bool *out)
{
	static const char *const words[] = {"true", "false", "null"};

	skip_space(c);
	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(c->end - c->p) >= n && memcmp(c->p, words[i], n) == 0) {
			c->p += n;
			*out = i == 0;
			return true;
		}
	}
	return fail(c, "a value was expected");
}

static bool skip_value(struct cursor *c);

static bool skip_scalar(struct cursor *c)
{
	struct pen_span text;
	int64_t n;
	bool b;

	skip_space(c);
	if (c->p < c->end && *c->p == '"')
		return string(c, &text);
	if (c->p < c->end && (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))) {
		// A number of any size may be skipped.
		const char *why = c->why;
		if (number(c, &n))
			return true;
		while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
			c->p++;
		c->why = why;
		return true;
	}
	return word(c, &b);
}

// Without recursion: the depth is a counter, and what is open a bit each.
static bool skip_value(struct cursor *c)
{
	uint32_t objects = 0;
	unsigned depth = 0;
	struct pen_span key;

	for (;;) {
		skip_space(c);
		bool opens = c->p < c->end && (*c->p == '{' || *c->p == '[');
		bool empty = false;
		if (opens) {
			if (++depth > PEN_EVENT_DEPTH_MAX)
				return fail(c, "too many levels");
			objects = objects << 1 | (*c->p++ == '{');
			empty = take(c, objects & 1 ? '}' : ']');
		} else if (!skip_scalar(c)) {
			return false;
		}
		if (empty || !opens) {
			if (empty) {
				depth--;
				objects >>= 1;
			}
			while (depth > 0 && !take(c, ',')) {
				if (!take(c, objects & 1 ? '}' : ']'))
					return fail(c, "a comma or a bracket was expected");
				depth--;
				objects >>= 1;
			}
			if (depth == 0)
				return true;
		}
		if ((objects & 1) && (!string(c, &key) || !take(c, ':')))
			return fail(c, "a key was expected");
	}
}

static bool list(struct cursor *c, struct pen_span *out, uint32_t *n)
{
	struct pen_span item;

	*n = 0;
	skip_space(c);
	const uint8_t *from = c->p;
	if (c->p < c->end && *c->p == '"') { // one, without a list
		*n = 1;
		if (!string(c, &item))
			return false;
		*out = pen_span(from, (size_t)(c->p - from));
		return true;
	}
	if (!take(c, '['))
		return fail(c, "a list was expected");
	from = c->p;
	if (take(c, ']'))
		return true;
	do {
		if (!string(c, &item))
			return false;
		++*n;
	} while (take(c, ','));
	*out = pen_span(from, (size_t)(c->p - from));
	return take(c, ']') || fail(c, "a list does not end");
}

bool pen_event_next(struct pen_span *rest, struct pen_span *item)
{
	if (rest->n == 0)
		return false;
	struct cursor c = {rest->p, rest->p + rest->n, NULL};
	take(&c, ',');
	skip_space(&c);
	if (c.p >= c.end || !string(&c, item))
		return false;
	*rest = pen_span(c.p, (size_t)(c.end - c.p));
	return true;
}

static bool is(struct pen_span s, const char *text)
{
	return pen_span_eq(s, pen_span_cstr(text));
}

static enum pen_event_type type_of(struct pen_span text)
{
	for (unsigned i = 1; i < sizeof(type_words) / sizeof(type_words[0]); i++) {
		if (is(text, type_words[i]))
			return (enum pen_event_type)i;
	}
	return PEN_EVENT_OTHER;
}

enum {
	HAS_TYPE = 1,
	HAS_ID = 2,
	HAS_LIST = 4,
	HAS_INDEX = 8,
	HAS_TIME = 16,
	HAS_DOUBT = 32,
	HAS_RECORDS = 64
};

static bool known_number(struct cursor *c, unsigned bit, struct pen_event_line *out)
{
	int64_t n;

	if (!number(c, &n))
		return false;
	if (bit == HAS_TIME) {
		out->timestamp = n;
	} else if (n < 0 || (bit == HAS_INDEX && n >= UINT32_MAX)) {
		return fail(c, "a number is out of range");
	} else if (bit == HAS_INDEX) {
		out->index = (uint32_t)n;
		out->has_index = true;
	} else {
		out->records = (uint64_t)n;
	}
	return true;
}

static unsigned bit_of(struct pen_span key)
{
	static const struct {
		const char *key;
		unsigned bit;
	} keys[] = {{"type", HAS_TYPE}, {"id", HAS_ID}, {"recipient", HAS_LIST}, {"ids", HAS_LIST},
		{"recipient_index", HAS_INDEX}, {"timestamp", HAS_TIME}, {"in_doubt", HAS_DOUBT},
		{"records", HAS_RECORDS}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (is(key, keys[i].key))
			return keys[i].bit;
	}
	return 0;
}

static bool member(struct cursor *c, unsigned bit, struct pen_event_line *out)
{
	struct pen_span text;

	switch (bit) {
	case HAS_TYPE:
		if (!string(c, &text))
			return false;
		out->type = type_of(text);
		return true;
	case HAS_ID:
		return string(c, &out->id);
	case HAS_LIST:
		return list(c, &out->list, &out->nrcpt);
	case HAS_DOUBT:
		return word(c, &out->in_doubt);
	default:
		return known_number(c, bit, out);
	}
}

bool pen_event_read(struct pen_span line, struct pen_event_line *out, const char **why)
{
	struct cursor c = {line.p, line.n > 0 ? line.p + line.n : line.p, NULL};
	unsigned seen = 0;
	struct pen_span key;

	*out = (struct pen_event_line){.type = PEN_EVENT_OTHER};
	bool good = take(&c, '{') || fail(&c, "it is no JSON object");
	if (good && !take(&c, '}')) {
		do {
			good = string(&c, &key) &&
			       (take(&c, ':') || fail(&c, "a colon was expected"));
			unsigned bit = good ? bit_of(key) : 0;
			if (!good)
				break;
			good = bit != 0 && !(seen & bit) ? member(&c, bit, out) : skip_value(&c);
			seen |= bit;
		} while (good && take(&c, ','));
		good = good && (take(&c, '}') || fail(&c, "the object does not end"));
	}
	skip_space(&c);
	if (good && c.p != c.end)
		good = fail(&c, "something follows the object");
	if (good && !(seen & HAS_TYPE))
		good = fail(&c, "it has no type");
	*why = c.why != NULL ? c.why : "";
	return good;
}
