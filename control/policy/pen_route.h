// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where a recipient's mail goes: transport_maps, else relayhost, else the
// recipient's domain (transport(5)). No DNS is asked.
//
// Lookup order: user@domain, domain, .parent for each parent, "*". A result is
// transport:nexthop; either side may be empty. Transports are smtp and relay
// (both: deliver by SMTP), lmtp (host or inet:host, port 24), error (bounce with
// the text), retry (defer with the text) and discard.
//
// Threads: pure functions over read-only tables.

#include "pen_dsn.h"
#include "pen_map.h"
#include "pen_nexthop.h"

enum pen_route_kind {
	PEN_ROUTE_SMTP,    // deliver to `nexthop`
	PEN_ROUTE_LMTP,    // the same by LMTP; the next hop is a host, never an MX domain
	PEN_ROUTE_DISCARD, // throw away; dsn is what to record, class 2
	PEN_ROUTE_FAIL,    // dsn says why, class 4 or 5
};

struct pen_route {
	enum pen_route_kind kind;
	char nexthop[PEN_NEXTHOP_MAX]; // canonical text (pen_nexthop_str)
	struct pen_dsn dsn;
};

struct pen_routing {
	const struct pen_maps *transport_maps; // may be NULL
	const char *relayhost;                 // "" or NULL: none
	const char *myorigin;                  // domain of addresses without one
};

// pen_route_find decides for one recipient (without angle brackets).
void pen_route_find(
	const struct pen_routing *routing, struct pen_span recipient, struct pen_route *out);

// pen_routing_check reports a relayhost or table result that no recipient could
// use, with file and line, so that start-up refuses it.
void pen_routing_check(const struct pen_routing *routing, const struct pen_map_where *relayhost,
	struct pen_report *r);
