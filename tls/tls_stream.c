// SPDX-License-Identifier: BSD-3-Clause

// Streams: one connection's handshake, records and end.

#include "tls_client.h"

#include "pen_err.h"

#include <stdlib.h>

struct pen_tls *pen_tls_new(
	struct pen_tls_ctx *ctx, const char *server_name, pen_tls_send_fn *send, void *send_ctx)
{
	struct pen_tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->send = send;
	t->send_ctx = send_ctx;
	t->wolf = wolfSSL_new(ctx->wolf);
	if (t->wolf == NULL) {
		free(t);
		return NULL;
	}
	wolfSSL_SetIOReadCtx(t->wolf, t);
	wolfSSL_SetIOWriteCtx(t->wolf, t);
	wolfSSL_SetCertCbCtx(t->wolf, t);
	if (!ctx->server && server_name != NULL &&
		wolfSSL_UseSNI(t->wolf, WOLFSSL_SNI_HOST_NAME, server_name,
			(unsigned short)strlen(server_name)) != WOLFSSL_SUCCESS) {
		pen_tls_free(t);
		return NULL;
	}
	return t;
}

void pen_tls_free(struct pen_tls *t)
{
	if (t == NULL)
		return;
	wolfSSL_free(t->wolf);
	tls_client_free(t->client);
	free(t->out);
	free(t);
}

// The first record of `out`: `send` takes all of a piece or none, so that what
// waits must not grow into one piece that never fits.
static size_t first_record(const struct pen_tls *t)
{
	size_t n = t->out_n;

	if (n >= TLS_RECORD_HEADER)
		n = TLS_RECORD_HEADER + ((size_t)t->out[3] << 8 | t->out[4]);
	return n < t->out_n ? n : t->out_n;
}

// Hands waiting records to `send`. True when nothing waits any more.
static bool flush(struct pen_tls *t)
{
	while (t->out_n > 0) {
		size_t n = first_record(t);

		if (t->send(t->send_ctx, t->out, n) != 0)
			return false;
		t->out_n -= n;
		memmove(t->out, t->out + n, t->out_n);
	}
	free(t->out);
	t->out = NULL;
	return true;
}

void pen_tls_feed(struct pen_tls *t, const uint8_t *p, size_t n)
{
	PEN_ASSERT(t->in.n == 0 || t->state == TLS_FAILED || t->state == TLS_PEER_CLOSED);
	t->in = pen_span(p, n);
}

static enum pen_tls_status end(struct pen_tls *t, int wolf_error)
{
	enum pen_tls_status status = PEN_TLS_EOF;

	t->in = pen_span(NULL, 0);
	if (wolf_error == WOLFSSL_ERROR_ZERO_RETURN)
		t->state = TLS_PEER_CLOSED;
	else
		status = tls_fail(t, wolf_error);
	flush(t); // the alert, if there is room
	return status;
}

enum pen_tls_status pen_tls_handshake(struct pen_tls *t)
{
	if (t->state == TLS_FAILED)
		return PEN_TLS_FAILED;
	if (t->state == TLS_PEER_CLOSED)
		return PEN_TLS_EOF;
	if (t->state == TLS_OPEN)
		return PEN_TLS_OK;
	if (!flush(t))
		return PEN_TLS_WANT_OUTPUT;
	if (!t->handshaken) {
		int rc = wolfSSL_negotiate(t->wolf);

		if (rc != WOLFSSL_SUCCESS) {
			int err = wolfSSL_get_error(t->wolf, rc);

			if (err != WOLFSSL_ERROR_WANT_READ)
				return end(t, err);
			PEN_ASSERT(t->in.n == 0);
			return flush(t) ? PEN_TLS_WANT_INPUT : PEN_TLS_WANT_OUTPUT;
		}
		t->handshaken = true;
		// Keys and messages of the handshake are of no use any more.
		wolfSSL_FreeHandshakeResources(t->wolf);
		if (t->client != NULL)
			tls_client_established(t);
	}
	if (!flush(t))
		return PEN_TLS_WANT_OUTPUT;
	t->state = TLS_OPEN;
	return PEN_TLS_OK;
}

enum pen_tls_status pen_tls_read(struct pen_tls *t, uint8_t *p, size_t cap, size_t *got)
{
	*got = 0;
	if (t->state == TLS_FAILED)
		return PEN_TLS_FAILED;
	if (t->state == TLS_PEER_CLOSED)
		return PEN_TLS_EOF;
	PEN_ASSERT(t->state == TLS_OPEN && cap > 0);
	flush(t);
	int n = wolfSSL_read(t->wolf, p, cap < INT32_MAX ? (int)cap : INT32_MAX);
	if (n > 0) {
		*got = (size_t)n;
		return PEN_TLS_OK;
	}
	int err = wolfSSL_get_error(t->wolf, n);
	if (err != WOLFSSL_ERROR_WANT_READ)
		return end(t, err);
	PEN_ASSERT(t->in.n == 0);
	// A blocked write is repeated by its caller; an answer to the peer (a key
	// update) has nobody but the reader to carry it on.
	return t->wrote > 0 || flush(t) ? PEN_TLS_WANT_INPUT : PEN_TLS_WANT_OUTPUT;
}

enum pen_tls_status pen_tls_write(struct pen_tls *t, const uint8_t *p, size_t n, size_t *took)
{
	*took = 0;
	if (t->state == TLS_FAILED)
		return PEN_TLS_FAILED;
	if (t->state == TLS_PEER_CLOSED)
		return PEN_TLS_EOF;
	PEN_ASSERT(t->state == TLS_OPEN && n > 0);
	if (!flush(t))
		return PEN_TLS_WANT_OUTPUT;
	if (t->wrote == 0) {
		int rc = wolfSSL_write(
			t->wolf, p, n < TLS_PLAINTEXT_MAX ? (int)n : TLS_PLAINTEXT_MAX);

		if (rc <= 0)
			return end(t, wolfSSL_get_error(t->wolf, rc));
		t->wrote = (size_t)rc;
		if (!flush(t))
			return PEN_TLS_WANT_OUTPUT;
	}
	PEN_ASSERT(t->wrote <= n); // the same bytes as before
	*took = t->wrote;
	t->wrote = 0;
	return PEN_TLS_OK;
}

void pen_tls_shutdown(struct pen_tls *t)
{
	if (t->state == TLS_OPEN || t->state == TLS_PEER_CLOSED)
		wolfSSL_shutdown(t->wolf);
	flush(t);
}

const char *pen_tls_protocol(const struct pen_tls *t)
{
	return wolfSSL_get_version(t->wolf);
}

// As OpenSSL, and so Postfix's log, spells it: the registry's name for TLS 1.3,
// "ECDHE-RSA-AES128-GCM-SHA256" for TLS 1.2.
const char *pen_tls_cipher(const struct pen_tls *t)
{
	const char *name = NULL;

	if (t->handshaken)
		name = strcmp(pen_tls_protocol(t), "TLSv1.3") == 0
			       ? wolfSSL_get_cipher(t->wolf)
			       : wolfSSL_get_cipher_name(t->wolf);
	return name != NULL ? name : "none";
}

unsigned pen_tls_cipher_bits(const struct pen_tls *t)
{
	const char *name = pen_tls_cipher(t);

	if (strstr(name, "AES128") != NULL || strstr(name, "AES_128") != NULL)
		return 128;
	return strcmp(name, "none") != 0 ? 256 : 0;
}

const char *pen_tls_error(const struct pen_tls *t)
{
	return t->error;
}
