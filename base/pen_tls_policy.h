// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What TLS policy demands of one server host, as an immutable value.
//
// control/policy decides and builds it; the scheduler carries it with the hosts
// of a site; a worker obeys it; tls/ checks certificates against it. Nobody
// changes one after pen_tls_policy_new's caller has filled it in.
//
// Threads: shared by reference; ref and unref are atomic. A worker only reads
//          what its lease points to; the scheduler holds the reference.
// Memory:  one reference per holder; the last unref frees all that it owns.
// Follows: RFC 7672, 8461, 8689; Postfix 3.11 (TLS_README, REQUIRETLS).

#include "pen_dsn.h"

// Security levels. The order is Postfix's and is relied on: TLS is required
// above MAY, a matching certificate above ENCRYPT, PKIX from VERIFY on.
enum pen_tls_level {
	PEN_TLS_INVALID = -1, // the policy is broken: nothing is sent
	PEN_TLS_NONE,
	PEN_TLS_MAY,
	PEN_TLS_ENCRYPT,
	PEN_TLS_FINGERPRINT,
	PEN_TLS_HALFDANE, // TLSA of a host that an unsigned MX named; not configurable
	PEN_TLS_DANE,
	PEN_TLS_DANE_ONLY,
	PEN_TLS_VERIFY,
	PEN_TLS_SECURE,
	PEN_TLS_LEVELS,
};

static inline bool pen_tls_required(enum pen_tls_level l)
{
	return l > PEN_TLS_MAY;
}
static inline bool pen_tls_must_match(enum pen_tls_level l)
{
	return l > PEN_TLS_ENCRYPT;
}
static inline bool pen_tls_is_dane(enum pen_tls_level l)
{
	return l >= PEN_TLS_HALFDANE && l <= PEN_TLS_DANE_ONLY;
}

// "none", "may", ... "dane-only"; "unknown" for INVALID.
const char *pen_tls_level_name(enum pen_tls_level l);
// Reads a configurable level, any case; PEN_TLS_INVALID for anything else.
enum pen_tls_level pen_tls_level_parse(struct pen_span text);

// What the mail itself asks for. Mail of different demands never shares a
// connection: it is part of what a next hop is resolved for.
enum pen_tls_demand {
	PEN_DEMAND_NONE,
	PEN_DEMAND_REQUIRETLS,   // MAIL ... REQUIRETLS (RFC 8689)
	PEN_DEMAND_NOT_REQUIRED, // header "TLS-Required: no"
};

// smtp_requiretls_policy for this destination. For mail without REQUIRETLS:
// DISABLE. Numeric order as in Postfix.
enum pen_requiretls {
	PEN_REQUIRETLS_DISABLE,
	PEN_REQUIRETLS_OPPORTUNISTIC,
	PEN_REQUIRETLS_STARTTLS, // "opportunistic+starttls"
	PEN_REQUIRETLS_ENFORCE,
};

// A reference name that a certificate must have.
struct pen_tls_name {
	bool domain; // ".example.com": any name below it, not itself
	char *name;  // lower case, A-labels, without the leading dot
};

struct pen_tls_fingerprint {
	uint8_t n; // bytes: 16, 20, 32, 48 or 64
	uint8_t digest[64];
};

#define PEN_TLSA_DATA_MAX 4096 // longer data is unusable
#define PEN_TLSA_MAX 32        // records of one host that are looked at

struct pen_tlsa {
	uint8_t usage, selector, mtype;
	uint16_t n;
	const uint8_t *data;
};

enum pen_tls_digest {
	PEN_DIGEST_MD5,
	PEN_DIGEST_SHA1,
	PEN_DIGEST_SHA256,
	PEN_DIGEST_SHA384,
	PEN_DIGEST_SHA512
};

// policy-type of a TLSRPT report (RFC 8460 4.4).
enum pen_tlsrpt_policy_type {
	PEN_TLSRPT_NO_POLICY,
	PEN_TLSRPT_TLSA,
	PEN_TLSRPT_STS,
};

