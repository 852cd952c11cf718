// SPDX-License-Identifier: BSD-3-Clause

// What an idle stream costs. 100,000 of them must fit beside the queue.

#include "pen_test.h"

#include "tls_client.h"
#include "tls_pair.h"

#include <malloc.h>

static size_t live;

static void *count_malloc(size_t n)
{
	void *p = malloc(n);

	live += p != NULL ? malloc_usable_size(p) : 0;
	return p;
}

static void count_free(void *p)
{
	if (p != NULL)
		live -= malloc_usable_size(p);
	free(p);
}

static void *count_realloc(void *p, size_t n)
{
	size_t before = p != NULL ? malloc_usable_size(p) : 0;
	void *q = realloc(p, n);

	if (q != NULL)
		live += malloc_usable_size(q) - before;
	return q;
}

static void an_idle_stream_costs_less_than_6_kib(void **state)
{
	static const char *const suites[] = {NULL, "ECDHE-ECDSA-AES128-GCM-SHA256"};
	struct pen_tls_ctx *server = pair_server_ctx(CERT("server.pem"), CERT("server.key"));

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pen_tls_ctx *client =
			pair_ctx(&(struct pen_tls_ctx_config){.ciphers = suites[i]});
		struct pen_buf seen = PEN_BUF_INIT;
		struct tls_pair p;
		enum pen_tls_status c, s;
		size_t took, before = live;
		static uint8_t data[40000];

		pair_init(&p, client, server);
		pair_handshake(&p, &c, &s);
		assert_int_equal(c, PEN_TLS_OK);
		for (size_t sent = 0; sent < sizeof(data); sent += took)
			assert_int_equal(pen_tls_write(p.client.tls, data + sent,
						 sizeof(data) - sent, &took),
				PEN_TLS_OK);
		assert_int_equal(pair_read_all(&p, &p.server, &seen), PEN_TLS_WANT_INPUT);
		assert_int_equal(
			pen_tls_write(p.server.tls, (const uint8_t *)"250 ok\r\n", 8, &took),
			PEN_TLS_OK);
		assert_int_equal(pair_read_all(&p, &p.client, &seen), PEN_TLS_WANT_INPUT);
		size_t both = live - before;
		pen_tls_free(p.server.tls);
		size_t server_cost = both - (live - before);
		size_t client_cost = live - before + sizeof(struct pen_tls);
		print_message("%s: idle client stream %zu bytes, server %zu bytes\n",
			pen_tls_protocol(p.client.tls), client_cost,
			server_cost + sizeof(struct pen_tls));
		assert_null(p.client.tls->out);
		assert_true(client_cost < 6 * 1024);
		p.server.tls = NULL;
		pair_fini(&p);
		assert_int_equal(live, before);
		pen_buf_fini(&seen);
		pen_tls_ctx_free(client);
	}
	pen_tls_ctx_free(server);
}

// What a site's connection costs in production: a policy, a chain that is
// verified, a session that is stored for resumption.
static void a_stream_with_a_verified_chain_costs_less_than_8_kib(void **state)
{
	static const uint32_t versions[] = {PEN_TLS_NO_TLS12, PEN_TLS_NO_TLS13};
	struct pen_tls_name name = {.name = (char *)(uintptr_t) "mx.test"};
	struct pen_tls_ctx *server = pair_ctx(&(struct pen_tls_ctx_config){.server = true,
		.cert_file = CERT("deep-chain.pem"),
		.key_file = CERT("deep-leaf.key"),
		.session_tickets = true});

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pen_tls_profile *profile =
			pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_PKIX,
				.ca_file = CERT("ca.pem"),
				.exclude_protocols = versions[i],
				.verify_depth = 9,
				.sessions = 100,
				.session_lifetime = 3600});
		struct pen_tls_policy policy = {
			.level = PEN_TLS_SECURE, .name = &name, .nnames = 1, .profile = profile};
		struct pen_tls_client_config cfg = {.policy = &policy};

		// Twice: in full, and resumed.
		for (int round = 0; round < 2; round++) {
			struct pen_buf seen = PEN_BUF_INIT;
			struct pen_tls_peer peer;
			enum pen_tls_status c, s;
			struct tls_pair p;
			size_t took;

			pair_init_policy(&p, &cfg, server);
			pair_handshake(&p, &c, &s);
			assert_int_equal(c, PEN_TLS_OK);
			assert_int_equal(pen_tls_write(p.server.tls, (const uint8_t *)"250 ok\r\n",
						 8, &took),
				PEN_TLS_OK);
			assert_int_equal(pair_read_all(&p, &p.client, &seen), PEN_TLS_WANT_INPUT);
			pen_tls_peer_result(p.client.tls, &peer);
			assert_true(peer.matched);
			assert_int_equal(peer.resumed, round);
			pen_tls_free(p.server.tls);
			p.server.tls = NULL;
			// The rest of it is not wolfSSL's memory.
			size_t own = malloc_usable_size(p.client.tls) +
				     malloc_usable_size(p.client.tls->client);
			size_t before = live;
			pen_tls_free(p.client.tls);
			p.client.tls = NULL;
			size_t cost = before - live + own;
			print_message("%s, %s: %zu bytes\n", i == 0 ? "TLSv1.3" : "TLSv1.2",
				round ? "resumed" : "in full", cost);
			assert_true(cost <= 8 * 1024);
			pair_fini(&p);
			pen_buf_fini(&seen);
		}
		pen_tls_profile_free(profile);
	}
	pen_tls_ctx_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_with_a_verified_chain_costs_less_than_8_kib),
		cmocka_unit_test(an_idle_stream_costs_less_than_6_kib),
	};
	wolfSSL_SetAllocators(count_malloc, count_free, count_realloc);
	if (pen_tls_global_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
