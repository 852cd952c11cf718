// SPDX-License-Identifier: BSD-3-Clause

// What our streams cost beside the library under them: handshakes and bulk data,
// client and server in one thread over memory, once through pen_tls.h and once
// with bare wolfSSL objects of the same contexts, in turns. And how often, and how
// much faster, sessions are resumed.
//
// Usage: bench_tls_engine [--seconds N]; one JSON line each, the last a summary.

#include "pen_err.h"
#include "tls_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CERTS PEN_TEST_CERTS
#define SUITE "TLS13-AES128-GCM-SHA256"
#define RECORD 16384
#define BATCH 16 // records on the way at a time
#define ROUNDS 10

struct pipe {
	size_t n, at;
	uint8_t buf[BATCH * (RECORD + 512)];
};

static struct pipe to_server, to_client;

static double cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// ---- through our streams

static int ours_send(void *ctx, const uint8_t *p, size_t n)
{
	struct pipe *to = ctx;

	PEN_ASSERT(to->n + n <= sizeof(to->buf));
	memcpy(to->buf + to->n, p, n);
	to->n += n;
	return 0;
}

static void ours_feed(struct pen_tls *t, struct pipe *from)
{
	pen_tls_feed(t, from->buf, from->n);
	from->n = 0;
}

struct ours {
	struct pen_tls *client, *server;
};

static void ours_handshake(
	struct ours *o, const struct pen_tls_client_config *cfg, struct pen_tls_ctx *server)
{
	enum pen_tls_status c, s;

	o->client = pen_tls_client_new(0, cfg, ours_send, &to_server);
	o->server = pen_tls_new(server, NULL, ours_send, &to_client);
	PEN_ASSERT(o->client != NULL && o->server != NULL);
	for (;;) {
		c = pen_tls_handshake(o->client);
		if (to_server.n > 0)
			ours_feed(o->server, &to_server);
		s = pen_tls_handshake(o->server);
		PEN_ASSERT(c != PEN_TLS_FAILED && s != PEN_TLS_FAILED);
		if (c == PEN_TLS_OK && s == PEN_TLS_OK)
			return;
		if (to_client.n > 0)
			ours_feed(o->client, &to_client);
	}
}

// Takes what has come for `t`; returns the plaintext bytes.
static size_t ours_drain(struct pen_tls *t, struct pipe *from)
{
	static uint8_t plain[RECORD];
	size_t got, sum = 0;

	if (from->n > 0)
		ours_feed(t, from);
	while (pen_tls_read(t, plain, sizeof(plain), &got) == PEN_TLS_OK)
		sum += got;
	return sum;
}

static void ours_end(struct ours *o)
{
	pen_tls_free(o->client);
	pen_tls_free(o->server);
	to_client.n = to_server.n = 0;
}

// ---- bare wolfSSL

