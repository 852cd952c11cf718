// SPDX-License-Identifier: BSD-3-Clause

// What certificates are worth under policies, shown by handshakes with servers
// that have them (make-test-certs).

#include "tls_meet.h"

static struct pen_tls_profile *any, *bare, *pkix;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	any = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_ANY, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	bare = pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_ANY});
	pkix = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_profile_free(any);
	pen_tls_profile_free(bare);
	pen_tls_profile_free(pkix);
	return 0;
}

static struct seen secure(const char *cert, const char *key)
{
	return meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))), cert, key);
}

// ---- opportunistic

static void opportunistic_tls_takes_any_certificate(void **state)
{
	static const char *const certs[][2] = {{"server", "server"}, {"nosign", "nosign"},
		{"nul-san", "nul-san"}, {"expired", "expired"}, {"future", "future"},
		{"self", "self"}, {"purpose", "purpose"}, {"other-chain", "other-leaf"},
		{"forged-chain", "forged-leaf"}, {"long-chain-11", "long-leaf-11"},
		{"fake-chain", "fake-leaf"}, {"old-chain", "old-leaf"}};

	(void)state;
	for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++) {
		for (int anchors = 0; anchors < 2; anchors++) {
			struct seen s = meet(anchors ? any : bare, POLICY(.level = PEN_TLS_MAY),
				certs[i][0], certs[i][1]);

			assert_int_equal(s.status, PEN_TLS_OK);
			assert_true(s.peer.certificate && s.peer.matched);
			assert_int_equal(s.peer.failure, PEN_TLSRPT_NONE);
			assert_int_equal(s.peer.trusted, anchors && i < 3);
		}
	}
}

static void an_issuer_with_a_key_that_is_too_long_is_just_not_trusted(void **state)
{
	struct pen_tls_policy policy = POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test")));
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .ca_file = CERT("huge.pem"), .verify_depth = 9});

	(void)state;
	assert_int_equal(meet(bare, POLICY(.level = PEN_TLS_MAY), "huge-chain", "huge-leaf").status,
		PEN_TLS_OK);
	assert_refused(meet(p, policy, "huge-chain", "huge-leaf"), PEN_TLSRPT_VALIDATION_FAILURE,
		"certificate_signature_failure");
	pen_tls_profile_free(p);
}

// ---- PKIX

static void secure_takes_a_chain_of_its_ca_with_the_right_name(void **state)
{
	(void)state;
	assert_good(secure("server", "server"));
	assert_good(secure("deep-chain", "deep-leaf"));
}

static void a_constrained_ca_vouches_for_its_own_names(void **state)
{
	(void)state;
	assert_good(meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.narrow.test"))),
		"inside-chain", "inside"));
}

static void the_order_of_a_chain_does_not_matter(void **state)
{
	(void)state;
	assert_good(secure("deep-mixed", "deep-leaf"));
}

