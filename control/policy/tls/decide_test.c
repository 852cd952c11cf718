// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "pen_tls_profile.h"
#include "tls_bed.h"

static struct tls_bed bed;

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
}

static const char *level(const char *nexthop)
{
	const struct pen_tls_policy *p = tls_bed_decide(&bed, nexthop, "mx1.example.com");

	return p->skipped ? "skip" : pen_tls_level_name(p->level);
}

static void assert_config_error(const char *nexthop)
{
	const struct pen_tls_policy *p = tls_bed_decide(&bed, nexthop, "mx1.example.com");

	assert_true(p->skipped);
	assert_int_equal(p->skip_level, PEN_TLS_INVALID);
	assert_int_equal(p->skip.klass, 4);
	assert_int_equal(p->skip.subject, 7);
	assert_int_equal(p->skip.detail, 5);
	assert_string_equal(p->skip.text, "client TLS configuration problem");
	assert_true(bed.warning[0] != '\0' || bed.site.warning[0] != '\0');
}

static void the_global_level_is_may_unless_something_is_written(void **state)
{
	(void)state; // O-01 to O-04
	static const struct {
		const char *text, *want;
	} cases[] = {{"", "may"}, {"smtp_use_tls=no\n", "none"}, {"smtp_use_tls=yes\n", "may"},
		{"smtp_tls_enforce_peername=yes\n", "none"},
		{"smtp_enforce_tls=yes\nsmtp_tls_enforce_peername=no\n", "encrypt"},
		{"smtp_enforce_tls=yes\n", "verify"},
		{"smtp_enforce_tls=yes\nsmtp_tls_security_level=none\n", "none"},
		{"smtp_tls_security_level=Secure\n", "secure"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load(cases[i].text);
		assert_string_equal(level("example.com"), cases[i].want);
	}
	assert_false(tls_bed_load(&bed, "smtp_tls_security_level = half-dane\n"));
	assert_string_equal(report_lines_text(&bed.lines),
		"/etc/penstock/main.cf:1: error: smtp_tls_security_level = half-dane: accepted is "
		"none, may, encrypt, fingerprint, dane, dane-only, verify, secure, or nothing\n");
}

static void faults_of_main_cf_are_all_reported(void **state)
{
	(void)state;
	assert_false(tls_bed_load(&bed, "smtp_tls_protocols = >=TLSv9\n"
					"smtp_tls_mandatory_protocols = SSLv9\n"
					"tls_dane_digests = md5\n"
					"smtp_tls_fingerprint_cert_match = xyz\n"
					"smtp_tls_policy_maps = hash:/x\n"
					"smtp_tls_secure_cert_match = -\xff\n"));
	const char *text = report_lines_text(&bed.lines);
	assert_non_null(strstr(text, "main.cf:1: error: smtp_tls_protocols = >=TLSv9: "));
	assert_non_null(strstr(text, "main.cf:2: error: smtp_tls_mandatory_protocols = SSLv9: "));
	assert_non_null(strstr(text, "main.cf:3: error: tls_dane_digests = md5: accepted are"));
	assert_non_null(strstr(text, "main.cf:4: error: smtp_tls_fingerprint_cert_match = xyz: "));
	assert_non_null(strstr(text, "main.cf:5: error: smtp_tls_policy_maps: table \"hash:/x\""));
	assert_non_null(strstr(text, "main.cf:6: error: smtp_tls_secure_cert_match = "));
}

static void the_nearest_parent_is_found_and_the_name_itself_is_no_parent(void **state)
{
	(void)state; // O-17, O-18, O-20
	load("smtp_tls_policy_maps = inline:{{.example.com=encrypt}, {.b.example.com=none}, "
	     "{example.com=secure}, {.net=secure}, {mx.provider.org=encrypt}}\n");
	assert_string_equal(level("a.b.example.com"), "none");
	assert_string_equal(level("A.B.Example.COM"), "none");
	assert_string_equal(level("b.example.com"), "encrypt");
	assert_string_equal(level("example.com"), "secure");
	assert_string_equal(level("x.y.net"), "secure");
	assert_string_equal(level("net"), "may");
	assert_string_equal(level("[a.b.example.com]"), "may");
	assert_string_equal(level("a.b.example.com:587"), "may");
	tls_bed_decide(&bed, "example.org", "mx.provider.org");
	assert_int_equal(bed.policy->level, PEN_TLS_MAY);
	tls_bed_decide(&bed, "a.b.example.com", "mx");
	assert_non_null(strstr(bed.policy->rule, "line 1: .b.example.com none"));
}

static void ports_services_and_brackets_are_part_of_the_key(void **state)
{
	(void)state; // O-19
	load("smtp_tls_policy_maps = inline:{{example.com=encrypt}, {example.com:587=may}, "
	     "{[mail.example.com]:submission=secure}, {[192.0.2.1]=encrypt}}\n");
	assert_string_equal(level("example.com"), "encrypt");
	assert_string_equal(level("example.com:587"), "may");
	assert_string_equal(level("[mail.example.com]:submission"), "secure");
	assert_string_equal(level("[mail.example.com]:587"), "may");
	assert_string_equal(level("[192.0.2.1]"), "encrypt");
}

static void pattern_tables_see_the_next_hop_only(void **state)
{
	(void)state;
	load("smtp_tls_policy_maps = pcre:{{/^\\.example/ none}, {/^(.*)\\.bank\\.test$$/ secure "
	     "match=$$1.bank.test:hostname}, {/^bad$$/ $$$$}} inline:{{.example.com=encrypt}}\n");
	assert_string_equal(level("a.example.com"), "encrypt");
	assert_string_equal(level("www.bank.test"), "secure");
	assert_string_equal(bed.policy->name[0].name, "www.bank.test");
	assert_string_equal(bed.policy->name[1].name, "mx1.example.com");
	assert_int_equal(bed.policy->nnames, 2);
}

static void broken_values_are_warned_about_at_load_and_defer_mail(void **state)
{
	(void)state; // O-21 to O-23, O-25, O-26
	static const char *const values[] = {"", "halfdane", "half-dane", "good",
		"encrypt match=foo", "may protocols=>=TLSv1.2:!TLSv1.3 protocols=TLSv1.2",
		"secure policy_domain=example.com",
		"secure match=", "secure match=:", "verify { match = }",
		"may ciphers=", "may ciphers=high ciphers=high",
		"may {protocols = TLSv1.2, TLSv1.3}", "may exclude=a exclude=b",
		"may servername=a..b", "may servername=a servername=b", "encrypt tafile=/x.pem",
		"secure tafile=x.pem", "may connection_reuse=maybe", "may enable_rpk=1",
		"may policy_type=dane", "may policy_type=sts policy_type=sts",
		"may policy_type=sts policy_domain=a policy_domain=b",
		"may policy_type=sts mx_host_pattern=.example.com",
		"may policy_type=sts policy_ttl=1d",
		"may policy_type=sts policy_ttl=1 policy_ttl=2",
		"may policy_type=sts policy_failure=other",
		"may policy_type=sts policy_failure=sts-policy-invalid "
		"policy_failure=sts-policy-invalid",
		"may policy_ttl=3", "may policy_string=x", "may mx_host_pattern=a.example",
		"may policy_failure=sts-policy-invalid", "may color=red", "may ciphers", "may =x",
		"fingerprint match=abcd", "fingerprint match="};
	char text[256];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(text, sizeof(text), "smtp_tls_policy_maps = inline:{{example.com = %s}}\n",
			values[i]);
		load(text);
		if (strstr(report_lines_text(&bed.lines),
			    "main.cf:1: warning: smtp_tls_policy_maps inline:") == NULL)
			fail_msg("%s: %s", values[i], report_lines_text(&bed.lines));
		bed.lines.text.n = 0;
		assert_config_error("example.com");
		assert_non_null(strstr(bed.site.warning, "TLS policy lookup for example.com: "));
		assert_int_equal(tls_bed_decide(&bed, "example.net", "mx")->level, PEN_TLS_MAY);
	}
}

