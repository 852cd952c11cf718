// SPDX-License-Identifier: BSD-3-Clause

// The window of a site, step by step: the table of known sequences.
#include "pen_feedback.h"
#include "pen_test.h"

#include <stdlib.h>

#define FIXED(n)                                                                                   \
	{                                                                                          \
		(n), PEN_FEEDBACK_FIXED                                                            \
	}
#define PER_W(n)                                                                                   \
	{                                                                                          \
		(n), PEN_FEEDBACK_CONCURRENCY                                                      \
	}

// Plays `events` ('+', '-') and compares the window after each with `expect`, a
// list like "6,5,dead". `busy` 0: as many connections as the window allows.
static void play(const char *label, struct pen_feedback_rules r, uint32_t busy, const char *events,
	const char *expect)
{
	char got[256] = "";
	struct pen_feedback f;

	pen_feedback_init(&f, &r);
	for (const char *e = events; *e != '\0'; e++) {
		if (*e == '+')
			pen_feedback_success(&f, &r, busy != 0 ? busy : f.window);
		else if (pen_feedback_failure(&f, &r) != (f.window == 0))
			fail_msg("%s: dead or not?", label);
		char one[16];
		snprintf(one, sizeof(one), f.window == 0 ? "dead" : "%u", f.window);
		if (got[0] != '\0')
			strcat(got, ",");
		strcat(got, one);
	}
	if (strcmp(got, expect) != 0)
		fail_msg("%s: %s, not %s", label, got, expect);
}

static struct pen_feedback_rules rules(uint32_t initial, struct pen_feedback_rate positive,
	struct pen_feedback_rate negative, uint32_t cohorts)
{
	return (struct pen_feedback_rules){.initial = initial,
		.limit = 20,
		.positive = positive,
		.negative = negative,
		.failed_cohort_limit = cohorts};
}

static void windows_follow_the_known_sequences(void **state)
{
	const struct pen_feedback_rate one = FIXED(1), half = FIXED(0.5), per = PER_W(1);
	struct pen_feedback_rules wide = rules(5, one, one, 1);

	(void)state;
	play("defaults", PEN_FEEDBACK_RULES_DEFAULT, 0, "---", "3,2,dead");
	play("alternating", rules(5, one, one, 1), 0, "+-+-+-", "6,4,5,3,4,2");
	play("one success between", rules(5, one, one, 1), 0, "--+--", "3,2,3,1,dead");
	play("negative by concurrency", rules(5, one, per, 1), 0, "-----", "4,4,4,3,dead");
	play("positive by concurrency", rules(5, per, one, 1), 0, "+++++++++++",
		"5,5,5,5,6,6,6,6,6,6,7");
	play("negative one half", rules(5, one, half, 1), 0, "----", "4,3,3,dead");
	play("positive one half", rules(5, half, one, 1), 0, "++++++++++", "5,6,6,7,7,8,8,9,9,10");
	play("two cohorts", rules(5, one, one, 2), 0, "----", "3,2,1,dead");
	play("ten cohorts", rules(5, one, one, 10), 0, "------", "3,2,1,1,1,1");
	play("never dead", rules(5, one, one, 0), 0, "--------", "3,2,1,1,1,1,1,1");
	play("three busy", wide, 3, "++++++++++", "6,7,8,8,8,8,8,8,8,8");
	wide.limit = 0;
	play("three busy, no limit", wide, 3, "++++++++++", "6,7,8,8,8,8,8,8,8,8");
	play("initial 20", rules(20, one, one, 1), 0, "--------", "18,17,16,15,14,13,12,11");
	play("initial 1", rules(1, one, one, 1), 0, "-", "dead");
	play("initial 2", rules(2, one, one, 1), 0, "--", "1,dead");
}

static void the_limit_is_never_passed(void **state)
{
	struct pen_feedback_rules r = PEN_FEEDBACK_RULES_DEFAULT;

	(void)state;
	r.limit = 7;
	play("limit 7", r, 0, "+++++", "6,7,7,7,7");
}

static void a_dead_site_comes_back_with_what_is_busy(void **state)
{
	struct pen_feedback_rules r = PEN_FEEDBACK_RULES_DEFAULT;
	struct pen_feedback f;

	(void)state;
	pen_feedback_init(&f, &r);
	while (!pen_feedback_failure(&f, &r))
		;
	struct pen_feedback dead = f;
	pen_feedback_success(&f, &r, 2);
	assert_int_equal(f.window, 2);
	f = dead;
	pen_feedback_revive(&f, &r, 0);
	assert_int_equal(f.window, 5);
	// What was counted before is forgotten: two failures do not kill five.
	assert_false(pen_feedback_failure(&f, &r));
	assert_false(pen_feedback_failure(&f, &r));
	assert_true(pen_feedback_failure(&f, &r));
}

static void the_square_root_lies_between_the_two(void **state)
{
	struct pen_feedback_rules r = PEN_FEEDBACK_RULES_DEFAULT;
	uint32_t n[3];

	(void)state;
	for (int scale = 0; scale < 3; scale++) {
		struct pen_feedback f;
		r.positive.scale = (enum pen_feedback_scale)scale;
		r.initial = 16;
		r.limit = 0;
		pen_feedback_init(&f, &r);
		for (n[scale] = 0; f.window < 18; n[scale]++)
			pen_feedback_success(&f, &r, f.window);
	}
	assert_int_equal(n[PEN_FEEDBACK_FIXED], 2);
	assert_int_equal(n[PEN_FEEDBACK_SQRT], 8);
	assert_true(n[PEN_FEEDBACK_CONCURRENCY] > 30);
}

static void rates_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		double base;
		enum pen_feedback_scale scale;
	} cases[] = {
		{"1", true, 1, PEN_FEEDBACK_FIXED},
		{"0", true, 0, PEN_FEEDBACK_FIXED},
		{"0.25", true, 0.25, PEN_FEEDBACK_FIXED},
		{".5", true, 0.5, PEN_FEEDBACK_FIXED},
		{"1/concurrency", true, 1, PEN_FEEDBACK_CONCURRENCY},
		{"0.5 / sqrt_concurrency", true, 0.5, PEN_FEEDBACK_SQRT},
		{"", false, 1, PEN_FEEDBACK_FIXED},
		{".", false, 1, PEN_FEEDBACK_FIXED},
		{"2", false, 1, PEN_FEEDBACK_FIXED},
		{"-1", false, 1, PEN_FEEDBACK_FIXED},
		{"nan", false, 1, PEN_FEEDBACK_FIXED},
		{"0x1", false, 1, PEN_FEEDBACK_FIXED},
		{"1e-1", false, 1, PEN_FEEDBACK_FIXED},
		{"1/", false, 1, PEN_FEEDBACK_FIXED},
		{"1/concurrent", false, 1, PEN_FEEDBACK_FIXED},
		{"/concurrency", false, 1, PEN_FEEDBACK_FIXED},
		{"1/concurrency now", false, 1, PEN_FEEDBACK_FIXED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_feedback_rate r;
		if (pen_feedback_rate_parse(pen_span_cstr(cases[i].text), &r) != cases[i].ok ||
			r.base != cases[i].base || r.scale != cases[i].scale)
			fail_msg("\"%s\": %g %d", cases[i].text, r.base, r.scale);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_follow_the_known_sequences),
		cmocka_unit_test(the_limit_is_never_passed),
		cmocka_unit_test(a_dead_site_comes_back_with_what_is_busy),
		cmocka_unit_test(the_square_root_lies_between_the_two),
		cmocka_unit_test(rates_are_read_strictly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
