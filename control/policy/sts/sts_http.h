// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One policy file over HTTPS (RFC 8461 3.3), with libcurl on an event loop.
//
// HTTPS only, no redirect, status 200, text/plain, TLS 1.2 or later, a chain to
// a trusted authority and a dNSName for the host (never the common name). The
// addresses are given, so nothing here asks a resolver.
//
// Threads: that of the event loop. The callback never runs inside sts_http_get.
// Memory:  one body of at most PEN_STS_BODY_MAX for each request; bodies and
//          headers beyond a limit end the request at once.

#include "pen_addr.h"
#include "pen_tls_policy.h"

#define STS_HTTP_ADDRS_MAX 16

struct event_base;
struct sts_http;
struct sts_http_get;

struct sts_http_result {
	// NONE: `body` is what the host published. Else a fetch error or
	// PEN_TLSRPT_STS_WEBPKI_INVALID, and why.
	enum pen_tlsrpt_result failure;
	struct pen_span body;
	const char *why; // our own words: nothing that the host sent
};
typedef void sts_http_fn(void *ctx, const struct sts_http_result *r);

struct sts_http_request {
	const char *domain; // https://mta-sts.<domain>/.well-known/mta-sts.txt
	uint16_t port;
	uint32_t naddrs;
	const struct pen_addr *addr;
	uint32_t timeout_ms; // for all of it
	sts_http_fn *fn;
	void *ctx;
};

// `ca_file` "": the system's authorities. NULL with one sentence in err.
struct sts_http *sts_http_new(const char *ca_file, char *err, size_t cap);
// The loop is used from the first request on.
void sts_http_set_base(struct sts_http *h, struct event_base *base);
// Not on a running loop: before the first request, or after event_base_free.
// Callbacks that are due do not come.
void sts_http_free(struct sts_http *h);
// NULL: out of memory.
struct sts_http_get *sts_http_get(struct sts_http *h, const struct sts_http_request *r);