static void good_values_are_taken_and_a_level_none_ignores_the_rest(void **state)
{
	(void)state; // O-24
	load("smtp_tls_policy_maps = inline:{{a.example = none ciphers=high}, "
	     "{b.example = ENCRYPT, ciphers=high protocols=>=TLSv1.3:!TLSv1.2, "
	     "connection_reuse=yes connection_reuse=no {enable_rpk = yes} exclude=}, "
	     "{c.example = secure match=one.example match=.two.example:hostname "
	     "servername=sni.example policy_ttl=5 policy_type=no-policy-found}}\n");
	assert_non_null(strstr(report_lines_text(&bed.lines),
		"a.example = \"none ciphers=high\": attributes after level none are ignored"));
	assert_non_null(strstr(report_lines_text(&bed.lines), "enable_rpk=yes has no effect"));
	assert_string_equal(level("a.example"), "none");
	assert_non_null(strstr(bed.site.warning, "attributes after level none are ignored"));
	assert_null(bed.policy->profile);
	assert_string_equal(level("b.example"), "encrypt");
	const struct pen_tls_profile_spec *spec = bed.policy->profile;
	assert_int_equal(spec->exclude_protocols, PEN_TLS_NO_TLS12);
	assert_non_null(strstr(spec->ciphers, "TLS13-AES128-GCM-SHA256"));
	assert_string_equal(level("c.example"), "secure");
	assert_int_equal(bed.policy->nnames, 3);
	assert_string_equal(bed.policy->name[0].name, "one.example");
	assert_string_equal(bed.policy->name[1].name, "two.example");
	assert_true(bed.policy->name[1].domain);
	assert_string_equal(bed.policy->name[2].name, "mx1.example.com");
	assert_string_equal(bed.policy->servername, "sni.example");
	assert_int_equal(((const struct pen_tls_profile_spec *)bed.policy->profile)->trust,
		PEN_TLS_PROFILE_PKIX);
}

