// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One certificate of a peer or of an anchor file: the facts that matching and
// path building need. wolfSSL parses; nothing here verifies a signature.
//
// Threads: no state. Memory: spans point into the caller's DER.

#include "pen_tls_policy.h"

#define TLS_CERT_MAX 16384 // bytes of DER; longer ones are not looked at
#define TLS_NAME_HASH 32

struct tls_cert {
	struct pen_span der;
	struct pen_span spki; // SubjectPublicKeyInfo
	uint8_t subject[TLS_NAME_HASH], issuer[TLS_NAME_HASH];
	bool self_issued;
	bool issues;      // may sign other certificates
	bool root;        // may do so as an anchor: old roots lack the key usage, or even v3
	bool constrained; // it has name constraints
	bool server;      // its purposes include TLS servers
};

// False: wolfSSL cannot parse it, or it is too long.
bool tls_cert_read(struct tls_cert *c, struct pen_span der);

// Is one of the references a name of this certificate? dNSName entries; the
// common name only when there is none of these and `common_name` allows it.
// *odd is set when a presented name is not a name.
bool tls_cert_has_name(const struct tls_cert *c, const struct pen_tls_name *reference, uint32_t n,
	bool common_name, bool *odd);

// A digest of the certificate or of its key is one of these.
bool tls_cert_has_fingerprint(const struct tls_cert *c, enum pen_tls_digest digest,
	const struct pen_tls_fingerprint *fingerprint, uint32_t n);

// Writes the digest of `data`; returns its length, 0 when there is no such digest.
uint32_t tls_digest(enum pen_tls_digest digest, struct pen_span data, uint8_t out[64]);
