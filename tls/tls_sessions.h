// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TLS sessions that can be resumed: one worker's, of one profile.
//
// A session carries what its certificate was worth, because a resumed handshake
// shows none. The key holds the policy's identity: a session is never offered
// under another policy.
//
// Threads: one. No locks; no system calls beyond what the allocator needs.
// Memory:  about 90 bytes and the serialized session (260 bytes and the ticket)
//          each; at most `cap` sessions of at most TLS_SESSION_MAX bytes. The table
//          grows as it fills. Full: the clock hand takes one that was not asked
//          for since its last round.

#include "pen_tls_session.h"

#define TLS_SESSION_MAX 4096

struct tls_session_key {
	uint64_t part[3]; // policy identity, and the caller's two
};

// The stored form of struct pen_tls_peer: only results that satisfied.
struct tls_session {
	struct tls_session_key key;
	int64_t born; // seconds
	uint8_t *bytes;
	uint32_t n;
	uint32_t next; // in the bucket; or of the free list
	bool certificate, trusted, matched;
	bool asked; // since the clock hand passed
};

struct tls_sessions;

// NULL: out of memory.
struct tls_sessions *tls_sessions_new(uint32_t cap, int64_t lifetime);
void tls_sessions_free(struct tls_sessions *s);

// NULL: none, or it is too old (then it is dropped). Valid until the next call.
const struct tls_session *tls_sessions_find(
	struct tls_sessions *s, const struct tls_session_key *key, int64_t now);
// Replaces what is stored under the key. False: too long, or no memory.
bool tls_sessions_put(struct tls_sessions *s, const struct tls_session_key *key, int64_t now,
	struct pen_span bytes, const struct pen_tls_peer *peer);
bool tls_sessions_drop(struct tls_sessions *s, const struct tls_session_key *key);

uint32_t tls_sessions_count(const struct tls_sessions *s);
// How many were dropped for age or for lack of room.
uint64_t tls_sessions_dropped(const struct tls_sessions *s);
