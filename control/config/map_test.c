// SPDX-License-Identifier: BSD-3-Clause
#include "pen_map.h"
#include "pen_test.h"
#include "report_lines.h"

static struct report_lines lines;
static const struct pen_map_where where = {"main.cf", 4, "transport_maps"};

static int begin(void **state)
{
	(void)state;
	report_lines_init(&lines);
	return 0;
}

static int end(void **state)
{
	(void)state;
	report_lines_fini(&lines);
	return 0;
}

static const char *find(const struct pen_map *m, const char *key)
{
	static char out[256];
	struct pen_span v;

	if (!pen_map_find(m, pen_span_cstr(key), &v))
		return "-";
	snprintf(out, sizeof(out), "%.*s", PEN_SPAN_ARG(v));
	return out;
}

static void texthash_folds_keys_and_keeps_values(void **state)
{
	(void)state;
	struct pen_map *m = pen_map_parse("texthash",
		PEN_SPAN_LIT("# transport\n"
			     "Example.COM   smtp:[Relay.example]:2525\n"
			     "\"two words\" x\n"
			     ".example.com\n"
			     "    error:5.1.1 no\n"
			     "    such host\n"
			     "example.com second\n"
			     "trailing: y\n"),
		"transport", &lines.report);

	assert_non_null(m);
	assert_string_equal(find(m, "example.com"), "smtp:[Relay.example]:2525");
	assert_string_equal(find(m, "EXAMPLE.com"), "smtp:[Relay.example]:2525");
	assert_string_equal(find(m, ".example.com"), "error:5.1.1 no such host");
	assert_string_equal(find(m, "two words"), "x");
	assert_string_equal(find(m, "example"), "-");
	assert_string_equal(find(m, ""), "-");
	assert_int_equal(pen_map_count(m), 4);
	assert_string_equal(report_lines_text(&lines),
		"transport:7: warning: \"example.com\" is there already: the first value is kept\n"
		"transport:8: warning: key \"trailing:\" ends in \":\": tables have \"key value\", "
		"without a colon\n");
	pen_map_free(m);
}

static void texthash_lines_without_a_value_are_refused(void **state)
{
	(void)state;
	assert_null(pen_map_parse("texthash", PEN_SPAN_LIT("a b\nlonely\n\"open x\n  \nc d\n"),
		"transport", &lines.report));
	assert_string_equal(report_lines_text(&lines),
		"transport:2: error: \"lonely\": expected a key, white space and a value\n"
		"transport:3: error: \"\"open x\": expected a key, white space and a value\n");
}

static void ten_thousand_keys_are_found(void **state)
{
	(void)state;
	struct pen_buf b = PEN_BUF_INIT;
	char key[32], value[32];

	for (int i = 0; i < 10000; i++)
		pen_buf_addf(&b, "d%d.example v%d\n", i, i);
	struct pen_map *m = pen_map_parse("texthash", pen_buf_span(&b), "big", &lines.report);
	pen_buf_fini(&b);
	assert_non_null(m);
	for (int i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "D%d.example", i);
		snprintf(value, sizeof(value), "v%d", i);
		assert_string_equal(find(m, key), value);
	}
	assert_string_equal(find(m, "d10000.example"), "-");
	pen_map_free(m);
}

static void cidr_takes_the_first_match(void **state)
{
	(void)state;
	struct pen_map *m = pen_map_parse("cidr",
		PEN_SPAN_LIT("10.1.0.0/16 inner\n10.0.0.0/8 outer\n[2001:db8::]/32 six\n"
			     "!127.0.0.0/8 elsewhere\n"),
		"nets", &lines.report);

	assert_non_null(m);
	assert_string_equal(find(m, "10.1.2.3"), "inner");
	assert_string_equal(find(m, "10.2.2.3"), "outer");
	assert_string_equal(find(m, "2001:db8::9"), "six");
	assert_string_equal(find(m, "192.0.2.1"), "elsewhere");
	assert_string_equal(find(m, "127.0.0.1"), "-");
	assert_string_equal(find(m, "example.com"), "-");
	pen_map_free(m);
	assert_null(pen_map_parse("cidr", PEN_SPAN_LIT("10.0.0.1/8 x\n"), "nets", &lines.report));
	assert_non_null(strstr(report_lines_text(&lines), "nets:1: error: \"10.0.0.1/8 x\""));
}

