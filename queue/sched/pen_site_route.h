// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where mail for a next hop goes: the answer of the resolver to the scheduler.
//
// A route result is a value. The resolver (DNS and TLS policy, outside this
// folder) fills one; pen_sched_on_resolved copies what it needs before it
// returns, so the caller may keep it on its stack.

#include "pen_delivery.h"

#define PEN_ROUTE_HOSTS_MAX 32
#define PEN_SITE_KEY_MAX 4096
#define PEN_HOP_TEXT_MAX 512

struct pen_route_host {
	const struct pen_tls_policy *tls; // its name is tls->host; the scheduler takes a reference
	struct pen_addr addr;
	uint16_t port;       // host order
	uint16_t preference; // lower is tried first; equal ones share the load
};

struct pen_route_result {
	// Class 2: the rest is valid. Class 4: deliveries are deferred with this
	// status. Class 5: they bounce (null MX, no such domain, loops).
	struct pen_dsn status;
	// What makes two next hops share limits: the sorted MX host set, the port
	// and the identity of the TLS policy. Printable; at most PEN_SITE_KEY_MAX.
	struct pen_span site_key;
	// The host set alone, rolled up (pen_site_rollup): what limits hold for, and the MX names
	// it was made of. Empty: from the hosts below.
	struct pen_span site_name;
	const struct pen_span *mx;
	uint32_t nmx;
	pen_time_us ttl; // how long this answer holds, failures included
	uint32_t nhosts; // at least 1 with class 2
	struct pen_route_host host[PEN_ROUTE_HOSTS_MAX];
};