static void a_wrong_name_in_a_trusted_certificate_is_a_mismatch(void **state)
{
	struct seen s = secure("wrong-name", "wrong-name");

	(void)state;
	assert_int_equal(s.status, PEN_TLS_OK);
	assert_bad(s, true, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
}

static void a_wrong_name_in_an_untrusted_certificate_is_not_trusted(void **state)
{
	(void)state;
	assert_refused(meet(pkix, POLICY(.level = PEN_TLS_VERIFY, NAMES(NAME("elsewhere.test"))),
			       "other-chain", "other-leaf"),
		PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED, "unable_to_get_local_issuer_certificate");
}

static void an_expired_certificate_is_reported_as_such(void **state)
{
	(void)state;
	assert_refused(secure("expired", "expired"), PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
	assert_refused(secure("old-chain", "old-leaf"), PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
}

static void each_fault_of_a_chain_has_its_reason(void **state)
{
	static const struct {
		const char *cert, *key, *reason;
	} cases[] = {
		{"future", "future", "certificate_is_not_yet_valid"},
		{"self", "self", "self-signed_certificate"},
		{"other-chain", "other-leaf", "unable_to_get_local_issuer_certificate"},
		{"deep-leaf", "deep-leaf", "unable_to_get_local_issuer_certificate"},
		{"purpose", "purpose", "unsupported_certificate_purpose"},
		{"fake-chain", "fake-leaf", "invalid_CA_certificate"},
		{"pathlen-chain", "pathlen-leaf", "path_length_constraint_exceeded"},
		{"narrow-chain", "narrow-leaf", "name_constraint_violation"},
		{"escaped-chain", "escaped", "name_constraint_violation"},
		{"forged-chain", "forged-leaf", NULL},
		{"long-chain-11", "long-leaf-11", "certificate_chain_too_long"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seen s = secure(cases[i].cert, cases[i].key);

		assert_refused(s, PEN_TLSRPT_VALIDATION_FAILURE,
			cases[i].reason != NULL ? cases[i].reason : s.peer.reason);
	}
}

static void a_depth_of_n_admits_n_plus_1_intermediates(void **state)
{
	(void)state;
	assert_good(secure("long-chain-10", "long-leaf")); // depth 9
	for (uint32_t depth = 0; depth < 4; depth++) {
		struct pen_tls_profile *p =
			pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_PKIX,
				.ca_file = CERT("ca.pem"),
				.verify_depth = depth});
		struct pen_tls_policy policy =
			POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test")));

		assert_good(meet(p, policy, "server", "server"));
		if (depth >= 2) // deep-chain has three
			assert_good(meet(p, policy, "deep-chain", "deep-leaf"));
		else
			assert_refused(meet(p, policy, "deep-chain", "deep-leaf"),
				PEN_TLSRPT_VALIDATION_FAILURE, "certificate_chain_too_long");
		pen_tls_profile_free(p);
	}
}

static void the_common_name_counts_only_without_any_dns_name(void **state)
{
	struct seen s;

	(void)state;
	assert_good(meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("cn-only.test"))),
		"cn-only", "cn-only"));
	assert_good(meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("ip-san.test"))),
		"ip-san", "ip-san"));
	s = meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("cn-and-san.test"))),
		"cn-and-san", "cn-and-san");
	assert_bad(s, true, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
}

static void mta_sts_never_looks_at_the_common_name(void **state)
{
	struct seen s = meet(pkix,
		POLICY(.level = PEN_TLS_SECURE, .no_common_name = true,
			NAMES(NAME("cn-only.test"))),
		"cn-only", "cn-only");

	(void)state;
	assert_bad(s, true, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
}

static void wildcards_and_domains_match_by_their_rules(void **state)
{
	static const struct {
		const char *cert, *name;
		bool domain, good;
	} cases[] = {
		{"wildcard", "mx.wild.test", false, true},
		{"wildcard", "a.mx.wild.test", false, false},
		{"wildcard", "wild.test", false, false},
		{"wildcard", "wild.test", true, true},
		{"partial", "mx1.wild.test", false, false},
		{"partial", "a.b.wild.test", false, false},
		{"partial", "wild.test", true, true},
		{"nul-san", "mx.test", false, false},
		{"utf8", "xn--mnchen-3ya.test", false, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seen s = meet(pkix,
			POLICY(.level = PEN_TLS_SECURE,
				NAMES({.domain = cases[i].domain,
					.name = (char *)(uintptr_t)cases[i].name})),
			cases[i].cert, cases[i].cert);

		assert_int_equal(s.peer.matched, cases[i].good);
		assert_true(s.peer.trusted);
	}
}

static void one_of_several_names_is_enough_and_none_is_not(void **state)
{
	(void)state;
	assert_good(
		meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("a.test"), NAME("mx.test"))),
			"server", "server"));
	assert_bad(meet(pkix, POLICY(.level = PEN_TLS_SECURE), "server", "server"), true,
		PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
}

static void an_odd_name_is_counted(void **state)
{
	uint64_t before = tls_counters(0)->certificates_odd;

	(void)state;
	secure("nul-san", "nul-san");
	assert_int_equal(tls_counters(0)->certificates_odd, before + 1);
}

// ---- anchors

static struct pen_tls_profile *with_anchor(const char *file)
{
	return pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_PKIX,
		.ca_file = CERT("ca.pem"),
		.anchor_file = file,
		.verify_depth = 9});
}

