// SPDX-License-Identifier: BSD-3-Clause

// What an idle stream costs. 100,000 of them must fit beside the queue.

#include "pen_test.h"

#include "tls_internal.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_stream_costs_less_than_6_kib),
	};
	wolfSSL_SetAllocators(count_malloc, count_free, count_realloc);
	if (pen_tls_global_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
