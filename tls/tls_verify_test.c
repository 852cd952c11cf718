// SPDX-License-Identifier: BSD-3-Clause

// What certificates are worth under policies, shown by handshakes with servers
// that have them (make-test-certs).

#include "pen_test.h"

#include "tls_client.h"
#include "tls_pair.h"
#include "tls_tlsa.h"

#define POLICY(...) ((struct pen_tls_policy){.identity = 1, __VA_ARGS__})
#define NAMES(...)                                                                                 \
	.name = (struct pen_tls_name[]){__VA_ARGS__},                                              \
	.nnames = sizeof((struct pen_tls_name[]){__VA_ARGS__}) / sizeof(struct pen_tls_name)
#define NAME(text)                                                                                 \
	{                                                                                          \
		.name = (char *)(uintptr_t)(text)                                                  \
	}
#define TLSA(...)                                                                                  \
	.tlsa = (struct pen_tlsa[]){__VA_ARGS__},                                                  \
	.ntlsa = sizeof((struct pen_tlsa[]){__VA_ARGS__}) / sizeof(struct pen_tlsa)

static struct pen_tls_profile *any, *bare, *dane, *pkix;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	any = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_ANY, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	bare = pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_ANY});
	dane = pair_profile(
		&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_DANE, .verify_depth = 9});
	pkix = pair_profile(&(struct pen_tls_profile_config){
		.trust = PEN_TLS_PROFILE_PKIX, .ca_file = CERT("ca.pem"), .verify_depth = 9});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_profile_free(any);
	pen_tls_profile_free(bare);
	pen_tls_profile_free(dane);
	pen_tls_profile_free(pkix);
	return 0;
}

struct seen {
	enum pen_tls_status status;
	struct pen_tls_peer peer;
	char error[200];
};

static struct seen meet(struct pen_tls_profile *profile, struct pen_tls_policy policy,
	const char *cert, const char *key)
{
	char file[2][300];
	struct pen_tls_ctx *server;
	enum pen_tls_status other;
	struct tls_pair p;
	struct seen s;

	policy.profile = profile;
	snprintf(file[0], sizeof(file[0]), CERT("%s.pem"), cert);
	snprintf(file[1], sizeof(file[1]), CERT("%s.key"), key);
	server = pair_server_ctx(file[0], file[1]);
	pair_init_policy(&p, &(struct pen_tls_client_config){.policy = &policy}, server);
	pair_handshake(&p, &s.status, &other);
	pen_tls_peer_result(p.client.tls, &s.peer);
	snprintf(s.error, sizeof(s.error), "%s", pen_tls_error(p.client.tls));
	print_message("%s: status %d trusted %d matched %d failure %s reason %s %s\n", cert,
		s.status, s.peer.trusted, s.peer.matched, pen_tlsrpt_result_name(s.peer.failure),
		s.peer.reason != NULL ? s.peer.reason : "-", s.error);
	pair_fini(&p);
	pen_tls_ctx_free(server);
	return s;
}

static void assert_good(struct seen s)
{
	assert_int_equal(s.status, PEN_TLS_OK);
	assert_true(s.peer.certificate && s.peer.trusted && s.peer.matched);
	assert_int_equal(s.peer.failure, PEN_TLSRPT_NONE);
	assert_null(s.peer.reason);
}

// `reason` NULL: none.
static void assert_bad(
	struct seen s, bool trusted, enum pen_tlsrpt_result failure, const char *reason)
{
	assert_true(s.peer.certificate);
	assert_int_equal(s.peer.trusted, trusted);
	assert_false(s.peer.matched);
	assert_int_equal(s.peer.failure, failure);
	if (reason == NULL)
		assert_null(s.peer.reason);
	else
		assert_string_equal(s.peer.reason, reason);
}

static struct seen secure(const char *cert, const char *key)
{
	return meet(pkix, POLICY(.level = PEN_TLS_SECURE, NAMES(NAME("mx.test"))), cert, key);
}