static void an_anchor_file_replaces_the_cas(void **state)
{
	struct pen_tls_profile *p = with_anchor(CERT("other-ca.pem"));
	struct pen_tls_policy policy = POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test")));

	(void)state;
	assert_good(meet(p, policy, "other-chain", "other-leaf"));
	assert_refused(meet(p, policy, "server", "server"), PEN_TLSRPT_VALIDATION_FAILURE,
		"unable_to_get_local_issuer_certificate");
	pen_tls_profile_free(p);
}

static void an_anchor_may_be_the_certificate_itself_but_names_still_count(void **state)
{
	static const char *const files[][2] = {
		{CERT("self.pem"), "self"}, {CERT("other-leaf.pem"), "other-leaf"}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pen_tls_profile *p = with_anchor(files[i][0]);

		assert_good(meet(p, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))),
			files[i][1], files[i][1]));
		assert_bad(meet(p, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("no.test"))),
				   files[i][1], files[i][1]),
			true, PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
		pen_tls_profile_free(p);
	}
}

static void a_pinned_certificate_vouches_for_no_other(void **state)
{
	struct pen_tls_profile *p = with_anchor(CERT("self.pem"));

	(void)state;
	assert_refused(meet(p, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))),
			       "below-self", "below-self"),
		PEN_TLSRPT_VALIDATION_FAILURE, "invalid_CA_certificate");
	pen_tls_profile_free(p);
}

static void an_expired_anchor_is_expired(void **state)
{
	struct pen_tls_profile *p = with_anchor(CERT("expired.pem"));

	(void)state;
	assert_refused(meet(p, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))), "expired",
			       "expired"),
		PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
	pen_tls_profile_free(p);
}

static void an_anchor_may_be_an_intermediate_or_a_bare_key(void **state)
{
	static const char *const files[] = {CERT("deep-1.pem"), CERT("deep-1.pub")};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pen_tls_profile *p = with_anchor(files[i]);
		struct pen_tls_policy policy =
			POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test")));

		assert_good(meet(p, policy, "deep-chain", "deep-leaf"));
		assert_int_equal(meet(p, policy, "server", "server").status, PEN_TLS_FAILED);
		pen_tls_profile_free(p);
	}
}

static void a_folder_of_anchors_may_hold_other_files(void **state)
{
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .ca_path = CERT("folder"), .verify_depth = 9});
	struct pen_tls_policy policy = POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test")));

	(void)state;
	assert_int_equal(p->anchors.n, 2); // ca twice, self
	assert_good(meet(p, policy, "server", "server"));
	assert_good(meet(p, policy, "self", "self"));
	pen_tls_profile_free(p);
}

static void a_profile_that_cannot_be_made_says_why(void **state)
{
	static const struct {
		struct pen_tls_profile_config cfg;
		const char *part;
	} cases[] = {
		{{.ca_file = "/nonexistent/ca.pem"}, "/nonexistent/ca.pem"},
		{{.ca_path = "/nonexistent"}, "/nonexistent"},
		{{.anchor_file = CERT("server.key")}, "server.key"},
		{{.ciphers = ""}, "no protocol"},
		{{.ciphers = "ROT13"}, "ROT13"},
		{{.exclude_protocols = PEN_TLS_NO_TLS12 | PEN_TLS_NO_TLS13}, "no protocol"},
		{{.exclude_protocols = PEN_TLS_NO_TLS13, .ciphers = "TLS13-AES128-GCM-SHA256"},
			"no protocol"},
		{{.cert_file = CERT("server.pem"), .key_file = CERT("rsa.key")}, "rsa.key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_tls_profile_config cfg = cases[i].cfg;
		char err[300] = "";

		cfg.workers = 1;
		assert_null(pen_tls_profile_new(&cfg, err, sizeof(err)));
		print_message("%s\n", err);
		assert_non_null(strstr(err, cases[i].part));
	}
}

static void the_system_store_can_be_added(void **state)
{
	struct pen_tls_profile *p = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .system_store = true, .ca_file = CERT("ca.pem")});

	(void)state;
	assert_true(p->anchors.n > 50); // package ca-certificates
	assert_good(meet(
		p, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))), "server", "server"));
	pen_tls_profile_free(p);
}

// ---- the rest

