// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "tls_bed.h"

static struct tls_bed bed;
static const uint8_t bytes[PEN_TLSA_DATA_MAX + 1] = {0xab, 0xcd};

static int end(void **state)
{
	(void)state;
	tls_bed_fini(&bed);
	return 0;
}

static struct pen_tlsa record(int usage, int selector, int mtype)
{
	return (struct pen_tlsa){.usage = (uint8_t)usage,
		.selector = (uint8_t)selector,
		.mtype = (uint8_t)mtype,
		.n = mtype == 1   ? 32
		     : mtype == 2 ? 64
				  : 80,
		.data = bytes};
}

static struct pen_tlsa_lookup found(const struct pen_tlsa *r, uint32_t n)
{
	return (struct pen_tlsa_lookup){
		.asked = true, .status = PEN_DNS_OK, .secure = true, .n = n, .record = r};
}

static const struct pen_tlsa_lookup nothing = {
	.asked = true, .status = PEN_DNS_NODATA, .secure = true};
static const struct pen_tlsa_lookup servfail = {.asked = true, .status = PEN_DNS_FAILED};

static void load(const char *level, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text), "smtp_tls_security_level=%s\ndns_trust_anchor_file=/k\n%s",
		level, more);
	if (!tls_bed_load(&bed, text))
		fail_msg("%s", report_lines_text(&bed.lines));
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NONE);
}

static void assert_skip(
	const struct pen_tls_host_facts *facts, const char *text, enum pen_tlsrpt_result failure)
{
	const struct pen_tls_policy *p = tls_bed_host(&bed, facts);

	assert_true(p->skipped);
	assert_int_equal(p->skip.klass, 4);
	assert_int_equal(p->skip.subject, 7);
	assert_int_equal(p->skip.detail, 5);
	assert_string_equal(p->skip.text, text);
	assert_int_equal(p->failure, failure);
}

static const char *level(const struct pen_tls_host_facts *facts)
{
	const struct pen_tls_policy *p = tls_bed_host(&bed, facts);

	return p->skipped ? "skip" : pen_tls_level_name(p->level);
}

static uint32_t names(const struct pen_tls_host_facts *facts, char name[2][256])
{
	return pen_tls_tlsa_names(bed.settings, &bed.site, facts, name);
}

static void without_dnssec_dane_is_may_and_dane_only_defers(void **state)
{
	(void)state; // D2, O-53, O-54
	static const char *const broken[] = {"smtp_dns_support_level=enabled\n",
		"smtp_dns_support_level=disabled\n", "smtp_host_lookup=native\n",
		"ignore_mx_lookup_error=yes\n", "disable_dns_lookups=yes\n"};
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r = record(3, 1, 1);
	char name[2][256];

	facts.tlsa[0] = found(&r, 1);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		load("dane", broken[i]);
		assert_false(bed.site.want_tlsa);
		assert_int_equal(names(&facts, name), 0);
		assert_string_equal(level(&facts), "may");
		assert_non_null(strstr(bed.warning, "DANE is not possible"));
		assert_non_null(strstr(report_lines_text(&bed.lines), "warning: smtp_dns_support"));
		load("dane-only", broken[i]);
		assert_skip(&facts, "client TLS configuration problem", PEN_TLSRPT_NONE);
		assert_int_equal(bed.policy->skip_level, PEN_TLS_DANE_ONLY);
	}
}

static void an_unsigned_mx_leads_to_what_its_policy_says(void **state)
{
	(void)state; // D3 to D5, O-61, O-62
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r = record(3, 1, 1);
	char name[2][256];

	facts.mx_secure = false;
	facts.tlsa[0] = found(&r, 1);
	load("dane", "smtp_tls_dane_insecure_mx_policy=may\n");
	assert_int_equal(names(&facts, name), 0);
	assert_string_equal(level(&facts), "may");
	load("dane", "smtp_tls_dane_insecure_mx_policy=encrypt\n");
	assert_int_equal(names(&facts, name), 1);
	assert_string_equal(level(&facts), "encrypt");
	assert_int_equal(bed.policy->ntlsa, 0);
	load("dane", "");
	assert_string_equal(level(&facts), "halfdane");
	assert_int_equal(bed.policy->ntlsa, 1);
	assert_string_equal(bed.policy->servername, "mx1.example.com");
	load("dane-only", "");
	assert_int_equal(names(&facts, name), 0);
	assert_skip(&facts, "non DNSSEC destination", PEN_TLSRPT_DANE_REQUIRED);
	facts.from_mx = false; // D6
	assert_string_equal(level(&facts), "dane-only");
}