static void a_lookup_failure_never_becomes_the_global_level(void **state)
{
	(void)state; // O-28
	load("smtp_tls_security_level = none\n"
	     "smtp_tls_policy_maps = inline:{{a.example = may}}, fail:database\n");
	assert_string_equal(level("a.example"), "may");
	assert_config_error("b.example");
	assert_non_null(strstr(bed.site.warning, "fail:database lookup error"));
}

static void a_trust_anchor_file_that_cannot_be_read_defers(void **state)
{
	(void)state; // O-27
	bed.refuse = "/x.pem";
	load("smtp_tls_policy_maps = inline:{{a.example = secure match=mx.example.com "
	     "tafile=/x.pem}, {b.example = verify tafile=/y.pem tafile=/z.pem}}\n");
	assert_non_null(strstr(report_lines_text(&bed.lines), "cannot be loaded"));
	const struct pen_tls_policy *p = tls_bed_decide(&bed, "a.example", "mx1.example.com");
	assert_true(p->skipped);
	assert_int_equal(p->skip.detail, 5);
	assert_string_equal(p->skip.text, "client TLS configuration problem");
	assert_int_equal(p->skip_level, PEN_TLS_SECURE);
	assert_string_equal(level("b.example"), "verify");
	const struct pen_tls_profile_spec *spec = bed.policy->profile;
	assert_string_equal(spec->anchor_file, "/y.pem\n/z.pem");
	bed.refuse = NULL;
}

static void an_unknown_grade_is_a_setup_failure_and_not_a_bad_policy(void **state)
{
	(void)state;
	load("smtp_tls_policy_maps = inline:{{a.example = may ciphers=medium-rare}, "
	     "{b.example = encrypt ciphers=medium-rare}, {c.example = encrypt protocols=SSLv9}, "
	     "{d.example = encrypt protocols=<=TLSv1.1}, {e.example = may ciphers=null}, "
	     "{f.example = encrypt ciphers=export}}\n");
	assert_string_equal(level("a.example"), "may");
	assert_null(bed.policy->profile);
	assert_non_null(strstr(bed.warning, "invalid TLS cipher grade: medium-rare"));
	assert_string_equal(level("b.example"), "skip");
	assert_int_equal(bed.policy->skip_level, PEN_TLS_ENCRYPT);
	assert_string_equal(level("c.example"), "skip");
	assert_string_equal(level("d.example"), "skip");
	assert_string_equal(level("e.example"), "may");
	assert_null(bed.policy->profile);
	assert_string_equal(level("f.example"), "encrypt");
	assert_non_null(bed.policy->profile);
}

