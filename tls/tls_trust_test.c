// SPDX-License-Identifier: BSD-3-Clause

// Who is trusted, and that no connection changes it for a later one.

#include "pen_test.h"

#include "tls_internal.h"
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
		cmocka_unit_test(a_system_bundle_loads_although_some_roots_may_not),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
