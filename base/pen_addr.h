// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// IP addresses as values. Bytes are in network order; ports in host order.

#include "pen_span.h"

enum pen_family {
	PEN_FAMILY_NONE = 0,
	PEN_FAMILY_IP4 = 4,
	PEN_FAMILY_IP6 = 6,
};

struct pen_addr {
	uint8_t family; // enum pen_family
	uint8_t ip[16]; // the first 4 for IPv4; the rest zero
};

#define PEN_ADDR_STR_MAX 46

static inline bool pen_addr_eq(const struct pen_addr *a, const struct pen_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

// pen_addr_ip4 makes an address from a host-order number.
struct pen_addr pen_addr_ip4(uint32_t host_order);
// pen_addr_parse accepts exactly one IPv4 or IPv6 literal; 0 or -EINVAL.
int pen_addr_parse(struct pen_addr *out, struct pen_span text);
// pen_addr_str writes the literal and returns `out`.
const char *pen_addr_str(const struct pen_addr *a, char out[PEN_ADDR_STR_MAX]);

// An address block such as 10.0.0.0/8.
struct pen_cidr {
	struct pen_addr net;
	uint8_t bits;
};

// pen_cidr_parse accepts "addr" or "addr/bits"; host bits must be zero when
// `strict` (a network), and may be set otherwise (an interface address).
// 0 or -EINVAL.
int pen_cidr_parse(struct pen_cidr *out, struct pen_span text, bool strict);
bool pen_cidr_has(const struct pen_cidr *c, const struct pen_addr *a);
