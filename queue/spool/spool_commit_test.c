// SPDX-License-Identifier: BSD-3-Clause

// A commit in its steps, on a simulated disk: the next batch is appended and
// written before the index knows of the one before.

#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool_core.h"
#include "pen_test.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENT 65536u

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

struct rig {
	struct pen_disk *disk;
	struct pen_spool_core *core;
	struct pen_message *found[8];
	unsigned n;
};

static void on_message(void *ctx, struct pen_message *m)
{
	struct rig *r = ctx;

	assert_in_range(r->n, 0, 7);
	r->found[r->n++] = m;
}

static void rig_forget(struct rig *r)
{
	while (r->n > 0)
		pen_message_free(r->found[--r->n]);
}

static void rig_open(struct rig *r)
{
	struct pen_spool_config cfg = {.disk = r->disk,
		.segment_bytes = SEGMENT,
		.seed = 5,
		.ctx = r,
		.on_message = on_message};
	char error[256];

	if (pen_spool_core_open(&cfg, &r->core, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void rig_crash(struct rig *r)
{
	pen_spool_core_close(r->core, false);
	pen_disk_sim_restart(r->disk);
	rig_forget(r);
	rig_open(r);
}

static void rig_fini(struct rig *r)
{
	pen_spool_core_close(r->core, true);
	rig_forget(r);
	pen_disk_free(r->disk);
}

static struct pen_message *message(struct rig *r, uint32_t len)
{
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	struct pen_message *m =
		pen_message_new(PEN_SPAN_LIT("s@example.org"), &rcpt, 1, calloc(1, len), len, 1, 0);

	m->id = pen_spool_core_next_id(r->core, 1);
	return m;
}

static uint64_t put(struct rig *r, uint32_t len)
{
	struct pen_message *m = message(r, len);
	uint64_t id = m->id;

	assert_int_equal(pen_spool_core_put(r->core, m), 0);
	pen_message_free(m);
	return id;
}

static int change(struct rig *r, uint64_t id, uint16_t attempts, bool removed)
{
	struct pen_rcpt_change c = {.index = 0, .attempts = attempts};
	struct pen_message_update u = {
		.id = id, .next_attempt = 2, .nchanges = 1, .change = &c, .removed = removed};

	return pen_spool_core_update(r->core, &u);
}

static int fly(struct rig *r)
{
	bool dropped;

	assert_int_equal(pen_spool_core_begin(r->core), 1);
	return pen_spool_core_end(r->core, pen_spool_core_write(r->core), &dropped);
}

static int can_be_read(struct rig *r, uint64_t id)
{
	struct pen_message *m = message(r, 0);

	free(m->content);
	m->content = NULL;
	m->id = id;
	m->content_len = 100;
	int err = pen_spool_core_read(r->core, m);
	pen_message_free(m);
	return err;
}

static void a_batch_is_written_before_the_one_before_is_in_the_index(void **state)
{
	(void)state;
	struct rig r = {.disk = pen_disk_sim_new(7)};

	rig_open(&r);
	uint64_t stays = put(&r, 100), goes = put(&r, 100);
	assert_int_equal(fly(&r), 0);
	assert_int_equal(can_be_read(&r, stays), -ENOENT);
	// What is durable is known to all that follows, also to the next batch but one.
	assert_int_equal(change(&r, stays, 7, false), 0);
	assert_int_equal(change(&r, goes, 1, true), 0);
	assert_int_equal(change(&r, goes, 2, false), -ENOENT);
	assert_int_equal(fly(&r), 0);
	assert_int_equal(can_be_read(&r, stays), 0);
	pen_spool_core_apply(r.core);
	assert_int_equal(can_be_read(&r, stays), 0);
	assert_int_equal(can_be_read(&r, goes), -ENOENT);
	rig_crash(&r);
	assert_int_equal(r.n, 1);
	assert_true(r.found[0]->id == stays);
	assert_int_equal(r.found[0]->rcpt[0].attempts, 7);
	rig_fini(&r);
}

static void a_batch_that_fails_leaves_the_one_before_that_waits_for_the_index(void **state)
{
	(void)state;
	struct rig r = {.disk = pen_disk_sim_new(7)};

	rig_open(&r);
	uint64_t first = put(&r, 100);
	assert_int_equal(change(&r, first, 1, false), 0);
	assert_int_equal(fly(&r), 0);
	assert_int_equal(change(&r, first, 2, false), 0);
	uint64_t second = put(&r, 100);
	pen_disk_sim_faults(r.disk)->fail_syncs = 100;
	assert_int_equal(fly(&r), -EIO);
	pen_disk_sim_faults(r.disk)->fail_syncs = 0;
	assert_int_equal(can_be_read(&r, first), 0);
	assert_int_equal(can_be_read(&r, second), -ENOENT);
	assert_int_equal(change(&r, second, 1, false), -ENOENT);
	assert_int_equal(change(&r, first, 3, false), 0);
	assert_int_equal(fly(&r), 0);
	rig_crash(&r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.found[0]->rcpt[0].attempts, 3);
	rig_fini(&r);
}

static void a_segment_is_closed_with_the_batch_that_waits_for_the_index(void **state)
{
	(void)state;
	struct rig r = {.disk = pen_disk_sim_new(7)};

	rig_open(&r);
	uint64_t first = put(&r, 100);
	assert_int_equal(fly(&r), 0);
	put(&r, SEGMENT / 2);
	assert_int_equal(fly(&r), 0);
	put(&r, SEGMENT / 2); // needs the next segment
	assert_int_equal(fly(&r), 0);
	assert_int_equal(can_be_read(&r, first), 0);
	// A clean stop seals what was never applied by hand.
	pen_spool_core_close(r.core, true);
	pen_disk_sim_restart(r.disk);
	rig_open(&r);
	assert_int_equal(r.n, 3);
	rig_fini(&r);
}

// Makes room by ending the open batch first, as the writer does.
static void change_when_there_is_room(struct rig *r, uint64_t id, uint16_t attempts, bool removed)
{
	int err = change(r, id, attempts, removed);

	if (err == -EAGAIN) {
		assert_int_equal(fly(r), 0);
		err = change(r, id, attempts, removed);
	}
	assert_int_equal(err, 0);
}

// A change that needs the next segment has the removals before it applied, and the tables
// of the index shrink, its own among them.
static void a_change_finds_its_place_after_the_index_has_shrunk(void **state)
{
	enum { MAILS = 6000 };
	(void)state;
	struct rig r = {.disk = pen_disk_sim_new(7)};
	uint64_t *id = calloc(MAILS, sizeof(*id));

	rig_open(&r);
	for (int i = 0; i < MAILS; i++) {
		id[i] = put(&r, 10);
		if (i % 50 == 49)
			assert_int_equal(fly(&r), 0);
	}
	for (int i = 0; i < MAILS; i++)
		change_when_there_is_room(&r, id[i], 1, true);
	assert_int_equal(fly(&r), 0);
	rig_crash(&r);
	assert_int_equal(r.n, 0);
	rig_fini(&r);
	free(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_written_before_the_one_before_is_in_the_index),
		cmocka_unit_test(a_batch_that_fails_leaves_the_one_before_that_waits_for_the_index),
		cmocka_unit_test(a_segment_is_closed_with_the_batch_that_waits_for_the_index),
		cmocka_unit_test(a_change_finds_its_place_after_the_index_has_shrunk),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
