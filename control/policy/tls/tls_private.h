// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the files that make up pen_tls_decide.h; not for others.

#include "pen_requiretls.h"
#include "pen_tls_decide.h"
#include "pen_tls_per_site.h"
#include "tls_ciphers.h"
#include "tls_match.h"

// What of a level decides about the profile.
enum tls_class {
	TLS_CLASS_TESTING, // may, under an MTA-STS policy in testing mode
	TLS_CLASS_MAY,
	TLS_CLASS_ENCRYPT,
	TLS_CLASS_FINGERPRINT,
	TLS_CLASS_DANE,
	TLS_CLASS_PKIX,
	TLS_CLASSES,
};
enum tls_class tls_class_of(enum pen_tls_level level); // above none

// A spec, what was made of it, and a hash of the spec.
struct tls_profile {
	struct pen_tls_profile_spec spec;
	const void *profile;
	bool usable;   // false: a session under it cannot be set up
	char why[192]; // not usable: the reason
	uint64_t hash;
};

// The value of a policy table, or main.cf's defaults.
struct pen_tls_attributes {
	enum pen_tls_level level; // INVALID: `why` the value is broken
	char why[128];
	char note[128];                      // usable, but odd
	char *ciphers, *protocols, *exclude; // NULL: main.cf's
	char *servername;                    // NULL: main.cf's
	struct tls_match_list match;         // verify and secure; empty: main.cf's
	struct tls_fingerprints fingerprint; // empty: main.cf's
	char *anchors;                       // tafile=, several joined by newlines
	bool one_use;                        // connection_reuse=no
	bool reported, sts;                  // policy_type= is there, is sts
	char *policy_domain;
	char **policy_string, **mx; // NULL-terminated, or NULL
	enum pen_tlsrpt_result failure;
	bool has_ttl;
	// Filled at load for the classes that the level can lead to.
	const struct tls_profile *profile[TLS_CLASSES];
};

struct pen_tls_attributes *tls_attributes_parse(struct pen_span value, enum pen_tls_digest digest);
void tls_attributes_free(struct pen_tls_attributes *a);

struct tls_digest_order {
	uint8_t rank[3]; // by matching type 1, 2: 0 is not listed, higher is preferred
};

struct pen_tls_settings {
	enum pen_tls_level global;
	char global_rule[96];
	bool required_enable, requiretls_enable, requiretls_strict, wrapper;
	bool enforce_sts_mx, sts_enable, tlsrpt_enable;
	bool dane_possible, force_tlsa;
	int insecure_mx; // a level: MAY, ENCRYPT, DANE
	struct tls_digest_order digests;
	enum pen_tls_digest digest;
	const struct pen_params *params; // the configuration outlives the settings

	struct pen_maps policy_maps, per_site;
	bool use_per_site;
	struct pen_requiretls_list *requiretls;
	struct pen_requiretls_list *lmtp_requiretls;

	struct pen_tls_attributes *defaults; // of main.cf; level is not used
	struct tls_match_list verify_match, secure_match;
	bool bad_servername;

	// Parsed values: by table, then entry; the parsed text is shared.
	struct pen_tls_attributes ***entry;
	struct pen_tls_attributes **value; // all distinct ones
	size_t nvalues, value_cap;

	pen_tls_profile_fn *profile_fn;
	void *profile_ctx;
	struct tls_profile **profile;
	size_t nprofiles;
};

// The profile for `a` and a class: the one of the settings, or made into *made.
// Text for *made lives in `ciphers`.
void tls_profile_make(const struct pen_tls_settings *s, const struct pen_tls_attributes *a,
	enum tls_class c, char ciphers[TLS_CIPHERS_MAX], struct tls_profile *made);
// While loading. False when out of memory.
bool tls_profiles_prepare_testing(struct pen_tls_settings *s, struct pen_tls_attributes *a);
bool tls_profiles_prepare(
	struct pen_tls_settings *s, struct pen_tls_attributes *a, enum pen_tls_level level);
void tls_profiles_free(struct pen_tls_settings *s);

// Values of all policy tables, parsed, with warnings about broken ones; those of
// inline tables stand in `main_cf`. False when out of memory.
bool tls_values_load(struct pen_tls_settings *s, const char *main_cf, struct pen_report *r);
void tls_values_free(struct pen_tls_settings *s);

// What a site decision keeps beyond its public fields.
struct tls_site_private {
	struct pen_tls_attributes *attributes; // of a value that was made by a pattern
	bool per_site;
	enum pen_tls_per_site keyword; // for the next hop
	char nexthop_text[PEN_NEXTHOP_MAX];
};

// The level before DANE and STS, with the legacy table's word about the host.
struct tls_base {
	enum pen_tls_level level;
	bool local; // a table said so: STS does not apply
	bool invalid;
	struct pen_dsn why;
	char rule[256]; // "" : as the site's
	char warning[256];
};
void tls_base_decide(const struct pen_tls_settings *s, const struct pen_tls_site_decision *site,
	const char *host, struct tls_base *out);

// What DANE makes of a host (tls_dane.c).
struct tls_dane {
	enum pen_tls_level level;
	bool skip;
	struct pen_dsn why;
	enum pen_tlsrpt_result failure;       // of a skip, or to be reported beside `level`
	bool decides;                         // STS has no say
	const struct pen_tlsa_lookup *lookup; // with records, or that failed
	const char *base;
	uint32_t n;
	const struct pen_tlsa *use[PEN_TLSA_MAX];
	const char *warning;
};
uint32_t tls_dane_names(const struct pen_tls_settings *s, enum pen_tls_level level,
	const struct pen_tls_host_facts *facts, const char *name[2]);
void tls_dane_decide(const struct pen_tls_settings *s, enum pen_tls_level level,
	const struct pen_tls_host_facts *facts, struct tls_dane *out);
// Which of n records are to be used, after digest agility; 0: none.
// *engine_refuses: none is, but there are some that only the engine refuses (D11):
// then those.
uint32_t tls_tlsa_select(const struct tls_digest_order *order, const struct pen_tlsa *record,
	uint32_t n, const struct pen_tlsa *use[PEN_TLSA_MAX], bool *engine_refuses);

// Does an MX host name match one of the patterns (NULL-terminated)?
bool tls_mx_allowed(char *const *pattern, uint32_t n, const char *host);

// The identity of a finished policy (tls_identity.c).
uint64_t tls_identity(const struct pen_tls_policy *p, uint64_t profile_hash);

// Text building without printf: this runs for every decision.
struct tls_text {
	char *at, *end; // end: room for the NUL
};
static inline struct tls_text tls_text(char *p, size_t cap)
{
	*p = '\0';
	return (struct tls_text){p, p + cap - 1};
}
void tls_text_add(struct tls_text *t, struct pen_span s);
static inline void tls_text_cstr(struct tls_text *t, const char *s)
{
	tls_text_add(t, pen_span_cstr(s));
}
// "parameter type:/path line 3: key value"
void tls_text_hit(struct tls_text *t, const char *param, const struct pen_map_hit *hit);

void tls_dsn_config(struct pen_dsn *d); // 4.7.5 client TLS configuration problem
