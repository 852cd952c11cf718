// SPDX-License-Identifier: BSD-3-Clause
#include "pen_shape.h"
#include "pen_test.h"

#define MAX 700

static const char *roll(char out[PEN_SITE_NAME_MAX + 1], uint32_t n, const char *const *names)
{
	struct pen_span mx[MAX];

	for (uint32_t i = 0; i < n; i++)
		mx[i] = pen_span_cstr(names[i]);
	size_t len = pen_site_rollup(mx, n, out);
	assert_int_equal(len, strlen(out));
	assert_true(len <= PEN_SITE_NAME_MAX);
	return out;
}

#define ROLL(...)                                                                                  \
	roll((char[PEN_SITE_NAME_MAX + 1]){0},                                                     \
		sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                            \
		(const char *const[]){__VA_ARGS__})

static void names_that_differ_in_their_first_label_are_put_together(void **state)
{
	(void)state;
	assert_string_equal(
		ROLL("alt4.gmail-smtp-in.l.google.com", "gmail-smtp-in.l.google.com",
			"alt1.gmail-smtp-in.l.google.com.", "ALT3.gmail-smtp-in.l.google.com",
			"alt2.Gmail-Smtp-In.l.google.com"),
		"(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com.");
	assert_string_equal(ROLL("mx2.example.com", "mx1.example.com"), "(mx1|mx2).example.com.");
	assert_string_equal(ROLL("mx1.example.com", "example.com"), "(mx1)?.example.com.");
	assert_string_equal(ROLL("alt1.mx.example", "alt2.mx.example", "mx.example", "mx2.example"),
		"(alt1|alt2)?.mx.example.,mx2.example.");
	assert_string_equal(ROLL("a.b.c", "b.c", "c"), "(a)?.b.c.,c.");
}

static void single_names_are_themselves(void **state)
{
	(void)state;
	assert_string_equal(ROLL("example-com.mail.protection.outlook.com"),
		"example-com.mail.protection.outlook.com.");
	assert_string_equal(
		ROLL("MX.Example.COM.", "mx.example.com", "mx.example.com."), "mx.example.com.");
	assert_string_equal(ROLL("localhost"), "localhost.");
	assert_string_equal(ROLL("[10.0.0.1]"), "[10.0.0.1].");
	assert_string_equal(ROLL("odd name|x.example"), "odd%20name%7Cx.example.");
	char out[PEN_SITE_NAME_MAX + 1] = "x";
	assert_int_equal(pen_site_rollup(NULL, 0, out), 0);
	assert_string_equal(out, "");
	assert_string_equal(ROLL(""), ".");
}

static void unrelated_names_are_joined_in_order(void **state)
{
	char text[20][16], expected[PEN_SITE_NAME_MAX + 1] = "", out[PEN_SITE_NAME_MAX + 1];
	const char *names[20];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text[i], sizeof(text[i]), "m.h%c.z%c", 'a' + i, 'a' + i);
		names[i * 7 % 20] = text[i];
		strcat(expected, text[i]);
		strcat(expected, i < 19 ? ".," : ".");
	}
	assert_string_equal(roll(out, 20, names), expected);
}

static void a_long_name_is_cut_with_a_hash(void **state)
{
	static char text[MAX][40];
	const char *names[MAX];
	char a[PEN_SITE_NAME_MAX + 1], b[PEN_SITE_NAME_MAX + 1], c[PEN_SITE_NAME_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "mx%u.host%u.example", i, i);
		names[i] = text[i];
	}
	for (unsigned n = 30; n <= MAX; n += 335) { // and more than anybody has
		roll(a, n, names);
		assert_int_equal(strlen(a), n > 256 ? strlen(a) : PEN_SITE_NAME_MAX);
		assert_non_null(strchr(a, '~'));
		for (unsigned i = 0; i < n / 2; i++) {
			const char *swap = names[i];
			names[i] = names[n - 1 - i];
			names[n - 1 - i] = swap;
		}
		assert_string_equal(roll(b, n, names), a);
		assert_string_not_equal(roll(c, n - 1, names), a);
	}
}

// Sets of up to three of some names: no two have the same name.
static void different_sets_have_different_names(void **state)
{
	static const char *const pool[] = {"a.x", "b.x", "x", "a.b.x", "b.b.x", "y", "a.y", "a"};
	static char seen[300][PEN_SITE_NAME_MAX + 1];
	unsigned n = 0;

	(void)state;
	for (unsigned bits = 1; bits < 256; bits++) {
		const char *names[8];
		uint32_t k = 0;
		for (unsigned i = 0; i < 8; i++) {
			if (bits >> i & 1)
				names[k++] = pool[i];
		}
		roll(seen[n], k, names);
		for (unsigned i = 0; i < n; i++)
			assert_string_not_equal(seen[i], seen[n]);
		n++;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_differ_in_their_first_label_are_put_together),
		cmocka_unit_test(single_names_are_themselves),
		cmocka_unit_test(unrelated_names_are_joined_in_order),
		cmocka_unit_test(a_long_name_is_cut_with_a_hash),
		cmocka_unit_test(different_sets_have_different_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
