// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A certificate's signature under a bare public key: for trust anchors that are
// published as keys alone (TLSA 2 1 0, "PUBLIC KEY" in an anchor file). wolfSSL's
// certificate manager takes certificates only; the arithmetic is wolfSSL's.
//
// Threads: no state. RSA (PKCS #1 v1.5), ECDSA, Ed25519.

#include "pen_span.h"

// `spki` is a SubjectPublicKeyInfo of a kind that wolfSSL can use.
bool tls_key_usable(struct pen_span spki);
bool tls_key_signed(struct pen_span spki, struct pen_span certificate);
