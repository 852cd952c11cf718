// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "pen_tls_profile.h"
#include "tls_ciphers.h"
#include "tls_match.h"

static int protocols(const char *list)
{
	uint32_t exclude = 99;

	return tls_protocols_parse(pen_span_cstr(list), &exclude) ? (int)exclude : -1;
}

static void protocol_lists_are_ranges_exclusions_and_inclusions(void **state)
{
	(void)state;
	const int both = PEN_TLS_NO_TLS12 | PEN_TLS_NO_TLS13;

	assert_int_equal(protocols(""), 0);
	assert_int_equal(protocols(">=TLSv1"), 0);
	assert_int_equal(protocols(">=TLSv1.2"), 0);
	assert_int_equal(protocols(">=tlsv1.3"), PEN_TLS_NO_TLS12);
	assert_int_equal(protocols("<=TLSv1.2"), PEN_TLS_NO_TLS13);
	assert_int_equal(protocols("<=TLSv1.1"), both);
	assert_int_equal(protocols(">=TLSv1.2:!TLSv1.3"), PEN_TLS_NO_TLS13);
	assert_int_equal(protocols("!SSLv2, !SSLv3,!TLSv1 !TLSv1.1"), 0);
	assert_int_equal(protocols("!TLSv1.2"), PEN_TLS_NO_TLS12);
	assert_int_equal(protocols("TLSv1.2"), PEN_TLS_NO_TLS13);
	assert_int_equal(protocols("TLSv1, TLSv1.1"), both);
	assert_int_equal(protocols("TLSv1.2 TLSv1.3"), 0);
	assert_int_equal(protocols(">=0303, <=0x0303"), PEN_TLS_NO_TLS13);
	assert_int_equal(protocols(">="), 0);
	assert_int_equal(protocols("TLSv1.4"), -1);
	assert_int_equal(protocols("!"), -1);
	assert_int_equal(protocols("=TLSv1.2"), -1);
}

static const char *ciphers(const char *grade, uint32_t protocols_out, const char *exclude)
{
	static char out[TLS_CIPHERS_MAX];
	struct pen_span list[2] = {pen_span_cstr(exclude), PEN_SPAN_LIT("aNULL eNULL RC4 3DES")};

	return tls_ciphers_resolve(pen_span_cstr(grade), protocols_out, list, 2, out) ? out : "?";
}

static void grades_are_lists_of_what_the_build_has(void **state)
{
	(void)state;
	const char *all = strdup(ciphers("medium", 0, ""));

	assert_non_null(strstr(all, "TLS13-AES128-GCM-SHA256:"));
	assert_non_null(strstr(all, ":ECDHE-RSA-AES256-SHA"));
	assert_string_equal(ciphers("HIGH", 0, ""), all);
	assert_string_equal(ciphers("low", 0, ""), all);
	assert_string_equal(ciphers("export", 0, ""), all);
	assert_string_equal(ciphers("null", 0, ""), "");
	assert_string_equal(ciphers("mediums", 0, ""), "?");
	free((void *)(uintptr_t)all);
}

static void exclusions_are_names_classes_and_intersections(void **state)
{
	(void)state;
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS13, "AES, CHACHA20"), "");
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS13, "AES128:CHACHA20:CBC:DHE:ECDSA"),
		"ECDHE-RSA-AES256-GCM-SHA384");
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS13, "ECDHE+AES AES+DHE aRSA+CHACHA20"),
		"ECDHE-ECDSA-CHACHA20-POLY1305");
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS12, "ALL"),
		"TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256");
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS12,
				    "TLS_AES_256_GCM_SHA384 TLS13-AES128-GCM-SHA256"),
		"TLS13-CHACHA20-POLY1305-SHA256");
	assert_null(strstr(ciphers("medium", 0, "SHA1"), "SHA:"));
	assert_null(strstr(ciphers("medium", 0, "ECDHE-RSA-AES256-SHA"), "ECDHE-RSA-AES256-SHA "));
	assert_string_equal(ciphers("medium", PEN_TLS_NO_TLS12 | PEN_TLS_NO_TLS13, ""), "");
}

static void fingerprints_are_hex_of_exactly_the_digest(void **state)
{
	(void)state;
	struct tls_fingerprints f = {0};

	assert_null(tls_fingerprint_add(&f,
		PEN_SPAN_LIT("00112233445566778899aabbccddeeff|"
			     "FF:EE:DD:CC:BB:AA:99:88:77:66:55:44:33:22:11:00"),
		"|", PEN_DIGEST_MD5));
	assert_int_equal(f.n, 2);
	assert_int_equal(f.item[0].digest[1], 0x11);
	assert_int_equal(f.item[1].digest[0], 0xff);
	assert_non_null(tls_fingerprint_add(
		&f, PEN_SPAN_LIT("00112233445566778899aabbccddeeff"), "|", PEN_DIGEST_SHA1));
	assert_non_null(tls_fingerprint_add(
		&f, PEN_SPAN_LIT("00112233445566778899aabbccddeeff00"), "|", PEN_DIGEST_MD5));
	assert_non_null(tls_fingerprint_add(
		&f, PEN_SPAN_LIT("00112233445566778899aabbccddeef"), "|", PEN_DIGEST_MD5));
	assert_non_null(tls_fingerprint_add(
		&f, PEN_SPAN_LIT("0011223344556677:8899aabbccddeeff:"), "|", PEN_DIGEST_MD5));
	assert_non_null(tls_fingerprint_add(
		&f, PEN_SPAN_LIT("zz112233445566778899aabbccddeeff"), "|", PEN_DIGEST_MD5));
	assert_int_equal(f.n, 2);
	free(f.item);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(protocol_lists_are_ranges_exclusions_and_inclusions),
		cmocka_unit_test(grades_are_lists_of_what_the_build_has),
		cmocka_unit_test(exclusions_are_names_classes_and_intersections),
		cmocka_unit_test(fingerprints_are_hex_of_exactly_the_digest),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