static void levels_have_their_own_ciphers_and_protocols(void **state)
{
	(void)state;
	load("smtp_tls_exclude_ciphers = AES128\nsmtp_tls_mandatory_exclude_ciphers = CHACHA20\n"
	     "smtp_tls_mandatory_protocols = >=TLSv1.2, !TLSv1.3\n"
	     "smtp_tls_policy_maps = inline:{{a.example = encrypt}, {b.example = encrypt "
	     "exclude=CBC}, {c.example = verify}, {d.example = secure}}\n");
	const struct pen_tls_profile_spec *spec;
	level("x.example");
	spec = bed.policy->profile;
	assert_null(strstr(spec->ciphers, "-AES128-GCM-SHA256:ECDHE"));
	assert_non_null(strstr(spec->ciphers, "RSA-CHACHA20"));
	assert_int_equal(spec->exclude_protocols, 0);
	level("a.example");
	spec = bed.policy->profile;
	assert_null(strstr(spec->ciphers, "AES128"));
	assert_null(strstr(spec->ciphers, "CHACHA20"));
	assert_int_equal(spec->exclude_protocols, PEN_TLS_NO_TLS13);
	level("b.example"); // replaces both lists
	spec = bed.policy->profile;
	assert_non_null(strstr(spec->ciphers, "AES128-GCM"));
	assert_non_null(strstr(spec->ciphers, "CHACHA20"));
	assert_null(strstr(spec->ciphers, "SHA:"));
	level("c.example");
	const void *profile = bed.policy->profile;
	level("d.example"); // equal specs are one profile
	assert_ptr_equal(bed.policy->profile, profile);
}

static void fingerprints_come_from_the_table_or_from_main_cf(void **state)
{
	(void)state; // O-30
	load("smtp_tls_fingerprint_digest = md5\n"
	     "smtp_tls_policy_maps = inline:{{a.example = fingerprint}, {b.example = fingerprint "
	     "match=00112233445566778899aabbccddeeff|"
	     "10:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF}}\n");
	assert_config_error("a.example");
	assert_non_null(strstr(bed.warning, "without any fingerprint"));
	assert_string_equal(level("b.example"), "fingerprint");
	assert_int_equal(bed.policy->nfingerprints, 2);
	assert_int_equal(bed.policy->digest, PEN_DIGEST_MD5);
	assert_int_equal(bed.policy->fingerprint[1].digest[0], 0x10);
	assert_int_equal(bed.policy->nnames, 0);
	load("smtp_tls_fingerprint_digest = md5\nsmtp_tls_security_level = fingerprint\n"
	     "smtp_tls_fingerprint_cert_match = 00112233445566778899aabbccddeeff, "
	     "20112233445566778899aabbccddeeff\n");
	assert_string_equal(level("a.example"), "fingerprint");
	assert_int_equal(bed.policy->nfingerprints, 2);
}

static void names_to_match_follow_the_strategies(void **state)
{
	(void)state;
	load("smtp_tls_policy_maps = inline:{{a.example = verify}, {b.example = secure}, "
	     "{c.example = secure match=nexthop:dot-nexthop:HostName:M\xc3\xbcnchen.example}}\n");
	level("a.example");
	assert_int_equal(bed.policy->nnames, 1);
	assert_string_equal(bed.policy->name[0].name, "mx1.example.com");
	level("b.example");
	assert_int_equal(bed.policy->nnames, 2);
	assert_string_equal(bed.policy->name[0].name, "b.example");
	assert_false(bed.policy->name[0].domain);
	assert_string_equal(bed.policy->name[1].name, "b.example");
	assert_true(bed.policy->name[1].domain);
	level("c.example");
	assert_int_equal(bed.policy->nnames, 4);
	assert_string_equal(bed.policy->name[3].name, "xn--mnchen-3ya.example");
	assert_false(bed.policy->no_common_name);
	load("smtp_tls_security_level = verify\nsmtp_tls_verify_cert_match =\n");
	assert_config_error("a.example");
}

