// SPDX-License-Identifier: BSD-3-Clause
#include "pen_content_hash.h"
#include "pen_rand.h"
#include "pen_test.h"

#define BASE                                                                                       \
	"X-Penstock-Id: run-a-17\r\nSubject: x\r\nReceived: kept, not on "                         \
	"top\r\n\r\nbody\r\nReceived: body\r\n"

static uint64_t of(const char *s)
{
	return pen_content_hash_of(pen_span_cstr(s));
}

static void trace_fields_on_top_do_not_count(void **state)
{
	(void)state;
	uint64_t want = XXH3_64bits(BASE, strlen(BASE));

	assert_int_equal(of(BASE), want);
	assert_int_equal(of("Received: from a\r\n\tby b;\r\n date\r\n" BASE), want);
	assert_int_equal(of("Return-Path: <>\r\ndelivered-to: a@b\r\nRECEIVED: x\r\n" BASE), want);
	assert_int_equal(of("X-Penstock-Hash: 0123456789abcdef\r\n" BASE), want);
	assert_int_equal(
		of("Received: a\r\nX-Penstock-Hash: 0123456789abcdef\r\nReceived: b\r\n" BASE),
		want);
	assert_int_not_equal(of("Subject: y\r\nReceived: a\r\n" BASE), want);
}

static void every_other_byte_counts(void **state)
{
	(void)state;
	char text[] = BASE;
	uint64_t want = of(text);

	for (size_t i = 0; i < strlen(BASE); i++) {
		text[i] ^= 1;
		// Changing a trace field's name or ours may change what is hashed; it
		// must never leave the hash as it was.
		assert_int_not_equal(of(text), want);
		text[i] ^= 1;
	}
}

static void the_fields_are_read(void **state)
{
	(void)state;
	struct pen_content_hash h;

	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, PEN_SPAN_LIT("X-Penstock-Hash: 00ff00ff00ff00ff\r\n" BASE));
	pen_content_hash_finish(&h);
	assert_true(h.has_id && h.has_claim);
	assert_string_equal(h.run, "run-a");
	assert_int_equal(h.number, 17);
	assert_int_equal(h.claimed, 0x00ff00ff00ff00ffu);

	pen_content_hash_init(&h);
	pen_content_hash_feed(
		&h, PEN_SPAN_LIT("X-Penstock-Hash: 00ff\r\nX-Penstock-Id: 5\r\n\r\n"));
	pen_content_hash_finish(&h);
	assert_false(h.has_id || h.has_claim);
}

static void pieces_do_not_matter(void **state)
{
	(void)state;
	static const char text[] = "Received: a\r\n b\r\nX-Penstock-Hash: 1\r\n" BASE;
	struct pen_rand r;

	pen_rand_seed(&r, pen_test_seed());
	for (int round = 0; round < 2000; round++) {
		struct pen_content_hash h;
		size_t at = 0, n = sizeof(text) - 1;
		pen_content_hash_init(&h);
		while (at < n) {
			size_t take = 1 + pen_rand_below(&r, 9);
			if (take > n - at)
				take = n - at;
			pen_content_hash_feed(&h, pen_span(text + at, take));
			at += take;
		}
		pen_content_hash_finish(&h);
		assert_int_equal(h.hash, of(BASE));
		assert_int_equal(h.number, 17);
		assert_int_equal(h.bytes, n);
	}
}

static void odd_contents_have_a_hash(void **state)
{
	(void)state;
	static const char *const odd[] = {"", "\r\n", "\n", "no header", "a:", ":\n", " x\r\n\r\n",
		"a very long field name that goes on and on without any colon\r\n\r\nbody"};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_int_equal(of(odd[i]), XXH3_64bits(odd[i], strlen(odd[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_fields_on_top_do_not_count),
		cmocka_unit_test(every_other_byte_counts),
		cmocka_unit_test(the_fields_are_read),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(odd_contents_have_a_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