static int bare_recv(WOLFSSL *ssl, char *p, int cap, void *arg)
{
	struct pipe *from = arg;
	size_t n = from->n - from->at;

	(void)ssl;
	if (n == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	n = n < (size_t)cap ? n : (size_t)cap;
	memcpy(p, from->buf + from->at, n);
	from->at += n;
	if (from->at == from->n)
		from->at = from->n = 0;
	return (int)n;
}

static int bare_send(WOLFSSL *ssl, char *p, int n, void *arg)
{
	(void)ssl;
	ours_send(arg, (const uint8_t *)p, (size_t)n);
	return n;
}

struct bare {
	WOLFSSL *client, *server;
};

static WOLFSSL *bare_new(struct pen_tls_ctx *ctx, struct pipe *from, struct pipe *to)
{
	WOLFSSL *ssl = wolfSSL_new(ctx->wolf);

	PEN_ASSERT(ssl != NULL);
	wolfSSL_SSLSetIORecv(ssl, bare_recv);
	wolfSSL_SSLSetIOSend(ssl, bare_send);
	wolfSSL_SetIOReadCtx(ssl, from);
	wolfSSL_SetIOWriteCtx(ssl, to);
	return ssl;
}

// Our verify callback, which needs a stream, is taken off.
static void bare_handshake(
	struct bare *b, struct pen_tls_ctx *client, struct pen_tls_ctx *server, int verify)
{
	int c, s;

	b->client = bare_new(client, &to_client, &to_server);
	b->server = bare_new(server, &to_server, &to_client);
	wolfSSL_set_verify(b->client, verify, NULL);
	do {
		c = wolfSSL_negotiate(b->client);
		s = wolfSSL_negotiate(b->server);
		PEN_ASSERT(c == WOLFSSL_SUCCESS ||
			   wolfSSL_get_error(b->client, c) == WOLFSSL_ERROR_WANT_READ);
	} while (c != WOLFSSL_SUCCESS || s != WOLFSSL_SUCCESS);
}

static void bare_end(struct bare *b)
{
	wolfSSL_free(b->client);
	wolfSSL_free(b->server);
	to_client.n = to_client.at = to_server.n = to_server.at = 0;
}

// ---- what is measured

static double report(const char *what, const char *unit, double ours, double bare)
{
	printf("{\"bench\":\"tls_engine\",\"case\":\"%s\",\"unit\":\"%s\",\"ours\":%.0f,"
	       "\"wolfssl\":%.0f,\"ratio\":%.3f}\n",
		what, unit, ours, bare, ours / bare);
	fflush(stdout);
	return ours / bare;
}

// Ours and theirs take turns, so that a slow moment hits both.
static double handshakes(const char *what, const struct pen_tls_client_config *cfg,
	struct pen_tls_ctx *plain, int verify, struct pen_tls_ctx *server, double seconds)
{
	double spent[2] = {0, 0}, n[2] = {0, 0};

	for (int round = 0; round < 2 * ROUNDS; round++) {
		int side = round % 2;
		double start = cpu_now(), until = start + seconds / (2 * ROUNDS), now;

		do {
			if (side == 0) {
				struct ours o;

				ours_handshake(&o, cfg, server);
				ours_end(&o);
			} else {
				struct bare b;

				bare_handshake(&b, plain, server, verify);
				bare_end(&b);
			}
			n[side]++;
			now = cpu_now();
		} while (now < until);
		spent[side] += now - start;
	}
	return report(what, "handshakes/s", n[0] / spent[0], n[1] / spent[1]);
}

static size_t ours_batch(struct ours *o, const uint8_t *data)
{
	size_t took;

	for (int i = 0; i < BATCH; i++)
		PEN_ASSERT(pen_tls_write(o->client, data, RECORD, &took) == PEN_TLS_OK &&
			   took == RECORD);
	return ours_drain(o->server, &to_server);
}

static size_t bare_batch(struct bare *b, const uint8_t *data)
{
	static uint8_t plain[RECORD];
	size_t sum = 0;
	int n;

	for (int i = 0; i < BATCH; i++)
		PEN_ASSERT(wolfSSL_write(b->client, data, RECORD) == RECORD);
	while ((n = wolfSSL_read(b->server, plain, sizeof(plain))) > 0)
		sum += (size_t)n;
	return sum;
}

static double bulk(const struct pen_tls_client_config *cfg, struct pen_tls_ctx *plain,
	struct pen_tls_ctx *server, double seconds)
{
	static uint8_t data[RECORD];
	double spent[2] = {0, 0}, bytes[2] = {0, 0};

	for (int round = 0; round < 2 * ROUNDS; round++) {
		int side = round % 2;
		struct ours o;
		struct bare b;

		if (side == 0)
			ours_handshake(&o, cfg, server);
		else
			bare_handshake(&b, plain, server, WOLFSSL_VERIFY_NONE);
		double start = cpu_now(), until = start + seconds / (2 * ROUNDS), now;
		do {
			size_t n = side == 0 ? ours_batch(&o, data) : bare_batch(&b, data);

			PEN_ASSERT(n == (size_t)BATCH * RECORD);
			bytes[side] += (double)n;
			now = cpu_now();
		} while (now < until);
		spent[side] += now - start;
		if (side == 0)
			ours_end(&o);
		else
			bare_end(&b);
	}
	return report("bulk-16k", "MB/s", bytes[0] / 1e6 / spent[0], bytes[1] / 1e6 / spent[1]);
}

// Connections to 50 sites in turn, each with an exchange that delivers tickets.
static double resumption(struct pen_tls_policy policy, struct pen_tls_ctx *server, double seconds)
{
	struct pen_tls_client_config cfg = {.policy = &policy};
	double n = 0, resumed = 0, start = cpu_now(), now;
	struct pen_tls_peer peer;
	struct ours o;
	size_t took;

	do {
		cfg.session_key[0] = (uint64_t)n % 50;
		ours_handshake(&o, &cfg, server);
		PEN_ASSERT(pen_tls_write(o.server, (const uint8_t *)"250", 3, &took) == PEN_TLS_OK);
		PEN_ASSERT(ours_drain(o.client, &to_client) == 3);
		pen_tls_peer_result(o.client, &peer);
		PEN_ASSERT(peer.matched);
		resumed += peer.resumed;
		ours_end(&o);
		n++;
		now = cpu_now();
	} while (now - start < seconds || n < 2500);
	printf("{\"bench\":\"tls_engine\",\"case\":\"resumption\",\"unit\":\"handshakes/s\","
	       "\"ours\":%.0f,\"hit_rate\":%.4f}\n",
		n / (now - start), resumed / n);
	return resumed / n;
}

static struct pen_tls_profile *profile(enum pen_tls_profile_trust trust, uint32_t sessions)
{
	char err[200];
	struct pen_tls_profile *p = pen_tls_profile_new(
		&(struct pen_tls_profile_config){.trust = trust,
			.workers = 1,
			.ciphers = SUITE,
			.ca_file = trust == PEN_TLS_PROFILE_PKIX ? CERTS "/ca.pem" : NULL,
			.verify_depth = 9,
			.sessions = sessions,
			.session_lifetime = 3600},
		err, sizeof(err));

	if (p == NULL)
		pen_fatal("%s", err);
	return p;
}

static struct pen_tls_ctx *context(struct pen_tls_ctx_config cfg)
{
	char err[200];

	if (cfg.server) {
		cfg.cert_file = CERTS "/server.pem";
		cfg.key_file = CERTS "/server.key";
	}
	cfg.ciphers = SUITE;
	struct pen_tls_ctx *ctx = pen_tls_ctx_new(&cfg, err, sizeof(err));
	if (ctx == NULL)
		pen_fatal("%s", err);
	return ctx;
}

static void run(double seconds)
{
	struct pen_tls_name name = {.name = (char *)(uintptr_t) "mx.test"};
	struct pen_tls_policy may = {.level = PEN_TLS_MAY};
	struct pen_tls_policy secure = {.level = PEN_TLS_SECURE, .name = &name, .nnames = 1};
	struct pen_tls_profile *any = profile(PEN_TLS_PROFILE_ANY, 0);
	struct pen_tls_profile *pkix = profile(PEN_TLS_PROFILE_PKIX, 0);
	struct pen_tls_profile *resuming = profile(PEN_TLS_PROFILE_PKIX, 1000);
	struct pen_tls_ctx *verifying = context((struct pen_tls_ctx_config){
		.trust = PEN_TLS_TRUST_PKIX, .ca_file = CERTS "/ca.pem"});
	struct pen_tls_ctx *server = context((struct pen_tls_ctx_config){.server = true});
	struct pen_tls_ctx *tickets =
		context((struct pen_tls_ctx_config){.server = true, .session_tickets = true});

	may.profile = any;
	double full = handshakes("tls13-aes128-p256-ecdsa",
		&(struct pen_tls_client_config){.policy = &may}, any->worker[0].ctx,
		WOLFSSL_VERIFY_NONE, server, seconds);
	secure.profile = pkix;
	double verified = handshakes("tls13-aes128-p256-ecdsa-verified",
		&(struct pen_tls_client_config){.policy = &secure}, verifying, WOLFSSL_VERIFY_PEER,
		server, seconds);
	double mb = bulk(&(struct pen_tls_client_config){.policy = &may}, any->worker[0].ctx,
		server, seconds);
	secure.profile = resuming;
	double hits = resumption(secure, tickets, seconds);
	printf("{\"bench\":\"tls_engine\",\"case\":\"summary\",\"handshake_ratio\":%.3f,"
	       "\"verified_ratio\":%.3f,\"bulk_ratio\":%.3f,\"hit_rate\":%.4f}\n",
		full, verified, mb, hits);
	pen_tls_ctx_free(verifying);
	pen_tls_ctx_free(server);
	pen_tls_ctx_free(tickets);
	pen_tls_profile_free(any);
	pen_tls_profile_free(pkix);
	pen_tls_profile_free(resuming);
}

int main(int argc, char **argv)
{
	double seconds = argc == 3 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 2;

	if (seconds <= 0 || (argc != 1 && argc != 3)) {
		fprintf(stderr, "usage: bench_tls_engine [--seconds N]\n");
		return 2;
	}
	PEN_ASSERT(pen_tls_global_init() == 0);
	run(seconds);
	return 0;
}
