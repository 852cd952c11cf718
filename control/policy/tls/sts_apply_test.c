// SPDX-License-Identifier: BSD-3-Clause
#include "pen_sts.h"
#include "pen_test.h"
#include "tls_bed.h"
#include "tls_private.h"

static struct tls_bed bed;
static char *lines[] = {
	(char *)(uintptr_t) "version: STSv1", (char *)(uintptr_t) "mode: enforce", NULL};

static int end(void **state)
{
	(void)state;
	tls_bed_fini(&bed);
	return 0;
}

static void load(const char *text)
{
	if (!tls_bed_load(&bed, text))
		fail_msg("%s", report_lines_text(&bed.lines));
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NONE);
}

static struct pen_sts_policy sts_policy(enum pen_sts_mode mode)
{
	return (struct pen_sts_policy){.mode = mode,
		.domain = "example.com",
		.nmx = 2,
		.mx = {(char *)(uintptr_t) "*.example.com", (char *)(uintptr_t) "mail.example.net"},
		.line = lines};
}

static const char *level(const struct pen_tls_host_facts *facts)
{
	const struct pen_tls_policy *p = tls_bed_host(&bed, facts);

	return p->skipped ? "skip" : pen_tls_level_name(p->level);
}

static void a_wildcard_stands_for_exactly_one_label(void **state)
{
	(void)state; // O-69
	char *pattern[] = {(char *)(uintptr_t) "*.example.com"};
	char *dotted[] = {(char *)(uintptr_t) ".example.com"};

	assert_true(tls_mx_allowed(pattern, 1, "mx.example.com"));
	assert_true(tls_mx_allowed(pattern, 1, "MX.EXAMPLE.COM"));
	assert_false(tls_mx_allowed(pattern, 1, "example.com"));
	assert_false(tls_mx_allowed(pattern, 1, "a.b.example.com"));
	assert_false(tls_mx_allowed(pattern, 1, ".example.com"));
	assert_false(tls_mx_allowed(dotted, 1, "mx.example.com"));
	assert_false(tls_mx_allowed(pattern, 0, "mx.example.com"));
}

#define TABLE                                                                                      \
	"smtp_tls_policy_maps = inline:{{example.com = secure "                                    \
	"match=mx.example.com:.example.com policy_type=sts policy_domain=example.com "             \
	"mx_host_pattern=*.example.com {policy_string = mx: *.example.com}}}\n"

static void sts_from_a_table_names_hosts_and_matches_the_host_name(void **state)
{
	(void)state; // O-67, O-68
	struct pen_tls_host_facts good = tls_bed_facts("mx1.example.com");
	struct pen_tls_host_facts evil = tls_bed_facts("mx.evil.net");

	load(TABLE);
	assert_false(bed.site.want_sts);
	assert_string_equal(level(&good), "secure");
	assert_int_equal(bed.policy->nnames, 1);
	assert_string_equal(bed.policy->name[0].name, "mx1.example.com");
	assert_false(bed.policy->name[0].domain);
	assert_true(bed.policy->no_common_name);
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_STS);
	assert_string_equal(bed.policy->report.policy_domain, "example.com");
	assert_string_equal(bed.policy->report.string[0], "mx: *.example.com");
	assert_string_equal(bed.policy->report.mx[0], "*.example.com");
	assert_string_equal(level(&evil), "skip");
	assert_int_equal(bed.policy->skip.klass, 4);
	assert_int_equal(bed.policy->skip.detail, 5);
	assert_string_equal(
		bed.policy->skip.text, "MX host does not match the MTA-STS policy of example.com");
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_string_equal(bed.warning,
		"TLS policy lookup for example.com/mx.evil.net: does not match STS MX pattern");
}

static void without_enforcement_of_patterns_the_match_list_stays(void **state)
{
	(void)state;
	struct pen_tls_host_facts evil = tls_bed_facts("mx.evil.net");

	load(TABLE "smtp_tls_enforce_sts_mx_patterns=no\n");
	assert_string_equal(level(&evil), "secure");
	assert_int_equal(bed.policy->nnames, 2);
	assert_true(bed.policy->name[1].domain);
	assert_true(bed.policy->no_common_name);
}

static void a_policy_failure_of_the_table_fails_sessions_by_design(void **state)
{
	(void)state;
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");

	load("smtp_tls_policy_maps = inline:{{example.com = secure policy_type=sts "
	     "policy_failure=sts-webpki-invalid}}\n");
	assert_string_equal(level(&facts), "secure");
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_STS_WEBPKI_INVALID);
	assert_string_equal(bed.policy->report.policy_domain, "example.com");
}

static void enforce_is_secure_with_the_host_name_alone(void **state)
{
	(void)state;
	struct pen_sts_policy sts = sts_policy(PEN_STS_ENFORCE);
	struct pen_tls_host_facts facts = tls_bed_facts("MX1.example.com");

	facts.sts = &sts;
	load("smtp_tls_servername=other.example\n");
	assert_true(bed.site.want_sts);
	assert_string_equal(level(&facts), "secure");
	assert_int_equal(bed.policy->nnames, 1);
	assert_string_equal(bed.policy->name[0].name, "mx1.example.com");
	assert_true(bed.policy->no_common_name);
	assert_string_equal(bed.policy->servername, "MX1.example.com");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_STS);
	assert_string_equal(bed.policy->report.string[1], "mode: enforce");
	assert_string_equal(bed.policy->report.mx[1], "mail.example.net");
	assert_non_null(bed.policy->profile);
	assert_non_null(strstr(bed.policy->rule, "; MTA-STS of example.com"));
	facts.host = "mail.example.net";
	assert_string_equal(level(&facts), "secure");
	facts.host = "a.mail.example.net";
	assert_string_equal(level(&facts), "skip");
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_int_equal(bed.policy->skip_level, PEN_TLS_SECURE);
}

