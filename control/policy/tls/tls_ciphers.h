// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Protocol lists and cipher grades of main.cf, as what our TLS library has.
//
// The library knows TLS 1.2 and 1.3 only, and no cipher without encryption or
// without a certificate. Grades medium and high are the same here: every cipher
// of the build is one of OpenSSL's HIGH class. TLS 1.3 suites are not touched
// by class names, as in OpenSSL.

#include "pen_span.h"

#define TLS_CIPHERS_MAX 1024

// A list such as ">=TLSv1.2, !TLSv1.3" or "TLSv1.2:TLSv1.3", items separated by
// ":", and by commas and white space too. False: an item is no protocol.
// *exclude: PEN_TLS_NO_ bits.
bool tls_protocols_parse(struct pen_span list, uint32_t *exclude);

// The suites of a grade (medium, high, null, low, export) without those of the
// `nexclude` lists (names, classes, "A+B"), in order of preference. "" when none
// is left. False: no such grade.
bool tls_ciphers_resolve(struct pen_span grade, uint32_t exclude_protocols,
	const struct pen_span *exclude, size_t nexclude, char out[TLS_CIPHERS_MAX]);
