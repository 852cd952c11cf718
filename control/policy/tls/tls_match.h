// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lists of names and fingerprints that a certificate is compared with, and
// domain names as A-labels.

#include "pen_tls_policy.h"

// A domain as lower-case A-labels without the final dot. False: it has none (bad
// UTF-8, IDNA2008 refuses it, too long). ASCII is not checked any further.
bool tls_to_ascii(struct pen_span name, char out[256]);

enum tls_match_kind {
	TLS_MATCH_LITERAL,
	TLS_MATCH_HOSTNAME,
	TLS_MATCH_NEXTHOP,
	TLS_MATCH_DOT_NEXTHOP
};

struct tls_match {
	uint8_t kind; // enum tls_match_kind
	bool domain;  // a literal ".example.com"
	char *name;   // literals: A-labels, without the leading dot
};

struct tls_match_list {
	struct tls_match *item;
	uint32_t n;
};

// Adds the strategies of a list separated by `separators`. NULL, or what is wrong.
const char *tls_match_add(
	struct tls_match_list *list, struct pen_span text, const char *separators);
void tls_match_fini(struct tls_match_list *list);
// The names that the list means for this host, as the policy's. False: no memory.
bool tls_match_fill(const struct tls_match_list *list, struct pen_tls_policy *p);
// One more name.
bool tls_name_add(struct pen_tls_policy *p, const char *name, bool domain);

struct tls_fingerprints {
	struct pen_tls_fingerprint *item;
	uint32_t n;
};

// Hex digests of exactly the algorithm's length; colons between bytes are optional.
const char *tls_fingerprint_add(struct tls_fingerprints *list, struct pen_span text,
	const char *separators, enum pen_tls_digest digest);
