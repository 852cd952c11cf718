// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From a next hop to the hosts that take its mail: MX and address lookups.
//
// Threads: pen_dns_new, _start and _free belong to one thread (main).
//          pen_dns_resolve may be called from any thread. Results are delivered
//          on the resolver's own thread, one callback for each accepted request.
// Memory:  at most PEN_DNS_REQUESTS_MAX requests wait or run; beyond it
//          pen_dns_resolve refuses. Lookups in flight are limited too
//          (dns_concurrency); what is beyond waits its turn.
// Limits:  a request ends within dns_timeout, with 4.4.3 if need be.
// RFCs:    5321 (5), 7505 (null MX), 1035, 5891 (IDNA).

#include "pen_counter.h"
#include "pen_delivery.h"
#include "pen_params.h"

#define PEN_DNS_REQUESTS_MAX 16384
#define PEN_DNS_LOOKUPS_MAX 16384 // single questions (pen_dns_query.h) that wait or run

struct pen_dns_host {
	char name[PEN_HOST_NAME_MAX + 1]; // lower case; of a literal: its text
	struct pen_addr addr;
	uint16_t port;
	uint16_t preference;
	bool secure; // the address answer was validated, CNAMEs included
	// The host's name is an alias: where it leads. "" when it is none.
	char canonical[PEN_HOST_NAME_MAX + 1];
	// The alias itself was validated although what it leads to was not.
	bool alias_secure;
};

struct pen_dns_hosts {
	struct pen_dsn dsn; // class 2: `host` has at least one; else why not
	uint32_t nhosts;
	struct pen_dns_host
		host[PEN_LEASE_HOSTS_MAX]; // in the order to try: preference, then shuffled, family
					   // balanced, cut to the address limit
	// The set of receiving hosts as text: sorted names joined by "," then
	// ":port". Domains with one MX set share it. Empty when the lookup failed.
	char *site;
	uint32_t ttl_s; // how long this may be used, a failure too
	bool from_mx;   // an MX answer named the hosts
	bool secure;    // every answer used was validated by DNSSEC
	bool mx_secure; // the MX answer was (from_mx)
	// The next hop's domain is an alias: where its MX records are. Else "".
	char domain_canonical[PEN_HOST_NAME_MAX + 1];
	bool self_removed; // we are one of the hosts: we and those behind us were dropped
	bool loops;        // 5.4.6, because we are the best host: best_mx_transport may take it
	char warning[256]; // "" or something that an operator should see
};

#define PEN_DNS_COUNTERS(X)                                                                        \
	X(requests, "next hops to resolve")                                                        \
	X(resolved, "next hops with at least one address")                                         \
	X(failed_soft, "next hops that failed temporarily (4.x.x)")                                \
	X(failed_hard, "next hops that failed for good (5.x.x)")                                   \
	X(deadlines, "next hops given up at dns_timeout")                                          \
	X(loops, "next hops that led back to us")                                                  \
	X(null_mx, "domains that accept no mail")                                                  \
	X(queries, "single questions, for TLSA, policies and reports")                             \
	X(queries_refused, "single questions refused because too many waited")                     \
	X(query_deadlines, "single questions given up at dns_timeout")                             \
	X(lookups, "questions put to the resolver")                                                \
	X(cached, "answers that were there at once")                                               \
	X(prefetches, "questions repeated for names in use")                                       \
	X(native, "host names looked up by the system")                                            \
	X(native_failures, "host names that the system could not look up")                         \
	X(answers, "answers with data")                                                            \
	X(nodata, "answers without data of the type")                                              \
	X(nxdomain, "answers that the name does not exist")                                        \
	X(failures, "no answer, or SERVFAIL and the like")                                         \
	X(bogus, "answers refused by DNSSEC validation")                                           \
	X(malformed, "answers that could not be read")                                             \
	X(cname_loops, "answers with CNAMEs that never end")                                       \
	X(records_cut, "answers with more records than are looked at")                             \
	X(bad_names, "answers with MX or CNAME names that no host can have")                       \
	X(txt_cut, "TXT records that were too long")                                               \
	X(tlsa_cut, "TLSA records that were too long")
PEN_COUNTERS_DECLARE(pen_dns, PEN_DNS_COUNTERS);

struct pen_dns;

// Takes over `hosts`, which the callee frees with pen_dns_hosts_free. Runs on the
// resolver thread.
typedef void pen_dns_fn(void *ctx, struct pen_dns_hosts *hosts);

// pen_dns_new sets up the resolver from the dns_* and smtp_* parameters; NULL
// with one sentence in err. `seed` orders hosts of equal preference.
struct pen_dns *pen_dns_new(const struct pen_params *params, uint64_t seed, char *err, size_t cap);
// pen_dns_add_own tells an address that is us, beside loopback, smtpd_listen and
// proxy_interfaces: a source address. Before pen_dns_start. 0 or -ENOMEM.
int pen_dns_add_own(struct pen_dns *dns, const struct pen_addr *addr);
// pen_dns_start starts the thread; 0 or -errno.
int pen_dns_start(struct pen_dns *dns);
// pen_dns_resolve asks for a next hop (pen_nexthop.h). 0: the callback will
// come, also for bad text; -EAGAIN: too many requests; -ENOMEM.
int pen_dns_resolve(struct pen_dns *dns, struct pen_span nexthop, pen_dns_fn *fn, void *ctx);
enum {
	// The next hop is relayhost: what would bounce is the operator's mistake
	// and becomes 4.3.5.
	PEN_DNS_RELAYHOST = 1 << 0,
};
// pen_dns_resolve_for is pen_dns_resolve with PEN_DNS_* flags.
int pen_dns_resolve_for(
	struct pen_dns *dns, struct pen_span nexthop, unsigned flags, pen_dns_fn *fn, void *ctx);
// pen_dns_free stops the thread. Requests that are left get 4.4.3 from it.
void pen_dns_free(struct pen_dns *dns);
void pen_dns_hosts_free(struct pen_dns_hosts *hosts);
struct pen_counter_set pen_dns_counters_of(const struct pen_dns *dns);
