// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What crosses between the configuration and the parts that authenticate: where the
// authentication server is, and which mechanisms may be used (RFC 4422).

#include "pen_addr.h"

#define PEN_SASL_PATH_MAX 107 // of a UNIX socket, without the end

// smtpd_sasl_path.
struct pen_sasl_server {
	char path[PEN_SASL_PATH_MAX + 1]; // absolute; empty: addr and port
	struct pen_addr addr;
	uint16_t port;
};

enum { // What a mechanism is, as its server says
	PEN_SASL_ANONYMOUS = 1 << 0,
	PEN_SASL_PLAINTEXT = 1 << 1,
	PEN_SASL_ACTIVE = 1 << 2,     // open to active attacks
	PEN_SASL_DICTIONARY = 1 << 3, // open to passive dictionary attacks
	PEN_SASL_FORWARD_SECRECY = 1 << 4,
	PEN_SASL_MUTUAL_AUTH = 1 << 5,
	PEN_SASL_PRIVATE = 1 << 6, // between the server and its own programs
};

// smtpd_sasl_security_options: bits of the above.
struct pen_sasl_options {
	uint32_t refused, required;
};

static inline bool pen_sasl_allows(struct pen_sasl_options o, uint32_t traits)
{
	return (traits & (o.refused | PEN_SASL_PRIVATE)) == 0 &&
	       (traits & o.required) == o.required;
}
