// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A next hop as people write it: domain, host:port, [host], [host]:port,
// [192.0.2.1], [ipv6:2001:db8::1]. Brackets mean "this host, no MX lookup". Names
// may hold letters beyond ASCII (UTF-8); they become A-labels (pen_idn.h).
//
// Pure functions; no DNS.

#include "pen_addr.h"

#include <stdbool.h>

#define PEN_NEXTHOP_MAX 288 // text, with brackets, port and NUL
#define PEN_NEXTHOP_PORT 25
#define PEN_LMTP_PORT 24

struct pen_nexthop {
	char host[256]; // lower case, A-labels, without brackets; an address: as RFC 5952 has it
	uint16_t port;
	bool literal;         // brackets
	struct pen_addr addr; // PEN_FAMILY_NONE unless the brackets hold an address
};

// pen_nexthop_parse returns NULL, or what is wrong in a few words. A port is a
// number or smtp, submission, submissions, smtps, lmtp.
const char *pen_nexthop_parse(struct pen_nexthop *out, struct pen_span text);
// pen_nexthop_str writes the canonical text: the port only when it is not 25.
const char *pen_nexthop_str(const struct pen_nexthop *n, char out[PEN_NEXTHOP_MAX]);
