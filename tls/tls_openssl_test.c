// SPDX-License-Identifier: BSD-3-Clause

// Against OpenSSL, which most of the world's mail servers speak TLS with.

#include "pen_test.h"

#include "tls_pair.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct duo {
	struct pen_tls *ours;
	SSL *theirs;
	BIO *to_theirs, *from_theirs;
	bool blocked; // no room for our output
	uint8_t fed[4096];
};

static struct pen_tls_ctx *client_ctx, *server_ctx;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	client_ctx = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	server_ctx = pair_server_ctx(CERT("server.pem"), CERT("server.key"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_ctx_free(client_ctx);
	pen_tls_ctx_free(server_ctx);
	return 0;
}

static int duo_send(void *ctx, const uint8_t *p, size_t n)
{
	struct duo *d = ctx;

	if (d->blocked)
		return -EAGAIN;
	return BIO_write(d->to_theirs, p, (int)n) == (int)n ? 0 : -EAGAIN;
}

static bool duo_feed(struct duo *d)
{
	int n = BIO_read(d->from_theirs, d->fed, sizeof(d->fed));

	if (n <= 0)
		return false;
	pen_tls_feed(d->ours, d->fed, (size_t)n);
	return true;
}

static SSL_CTX *their_ctx(bool we_serve, int version, const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(we_serve ? TLS_client_method() : TLS_server_method());

	SSL_CTX_set_security_level(ctx, 0);
	if (!we_serve) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
	}
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	return ctx;
}

static void join(struct duo *d, SSL_CTX *ctx)
{
	*d = (struct duo){0};
	d->theirs = SSL_new(ctx);
	d->to_theirs = BIO_new(BIO_s_mem());
	d->from_theirs = BIO_new(BIO_s_mem());
	SSL_set_bio(d->theirs, d->to_theirs, d->from_theirs);
}

static void duo_init(struct duo *d, bool we_serve, int version)
{
	SSL_CTX *ctx = their_ctx(we_serve, version, CERT("server.pem"), CERT("server.key"));

	join(d, ctx);
	SSL_CTX_free(ctx);
	if (we_serve)
		SSL_set_connect_state(d->theirs);
	else
		SSL_set_accept_state(d->theirs);
	d->ours = pen_tls_new(we_serve ? server_ctx : client_ctx, "mx.test", duo_send, d);
}

static void duo_fini(struct duo *d)
{
	pen_tls_free(d->ours);
	SSL_free(d->theirs);
	ERR_clear_error();
}

static enum pen_tls_status duo_handshake(struct duo *d)
{
	enum pen_tls_status st;

	for (;;) {
		st = pen_tls_handshake(d->ours);
		int rc = SSL_do_handshake(d->theirs);

		if ((st == PEN_TLS_OK && rc == 1) || st == PEN_TLS_FAILED)
			return st;
		if (st == PEN_TLS_WANT_INPUT && !duo_feed(d))
			return st;
	}
}

static void expect_text(struct duo *d, const char *text)
{
	uint8_t buf[200];
	size_t got, n = 0;

	while (n < strlen(text)) {
		enum pen_tls_status st = pen_tls_read(d->ours, buf + n, sizeof(buf) - n, &got);
		n += got;
		if (st == PEN_TLS_WANT_INPUT)
			assert_true(duo_feed(d));
		else
			assert_int_equal(st, PEN_TLS_OK);
	}
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, n);
}

static void send_text(struct duo *d, const char *text)
{
	size_t took;

	assert_int_equal(
		pen_tls_write(d->ours, (const uint8_t *)text, strlen(text), &took), PEN_TLS_OK);
	assert_int_equal(took, strlen(text));
}

static void expect_theirs(struct duo *d, const char *text)
{
	char buf[200];
	int n = SSL_read(d->theirs, buf, sizeof(buf));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, (size_t)n);
}

static void both_roles_and_versions_interoperate(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct duo d;

	(void)state;
	for (int i = 0; i < 4; i++) {
		duo_init(&d, i & 1, versions[i >> 1]);
		assert_int_equal(duo_handshake(&d), PEN_TLS_OK);
		// Both logs name the same thing.
		assert_string_equal(pen_tls_protocol(d.ours), SSL_get_version(d.theirs));
		assert_string_equal(pen_tls_cipher(d.ours), SSL_get_cipher_name(d.theirs));
		assert_int_equal(pen_tls_cipher_bits(d.ours), SSL_get_cipher_bits(d.theirs, NULL));
		if ((i & 1) == 0) // the client's first choice counts
			assert_int_equal(SSL_get_negotiated_group(d.theirs), NID_X9_62_prime256v1);
		SSL_write(d.theirs, "220 hello\r\n", 11);
		expect_text(&d, "220 hello\r\n");
		send_text(&d, "EHLO mx.test\r\n");
		expect_theirs(&d, "EHLO mx.test\r\n");
		pen_tls_shutdown(d.ours);
		char byte;
		assert_int_equal(SSL_read(d.theirs, &byte, 1), 0);
		assert_int_equal(SSL_get_shutdown(d.theirs), SSL_RECEIVED_SHUTDOWN);
		duo_fini(&d);
	}
}