static void sni_is_a_name_or_follows_host_or_next_hop(void **state)
{
	(void)state;
	load("smtp_tls_security_level = encrypt\n");
	level("example.com");
	assert_null(bed.policy->servername);
	load("smtp_tls_servername = hostname\nsmtp_tls_policy_maps = "
	     "inline:{{a.example = encrypt servername=nexthop}, {b.example = may "
	     "servername=sni.test}}\n");
	level("example.com");
	assert_string_equal(bed.policy->servername, "mx1.example.com");
	level("a.example");
	assert_string_equal(bed.policy->servername, "a.example");
	level("b.example");
	assert_string_equal(bed.policy->servername, "sni.test");
	tls_bed_decide(&bed, "[192.0.2.1]", "192.0.2.1"); // no SNI for addresses
	assert_null(bed.policy->servername);
	load("smtp_tls_servername = -bad-\nsmtp_tls_policy_maps = "
	     "inline:{{b.example = may servername=sni.test}, {c.example = none}}\n");
	assert_config_error("example.com");
	assert_string_equal(level("b.example"), "may");
	assert_string_equal(level("c.example"), "none");
}

static void tls_required_no_lowers_the_level_and_skips_the_tables(void **state)
{
	(void)state; // O-66
	static const char table[] = "smtp_tls_security_level = secure\n"
				    "smtp_tls_policy_maps = inline:{{example.com=none}}\n";
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	char text[256];

	load(table);
	assert_string_equal(level("example.com"), "none");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NOT_REQUIRED);
	assert_false(bed.site.want_sts);
	assert_false(bed.site.want_tlsrpt);
	assert_false(bed.site.want_tlsa);
	assert_int_equal(tls_bed_host(&bed, &facts)->level, PEN_TLS_MAY);
	assert_null(bed.policy->report.domain);
	assert_non_null(bed.policy->profile);
	assert_int_equal(bed.policy->demand, PEN_DEMAND_NOT_REQUIRED);
	tls_bed_site(&bed, "example.com", PEN_DEMAND_REQUIRETLS);
	assert_int_equal(tls_bed_host(&bed, &facts)->level, PEN_TLS_NONE);
	snprintf(text, sizeof(text), "%ssmtp_tls_wrappermode=yes\n", table);
	load(text);
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NOT_REQUIRED);
	assert_int_equal(tls_bed_host(&bed, &facts)->level, PEN_TLS_ENCRYPT);
	assert_non_null(bed.policy->profile);
	assert_true(bed.policy->wrapper);
	load("smtp_tls_security_level = none\n");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NOT_REQUIRED);
	assert_int_equal(tls_bed_host(&bed, &facts)->level, PEN_TLS_NONE);
	load("smtp_tls_security_level = secure\ntls_required_enable=no\n");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NOT_REQUIRED);
	assert_int_equal(tls_bed_host(&bed, &facts)->level, PEN_TLS_SECURE);
	assert_int_equal(bed.policy->demand, PEN_DEMAND_NONE);
}

static void wrappermode_needs_encryption(void **state)
{
	(void)state; // O-52
	load("smtp_tls_wrappermode = yes\nsmtp_tls_policy_maps = inline:{{a.example=encrypt}}\n");
	const struct pen_tls_policy *p = tls_bed_decide(&bed, "example.com", "mx1.example.com");
	assert_true(p->skipped);
	assert_int_equal(p->skip.klass, 4);
	assert_int_equal(p->skip.detail, 5);
	assert_int_equal(p->skip_level, PEN_TLS_MAY);
	assert_non_null(strstr(bed.warning, "smtp_tls_wrappermode"));
	assert_string_equal(level("a.example"), "encrypt");
}

