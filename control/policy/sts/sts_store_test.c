// SPDX-License-Identifier: BSD-3-Clause

// Policies on disk: they come back as they went, or not at all.

#include "pen_test.h"
#include "sts_store.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static uint64_t errors;
static char loaded[4][600];
static pen_wall_us loaded_fetched[4];
static int nloaded;

static int begin(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/pen-sts-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	errors = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static struct sts_store *open_store(void)
{
	char err[256];
	struct sts_store *s = sts_store_open(dir, &errors, err, sizeof(err));

	assert_non_null(s);
	return s;
}

static void put(struct sts_store *s, const char *domain, const char *mx, int64_t fetched_s)
{
	struct pen_sts_policy p;
	char body[256];

	snprintf(body, sizeof(body), "version: STSv1\nmode: enforce\nmax_age: 60\nmx: %s\n", mx);
	assert_null(pen_sts_parse(pen_span_cstr(body), &p));
	snprintf(p.domain, sizeof(p.domain), "%s", domain);
	snprintf(p.id, sizeof(p.id), "id%lld", (long long)fetched_s);
	sts_store_write(s, &p, fetched_s * PEN_US_PER_S);
	pen_sts_policy_fini(&p);
}

static void on_load(void *ctx, struct pen_sts_policy *p, pen_wall_us fetched)
{
	(void)ctx;
	snprintf(loaded[nloaded], sizeof(loaded[0]), "%s %s %s", p->domain, p->id, p->mx[0]);
	loaded_fetched[nloaded++] = fetched;
	pen_sts_policy_fini(p);
}

static uint64_t load(void)
{
	struct sts_store *s = open_store();

	nloaded = 0;
	uint64_t bad = sts_store_load(s, on_load, NULL);
	sts_store_close(s);
	return bad;
}

static void path_of(char out[512], const char *name)
{
	snprintf(out, 512, "%s/%s", dir, name);
}

static void a_policy_comes_back_as_it_went(void **state)
{
	(void)state;
	struct sts_store *s = open_store();

	put(s, "example.com", "a.example", 100);
	put(s, "example.com", "b.example", 200);
	put(s, "gone.example", "c.example", 300);
	sts_store_remove(s, "gone.example");
	sts_store_remove(s, "never.example");
	sts_store_close(s);
	assert_int_equal(load(), 0);
	assert_int_equal(nloaded, 1);
	assert_string_equal(loaded[0], "example.com id200 b.example");
	assert_int_equal(loaded_fetched[0], 200 * PEN_US_PER_S);
	assert_int_equal(errors, 0);
}

static void every_damaged_byte_is_noticed(void **state)
{
	(void)state;
	struct pen_buf file = PEN_BUF_INIT;
	struct pen_sts_policy p, again;
	pen_wall_us fetched;

	assert_null(pen_sts_parse(
		PEN_SPAN_LIT("version: STSv1\nmode: enforce\nmax_age: 60\nmx: a.example\nx: y\n"),
		&p));
	strcpy(p.domain, "example.com");
	strcpy(p.id, "1");
	sts_file_encode(&file, &p, 7 * PEN_US_PER_S);
	assert_null(sts_file_decode(pen_buf_span(&file), &again, &fetched));
	assert_string_equal(again.line[4], "x: y");
	assert_int_equal(fetched, 7 * PEN_US_PER_S);
	pen_sts_policy_fini(&again);
	for (size_t i = 0; i < file.n; i++) {
		file.p[i] ^= 1;
		assert_non_null(sts_file_decode(pen_buf_span(&file), &again, &fetched));
		file.p[i] ^= 1;
		assert_non_null(sts_file_decode(pen_span(file.p, i), &again, &fetched));
	}
	pen_sts_policy_fini(&p);
	pen_buf_fini(&file);
}

static void a_damaged_file_is_set_aside(void **state)
{
	(void)state;
	struct sts_store *s = open_store();
	char path[512], other[512];
	struct stat st;

	put(s, "cut.example", "a.example", 100);
	put(s, "good.example", "a.example", 100);
	put(s, "name.example", "a.example", 100);
	sts_store_close(s);
	path_of(path, "cut.example");
	assert_int_equal(truncate(path, 120), 0);
	path_of(path, "name.example");
	path_of(other, "victim.example");
	assert_int_equal(rename(path, other), 0);
	// What a crash leaves behind is no damage.
	path_of(path, "+new");
	fclose(fopen(path, "w"));
	assert_int_equal(load(), 2);
	assert_int_equal(nloaded, 1);
	path_of(path, "+bad/cut.example");
	assert_int_equal(stat(path, &st), 0);
	path_of(path, "+bad/victim.example");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(load(), 0);
	assert_int_equal(nloaded, 1);
}

static void what_cannot_be_written_is_counted(void **state)
{
	(void)state;
	struct sts_store *s = open_store();
	char path[512];

	// A directory where the file should go.
	path_of(path, "+new");
	assert_int_equal(mkdir(path, 0700), 0);
	put(s, "example.com", "a.example", 100);
	sts_store_close(s);
	assert_int_equal(errors, 1);
	assert_int_equal(load(), 0);
	assert_int_equal(nloaded, 0);
}

static void a_directory_that_cannot_be_made_is_one_sentence(void **state)
{
	(void)state;
	char err[256];

	assert_null(sts_store_open("/nonexistent/mta-sts", &errors, err, sizeof(err)));
	assert_string_equal(err, "/nonexistent/mta-sts: No such file or directory");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(a_policy_comes_back_as_it_went),
		TEST(every_damaged_byte_is_noticed),
		TEST(a_damaged_file_is_set_aside),
		TEST(what_cannot_be_written_is_counted),
		TEST(a_directory_that_cannot_be_made_is_one_sentence),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
