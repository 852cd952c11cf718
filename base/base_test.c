// SPDX-License-Identifier: BSD-3-Clause
#include "pen_addr.h"
#include "pen_buf.h"
#include "pen_counter.h"
#include "pen_dsn.h"
#include "pen_rand.h"
#include "pen_ring.h"
#include "pen_secret.h"
#include "pen_test.h"
#include "pen_time.h"

#include <errno.h>

static void addresses_parse_print_and_match_blocks(void **state)
{
	(void)state;
	struct pen_addr a;
	struct pen_cidr c;
	char s[PEN_ADDR_STR_MAX];

	assert_int_equal(pen_addr_parse(&a, PEN_SPAN_LIT("192.0.2.7")), 0);
	assert_string_equal(pen_addr_str(&a, s), "192.0.2.7");
	assert_int_equal(pen_cidr_parse(&c, PEN_SPAN_LIT("192.0.2.0/29"), true), 0);
	assert_true(pen_cidr_has(&c, &a));
	assert_int_equal(pen_addr_parse(&a, PEN_SPAN_LIT("192.0.2.8")), 0);
	assert_false(pen_cidr_has(&c, &a));
	assert_int_equal(pen_addr_parse(&a, PEN_SPAN_LIT("2001:db8::1")), 0);
	assert_string_equal(pen_addr_str(&a, s), "2001:db8::1");
	assert_false(pen_cidr_has(&c, &a));
	assert_int_equal(pen_addr_parse(&a, PEN_SPAN_LIT("192.0.2")), -EINVAL);
	assert_int_equal(pen_addr_parse(&a, PEN_SPAN_LIT("1.2.3.4\0")), -EINVAL);
	assert_int_equal(pen_cidr_parse(&c, PEN_SPAN_LIT("192.0.2.1/24"), true), -EINVAL);
	assert_int_equal(pen_cidr_parse(&c, PEN_SPAN_LIT("192.0.2.1/24"), false), 0);
	assert_int_equal(pen_cidr_parse(&c, PEN_SPAN_LIT("192.0.2.0/33"), true), -EINVAL);
}

static void a_buffer_stops_at_its_limit_and_stays_failed(void **state)
{
	(void)state;
	struct pen_buf b = {.limit = 300};

	pen_buf_addf(&b, "%s-%d", "seg", 7);
	assert_true(pen_span_eq(pen_buf_span(&b), PEN_SPAN_LIT("seg-7")));
	pen_buf_consume(&b, 4);
	assert_true(pen_span_eq(pen_buf_span(&b), PEN_SPAN_LIT("7")));
	char big[400] = {0};
	pen_buf_add(&b, big, sizeof(big));
	assert_true(b.failed);
	pen_buf_add_cstr(&b, "x");
	assert_int_equal(b.n, 1);
	pen_buf_fini(&b);
}

static void what_leaves_a_secret_buffer_is_overwritten(void **state)
{
	(void)state;
	struct pen_buf b = {.limit = 600};
	char big[300];

	memset(big, 'b', sizeof(big));
	pen_secret_add_span(&b, PEN_SPAN_LIT("secret and more"));
	pen_secret_consume(&b, 11);
	assert_memory_equal(b.p, "more\0\0\0\0\0\0\0\0\0\0\0", 15);
	pen_secret_add(&b, big, sizeof(big)); // into another block
	assert_int_equal(b.n, 304);
	assert_memory_equal(b.p, "morebbb", 7);
	pen_secret_add(&b, big, sizeof(big));
	assert_true(b.failed && b.n == 0);
	pen_secret_fini(&b);
	assert_true(!b.failed && b.p == NULL && b.limit == 600);
}

static void enhanced_status_needs_three_numbers_and_an_end(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		size_t used;
	} cases[] = {{"5.1.1 no such user", 5}, {"4.7.25", 6}, {"2.0.0", 5}, {"3.0.0 x", 0},
		{"5.1", 0}, {"5.1.1234 x", 0}, {"5.1.1x", 0}, {"", 0}, {"5..1 x", 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t k;
		uint16_t s, d;
		assert_int_equal(pen_dsn_parse_status(pen_span_cstr(cases[i].in), &k, &s, &d),
			cases[i].used);
	}
}

static void dsn_text_is_cut_and_kept_on_one_line(void **state)
{
	(void)state;
	struct pen_dsn d;
	char longtext[1000];

	memset(longtext, 'a', sizeof(longtext));
	longtext[999] = '\0';
	longtext[3] = '\n';
	pen_dsn_set(
		&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, "%s", longtext);
	assert_int_equal(d.text_len, PEN_DSN_TEXT_MAX - 1);
	assert_int_equal(d.text[3], '?');
}

static void a_full_ring_refuses_and_keeps_order(void **state)
{
	(void)state;
	struct pen_ring r;
	struct pen_ring_msg m;

	assert_int_equal(pen_ring_init(&r, 3), -EINVAL);
	assert_int_equal(pen_ring_init(&r, 4), 0);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 4; i++)
			assert_true(pen_ring_put(&r, (struct pen_ring_msg){.type = i}));
		assert_false(pen_ring_put(&r, (struct pen_ring_msg){.type = 9}));
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(pen_ring_get(&r, &m));
			assert_int_equal(m.type, i);
		}
		assert_false(pen_ring_get(&r, &m));
	}
	pen_ring_fini(&r);
}

static void siphash_matches_the_reference_vector(void **state)
{
	(void)state;
	// The published SipHash-2-4 vector: key 00..0f, input 00..0e.
	struct pen_siphash_key key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
	uint8_t in[15];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	assert_true(pen_siphash(&key, in, sizeof(in)) == 0xa129ca6149be45e5ULL);
}

static void dates_follow_rfc_5322(void **state)
{
	(void)state;
	char s[48];

	pen_wall_rfc5322(s, sizeof(s), 1795232580LL * 1000000);
	assert_string_equal(s, "Sat, 21 Nov 2026 03:43:00 +0000 (UTC)");
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(addresses_parse_print_and_match_blocks),
		cmocka_unit_test(a_buffer_stops_at_its_limit_and_stays_failed),
		cmocka_unit_test(what_leaves_a_secret_buffer_is_overwritten),
		cmocka_unit_test(enhanced_status_needs_three_numbers_and_an_end),
		cmocka_unit_test(dsn_text_is_cut_and_kept_on_one_line),
		cmocka_unit_test(a_full_ring_refuses_and_keeps_order),
		cmocka_unit_test(siphash_matches_the_reference_vector),
		cmocka_unit_test(dates_follow_rfc_5322),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
