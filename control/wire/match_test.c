// SPDX-License-Identifier: BSD-3-Clause

// From a result to its class and its rules.

#include "pen_test.h"

#include "pen_match.h"

static struct pen_shape_rule rules[2];

static struct pen_match_set *with_rules(uint32_t n)
{
	struct pen_shape_config cfg = {.nrules = n, .rule = rules};
	char err[200] = "";

	rules[0] = (struct pen_shape_rule){.line = 1, .pattern = "/^421 4\\.7\\.28/"};
	rules[1] =
		(struct pen_shape_rule){.line = 2, .pattern = "/slow down/", .provider = "google"};
	struct pen_reply_rules *r =
		pen_reply_rules_new(NULL, "egress.conf", &cfg, err, sizeof(err));
	assert_string_equal(err, "");
	return pen_match_set_new(r);
}

static struct pen_dsn dsn(unsigned klass, unsigned subject, unsigned detail,
	enum pen_dsn_origin origin, enum pen_smtp_stage stage, uint16_t reply, const char *text)
{
	struct pen_dsn d;

	pen_dsn_set(&d, klass, subject, detail, PEN_SCOPE_SESSION, origin, stage, "%s", text);
	d.reply = reply;
	return d;
}

static uint64_t counted(const struct pen_match *m, const char *name)
{
	struct pen_counter_set set = pen_match_counters_of(m);

	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.desc[i].name, name) == 0)
			return pen_counter_read(&set.value[i]);
	}
	fail_msg("no counter %s", name);
	return 0;
}

static void a_reply_is_matched_as_the_server_gave_it(void **state)
{
	struct pen_match *m = pen_match_new(with_rules(2));
	struct pen_sched_match out;
	struct pen_dsn d = dsn(4, 7, 28, PEN_ORIGIN_PEER, PEN_STAGE_DOT, 421,
		"host mx[192.0.2.1] said: 421 4.7.28 unusual rate of mail, slow down (in reply to "
		"end of DATA)");

	(void)state;
	pen_match_ask(m, &d, "google", PEN_SPAN_LIT("mx.google.com."), &out);
	assert_string_equal(out.klass, "rate-limited");
	assert_int_equal(out.nrules, 2);
	assert_int_equal(out.rule[0], 0);
	assert_int_equal(out.rule[1], 1);
	assert_false(out.greylisted);
	pen_match_ask(m, &d, "", PEN_SPAN_LIT("mx.google.com."), &out);
	assert_int_equal(out.nrules, 1);
	d = dsn(4, 2, 0, PEN_ORIGIN_PEER, PEN_STAGE_RCPT, 450, "Greylisted, slow down");
	pen_match_ask(m, &d, "google", pen_span("", 0), &out);
	assert_true(out.greylisted);
	assert_int_equal(out.nrules, 1);
	pen_match_free(m);
}

static void a_failure_of_ours_has_a_class_and_matches_no_rule(void **state)
{
	struct pen_match *m = pen_match_new(with_rules(2));
	struct pen_sched_match out;
	struct pen_dsn d = dsn(4, 4, 1, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, 0,
		"connect to mx[192.0.2.1]:25: Connection timed out");

	(void)state;
	pen_match_ask(m, &d, "google", pen_span("", 0), &out);
	assert_string_equal(out.klass, "no-answer-from-host");
	assert_int_equal(out.nrules, 0);
	// What a server said before tells the class of mail that waits for it, but it
	// is not said again.
	d = dsn(4, 7, 0, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, 0,
		"delivery temporarily suspended: host mx[192.0.2.1] refused to talk to me: 421 "
		"4.7.0 too many connections, slow down");
	pen_match_ask(m, &d, "google", pen_span("", 0), &out);
	assert_string_equal(out.klass, "rate-limited");
	assert_int_equal(out.nrules, 0);
	d = dsn(4, 3, 0, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, 0, "out of memory");
	assert_string_equal(pen_match_ask(m, &d, "", pen_span("", 0), NULL), "other");
	pen_match_free(m);
}

static void a_reload_brings_rules_and_keeps_names_and_counts(void **state)
{
	struct pen_match *m = pen_match_new(with_rules(0));
	struct pen_sched_match out;
	struct pen_dsn d = dsn(4, 7, 28, PEN_ORIGIN_PEER, PEN_STAGE_MAIL, 421, "4.7.28 rate");

	(void)state;
	pen_match_ask(m, &d, "", pen_span("", 0), &out);
	assert_int_equal(out.nrules, 0);
	const char *before = out.klass;
	pen_match_count(m, before);
	struct pen_match_set *old = pen_match_replace(m, with_rules(2));
	pen_match_set_free(old);
	pen_match_set_free(with_rules(1)); // one that was never in use
	pen_match_ask(m, &d, "", pen_span("", 0), &out);
	assert_int_equal(out.nrules, 1);
	assert_ptr_equal(out.klass, before);
	pen_match_count(m, "rate-limited");
	assert_int_equal(counted(m, "rate-limited"), 2);
	assert_int_equal(counted(m, "tls-failed"), 0);
	assert_string_equal(pen_match_counters_of(m).group, "failures");
	pen_match_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_is_matched_as_the_server_gave_it),
		cmocka_unit_test(a_failure_of_ours_has_a_class_and_matches_no_rule),
		cmocka_unit_test(a_reload_brings_rules_and_keeps_names_and_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
