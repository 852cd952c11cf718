// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The legacy table smtp_tls_per_site and the legacy booleans, as pure functions.
// Follows: Postfix 2.3 and later (TLS_LEGACY_README).

#include "pen_tls_policy.h"

enum pen_tls_per_site {
	PEN_PER_SITE_NO_MATCH,
	PEN_PER_SITE_MAY,
	PEN_PER_SITE_NONE,
	PEN_PER_SITE_MUST_NOPEERMATCH,
	PEN_PER_SITE_MUST,
	PEN_PER_SITE_BAD, // no keyword: the policy is invalid
};

// In any case; BAD for anything unknown, never NO_MATCH.
enum pen_tls_per_site pen_tls_per_site_parse(struct pen_span text);
// The global level of smtp_use_tls, smtp_enforce_tls, smtp_tls_enforce_peername.
enum pen_tls_level pen_tls_legacy_global(bool use, bool enforce, bool peername);
// What the entries for the host and for the next hop say together.
enum pen_tls_per_site pen_tls_per_site_combine(
	enum pen_tls_per_site host, enum pen_tls_per_site nexthop);
enum pen_tls_level pen_tls_per_site_level(
	enum pen_tls_level global, enum pen_tls_per_site combined);