static void no_records_are_may_or_a_refusal(void **state)
{
	(void)state; // D7, D9, O-55, O-56
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r = record(3, 1, 1);
	char name[2][256];

	facts.tlsa[0] = nothing;
	load("dane", "");
	assert_string_equal(level(&facts), "may");
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_NO_POLICY);
	facts.tlsa[0].status = PEN_DNS_NXDOMAIN;
	assert_string_equal(level(&facts), "may");
	facts.tlsa[0] = found(&r, 1);
	facts.tlsa[0].secure = false; // an insecure answer is none
	assert_string_equal(level(&facts), "may");
	load("dane-only", "");
	assert_skip(&facts, "no TLSA records found", PEN_TLSRPT_DANE_REQUIRED);
	facts.tlsa[0] = found(&r, 1);
	facts.addr_secure = false;
	assert_int_equal(names(&facts, name), 0);
	assert_skip(&facts, "no TLSA records found", PEN_TLSRPT_DANE_REQUIRED);
	load("dane-only", "smtp_tls_force_insecure_host_tlsa_lookup=yes\n");
	assert_int_equal(names(&facts, name), 1);
	assert_string_equal(level(&facts), "dane-only");
	facts.literal = true;
	assert_int_equal(names(&facts, name), 0);
	assert_string_equal(level(&facts), "skip");
}

static void a_failed_lookup_skips_the_host(void **state)
{
	(void)state; // D8, O-57
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r = record(3, 1, 1);
	static const enum pen_dns_status failed[] = {
		PEN_DNS_FAILED, PEN_DNS_BOGUS, PEN_DNS_MALFORMED};

	for (size_t i = 0; i < 3; i++) {
		facts.tlsa[0] = servfail;
		facts.tlsa[0].status = failed[i];
		load("dane", "");
		assert_skip(&facts, "TLSA lookup error for mx1.example.com:25",
			PEN_TLSRPT_DNSSEC_INVALID);
		assert_int_equal(bed.policy->report.type, PEN_TLSRPT_TLSA);
	}
	facts.tlsa[0].asked = false; // never taken for "none"
	assert_string_equal(level(&facts), "skip");
	facts.host = "mx2.example.com";
	facts.tlsa[0] = found(&r, 1);
	assert_string_equal(level(&facts), "dane");
}

static void unusable_records_still_mean_encryption(void **state)
{
	(void)state; // D10, D11, O-58
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r[] = {
		record(0, 0, 1), record(1, 0, 1), record(3, 1, 255), record(4, 0, 1)};
	struct pen_tlsa empty = {.usage = 3, .selector = 1, .mtype = 0, .n = 0, .data = bytes};
	struct pen_tlsa huge = {
		.usage = 3, .selector = 1, .n = PEN_TLSA_DATA_MAX + 1, .data = bytes};

	facts.tlsa[0] = found(r, 4);
	load("dane", "");
	assert_string_equal(level(&facts), "encrypt");
	assert_int_equal(bed.policy->report.note, PEN_TLSRPT_TLSA_INVALID);
	assert_int_equal(bed.policy->report.type, PEN_TLSRPT_TLSA);
	assert_int_equal(bed.policy->failure, PEN_TLSRPT_NONE);
	facts.tlsa[0] = found(&empty, 1);
	assert_string_equal(level(&facts), "encrypt");
	facts.tlsa[0] = found(&huge, 1);
	assert_string_equal(level(&facts), "encrypt");
	load("dane-only", "");
	assert_skip(&facts, "TLSA records unusable", PEN_TLSRPT_TLSA_INVALID);
	// What only the engine refuses reaches it, and is refused there.
	struct pen_tlsa odd[] = {record(3, 2, 1), record(3, 1, 3), record(0, 0, 1)};
	facts.tlsa[0] = found(odd, 3);
	assert_string_equal(level(&facts), "dane-only");
	assert_int_equal(bed.policy->ntlsa, 2);
	struct pen_tlsa cut = record(3, 1, 1);
	cut.n = 31;
	facts.tlsa[0] = found(&cut, 1);
	assert_string_equal(level(&facts), "dane-only");
	load("dane", "tls_dane_digests=sha512\n");
	struct pen_tlsa disabled = record(3, 1, 1);
	facts.tlsa[0] = found(&disabled, 1);
	assert_string_equal(level(&facts), "dane");
	assert_int_equal(bed.policy->ntlsa, 1);
}

static void the_strongest_digest_of_each_kind_is_used(void **state)
{
	(void)state; // O-65
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r[] = {record(3, 1, 1), record(3, 1, 2), record(3, 0, 1), record(2, 1, 0),
		record(2, 1, 1), record(0, 0, 2), record(3, 2, 2)};

	facts.tlsa[0] = found(r, 7);
	load("dane", "");
	assert_string_equal(level(&facts), "dane");
	assert_int_equal(bed.policy->ntlsa, 4);
	assert_int_equal(bed.policy->tlsa[0].mtype, 2);
	assert_int_equal(bed.policy->tlsa[0].n, 64);
	assert_int_equal(bed.policy->tlsa[1].selector, 0);
	assert_int_equal(bed.policy->tlsa[2].mtype, 0);
	assert_int_equal(bed.policy->tlsa[3].mtype, 1);
	load("dane", "tls_dane_digests=sha256 sha512\n");
	level(&facts);
	assert_int_equal(bed.policy->tlsa[0].mtype, 1);
	load("dane", "tls_dane_digests=\n"); // full data alone
	level(&facts);
	assert_int_equal(bed.policy->ntlsa, 1);
	assert_int_equal(bed.policy->tlsa[0].mtype, 0);
}

