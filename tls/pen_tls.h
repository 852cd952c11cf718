// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TLS streams over caller-fed bytes: wolfSSL without sockets.
//
// Ciphertext from the peer is fed, ciphertext to send comes out through a
// callback, plaintext is read and written in between. Nothing here knows SMTP
// or decides policy. Clients that obey a policy are made with pen_tls_profile.h;
// contexts are for servers, tools and tests.
//
// Threads: a context and its streams belong to one thread. Contexts are never
//          shared between workers or between trust kinds (an opportunistic
//          handshake must not teach a strict one whom to trust).
// Memory:  about 4 KiB per established stream, from the thread's jemalloc arena.
// Follows: RFC 8446, 5246; TLS 1.2 and 1.3 only.

#include "pen_span.h"

struct pen_tls_ctx;
struct pen_tls;

enum pen_tls_trust {
	PEN_TLS_TRUST_NONE, // opportunistic: any certificate, nothing is verified
	PEN_TLS_TRUST_PKIX, // verify the chain against `ca_file`; names are not looked at
};

struct pen_tls_ctx_config {
	bool server;
	enum pen_tls_trust trust;
	const char *ca_file;   // PEM; PKIX
	const char *cert_file; // PEM chain; server
	const char *key_file;  // PEM; server
	const char *ciphers;   // NULL: the built-in list, AES-128-GCM first
	bool session_tickets;  // server: clients may resume, TLS 1.2 and 1.3
};

// pen_tls_global_init once per process, before any thread uses TLS. 0 or -EIO.
int pen_tls_global_init(void);

// NULL on failure, with one sentence in err.
struct pen_tls_ctx *pen_tls_ctx_new(
	const struct pen_tls_ctx_config *cfg, char *err, size_t err_cap);
void pen_tls_ctx_free(struct pen_tls_ctx *ctx);

// Where ciphertext goes: takes all n bytes or none. 0, or -EAGAIN when there is
// no room (the stream then keeps the record and tries again later). Room for one
// record (16 KiB and 261 bytes) must come up some time, or nothing moves.
typedef int pen_tls_send_fn(void *ctx, const uint8_t *p, size_t n);

// server_name: SNI for a client, may be NULL. NULL result: out of memory.
struct pen_tls *pen_tls_new(
	struct pen_tls_ctx *ctx, const char *server_name, pen_tls_send_fn *send, void *send_ctx);
void pen_tls_free(struct pen_tls *t);

enum pen_tls_status {
	PEN_TLS_OK,
	PEN_TLS_WANT_INPUT,  // feed more ciphertext
	PEN_TLS_WANT_OUTPUT, // `send` had no room: call again when there is some
	PEN_TLS_EOF,         // close_notify from the peer
	PEN_TLS_FAILED,      // see pen_tls_error; close the connection
};

// Hands the stream ciphertext for the calls that follow; borrowed until
// they have returned WANT_INPUT (then every byte has been taken). A handshake's
// OK may leave bytes behind: read until WANT_INPUT.
void pen_tls_feed(struct pen_tls *t, const uint8_t *p, size_t n);

// pen_tls_handshake: OK when established. A client's first call sends its hello.
enum pen_tls_status pen_tls_handshake(struct pen_tls *t);
// pen_tls_read: OK with *got > 0, or another status with *got == 0.
enum pen_tls_status pen_tls_read(struct pen_tls *t, uint8_t *p, size_t cap, size_t *got);
// pen_tls_write encrypts at most one record (16 KiB); OK with *took > 0. After
// WANT_OUTPUT repeat with the same bytes.
enum pen_tls_status pen_tls_write(struct pen_tls *t, const uint8_t *p, size_t n, size_t *took);
// Sends close_notify; never waits for the peer's.
void pen_tls_shutdown(struct pen_tls *t);

const char *pen_tls_protocol(const struct pen_tls *t); // "TLSv1.3"
const char *pen_tls_cipher(const struct pen_tls *t);   // "TLS_AES_128_GCM_SHA256"
unsigned pen_tls_cipher_bits(const struct pen_tls *t); // 128, 256
// One sentence about the failure: the alert or the local error. Never secret.
const char *pen_tls_error(const struct pen_tls *t);
