// SPDX-License-Identifier: BSD-3-Clause
#include "pen_tls_per_site.h"

enum pen_tls_per_site pen_tls_per_site_parse(struct pen_span text)
{
	static const char *const names[] = {[PEN_PER_SITE_MAY] = "MAY",
		[PEN_PER_SITE_NONE] = "NONE",
		[PEN_PER_SITE_MUST_NOPEERMATCH] = "MUST_NOPEERMATCH",
		[PEN_PER_SITE_MUST] = "MUST"};

	text = pen_span_trim(text);
	for (int k = PEN_PER_SITE_MAY; k <= PEN_PER_SITE_MUST; k++) {
		if (pen_span_ieq(text, pen_span_cstr(names[k])))
			return (enum pen_tls_per_site)k;
	}
	return PEN_PER_SITE_BAD;
}

enum pen_tls_level pen_tls_legacy_global(bool use, bool enforce, bool peername)
{
	if (enforce)
		return peername ? PEN_TLS_VERIFY : PEN_TLS_ENCRYPT;
	return use ? PEN_TLS_MAY : PEN_TLS_NONE;
}

enum pen_tls_per_site pen_tls_per_site_combine(
	enum pen_tls_per_site host, enum pen_tls_per_site nexthop)
{
	// The enumeration is in the order of strength.
	return host > nexthop ? host : nexthop;
}

enum pen_tls_level pen_tls_per_site_level(enum pen_tls_level global, enum pen_tls_per_site combined)
{
	switch (combined) {
	case PEN_PER_SITE_NO_MATCH:
		return global;
	case PEN_PER_SITE_MAY:
		return global > PEN_TLS_MAY ? global : PEN_TLS_MAY;
	case PEN_PER_SITE_NONE:
		return PEN_TLS_NONE;
	case PEN_PER_SITE_MUST_NOPEERMATCH:
		return PEN_TLS_ENCRYPT;
	case PEN_PER_SITE_MUST:
		return PEN_TLS_VERIFY;
	default:
		return PEN_TLS_INVALID;
	}
}
