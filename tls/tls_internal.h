// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of tls/ share. wolfSSL's names stop here.

// wolfSSL's options.h must precede its other headers.
#include <wolfssl/options.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "pen_tls.h"

#define TLS_RECORD_HEADER 5
#define TLS_PLAINTEXT_MAX 16384

struct pen_tls_ctx {
	WOLFSSL_CTX *wolf;
	bool server;
};

// What a profile's context is made of: no trust, which is the profile's own.
struct tls_client_spec {
	uint32_t exclude_protocols; // PEN_TLS_NO_ bits
	const char *ciphers;        // NULL: the built-in list
	const char *cert_file, *key_file;
	int64_t session_lifetime; // seconds; 0: no sessions
};
struct pen_tls_ctx *tls_client_ctx_new(
	const struct tls_client_spec *spec, char *err, size_t err_cap);

enum tls_state {
	TLS_HANDSHAKING,
	TLS_OPEN,
	TLS_PEER_CLOSED, // close_notify came; what it still read before stays valid
	TLS_FAILED,
};

struct pen_tls {
	WOLFSSL *wolf;
	pen_tls_send_fn *send;
	void *send_ctx;
	struct pen_span in; // fed and not yet taken
	// Records that `send` had no room for. wolfSSL is never told that output
	// is blocked: its own retry confuses a pending record with a pending reply
	// to the peer (a key update, an alert) and would lose or repeat data.
	uint8_t *out;
	size_t out_n;
	size_t wrote; // plaintext of the pen_tls_write that waits for `out` to drain
	enum tls_state state;
	bool handshaken; // done in wolfSSL; `out` may still hold its last flight
	int verify_error;
	struct tls_client *client; // tls_client.h; NULL: not of a profile
	char error[160];
};

// tls_fail records why, in words, and moves the stream to TLS_FAILED.
enum pen_tls_status tls_fail(struct pen_tls *t, int wolf_error);

// The verify callback of contexts that verify. It never overrides.
int tls_on_verify(int preverify, WOLFSSL_X509_STORE_CTX *store);
