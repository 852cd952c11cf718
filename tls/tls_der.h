// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The little of DER that wolfSSL does not hand out as it was sent: the exact
// bytes of a certificate's SubjectPublicKeyInfo, which digests are made of.
//
// Threads: no state. Follows: X.690 8.1, RFC 5280 4.1.

#include "pen_span.h"

// The next element of *in: its tag, its content, and the whole of it (all may be
// NULL). *in moves behind it. False: none, or not definite-length DER.
bool tls_der_next(
	struct pen_span *in, uint8_t *tag, struct pen_span *content, struct pen_span *whole);

bool tls_der_spki(struct pen_span certificate, struct pen_span *spki);
