// SPDX-License-Identifier: BSD-3-Clause

// Handshakes per second and record throughput of one core, client and server
// side measured apart. Usage: bench_tls [--seconds N]; one JSON line each.

#include "pen_err.h"
#include "pen_time.h"
#include "tls_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// One handshake; adds each side's CPU time to its sum.
static void handshake(struct tls_pair *p, double *client_s, double *server_s)
{
	enum pen_tls_status c = PEN_TLS_WANT_INPUT, s = PEN_TLS_WANT_INPUT;

	do {
		double t0 = cpu_now();
		if (c == PEN_TLS_WANT_INPUT) {
			pair_feed(p, &p->client);
			c = pen_tls_handshake(p->client.tls);
		}
		double t1 = cpu_now();
		if (s == PEN_TLS_WANT_INPUT) {
			pair_feed(p, &p->server);
			s = pen_tls_handshake(p->server.tls);
		}
		*client_s += t1 - t0;
		*server_s += cpu_now() - t1;
		PEN_ASSERT(c != PEN_TLS_FAILED && s != PEN_TLS_FAILED);
	} while (c != PEN_TLS_OK || s != PEN_TLS_OK);
}

static void bench_handshakes(const char *name, enum pen_tls_trust trust, const char *ciphers,
	struct pen_tls_ctx *server, double seconds)
{
	struct pen_tls_ctx *client = pair_ctx(&(struct pen_tls_ctx_config){
		.trust = trust, .ca_file = CERT("ca.pem"), .ciphers = ciphers});
	double client_s = 0, server_s = 0;
	unsigned n = 0;

	while (client_s + server_s < seconds) {
		struct tls_pair p;

		pair_init(&p, client, server);
		handshake(&p, &client_s, &server_s);
		pair_fini(&p);
		n++;
	}
	printf("{\"bench\":\"tls_handshake\",\"case\":\"%s\",\"client_per_core_s\":%.0f,"
	       "\"server_per_core_s\":%.0f}\n",
		name, n / client_s, n / server_s);
	pen_tls_ctx_free(client);
}

static void bench_records(size_t record, struct pen_tls_ctx *server, double seconds)
{
	struct pen_tls_ctx *client = pair_client_ctx(PEN_TLS_TRUST_NONE, NULL);
	double write_s = 0, read_s = 0, bytes = 0, unused = 0;
	struct pen_buf seen = PEN_BUF_INIT;
	static uint8_t data[16384];
	struct tls_pair p;
	size_t took;

	pair_init(&p, client, server);
	handshake(&p, &unused, &unused);
	while (write_s + read_s < seconds) {
		double t0 = cpu_now();
		for (int i = 0; i < 16; i++) {
			PEN_ASSERT(pen_tls_write(p.client.tls, data, record, &took) == PEN_TLS_OK);
			bytes += (double)took;
		}
		double t1 = cpu_now();
		PEN_ASSERT(pair_read_all(&p, &p.server, &seen) == PEN_TLS_WANT_INPUT);
		write_s += t1 - t0;
		read_s += cpu_now() - t1;
		pen_buf_reset(&seen);
	}
	printf("{\"bench\":\"tls_record\",\"bytes\":%zu,\"write_mb_s\":%.0f,\"read_mb_s\":%.0f}\n",
		record, bytes / 1e6 / write_s, bytes / 1e6 / read_s);
	pair_fini(&p);
	pen_buf_fini(&seen);
	pen_tls_ctx_free(client);
}

int main(int argc, char **argv)
{
	double seconds = argc == 3 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 1;

	if (seconds <= 0 || (argc != 1 && argc != 3)) {
		fprintf(stderr, "usage: bench_tls [--seconds N]\n");
		return 2;
	}
	PEN_ASSERT(pen_tls_global_init() == 0);
	struct pen_tls_ctx *ecdsa = pair_server_ctx(CERT("server.pem"), CERT("server.key"));
	struct pen_tls_ctx *rsa = pair_server_ctx(CERT("rsa.pem"), CERT("rsa.key"));

	bench_handshakes("tls13-p256-ecdsa-unverified", PEN_TLS_TRUST_NONE, NULL, ecdsa, seconds);
	bench_handshakes("tls13-p256-ecdsa-pkix", PEN_TLS_TRUST_PKIX, NULL, ecdsa, seconds);
	bench_handshakes("tls13-p256-rsa2048-unverified", PEN_TLS_TRUST_NONE, NULL, rsa, seconds);
	bench_handshakes("tls12-p256-rsa2048-unverified", PEN_TLS_TRUST_NONE,
		"ECDHE-RSA-AES128-GCM-SHA256", rsa, seconds);
	bench_records(1400, ecdsa, seconds);
	bench_records(4096, ecdsa, seconds);
	bench_records(16384, ecdsa, seconds);
	pen_tls_ctx_free(ecdsa);
	pen_tls_ctx_free(rsa);
	return 0;
}
