// SPDX-License-Identifier: BSD-3-Clause

#include "tls_pair.h"

#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct pen_tls_ctx *pair_ctx(const struct pen_tls_ctx_config *cfg)
{
	char err[256] = "";
	struct pen_tls_ctx *ctx = pen_tls_ctx_new(cfg, err, sizeof(err));

	if (ctx == NULL)
		fprintf(stderr, "%s\n", err);
	PEN_ASSERT(ctx != NULL);
	return ctx;
}

struct pen_tls_ctx *pair_server_ctx(const char *cert, const char *key)
{
	return pair_ctx(&(struct pen_tls_ctx_config){
		.server = true, .trust = PEN_TLS_TRUST_NONE, .cert_file = cert, .key_file = key});
}

struct pen_tls_ctx *pair_client_ctx(enum pen_tls_trust trust, const char *ca_file)
{
	return pair_ctx(&(struct pen_tls_ctx_config){.trust = trust, .ca_file = ca_file});
}

static int pipe_send(void *ctx, const uint8_t *p, size_t n)
{
	struct pipe_end *end = ctx;

	if (end->to_peer.n + n > end->room)
		return -EAGAIN;
	pen_buf_add(&end->to_peer, p, n);
	return 0;
}

static void join(struct tls_pair *p, struct pen_tls *client, struct pen_tls_ctx *server)
{
	p->chunk = SIZE_MAX;
	p->client = (struct pipe_end){.tls = client, .room = SIZE_MAX};
	p->server = (struct pipe_end){
		.tls = pen_tls_new(server, NULL, pipe_send, &p->server), .room = SIZE_MAX};
	PEN_ASSERT(p->client.tls != NULL && p->server.tls != NULL);
}

void pair_init(struct tls_pair *p, struct pen_tls_ctx *client, struct pen_tls_ctx *server)
{
	join(p, pen_tls_new(client, "mx.test", pipe_send, &p->client), server);
}

void pair_init_policy(
	struct tls_pair *p, const struct pen_tls_client_config *client, struct pen_tls_ctx *server)
{
	join(p, pen_tls_client_new(0, client, pipe_send, &p->client), server);
}

struct pen_tls_profile *pair_profile(const struct pen_tls_profile_config *cfg)
{
	struct pen_tls_profile_config one = *cfg;
	char err[256] = "";

	one.workers = one.workers > 0 ? one.workers : 1;
	struct pen_tls_profile *p = pen_tls_profile_new(&one, err, sizeof(err));
	if (p == NULL)
		fprintf(stderr, "%s\n", err);
	PEN_ASSERT(p != NULL);
	return p;
}

static void end_fini(struct pipe_end *end)
{
	pen_tls_free(end->tls);
	pen_buf_fini(&end->to_peer);
	free(end->fed);
}

void pair_fini(struct tls_pair *p)
{
	end_fini(&p->client);
	end_fini(&p->server);
}

struct pipe_end *pair_peer(struct tls_pair *p, struct pipe_end *end)
{
	return end == &p->client ? &p->server : &p->client;
}

bool pair_feed(struct tls_pair *p, struct pipe_end *to)
{
	struct pen_buf *from = &pair_peer(p, to)->to_peer;
	size_t n = from->n < p->chunk ? from->n : p->chunk;

	if (n == 0)
		return false;
	// An allocation of the exact size, and the old one freed: ASan sees a
	// stream that reads past its input or keeps it too long.
	free(to->fed);
	to->fed = malloc(n);
	memcpy(to->fed, from->p, n);
	pen_buf_consume(from, n);
	pen_tls_feed(to->tls, to->fed, n);
	return true;
}

static bool step(struct tls_pair *p, struct pipe_end *end, enum pen_tls_status *status)
{
	if (*status == PEN_TLS_OK || *status == PEN_TLS_EOF || *status == PEN_TLS_FAILED)
		return false;
	if (*status == PEN_TLS_WANT_INPUT && !pair_feed(p, end))
		return false;
	enum pen_tls_status before = *status;
	*status = pen_tls_handshake(end->tls);
	return *status != PEN_TLS_WANT_OUTPUT || before != PEN_TLS_WANT_OUTPUT;
}

void pair_handshake(struct tls_pair *p, enum pen_tls_status *client, enum pen_tls_status *server)
{
	bool moved = true;

	*client = pen_tls_handshake(p->client.tls);
	*server = pen_tls_handshake(p->server.tls);
	while (moved) {
		moved = step(p, &p->client, client);
		moved |= step(p, &p->server, server);
	}
}

enum pen_tls_status pair_read_all(struct tls_pair *p, struct pipe_end *end, struct pen_buf *into)
{
	uint8_t buf[3000];
	size_t got;

	for (;;) {
		enum pen_tls_status st = pen_tls_read(end->tls, buf, sizeof(buf), &got);

		if (st == PEN_TLS_OK)
			pen_buf_add(into, buf, got);
		else if (st != PEN_TLS_WANT_INPUT || !pair_feed(p, end))
			return st;
	}
}