static void names_of_trust_anchors_are_base_domain_next_hop_and_its_alias(void **state)
{
	(void)state; // O-60
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	struct pen_tlsa r = record(2, 0, 1);

	facts.tlsa[0] = found(&r, 1);
	facts.domain_canonical = "real.example.net";
	load("dane", "smtp_tls_servername=other.example\n");
	assert_string_equal(level(&facts), "dane");
	assert_int_equal(bed.policy->nnames, 3);
	assert_string_equal(bed.policy->name[0].name, "mx1.example.com");
	assert_string_equal(bed.policy->name[1].name, "example.com");
	assert_string_equal(bed.policy->name[2].name, "real.example.net");
	assert_string_equal(bed.policy->servername, "mx1.example.com");
	facts.from_mx = false;
	level(&facts);
	assert_int_equal(bed.policy->nnames, 1);
	assert_string_equal(bed.policy->report.policy_domain, "mx1.example.com");
	assert_null(bed.policy->report.string[1]);
	assert_memory_equal(bed.policy->report.string[0], "2 0 1 abcd00", 12);
	assert_int_equal(strlen(bed.policy->report.string[0]), 6 + 64);
}

static void the_end_of_a_secure_alias_is_asked_before_the_name(void **state)
{
	(void)state; // 3.6.2, O-63
	struct pen_tls_host_facts facts = tls_bed_facts("mx.example.com");
	struct pen_tlsa r = record(3, 1, 1);
	char name[2][256];

	facts.canonical = "a.provider.net";
	facts.alias_secure = true;
	facts.tlsa[0] = nothing;
	facts.tlsa[1] = found(&r, 1);
	load("dane", "");
	assert_int_equal(names(&facts, name), 2);
	assert_string_equal(name[0], "a.provider.net");
	assert_string_equal(name[1], "mx.example.com");
	assert_string_equal(level(&facts), "dane");
	assert_string_equal(bed.policy->servername, "mx.example.com");
	facts.tlsa[0] = found(&r, 1);
	level(&facts);
	assert_string_equal(bed.policy->servername, "a.provider.net");
	facts.tlsa[0] = servfail; // an error does not lead to the other name
	assert_string_equal(level(&facts), "skip");
	facts.tlsa[0] = nothing;
	facts.tlsa[1].asked = false;
	assert_string_equal(level(&facts), "skip");
	// The end is not secure, but the first step is: only the name itself.
	facts.addr_secure = false;
	assert_int_equal(names(&facts, name), 1);
	assert_string_equal(name[0], "mx.example.com");
	facts.tlsa[0] = found(&r, 1);
	assert_string_equal(level(&facts), "dane");
	assert_string_equal(bed.policy->servername, "mx.example.com");
	facts.alias_secure = false;
	assert_int_equal(names(&facts, name), 0);
	assert_string_equal(level(&facts), "may");
}

static void a_policy_outlives_the_answer_it_came_from(void **state)
{
	(void)state;
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");
	uint8_t *data = malloc(32);
	struct pen_tlsa r = record(3, 1, 1);

	memset(data, 7, 32);
	r.data = data;
	facts.tlsa[0] = found(&r, 1);
	load("dane", "");
	level(&facts);
	free(data);
	assert_int_equal(bed.policy->tlsa[0].data[31], 7);
	uint64_t id = bed.policy->identity;
	struct pen_tlsa other = record(3, 1, 1);
	facts.tlsa[0] = found(&other, 1);
	assert_true(tls_bed_host(&bed, &facts)->identity != id);
}

static void hosts_that_are_skipped_for_different_reasons_share_no_site(void **state)
{
	(void)state;
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");

	load("dane-only", "");
	facts.tlsa[0] = (struct pen_tlsa_lookup){.asked = true, .status = PEN_DNS_NXDOMAIN};
	level(&facts);
	assert_string_equal(bed.policy->skip.text, "no TLSA records found");
	uint64_t id = bed.policy->identity;
	facts.mx_secure = false;
	level(&facts);
	assert_string_equal(bed.policy->skip.text, "non DNSSEC destination");
	assert_true(bed.policy->identity != id);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(without_dnssec_dane_is_may_and_dane_only_defers),
		TEST(an_unsigned_mx_leads_to_what_its_policy_says),
		TEST(no_records_are_may_or_a_refusal),
		TEST(a_failed_lookup_skips_the_host),
		TEST(unusable_records_still_mean_encryption),
		TEST(the_strongest_digest_of_each_kind_is_used),
		TEST(names_of_trust_anchors_are_base_domain_next_hop_and_its_alias),
		TEST(the_end_of_a_secure_alias_is_asked_before_the_name),
		TEST(a_policy_outlives_the_answer_it_came_from),
		TEST(hosts_that_are_skipped_for_different_reasons_share_no_site),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
