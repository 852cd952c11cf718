// SPDX-License-Identifier: BSD-3-Clause
#include "pen_content_hash.h"
#include "pen_histogram.h"
#include "pen_rand.h"
#include "pen_test.h"

static uint64_t hash_of(const char *text)
{
	return pen_content_hash(text, strlen(text));
}

static void trace_fields_do_not_change_the_hash(void **state)
{
	(void)state;
	const char *sent = "Subject: x\r\nX-Penstock-Id: run-1\r\n\r\nbody\r\n";
	const char *got =
		"Return-Path: <a@b>\r\nDelivered-To: c\r\nX-Original-To: c\r\n"
		"Received: from x\r\n\tby y; z\r\nRECEIVED: again\r\n"
		"Subject: x\r\nX-Penstock-Hash: 0123456789abcdef\r\nX-Penstock-Id: run-1\r\n"
		"Message-Id: <1@x>\r\nDate: today\r\n\r\nbody\r\n";

	assert_int_equal(hash_of(sent), hash_of(got));
	assert_int_equal(hash_of(sent), XXH3_64bits(sent, strlen(sent)));
}

static void every_other_byte_changes_the_hash(void **state)
{
	(void)state;
	uint64_t h = hash_of("Subject: x\r\n\r\nbody\r\n");

	assert_int_not_equal(h, hash_of("Subject: y\r\n\r\nbody\r\n"));
	assert_int_not_equal(h, hash_of("Subject: x\r\n\r\nbody\r\n\r\n"));
	assert_int_not_equal(h, hash_of("Subject: x\r\n\r\n.body\r\n"));
	assert_int_not_equal(h, hash_of("Subject: x\r\n\r\nReceived: x\r\nbody\r\n"));
	assert_int_not_equal(h, hash_of("Subject: x\r\nX-Received: x\r\n\r\nbody\r\n"));
	assert_int_not_equal(h, hash_of("Subject: x\r\nReceived : x\r\n\r\nbody\r\n"));
}

static void line_ends_are_made_canonical_first(void **state)
{
	(void)state;
	uint64_t h = hash_of("Subject: x\r\n\r\na\r\nb\r\n");

	assert_int_equal(h, hash_of("Subject: x\n\na\nb"));
	assert_int_equal(h, hash_of("Date: x\n y\nSubject: x\n\na\r\nb\n"));
	assert_int_not_equal(h, hash_of("Subject: x\n\na\rb\n"));
	assert_int_equal(hash_of(""), XXH3_64bits("", 0));
	assert_int_equal(hash_of("a"), XXH3_64bits("a\r\n", 3));
	assert_int_equal(hash_of("a\r"), XXH3_64bits("a\r\r\n", 4));
	assert_int_equal(hash_of("Date: x"), XXH3_64bits("", 0));
}

static void the_header_block_ends_at_the_first_line_that_is_no_field(void **state)
{
	(void)state;
	const char *text = "hello world\r\nDate: x\r\n";
	const char *lead = " Date: x\r\nDate: y\r\n";
	const char *lone = ": x\r\nDate: y\r\n";

	assert_int_equal(hash_of(text), XXH3_64bits(text, strlen(text)));
	assert_int_equal(hash_of(lead), XXH3_64bits(lead, strlen(lead)));
	assert_int_equal(hash_of(lone), XXH3_64bits(lone, strlen(lone)));
	const char *longname = "A-name-that-is-longer-than-any-of-ours: x\r\n y\r\n\r\nDate: y\r\n";
	assert_int_equal(hash_of(longname), XXH3_64bits(longname, strlen(longname)));
}

