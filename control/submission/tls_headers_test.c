// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "tls_headers.h"

static const struct {
	const char *block;
	bool require, optional;
	const char *unknown; // NULL: none
} cases[] = {
	{"", false, false, NULL},
	{"Subject: TLS-Required: no\r\n", false, false, NULL},
	{"Require-TLS-ESMTP: yes\r\n", true, false, NULL},
	{"a: b\r\nrequire-tls-esmtp:YES  \r\nc: d\r\n", true, false, NULL},
	{"Require-TLS-ESMTP:\r\n\tyes\r\n", true, false, NULL},
	{"Require-TLS-ESMTP: y\r\n es\r\n", false, false, NULL},
	{"Require-TLS-ESMTP: no\r\n", false, false, NULL},
	{"Require-TLS-ESMTP: yesss\r\n", false, false, NULL},
	{"Require-TLS-ESMTP:\r\n", false, false, NULL},
	{"Require-TLS-ESMTP: no\r\nRequire-TLS-ESMTP: yes\r\n", true, false, NULL},
	{"Require-TLS-ESMTPX: yes\r\n", false, false, NULL},
	{"X-Require-TLS-ESMTP: yes\r\n", false, false, NULL},
	{"a: b\r\n Require-TLS-ESMTP: yes\r\n", false, false, NULL},
	{"Require-TLS-ESMTP : yes\r\n", true, false, NULL},
	{"Require-TLS-ESMTP: yes", true, false, NULL},
	{"TLS-Required: no\r\n", false, true, NULL},
	{"tls-required: No\r\n", false, true, NULL},
	{"TLS-Required:\r\n no\r\n", false, true, NULL},
	{"TLS-Required: yes\r\n", false, false, "yes"},
	{"TLS-Required: no, really\r\n", false, false, "no, really"},
	{"TLS-Required:\r\n", false, false, ""},
	{"TLS-Required: maybe\r\nTLS-Required: no\r\n", false, true, "maybe"},
	{"TLS-Required: no\r\nRequire-TLS-ESMTP: yes\r\n", true, true, NULL},
	{"TLS-Required", false, false, NULL},
	{"\n\n\nTLS-Required:no\n", false, true, NULL},
};

static void fields_are_found_whatever_their_case_and_folding(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_headers h;
		size_t n = strlen(cases[i].block);
		char *exact = malloc(n + 1); // of its own: ASan sees what reads beyond it
		memcpy(exact, cases[i].block, n);
		tls_headers_scan(pen_span(exact, n), &h);
		if (h.require != cases[i].require || h.optional != cases[i].optional ||
			h.has_unknown != (cases[i].unknown != NULL))
			fail_msg("case %zu: %s", i, cases[i].block);
		if (cases[i].unknown != NULL)
			assert_true(pen_span_eq(h.unknown, pen_span_cstr(cases[i].unknown)));
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found_whatever_their_case_and_folding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
