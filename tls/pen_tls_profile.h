// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A TLS profile: everything that sessions under some policies share, as one
// wolfSSL context for each worker. Protocols, ciphers, trust anchors, client
// certificate, session store.
//
// A policy (pen_tls_policy.h) points to its profile. Profiles are made on a
// control thread, where reading files and slow key checks do no harm, and are
// given to workers inside leases, whose rings order the memory.
//
// Threads: pen_tls_profile_new on any one thread; afterwards worker i touches
//          only context i, and nobody else does.
// Memory:  one owner, which frees it after the workers have ended.
// Trust:   profiles of different trust kinds never share a context (an
//          override on one must not teach another whom to trust).

#include "pen_counter.h"
#include "pen_tls.h"
#include "pen_tls_session.h"

enum pen_tls_protocols { // bits: versions that are excluded
	PEN_TLS_NO_TLS12 = 1 << 0,
	PEN_TLS_NO_TLS13 = 1 << 1,
};

enum pen_tls_profile_trust {
	PEN_TLS_PROFILE_ANY,  // none, may, encrypt, fingerprint: no certificate ends a handshake
	PEN_TLS_PROFILE_DANE, // the chain is ours to match with TLSA records
	PEN_TLS_PROFILE_PKIX, // verify, secure: a chain from the anchors below, or the handshake
			      // fails
};

struct pen_tls_profile_config {
	enum pen_tls_profile_trust trust;
	uint32_t workers;
	uint32_t exclude_protocols; // PEN_TLS_NO_ bits
	// wolfSSL's names separated by ":"; NULL: the built-in list.
	const char *ciphers;
	// Anchors. `anchor_file` (tafile; several are parted by "\n") replaces all others. With
	// trust ANY they only decide between "Trusted" and "Untrusted" in the log.
	const char *ca_file, *ca_path, *anchor_file;
	bool system_store;                // tls_append_default_CA
	uint32_t verify_depth;            // intermediates allowed
	const char *cert_file, *key_file; // client certificate, or NULL
	uint32_t sessions;                // stored for each worker; 0: none
	int64_t session_lifetime;         // seconds
};

struct pen_tls_profile;

// NULL with one sentence in err, which names the file or value.
struct pen_tls_profile *pen_tls_profile_new(
	const struct pen_tls_profile_config *cfg, char *err, size_t err_cap);
void pen_tls_profile_free(struct pen_tls_profile *p);

struct pen_tls_client_config {
	const struct pen_tls_policy *policy; // its profile is used; borrowed for the stream's life
	// What distinguishes stored sessions under one policy: host, address, port,
	// source, EHLO name, by pen_tls_session_key. policy->identity is added here.
	uint64_t session_key[2];
};

// Hashes the parts, each with its length.
void pen_tls_session_key(const struct pen_span *part, uint32_t n, uint64_t key[2]);

// A client's stream on worker `worker`. NULL: out of memory, or no profile.
struct pen_tls *pen_tls_client_new(uint32_t worker, const struct pen_tls_client_config *cfg,
	pen_tls_send_fn *send, void *send_ctx);

// After the handshake, or after its failure: what the certificate is worth under
// the policy. A resumed session has the result of the session it continues. After
// a failure before any certificate all is false, and `failure` is NONE. Only PKIX
// profiles end a handshake for an untrusted chain; whatever else does not match is
// for the caller to leave.
void pen_tls_peer_result(const struct pen_tls *t, struct pen_tls_peer *out);

// The chain that the server sent, leaf first, for tools (`penstock tls probe`):
// DER, valid until the stream goes on. Only for streams made with
// pen_tls_keep_chain before the handshake.
void pen_tls_keep_chain(struct pen_tls *t);
uint32_t pen_tls_chain(const struct pen_tls *t, struct pen_span *cert, uint32_t cap);

// Counters of all profiles of a worker: handshakes, resumed, by failure.
#define PEN_TLS_COUNTERS(X)                                                                        \
	X(handshakes, "TLS handshakes finished")                                                   \
	X(resumed, "of these, resumed from a stored session")                                      \
	X(resume_offered, "handshakes in which a stored session was offered")                      \
	X(sessions_stored, "sessions stored for resumption")                                       \
	X(sessions_dropped, "stored sessions dropped: too old, too many, or unlike the policy")    \
	X(certificate_mismatches, "handshakes whose certificate was not what the policy demands")  \
	X(chains_too_long, "certificate chains beyond the limits")                                 \
	X(certificates_odd, "certificates with names or encodings that are not used")
PEN_COUNTERS_DECLARE(pen_tls, PEN_TLS_COUNTERS);
struct pen_counter_set pen_tls_counters_of(uint32_t worker);
