// SPDX-License-Identifier: BSD-3-Clause

// Who is trusted, and that no connection changes it for a later one.

#include "pen_test.h"

#include "tls_client.h"
#include "tls_pair.h"

static struct pen_tls_ctx *known, *chain, *leaf_only;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	known = pair_server_ctx(CERT("server.pem"), CERT("server.key"));
	chain = pair_server_ctx(CERT("other-chain.pem"), CERT("other-leaf.key"));
	leaf_only = pair_server_ctx(CERT("other-leaf.pem"), CERT("other-leaf.key"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_ctx_free(known);
	pen_tls_ctx_free(chain);
	pen_tls_ctx_free(leaf_only);
	return 0;
}

static enum pen_tls_status try(
	struct pen_tls_ctx *client, struct pen_tls_ctx *server, char *why, size_t cap)
{
	enum pen_tls_status c, s;
	struct tls_pair p;

	pair_init(&p, client, server);
	pair_handshake(&p, &c, &s);
	snprintf(why, cap, "%s", pen_tls_error(p.client.tls));
	if (why[0] != '\0')
		print_message("%s\n", why);
	pair_fini(&p);
	return c;
}

static void pkix_accepts_the_chain_of_its_ca(void **state)
{
	struct pen_tls_ctx *strict = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	char why[200];

	(void)state;
	assert_int_equal(try(strict, known, why, sizeof(why)), PEN_TLS_OK);
	pen_tls_ctx_free(strict);
}

static void pkix_accepts_an_intermediate_that_the_server_sends(void **state)
{
	struct pen_tls_ctx *strict = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("other-ca.pem"));
	char why[200];

	(void)state;
	assert_int_equal(try(strict, chain, why, sizeof(why)), PEN_TLS_OK);
	pen_tls_ctx_free(strict);
}

static void pkix_refuses_an_unknown_ca_with_alert_and_reason(void **state)
{
	struct pen_tls_ctx *strict = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	char why[200];

	(void)state;
	assert_int_equal(try(strict, chain, why, sizeof(why)), PEN_TLS_FAILED);
	assert_non_null(strstr(why, "certificate verification failed"));
	assert_non_null(strstr(why, "sent alert"));
	pen_tls_ctx_free(strict);
}

static void opportunistic_accepts_any_certificate(void **state)
{
	struct pen_tls_ctx *may = pair_client_ctx(PEN_TLS_TRUST_NONE, NULL);
	char why[200];

	(void)state;
	assert_int_equal(try(may, known, why, sizeof(why)), PEN_TLS_OK);
	assert_int_equal(try(may, chain, why, sizeof(why)), PEN_TLS_OK);
	assert_int_equal(try(may, leaf_only, why, sizeof(why)), PEN_TLS_OK);
	pen_tls_ctx_free(may);
}

// A connection that saw the unknown CA's intermediate must not make a later
// one trust what that intermediate signed.
static void an_earlier_connection_does_not_teach_trust(void **state)
{
	struct pen_tls_ctx *strict = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	struct pen_tls_ctx *may = pair_client_ctx(PEN_TLS_TRUST_NONE, NULL);
	char why[200];

	(void)state;
	assert_int_equal(try(may, chain, why, sizeof(why)), PEN_TLS_OK);
	assert_int_equal(try(strict, chain, why, sizeof(why)), PEN_TLS_FAILED);
	assert_int_equal(try(strict, leaf_only, why, sizeof(why)), PEN_TLS_FAILED);
	assert_int_equal(try(strict, known, why, sizeof(why)), PEN_TLS_OK);
	assert_int_equal(try(strict, leaf_only, why, sizeof(why)), PEN_TLS_FAILED);
	pen_tls_ctx_free(strict);
	pen_tls_ctx_free(may);
}

static int tolerate(int preverify, WOLFSSL_X509_STORE_CTX *store)
{
	(void)preverify;
	(void)store;
	return 1;
}

// The same with an override on the very context that is strict afterwards: we
// never do that, but a wolfSSL built without --enable-altcertchains then adds
// the intermediate to the context's CAs. This test is the guard of the flag.
static void the_library_does_not_learn_cas_from_an_override(void **state)
{
	struct pen_tls_ctx *ctx = pair_client_ctx(PEN_TLS_TRUST_PKIX, CERT("ca.pem"));
	char why[200];

	(void)state;
	wolfSSL_CTX_set_verify(ctx->wolf, WOLFSSL_VERIFY_PEER, tolerate);
	assert_int_equal(try(ctx, chain, why, sizeof(why)), PEN_TLS_OK);
	wolfSSL_CTX_set_verify(ctx->wolf, WOLFSSL_VERIFY_PEER, tls_on_verify);
	assert_int_equal(try(ctx, leaf_only, why, sizeof(why)), PEN_TLS_FAILED);
	pen_tls_ctx_free(ctx);
}