// result-type of RFC 8460 4.3, in the order of the failure being looked for.
enum pen_tlsrpt_result {
	PEN_TLSRPT_NONE, // no event: nothing to report
	PEN_TLSRPT_SUCCESS,
	PEN_TLSRPT_STARTTLS_NOT_SUPPORTED,
	PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH,
	PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED,
	PEN_TLSRPT_CERTIFICATE_EXPIRED,
	PEN_TLSRPT_VALIDATION_FAILURE,
	PEN_TLSRPT_TLSA_INVALID,
	PEN_TLSRPT_DNSSEC_INVALID,
	PEN_TLSRPT_DANE_REQUIRED,
	PEN_TLSRPT_STS_POLICY_FETCH_ERROR,
	PEN_TLSRPT_STS_POLICY_INVALID,
	PEN_TLSRPT_STS_WEBPKI_INVALID,
	PEN_TLSRPT_RESULTS,
};
// "starttls-not-supported", ...; "success" and "none" too.
const char *pen_tlsrpt_result_name(enum pen_tlsrpt_result r);

// What a report about sessions under this policy says. `domain` NULL: no report.
struct pen_tls_report {
	char *domain; // whose TXT record is asked: the bare next hop, A-labels
	enum pen_tlsrpt_policy_type type;
	char *policy_domain;
	char **string; // policy-string, NULL-terminated; may be NULL
	char **mx;     // mx-host patterns, NULL-terminated; may be NULL
	// Sessions go on, but are reported as this in place of success: the MTA-STS
	// policy could not be had, is in testing mode and does not name the host, or
	// no TLSA record can be used. PEN_TLSRPT_NONE: what the session showed.
	enum pen_tlsrpt_result note;
};

struct pen_tls_policy {
	int refs;
	// The host as it is known: for logs, and as the name that certificates
	// are compared with under "hostname".
	char host[256];
	char nexthop[256]; // bare next hop, A-labels

	enum pen_tls_level level; // what the session starts with
	// A host that must not be contacted: `skip` says why (4.7.5, 5.7.10...).
	bool skipped;
	enum pen_tls_level skip_level; // for the tls= field
	struct pen_dsn skip;
	// The event that a skip, or a connection that fails by design
	// (policy_failure=), is reported as; PEN_TLSRPT_NONE: none.
	enum pen_tlsrpt_result failure;

	enum pen_tls_demand demand;
	enum pen_requiretls requiretls;
	bool requiretls_strict;  // smtp_requiretls_strict
	bool one_use;            // connection_reuse=no: one message for each connection
	bool wrapper;            // TLS from the first byte
	bool offers_credentials; // AUTH would be used: no plaintext retry

	char *servername; // SNI; NULL: none
	struct pen_tls_name *name;
	uint32_t nnames;
	bool no_common_name; // MTA-STS: only dNSName entries count
	enum pen_tls_digest digest;
	struct pen_tls_fingerprint *fingerprint;
	uint32_t nfingerprints;
	struct pen_tlsa *tlsa; // DANE levels: the usable ones, after digest agility
	uint32_t ntlsa;

	// A struct pen_tls_profile (tls/pen_tls_profile.h): protocols, ciphers,
	// trust anchors, client certificate. Not owned: profiles live as long as the
	// daemon. NULL: the level is NONE, or the engine is not available.
	const void *profile;
	// Equal for policies whose sessions may stand for each other: part of the
	// key of stored TLS sessions, and of what makes a site.
	uint64_t identity;

	// Which rule decided: "smtp_tls_policy_maps texthash:/etc/... line 3: .example.com".
	char *rule;
	struct pen_tls_report report;
};

// NULL: out of memory. One reference; everything else zero; level NONE.
struct pen_tls_policy *pen_tls_policy_new(void);
struct pen_tls_policy *pen_tls_policy_ref(const struct pen_tls_policy *p);
void pen_tls_policy_unref(const struct pen_tls_policy *p); // NULL is fine
// A policy with nothing but a level: for tools and tests without rules.
struct pen_tls_policy *pen_tls_policy_plain(enum pen_tls_level level, const char *host);