static void inline_and_static_tables_stand_in_the_list(void **state)
{
	(void)state;
	struct pen_maps maps;
	struct pen_span v;

	assert_int_equal(
		pen_maps_open(&maps,
			"inline:{ a.example=smtp:[x], {B.example = error:5.1.2 not here}, c = d }, "
			"static:{:[last resort]}",
			&where, &lines.report),
		0);
	assert_int_equal(maps.n, 2);
	assert_true(pen_maps_find(&maps, PEN_SPAN_LIT("b.example"), &v));
	assert_true(pen_span_eq(v, PEN_SPAN_LIT("error:5.1.2 not here")));
	assert_true(pen_maps_find(&maps, PEN_SPAN_LIT("c"), &v));
	assert_true(pen_span_eq(v, PEN_SPAN_LIT("d")));
	assert_true(pen_maps_find(&maps, PEN_SPAN_LIT("else"), &v));
	assert_true(pen_span_eq(v, PEN_SPAN_LIT(":[last resort]")));
	assert_string_equal(report_lines_text(&lines), "");
	pen_maps_fini(&maps);
}

static void bad_table_names_say_what_to_write(void **state)
{
	(void)state;
	struct pen_maps maps;

	assert_int_equal(pen_maps_open(&maps,
				 "hash:/etc/postfix/transport ldap:/x texthash:relative "
				 "inline:{broken} inline:x static: nothing",
				 &where, &lines.report),
		-22);
	assert_int_equal(maps.n, 0);
	pen_maps_fini(&maps);
	assert_string_equal(report_lines_text(&lines),
		"main.cf:4: error: transport_maps: table \"hash:/etc/postfix/transport\": accepted "
		"types are inline:, texthash:, cidr:, pcre:, regexp:, fail: and static:: write "
		"texthash: and the path of the text file\n"
		"main.cf:4: error: transport_maps: table \"ldap:/x\": accepted types are inline:, "
		"texthash:, cidr:, pcre:, regexp:, fail: and static:\n"
		"main.cf:4: error: transport_maps: texthash:relative: accepted is an absolute "
		"path, "
		"such as $config_directory/NAME\n"
		"main.cf:4: error: transport_maps: inline: \"broken\": expected key = value (in "
		"braces when the value has spaces)\n"
		"main.cf:4: error: transport_maps: inline:x: accepted is inline:{ key = value, { "
		"key = "
		"some text } }\n"
		"main.cf:4: error: transport_maps: static:: accepted is static:value or "
		"static:{some "
		"text}\n"
		"main.cf:4: error: transport_maps: table \"nothing\": accepted types are inline:, "
		"texthash:, cidr:, pcre:, regexp:, fail: and static:\n");
}

static void tables_that_can_fail_are_refused_where_nobody_knows_failures(void **state)
{
	(void)state;
	struct pen_maps maps;

	assert_int_equal(
		pen_maps_open_plain(&maps, "fail:x pcre:{{/a/ b}}", &where, &lines.report), -22);
	pen_maps_fini(&maps);
	assert_string_equal(report_lines_text(&lines),
		"main.cf:4: error: transport_maps: table \"fail:x\": accepted types are inline:, "
		"texthash:, cidr: and static:\n"
		"main.cf:4: error: transport_maps: table \"pcre:{{/a/ b}}\": accepted types are "
		"inline:, texthash:, cidr: and static:\n");
}