static void testing_changes_nothing_but_the_report(void **state)
{
	(void)state;
	struct pen_sts_policy sts = sts_policy(PEN_STS_TESTING);
	struct pen_tls_host_facts facts = tls_bed_facts("mx.evil.net");

	facts.sts = &sts;
	load("");
	assert_string_equal(level(&facts), "may");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_STS);
	assert_int_equal(bed.policy->report.note, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_NONE);
	assert_string_equal(bed.policy->name[0].name, "mx.evil.net");
	facts.host = "mx1.example.com";
	level(&facts);
	assert_int_equal(bed.policy->report.note, PEN_TLSRPT_NONE);
}

static void mode_none_is_no_policy_unless_it_could_not_be_had(void **state)
{
	(void)state;
	struct pen_sts_policy sts = sts_policy(PEN_STS_NONE);
	struct pen_tls_host_facts facts = tls_bed_facts("mx.evil.net");

	facts.sts = &sts;
	load("");
	assert_string_equal(level(&facts), "may");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_NO_POLICY);
	sts.failure = PEN_TLSRPT_STS_POLICY_FETCH_ERROR;
	assert_string_equal(level(&facts), "may");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_STS);
	assert_int_equal(bed.policy->report.note, PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_NONE);
}

static void local_entries_and_demands_win_over_sts(void **state)
{
	(void)state;
	struct pen_sts_policy sts = sts_policy(PEN_STS_ENFORCE);
	struct pen_tls_host_facts facts = tls_bed_facts("mx.evil.net");

	facts.sts = &sts;
	load("smtp_tls_policy_maps = inline:{{example.com = encrypt}}\n");
	assert_false(bed.site.want_sts);
	assert_string_equal(level(&facts), "encrypt");
	load("smtp_tls_per_site = inline:{{mx.evil.net = MAY}}\n");
	assert_true(bed.site.want_sts);
	assert_string_equal(level(&facts), "may");
	load("smtp_tls_per_site = inline:{{example.com = MAY}}\n");
	assert_false(bed.site.want_sts);
	assert_string_equal(level(&facts), "may");
	load("smtp_tls_security_level = none\n");
	assert_false(bed.site.want_sts);
	assert_string_equal(level(&facts), "none");
	load("");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NOT_REQUIRED);
	assert_string_equal(level(&facts), "may");
	tls_bed_site(&bed, "[mx.evil.net]", PEN_DEMAND_NONE);
	assert_string_equal(level(&facts), "may");
	tls_bed_site(&bed, "example.com:587", PEN_DEMAND_NONE);
	assert_string_equal(level(&facts), "may");
	load("mta_sts_enable = no\n");
	assert_string_equal(level(&facts), "may");
}

static void dane_that_secures_decides_alone(void **state)
{
	(void)state; // 5.6
	static const uint8_t data[32] = {1};
	struct pen_tlsa r = {.usage = 3, .selector = 1, .mtype = 1, .n = 32, .data = data};
	struct pen_sts_policy sts = sts_policy(PEN_STS_ENFORCE);
	struct pen_tls_host_facts facts = tls_bed_facts("mx.evil.net");

	facts.sts = &sts;
	facts.tlsa[0] = (struct pen_tlsa_lookup){
		.asked = true, .status = PEN_DNS_OK, .secure = true, .n = 1, .record = &r};
	load("smtp_tls_security_level = dane\ndns_trust_anchor_file=/k\n");
	assert_string_equal(level(&facts), "dane");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_TLSA);
	// A signed host that an unsigned MX named proves nothing about the domain.
	facts.mx_secure = false;
	assert_string_equal(level(&facts), "skip");
	facts.host = "mx1.example.com";
	assert_string_equal(level(&facts), "secure");
	assert_int_equal(bed.policy->ntlsa, 0);
	facts.mx_secure = true;
	facts.tlsa[0].status = PEN_DNS_FAILED;
	assert_string_equal(level(&facts), "skip");
	assert_string_equal(bed.policy->skip.text, "TLSA lookup error for mx1.example.com:25");
	facts.tlsa[0].status = PEN_DNS_NODATA;
	assert_string_equal(level(&facts), "secure");
	facts.tlsa[0].status = PEN_DNS_OK; // D10, D11: the stronger of encrypt and STS
	r.usage = 1;
	assert_string_equal(level(&facts), "secure");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_STS);
	assert_int_equal(bed.policy->report.note, PEN_TLSRPT_NONE);
	r.usage = 3;
	r.selector = 7;
	assert_string_equal(level(&facts), "secure");
	load("smtp_tls_security_level = dane-only\ndns_trust_anchor_file=/k\n");
	facts.tlsa[0].status = PEN_DNS_NODATA;
	assert_string_equal(level(&facts), "skip");
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_wildcard_stands_for_exactly_one_label),
		TEST(sts_from_a_table_names_hosts_and_matches_the_host_name),
		TEST(without_enforcement_of_patterns_the_match_list_stays),
		TEST(a_policy_failure_of_the_table_fails_sessions_by_design),
		TEST(enforce_is_secure_with_the_host_name_alone),
		TEST(testing_changes_nothing_but_the_report),
		TEST(mode_none_is_no_policy_unless_it_could_not_be_had),
		TEST(local_entries_and_demands_win_over_sts),
		TEST(dane_that_secures_decides_alone),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