static void without_an_engine_only_may_goes_on(void **state)
{
	(void)state;
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");

	facts.engine = false;
	load("smtp_tls_policy_maps = inline:{{a.example=encrypt}, {b.example=none}}\n");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NONE);
	assert_false(tls_bed_host(&bed, &facts)->skipped);
	assert_null(bed.policy->profile);
	tls_bed_site(&bed, "a.example", PEN_DEMAND_NONE);
	assert_true(tls_bed_host(&bed, &facts)->skipped);
	assert_int_equal(bed.policy->skip.detail, 5);
	assert_string_equal(
		bed.policy->skip.text, "TLS is required, but our TLS engine is unavailable");
	tls_bed_site(&bed, "b.example", PEN_DEMAND_NONE);
	assert_false(tls_bed_host(&bed, &facts)->skipped);
}

static void reports_are_for_domains_under_a_level_above_none(void **state)
{
	(void)state;
	load("");
	level("Example.COM");
	assert_string_equal(bed.policy->report.domain, "example.com");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_NO_POLICY);
	assert_string_equal(bed.policy->report.policy_domain, "example.com");
	tls_bed_decide(&bed, "[192.0.2.1]", "192.0.2.1");
	assert_null(bed.policy->report.domain);
	load("tlsrpt_enable = no\n");
	level("example.com");
	assert_null(bed.policy->report.domain);
	load("smtp_tls_security_level = "
	     "none\nsmtp_tls_policy_maps=inline:{{example.com=secure}}\n");
	level("example.com");
	assert_null(bed.policy->report.domain);
}

static void identities_differ_where_sessions_may_not_be_shared(void **state)
{
	(void)state;
	uint64_t id[8];
	static const char *const texts[] = {"", "smtp_tls_security_level=encrypt\n",
		"smtp_tls_servername=hostname\n", "smtp_tls_exclude_ciphers=CBC\n",
		"smtp_tls_security_level=verify\n", "smtp_tls_security_level=secure\n",
		"smtp_tls_security_level=secure\nsmtp_tls_secure_cert_match=dot-nexthop,nexthop\n",
		"smtp_tls_security_level=secure\nsmtp_tls_trust_anchor_file=/x.pem\n"};

	for (size_t i = 0; i < 8; i++) {
		load(texts[i]);
		level("example.com");
		id[i] = bed.policy->identity;
		for (size_t j = 0; j < i; j++)
			assert_true(id[i] != id[j]);
		load(texts[i]);
		level("EXAMPLE.com"); // stable
		assert_true(bed.policy->identity == id[i]);
	}
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	tls_bed_site(&bed, "example.com", PEN_DEMAND_REQUIRETLS);
	assert_true(tls_bed_host(&bed, &facts)->identity != id[7]);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(the_global_level_is_may_unless_something_is_written),
		TEST(faults_of_main_cf_are_all_reported),
		TEST(the_nearest_parent_is_found_and_the_name_itself_is_no_parent),
		TEST(ports_services_and_brackets_are_part_of_the_key),
		TEST(pattern_tables_see_the_next_hop_only),
		TEST(broken_values_are_warned_about_at_load_and_defer_mail),
		TEST(good_values_are_taken_and_a_level_none_ignores_the_rest),
		TEST(a_lookup_failure_never_becomes_the_global_level),
		TEST(a_trust_anchor_file_that_cannot_be_read_defers),
		TEST(an_unknown_grade_is_a_setup_failure_and_not_a_bad_policy),
		TEST(levels_have_their_own_ciphers_and_protocols),
		TEST(fingerprints_come_from_the_table_or_from_main_cf),
		TEST(names_to_match_follow_the_strategies),
		TEST(sni_is_a_name_or_follows_host_or_next_hop),
		TEST(tls_required_no_lowers_the_level_and_skips_the_tables),
		TEST(wrappermode_needs_encryption),
		TEST(without_an_engine_only_may_goes_on),
		TEST(reports_are_for_domains_under_a_level_above_none),
		TEST(identities_differ_where_sessions_may_not_be_shared),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
