// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reads an answer in DNS wire format (RFC 1035 4): hostile bytes.
//
// Pure functions.
// Memory: a struct dns_answer is big; one is made and used again. What is read
//         points into it, and into the packet (TLSA data).
// Limits: at most DNS_WIRE_RRS_MAX records of a packet are looked at and
//         DNS_WIRE_DATA_MAX kept; names follow compression pointers backwards
//         only; CNAMEs are followed DNS_WIRE_CNAMES_MAX times; of a TXT record
//         DNS_WIRE_TXT_MAX bytes are kept, of a TLSA record DNS_WIRE_TLSA_MAX.
// RFCs:   1035, 2181 (8), 2308 (5), 6698 (2.1), 7505.

#include "pen_dns_query.h"

#define DNS_WIRE_RRS_MAX 512
#define DNS_WIRE_DATA_MAX 64
#define DNS_WIRE_NAME_MAX 256
#define DNS_WIRE_CNAMES_MAX 16
#define DNS_WIRE_TXT_MAX 4096
#define DNS_WIRE_TLSA_MAX 16384

// The rest of enum pen_dns_type.
enum { DNS_TYPE_SOA = 6 };

// What was left out or refused, for counters.
enum {
	DNS_ODD_CNAMES = 1 << 0,  // CNAMEs in a circle, or too many: status FAILED
	DNS_ODD_RECORDS = 1 << 1, // more records than are kept
	DNS_ODD_NAME = 1 << 2,    // an MX or CNAME target that is no host name
	DNS_ODD_TXT = 1 << 3,     // a TXT record was cut
	DNS_ODD_TLSA = 1 << 4,    // TLSA data was cut: it matches no certificate
};

struct dns_answer {
	struct pen_dns_answer a; // secure and name are the caller's
	unsigned odd;
	struct pen_dns_record record[DNS_WIRE_DATA_MAX];
	char canonical[DNS_WIRE_NAME_MAX];
	size_t used; // of store
	// Texts of records: for each a name, or strings that a packet holds.
	uint8_t store[DNS_WIRE_DATA_MAX * DNS_WIRE_NAME_MAX + 65536];
};

// dns_answer_none makes an answer without records.
void dns_answer_none(struct dns_answer *out, const char *name, enum pen_dns_status status);
// dns_wire_parse reads the answer to one question, following CNAMEs inside the
// packet unless they are what was asked for. `name` is kept, not copied.
void dns_wire_parse(
	struct dns_answer *out, struct pen_span packet, const char *name, enum pen_dns_type type);
// dns_wire_name reads the name at *at (moved behind it) as lower-case text
// without the final dot; bytes that a host name cannot have become '?' and set
// *odd. False: malformed.
bool dns_wire_name(struct pen_span packet, size_t *at, char out[DNS_WIRE_NAME_MAX], bool *odd);
