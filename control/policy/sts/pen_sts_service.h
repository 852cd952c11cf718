// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The MTA-STS policies of domains: discovery over DNS, HTTPS fetch with libcurl,
// and a cache on disk.
//
// Threads: lives on the resolver's thread (pen_dns_query.h); everything but
//          _new and _free happens there. Fetches are asynchronous on the same loop and
//          never block it.
// Memory:  at most `cache` policies; the least recently used go first, never a
//          policy in enforce mode before its expiry unless all are.
// Limits:  a lookup answers within mta_sts_timeout; with a cached policy at once.
//          64 fetches run at a time, 4096 wait; a fetch takes at most 60 s, a
//          policy file 64 KiB.
// Files:   one for each domain; written by a thread of the service's own.
// RFCs:    8461. Failures are named as in RFC 8460 (4.3).

#include "pen_dns_query.h"
#include "pen_params.h"
#include "pen_sts.h"

struct pen_sts_service;

// NULL with one sentence in err. The cache is <queue_directory>/mta-sts/.
struct pen_sts_service *pen_sts_service_new(
	const struct pen_params *params, struct pen_dns *dns, char *err, size_t cap);
// Before pen_dns_start, or after pen_dns_free: never while the resolver's thread
// runs. Lookups that have no answer by then get none.
void pen_sts_service_free(struct pen_sts_service *s);

// `policy` NULL: the domain has none. With a `failure` other than NONE in the
// policy, mode NONE: it could not be had, and nothing was cached. Borrowed for
// the callback, which never runs inside the call that asks.
typedef void pen_sts_fn(void *ctx, const struct pen_sts_policy *policy);
void pen_sts_lookup(struct pen_sts_service *s, const char *domain, pen_sts_fn *fn, void *ctx);
// Asks for the record even if a policy is cached, and fetches when its id is a
// new one: before mail fails for good. `fn` NULL: nobody waits.
void pen_sts_refresh(struct pen_sts_service *s, const char *domain, pen_sts_fn *fn, void *ctx);

// What is known of one domain.
struct pen_sts_info {
	const char *domain;
	const struct pen_sts_policy *policy; // NULL: none, only a failure
	pen_wall_us fetched, expires;        // of the policy
	pen_wall_us used;                    // last lookup; 0: none since the start
	bool busy;                           // being looked up or fetched
	enum pen_tlsrpt_result failure;      // of the last fetch; NONE: it went well
	const char *why;                     // as text; "" none
	pen_wall_us retry;                   // the failed id is not fetched again before
};
typedef void pen_sts_each_fn(void *ctx, const struct pen_sts_info *info);
// Calls fn for each domain in no order, inside the call; `domain` NULL: all.
void pen_sts_each(struct pen_sts_service *s, const char *domain, pen_sts_each_fn *fn, void *ctx);

#define PEN_STS_COUNTERS(X)                                                                        \
	X(lookups, "domains looked up")                                                            \
	X(cached, "answered from the cache")                                                       \
	X(records, "domains with an _mta-sts record")                                              \
	X(fetches, "policy files fetched")                                                         \
	X(fetch_errors, "fetches that failed: DNS, connection, status, size, time")                \
	X(webpki_invalid, "fetches refused because of the certificate")                            \
	X(invalid, "policy files with errors")                                                     \
	X(refreshed, "policies refreshed before they were needed")                                 \
	X(evicted, "policies dropped because the cache was full")                                  \
	X(timeouts, "lookups answered before the policy was there")                                \
	X(bad_files, "files of the cache that were damaged and set aside")                         \
	X(store_errors, "policies that could not be written to or removed from disk")
PEN_COUNTERS_DECLARE(pen_sts, PEN_STS_COUNTERS);
struct pen_counter_set pen_sts_counters_of(const struct pen_sts_service *s);
