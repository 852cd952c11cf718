// SPDX-License-Identifier: BSD-3-Clause
#include "tls_ciphers.h"

#include "pen_tls_profile.h"

#include <ctype.h>
#include <stdlib.h>

static const char *const versions[] = {"SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
#define NVERSIONS ((int)(sizeof(versions) / sizeof(versions[0])))

// The index of a version by name, or by its number on the wire in hex; -1: none.
static int version(struct pen_span s)
{
	static const char *const wire[] = {"0200", "0300", "0301", "0302", "0303", "0304"};

	for (int i = 0; i < NVERSIONS; i++) {
		if (pen_span_ieq(s, pen_span_cstr(versions[i])) ||
			pen_span_eq(s, pen_span_cstr(wire[i])) ||
			(pen_span_istarts(s, PEN_SPAN_LIT("0x")) &&
				pen_span_eq(pen_span_from(s, 2), pen_span_cstr(wire[i]))))
			return i;
	}
	return -1;
}

static bool next_item(struct pen_span *rest, struct pen_span *item)
{
	size_t n = 0;

	while (rest->n > 0 && (strchr(":,", rest->p[0]) != NULL || isspace(rest->p[0])))
		*rest = pen_span_from(*rest, 1);
	while (n < rest->n && rest->p[n] != ':' && rest->p[n] != ',' && !isspace(rest->p[n]))
		n++;
	*item = pen_span(rest->p, n);
	*rest = pen_span_from(*rest, n);
	return n > 0;
}

bool tls_protocols_parse(struct pen_span list, uint32_t *exclude)
{
	unsigned only = 0, without = 0;
	int low = 0, high = NVERSIONS - 1, v;
	struct pen_span item;

	while (next_item(&list, &item)) {
		bool at_least = pen_span_istarts(item, PEN_SPAN_LIT(">="));
		bool at_most = pen_span_istarts(item, PEN_SPAN_LIT("<="));
		bool not = item.p[0] == '!';
		struct pen_span name = pen_span_from(item, at_least || at_most ? 2 : not ? 1 : 0);
		// An empty bound is no bound.
		if ((at_least || at_most) && name.n == 0)
			continue;
		if ((v = version(name)) < 0)
			return false;
		if (at_least)
			low = v;
		else if (at_most)
			high = v;
		else if (not )
			without |= 1u << v;
		else
			only |= 1u << v;
	}
	*exclude = 0;
	for (v = NVERSIONS - 2; v < NVERSIONS; v++) {
		bool in = v >= low && v <= high && !(without & (1u << v)) &&
			  (only == 0 || (only & (1u << v)) != 0);
		if (!in)
			*exclude |= v == NVERSIONS - 2 ? PEN_TLS_NO_TLS12 : PEN_TLS_NO_TLS13;
	}
	return true;
}

struct suite {
	const char *name;
	const char *classes; // OpenSSL's names for what it is made of
};

#define ECDSA " ECDHE kECDHE EECDH kEECDH ECDSA aECDSA "
#define ECDHE_RSA " ECDHE kECDHE EECDH kEECDH aRSA "
#define DHE_RSA " DHE kDHE EDH kEDH DH aRSA "
#define ANY "ALL HIGH TLSv1.2 "

// In the order in which they are offered: AES-128-GCM is the fastest, CBC is for
// old servers that would otherwise get plaintext.
static const struct suite suites[] = {
	{"TLS13-AES128-GCM-SHA256", NULL},
	{"TLS13-AES256-GCM-SHA384", NULL},
	{"TLS13-CHACHA20-POLY1305-SHA256", NULL},
	{"ECDHE-ECDSA-AES128-GCM-SHA256", ECDSA "AES AES128 AESGCM AEAD " ANY},
	{"ECDHE-RSA-AES128-GCM-SHA256", ECDHE_RSA "AES AES128 AESGCM AEAD " ANY},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", ECDSA "AES AES256 AESGCM AEAD " ANY},
	{"ECDHE-RSA-AES256-GCM-SHA384", ECDHE_RSA "AES AES256 AESGCM AEAD " ANY},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", ECDSA "CHACHA20 AEAD " ANY},
	{"ECDHE-RSA-CHACHA20-POLY1305", ECDHE_RSA "CHACHA20 AEAD " ANY},
	{"DHE-RSA-AES128-GCM-SHA256", DHE_RSA "AES AES128 AESGCM AEAD " ANY},
	{"DHE-RSA-AES256-GCM-SHA384", DHE_RSA "AES AES256 AESGCM AEAD " ANY},
	{"ECDHE-ECDSA-AES128-SHA256", ECDSA "AES AES128 AESCBC CBC SHA256 " ANY},
	{"ECDHE-RSA-AES128-SHA256", ECDHE_RSA "AES AES128 AESCBC CBC SHA256 " ANY},
	{"ECDHE-RSA-AES256-SHA384", ECDHE_RSA "AES AES256 AESCBC CBC SHA384 " ANY},
	{"ECDHE-ECDSA-AES128-SHA", ECDSA "AES AES128 AESCBC CBC SHA SHA1 " ANY},
	{"ECDHE-RSA-AES128-SHA", ECDHE_RSA "AES AES128 AESCBC CBC SHA SHA1 " ANY},
	{"ECDHE-RSA-AES256-SHA", ECDHE_RSA "AES AES256 AESCBC CBC SHA SHA1 " ANY},
};

// The IETF names of the TLS 1.3 suites, in the same order.
static const char *const ietf[] = {
	"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};

static bool has_class(const char *classes, struct pen_span word)
{
	struct pen_span rest = pen_span_cstr(classes), one;

	while (next_item(&rest, &one)) {
		if (pen_span_eq(one, word))
			return true;
	}
	return false;
}

// "A+B": a suite is meant that belongs to both.
static bool is_meant(const struct suite *s, struct pen_span term)
{
	if (pen_span_eq(term, pen_span_cstr(s->name)))
		return true;
	if (s->classes == NULL)
		return pen_span_eq(term, pen_span_cstr(ietf[s - suites]));
	for (;;) {
		ptrdiff_t plus = pen_span_find(term, '+');
		struct pen_span word = plus < 0 ? term : pen_span(term.p, (size_t)plus);
		if (!has_class(s->classes, word))
			return false;
		if (plus < 0)
			return true;
		term = pen_span_from(term, (size_t)plus + 1);
	}
}

static bool is_excluded(const struct suite *s, const struct pen_span *exclude, size_t n)
{
	struct pen_span term;

	for (size_t i = 0; i < n; i++) {
		struct pen_span rest = exclude[i];
		while (next_item(&rest, &term)) {
			if (is_meant(s, term))
				return true;
		}
	}
	return false;
}

bool tls_ciphers_resolve(struct pen_span grade, uint32_t exclude_protocols,
	const struct pen_span *exclude, size_t nexclude, char out[TLS_CIPHERS_MAX])
{
	static const char *const grades[] = {"medium", "high", "low", "export"};
	size_t n = 0;
	bool known = pen_span_ieq(grade, PEN_SPAN_LIT("null")), any = false;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(grades) / sizeof(grades[0]); i++)
		any = any || pen_span_ieq(grade, pen_span_cstr(grades[i]));
	// No cipher of the build leaves mail unencrypted: null has none.
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]) && any; i++) {
		const struct suite *s = &suites[i];
		uint32_t version_bit = s->classes == NULL ? PEN_TLS_NO_TLS13 : PEN_TLS_NO_TLS12;
		size_t len = strlen(s->name);
		if ((exclude_protocols & version_bit) || is_excluded(s, exclude, nexclude))
			continue;
		if (n > 0)
			out[n++] = ':';
		memcpy(out + n, s->name, len + 1);
		n += len;
	}
	return any || known;
}
