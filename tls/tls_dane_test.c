// SPDX-License-Identifier: BSD-3-Clause

// Certificates that policies name themselves: fingerprints and TLSA records.

#include "tls_meet.h"
#include "tls_tlsa.h"

static struct pen_tls_profile *bare, *dane;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(pen_tls_global_init(), 0);
	bare = pair_profile(&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_ANY});
	dane = pair_profile(
		&(struct pen_tls_profile_config){.trust = PEN_TLS_PROFILE_DANE, .verify_depth = 9});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pen_tls_profile_free(bare);
	pen_tls_profile_free(dane);
	return 0;
}

// ---- fingerprints

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fingerprint_is_of_the_certificate_or_its_key),
		cmocka_unit_test(a_policy_without_fingerprints_matches_nothing),
		cmocka_unit_test(usage_3_wants_this_certificate_and_nothing_else),
		cmocka_unit_test(usage_3_does_not_match_an_issuer),
		cmocka_unit_test(usage_2_wants_a_chain_from_the_anchor_that_was_sent),
		cmocka_unit_test(usage_2_digests_need_the_anchor_in_the_chain_full_data_does_not),
		cmocka_unit_test(usage_2_checks_names_and_dates_and_signatures),
		cmocka_unit_test(usages_0_and_1_are_never_used),
		cmocka_unit_test(records_that_the_engine_rejects_are_unusable),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