static void the_claimed_hash_and_id_are_noted(void **state)
{
	(void)state;
	struct pen_content_hash h;
	const char *m = "x-penstock-id:  run7-42 \r\nX-Penstock-Hash: 00ff00000000000a\r\n\r\nx";

	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, m, strlen(m));
	pen_content_hash_end(&h);
	assert_true(h.has_claim);
	assert_int_equal(h.claim, 0x00ff00000000000aull);
	assert_string_equal(h.id, "run7-42");

	m = "X-Penstock-Id: 1\r\nX-Penstock-Hash: 000000000000000b\r\n"
	    "X-Penstock-Id: 2\r\nX-Penstock-Hash: 12\r\n";
	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, m, strlen(m));
	pen_content_hash_end(&h);
	assert_true(h.has_claim);
	assert_int_equal(h.claim, 11);
	assert_string_equal(h.id, "1");

	pen_content_hash_init(&h);
	m = "X-Penstock-Hash: 00ff0000000000\r\n\r\nX-Penstock-Id: no\r\n";
	pen_content_hash_feed(&h, m, strlen(m));
	pen_content_hash_end(&h);
	assert_false(h.has_claim);
	assert_string_equal(h.id, "");
}

static void pieces_of_any_size_give_the_same_hash(void **state)
{
	(void)state;
	static const char alphabet[] = "aD: \t\r\n\n.Received:Date:X-Penstock-Id:\x80";
	struct pen_rand r;

	pen_rand_seed(&r, pen_test_seed());
	for (int round = 0; round < 5000; round++) {
		uint8_t text[200];
		size_t n = pen_rand_below(&r, sizeof(text));
		for (size_t i = 0; i < n;) {
			if (pen_rand_below(&r, 8) == 0 && n - i > 10) {
				memcpy(text + i, "\r\nDate: ", 8);
				i += 8;
			} else {
				text[i++] = (uint8_t)alphabet[pen_rand_below(&r, sizeof(alphabet))];
			}
		}
		struct pen_content_hash h;
		pen_content_hash_init(&h);
		for (size_t i = 0; i < n;) {
			size_t piece = 1 + pen_rand_below(&r, 9);
			piece = piece > n - i ? n - i : piece;
			pen_content_hash_feed(&h, text + i, piece);
			i += piece;
		}
		assert_int_equal(pen_content_hash_end(&h), pen_content_hash(text, n));
	}
}

static void quantiles_stay_within_a_sixty_fourth(void **state)
{
	(void)state;
	static struct pen_histogram h;

	pen_histogram_init(&h);
	assert_int_equal(pen_histogram_quantile(&h, 0.5), 0);
	for (uint64_t v = 1; v <= 100000; v++)
		pen_histogram_add(&h, v);
	assert_int_equal(h.count, 100000);
	for (int i = 1; i <= 100; i++) {
		double q = i / 100.0, exact = q * 100000;
		double got = (double)pen_histogram_quantile(&h, q);
		assert_true(got >= exact && got <= exact * (1 + 1.0 / 64) + 1);
	}
	assert_int_equal(pen_histogram_quantile(&h, 1.0), 100000);
	assert_int_equal(h.min, 1);
	pen_histogram_add(&h, UINT64_MAX);
	assert_true(pen_histogram_quantile(&h, 1.0) == UINT64_MAX);
}

static void merged_histograms_hold_both(void **state)
{
	(void)state;
	static struct pen_histogram a, b;

	pen_histogram_init(&a);
	pen_histogram_init(&b);
	pen_histogram_add(&a, 5);
	pen_histogram_add(&b, 1000);
	pen_histogram_merge(&a, &b);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.max, 1000);
	assert_int_equal(a.min, 5);
	assert_int_equal(pen_histogram_quantile(&a, 0.5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_fields_do_not_change_the_hash),
		cmocka_unit_test(every_other_byte_changes_the_hash),
		cmocka_unit_test(line_ends_are_made_canonical_first),
		cmocka_unit_test(the_header_block_ends_at_the_first_line_that_is_no_field),
		cmocka_unit_test(the_claimed_hash_and_id_are_noted),
		cmocka_unit_test(pieces_of_any_size_give_the_same_hash),
		cmocka_unit_test(quantiles_stay_within_a_sixty_fourth),
		cmocka_unit_test(merged_histograms_hold_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
