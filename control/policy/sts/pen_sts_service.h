// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The MTA-STS policies of domains: discovery over DNS, HTTPS fetch with libcurl,
// and a cache on disk.
//
// Threads: lives on the resolver's thread (pen_dns_query.h); lookups and their
//          callbacks happen there. Fetches are asynchronous on the same loop and
//          never block it.
// Memory:  at most `cache` policies; the least recently used go first, never a
//          policy in enforce mode before its expiry unless all are.
// Limits:  a lookup answers within sts_timeout; with a cached policy at once.

#include "pen_dns_query.h"
#include "pen_params.h"
#include "pen_sts.h"

struct pen_sts_service;

// NULL with one sentence in err. The cache is <queue_directory>/mta-sts/.
struct pen_sts_service *pen_sts_service_new(
	const struct pen_params *params, struct pen_dns *dns, char *err, size_t cap);
void pen_sts_service_free(struct pen_sts_service *s); // after pen_dns_free's thread has ended

// `policy` NULL: the domain has none. With a `failure` other than NONE in the
// policy, mode NONE: it could not be had, and nothing was cached.
typedef void pen_sts_fn(void *ctx, const struct pen_sts_policy *policy);
void pen_sts_lookup(struct pen_sts_service *s, const char *domain, pen_sts_fn *fn, void *ctx);

#define PEN_STS_COUNTERS(X)                                                                        \
	X(lookups, "domains looked up")                                                            \
	X(cached, "answered from the cache")                                                       \
	X(records, "domains with an _mta-sts record")                                              \
	X(fetches, "policy files fetched")                                                         \
	X(fetch_errors, "fetches that failed: DNS, connection, status, size, time")                \
	X(webpki_invalid, "fetches refused because of the certificate")                            \
	X(invalid, "policy files with errors")                                                     \
	X(refreshed, "policies refreshed before they were needed")                                 \
	X(evicted, "policies dropped because the cache was full")
PEN_COUNTERS_DECLARE(pen_sts, PEN_STS_COUNTERS);
struct pen_counter_set pen_sts_counters_of(const struct pen_sts_service *s);
