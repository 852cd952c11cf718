// SPDX-License-Identifier: BSD-3-Clause

// Space comes back even when no segment is left to move mail to.

#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool_core.h"
#include "pen_test.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENT 65536u
#define SEGMENTS 16u
#define RESERVE 3u // the least there is
#define MOST 1000u

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

struct rig {
	struct pen_disk *disk;
	struct pen_spool_core *core;
	uint64_t id[MOST];
	unsigned n, found;
	bool fails;
};

static void on_message(void *ctx, struct pen_message *m)
{
	((struct rig *)ctx)->found++;
	pen_message_free(m);
}

static void rig_open(struct rig *r)
{
	struct pen_spool_config cfg = {.disk = r->disk,
		.segment_bytes = SEGMENT,
		.max_bytes = (uint64_t)SEGMENT * SEGMENTS,
		.seed = 5,
		.ctx = r,
		.on_message = on_message};
	char error[256];

	r->found = 0;
	if (pen_spool_core_open(&cfg, &r->core, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void rig_fini(struct rig *r)
{
	pen_spool_core_close(r->core, true);
	pen_disk_free(r->disk);
}

static int put(struct rig *r, uint32_t len)
{
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	struct pen_message *m =
		pen_message_new(PEN_SPAN_LIT("s@example.org"), &rcpt, 1, calloc(1, len), len, 1, 0);

	m->id = pen_spool_core_next_id(r->core, 1);
	int err = pen_spool_core_put(r->core, m);
	if (err == 0) {
		assert_in_range(r->n, 0, MOST - 1);
		r->id[r->n++] = m->id;
	}
	pen_message_free(m);
	return err;
}

static int change(struct rig *r, uint64_t id, bool removed)
{
	struct pen_rcpt_change c = {.index = 0, .attempts = 1};
	struct pen_message_update u = {
		.id = id, .next_attempt = 2, .nchanges = 1, .change = &c, .removed = removed};

	return pen_spool_core_update(r->core, &u);
}

// Whether the change is stored.
static bool changed(struct rig *r, uint64_t id, bool removed)
{
	return change(r, id, removed) == 0 && pen_spool_core_commit(r->core) == 0;
}

static void settle(struct rig *r)
{
	unsigned steps = 0;

	while (pen_spool_core_step(r->core) > 0)
		assert_in_range(++steps, 1, 10000);
}

// Changes wait for housekeeping to make room, as pen_spool has them do.
static void change_each(struct rig *r, bool removed)
{
	for (unsigned i = 0; i < r->n; i++) {
		unsigned tries = 0;
		while (!changed(r, r->id[i], removed)) {
			assert_in_range(++tries, 1, 3);
			settle(r);
		}
	}
	settle(r);
}

static void fill(struct rig *r)
{
	while (put(r, 3000) == 0)
		assert_int_equal(pen_spool_core_commit(r->core), 0);
	// Of a quarter of the mail only dead bytes stay: too few for it to be moved for their sake.
	unsigned kept = 0;
	for (unsigned i = 0; i < r->n; i++) {
		if (i % 4 == 0)
			assert_int_equal(change(r, r->id[i], true), 0);
		else
			r->id[kept++] = r->id[i];
	}
	assert_int_equal(pen_spool_core_commit(r->core), 0);
	r->n = kept;
}

static bool has_last_segment(struct rig *r)
{
	struct pen_spool_stats st;

	pen_spool_core_stats(r->core, &st);
	return st.segments == SEGMENTS + RESERVE && st.segments_free == 1;
}

// Segments can be opened, and batches cannot be written.
static void fail_every_second_sync(void *ctx, uint64_t n)
{
	struct rig *r = ctx;

	(void)n;
	r->fails = !r->fails;
	pen_disk_sim_faults(r->disk)->fail_syncs = r->fails;
}

// Each write that fails costs a segment, which is not at the head of the log, and goes to the next.
// At last the open one is lost as well, with the one that belongs to relocation.
static void eat_up_the_reserve(struct rig *r)
{
	struct pen_disk_sim_faults *faults = pen_disk_sim_faults(r->disk);
	unsigned tries = 0;
	bool last = false;

	while (!last) {
		assert_in_range(++tries, 1, 100);
		assert_int_equal(change(r, r->id[0], false), 0);
		last = has_last_segment(r);
		faults->fail_syncs = 1;
		faults->before_sync = last ? fail_every_second_sync : NULL;
		faults->ctx = r;
		assert_int_equal(pen_spool_core_commit(r->core), last ? -EIO : 0);
	}
	faults->before_sync = NULL;
	faults->fail_syncs = 0;
}

static void a_full_spool_whose_reserve_was_eaten_up_by_failed_writes_frees_itself(void **state)
{
	(void)state;
	struct rig r = {.disk = pen_disk_sim_new(7)};
	struct pen_spool_stats st;

	rig_open(&r);
	fill(&r);
	eat_up_the_reserve(&r);
	assert_false(changed(&r, r.id[0], false));
	settle(&r);
	pen_spool_core_stats(r.core, &st);
	assert_true(st.counters.relocated > 0);
	change_each(&r, false);
	pen_spool_core_close(r.core, false);
	pen_disk_sim_restart(r.disk);
	rig_open(&r);
	assert_int_equal(r.found, r.n);
	change_each(&r, true);
	// It is within its limit again, and takes mail.
	assert_int_equal(put(&r, 3000), 0);
	assert_int_equal(pen_spool_core_commit(r.core), 0);
	pen_spool_core_stats(r.core, &st);
	assert_in_range(st.segments_used, 1, SEGMENTS);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_full_spool_whose_reserve_was_eaten_up_by_failed_writes_frees_itself),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
