// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One TLSA record against one certificate. Which certificates are asked, and
// what a match means, is tls_verify.c's.
//
// Threads: no state. Follows: RFC 6698 2.1, RFC 7671 5, RFC 7672 3.1.3 (usages 0
// and 1 are unusable for SMTP).

#include "tls_cert.h"

enum { TLSA_TA = 2, TLSA_EE = 3 };
enum { TLSA_CERT = 0, TLSA_KEY = 1 };
enum { TLSA_FULL = 0, TLSA_SHA256 = 1, TLSA_SHA512 = 2 };

// Can the engine work with it: known numbers, a digest of the right length, full
// data that parses.
bool tls_tlsa_usable(const struct pen_tlsa *r);
// For usable records.
bool tls_tlsa_match(const struct pen_tlsa *r, const struct tls_cert *c);
