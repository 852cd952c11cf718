// SPDX-License-Identifier: BSD-3-Clause

// What the check finds, and what it must not take for damage.

#include "pen_crc32c.h"
#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool_check.h"
#include "pen_spool_core.h"
#include "pen_test.h"
#include "spool_record.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT 65536u
#define NOW 1790000000000000

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

struct rig {
	struct pen_disk *disk;
	struct pen_spool_config cfg;
	struct pen_spool_core *core;
	struct pen_spool_check out;
	char file[32], what[128];
	uint64_t offset, id;
	unsigned faults, seen, ended;
	uint64_t last_id;
};

static void rig_open(struct rig *r)
{
	char error[256];

	if (pen_spool_core_open(&r->cfg, &r->core, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static uint64_t disk_seed = 3;

static void rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->disk = pen_disk_sim_new(disk_seed);
	r->cfg = (struct pen_spool_config){.disk = r->disk, .segment_bytes = SEGMENT, .seed = 5};
	rig_open(r);
}

static void rig_stop(struct rig *r, bool clean)
{
	pen_spool_core_close(r->core, clean);
	pen_disk_sim_restart(r->disk);
}

static uint64_t put(struct rig *r, uint32_t len)
{
	struct pen_span rcpts[2] = {PEN_SPAN_LIT("a@example.net"), PEN_SPAN_LIT("b@example.net")};
	struct pen_message *m = pen_message_new(
		PEN_SPAN_LIT("s@example.org"), rcpts, 2, calloc(1, len), len, NOW, 0);
	uint64_t id = pen_spool_core_next_id(r->core, NOW);

	m->id = id;
	if (pen_spool_core_put(r->core, m) == -EAGAIN) {
		assert_int_equal(pen_spool_core_commit(r->core), 0);
		assert_int_equal(pen_spool_core_put(r->core, m), 0);
	}
	pen_message_free(m);
	return id;
}

static void change(
	struct rig *r, uint64_t id, uint8_t fate0, uint8_t fate1, uint8_t doubts, bool end)
{
	struct pen_rcpt_change c[2] = {
		{.index = 0, .fate = fate0, .doubts = doubts}, {.index = 1, .fate = fate1}};
	struct pen_message_update u = {.id = id, .nchanges = 2, .change = c, .removed = end};

	if (pen_spool_core_update(r->core, &u) == -EAGAIN) {
		assert_int_equal(pen_spool_core_commit(r->core), 0);
		assert_int_equal(pen_spool_core_update(r->core, &u), 0);
	}
}

static void commit(struct rig *r)
{
	assert_int_equal(pen_spool_core_commit(r->core), 0);
}

static void on_fault(void *ctx, const struct pen_spool_fault *f)
{
	struct rig *r = ctx;

	if (r->faults++ > 0)
		return;
	snprintf(r->file, sizeof(r->file), "%s", f->file);
	snprintf(r->what, sizeof(r->what), "%s", f->what);
	r->offset = f->offset;
	r->id = f->id;
}

static void on_message(void *ctx, const struct pen_spool_seen *s)
{
	struct rig *r = ctx;

	assert_true(s->m->id > r->last_id);
	r->last_id = s->m->id;
	r->seen++;
	r->ended += s->ended;
}

static void check(struct rig *r)
{
	struct pen_spool_check_config cfg = {
		.disk = r->disk, .ctx = r, .on_fault = on_fault, .on_message = on_message};
	char error[256];

	r->faults = r->seen = r->ended = 0;
	r->last_id = 0;
	uint64_t ops = pen_disk_sim_ops(r->disk);
	assert_int_equal(pen_spool_check(&cfg, &r->out, error, sizeof(error)), 0);
	assert_int_equal(r->out.faults, r->faults);
	assert_int_equal(pen_disk_sim_ops(r->disk), ops); // it changes nothing
}

static void rig_fini(struct rig *r)
{
	pen_disk_free(r->disk);
}

static void every_message_and_fate_of_a_good_spool_is_counted(void **state)
{
	(void)state;
	for (int clean = 0; clean < 2; clean++) {
		struct rig r;
		rig_init(&r);
		uint64_t queued = put(&r, 100), doubtful = put(&r, 200), half = put(&r, 300);
		uint64_t done = put(&r, 400), deleted = put(&r, 500);
		(void)queued;
		commit(&r);
		change(&r, doubtful, PEN_FATE_QUEUED, PEN_FATE_QUEUED, 1, false);
		change(&r, half, PEN_FATE_DELIVERED, PEN_FATE_QUEUED, 0, false);
		change(&r, done, PEN_FATE_DELIVERED, PEN_FATE_BOUNCED, 0, true);
		change(&r, deleted, PEN_FATE_DELETED, PEN_FATE_EXPIRED, 0, true);
		commit(&r);
		for (int i = 0; i < 40; i++) { // over several segments
			put(&r, 3000);
			commit(&r);
		}
		rig_stop(&r, clean);
		check(&r);
		assert_int_equal(r.faults, 0);
		assert_false(r.out.online);
		assert_true(r.out.footers >= 1 && r.out.checked >= 2 && r.out.skipped == 0);
		const struct pen_spool_totals *t = &r.out.totals;
		assert_int_equal(t->live, 43);
		assert_int_equal(t->ended, 2);
		assert_int_equal(t->taken_back, 0);
		assert_int_equal(t->recipients[PEN_FATE_QUEUED], 80 + 2 + 2 + 1);
		assert_int_equal(t->recipients[PEN_FATE_DELIVERED], 2);
		assert_int_equal(t->recipients[PEN_FATE_BOUNCED], 1);
		assert_int_equal(t->recipients[PEN_FATE_DELETED], 1);
		assert_int_equal(t->recipients[PEN_FATE_EXPIRED], 1);
		assert_int_equal(t->live_recipients[PEN_FATE_DELIVERED], 1);
		assert_int_equal(t->in_doubt, 1);
		assert_int_equal(r.seen, 45);
		assert_int_equal(r.ended, 2);
		rig_fini(&r);
	}
}

static void a_refused_put_that_reached_the_disk_is_no_message(void **state)
{
	(void)state;
	unsigned back = 0;

	// Whether its bytes are on the medium depends on the disk's seed.
	for (disk_seed = 1; disk_seed < 40; disk_seed++) {
		struct rig r;
		rig_init(&r);
		put(&r, 3000);
		commit(&r);
		put(&r, 100);
		pen_disk_sim_faults(r.disk)->fail_syncs = 100;
		assert_int_equal(pen_spool_core_commit(r.core), -EIO);
		pen_disk_sim_faults(r.disk)->fail_syncs = 0;
		put(&r, 100);
		commit(&r);
		rig_stop(&r, false);
		check(&r);
		assert_int_equal(r.faults, 0);
		assert_int_equal(r.out.totals.live, 2);
		assert_int_equal(r.out.totals.recipients[PEN_FATE_QUEUED], 4);
		back += (unsigned)r.out.totals.taken_back;
		rig_fini(&r);
	}
	assert_true(back > 5);
	disk_seed = 3;
}

// A spool of several closed segments with updates in them.
static uint64_t some_spool(struct rig *r)
{
	uint64_t first = 0;

	rig_init(r);
	for (int i = 0; i < 60; i++) {
		uint64_t id = put(r, 3000);
		commit(r);
		first = first != 0 ? first : id;
		change(r, id, PEN_FATE_QUEUED, PEN_FATE_DELIVERED, 0, false);
		commit(r);
	}
	rig_stop(r, true);
	check(r);
	if (r->faults != 0)
		fail_msg("%s at %llu: %s", r->file, (unsigned long long)r->offset, r->what);
	return first;
}

static uint8_t *segment_copy(struct rig *r, const char *name)
{
	size_t size;
	uint8_t *p = malloc(SEGMENT);

	memcpy(p, pen_disk_sim_bytes(r->disk, name, &size), SEGMENT);
	return p;
}

static void each_kind_of_damage_is_found_where_it_is(void **state)
{
	(void)state;
	static const struct {
		const char *label, *what;
		uint64_t at;
		uint64_t offset; // reported
	} cases[] = {
		{"content of a record", "damaged bytes", 4096 + 64 + 1000, 4096 + 64},
		{"a batch's header", "damaged bytes", 4096 + 8, 4096 + 64 + 0},
		{"the segment's header", "the segment's header is damaged", 30, 0},
		{"the trailer", "the trailer is damaged", SEGMENT - 4096 + 40, SEGMENT - 4096},
		{"the footer", "the footer is damaged", 0, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r;
		uint64_t id = some_spool(&r), at = cases[i].at;
		if (at == 0) {
			uint8_t *p = segment_copy(&r, "seg-00000001");
			at = get32(p + SEGMENT - 4096 + 48) + 20u;
			free(p);
		}
		pen_disk_sim_flip(r.disk, "seg-00000001", at, 1, 4);
		check(&r);
		if (r.faults == 0)
			fail_msg("%s: nothing found", cases[i].label);
		assert_string_equal(r.file, "seg-00000001");
		if (i == 1) { // its records are whole all the same
			assert_string_equal(r.what, "damaged bytes");
			assert_true(r.offset >= 4096 && r.offset < 8192 + 64);
		} else {
			assert_string_equal(r.what, cases[i].what);
			assert_true(i == 4 || r.offset == cases[i].offset);
		}
		if (i == 0)
			assert_int_equal(r.id, id);
		rig_fini(&r);
	}
}

// Changes a record and makes its checksum good again.
static void forge(struct rig *r, uint64_t off, size_t at, uint8_t byte)
{
	uint8_t *p = segment_copy(r, "seg-00000001");

	p[off + at] = byte;
	spool_record_seal(p + off, get64(p + 24));
	pen_disk_sim_put(r->disk, "seg-00000001", p, SEGMENT);
	free(p);
}

static void bytes_with_good_checksums_that_contradict_each_other_are_found(void **state)
{
	(void)state;
	struct rig r;

	// A record that the footer has otherwise.
	some_spool(&r);
	forge(&r, 4096 + 64, 40, 0x77);
	check(&r);
	assert_true(r.faults > 0);
	assert_non_null(strstr(r.what, "differs from the record"));
	rig_fini(&r);
	// A record whose lengths make no sense.
	some_spool(&r);
	forge(&r, 4096 + 64, 52, 200);
	check(&r);
	assert_true(r.faults > 0);
	rig_fini(&r);
	// A record of a later version.
	some_spool(&r);
	forge(&r, 4096 + 64, 13, 9);
	check(&r);
	assert_true(r.faults > 0);
	rig_fini(&r);
}

static void a_footer_that_would_mislead_a_recovery_is_found(void **state)
{
	(void)state;
	struct rig r;
	uint64_t id = some_spool(&r);
	uint8_t *p = segment_copy(&r, "seg-00000001");
	uint8_t *t = p + SEGMENT - 4096;
	uint32_t off = get32(t + 48), len = get32(t + 52);

	// The footer's first entry, the first message, is left out.
	uint32_t gone = SPOOL_FOOT_ENTRY + (uint32_t)align8(get32(p + off + SPOOL_FOOT_ENTRY + 8));
	memmove(p + off, p + off + gone, len - gone);
	memset(p + off + len - gone, 0, gone);
	struct spool_trailer trailer;
	assert_true(spool_trailer_decode(t, &trailer));
	trailer.foot_len = len - gone;
	// Keep the place: padded as before.
	if (pen_disk_align(trailer.foot_len) != pen_disk_align(len)) {
		uint32_t to = (uint32_t)(SEGMENT - 4096 - pen_disk_align(trailer.foot_len));
		memmove(p + to, p + off, trailer.foot_len);
		trailer.foot_off = to;
	}
	trailer.foot_crc = pen_crc32c(0, p + trailer.foot_off, trailer.foot_len);
	spool_trailer_encode(t, &trailer);
	pen_disk_sim_put(r.disk, "seg-00000001", p, SEGMENT);
	free(p);
	check(&r);
	assert_int_equal(r.faults, 1);
	assert_int_equal(r.id, id);
	assert_non_null(strstr(r.what, "would lose it"));
	rig_fini(&r);
}

static void an_entry_of_a_footer_that_points_beyond_the_data_is_found(void **state)
{
	(void)state;
	static const uint32_t beyond[] = {SEGMENT, UINT32_MAX & ~7u, UINT32_MAX - 31, 1u << 31};

	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		struct rig r;
		struct spool_trailer trailer;
		uint64_t id = some_spool(&r);
		uint8_t *p = segment_copy(&r, "seg-00000001");
		assert_true(spool_trailer_decode(p + SEGMENT - 4096, &trailer));
		put32(p + trailer.foot_off, beyond[i]);
		trailer.foot_crc = pen_crc32c(0, p + trailer.foot_off, trailer.foot_len);
		spool_trailer_encode(p + SEGMENT - 4096, &trailer);
		pen_disk_sim_put(r.disk, "seg-00000001", p, SEGMENT);
		free(p);
		check(&r);
		assert_int_equal(r.faults, 2); // with what a recovery would believe
		assert_int_equal(r.id, id);
		rig_fini(&r);
	}
}

static void what_is_being_written_is_never_taken_for_damage(void **state)
{
	(void)state;
	struct pen_rand rand;
	struct rig r;
	unsigned skipped = 0, checked = 0;
	uint64_t ids[64] = {0};

	pen_rand_seed(&rand, pen_test_seed());
	rig_init(&r);
	for (int i = 0; i < 1500; i++) {
		uint64_t *id = &ids[pen_rand_below(&rand, 64)];
		if (*id != 0)
			change(&r, *id, PEN_FATE_DELIVERED, PEN_FATE_DELIVERED, 0, true);
		*id = put(&r, (uint32_t)pen_rand_below(&rand, 6000));
		if (pen_rand_below(&rand, 2) == 0)
			commit(&r);
		if (pen_rand_below(&rand, 8) == 0) {
			commit(&r);
			pen_spool_core_step(r.core);
		}
		if (i % 10 == 0) {
			check(&r);
			assert_true(r.out.online);
			if (r.faults != 0)
				fail_msg("%s at %llu: %s", r.file, (unsigned long long)r.offset,
					r.what);
			skipped += r.out.skipped;
			checked += r.out.checked;
		}
	}
	assert_true(skipped > 0 && checked > 100);
	// Half of the open segment's latest batch, as a reader may see it.
	pen_spool_core_close(r.core, false);
	rig_fini(&r);
}

static void damage_in_a_closed_segment_is_found_while_the_spool_is_in_use(void **state)
{
	(void)state;
	struct rig r;

	some_spool(&r);
	rig_open(&r);
	pen_disk_sim_flip(r.disk, "seg-00000001", 4096 + 64 + 1000, 1, 4);
	check(&r);
	assert_true(r.out.online);
	assert_true(r.faults > 0);
	assert_string_equal(r.file, "seg-00000001");
	pen_spool_core_close(r.core, false);
	rig_fini(&r);
}

static void a_folder_that_is_none_is_an_error_and_not_made(void **state)
{
	(void)state;
	struct pen_spool_check_config cfg = {.directory = "no/such/spool"};
	struct pen_spool_check out;
	char error[256], dir[] = "check-test-XXXXXX";
	struct stat st;

	assert_int_equal(pen_spool_check(&cfg, &out, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no/such/spool"));
	assert_non_null(mkdtemp(dir));
	cfg.directory = dir;
	assert_int_equal(pen_spool_check(&cfg, &out, error, sizeof(error)), 0);
	assert_int_equal(out.segments, 0);
	assert_int_equal(rmdir(dir), 0); // not even a lock file
	assert_int_not_equal(stat("no", &st), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_and_fate_of_a_good_spool_is_counted),
		cmocka_unit_test(a_refused_put_that_reached_the_disk_is_no_message),
		cmocka_unit_test(each_kind_of_damage_is_found_where_it_is),
		cmocka_unit_test(bytes_with_good_checksums_that_contradict_each_other_are_found),
		cmocka_unit_test(a_footer_that_would_mislead_a_recovery_is_found),
		cmocka_unit_test(an_entry_of_a_footer_that_points_beyond_the_data_is_found),
		cmocka_unit_test(what_is_being_written_is_never_taken_for_damage),
		cmocka_unit_test(damage_in_a_closed_segment_is_found_while_the_spool_is_in_use),
		cmocka_unit_test(a_folder_that_is_none_is_an_error_and_not_made),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
