// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which TLS policy a host gets: a pure function of the configuration and of what
// was looked up. No DNS, no clock, no files after loading.
//
//   settings (once)  +  next hop, demand     -> pen_tls_site_decide: base level,
//                                                what has to be looked up
//   site decision    +  host, TLSA, STS      -> pen_tls_host_decide: the policy
//
// Rules: tls-policy.md parts 2, 3 and 5.5 to 5.6. What a policy means for a
// session is base/pen_tls_session.h.
//
// Threads: settings are read-only after loading; all else is on the caller's stack.

#include "pen_config.h"
#include "pen_dns_query.h"
#include "pen_nexthop.h"
#include "pen_tls_policy.h"

struct pen_tls_settings;

// What a profile is made of (tls/pen_tls_profile.h without its dependency).
// Equal specs are one profile. Strings belong to the settings, except in a call for
// a value that a pattern table made: those are the caller's and must be copied.
struct pen_tls_profile_spec {
	uint8_t trust; // enum pen_tls_profile_trust
	bool judged;   // chains are verified although no handshake ends because of them
	uint32_t exclude_protocols; // PEN_TLS_NO_ bits
	const char *ciphers; // resolved names, ":"-separated; "" none is left: a set-up failure
	// tafile= or smtp_tls_trust_anchor_file; several are joined by newlines. NULL: none.
	const char *anchor_file;
};

// The profile for a spec: a pointer to put into policies, or NULL with a reason.
// Called while settings load for all that tables name and main.cf can lead to, and
// in pen_tls_host_decide for values that pattern tables make. A level above may
// whose profile cannot be had defers mail; may then goes without TLS.
typedef const void *pen_tls_profile_fn(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap);

// pen_tls_settings_new reads the smtp_tls_* and smtp_requiretls_* parameters and
// their tables. NULL after reported errors. Broken table values are no error:
// mail they concern is deferred, and each is reported as a warning. The
// configuration must outlive the settings. `profile` NULL: policies have none, for
// tools that only explain.
struct pen_tls_settings *pen_tls_settings_new(
	const struct pen_config *c, pen_tls_profile_fn *profile, void *ctx, struct pen_report *r);
void pen_tls_settings_free(struct pen_tls_settings *s);

// Where a level came from, for explain and the log.
struct pen_tls_rule {
	char text[512]; // "smtp_tls_policy_maps texthash:/etc/x line 3: .example.com encrypt"
};

struct pen_tls_attributes; // of a policy table's value; private

struct pen_tls_site_decision {
	// Before DANE and STS, and before smtp_tls_per_site's entry for the host;
	// INVALID: `why`.
	enum pen_tls_level level;
	bool invalid;
	struct pen_dsn why;
	enum pen_tls_demand demand; // as given
	enum pen_requiretls requiretls;
	bool from_table;   // smtp_tls_policy_maps decided: STS does not apply on top
	bool want_tlsa;    // TLSA records of secure hosts are to be looked up
	bool want_sts;     // the domain's MTA-STS policy is to be looked up
	bool want_tlsrpt;  // sessions are to be reported
	char nexthop[256]; // bare, A-labels
	const struct pen_tls_attributes *attributes; // of the table's value, or NULL
	struct pen_tls_rule rule;
	char warning[512]; // "" or what the log should say
	void *owned;       // pen_tls_site_decision_fini
};

// `nexthop_text`: the next hop verbatim as it was routed, which is what tables are
// keyed by ("example.com:submission" is not "example.com:587"); NULL: canonical.
// The decision borrows from the settings, until pen_tls_site_decision_fini.
// `lmtp`: lmtp_requiretls_policy instead of smtp_requiretls_policy.
void pen_tls_site_decide(const struct pen_tls_settings *s, const struct pen_nexthop *nexthop,
	const char *nexthop_text, enum pen_tls_demand demand, bool lmtp,
	struct pen_tls_site_decision *out);
void pen_tls_site_decision_fini(struct pen_tls_site_decision *d);

// TLSA of one base domain.
struct pen_tlsa_lookup {
	bool asked;
	enum pen_dns_status status;
	bool secure;
	char base[256]; // the name below _port._tcp
	uint32_t n;
	const struct pen_tlsa *record; // raw, as published
};

struct pen_tls_host_facts {
	const char *host;      // as known: the MX name (the query name)
	const char *canonical; // "" or the end of its CNAME chain
	bool literal;          // an address, no name
	bool from_mx, mx_secure, addr_secure, alias_secure;
	const char *domain_canonical; // "" or where the next hop's alias leads
	uint16_t port;
	struct pen_tlsa_lookup tlsa[2];   // in the order asked: [0] canonical or host, [1] host
	const struct pen_sts_policy *sts; // or NULL
	bool engine;                      // TLS can be had
};

// Which TLSA base domains are to be asked, in order; 0 when none (the level then
// follows without). After a lookup that found records, or failed, no more.
uint32_t pen_tls_tlsa_names(const struct pen_tls_settings *s,
	const struct pen_tls_site_decision *site, const struct pen_tls_host_facts *facts,
	char name[2][256]);

// Precedence: a table's word, then DANE that secures the next hop, then MTA-STS. A
// `halfdane` host is not secured: whoever forges the unsigned MX chooses it, so an
// enforced MTA-STS policy stands above.
//
// A new policy, one reference; NULL when out of memory. `warning` (512 bytes) is
// set to what the log should say, or "".
struct pen_tls_policy *pen_tls_host_decide(const struct pen_tls_settings *s,
	const struct pen_tls_site_decision *site, const struct pen_tls_host_facts *facts,
	char warning[512]);
