// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_rand.h"
#include "tls_pair.h"

#include <unistd.h>

static struct pen_tls_ctx *client_ctx, *server_ctx, *rsa_ctx;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	client_ctx = pair_client_ctx(PEN_TLS_TRUST_NONE, NULL);
	server_ctx = pair_server_ctx(CERT("server.pem"), CERT("server.key"));
	rsa_ctx = pair_server_ctx(CERT("rsa.pem"), CERT("rsa.key"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_ctx_free(client_ctx);
	pen_tls_ctx_free(server_ctx);
	pen_tls_ctx_free(rsa_ctx);
	return 0;
}

static void connect_pair(struct tls_pair *p)
{
	enum pen_tls_status c, s;

	pair_handshake(p, &c, &s);
	if (c != PEN_TLS_OK || s != PEN_TLS_OK)
		print_message("client %d %s; server %d %s\n", c, pen_tls_error(p->client.tls), s,
			pen_tls_error(p->server.tls));
	assert_int_equal(c, PEN_TLS_OK);
	assert_int_equal(s, PEN_TLS_OK);
}

static void a_handshake_succeeds_and_says_what_was_agreed(void **state)
{
	struct tls_pair p;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	assert_string_equal(pen_tls_cipher(p.client.tls), "none");
	connect_pair(&p);
	assert_string_equal(pen_tls_protocol(p.client.tls), "TLSv1.3");
	assert_string_equal(pen_tls_cipher(p.client.tls), "TLS_AES_128_GCM_SHA256");
	assert_int_equal(pen_tls_cipher_bits(p.client.tls), 128);
	assert_string_equal(pen_tls_cipher(p.server.tls), "TLS_AES_128_GCM_SHA256");
	assert_string_equal(pen_tls_error(p.client.tls), "");
	pair_fini(&p);
}

static void a_handshake_succeeds_when_bytes_come_one_by_one(void **state)
{
	struct tls_pair p;

	(void)state;
	for (int rsa = 0; rsa < 2; rsa++) {
		pair_init(&p, client_ctx, rsa ? rsa_ctx : server_ctx);
		p.chunk = 1;
		connect_pair(&p);
		pair_fini(&p);
	}
}

static void tls_1_2_is_spoken_with_its_own_cipher_names(void **state)
{
	static const struct {
		const char *list, *name;
		unsigned bits;
	} cases[] = {
		{"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", 128},
		{"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 256},
		{"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", 256},
		{"ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", 128},
	};
	struct tls_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_tls_ctx *ctx =
			pair_ctx(&(struct pen_tls_ctx_config){.ciphers = cases[i].list});

		pair_init(&p, ctx, rsa_ctx);
		connect_pair(&p);
		assert_string_equal(pen_tls_protocol(p.client.tls), "TLSv1.2");
		assert_string_equal(pen_tls_cipher(p.client.tls), cases[i].name);
		assert_int_equal(pen_tls_cipher_bits(p.client.tls), cases[i].bits);
		pair_fini(&p);
		pen_tls_ctx_free(ctx);
	}
}

static void first_hello_offers_p256_before_x25519(void **state)
{
	static const uint8_t groups[] = {
		0x00, 0x0a, 0x00, 0x08, 0x00, 0x06, 0x00, 0x17, 0x00, 0x1d, 0x00, 0x18};
	// key_share: one entry, P-256, an uncompressed point of 65 bytes
	static const uint8_t share[] = {
		0x00, 0x33, 0x00, 0x47, 0x00, 0x45, 0x00, 0x17, 0x00, 0x41, 0x04};
	struct tls_pair p;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_WANT_INPUT);
	struct pen_buf *hello = &p.client.to_peer;
	assert_non_null(memmem(hello->p, hello->n, groups, sizeof(groups)));
	assert_non_null(memmem(hello->p, hello->n, share, sizeof(share)));
	assert_non_null(memmem(hello->p, hello->n, "mx.test", 7)); // SNI
	pair_fini(&p);
}

