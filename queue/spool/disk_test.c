// SPDX-License-Identifier: BSD-3-Clause
#include "pen_crc32c.h"
#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_test.h"

#include <errno.h>
#include <unistd.h>

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

static void crc32c_matches_the_published_value_in_both_forms(void **state)
{
	(void)state;
	uint8_t text[9000];

	assert_int_equal(pen_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(pen_crc32c_portable(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + i / 13);
	for (size_t n = 0; n < sizeof(text); n += n < 1500 ? 13 : 97) {
		uint32_t whole = pen_crc32c(0, text, n);
		assert_int_equal(whole, pen_crc32c_portable(0, text, n));
		assert_int_equal(
			whole, pen_crc32c(pen_crc32c(0, text, n / 3), text + n / 3, n - n / 3));
	}
}

static void synced_bytes_survive_and_others_may_not(void **state)
{
	(void)state;
	unsigned lost = 0, kept = 0, torn = 0;

	for (uint64_t seed = 1; seed < 60; seed++) {
		struct pen_disk *d = pen_disk_sim_new(seed);
		struct pen_disk_file *f;
		uint8_t *p = pen_disk_alloc(8192);
		size_t size;

		memset(p, 'a', 8192);
		assert_int_equal(d->ops->open(d, "x", PEN_DISK_CREATE | PEN_DISK_DIRECT, &f), 0);
		assert_int_equal(pen_disk_write(d, f, p, 8192, 0), 0);
		assert_int_equal(d->ops->datasync(d, f), 0);
		assert_int_equal(d->ops->sync_dir(d, ""), 0);
		memset(p, 'b', 4096);
		assert_int_equal(pen_disk_write(d, f, p, 4096, 4096), 0);
		pen_disk_sim_restart(d);
		const uint8_t *now = pen_disk_sim_bytes(d, "x", &size);
		assert_int_equal(size, 8192);
		unsigned b = 0;
		for (unsigned i = 0; i < 8192; i++) {
			assert_true(now[i] == 'a' || (i >= 4096 && now[i] == 'b'));
			b += now[i] == 'b';
		}
		assert_int_equal(b % 512, 0);
		lost += b == 0;
		kept += b == 4096;
		torn += b > 0 && b < 4096;
		free(p);
		pen_disk_free(d);
	}
	assert_true(lost > 0 && kept > 0 && torn > 0);
}

static void a_failed_sync_forgets_what_it_did_not_write(void **state)
{
	(void)state;
	unsigned missing = 0;

	for (uint64_t seed = 1; seed < 20; seed++) {
		struct pen_disk *d = pen_disk_sim_new(seed);
		struct pen_disk_file *f;
		uint8_t *p = pen_disk_alloc(4096);
		size_t size;

		memset(p, 'a', 4096);
		d->ops->open(d, "x", PEN_DISK_CREATE, &f);
		d->ops->sync_dir(d, "");
		pen_disk_sim_faults(d)->fail_syncs = 1;
		assert_int_equal(pen_disk_write(d, f, p, 4096, 0), 0);
		assert_int_equal(d->ops->datasync(d, f), -EIO);
		// The second try succeeds and proves nothing.
		assert_int_equal(d->ops->datasync(d, f), 0);
		pen_disk_sim_restart(d);
		const uint8_t *now = pen_disk_sim_bytes(d, "x", &size);
		for (size_t i = 0; i < size; i += 512)
			missing += now[i] != 'a';
		free(p);
		pen_disk_free(d);
	}
	assert_true(missing > 0);
}

static void names_need_a_folder_sync(void **state)
{
	(void)state;
	unsigned there = 0;

	for (uint64_t seed = 1; seed < 40; seed++) {
		struct pen_disk *d = pen_disk_sim_new(seed);
		struct pen_disk_file *f;
		size_t size;

		d->ops->open(d, "x", PEN_DISK_CREATE, &f);
		assert_int_equal(d->ops->pwrite(d, f, "y", 1, 0), 1);
		assert_int_equal(d->ops->datasync(d, f), 0);
		pen_disk_sim_restart(d);
		there += pen_disk_sim_bytes(d, "x", &size) != NULL;
		pen_disk_free(d);
	}
	assert_true(there > 0 && there < 39);
}

static void a_full_disk_and_a_crash_point_are_exact(void **state)
{
	(void)state;
	struct pen_disk *d = pen_disk_sim_new(3);
	struct pen_disk_file *f;
	uint8_t *p = pen_disk_alloc(4096);

	memset(p, 0, 4096);
	d->ops->open(d, "x", PEN_DISK_CREATE, &f);
	pen_disk_sim_faults(d)->capacity = 8192;
	assert_int_equal(pen_disk_write(d, f, p, 4096, 0), 0);
	assert_int_equal(pen_disk_write(d, f, p, 4096, 8192), -ENOSPC);
	assert_int_equal(d->ops->free_bytes(d), 4096);
	pen_disk_sim_crash_after(d, 2);
	assert_int_equal(d->ops->datasync(d, f), 0);
	assert_int_equal(d->ops->datasync(d, f), -EIO);
	assert_true(pen_disk_sim_crashed(d));
	assert_int_equal(d->ops->sync_dir(d, ""), -EIO);
	free(p);
	pen_disk_free(d);
}

static void a_real_folder_keeps_bytes_and_one_owner(void **state)
{
	(void)state;
	char dir[] = "disk-test-XXXXXX", error[256], path[64];
	struct pen_disk *d, *other;
	struct pen_disk_file *f;
	uint8_t *p = pen_disk_alloc(8192);

	assert_non_null(mkdtemp(dir));
	assert_int_equal(pen_disk_posix_new(dir, &d, error, sizeof(error)), 0);
	assert_int_equal(pen_disk_posix_new(dir, &other, error, sizeof(error)), 0);
	assert_int_equal(d->ops->lock(d), 0);
	assert_int_equal(other->ops->lock(other), -EWOULDBLOCK);
	assert_int_equal(d->ops->open(d, "x", PEN_DISK_CREATE | PEN_DISK_DIRECT, &f), 0);
	memset(p, 'q', 8192);
	assert_int_equal(pen_disk_write(d, f, p, 8192, 4096), 0);
	assert_int_equal(d->ops->datasync(d, f), 0);
	assert_int_equal(d->ops->size(d, f), 12288);
	memset(p, 0, 8192);
	assert_int_equal(pen_disk_read(d, f, p, 8192, 8192), 4096);
	assert_int_equal(p[4095], 'q');
	d->ops->close(d, f);
	assert_int_equal(d->ops->make_dir(d, "corrupt"), 0);
	assert_int_equal(d->ops->rename(d, "x", "corrupt/x"), 0);
	assert_int_equal(d->ops->sync_dir(d, "corrupt"), 0);
	assert_int_equal(d->ops->remove(d, "corrupt/x"), 0);
	assert_int_equal(d->ops->open(d, "corrupt/x", PEN_DISK_DIRECT, &f), -ENOENT);
	assert_true(d->ops->free_bytes(d) > 0);
	pen_disk_free(other);
	pen_disk_free(d);
	snprintf(path, sizeof(path), "%s/lock", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/corrupt", dir);
	rmdir(path);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(pen_disk_posix_new("no/such/place", &d, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no/such/place"));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_matches_the_published_value_in_both_forms),
		cmocka_unit_test(synced_bytes_survive_and_others_may_not),
		cmocka_unit_test(a_failed_sync_forgets_what_it_did_not_write),
		cmocka_unit_test(names_need_a_folder_sync),
		cmocka_unit_test(a_full_disk_and_a_crash_point_are_exact),
		cmocka_unit_test(a_real_folder_keeps_bytes_and_one_owner),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