static void tls_1_1_is_refused_in_both_roles(void **state)
{
	struct duo d;

	(void)state;
	for (int we_serve = 0; we_serve < 2; we_serve++) {
		duo_init(&d, we_serve, TLS1_1_VERSION);
		assert_int_equal(duo_handshake(&d), PEN_TLS_FAILED);
		print_message("%s\n", pen_tls_error(d.ours));
		assert_non_null(strstr(pen_tls_error(d.ours), "version"));
		duo_fini(&d);
	}
}

static void a_key_update_is_answered_between_our_records(void **state)
{
	struct duo d;
	size_t got;
	uint8_t byte;

	(void)state;
	duo_init(&d, false, TLS1_3_VERSION);
	assert_int_equal(duo_handshake(&d), PEN_TLS_OK);
	SSL_key_update(d.theirs, SSL_KEY_UPDATE_REQUESTED);
	SSL_write(d.theirs, "250 ok\r\n", 8);
	d.blocked = true;
	expect_text(&d, "250 ok\r\n");
	// The answer waits for room, and the reader is told so.
	assert_int_equal(pen_tls_read(d.ours, &byte, 1, &got), PEN_TLS_WANT_OUTPUT);
	d.blocked = false;
	assert_int_equal(pen_tls_read(d.ours, &byte, 1, &got), PEN_TLS_WANT_INPUT);
	send_text(&d, "NOOP\r\n");
	expect_theirs(&d, "NOOP\r\n");
	duo_fini(&d);
}

// wolfSSL alone would lose or repeat the blocked record here.
static void a_key_update_while_a_write_is_blocked_loses_nothing(void **state)
{
	struct duo d;
	size_t took;

	(void)state;
	duo_init(&d, false, TLS1_3_VERSION);
	assert_int_equal(duo_handshake(&d), PEN_TLS_OK);
	send_text(&d, "RSET\r\n");
	expect_theirs(&d, "RSET\r\n");
	d.blocked = true;
	assert_int_equal(
		pen_tls_write(d.ours, (const uint8_t *)"MAIL\r\n", 6, &took), PEN_TLS_WANT_OUTPUT);
	SSL_key_update(d.theirs, SSL_KEY_UPDATE_REQUESTED);
	SSL_write(d.theirs, "250 ok\r\n", 8);
	expect_text(&d, "250 ok\r\n");
	d.blocked = false;
	send_text(&d, "MAIL\r\n");
	send_text(&d, "RCPT\r\n");
	expect_theirs(&d, "MAIL\r\n");
	expect_theirs(&d, "RCPT\r\n");
	duo_fini(&d);
}

// ---- sessions

static struct pen_tls_name mx_test = {.name = (char *)(uintptr_t) "mx.test"};

static struct pen_tls_peer talk(const struct pen_tls_policy *policy, SSL_CTX *ctx)
{
	struct pen_tls_client_config cfg = {.policy = policy, .session_key = {1, 2}};
	struct pen_tls_peer peer;
	struct duo d;

	join(&d, ctx);
	SSL_set_accept_state(d.theirs);
	d.ours = pen_tls_client_new(0, &cfg, duo_send, &d);
	enum pen_tls_status st = duo_handshake(&d);
	if (st != PEN_TLS_OK) {
		print_message("%s\n", pen_tls_error(d.ours));
		ERR_print_errors_fp(stderr);
	}
	assert_int_equal(st, PEN_TLS_OK);
	assert_int_equal(SSL_write(d.theirs, "250 ok", 6), 6);
	expect_text(&d, "250 ok");
	pen_tls_peer_result(d.ours, &peer);
	assert_int_equal(peer.resumed, SSL_session_reused(d.theirs));
	pen_tls_shutdown(d.ours);
	SSL_shutdown(d.theirs);
	duo_fini(&d);
	return peer;
}

