// SPDX-License-Identifier: BSD-3-Clause

// The form in which addresses are kept and looked up, and words for sources.

#include "pen_suppression.h"

#include "pen_idn.h"

static const struct pen_span words[PEN_SUPPRESSION_SOURCES] = {
	[PEN_SUPPRESSION_OPERATOR] = PEN_SPAN_LIT("operator"),
	[PEN_SUPPRESSION_BOUNCE] = PEN_SPAN_LIT("bounce"),
	[PEN_SUPPRESSION_COMPLAINT] = PEN_SPAN_LIT("complaint"),
	[PEN_SUPPRESSION_IMPORT] = PEN_SPAN_LIT("import"),
};

const char *pen_suppression_source_word(unsigned source)
{
	return source < PEN_SUPPRESSION_SOURCES ? (const char *)words[source].p : "unknown";
}

enum pen_suppression_source pen_suppression_source_parse(struct pen_span word)
{
	enum pen_suppression_source i = 0;

	while (i < PEN_SUPPRESSION_SOURCES && !pen_span_ieq(word, words[i]))
		i++;
	return i;
}

// Beyond ASCII only the domain is mapped: what is one letter to a local part is for
// its own server to know.
static size_t fold_local(char *out, struct pen_span local)
{
	for (size_t i = 0; i < local.n; i++) {
		uint8_t c = local.p[i];
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	return local.n;
}

static bool printable(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

const char *pen_suppression_address(char out[PEN_SUPPRESSION_ADDRESS_MAX + 1], struct pen_span text)
{
	const uint8_t *at = text.n > 0 ? memrchr(text.p, '@', text.n) : NULL;
	char ascii[PEN_IDN_NAME_MAX];
	size_t n = 0;

	if (text.n == 0)
		return "it is empty";
	if (!printable(text))
		return "it has control characters";
	if (at == NULL && text.p[0] != '.')
		return "accepted is user@domain, @domain or .domain";
	struct pen_span domain = pen_span_from(text, at != NULL ? (size_t)(at - text.p) + 1 : 1);
	if (domain.n == 0)
		return "it has no domain";
	if (domain.p[0] == '[') { // a literal has no other form
		if (text.n > PEN_SUPPRESSION_ADDRESS_MAX)
			return "it is too long";
		out[fold_local(out, text)] = '\0';
		return NULL;
	}
	const char *why = pen_idn_to_ascii(ascii, domain);
	if (why != NULL)
		return why;
	if (ascii[0] == '\0' || strpbrk(ascii, " ,;<>()\"") != NULL)
		return "its domain is none";
	size_t local = text.n - domain.n;
	if (local + strlen(ascii) > PEN_SUPPRESSION_ADDRESS_MAX)
		return "it is too long";
	n = fold_local(out, pen_span(text.p, local));
	memcpy(out + n, ascii, strlen(ascii) + 1);
	return NULL;
}
