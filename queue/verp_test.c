// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "pen_verp.h"

static void check(const char *sender, const char *rcpt, const char *delims, const char *want)
{
	char out[PEN_VERP_MAX];
	size_t n = pen_verp_make(out, pen_span_cstr(sender), pen_span_cstr(rcpt), delims);

	assert_int_equal(n, strlen(want));
	if (n > 0)
		assert_string_equal(out, want);
}

static void the_recipient_goes_into_the_senders_local_part(void **state)
{
	(void)state;
	check("owner-list@origin", "user@domain", "+=", "owner-list+user=domain@origin");
	check("owner-list@origin", "us+er@domain", "-#", "owner-list-us+er#domain@origin");
	check("owner", "user@domain", "+=", "owner+user=domain");
	check("owner@origin", "user", "+=", "owner+user@origin");
	// The last @ is the one that counts.
	check("owner@origin", "\"a@b\"@domain", "+=", "\"owner+a@b=domain\"@origin");
	check("\"o w\"@origin", "user@domain", "+=", "\"o w+user=domain\"@origin");
	check("\"o\\\"w\"@origin", "user@domain", "+=", "\"o\\\"w+user=domain\"@origin");
}

static void the_null_sender_and_what_is_too_long_stay(void **state)
{
	char longer[PEN_VERP_MAX + 1];

	(void)state;
	check("", "user@domain", "+=", "");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	check("a@b", longer, "+=", "");
	longer[PEN_VERP_MAX - 1 - 4] = '\0'; // "a" "+" ... "@b" and the NUL just fit
	char out[PEN_VERP_MAX];
	assert_int_equal(pen_verp_make(out, PEN_SPAN_LIT("a@b"), pen_span_cstr(longer), "+="),
		PEN_VERP_MAX - 1);
}

static void delimiters_come_from_the_filter(void **state)
{
	(void)state;
	assert_true(pen_verp_valid(PEN_SPAN_LIT("+="), "-=+"));
	assert_true(pen_verp_valid(PEN_SPAN_LIT("--"), "-=+"));
	assert_false(pen_verp_valid(PEN_SPAN_LIT("+"), "-=+"));
	assert_false(pen_verp_valid(PEN_SPAN_LIT("+=-"), "-=+"));
	assert_false(pen_verp_valid(PEN_SPAN_LIT("@="), "-=+"));
	assert_false(pen_verp_valid(PEN_SPAN_LIT("+\0"), "-=+"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_recipient_goes_into_the_senders_local_part),
		cmocka_unit_test(the_null_sender_and_what_is_too_long_stay),
		cmocka_unit_test(delimiters_come_from_the_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
