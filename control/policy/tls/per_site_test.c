// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "pen_tls_per_site.h"
#include "tls_bed.h"

static struct tls_bed bed;

static int end(void **state)
{
	(void)state;
	tls_bed_fini(&bed);
	return 0;
}

struct row {
	char host[20], nexthop[20], combined[20], everywhere[20], final[20];
	int use, enforce, peer;
};

static bool read_row(FILE *f, struct row *r)
{
	return fscanf(f, "%19[^,],%19[^,],%d,%d,%d,%19[^,],%19[^,],%19[^\n] ", r->host, r->nexthop,
		       &r->use, &r->enforce, &r->peer, r->combined, r->everywhere, r->final) == 8;
}

static enum pen_tls_per_site keyword(const char *name)
{
	return name[0] == '-' ? PEN_PER_SITE_NO_MATCH : pen_tls_per_site_parse(pen_span_cstr(name));
}

static void check_row(const struct row *r)
{
	char text[512];
	enum pen_tls_level everywhere = pen_tls_legacy_global(r->use, r->enforce, r->peer);

	assert_string_equal(pen_tls_level_name(everywhere), r->everywhere);
	assert_string_equal(
		pen_tls_level_name(pen_tls_per_site_level(everywhere,
			pen_tls_per_site_combine(keyword(r->host), keyword(r->nexthop)))),
		r->final);
	snprintf(text, sizeof(text),
		"smtp_use_tls=%s\nsmtp_enforce_tls=%s\nsmtp_tls_enforce_peername=%s\n"
		"mta_sts_enable=no\n"
		"smtp_tls_per_site = inline:{{other=x} %s%s%s %s%s%s}\n",
		r->use ? "yes" : "no", r->enforce ? "yes" : "no", r->peer ? "yes" : "no",
		r->host[0] != '-' ? "{mx1.example.com=" : "", r->host[0] != '-' ? r->host : "",
		r->host[0] != '-' ? "}" : "", r->nexthop[0] != '-' ? "{example.com=" : "",
		r->nexthop[0] != '-' ? r->nexthop : "", r->nexthop[0] != '-' ? "}" : "");
	assert_true(tls_bed_load(&bed, text));
	const struct pen_tls_policy *p = tls_bed_decide(&bed, "example.com", "MX1.example.com");
	assert_string_equal(pen_tls_level_name(p->level), r->final);
	assert_false(p->skipped);
}

static void every_row_of_the_truth_table_holds(void **state)
{
	(void)state;
	FILE *f = fopen(PER_SITE_TRUTH, "r");
	struct row r;
	int n = 0;

	assert_non_null(f);
	assert_int_not_equal(fscanf(f, "%*[^\n] "), EOF);
	for (; read_row(f, &r); n++)
		check_row(&r);
	fclose(f);
	assert_int_equal(n, 200);
}

static void the_host_key_matches_a_next_hop_with_brackets_and_port(void **state)
{
	(void)state; // O-12
	assert_true(tls_bed_load(&bed, "smtp_use_tls=yes\n"
				       "smtp_tls_per_site=inline:{mail.example.com=MUST}\n"));
	assert_int_equal(tls_bed_decide(&bed, "[mail.example.com]:587", "mail.example.com")->level,
		PEN_TLS_VERIFY);
	assert_string_equal(bed.policy->rule,
		"smtp_tls_per_site inline:{mail.example.com=MUST} line 2: mail.example.com MUST");
}

static void a_key_with_a_transport_or_a_parent_never_matches(void **state)
{
	(void)state; // O-13
	assert_true(tls_bed_load(&bed,
		"smtp_use_tls=yes\n"
		"smtp_tls_per_site=inline:{smtp:[mail.example.com]:587=MUST,.example.com=MUST}\n"));
	assert_int_equal(tls_bed_decide(&bed, "[mail.example.com]:587", "mail.example.com")->level,
		PEN_TLS_MAY);
	assert_int_equal(
		tls_bed_decide(&bed, "a.example.com", "mx.example.com")->level, PEN_TLS_MAY);
}