static void assert_refused(struct seen s, enum pen_tlsrpt_result failure, const char *reason)
{
	assert_int_equal(s.status, PEN_TLS_FAILED);
	assert_non_null(strstr(s.error, "sent alert"));
	assert_bad(s, false, failure, reason);
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

// ---- fingerprints

static struct pen_span read_der(const char *cert, struct tls_cert *c)
{
	struct tls_anchors a = {0};
	static uint8_t der[4096];
	char file[300];

	snprintf(file, sizeof(file), CERT("%s.pem"), cert);
	assert_true(tls_anchors_add_file(&a, file) >= 1);
	memcpy(der, a.cert[0].der.p, a.cert[0].der.n);
	struct pen_span s = pen_span(der, a.cert[0].der.n);
	tls_anchors_fini(&a);
	assert_true(tls_cert_read(c, s));
	return s;
}

static void a_fingerprint_is_of_the_certificate_or_its_key(void **state)
{
	static const char *const certs[] = {"expired", "self", "server"};

	(void)state;
	for (int digest = PEN_DIGEST_MD5; digest <= PEN_DIGEST_SHA512; digest++) {
		for (int key = 0; key < 2; key++) {
			const char *name = certs[digest % 3];
			struct pen_tls_fingerprint f[2] = {{.n = 0}};
			struct tls_cert c;

			read_der(name, &c);
			f[1].n = (uint8_t)tls_digest(
				(enum pen_tls_digest)digest, key ? c.spki : c.der, f[1].digest);
			assert_true(f[1].n >= 16);
			struct seen s = meet(bare,
				POLICY(.level = PEN_TLS_FINGERPRINT,
					.digest = (enum pen_tls_digest)digest, .fingerprint = f,
					.nfingerprints = 2),
				name, name);
			assert_int_equal(s.status, PEN_TLS_OK);
			assert_true(s.peer.matched);
			assert_false(s.peer.trusted);
			f[1].digest[3] ^= 1;
			assert_bad(meet(bare,
					   POLICY(.level = PEN_TLS_FINGERPRINT,
						   .digest = (enum pen_tls_digest)digest,
						   .fingerprint = f, .nfingerprints = 2),
					   name, name),
				false, PEN_TLSRPT_VALIDATION_FAILURE, "fingerprint_mismatch");
		}
	}
}

static void a_policy_without_fingerprints_matches_nothing(void **state)
{
	(void)state;
	assert_bad(meet(bare, POLICY(.level = PEN_TLS_FINGERPRINT), "server", "server"), false,
		PEN_TLSRPT_VALIDATION_FAILURE, "all-fingerprints-unusable");
}

// ---- DANE

static struct pen_tlsa record(uint8_t usage, uint8_t selector, uint8_t mtype, const char *cert)
{
	static uint8_t store[16][2048];
	static unsigned next;
	struct tls_cert c;
	uint8_t *data = store[next++ % 16];

	read_der(cert, &c);
	struct pen_span what = selector == TLSA_KEY ? c.spki : c.der;
	uint16_t n = (uint16_t)what.n;
	if (mtype == TLSA_FULL)
		memcpy(data, what.p, what.n);
	else
		n = (uint16_t)tls_digest(
			mtype == TLSA_SHA256 ? PEN_DIGEST_SHA256 : PEN_DIGEST_SHA512, what, data);
	return (struct pen_tlsa){usage, selector, mtype, n, data};
}

static struct seen with_tlsa(struct pen_tlsa r, const char *cert, const char *key)
{
	return meet(
		dane, POLICY(.level = PEN_TLS_DANE, NAMES(NAME("mx.test")), TLSA(r)), cert, key);
}

static void usage_3_wants_this_certificate_and_nothing_else(void **state)
{
	(void)state;
	for (uint8_t selector = 0; selector < 2; selector++) {
		for (uint8_t mtype = 0; mtype < 3; mtype++) {
			struct pen_tlsa r = record(TLSA_EE, selector, mtype, "expired");

			assert_good(with_tlsa(r, "expired", "expired"));
			assert_good(meet(dane, POLICY(.level = PEN_TLS_DANE, TLSA(r)), "expired",
				"expired"));
			assert_bad(with_tlsa(r, "server", "server"), false,
				PEN_TLSRPT_VALIDATION_FAILURE, "no_matching_TLSA_records");
		}
	}
}

static void usage_3_does_not_match_an_issuer(void **state)
{
	(void)state;
	assert_bad(with_tlsa(record(TLSA_EE, 1, 1, "deep-3"), "deep-chain", "deep-leaf"), false,
		PEN_TLSRPT_VALIDATION_FAILURE, "no_matching_TLSA_records");
}

static void usage_2_wants_a_chain_from_the_anchor_that_was_sent(void **state)
{
	static const char *const anchors[] = {"deep-1", "deep-2", "deep-3"};

	(void)state;
	for (uint8_t selector = 0; selector < 2; selector++) {
		for (uint8_t mtype = 0; mtype < 3; mtype++) {
			const char *anchor = anchors[(selector + mtype) % 3];

			assert_good(with_tlsa(record(TLSA_TA, selector, mtype, anchor),
				"deep-chain", "deep-leaf"));
		}
	}
	assert_good(with_tlsa(record(TLSA_TA, 0, 1, "ca"), "deep-mixed", "deep-leaf"));
}

static void usage_2_digests_need_the_anchor_in_the_chain_full_data_does_not(void **state)
{
	(void)state;
	assert_bad(with_tlsa(record(TLSA_TA, 0, 1, "ca"), "deep-chain", "deep-leaf"), false,
		PEN_TLSRPT_VALIDATION_FAILURE, "no_matching_TLSA_records");
	assert_good(with_tlsa(record(TLSA_TA, 0, 0, "ca"), "deep-chain", "deep-leaf"));
	assert_good(with_tlsa(record(TLSA_TA, 1, 0, "ca"), "deep-chain", "deep-leaf"));
	assert_good(with_tlsa(record(TLSA_TA, 1, 0, "ca"), "server", "server"));
	assert_good(with_tlsa(record(TLSA_TA, 1, 0, "ca"), "rsa", "rsa"));
}

static void usage_2_checks_names_and_dates_and_signatures(void **state)
{
	(void)state;
	assert_bad(with_tlsa(record(TLSA_TA, 1, 0, "ca"), "wrong-name", "wrong-name"), true,
		PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH, NULL);
	assert_bad(with_tlsa(record(TLSA_TA, 0, 0, "ca"), "expired", "expired"), false,
		PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
	assert_bad(with_tlsa(record(TLSA_TA, 1, 0, "ca"), "expired", "expired"), false,
		PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
	assert_bad(with_tlsa(record(TLSA_TA, 0, 1, "old-inter"), "old-chain", "old-leaf"), false,
		PEN_TLSRPT_CERTIFICATE_EXPIRED, NULL);
	struct seen s = with_tlsa(record(TLSA_TA, 1, 1, "deep-1"), "forged-chain", "forged-leaf");
	assert_int_equal(s.status, PEN_TLS_OK); // left to the session to end
	assert_false(s.peer.matched);
	assert_false(s.peer.trusted);
}

static void usages_0_and_1_are_never_used(void **state)
{
	(void)state;
	for (uint8_t usage = 0; usage < 2; usage++) {
		struct seen s = with_tlsa(record(usage, 0, 1, "server"), "server", "server");

		assert_true(s.peer.tlsa_unusable);
		assert_bad(s, false, PEN_TLSRPT_TLSA_INVALID, "all-TLSA-records-unusable");
	}
}

static void records_that_the_engine_rejects_are_unusable(void **state)
{
	static const uint8_t junk[64] = {0x30, 0x3e, 1, 2, 3};
	static const struct pen_tlsa bad[] = {
		{3, 2, 1, 32, junk},
		{3, 0, 3, 32, junk},
		{3, 0, 255, 32, junk},
		{3, 1, 1, 31, junk},
		{3, 1, 2, 32, junk},
		{3, 0, 0, 64, junk},
		{2, 1, 0, 64, junk},
		{3, 1, 1, 0, junk},
		{4, 1, 1, 32, junk},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct seen s = with_tlsa(bad[i], "server", "server");

		assert_int_equal(s.status, PEN_TLS_OK);
		assert_true(s.peer.tlsa_unusable);
		assert_bad(s, false, PEN_TLSRPT_TLSA_INVALID, "all-TLSA-records-unusable");
	}
	// One that is usable beside them: DANE stays on.
	struct seen s =
		meet(dane, POLICY(.level = PEN_TLS_DANE, TLSA(bad[0], record(3, 1, 1, "rsa"))),
			"server", "server");
	assert_false(s.peer.tlsa_unusable);
	assert_false(s.peer.matched);
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
		cmocka_unit_test(a_fingerprint_is_of_the_certificate_or_its_key),
		cmocka_unit_test(a_policy_without_fingerprints_matches_nothing),
		cmocka_unit_test(usage_3_wants_this_certificate_and_nothing_else),
		cmocka_unit_test(usage_3_does_not_match_an_issuer),
		cmocka_unit_test(usage_2_wants_a_chain_from_the_anchor_that_was_sent),
		cmocka_unit_test(usage_2_digests_need_the_anchor_in_the_chain_full_data_does_not),
		cmocka_unit_test(usage_2_checks_names_and_dates_and_signatures),
		cmocka_unit_test(usages_0_and_1_are_never_used),
		cmocka_unit_test(records_that_the_engine_rejects_are_unusable),
		cmocka_unit_test(the_chain_can_be_kept_for_tools),
		cmocka_unit_test(an_excluded_protocol_is_not_spoken),
		cmocka_unit_test(a_mismatch_is_counted),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