// ---- the same for profiles

static struct pen_tls_peer meet(struct pen_tls_profile *profile, enum pen_tls_level level,
	struct pen_tls_ctx *server, enum pen_tls_status *status)
{
	struct pen_tls_name name = {.name = (char *)(uintptr_t) "mx.test"};
	struct pen_tls_policy policy = {
		.level = level, .name = &name, .nnames = 1, .profile = profile};
	struct pen_tls_client_config cfg = {.policy = &policy};
	struct pen_tls_peer peer;
	enum pen_tls_status s;
	struct tls_pair p;

	pair_init_policy(&p, &cfg, server);
	pair_handshake(&p, status, &s);
	pen_tls_peer_result(p.client.tls, &peer);
	pair_fini(&p);
	return peer;
}

// One profile under all levels: even there nothing is learned, neither from what
// was tolerated nor from what was trusted.
static void no_connection_teaches_a_profile_whom_to_trust(void **state)
{
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_ANY, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	struct pen_tls_ctx *deep = pair_server_ctx(CERT("deep-chain.pem"), CERT("deep-leaf.key"));
	struct pen_tls_ctx *deep_leaf =
		pair_server_ctx(CERT("deep-leaf.pem"), CERT("deep-leaf.key"));
	enum pen_tls_status status;

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_true(meet(p, PEN_TLS_MAY, chain, &status).matched);
		assert_false(meet(p, PEN_TLS_SECURE, chain, &status).trusted);
		assert_false(meet(p, PEN_TLS_SECURE, leaf_only, &status).trusted);
		assert_true(meet(p, PEN_TLS_SECURE, known, &status).trusted);
		// A server that forgets its intermediates does not pass because another
		// one sent them.
		assert_true(meet(p, PEN_TLS_SECURE, deep, &status).trusted);
		assert_false(meet(p, PEN_TLS_SECURE, deep_leaf, &status).trusted);
	}
	pen_tls_ctx_free(deep);
	pen_tls_ctx_free(deep_leaf);
	pen_tls_profile_free(p);
}

static void a_strict_profile_stays_strict_beside_a_tolerant_one(void **state)
{
	struct pen_tls_profile *strict = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	struct pen_tls_profile *any = pair_profile(
		&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_ANY, .verify_depth = 9});
	enum pen_tls_status status;

	(void)state;
	assert_ptr_not_equal(strict->worker[0].ctx, any->worker[0].ctx);
	for (int round = 0; round < 3; round++) {
		meet(any, PEN_TLS_MAY, chain, &status);
		assert_int_equal(status, PEN_TLS_OK);
		assert_false(meet(strict, PEN_TLS_SECURE, chain, &status).matched);
		assert_int_equal(status, PEN_TLS_FAILED);
		assert_false(meet(strict, PEN_TLS_SECURE, leaf_only, &status).matched);
		assert_int_equal(status, PEN_TLS_FAILED);
		assert_true(meet(strict, PEN_TLS_SECURE, known, &status).matched);
	}
	pen_tls_profile_free(strict);
	pen_tls_profile_free(any);
}

static void a_system_bundle_loads_although_some_roots_may_not(void **state)
{
	static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
	char err[200] = "";
	FILE *f = fopen(bundle, "r");

	(void)state;
	assert_non_null(f); // package ca-certificates
	fclose(f);
	struct pen_tls_ctx *ctx = pen_tls_ctx_new(
		&(struct pen_tls_ctx_config){.trust = PEN_TLS_TRUST_PKIX, .ca_file = bundle}, err,
		sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(ctx);
	assert_int_equal(try(ctx, known, err, sizeof(err)), PEN_TLS_FAILED);
	pen_tls_ctx_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pkix_accepts_the_chain_of_its_ca),
		cmocka_unit_test(pkix_accepts_an_intermediate_that_the_server_sends),
		cmocka_unit_test(pkix_refuses_an_unknown_ca_with_alert_and_reason),
		cmocka_unit_test(opportunistic_accepts_any_certificate),
		cmocka_unit_test(an_earlier_connection_does_not_teach_trust),
		cmocka_unit_test(the_library_does_not_learn_cas_from_an_override),
		cmocka_unit_test(no_connection_teaches_a_profile_whom_to_trust),
		cmocka_unit_test(a_strict_profile_stays_strict_beside_a_tolerant_one),
		cmocka_unit_test(a_system_bundle_loads_although_some_roots_may_not),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