static void keywords_have_no_case_and_unknown_ones_defer(void **state)
{
	(void)state; // O-14, O-15
	assert_true(tls_bed_load(&bed,
		"smtp_tls_per_site=inline:{a.example=must,b.example=MUSTT,mx.b.example=x}\n"));
	assert_int_equal(tls_bed_decide(&bed, "A.example", "mx")->level, PEN_TLS_VERIFY);
	const struct pen_tls_policy *p = tls_bed_decide(&bed, "b.example", "mx.example");
	assert_true(p->skipped);
	assert_int_equal(p->skip_level, PEN_TLS_INVALID);
	assert_int_equal(p->skip.klass, 4);
	assert_int_equal(p->skip.detail, 5);
	assert_string_equal(p->skip.text, "client TLS configuration problem");
	assert_string_equal(bed.site.warning,
		"TLS policy lookup for b.example: smtp_tls_per_site "
		"inline:{a.example=must,b.example=MUSTT,mx.b.example=x}: accepted is NONE, MAY, "
		"MUST_NOPEERMATCH or MUST, and not MUSTT");
	p = tls_bed_decide(&bed, "c.example", "mx.b.example");
	assert_true(p->skipped);
	assert_string_equal(p->skip.text, "client TLS configuration problem");
	assert_non_null(strstr(bed.warning, "and not x"));
}

static void a_failing_table_defers_with_a_temporary_lookup_error(void **state)
{
	(void)state;
	assert_true(tls_bed_load(&bed, "smtp_tls_per_site=fail:x\n"));
	const struct pen_tls_policy *p = tls_bed_decide(&bed, "example.com", "mx.example.com");
	assert_true(p->skipped);
	assert_int_equal(p->skip.subject, 3);
	assert_int_equal(p->skip.detail, 0);
	assert_string_equal(p->skip.text, "Temporary lookup error");
	// The host's lookup may fail although the next hop's does not.
	assert_true(tls_bed_load(
		&bed, "smtp_tls_per_site=pcre:{{/^example.com$$/ MAY}, {/^(a+)+$$/ NONE}}\n"));
	p = tls_bed_decide(
		&bed, "example.com", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example");
	assert_true(p->skipped);
	assert_int_equal(p->skip.subject, 3);
}

static void policy_maps_turn_the_table_off_with_a_warning(void **state)
{
	(void)state; // O-16
	assert_true(tls_bed_load(&bed, "smtp_tls_security_level=may\n"
				       "smtp_tls_policy_maps=inline:{other.example=secure}\n"
				       "smtp_tls_per_site=inline:{example.com=MUST}\n"));
	assert_string_equal(report_lines_text(&bed.lines),
		"/etc/penstock/main.cf:3: warning: smtp_tls_per_site: ignored, because "
		"smtp_tls_policy_maps is set\n");
	assert_int_equal(
		tls_bed_decide(&bed, "example.com", "mx1.example.com")->level, PEN_TLS_MAY);
}

static void a_security_level_stands_in_for_the_booleans(void **state)
{
	(void)state;
	assert_true(
		tls_bed_load(&bed, "smtp_tls_security_level=encrypt\nsmtp_enforce_tls=yes\n"
				   "smtp_tls_per_site=inline:{m.example=MAY,n.example=NONE}\n"));
	assert_int_equal(tls_bed_decide(&bed, "m.example", "mx")->level, PEN_TLS_ENCRYPT);
	assert_int_equal(tls_bed_decide(&bed, "n.example", "mx")->level, PEN_TLS_NONE);
	assert_int_equal(tls_bed_decide(&bed, "o.example", "mx")->level, PEN_TLS_ENCRYPT);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(every_row_of_the_truth_table_holds),
		TEST(the_host_key_matches_a_next_hop_with_brackets_and_port),
		TEST(a_key_with_a_transport_or_a_parent_never_matches),
		TEST(keywords_have_no_case_and_unknown_ones_defer),
		TEST(a_failing_table_defers_with_a_temporary_lookup_error),
		TEST(policy_maps_turn_the_table_off_with_a_warning),
		TEST(a_security_level_stands_in_for_the_booleans),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
