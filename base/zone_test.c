// SPDX-License-Identifier: BSD-3-Clause
#include "pen_zone.h"

#include "pen_rand.h"
#include "pen_test.h"

#define S PEN_US_PER_S
#define FOLDER "/usr/share/zoneinfo/"

static uint8_t file[1 << 16];

static struct pen_zone load(const char *name)
{
	char path[128];
	struct pen_zone z;

	snprintf(path, sizeof(path), FOLDER "%s", name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("%s is not there: package tzdata", path);
	size_t n = fread(file, 1, sizeof(file), f);
	fclose(f);
	assert_int_equal(pen_zone_parse(&z, pen_span(file, n)), 0);
	return z;
}

static int32_t offset_at(const struct pen_zone *z, int64_t t, int64_t *until)
{
	int32_t offset;
	pen_wall_us end;

	pen_zone_at(z, t * S, &offset, &end);
	if (until != NULL)
		*until = end == PEN_TIME_NEVER ? end : end / S;
	return offset;
}

static void berlin_has_summer_time_from_march_to_october(void **state)
{
	(void)state;
	struct pen_zone z = load("Europe/Berlin");
	int64_t until;

	// 2026-03-29 01:00 UTC and 2026-10-25 01:00 UTC
	assert_int_equal(offset_at(&z, 1774746000 - 1, &until), 3600);
	assert_int_equal(until, 1774746000);
	assert_int_equal(offset_at(&z, 1774746000, &until), 7200);
	assert_int_equal(until, 1792890000);
	assert_int_equal(offset_at(&z, 1792890000, NULL), 3600);
}

static void kolkata_is_half_an_hour_off_and_does_not_change(void **state)
{
	(void)state;
	struct pen_zone z = load("Asia/Kolkata");
	int64_t until;

	assert_int_equal(offset_at(&z, 1774746000, &until), 19800);
	assert_true(until == PEN_TIME_NEVER);
}

static void the_rule_holds_beyond_the_table(void **state)
{
	(void)state;
	struct pen_zone z = load("America/New_York");
	int64_t until;

	// 2100-03-14 07:00 UTC: summer time begins, long after any table's end.
	assert_int_equal(offset_at(&z, 4108690800 - 1, &until), -5 * 3600);
	assert_int_equal(until, 4108690800);
	assert_int_equal(offset_at(&z, 4108690800, NULL), -4 * 3600);
}

// The C library reads the same files.
static void all_zones_agree_with_the_c_library_at_random_moments(void **state)
{
	static const char *const names[] = {"Europe/Berlin", "Europe/Dublin", "America/New_York",
		"America/Nuuk", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tehran", "Asia/Gaza",
		"Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
		"Antarctica/Troll", "UTC", "EST5EDT"};
	struct pen_rand r;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct pen_zone z = load(names[i]);
		setenv("TZ", names[i], 1);
		tzset();
		for (int k = 0; k < 20000; k++) {
			// 1930 to 2200
			time_t t = (time_t)pen_rand_below(&r, 8520000000ull) - 1262304000;
			struct tm tm;
			int64_t until;
			localtime_r(&t, &tm);
			int32_t got = offset_at(&z, t, &until);
			if (got != tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, not %ld", names[i], (long long)t, got,
					tm.tm_gmtoff);
			if (until == PEN_TIME_NEVER)
				continue;
			t = (time_t)until - 1; // and it holds as long as is said
			localtime_r(&t, &tm);
			assert_int_equal(got, tm.tm_gmtoff);
		}
	}
	unsetenv("TZ");
}

static struct pen_zone of_rule(const char *rule, uint8_t *out)
{
	static const uint8_t body[6 + 4] = {0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0};
	uint8_t header[44] = {'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4};
	struct pen_zone z;
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		memcpy(out + n, header, 44);
		memcpy(out + n + 44, body, sizeof(body));
		n += 44 + sizeof(body);
	}
	n += (size_t)sprintf((char *)out + n, "\n%s\n", rule);
	if (pen_zone_parse(&z, pen_span(out, n)) != 0)
		z.ntypes = 0;
	return z;
}

static void footers_may_say_all_that_the_format_allows(void **state)
{
	uint8_t bytes[256];
	int64_t until;

	(void)state;
	// Summer time all year.
	struct pen_zone z = of_rule("XXX3EDT4,0/0,J365/23", bytes);
	assert_int_equal(z.ntypes, 1);
	assert_int_equal(offset_at(&z, 1774746000, NULL), -4 * 3600);
	assert_int_equal(offset_at(&z, 1767225600 + 3 * 3600, NULL), -4 * 3600);
	// Before midnight of the day that is named.
	z = of_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", bytes);
	assert_int_equal(offset_at(&z, 1774746000 - 1, &until), -2 * 3600);
	assert_int_equal(until, 1774746000);
	// The 60th day without 29 February is 1 March: 2028 has one.
	z = of_rule("AAA0BBB,J60/0,J61/0", bytes);
	assert_int_equal(offset_at(&z, 1835481600, NULL), 3600);
	assert_int_equal(offset_at(&z, 1835481600 - 1, NULL), 0);
	z = of_rule("<+0330>-3:30", bytes);
	assert_int_equal(offset_at(&z, 0, &until), 12600);
	assert_true(until == PEN_TIME_NEVER);
}

static void what_is_no_zone_file_is_refused(void **state)
{
	static const char *const rules[] = {"X1", "ABC", "ABC1DEF", "ABC1DEF,M13.1.0,M1.1.0",
		"ABC1DEF,M1.6.0,M1.1.0", "ABC1DEF,J0,J5", "ABC25", "ABC1x", "<ABC1",
		"ABC1DEF,M3.2.0,M11.1.0,"};
	uint8_t bytes[256];
	struct pen_zone z;

	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		z = of_rule(rules[i], bytes);
		if (z.ntypes != 0)
			fail_msg("%s was taken", rules[i]);
	}
	load("Europe/Berlin");
	for (size_t n = 0; n < 2000; n++) // cut anywhere
		assert_int_not_equal(pen_zone_parse(&z, pen_span(file, n)), 0);
	file[27] = 1; // leap seconds
	file[0] = 'x';
	assert_int_not_equal(pen_zone_parse(&z, pen_span(file, 2298)), 0);
}

static void names_stay_inside_their_folder(void **state)
{
	static const char *const good[] = {
		"Europe/Berlin", "UTC", "Etc/GMT+5", "America/Port-au-Prince"};
	static const char *const bad[] = {"", "/etc/passwd", "../x", "a/../../b", "a.b", "a b",
		"Europe/Berlin/which_is_much_too_long_for_any_zone"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(pen_zone_name_valid(pen_span_cstr(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pen_zone_name_valid(pen_span_cstr(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(berlin_has_summer_time_from_march_to_october),
		cmocka_unit_test(kolkata_is_half_an_hour_off_and_does_not_change),
		cmocka_unit_test(the_rule_holds_beyond_the_table),
		cmocka_unit_test(all_zones_agree_with_the_c_library_at_random_moments),
		cmocka_unit_test(footers_may_say_all_that_the_format_allows),
		cmocka_unit_test(what_is_no_zone_file_is_refused),
		cmocka_unit_test(names_stay_inside_their_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
