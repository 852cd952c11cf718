// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A profile's inside, and the part of a stream that obeys a policy.

#include "pen_tls_profile.h"
#include "tls_chain.h"
#include "tls_internal.h"
#include "tls_sessions.h"

struct tls_worker {
	struct pen_tls_ctx *ctx;
	struct tls_sessions *sessions; // NULL: none are kept
};

struct pen_tls_profile {
	enum pen_tls_profile_trust trust;
	uint32_t intermediates;
	struct tls_anchors anchors; // read-only
	int64_t (*clock)(void);     // seconds; tests set their own
	uint32_t workers;
	struct tls_worker worker[];
};

struct tls_kept_chain {
	uint32_t n;
	struct pen_span cert[TLS_CHAIN_MAX]; // each from malloc
};

struct tls_client {
	struct pen_tls_profile *profile;
	const struct pen_tls_policy *policy;
	struct tls_worker *worker;
	struct pen_tls_counters *ctr;
	struct tls_session_key key;
	int64_t verified_at; // when a certificate was last looked at, for this session
	struct pen_tls_peer peer;
	bool offered; // a stored session: `peer` is its result until a certificate comes
	bool judged;  // a certificate came, and `peer` says what it is worth
	bool refused; // it ends the handshake
	struct tls_kept_chain *kept; // or NULL
};

struct pen_tls_counters *tls_counters(uint32_t worker);

// What the chain is worth under the policy. *counters are those of the worker.
void tls_verify(const struct pen_tls_profile *profile, const struct pen_tls_policy *policy,
	const struct tls_chain *chain, struct pen_tls_peer *out, struct pen_tls_counters *ctr);

void tls_client_established(struct pen_tls *t);
void tls_client_failed(struct pen_tls *t, int wolf_error);
void tls_client_free(struct tls_client *c);

// wolfSSL's callbacks of profiles' contexts.
int tls_on_peer(int preverify, WOLFSSL_X509_STORE_CTX *store);
int tls_on_session(WOLFSSL *wolf, WOLFSSL_SESSION *session);