static void patterns_are_tried_in_order_and_fill_in_captures(void **state)
{
	(void)state;
	struct pen_map *m = pen_map_parse("pcre",
		PEN_SPAN_LIT("# policy\n"
			     "/^mx(\\d+)\\.example$/ host-$1 ${1}x $(1)y $$\n"
			     "!/\\./ no dot\n"
			     "if /\\.test$/\n"
			     "/^A/i capital only\n"
			     "if !/^b/\n"
			     "  \n"
			     "!/b$/ test\n"
			     "endif\n"
			     "endif\n"
			     "{^(x)?(y)?z\\.} [$1|$2]\n"),
		"policy", &lines.report);

	assert_string_equal(report_lines_text(&lines),
		"policy:11: error: \"{^(x)?(y)?z\\.} [$1|$2]\": no closing delimiter \"{\"\n");
	assert_null(m);
	report_lines_fini(&lines);
	report_lines_init(&lines);
	m = pen_map_parse("pcre",
		PEN_SPAN_LIT("/^mx(\\d+)\\.example$/ host-$1 ${1}x $(1)y $$\n"
			     "!/\\./ no dot\n"
			     "if /\\.test$/\n"
			     "/^A/i capital only\n"
			     "if !/^b/\n"
			     "!/c\\.test$/ test\n"
			     "endif\n"
			     "endif\n"
			     ",^(x)?(y)?z\\., [$1|$2]\n"),
		"policy", &lines.report);
	assert_string_equal(report_lines_text(&lines), "");
	assert_non_null(m);
	assert_false(pen_map_fixed(m));
	assert_string_equal(find(m, "MX12.example"), "host-12 12x 12y $");
	assert_string_equal(find(m, "localhost"), "no dot");
	assert_string_equal(find(m, "a.test"), "test");
	assert_string_equal(find(m, "b.test"), "-");
	assert_string_equal(find(m, "A.test"), "capital only");
	assert_string_equal(find(m, "c.test"), "-");
	assert_string_equal(find(m, "yz.example"), "[|y]");
	assert_string_equal(find(m, "other.example"), "-");
	pen_map_free(m);
}

static void an_entry_that_matched_names_its_line_and_table(void **state)
{
	(void)state;
	struct pen_map_hit hit;
	struct pen_map *m = pen_map_parse("regexp",
		PEN_SPAN_LIT("/^a/ one\nif /b/\n/^b(.)/ two $1\nendif\n"), "policy", &lines.report);

	assert_non_null(m);
	assert_int_equal(pen_map_lookup(m, PEN_SPAN_LIT("bc"), &hit), PEN_MAP_FOUND);
	assert_int_equal(hit.line, 3);
	assert_string_equal(hit.file, "policy");
	assert_string_equal(pen_map_name(hit.map), "regexp:policy");
	assert_true(pen_span_eq(hit.key, PEN_SPAN_LIT("/^b(.)/")));
	assert_true(pen_span_eq(hit.value, PEN_SPAN_LIT("two c")));
	assert_false(hit.lasts);
	assert_int_equal(hit.index, 2);
	assert_int_equal(pen_map_lookup(m, PEN_SPAN_LIT("a"), &hit), PEN_MAP_FOUND);
	assert_true(hit.lasts);
	assert_int_equal(pen_map_lookup(m, PEN_SPAN_LIT("c"), &hit), PEN_MAP_MISSING);
	assert_false(pen_map_entry(m, 1, &hit));
	assert_true(pen_map_entry(m, 2, &hit));
	assert_true(pen_span_eq(hit.value, PEN_SPAN_LIT("two $1")));
	pen_map_free(m);
}

static void rules_with_mistakes_are_all_named(void **state)
{
	(void)state;
	assert_null(pen_map_parse("pcre",
		PEN_SPAN_LIT("/(/ x\n/a/q x\n/a/\n/a/ $2\n!/(a)/ $1\n/a/ $x\nendif\nif /a/ x\n"
			     "abc def\nif /z/\n"),
		"policy", &lines.report));
	assert_string_equal(report_lines_text(&lines),
		"policy:1: error: pattern \"(\": missing closing parenthesis at offset 1\n"
		"policy:2: error: unknown flag \"q\" after the pattern \"a\"\n"
		"policy:3: error: \"/a/\": the result of the pattern is missing\n"
		"policy:4: error: $2: the pattern has 0 groups\n"
		"policy:5: error: a negated pattern has nothing to put in for $1\n"
		"policy:6: error: \"$x\": write $1, ${1}, $(1), or $$ for a dollar sign\n"
		"policy:7: error: \"endif\": \"endif\" without \"if\"\n"
		"policy:8: error: \"if /a/ x\": unexpected text after the condition of \"if\"\n"
		"policy:9: error: \"abc def\": expected /pattern/flags result, \"if\" or "
		"\"endif\"\n"
		"policy:10: error: \"if\" without \"endif\"\n");
}

