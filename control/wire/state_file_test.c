// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "state_file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], kept[256];
static struct pen_buf text;

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "state_file_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	text = (struct pen_buf)PEN_BUF_INIT;
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	pen_buf_fini(&text);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static const char *path(const char *name)
{
	static char p[512];

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	return p;
}

static int read_back(void)
{
	text.n = 0;
	return pen_state_file_read(dir, "state", &text, kept, sizeof(kept));
}

static void what_was_written_is_read_and_replaced(void **state)
{
	(void)state;
	assert_int_equal(read_back(), -ENOENT);
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("one\n")), 0);
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("two\nlines\n")), 0);
	assert_int_equal(read_back(), 0);
	assert_true(pen_span_eq(pen_buf_span(&text), PEN_SPAN_LIT("two\nlines\n")));
	assert_int_not_equal(access(path("state.new"), F_OK), 0);
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("")), 0);
	assert_int_equal(read_back(), 0);
	assert_int_equal(text.n, 0);
}

static void a_damaged_file_is_set_aside(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("limit 5\n")), 0);
		FILE *f = fopen(path("state"), "r+");
		fseek(f, 6, SEEK_SET);
		fputc('9', f);
		fclose(f);
		assert_int_equal(read_back(), -EBADMSG);
		assert_int_equal(text.n, 0);
		assert_string_equal(kept, i == 0 ? "corrupt/state.1" : "corrupt/state.2");
		assert_int_equal(access(path(kept), F_OK), 0);
		assert_int_equal(read_back(), -ENOENT);
	}
}

static void a_file_that_was_cut_is_damaged(void **state)
{
	(void)state;
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("limit 5\n")), 0);
	assert_int_equal(truncate(path("state"), 20), 0);
	assert_int_equal(read_back(), -EBADMSG);
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("limit 5\n")), 0);
	assert_int_equal(truncate(path("state"), 0), 0);
	assert_int_equal(read_back(), -EBADMSG);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
	(void)state;
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("old\n")), 0);
	assert_int_equal(mkdir(path("state.new"), 0700), 0);
	assert_int_equal(pen_state_file_write(dir, "state", PEN_SPAN_LIT("new\n")), -EISDIR);
	assert_int_equal(read_back(), 0);
	assert_true(pen_span_eq(pen_buf_span(&text), PEN_SPAN_LIT("old\n")));
	assert_int_equal(pen_state_file_write(path("none"), "state", PEN_SPAN_LIT("x")), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(what_was_written_is_read_and_replaced),
		TEST(a_damaged_file_is_set_aside),
		TEST(a_file_that_was_cut_is_damaged),
		TEST(a_failed_write_leaves_the_old_file),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
