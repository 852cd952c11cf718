// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "pen_tlsrpt_record.h"

static struct pen_tlsrpt_rua rua;

static bool one(const char *text)
{
	struct pen_span txt = pen_span_cstr(text);

	return pen_tlsrpt_record(&txt, 1, &rua);
}

static void addresses_of_both_kinds_are_taken_in_order(void **state)
{
	(void)state;
	assert_true(
		one("v=TLSRPTv1; rua=mailto:reports@example.com,https://r.example.com/v1/tlsrpt"));
	assert_int_equal(rua.n, 2);
	assert_false(rua.to[0].https);
	assert_string_equal(rua.to[0].uri, "reports@example.com");
	assert_true(rua.to[1].https);
	assert_string_equal(rua.to[1].uri, "https://r.example.com/v1/tlsrpt");
}

static void white_space_and_unknown_fields_are_passed_over(void **state)
{
	(void)state;
	assert_true(one("v=TLSRPTv1 ;x=y; rua = mailto:a@b.example ; z"));
	assert_string_equal(rua.to[0].uri, "a@b.example");
}

static void percent_signs_stand_for_reserved_characters(void **state)
{
	(void)state;
	assert_true(one("v=TLSRPTv1;rua=mailto:a%21b@b.example?subject=x"));
	assert_string_equal(rua.to[0].uri, "a!b@b.example");
	assert_false(one("v=TLSRPTv1;rua=mailto:a%0d%0aBcc@b.example"));
	assert_false(one("v=TLSRPTv1;rua=mailto:a%2@b.example"));
}

static void what_is_no_record_asks_for_nothing(void **state)
{
	(void)state;
	assert_false(one("v=TLSRPTv1"));
	assert_false(one("v=TLSRPTv1;"));
	assert_false(one("v=TLSRPTv2; rua=mailto:a@b.example"));
	assert_false(one("rua=mailto:a@b.example; v=TLSRPTv1"));
	assert_false(one("v=TLSRPTv1; rua=http://b.example/, ftp://x, mailto:ab"));
}

static void two_records_count_as_none_but_other_texts_do_no_harm(void **state)
{
	struct pen_span txt[3] = {PEN_SPAN_LIT("v=spf1 -all"),
		PEN_SPAN_LIT("v=TLSRPTv1; rua=mailto:a@b.example"),
		PEN_SPAN_LIT("v=TLSRPTv1; rua=mailto:c@d.example")};

	(void)state;
	assert_true(pen_tlsrpt_record(txt, 2, &rua));
	assert_false(pen_tlsrpt_record(txt, 3, &rua));
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(addresses_of_both_kinds_are_taken_in_order),
		cmocka_unit_test(white_space_and_unknown_fields_are_passed_over),
		cmocka_unit_test(percent_signs_stand_for_reserved_characters),
		cmocka_unit_test(what_is_no_record_asks_for_nothing),
		cmocka_unit_test(two_records_count_as_none_but_other_texts_do_no_harm),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