static void sessions_of_openssl_are_resumed_until_it_loses_its_keys(void **state)
{
	static const struct {
		int version;
		bool tickets;
	} cases[] = {{TLS1_3_VERSION, true}, {TLS1_3_VERSION, false}, {TLS1_2_VERSION, true},
		{TLS1_2_VERSION, false}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct pen_tls_profile *p =
			pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_PKIX,
				.ca_file = CERT("ca.pem"),
				.sessions = 10,
				.session_lifetime = 3600});
		struct pen_tls_policy policy = {
			.level = PEN_TLS_SECURE, .name = &mx_test, .nnames = 1, .profile = p};
		SSL_CTX *ctx[2];

		for (int k = 0; k < 2; k++) {
			ctx[k] = their_ctx(
				false, cases[i].version, CERT("server.pem"), CERT("server.key"));
			if (!cases[i].tickets) // stateful: the ticket, or session id, is a key
				SSL_CTX_set_options(ctx[k], SSL_OP_NO_TICKET);
			SSL_CTX_set_session_id_context(ctx[k], (const unsigned char *)"t", 1);
		}
		print_message("version %x, tickets %d\n", cases[i].version, cases[i].tickets);
		assert_false(talk(&policy, ctx[0]).resumed);
		for (int n = 0; n < 3; n++) {
			struct pen_tls_peer peer = talk(&policy, ctx[0]);
			// Stateful TLS 1.3 tickets are for one use; there is a new one each time.
			assert_true(peer.resumed && peer.matched && peer.trusted);
		}
		struct pen_tls_peer peer = talk(&policy, ctx[1]);
		assert_true(!peer.resumed && peer.matched && peer.trusted);
		assert_true(talk(&policy, ctx[1]).resumed);
		SSL_CTX_free(ctx[0]);
		SSL_CTX_free(ctx[1]);
		pen_tls_profile_free(p);
	}
}

// An RSA key of 5120 bits: this wolfSSL computes with up to 4096.
static void a_key_that_is_too_long_ends_the_handshake_cleanly(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){.sessions = 0});
	struct pen_tls_policy policy = {.level = PEN_TLS_MAY, .profile = p};
	struct pen_tls_client_config cfg = {.policy = &policy};

	(void)state;
	for (int i = 0; i < 2; i++) {
		SSL_CTX *ctx = their_ctx(false, versions[i], CERT("huge.pem"), CERT("huge.key"));
		struct duo d;

		join(&d, ctx);
		SSL_CTX_free(ctx);
		SSL_set_accept_state(d.theirs);
		d.ours = pen_tls_client_new(0, &cfg, duo_send, &d);
		assert_int_equal(duo_handshake(&d), PEN_TLS_FAILED);
		print_message("%s\n", pen_tls_error(d.ours));
		assert_true(pen_tls_error(d.ours)[0] != '\0');
		duo_fini(&d);
	}
	pen_tls_profile_free(p);
}

static void a_client_certificate_is_sent_when_asked_for(void **state)
{
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){
		.cert_file = CERT("client.pem"), .key_file = CERT("client.key")});
	struct pen_tls_policy policy = {.level = PEN_TLS_MAY, .profile = p};
	struct pen_tls_client_config cfg = {.policy = &policy};
	SSL_CTX *ctx = their_ctx(false, TLS1_3_VERSION, CERT("server.pem"), CERT("server.key"));
	struct duo d;

	(void)state;
	assert_int_equal(SSL_CTX_load_verify_locations(ctx, CERT("ca.pem"), NULL), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	join(&d, ctx);
	SSL_CTX_free(ctx);
	SSL_set_accept_state(d.theirs);
	d.ours = pen_tls_client_new(0, &cfg, duo_send, &d);
	assert_int_equal(duo_handshake(&d), PEN_TLS_OK);
	assert_int_equal(SSL_get_verify_result(d.theirs), X509_V_OK);
	assert_non_null(SSL_get0_peer_certificate(d.theirs));
	duo_fini(&d);
	pen_tls_profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_roles_and_versions_interoperate),
		cmocka_unit_test(tls_1_1_is_refused_in_both_roles),
		cmocka_unit_test(a_key_update_is_answered_between_our_records),
		cmocka_unit_test(a_key_update_while_a_write_is_blocked_loses_nothing),
		cmocka_unit_test(sessions_of_openssl_are_resumed_until_it_loses_its_keys),
		cmocka_unit_test(a_key_that_is_too_long_ends_the_handshake_cleanly),
		cmocka_unit_test(a_client_certificate_is_sent_when_asked_for),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
