// SPDX-License-Identifier: BSD-3-Clause

// What a server can do to a client: bytes instead of a server, or a real
// server's bytes with changes.
//
// Input: byte 0 chooses. Bit 0 clear: the rest is the server's stream, fed in
// pieces. Bit 0 set: groups of 4 bytes (offset, offset, what, value) patch the
// stream of a real server: xor, insert, or cut there. Bit 1: TLS 1.2, whose
// flight is in the clear and so within a mutator's reach. Bits 2..: piece size.
// Randomness is replaced (see meson.build), so that an input repeats exactly.

#include "tls_internal.h"
#include "tls_pair.h"

#include <wolfssl/wolfcrypt/random.h>

#include "pen_rand.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_wc_RNG_GenerateBlock(WC_RNG *rng, byte *out, word32 n);
int __wrap_wc_RNG_GenerateByte(WC_RNG *rng, byte *out);

static struct pen_rand random_bytes;

int __wrap_wc_RNG_GenerateBlock(WC_RNG *rng, byte *out, word32 n)
{
	(void)rng;
	for (word32 i = 0; i < n; i++)
		out[i] = (byte)pen_rand_u64(&random_bytes);
	return 0;
}

int __wrap_wc_RNG_GenerateByte(WC_RNG *rng, byte *out)
{
	return __wrap_wc_RNG_GenerateBlock(rng, out, 1);
}

static struct pen_tls_ctx *client[2], *server;

static void setup(void)
{
	if (server != NULL)
		return;
	if (pen_tls_global_init() != 0)
		abort();
	client[0] = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	client[1] = pair_ctx(&(struct pen_tls_ctx_config){.trust = PEN_TLS_TRUST_PKIX,
		.ca_file = CERT("ca.pem"),
		.ciphers = "ECDHE-RSA-AES128-GCM-SHA256"});
	server = pair_server_ctx(CERT("rsa.pem"), CERT("rsa.key"));
}

// Feeds and runs the client until it wants what we do not have.
static void drive(struct tls_pair *p, bool *open)
{
	uint8_t buf[512];
	enum pen_tls_status st;
	size_t n;

	do {
		if (!*open) {
			st = pen_tls_handshake(p->client.tls);
			*open = st == PEN_TLS_OK;
		} else {
			st = pen_tls_read(p->client.tls, buf, sizeof(buf), &n);
		}
	} while (st == PEN_TLS_OK || (st == PEN_TLS_WANT_INPUT && pair_feed(p, &p->client)));
	if (st == PEN_TLS_FAILED && pen_tls_error(p->client.tls)[0] == '\0')
		abort();
}

static void patch(struct pen_buf *stream, size_t base, const uint8_t *op)
{
	size_t at = base + ((size_t)op[0] << 8 | op[1]);

	if (at >= stream->n)
		return;
	if (op[2] < 128) {
		stream->p[at] ^= op[3];
	} else if (op[2] < 192) {
		pen_buf_add(stream, &op[3], 1);
		memmove(stream->p + at + 1, stream->p + at, stream->n - at - 1);
		stream->p[at] = op[3];
	} else {
		stream->n = at;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_pair p;
	bool open = false;

	if (size == 0)
		return 0;
	setup();
	pen_rand_seed(&random_bytes, 1);
	pair_init(&p, client[data[0] >> 1 & 1], server);
	p.chunk = 1 + (size_t)(data[0] >> 2) * 8;
	drive(&p, &open);
	if ((data[0] & 1) == 0) {
		pen_buf_add(&p.server.to_peer, data + 1, size - 1);
		drive(&p, &open);
	} else {
		size_t chunk = p.chunk;

		p.chunk = SIZE_MAX;
		for (int flight = 0; flight < 3 && pair_feed(&p, &p.server); flight++) {
			pen_tls_handshake(p.server.tls);
			for (size_t i = 1; flight == 0 && i + 4 <= size; i += 4)
				patch(&p.server.to_peer, 0, data + i);
			p.chunk = chunk;
			drive(&p, &open);
			p.chunk = SIZE_MAX;
		}
	}
	pair_fini(&p);
	return 0;
}
