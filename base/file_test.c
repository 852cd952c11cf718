// SPDX-License-Identifier: BSD-3-Clause

#include "pen_test.h"

#include "pen_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static int at;

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "file_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	at = open(dir, O_RDONLY | O_DIRECTORY);
	return at >= 0 ? 0 : -1;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	close(at);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static int replace(const char *text)
{
	const struct pen_span part = pen_span_cstr(text);

	return pen_file_replace(at, "state", "state.new", &part, 1);
}

static void assert_holds(const char *text)
{
	char got[64] = "";
	int fd = openat(at, "state", O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got) - 1), (ssize_t)strlen(text));
	close(fd);
	assert_string_equal(got, text);
}

static bool exists(const char *name)
{
	return faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void a_file_is_made_of_its_parts_and_replaced(void **state)
{
	const struct pen_span part[] = {
		PEN_SPAN_LIT("a longer "), PEN_SPAN_LIT(""), PEN_SPAN_LIT("one")};
	struct stat st;

	(void)state;
	assert_int_equal(pen_file_replace(at, "state", "state.new", part, 3), 0);
	assert_holds("a longer one");
	assert_int_equal(fstatat(at, "state", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(replace("short"), 0);
	assert_holds("short");
	assert_int_equal(pen_file_replace(at, "state", "state.new", NULL, 0), 0);
	assert_holds("");
	assert_false(exists("state.new"));
}

static void what_a_crash_left_is_overwritten(void **state)
{
	int fd = openat(at, "state.new", O_WRONLY | O_CREAT, 0600);

	(void)state;
	assert_int_equal(write(fd, "half of something long", 22), 22);
	close(fd);
	assert_int_equal(replace("new"), 0);
	assert_holds("new");
}

static void a_link_of_the_name_is_not_followed(void **state)
{
	(void)state;
	assert_int_equal(replace("old"), 0);
	assert_int_equal(symlinkat("victim", at, "state.new"), 0);
	assert_int_equal(replace("new"), -ELOOP);
	assert_false(exists("victim"));
	assert_holds("old");
}

static void a_failure_leaves_the_old_file(void **state)
{
	(void)state;
	assert_int_equal(replace("old"), 0);
	assert_int_equal(mkdirat(at, "state.new", 0700), 0);
	assert_int_equal(replace("new"), -EISDIR);
	assert_holds("old");
	assert_int_equal(unlinkat(at, "state.new", AT_REMOVEDIR), 0);
	// It can be written, but not renamed.
	assert_int_equal(mkdirat(at, "folder", 0700), 0);
	const struct pen_span text = PEN_SPAN_LIT("new");
	assert_int_equal(pen_file_replace(at, "folder", "state.new", &text, 1), -EISDIR);
	assert_false(exists("state.new"));
	assert_int_equal(pen_file_replace(-1, "state", "state.new", &text, 1), -EBADF);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_made_of_its_parts_and_replaced),
		TEST(what_a_crash_left_is_overwritten),
		TEST(a_link_of_the_name_is_not_followed),
		TEST(a_failure_leaves_the_old_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
