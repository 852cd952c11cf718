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
		"types are inline:, texthash:, cidr: and static:: write texthash: and the path of "
		"the "
		"text file\n"
		"main.cf:4: error: transport_maps: table \"ldap:/x\": accepted types are inline:, "
		"texthash:, cidr: and static:\n"
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
		"texthash:, cidr: and static:\n");
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
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
