// SPDX-License-Identifier: BSD-3-Clause
#include "tls_match.h"

#include <ctype.h>
#include <idn2.h>
#include <stdlib.h>

bool tls_to_ascii(struct pen_span name, char out[256])
{
	bool ascii = true;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > 255)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == 0)
			return false;
		ascii = ascii && name.p[i] < 0x80;
		out[i] = (char)tolower(name.p[i]);
	}
	out[name.n] = '\0';
	if (ascii)
		return true;
	char *converted = NULL;
	char in[256];
	memcpy(in, name.p, name.n);
	in[name.n] = '\0';
	int rc = idn2_to_ascii_8z(in, &converted, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	bool ok = rc == IDN2_OK && strlen(converted) < 254;
	if (ok)
		strcpy(out, converted);
	idn2_free(converted);
	return ok;
}

// Takes the next item; `separators` are bytes, white space always is one.
static bool next_item(struct pen_span *rest, const char *separators, struct pen_span *item)
{
	size_t n = 0;

	while (rest->n > 0 && (isspace(rest->p[0]) ||
				      (rest->p[0] != 0 && strchr(separators, rest->p[0]) != NULL)))
		*rest = pen_span_from(*rest, 1);
	while (n < rest->n && !isspace(rest->p[n]) &&
		(rest->p[n] == 0 || strchr(separators, rest->p[n]) == NULL))
		n++;
	*item = pen_span(rest->p, n);
	*rest = pen_span_from(*rest, n);
	return n > 0;
}

static const char *parse_one(struct tls_match *m, struct pen_span item)
{
	char name[256];

	*m = (struct tls_match){.kind = TLS_MATCH_LITERAL};
	if (pen_span_ieq(item, PEN_SPAN_LIT("hostname"))) {
		m->kind = TLS_MATCH_HOSTNAME;
	} else if (pen_span_ieq(item, PEN_SPAN_LIT("nexthop"))) {
		m->kind = TLS_MATCH_NEXTHOP;
	} else if (pen_span_ieq(item, PEN_SPAN_LIT("dot-nexthop"))) {
		m->kind = TLS_MATCH_DOT_NEXTHOP;
	} else {
		m->domain = item.p[0] == '.';
		if (!tls_to_ascii(pen_span_from(item, m->domain ? 1 : 0), name))
			return "a name to match is no domain name";
		m->name = strdup(name);
		if (m->name == NULL)
			return "out of memory";
	}
	return NULL;
}

const char *tls_match_add(struct tls_match_list *list, struct pen_span text, const char *separators)
{
	struct pen_span item;

	while (next_item(&text, separators, &item)) {
		void *grown = realloc(list->item, (list->n + 1) * sizeof(*list->item));
		if (grown == NULL)
			return "out of memory";
		list->item = grown;
		const char *wrong = parse_one(&list->item[list->n], item);
		if (wrong != NULL)
			return wrong;
		list->n++;
	}
	return NULL;
}

void tls_match_fini(struct tls_match_list *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		free(list->item[i].name);
	free(list->item);
	*list = (struct tls_match_list){0};
}

bool tls_name_add(struct pen_tls_policy *p, const char *name, bool domain)
{
	void *grown = realloc(p->name, (p->nnames + 1) * sizeof(*p->name));

	if (grown == NULL)
		return false;
	p->name = grown;
	p->name[p->nnames] = (struct pen_tls_name){.domain = domain, .name = strdup(name)};
	if (p->name[p->nnames].name == NULL)
		return false;
	p->nnames++;
	return true;
}

bool tls_match_fill(const struct tls_match_list *list, struct pen_tls_policy *p)
{
	for (uint32_t i = 0; i < list->n; i++) {
		const struct tls_match *m = &list->item[i];
		const char *name = m->kind == TLS_MATCH_LITERAL    ? m->name
				   : m->kind == TLS_MATCH_HOSTNAME ? p->host
								   : p->nexthop;
		bool domain =
			m->kind == TLS_MATCH_LITERAL ? m->domain : m->kind == TLS_MATCH_DOT_NEXTHOP;
		if (!tls_name_add(p, name, domain))
			return false;
	}
	return true;
}

static int hex_digit(uint8_t c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

static bool parse_digest(struct pen_tls_fingerprint *f, struct pen_span item, unsigned want)
{
	size_t i = 0;

	*f = (struct pen_tls_fingerprint){0};
	while (i + 1 < item.n && f->n < want) {
		int high = hex_digit(item.p[i]), low = hex_digit(item.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		f->digest[f->n++] = (uint8_t)(high << 4 | low);
		i += 2;
		if (i + 1 < item.n && item.p[i] == ':')
			i++;
	}
	return i == item.n && f->n == want;
}

const char *tls_fingerprint_add(struct tls_fingerprints *list, struct pen_span text,
	const char *separators, enum pen_tls_digest digest)
{
	static const unsigned lengths[] = {[PEN_DIGEST_MD5] = 16,
		[PEN_DIGEST_SHA1] = 20,
		[PEN_DIGEST_SHA256] = 32,
		[PEN_DIGEST_SHA384] = 48,
		[PEN_DIGEST_SHA512] = 64};
	struct pen_span item;

	while (next_item(&text, separators, &item)) {
		void *grown = realloc(list->item, (list->n + 1) * sizeof(*list->item));
		if (grown == NULL)
			return "out of memory";
		list->item = grown;
		if (!parse_digest(&list->item[list->n], item, lengths[digest]))
			return "a fingerprint is no hex digest of smtp_tls_fingerprint_digest's "
			       "length";
		list->n++;
	}
	return NULL;
}
