// SPDX-License-Identifier: BSD-3-Clause
#include "pen_wire_tls.h"

#include "pen_tls_profile.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert((int)PEN_SESSION_TLS_OK == (int)PEN_TLS_OK, "the same statuses");
_Static_assert((int)PEN_SESSION_TLS_WANT_INPUT == (int)PEN_TLS_WANT_INPUT, "the same statuses");
_Static_assert((int)PEN_SESSION_TLS_WANT_OUTPUT == (int)PEN_TLS_WANT_OUTPUT, "the same statuses");
_Static_assert((int)PEN_SESSION_TLS_EOF == (int)PEN_TLS_EOF, "the same statuses");
_Static_assert((int)PEN_SESSION_TLS_FAILED == (int)PEN_TLS_FAILED, "the same statuses");

struct wire_thread {
	uint32_t worker;
	struct pen_tls_ctx *ctx;
};

static void *thread_new(void *ctx, uint32_t worker, char *err, size_t err_cap)
{
	struct wire_thread *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		snprintf(err, err_cap, "TLS: out of memory");
		return NULL;
	}
	t->worker = worker;
	t->ctx = pen_tls_ctx_new(ctx, err, err_cap);
	if (t->ctx == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

static void thread_free(void *thread)
{
	struct wire_thread *t = thread;

	if (t == NULL)
		return;
	pen_tls_ctx_free(t->ctx);
	free(t);
}

void pen_wire_tls_session_key(const struct pen_lease_host *host, const struct pen_addr *source,
	const char *helo, uint64_t key[2])
{
	struct pen_span part[] = {
		pen_span_cstr(host->name),
		pen_span(&host->addr, sizeof(host->addr)),
		pen_span(&host->port, sizeof(host->port)),
		pen_span(source, source != NULL ? sizeof(*source) : 0),
		pen_span_cstr(helo),
	};

	pen_tls_session_key(part, sizeof(part) / sizeof(part[0]), key);
}

static void *stream_new(void *thread, const struct pen_lease_host *host,
	const struct pen_addr *source, const char *helo, pen_session_tls_send_fn *send,
	void *send_ctx)
{
	const struct wire_thread *t = thread;
	struct pen_tls_client_config cfg;

	if (host == NULL)
		return pen_tls_new(t->ctx, NULL, send, send_ctx);
	if (host->tls->profile == NULL)
		return pen_tls_must_match(host->tls->level)
			       ? NULL
			       : pen_tls_new(t->ctx, host->name, send, send_ctx);
	cfg = (struct pen_tls_client_config){.policy = host->tls};
	pen_wire_tls_session_key(host, source, helo, cfg.session_key);
	return pen_tls_client_new(t->worker, &cfg, send, send_ctx);
}

static void stream_free(void *stream)
{
	pen_tls_free(stream);
}

static void feed(void *stream, const uint8_t *p, size_t n)
{
	pen_tls_feed(stream, p, n);
}

static enum pen_session_tls_status handshake(void *stream)
{
	return (enum pen_session_tls_status)pen_tls_handshake(stream);
}

static enum pen_session_tls_status read_plain(void *stream, uint8_t *p, size_t cap, size_t *got)
{
	return (enum pen_session_tls_status)pen_tls_read(stream, p, cap, got);
}

static enum pen_session_tls_status write_plain(
	void *stream, const uint8_t *p, size_t n, size_t *took)
{
	return (enum pen_session_tls_status)pen_tls_write(stream, p, n, took);
}

static void shutdown_stream(void *stream)
{
	pen_tls_shutdown(stream);
}

static const char *protocol(const void *stream)
{
	return pen_tls_protocol(stream);
}

static const char *cipher(const void *stream)
{
	return pen_tls_cipher(stream);
}

static const char *error(const void *stream)
{
	return pen_tls_error(stream);
}

static unsigned bits(const void *stream)
{
	return pen_tls_cipher_bits(stream);
}

static void peer(const void *stream, struct pen_tls_peer *out)
{
	pen_tls_peer_result(stream, out);
}

static void keep_chain(void *stream)
{
	pen_tls_keep_chain(stream);
}

static void copy_chain(const void *stream, struct pen_peer_chain *out)
{
	struct pen_span cert[PEN_PEER_CHAIN_MAX];
	uint32_t n = pen_tls_chain(stream, cert, PEN_PEER_CHAIN_MAX);

	out->n = out->used = 0;
	for (uint32_t i = 0; i < n && cert[i].n <= sizeof(out->der) - out->used; i++) {
		memcpy(out->der + out->used, cert[i].p, cert[i].n);
		out->length[out->n++] = (uint32_t)cert[i].n;
		out->used += (uint32_t)cert[i].n;
	}
}

int pen_wire_tls_init(struct pen_session_tls *out, const struct pen_tls_ctx_config *cfg)
{
	int rc = pen_tls_global_init();

	*out = (struct pen_session_tls){
		.ctx = (void *)(uintptr_t)cfg,
		.thread_new = thread_new,
		.thread_free = thread_free,
		.stream_new = stream_new,
		.stream_free = stream_free,
		.feed = feed,
		.handshake = handshake,
		.read = read_plain,
		.write = write_plain,
		.shutdown = shutdown_stream,
		.protocol = protocol,
		.cipher = cipher,
		.error = error,
		.bits = bits,
		.keep_chain = keep_chain,
		.chain = copy_chain,
		.peer = peer,
	};
	return rc;
}