// Moves `data` from one end to the other through a pipe of `room` bytes.
static void transfer(struct tls_pair *p, struct pipe_end *from, const uint8_t *data, size_t n)
{
	struct pipe_end *to = pair_peer(p, from);
	struct pen_buf seen = PEN_BUF_INIT;
	size_t sent = 0, took;
	unsigned blocked = 0;

	while (sent < n || seen.n < n) {
		while (sent < n) {
			enum pen_tls_status st =
				pen_tls_write(from->tls, data + sent, n - sent, &took);
			if (st == PEN_TLS_WANT_OUTPUT) {
				assert_int_equal(took, 0);
				blocked++;
				break;
			}
			assert_int_equal(st, PEN_TLS_OK);
			assert_true(took > 0 && took <= 16384);
			sent += took;
		}
		assert_int_equal(pair_read_all(p, to, &seen), PEN_TLS_WANT_INPUT);
	}
	assert_int_equal(seen.n, n);
	assert_memory_equal(seen.p, data, n);
	if (from->room < n)
		assert_true(blocked > 0);
	pen_buf_fini(&seen);
}

static void bulk_data_arrives_unchanged_both_ways(void **state)
{
	static const size_t rooms[] = {SIZE_MAX, 17000, 40000};
	size_t n = 1 << 20;
	uint8_t *data = malloc(n);
	struct pen_rand r;
	struct tls_pair p;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)pen_rand_u64(&r);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		pair_init(&p, client_ctx, i % 2 ? rsa_ctx : server_ctx);
		connect_pair(&p);
		p.client.room = p.server.room = rooms[i];
		p.chunk = 1 + pen_rand_below(&r, 5000);
		transfer(&p, &p.client, data, n - pen_rand_below(&r, 1000));
		transfer(&p, &p.server, data, n - pen_rand_below(&r, 1000));
		pair_fini(&p);
	}
	free(data);
}

static void a_blocked_write_is_sent_once_when_there_is_room(void **state)
{
	struct pen_buf seen = PEN_BUF_INIT;
	struct tls_pair p;
	size_t took;
	uint8_t byte;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	connect_pair(&p);
	p.client.room = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pen_tls_write(p.client.tls, (const uint8_t *)"hello", 5, &took),
			PEN_TLS_WANT_OUTPUT);
	// Reading meanwhile is not disturbed, and does not claim output of its own.
	assert_int_equal(pen_tls_read(p.client.tls, &byte, 1, &took), PEN_TLS_WANT_INPUT);
	p.client.room = SIZE_MAX;
	assert_int_equal(
		pen_tls_write(p.client.tls, (const uint8_t *)"hello", 5, &took), PEN_TLS_OK);
	assert_int_equal(took, 5);
	assert_int_equal(
		pen_tls_write(p.client.tls, (const uint8_t *)" world", 6, &took), PEN_TLS_OK);
	assert_int_equal(pair_read_all(&p, &p.server, &seen), PEN_TLS_WANT_INPUT);
	assert_int_equal(seen.n, 11);
	assert_memory_equal(seen.p, "hello world", 11);
	pen_buf_fini(&seen);
	pair_fini(&p);
}

static void a_handshake_waits_for_room_and_goes_on(void **state)
{
	enum pen_tls_status c, s;
	struct tls_pair p;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	p.client.room = 0;
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_WANT_OUTPUT);
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_WANT_OUTPUT);
	p.client.room = SIZE_MAX;
	p.server.room = 100; // the server's flight does not fit
	pair_handshake(&p, &c, &s);
	assert_int_equal(s, PEN_TLS_WANT_OUTPUT);
	assert_int_equal(c, PEN_TLS_WANT_INPUT);
	p.server.room = SIZE_MAX;
	connect_pair(&p);
	pair_fini(&p);
}

