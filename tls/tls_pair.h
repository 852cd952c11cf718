// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A client and a server stream joined by two byte pipes, for tests.
//
// A pipe has a capacity: `send` refuses what does not fit, as a full TCP
// buffer would, and what is in it is fed to the other side in pieces of at
// most `chunk` bytes.

#include "pen_buf.h"
#include "pen_tls_profile.h"

#define CERT(name) PEN_TEST_CERTS "/" name

struct pipe_end {
	struct pen_tls *tls;
	struct pen_buf to_peer; // ciphertext on its way to the peer
	size_t room;            // capacity of to_peer; SIZE_MAX: unlimited
	uint8_t *fed;           // what `tls` borrows at the moment
};

struct tls_pair {
	struct pipe_end client, server;
	size_t chunk;
};

struct pen_tls_profile *pair_profile(const struct pen_tls_profile_config *cfg);
struct pen_tls_ctx *pair_ctx(const struct pen_tls_ctx_config *cfg);
// A server context with the certificate and key PEN_TEST_CERTS/<name>.{pem,key}.
struct pen_tls_ctx *pair_server_ctx(const char *cert, const char *key);
struct pen_tls_ctx *pair_client_ctx(enum pen_tls_trust trust, const char *ca_file);

void pair_init(struct tls_pair *p, struct pen_tls_ctx *client, struct pen_tls_ctx *server);
// The same with a client that obeys a policy, on worker 0 of its profile.
void pair_init_policy(
	struct tls_pair *p, const struct pen_tls_client_config *client, struct pen_tls_ctx *server);
void pair_fini(struct tls_pair *p);
// pair_feed moves at most `chunk` bytes to `to`; false when there were none.
bool pair_feed(struct tls_pair *p, struct pipe_end *to);
struct pipe_end *pair_peer(struct tls_pair *p, struct pipe_end *end);
// pair_handshake runs both sides until both ended in OK, EOF or FAILED or
// nothing moves any more.
void pair_handshake(struct tls_pair *p, enum pen_tls_status *client, enum pen_tls_status *server);
// Reads what `end` can read now, feeding it, into `into`; the last status.
enum pen_tls_status pair_read_all(struct tls_pair *p, struct pipe_end *end, struct pen_buf *into);