static void a_pattern_that_backtracks_for_ever_fails_the_lookup(void **state)
{
	(void)state;
	struct pen_map_hit hit;
	char key[64];
	struct pen_map *m = pen_map_parse(
		"pcre", PEN_SPAN_LIT("/^(a+)+$/ x\n/./ y\n"), "policy", &lines.report);

	memset(key, 'a', sizeof(key));
	key[63] = '!';
	assert_int_equal(pen_map_lookup(m, pen_span(key, sizeof(key)), &hit), PEN_MAP_FAILED);
	assert_ptr_equal(hit.map, m);
	pen_map_free(m);
}

static void cidr_tables_have_ifs_and_stand_in_the_list_too(void **state)
{
	(void)state;
	struct pen_maps maps;
	struct pen_map_hit hit;

	assert_int_equal(pen_maps_open(&maps,
				 "inline:{{a.example = one, two}, {b = {x = y, z}}, {c =}}, "
				 "cidr:{{0.0.0.0/0 four}, {::/0 six, and more}} fail:broken",
				 &where, &lines.report),
		0);
	assert_string_equal(report_lines_text(&lines), "");
	assert_int_equal(maps.n, 3);
	assert_true(pen_map_fixed(maps.map[0]));
	assert_false(pen_map_fixed(maps.map[1]));
	assert_string_equal(find(maps.map[0], "A.example"), "one, two");
	assert_string_equal(find(maps.map[0], "b"), "{x = y, z}");
	assert_string_equal(find(maps.map[0], "c"), "");
	assert_int_equal(pen_maps_lookup(&maps, PEN_SPAN_LIT("192.0.2.1"), &hit), PEN_MAP_FOUND);
	assert_true(pen_span_eq(hit.value, PEN_SPAN_LIT("four")));
	assert_int_equal(hit.line, 4);
	assert_null(hit.file);
	assert_string_equal(find(maps.map[1], "2001:db8::1"), "six, and more");
	assert_int_equal(pen_maps_lookup(&maps, PEN_SPAN_LIT("d"), &hit), PEN_MAP_FAILED);
	assert_string_equal(pen_map_name(hit.map), "fail:broken");
	pen_maps_fini(&maps);

	struct pen_map *m = pen_map_parse("cidr",
		PEN_SPAN_LIT("if !10.0.0.0/8\n192.0.2.0/24 doc\nendif\n"
			     "if 10.0.0.0/8\n!10.1.0.0/16 ten\nendif\n"),
		"nets", &lines.report);
	assert_non_null(m);
	assert_string_equal(find(m, "192.0.2.9"), "doc");
	assert_string_equal(find(m, "10.2.0.1"), "ten");
	assert_string_equal(find(m, "10.1.0.1"), "-");
	assert_string_equal(find(m, "198.51.100.1"), "-");
	pen_map_free(m);
	assert_null(pen_map_open(PEN_SPAN_LIT("cidr:{10.0.0.0/8 x}"), &where, &lines.report));
	assert_null(pen_map_open(PEN_SPAN_LIT("cidr:{{10.0.0.1/8 x}}"), &where, &lines.report));
	assert_string_equal(report_lines_text(&lines),
		"main.cf:4: error: transport_maps: cidr: \"10.0.0.0/8\": expected each rule in "
		"braces\n"
		"main.cf:4: error: transport_maps: cidr: \"x\": expected each rule in braces\n"
		"main.cf:4: error: transport_maps: cidr: \"10.0.0.1/8 x\": expected a network with "
		"host bits zero (10.0.0.0/8), white space and a value\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(texthash_folds_keys_and_keeps_values),
		TEST(texthash_lines_without_a_value_are_refused),
		TEST(ten_thousand_keys_are_found),
		TEST(cidr_takes_the_first_match),
		TEST(inline_and_static_tables_stand_in_the_list),
		TEST(bad_table_names_say_what_to_write),
		TEST(tables_that_can_fail_are_refused_where_nobody_knows_failures),
		TEST(patterns_are_tried_in_order_and_fill_in_captures),
		TEST(an_entry_that_matched_names_its_line_and_table),
		TEST(rules_with_mistakes_are_all_named),
		TEST(a_pattern_that_backtracks_for_ever_fails_the_lookup),
		TEST(cidr_tables_have_ifs_and_stand_in_the_list_too),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
