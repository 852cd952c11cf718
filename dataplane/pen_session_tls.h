// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a session needs from TLS, as a table of functions, so that the dataplane
// does not depend on tls/. Whoever starts the dataplane fills it in.
//
// Threads: thread_new and everything made from its result run on one worker.
// The meaning of each call is that of pen_tls.h: bytes fed are borrowed until
// WANT_INPUT, `send` takes all or nothing, write takes at most one record.

#include "pen_delivery.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pen_session_tls_status {
	PEN_SESSION_TLS_OK,
	PEN_SESSION_TLS_WANT_INPUT,
	PEN_SESSION_TLS_WANT_OUTPUT,
	PEN_SESSION_TLS_EOF,
	PEN_SESSION_TLS_FAILED,
};

typedef int pen_session_tls_send_fn(void *ctx, const uint8_t *p, size_t n);

struct pen_session_tls {
	void *ctx; // given to thread_new
	// What one worker has of its own; `worker` is its index. NULL on failure, one
	// sentence in err.
	void *(*thread_new)(void *ctx, uint32_t worker, char *err, size_t err_cap);
	void (*thread_free)(void *thread);
	// A client's stream: protocols, trust, SNI and a stored session come from
	// the policy of `host`; `source` and `helo` are part of the session's key.
	// A server's: host NULL. NULL: no memory, or no engine for this policy.
	void *(*stream_new)(void *thread, const struct pen_lease_host *host,
		const struct pen_addr *source, const char *helo, pen_session_tls_send_fn *send,
		void *send_ctx);
	void (*stream_free)(void *stream);
	void (*feed)(void *stream, const uint8_t *p, size_t n);
	enum pen_session_tls_status (*handshake)(void *stream);
	enum pen_session_tls_status (*read)(void *stream, uint8_t *p, size_t cap, size_t *got);
	enum pen_session_tls_status (*write)(
		void *stream, const uint8_t *p, size_t n, size_t *took);
	void (*shutdown)(void *stream);
	const char *(*protocol)(const void *stream);
	const char *(*cipher)(const void *stream);
	const char *(*error)(const void *stream);
	unsigned (*bits)(const void *stream); // 128, 256
	// Before the handshake: the certificates are to be kept, for `chain`; then
	// copies them. Both may be NULL.
	void (*keep_chain)(void *stream);
	void (*chain)(const void *stream, struct pen_peer_chain *out);
	// After OK, and after FAILED: what the certificate was worth under the policy.
	void (*peer)(const void *stream, struct pen_tls_peer *out);
};

// The most plaintext in one record, and the most that a record adds to it.
#define PEN_SESSION_TLS_RECORD 16384
#define PEN_SESSION_TLS_OVERHEAD 64
