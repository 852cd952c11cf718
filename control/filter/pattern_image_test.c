// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_egress.h"
#include "pen_pattern.h"
#include "pen_pattern_image.h"
#include "pen_reply_rules.h"
#include "pen_shipped_image.h"

#define LIMIT (30 * PEN_US_PER_S)

static const struct pen_pattern some[] = {
	{PEN_SPAN_LIT("needle"), PEN_PATTERN_CASELESS, "test", 1}, // Hyperscan
	{PEN_SPAN_LIT("^x(?=yz)"), 0, "test", 2},                  // prefilter
	{PEN_SPAN_LIT("(?|(q)u|(k)w)\\R"), 0, "test", 3},          // PCRE2 alone
};
#define SOME 3

static int end(void **state)
{
	(void)state;
	pen_pattern_image_use(pen_span(NULL, 0));
	pen_pattern_image_record(NULL);
	return 0;
}

static struct pen_pattern_set *set_of(const struct pen_pattern *p, size_t n)
{
	char err[300] = "";
	struct pen_pattern_set *set = pen_pattern_set_new(p, n, LIMIT, err, sizeof(err));

	assert_string_equal(err, "");
	assert_non_null(set);
	return set;
}

// Whether a set of these is loaded and not compiled.
static bool loads(const struct pen_pattern *p, size_t n)
{
	uint64_t before = pen_pattern_image_uses();

	pen_pattern_set_free(set_of(p, n));
	return pen_pattern_image_uses() == before + 1;
}

static struct pen_buf image_of(const struct pen_pattern *p, size_t n)
{
	struct pen_buf image = PEN_BUF_INIT;

	pen_pattern_image_record(&image);
	pen_pattern_set_free(set_of(p, n));
	assert_false(image.failed);
	assert_true(image.n > 0);
	return image;
}

static ptrdiff_t first(const struct pen_pattern_set *set, const char *text)
{
	struct pen_pattern_scratch *s = pen_pattern_scratch_new(set);

	assert_non_null(s);
	assert_int_equal(pen_pattern_scan(s, pen_span_cstr(text), false), 0);
	ptrdiff_t i = pen_pattern_first(s);
	pen_pattern_scratch_free(s);
	return i;
}

static void a_loaded_set_answers_as_the_compiled_one(void **state)
{
	static const char *const texts[] = {"a NEEDLE", "xyz", "xy", "qu\n", "kw\n", "qw\n", ""};
	struct pen_buf image = image_of(some, SOME);
	struct pen_pattern_set *compiled = set_of(some, SOME);

	(void)state;
	pen_pattern_image_use(pen_buf_span(&image));
	uint64_t before = pen_pattern_image_uses();
	struct pen_pattern_set *loaded = set_of(some, SOME);
	assert_int_equal(pen_pattern_image_uses(), before + 1);
	for (size_t i = 0; i < SOME; i++)
		assert_int_equal(
			pen_pattern_set_engine(loaded, i), pen_pattern_set_engine(compiled, i));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(first(loaded, texts[i]), first(compiled, texts[i]));
	assert_int_equal(first(loaded, "a NEEDLE"), 0);
	assert_int_equal(first(loaded, "xyz"), 1);
	assert_int_equal(first(loaded, "kw\n"), 2);
	pen_pattern_set_free(loaded);
	pen_pattern_set_free(compiled);
	pen_buf_fini(&image);
}

static void other_patterns_or_flags_are_compiled(void **state)
{
	struct pen_pattern other[SOME + 1];
	struct pen_buf image = image_of(some, SOME);

	(void)state;
	memcpy(other, some, sizeof(some));
	other[SOME] = other[0];
	pen_pattern_image_use(pen_buf_span(&image));
	assert_false(loads(other, SOME - 1));
	assert_false(loads(other, SOME + 1));
	assert_true(loads(other, SOME));
	other[0].flags = 0;
	assert_false(loads(other, SOME));
	other[0] = some[0];
	other[2].text = PEN_SPAN_LIT("(?|(q)u|(k)v)\\R");
	assert_false(loads(other, SOME));
	other[2] = some[2];
	other[0].line = 77; // only for messages
	assert_true(loads(other, SOME));
	pen_buf_fini(&image);
}

static void a_damaged_image_is_not_used(void **state)
{
	struct pen_buf image = image_of(some, SOME);

	(void)state;
	// Cut anywhere, from a copy of that size, so that a read past its end shows.
	for (size_t n = 0; n < image.n; n += n < 200 ? 1 : 97) {
		uint8_t *cut = malloc(n + 1);
		memcpy(cut, image.p, n);
		pen_pattern_image_use(pen_span(cut, n));
		assert_false(loads(some, SOME));
		free(cut);
	}
	pen_pattern_image_use(pen_buf_span(&image));
	for (size_t i = 0; i < image.n; i += i < 200 ? 1 : 97) {
		image.p[i] ^= 0x5a;
		pen_pattern_set_free(set_of(some, SOME)); // whether used or not: no harm
		image.p[i] ^= 0x5a;
	}
	image.p[image.n / 2] ^= 1; // in the database, far from its ends
	assert_false(loads(some, SOME));
	pen_buf_fini(&image);
}

static void a_daemon_without_rules_of_its_own_loads_what_is_shipped(void **state)
{
	struct pen_report report = {0};
	struct pen_egress egress;
	char err[300] = "";

	(void)state;
	if (pen_shipped_image().n == 0)
		skip(); // cross-built
	assert_int_equal(pen_egress_parse(&egress,
				 PEN_SPAN_LIT("port a { device = \"x\"; prefix = 24 }\n"
					      "source b { port = a; address = \"10.0.0.1\" }\n"
					      "default { connections = 5 }\n"),
				 "egress.conf", &report),
		0);
	pen_pattern_image_use(pen_shipped_image());
	uint64_t before = pen_pattern_image_uses();
	struct pen_reply_rules *r =
		pen_reply_rules_new(NULL, "egress.conf", egress.shape, err, sizeof(err));
	assert_non_null(r);
	assert_int_equal(pen_pattern_image_uses(), before + 1);
	pen_reply_rules_free(r);
	pen_egress_fini(&egress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_loaded_set_answers_as_the_compiled_one, end),
		cmocka_unit_test_teardown(other_patterns_or_flags_are_compiled, end),
		cmocka_unit_test_teardown(a_damaged_image_is_not_used, end),
		cmocka_unit_test_teardown(
			a_daemon_without_rules_of_its_own_loads_what_is_shipped, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