static void the_chain_can_be_kept_for_tools(void **state)
{
	struct pen_tls_policy policy = POLICY(.level = PEN_TLS_MAY, .profile = bare);
	struct pen_tls_ctx *server = pair_server_ctx(CERT("deep-chain.pem"), CERT("deep-leaf.key"));
	struct pen_span cert[8];
	enum pen_tls_status c, s;
	struct tls_cert leaf;
	struct tls_pair p;

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		pair_init_policy(&p, &(struct pen_tls_client_config){.policy = &policy}, server);
		if (keep)
			pen_tls_keep_chain(p.client.tls);
		pair_handshake(&p, &c, &s);
		assert_int_equal(pen_tls_chain(p.client.tls, cert, 8), keep ? 4 : 0);
		if (keep)
			assert_true(pen_span_eq(cert[0], read_der("deep-leaf", &leaf)));
		pair_fini(&p);
	}
	pen_tls_ctx_free(server);
}

static void an_excluded_protocol_is_not_spoken(void **state)
{
	static const struct {
		uint32_t excluded;
		const char *protocol;
	} cases[] = {{PEN_TLS_NO_TLS13, "TLSv1.2"}, {PEN_TLS_NO_TLS12, "TLSv1.3"}, {0, "TLSv1.3"}};
	struct pen_tls_ctx *server = pair_server_ctx(CERT("server.pem"), CERT("server.key"));

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct pen_tls_profile *p = pair_profile(
			&(struct pen_tls_profile_config){.exclude_protocols = cases[i].excluded});
		struct pen_tls_policy policy = POLICY(.level = PEN_TLS_MAY, .profile = p);
		enum pen_tls_status c, s;
		struct tls_pair pair;

		pair_init_policy(&pair, &(struct pen_tls_client_config){.policy = &policy}, server);
		pair_handshake(&pair, &c, &s);
		assert_int_equal(c, PEN_TLS_OK);
		assert_string_equal(pen_tls_protocol(pair.client.tls), cases[i].protocol);
		pair_fini(&pair);
		pen_tls_profile_free(p);
	}
	pen_tls_ctx_free(server);
}

static void a_mismatch_is_counted(void **state)
{
	uint64_t before = tls_counters(0)->certificate_mismatches;

	(void)state;
	secure("wrong-name", "wrong-name");
	secure("server", "server");
	assert_int_equal(tls_counters(0)->certificate_mismatches, before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opportunistic_tls_takes_any_certificate),
		cmocka_unit_test(an_issuer_with_a_key_that_is_too_long_is_just_not_trusted),
		cmocka_unit_test(secure_takes_a_chain_of_its_ca_with_the_right_name),
		cmocka_unit_test(a_constrained_ca_vouches_for_its_own_names),
		cmocka_unit_test(the_order_of_a_chain_does_not_matter),
		cmocka_unit_test(a_wrong_name_in_a_trusted_certificate_is_a_mismatch),
		cmocka_unit_test(a_wrong_name_in_an_untrusted_certificate_is_not_trusted),
		cmocka_unit_test(an_expired_certificate_is_reported_as_such),
		cmocka_unit_test(each_fault_of_a_chain_has_its_reason),
		cmocka_unit_test(a_depth_of_n_admits_n_plus_1_intermediates),
		cmocka_unit_test(the_common_name_counts_only_without_any_dns_name),
		cmocka_unit_test(mta_sts_never_looks_at_the_common_name),
		cmocka_unit_test(wildcards_and_domains_match_by_their_rules),
		cmocka_unit_test(one_of_several_names_is_enough_and_none_is_not),
		cmocka_unit_test(an_odd_name_is_counted),
		cmocka_unit_test(an_anchor_file_replaces_the_cas),
		cmocka_unit_test(an_anchor_may_be_the_certificate_itself_but_names_still_count),
		cmocka_unit_test(a_pinned_certificate_vouches_for_no_other),
		cmocka_unit_test(an_expired_anchor_is_expired),
		cmocka_unit_test(an_anchor_may_be_an_intermediate_or_a_bare_key),
		cmocka_unit_test(a_folder_of_anchors_may_hold_other_files),
		cmocka_unit_test(a_profile_that_cannot_be_made_says_why),
		cmocka_unit_test(the_system_store_can_be_added),
		cmocka_unit_test(the_chain_can_be_kept_for_tools),
		cmocka_unit_test(an_excluded_protocol_is_not_spoken),
		cmocka_unit_test(a_mismatch_is_counted),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