static void close_notify_ends_the_stream_in_order(void **state)
{
	struct pen_buf seen = PEN_BUF_INIT;
	struct tls_pair p;
	size_t took;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	connect_pair(&p);
	assert_int_equal(
		pen_tls_write(p.client.tls, (const uint8_t *)"QUIT\r\n", 6, &took), PEN_TLS_OK);
	pen_tls_shutdown(p.client.tls);
	assert_int_equal(pair_read_all(&p, &p.server, &seen), PEN_TLS_EOF);
	assert_int_equal(seen.n, 6);
	assert_int_equal(pair_read_all(&p, &p.server, &seen), PEN_TLS_EOF);
	assert_int_equal(
		pen_tls_write(p.server.tls, (const uint8_t *)"late", 4, &took), PEN_TLS_EOF);
	pen_tls_shutdown(p.server.tls);
	assert_int_equal(pair_read_all(&p, &p.client, &seen), PEN_TLS_EOF);
	pen_buf_fini(&seen);
	pair_fini(&p);
}

static void garbage_from_the_peer_fails_with_an_alert(void **state)
{
	static const char *const junk[] = {"220 mx.test ESMTP is not a TLS record\r\n",
		"\x16\x03\x03\x00\x04\x02\xff\xff\xff", "\x17\x03\x03\x00\x05hello",
		"\x15\x03\x03\x00\x02\x02\x28"};
	static const char *const expected[] = {"unknown type in record", "message too large",
		"; sent alert ", "the peer sent alert 40 (handshake failure)"};
	struct tls_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		pair_init(&p, client_ctx, server_ctx);
		assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_WANT_INPUT);
		size_t hello = p.client.to_peer.n;
		size_t n = i == 0 ? strlen(junk[i]) : (size_t)(5 + (uint8_t)junk[i][4]);
		pen_tls_feed(p.client.tls, (const uint8_t *)junk[i], n);
		assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_FAILED);
		print_message("%s\n", pen_tls_error(p.client.tls));
		assert_non_null(strstr(pen_tls_error(p.client.tls), expected[i]));
		// What follows the hello is at most one alert record.
		if (p.client.to_peer.n > hello) {
			assert_int_equal(p.client.to_peer.n, hello + 7);
			assert_int_equal(p.client.to_peer.p[hello], 0x15);
		}
		pair_fini(&p);
	}
}

static void nothing_is_sent_or_read_after_a_failure(void **state)
{
	struct tls_pair p;
	uint8_t buf[64];
	size_t n;

	(void)state;
	pair_init(&p, client_ctx, server_ctx);
	connect_pair(&p);
	assert_int_equal(pen_tls_write(p.server.tls, (const uint8_t *)"secret", 6, &n), PEN_TLS_OK);
	p.server.to_peer.p[p.server.to_peer.n - 1] ^= 1;
	pair_feed(&p, &p.client);
	assert_int_equal(pen_tls_read(p.client.tls, buf, sizeof(buf), &n), PEN_TLS_FAILED);
	assert_int_equal(n, 0);
	assert_non_null(strstr(pen_tls_error(p.client.tls), "sent alert 20 (bad record MAC)"));
	size_t sent = p.client.to_peer.n;
	assert_int_equal(
		pen_tls_write(p.client.tls, (const uint8_t *)"plain", 5, &n), PEN_TLS_FAILED);
	assert_int_equal(n, 0);
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_FAILED);
	assert_int_equal(pen_tls_read(p.client.tls, buf, sizeof(buf), &n), PEN_TLS_FAILED);
	pen_tls_shutdown(p.client.tls);
	assert_int_equal(p.client.to_peer.n, sent);
	assert_null(memmem(p.client.to_peer.p, sent, "plain", 5));
	pair_fini(&p);
}

