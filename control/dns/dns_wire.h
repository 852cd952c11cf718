// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reads an answer in DNS wire format (RFC 1035 4): hostile bytes.
//
// Pure functions. Limits: at most DNS_WIRE_RRS_MAX records of a packet are
// looked at and DNS_WIRE_DATA_MAX kept; names follow at most as many
// compression pointers as a name can have labels, each pointing backwards.

#include "pen_addr.h"

#define DNS_WIRE_RRS_MAX 512
#define DNS_WIRE_DATA_MAX 64
#define DNS_WIRE_NAME_MAX 256

enum { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_SOA = 6, DNS_TYPE_MX = 15, DNS_TYPE_AAAA = 28 };

enum dns_status {
	DNS_OK,
	DNS_NODATA,
	DNS_NXDOMAIN,
	DNS_FAIL,      // no answer, SERVFAIL, refused, or bogus: try again
	DNS_MALFORMED, // an answer that breaks the format
};

struct dns_data {
	uint16_t preference;          // MX
	char name[DNS_WIRE_NAME_MAX]; // MX: lower case, no final dot; "" is the root
	bool bad_name;                // MX: no host name
	struct pen_addr addr;         // A, AAAA
};

struct dns_answer {
	enum dns_status status;
	bool secure;
	uint32_t ttl_s;
	uint32_t n;
	bool cut; // there were more
	struct dns_data data[DNS_WIRE_DATA_MAX];
};

// dns_wire_parse reads the answer to one question of `type`, following CNAMEs
// inside the packet.
void dns_wire_parse(struct dns_answer *out, struct pen_span packet, uint16_t type);
// dns_wire_name reads the name at *at (moved behind it) as lower-case text
// without the final dot; bytes that a host name cannot have become '?' and set
// *odd. False: malformed.
bool dns_wire_name(struct pen_span packet, size_t *at, char out[DNS_WIRE_NAME_MAX], bool *odd);
