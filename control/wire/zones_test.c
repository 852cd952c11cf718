// SPDX-License-Identifier: BSD-3-Clause
#include "zones.h"

#include "pen_test.h"

#include <sys/stat.h>
#include <unistd.h>

static void zones_are_found_by_name_and_stay_right_when_asked_again(void **state)
{
	struct pen_zones *z = pen_zones_new(PEN_ZONES_FOLDER);
	const pen_wall_us july = 1783000000ll * PEN_US_PER_S;
	int32_t offset;
	pen_wall_us until;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(pen_zones_at(z, "Europe/Berlin", july, &offset, &until));
		assert_int_equal(offset, 7200);
		assert_true(pen_zones_at(z, "Asia/Kolkata", july, &offset, &until));
		assert_int_equal(offset, 19800);
		assert_true(until == PEN_TIME_NEVER);
		assert_true(pen_zones_at(z, "America/New_York", july, &offset, &until));
		assert_int_equal(offset, -4 * 3600);
	}
	pen_zones_free(z);
}

static void names_that_are_no_zone_are_refused(void **state)
{
	static const char *const bad[] = {"", "Europe/Atlantis", "/usr/share/zoneinfo/UTC",
		"../zoneinfo/UTC", "Europe", "Europe/../UTC", "zone.tab"};
	struct pen_zones *z = pen_zones_new(PEN_ZONES_FOLDER);
	int32_t offset;
	pen_wall_us until;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pen_zones_at(z, bad[i], 0, &offset, &until));
	pen_zones_free(z);
	pen_zones_free(NULL);
}

static void a_damaged_file_is_no_zone(void **state)
{
	char folder[] = "/tmp/pen_zones_XXXXXX", path[64];
	int32_t offset;
	pen_wall_us until;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/Broken", folder);
	FILE *f = fopen(path, "w");
	fputs("TZif2 and nothing else", f);
	fclose(f);
	struct pen_zones *z = pen_zones_new(folder);
	assert_false(pen_zones_at(z, "Broken", 0, &offset, &until));
	pen_zones_free(z);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_are_found_by_name_and_stay_right_when_asked_again),
		cmocka_unit_test(names_that_are_no_zone_are_refused),
		cmocka_unit_test(a_damaged_file_is_no_zone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
