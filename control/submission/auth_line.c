// SPDX-License-Identifier: BSD-3-Clause
#include "auth_line.h"

#include "pen_sasl.h"

// Takes the next field off *rest; false: there is none.
static bool next_field(struct pen_span *rest, struct pen_span *field)
{
	if (rest->p == NULL)
		return false;
	ptrdiff_t tab = pen_span_find(*rest, '\t');
	*field = tab >= 0 ? pen_span(rest->p, (size_t)tab) : *rest;
	*rest = tab >= 0 ? pen_span_from(*rest, field->n + 1) : pen_span(NULL, 0);
	return true;
}

static bool take_number(struct pen_span *rest, uint32_t *out)
{
	struct pen_span f;
	uint64_t v = 0;

	if (!next_field(rest, &f) || f.n == 0 || f.n > 10)
		return false;
	for (size_t i = 0; i < f.n; i++) {
		if (f.p[i] < '0' || f.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(f.p[i] - '0');
	}
	*out = (uint32_t)v;
	return v <= UINT32_MAX;
}

// The value of "NAME=value".
static bool value_of(struct pen_span field, struct pen_span name, struct pen_span *value)
{
	if (field.n < name.n || memcmp(field.p, name.p, name.n) != 0)
		return false;
	*value = pen_span_from(field, name.n);
	return true;
}

static uint8_t unescaped(uint8_t c)
{
	switch (c) {
	case '0':
		return '\0';
	case '1':
		return '\001';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	default:
		return c;
	}
}

// Writes the value with control bytes as '?' and cut at `cap` - 1; false: that was
// necessary.
static bool take_text(struct pen_span v, char *out, size_t cap)
{
	bool whole = true;
	size_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		if (c == '\001' && i + 1 < v.n)
			c = unescaped(v.p[++i]);
		if (n == cap - 1) {
			whole = false;
			break;
		}
		bool control = c < ' ' || c == 0x7f;
		whole = whole && !control;
		out[n++] = control ? '?' : (char)c;
	}
	out[n] = '\0';
	return whole;
}

static uint32_t trait(struct pen_span word)
{
	static const struct {
		struct pen_span word;
		uint32_t bit;
	} words[] = {
		{PEN_SPAN_LIT("anonymous"), PEN_SASL_ANONYMOUS},
		{PEN_SPAN_LIT("plaintext"), PEN_SASL_PLAINTEXT},
		{PEN_SPAN_LIT("active"), PEN_SASL_ACTIVE},
		{PEN_SPAN_LIT("dictionary"), PEN_SASL_DICTIONARY},
		{PEN_SPAN_LIT("forward-secrecy"), PEN_SASL_FORWARD_SECRECY},
		{PEN_SPAN_LIT("mutual-auth"), PEN_SASL_MUTUAL_AUTH},
		{PEN_SPAN_LIT("private"), PEN_SASL_PRIVATE},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (pen_span_eq(word, words[i].word))
			return words[i].bit;
	}
	return 0;
}

static bool parse_mech(struct pen_span rest, struct auth_line *out)
{
	struct pen_span f;

	if (!next_field(&rest, &out->mechanism) || out->mechanism.n == 0 ||
		out->mechanism.n > AUTH_MECHANISM_MAX)
		return false;
	for (size_t i = 0; i < out->mechanism.n; i++) {
		if (out->mechanism.p[i] <= ' ' || out->mechanism.p[i] > '~')
			return false;
	}
	while (next_field(&rest, &f))
		out->traits |= trait(f);
	return true;
}

static bool parse_cont(struct pen_span rest, struct auth_line *out)
{
	if (!take_number(&rest, &out->id) || !next_field(&rest, &out->challenge))
		return false;
	for (size_t i = 0; i < out->challenge.n; i++) {
		if (out->challenge.p[i] <= ' ' || out->challenge.p[i] > '~')
			return false;
	}
	return true;
}

static bool parse_end(struct pen_span rest, struct auth_line *out)
{
	struct pen_span f, v;

	if (!take_number(&rest, &out->id))
		return false;
	while (next_field(&rest, &f)) {
		if (value_of(f, PEN_SPAN_LIT("user="), &v)) {
			bool whole = take_text(v, out->user, sizeof(out->user));
			if (!whole && out->kind == AUTH_LINE_OK)
				out->user[0] = '\0';
		} else if (value_of(f, PEN_SPAN_LIT("reason="), &v)) {
			take_text(v, out->reason, sizeof(out->reason));
		} else if (pen_span_eq(f, PEN_SPAN_LIT("temp"))) {
			out->temporary = true;
		} else if (value_of(f, PEN_SPAN_LIT("code="), &v)) {
			out->temporary |= pen_span_eq(v, PEN_SPAN_LIT("temp_fail"));
		}
	}
	return true;
}

bool auth_line_parse(struct pen_span line, struct auth_line *out)
{
	struct pen_span word;

	*out = (struct auth_line){.kind = AUTH_LINE_OTHER};
	if (line.n == 0 || !next_field(&line, &word))
		return true;
	if (pen_span_eq(word, PEN_SPAN_LIT("VERSION"))) {
		out->kind = AUTH_LINE_VERSION;
		return take_number(&line, &out->major);
	}
	if (pen_span_eq(word, PEN_SPAN_LIT("MECH"))) {
		out->kind = AUTH_LINE_MECH;
		return parse_mech(line, out);
	}
	if (pen_span_eq(word, PEN_SPAN_LIT("CONT"))) {
		out->kind = AUTH_LINE_CONT;
		return parse_cont(line, out);
	}
	if (pen_span_eq(word, PEN_SPAN_LIT("OK")) || pen_span_eq(word, PEN_SPAN_LIT("FAIL"))) {
		out->kind = word.n == 2 ? AUTH_LINE_OK : AUTH_LINE_FAIL;
		return parse_end(line, out);
	}
	if (pen_span_eq(word, PEN_SPAN_LIT("DONE")))
		out->kind = AUTH_LINE_DONE;
	return true;
}
