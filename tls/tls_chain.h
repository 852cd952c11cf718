// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Does a path lead from the peer's certificate to an anchor?
//
// Names make candidate paths; wolfSSL then checks each link of one, in a store
// that holds this path's issuers only and is freed afterwards. So nothing that a
// connection brings along can be trusted by another one.
//
// Threads: no state. Memory: one temporary store of wolfSSL's for each candidate.
// Limits:  TLS_CHAIN_MAX certificates, TLS_PATHS_MAX candidates, so that a chain
//          made of look-alikes costs a bounded number of signature checks.

#include "tls_anchors.h"

#define TLS_CHAIN_MAX 16 // as built into wolfSSL (MAX_CHAIN_DEPTH)
#define TLS_PATHS_MAX 8
#define TLS_STEPS_MAX 64

// Later ones say more about a chain than earlier ones: the last of all that
// happened is reported.
enum tls_chain_error {
	TLS_CHAIN_OK,
	TLS_CHAIN_UNREADABLE,
	TLS_CHAIN_UNKNOWN_ISSUER,
	TLS_CHAIN_SELF_SIGNED,  // the peer's certificate
	TLS_CHAIN_UNKNOWN_ROOT, // a self-signed one further up
	TLS_CHAIN_TOO_LONG,
	TLS_CHAIN_BAD_SIGNATURE,
	TLS_CHAIN_BAD_CA,
	TLS_CHAIN_PATH_LENGTH,
	TLS_CHAIN_NAME_CONSTRAINT,
	TLS_CHAIN_CRITICAL,
	TLS_CHAIN_PURPOSE,
	TLS_CHAIN_NOT_YET_VALID,
	TLS_CHAIN_EXPIRED,
	TLS_CHAIN_ERRORS,
};

struct tls_chain {
	uint32_t n; // certificates that could be read; [0] is the peer's
	struct tls_cert cert[TLS_CHAIN_MAX];
};

// `intermediates`: how many may stand between the peer's certificate and the
// anchor. A chain without a readable first certificate is UNREADABLE.
enum tls_chain_error tls_chain_verify(
	const struct tls_chain *chain, const struct tls_anchors *anchors, uint32_t intermediates);

// Words for reports, "_" for spaces; NULL for OK.
const char *tls_chain_reason(enum tls_chain_error e);
enum pen_tlsrpt_result tls_chain_result(enum tls_chain_error e);