// A ServerHello as of TLS 1.1, well formed otherwise.
static void a_tls_1_1_server_is_refused(void **state)
{
	uint8_t hello[5 + 4 + 38] = {0x16, 0x03, 0x02, 0x00, 42, 0x02, 0x00, 0x00, 38, 0x03, 0x02};
	struct tls_pair p;

	(void)state;
	hello[sizeof(hello) - 3] = 0xc0; // ECDHE-RSA-AES128-SHA
	hello[sizeof(hello) - 2] = 0x13;
	pair_init(&p, client_ctx, server_ctx);
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_WANT_INPUT);
	pen_tls_feed(p.client.tls, hello, sizeof(hello));
	assert_int_equal(pen_tls_handshake(p.client.tls), PEN_TLS_FAILED);
	print_message("%s\n", pen_tls_error(p.client.tls));
	assert_non_null(strstr(pen_tls_error(p.client.tls), "version"));
	pair_fini(&p);
}

static void a_tls_1_1_client_is_refused(void **state)
{
	uint8_t hello[5 + 4 + 41] = {0x16, 0x03, 0x01, 0x00, 45, 0x01, 0x00, 0x00, 41, 0x03, 0x02};
	struct tls_pair p;

	(void)state;
	uint8_t *tail = hello + 5 + 4 + 2 + 32;
	memcpy(tail, "\x00\x00\x02\xc0\x13\x01\x00", 7);
	pair_init(&p, client_ctx, server_ctx);
	pen_tls_feed(p.server.tls, hello, sizeof(hello));
	assert_int_equal(pen_tls_handshake(p.server.tls), PEN_TLS_FAILED);
	print_message("%s\n", pen_tls_error(p.server.tls));
	assert_non_null(strstr(pen_tls_error(p.server.tls), "sent alert 70 (protocol version)"));
	pair_fini(&p);
}

static void expect_ctx_error(struct pen_tls_ctx_config cfg, const char *text)
{
	char err[256] = "";

	assert_null(pen_tls_ctx_new(&cfg, err, sizeof(err)));
	print_message("%s\n", err);
	assert_non_null(strstr(err, text));
}

static void a_bad_configuration_is_one_clear_sentence(void **state)
{
	(void)state;
	expect_ctx_error((struct pen_tls_ctx_config){.server = true}, "no certificate file");
	expect_ctx_error((struct pen_tls_ctx_config){.server = true,
				 .cert_file = CERT("absent.pem"),
				 .key_file = CERT("server.key")},
		"absent.pem: No such file");
	expect_ctx_error((struct pen_tls_ctx_config){.server = true,
				 .cert_file = CERT("server.pem"),
				 .key_file = CERT("ca.key")},
		"ca.key");
	expect_ctx_error((struct pen_tls_ctx_config){.server = true,
				 .cert_file = CERT("server.key"),
				 .key_file = CERT("server.key")},
		"server.key");
	expect_ctx_error((struct pen_tls_ctx_config){.trust = PEN_TLS_TRUST_PKIX}, "no CA file");
	expect_ctx_error((struct pen_tls_ctx_config){.trust = PEN_TLS_TRUST_PKIX,
				 .ca_file = CERT("server.key")},
		"server.key");
	expect_ctx_error((struct pen_tls_ctx_config){.ciphers = "ROT13"}, "ROT13");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_succeeds_and_says_what_was_agreed),
		cmocka_unit_test(a_handshake_succeeds_when_bytes_come_one_by_one),
		cmocka_unit_test(tls_1_2_is_spoken_with_its_own_cipher_names),
		cmocka_unit_test(first_hello_offers_p256_before_x25519),
		cmocka_unit_test(bulk_data_arrives_unchanged_both_ways),
		cmocka_unit_test(a_blocked_write_is_sent_once_when_there_is_room),
		cmocka_unit_test(a_handshake_waits_for_room_and_goes_on),
		cmocka_unit_test(close_notify_ends_the_stream_in_order),
		cmocka_unit_test(garbage_from_the_peer_fails_with_an_alert),
		cmocka_unit_test(nothing_is_sent_or_read_after_a_failure),
		cmocka_unit_test(a_tls_1_1_server_is_refused),
		cmocka_unit_test(a_tls_1_1_client_is_refused),
		cmocka_unit_test(a_bad_configuration_is_one_clear_sentence),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
