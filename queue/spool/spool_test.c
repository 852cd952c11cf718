// SPDX-License-Identifier: BSD-3-Clause
#include "pen_crc32c.h"
#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool_core.h"
#include "pen_test.h"
#include "spool_index.h"
#include "spool_record.h"

#include <errno.h>

#define SEGMENT 65536u
#define NOW 1790000000000000

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

// A spool on a simulated disk, and what its last recovery gave.
struct rig {
	struct pen_disk *disk;
	struct pen_spool_config cfg;
	struct pen_spool_core *core;
	struct pen_message *found[4096];
	unsigned nfound, corrupt, torn, io, newer, full, room;
	uint64_t corrupt_id, corrupt_offset;
	char file[64], kept[128];
};

static void on_message(void *ctx, struct pen_message *m)
{
	struct rig *r = ctx;

	assert_true(r->nfound < 4096);
	if (r->nfound > 0)
		assert_true(r->found[r->nfound - 1]->id < m->id);
	r->found[r->nfound++] = m;
}

static void on_problem(void *ctx, const struct pen_spool_problem *p)
{
	struct rig *r = ctx;

	r->corrupt += p->kind == PEN_SPOOL_CORRUPT;
	r->torn += p->kind == PEN_SPOOL_TORN;
	r->io += p->kind == PEN_SPOOL_IO;
	r->newer += p->kind == PEN_SPOOL_NEWER;
	r->full += p->kind == PEN_SPOOL_FULL;
	r->room += p->kind == PEN_SPOOL_ROOM;
	if (p->kind == PEN_SPOOL_CORRUPT || p->kind == PEN_SPOOL_NEWER) {
		r->corrupt_id = p->id;
		r->corrupt_offset = p->offset;
		snprintf(r->file, sizeof(r->file), "%s", p->file);
		snprintf(r->kept, sizeof(r->kept), "%s", p->kept != NULL ? p->kept : "");
	}
}

static void rig_forget(struct rig *r)
{
	for (unsigned i = 0; i < r->nfound; i++)
		pen_message_free(r->found[i]);
	r->nfound = r->corrupt = r->torn = r->io = r->newer = r->full = r->room = 0;
	r->corrupt_id = 0;
}

static void rig_open(struct rig *r)
{
	char error[256];

	rig_forget(r);
	int err = pen_spool_core_open(&r->cfg, &r->core, error, sizeof(error));
	if (err != 0)
		fail_msg("open: %s", error);
}

static uint64_t disk_seed = 7;

static void rig_init(struct rig *r, unsigned segments)
{
	memset(r, 0, sizeof(*r));
	r->disk = pen_disk_sim_new(disk_seed);
	r->cfg = (struct pen_spool_config){.disk = r->disk,
		.segment_bytes = SEGMENT,
		.max_bytes = (uint64_t)SEGMENT * segments,
		.seed = 5,
		.ctx = r,
		.on_message = on_message,
		.on_problem = on_problem};
	rig_open(r);
}

static void rig_restart(struct rig *r, bool clean)
{
	pen_spool_core_close(r->core, clean);
	pen_disk_sim_restart(r->disk);
	rig_open(r);
}

static void rig_fini(struct rig *r)
{
	pen_spool_core_close(r->core, true);
	rig_forget(r);
	pen_disk_free(r->disk);
}

static int put_sized(struct rig *r, uint32_t len, uint64_t *id)
{
	struct pen_span rcpts[2] = {PEN_SPAN_LIT("a@example.net"), PEN_SPAN_LIT("b@example.net")};
	uint8_t *content = malloc(len + 1);
	uint64_t next = pen_spool_core_next_id(r->core, NOW);

	for (uint32_t i = 0; i < len; i++)
		content[i] = (uint8_t)(next + i);
	struct pen_message *m =
		pen_message_new(PEN_SPAN_LIT("s@example.org"), rcpts, 2, content, len, NOW, 0);
	m->id = next;
	int err = pen_spool_core_put(r->core, m);
	if (err == -EAGAIN) {
		assert_int_equal(pen_spool_core_commit(r->core), 0);
		err = pen_spool_core_put(r->core, m);
	}
	pen_message_free(m);
	*id = next;
	return err;
}

static uint64_t put(struct rig *r, uint32_t len)
{
	uint64_t id;

	assert_int_equal(put_sized(r, len, &id), 0);
	return id;
}

static int update(struct rig *r, uint64_t id, bool removed)
{
	struct pen_dsn error;
	struct pen_rcpt_change change = {.index = 1, .fate = PEN_FATE_DELIVERED, .attempts = 3};
	struct pen_message_update u = {.id = id,
		.next_attempt = NOW + 5,
		.flags = PEN_MESSAGE_HOLD,
		.nchanges = 1,
		.change = &change,
		.last_error = &error,
		.removed = removed};

	pen_dsn_set(
		&error, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, "no answer");
	int err = pen_spool_core_update(r->core, &u);
	if (err == -EAGAIN && pen_spool_core_commit(r->core) == 0)
		err = pen_spool_core_update(r->core, &u);
	return err;
}

static void commit(struct rig *r)
{
	assert_int_equal(pen_spool_core_commit(r->core), 0);
}

static void settle(struct rig *r)
{
	for (int i = 0; i < 10000; i++) {
		if (pen_spool_core_step(r->core) <= 0)
			return;
	}
	fail_msg("housekeeping does not end");
}

static struct pen_message *found_by_id(struct rig *r, uint64_t id)
{
	for (unsigned i = 0; i < r->nfound; i++) {
		if (r->found[i]->id == id)
			return r->found[i];
	}
	return NULL;
}

static void check_content(struct rig *r, struct pen_message *m)
{
	assert_non_null(m);
	assert_null(m->content);
	assert_int_equal(pen_spool_core_read(r->core, m), 0);
	for (uint32_t i = 0; i < m->content_len; i++)
		assert_int_equal(m->content[i], (uint8_t)(m->id + i));
}

static void state_and_content_come_back_after_a_clean_stop_and_a_crash(void **state)
{
	(void)state;
	for (int clean = 0; clean < 2; clean++) {
		struct rig r;
		rig_init(&r, 20);
		uint64_t kept = put(&r, 5000), changed = put(&r, 0), removed = put(&r, 300);
		commit(&r);
		assert_int_equal(update(&r, changed, false), 0);
		assert_int_equal(update(&r, removed, true), 0);
		commit(&r);
		put(&r, 100); // never committed
		rig_restart(&r, clean);
		assert_int_equal(r.nfound, 2);
		struct pen_message *m = found_by_id(&r, changed);
		assert_int_equal(m->next_attempt, NOW + 5);
		assert_int_equal(m->flags, PEN_MESSAGE_HOLD);
		assert_int_equal(m->rcpt[0].fate, PEN_FATE_QUEUED);
		assert_int_equal(m->rcpt[1].fate, PEN_FATE_DELIVERED);
		assert_int_equal(m->rcpt[1].attempts, 3);
		assert_string_equal(m->last_error->text, "no answer");
		assert_int_equal(m->arrival, NOW);
		check_content(&r, m);
		check_content(&r, found_by_id(&r, kept));
		assert_int_equal(r.corrupt + r.torn, 0);
		rig_fini(&r);
	}
}

static void requests_with_no_sense_are_refused(void **state)
{
	(void)state;
	struct rig r;
	uint64_t id;
	struct pen_message *m;
	char error[256];

	rig_init(&r, 20);
	assert_int_equal(put_sized(&r, SEGMENT, &id), -EMSGSIZE);
	assert_int_equal(put_sized(&r, SEGMENT - 3 * 4096 - 2048, &id), 0);
	assert_int_equal(update(&r, 99, false), -ENOENT);
	id = put(&r, 10);
	assert_int_equal(update(&r, id, true), 0);
	assert_int_equal(update(&r, id, false), -ENOENT);
	commit(&r);
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	m = pen_message_new(pen_span(NULL, 0), &rcpt, 1, NULL, 0, NOW, 0);
	assert_int_equal(pen_spool_core_put(r.core, m), -EINVAL);
	m->id = id;
	assert_int_equal(pen_spool_core_read(r.core, m), -ENOENT);
	pen_message_free(m);
	struct pen_spool_core *second;
	assert_int_equal(pen_spool_core_open(&r.cfg, &second, error, sizeof(error)), -EWOULDBLOCK);
	assert_non_null(strstr(error, "another process"));
	rig_fini(&r);
}

static void ids_go_up_even_when_the_clock_goes_back(void **state)
{
	(void)state;
	struct rig r;

	rig_init(&r, 20);
	uint64_t last = 0;
	for (int i = 0; i < 400; i++) {
		uint64_t id = put(&r, 3000);
		assert_true(id > last);
		last = id;
		commit(&r);
		assert_int_equal(update(&r, id, true), 0);
		commit(&r);
		settle(&r);
	}
	// Every segment that held the messages may be reused by now.
	rig_restart(&r, true);
	assert_int_equal(r.nfound, 0);
	assert_true(pen_spool_core_next_id(r.core, 1000) > last);
	rig_fini(&r);
}

static void a_damaged_record_is_set_aside_and_the_rest_survives(void **state)
{
	(void)state;
	struct pen_rand rand;
	uint64_t seed = pen_test_seed();

	for (int round = 0; round < 60; round++) {
		struct rig r;
		uint64_t id[12];
		size_t size;

		pen_rand_seed(&rand, seed + (uint64_t)round);
		rig_init(&r, 20);
		for (int i = 0; i < 12; i++) {
			id[i] = put(&r, 2000);
			if (i % 3 == 2)
				commit(&r);
		}
		// Some bits of one record in the first three batches.
		size_t at = 4096 + 64 + pen_rand_below(&rand, 3 * 8192 - 64);
		pen_disk_sim_flip(
			r.disk, "seg-00000001", at, 1, (uint8_t)(1 + pen_rand_below(&rand, 255)));
		rig_restart(&r, false);
		assert_int_equal(r.io, 0);
		assert_true(r.nfound == 11 || r.nfound == 12); // padding, a batch header
		if (r.nfound == 11) {
			assert_int_equal(r.corrupt, 1);
			assert_string_equal(r.file, "seg-00000001");
			assert_true(r.corrupt_offset <= at && at < r.corrupt_offset + 2300);
			const uint8_t *copy = pen_disk_sim_bytes(r.disk, r.kept, &size);
			assert_non_null(copy);
			assert_memory_equal(copy + (at - r.corrupt_offset),
				pen_disk_sim_bytes(r.disk, "seg-00000001", &size) + at, 1);
		}
		for (unsigned i = 0; i < r.nfound; i++)
			check_content(&r, r.found[i]);
		rig_fini(&r);
		(void)id;
	}
}

static void lost_headers_and_footers_cost_no_mail(void **state)
{
	(void)state;
	for (int what = 0; what < 4; what++) {
		struct rig r;

		rig_init(&r, 20);
		for (int i = 0; i < 40; i++) {
			put(&r, 3000);
			commit(&r);
		}
		rig_restart(&r, true);
		assert_int_equal(r.nfound, 40);
		if (what == 0) // the segment's header
			pen_disk_sim_smash(r.disk, "seg-00000001", 0, 512, 0x55);
		else if (what == 1)
			pen_disk_sim_smash(r.disk, "seg-00000001", 0, 512, 0);
		else if (what == 2) // its first batch's
			pen_disk_sim_smash(r.disk, "seg-00000001", 4096, 64, 0x55);
		pen_disk_sim_smash(r.disk, "seg-00000001", SEGMENT - 4096, 4096, 0x55);
		rig_restart(&r, false);
		assert_int_equal(r.nfound, 40);
		assert_true(what == 3 || r.corrupt > 0);
		for (unsigned i = 0; i < r.nfound; i++)
			check_content(&r, r.found[i]);
		rig_fini(&r);
	}
}

// Makes the first record of the first segment one of a version to come.
static void make_newer(struct rig *r, size_t *len)
{
	size_t size;
	uint64_t epoch = get64(pen_disk_sim_bytes(r->disk, "seg-00000001", &size) + 24);
	uint8_t *p = malloc(size);

	memcpy(p, pen_disk_sim_bytes(r->disk, "seg-00000001", &size), size);
	*len = get32(p + 4096 + 64 + 8);
	p[4096 + 64 + 13] = 9;
	spool_record_seal(p + 4096 + 64, epoch);
	pen_disk_sim_put(r->disk, "seg-00000001", p, size);
	free(p);
}

static void a_record_of_a_later_version_is_set_aside_and_never_destroyed(void **state)
{
	(void)state;
	for (int full = 0; full < 2; full++) {
		struct rig r;
		size_t len, size, n = 0;

		rig_init(&r, 40);
		put(&r, 3000);
		put(&r, 2000);
		commit(&r);
		pen_spool_core_close(r.core, false);
		pen_disk_sim_restart(r.disk);
		make_newer(&r, &len);
		// Without room for a copy the whole segment is kept.
		if (full)
			pen_disk_sim_faults(r.disk)->capacity = 1;
		rig_open(&r);
		pen_disk_sim_faults(r.disk)->capacity = 0;
		assert_int_equal(r.nfound, 1);
		assert_int_equal(r.newer, 1);
		assert_int_equal(r.corrupt, 0);
		assert_int_equal(strlen(r.kept) > 0, !full);
		if (!full) {
			const uint8_t *copy = pen_disk_sim_bytes(r.disk, r.kept, &size);
			assert_int_equal(size, len);
			assert_int_equal(copy[13], 9);
		}
		// The segment is emptied and would be used again.
		assert_int_equal(update(&r, r.found[0]->id, true), 0);
		commit(&r);
		settle(&r);
		for (int i = 0; i < 100; i++) {
			uint64_t id = put(&r, 3000);
			commit(&r);
			assert_int_equal(update(&r, id, true), 0);
			commit(&r);
			settle(&r);
		}
		const uint8_t *kept = pen_disk_sim_bytes(r.disk, r.kept, &size);
		assert_non_null(kept);
		if (full)
			n = 4096 + 64;
		assert_true(size >= n + len);
		assert_int_equal(kept[n + 13], 9);
		rig_fini(&r);
	}
}

static void a_segment_of_a_later_version_is_put_away_whole(void **state)
{
	(void)state;
	struct rig r;
	size_t size;

	rig_init(&r, 40);
	for (int i = 0; i < 30; i++) {
		put(&r, 3000);
		commit(&r);
	}
	pen_spool_core_close(r.core, true);
	pen_disk_sim_restart(r.disk);
	uint8_t *p = malloc(SEGMENT);
	memcpy(p, pen_disk_sim_bytes(r.disk, "seg-00000001", &size), SEGMENT);
	put32(p + 8, 2);
	put32(p + 4, pen_crc32c(0, p + 8, 56));
	pen_disk_sim_put(r.disk, "seg-00000001", p, SEGMENT);
	rig_open(&r);
	assert_true(r.nfound > 0 && r.nfound < 30);
	assert_int_equal(r.newer, 1);
	assert_int_equal(r.corrupt, 0);
	assert_memory_equal(pen_disk_sim_bytes(r.disk, r.kept, &size), p, SEGMENT);
	free(p);
	rig_fini(&r);
}

static void damage_found_by_a_reader_is_said_and_not_served(void **state)
{
	(void)state;
	struct rig r;

	rig_init(&r, 20);
	put(&r, 3000);
	commit(&r);
	rig_restart(&r, true);
	pen_disk_sim_flip(r.disk, "seg-00000001", 4096 + 64 + 1000, 1, 1);
	assert_int_equal(pen_spool_core_read(r.core, r.found[0]), -EBADMSG);
	assert_null(r.found[0]->content);
	// It is reported and kept, as recovery does it.
	assert_int_equal(r.corrupt, 1);
	assert_int_equal(r.corrupt_id, r.found[0]->id);
	assert_int_equal(r.corrupt_offset, 4096 + 64);
	assert_int_equal(strncmp(r.kept, "corrupt/seg-00000001-", 21), 0);
	pen_disk_sim_faults(r.disk)->read_eio_ppm = 1000000;
	assert_int_equal(pen_spool_core_read(r.core, r.found[0]), -EIO);
	pen_disk_sim_faults(r.disk)->read_eio_ppm = 0;
	rig_fini(&r);
}

static void mail_content_that_looks_like_records_stays_content(void **state)
{
	(void)state;
	struct rig r, other;
	size_t size;

	// Batches of another spool as the content, at every alignment of blocks.
	rig_init(&other, 20);
	put(&other, 100);
	commit(&other);
	const uint8_t *forged = pen_disk_sim_bytes(other.disk, "seg-00000001", &size);
	rig_init(&r, 20);
	pen_spool_core_close(r.core, true);
	pen_disk_sim_restart(r.disk);
	r.cfg.seed = 99;
	rig_open(&r);
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	uint8_t *content = malloc(24000);
	for (size_t i = 0; i + 400 < 24000; i += 400)
		memcpy(content + i, forged + 4096, 400);
	for (size_t i = 4096 - 64 - 110; i + 400 < 24000; i += 4096)
		memcpy(content + i, forged + 4096, 400);
	struct pen_message *m =
		pen_message_new(PEN_SPAN_LIT("x@example.org"), &rcpt, 1, content, 24000, NOW, 0);
	m->id = pen_spool_core_next_id(r.core, NOW);
	assert_int_equal(pen_spool_core_put(r.core, m), 0);
	pen_message_free(m);
	commit(&r);
	// Damage makes the recovery look for records inside.
	pen_disk_sim_flip(r.disk, "seg-00000001", 4096, 1, 1);
	pen_disk_sim_flip(r.disk, "seg-00000001", 4096 + 64 + 20, 1, 1);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 0);
	rig_fini(&r);
	rig_fini(&other);
}

static void a_failed_sync_moves_the_batch_to_another_segment(void **state)
{
	(void)state;
	struct rig r;
	struct pen_spool_stats st;

	rig_init(&r, 20);
	uint64_t first = put(&r, 1000);
	commit(&r);
	uint64_t second = put(&r, 1000);
	assert_int_equal(update(&r, second, false), 0);
	assert_int_equal(update(&r, second, false), 0);
	assert_int_equal(update(&r, first, false), 0);
	pen_disk_sim_faults(r.disk)->fail_syncs = 1;
	commit(&r);
	assert_int_equal(r.io, 1);
	pen_spool_core_stats(r.core, &st);
	assert_int_equal(st.counters.segments_abandoned, 1);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 2);
	assert_int_equal(found_by_id(&r, second)->rcpt[1].fate, PEN_FATE_DELIVERED);
	check_content(&r, found_by_id(&r, first));
	check_content(&r, found_by_id(&r, second));
	rig_fini(&r);
}

static void a_put_that_failed_does_not_come_back(void **state)
{
	(void)state;
	// Whether the failed bytes are on the medium depends on the disk's seed.
	for (disk_seed = 1; disk_seed < 40; disk_seed++) {
		struct rig r;

		rig_init(&r, 20);
		uint64_t good = put(&r, 1000);
		commit(&r);
		assert_int_equal(update(&r, good, false), 0);
		put(&r, 10);
		pen_disk_sim_faults(r.disk)->fail_syncs = 100;
		assert_int_equal(pen_spool_core_commit(r.core), -EIO);
		pen_disk_sim_faults(r.disk)->fail_syncs = 0;
		put(&r, 1000); // its commit ends the failed one
		commit(&r);
		rig_restart(&r, false);
		assert_int_equal(r.nfound, 2);
		check_content(&r, found_by_id(&r, good));
		rig_fini(&r);
	}
	disk_seed = 7;
}

static void change_one(struct rig *r, uint64_t id, uint32_t index, uint16_t attempts)
{
	struct pen_rcpt_change change = {.index = index, .attempts = attempts};
	struct pen_message_update u = {
		.id = id, .next_attempt = NOW + attempts, .nchanges = 1, .change = &change};

	assert_int_equal(pen_spool_core_update(r->core, &u), 0);
}

static void a_torn_update_between_two_does_not_undo_the_first(void **state)
{
	(void)state;
	struct rig r;
	struct pen_spool_stats st;

	rig_init(&r, 40);
	uint64_t id = put(&r, 100);
	commit(&r);
	change_one(&r, id, 0, 11);
	commit(&r);
	change_one(&r, id, 1, 12);
	change_one(&r, id, 1, 13);
	commit(&r);
	// The first record of the last batch, as if its sector had been lost.
	pen_disk_sim_smash(r.disk, "seg-00000001", 3 * 4096 + 64, 40, 0);
	rig_restart(&r, false);
	assert_int_equal(r.torn, 1);
	for (int i = 0; i < 300; i++) {
		uint64_t other = put(&r, 3000);
		commit(&r);
		assert_int_equal(update(&r, other, true), 0);
		commit(&r);
		settle(&r);
	}
	pen_spool_core_stats(r.core, &st);
	assert_true(st.counters.relocated > 0);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 1);
	assert_int_equal(r.found[0]->rcpt[0].attempts, 11);
	assert_int_equal(r.found[0]->rcpt[1].attempts, 13);
	assert_int_equal(r.corrupt, 0);
	rig_fini(&r);
}

static void a_read_only_disk_is_an_error_and_no_loss(void **state)
{
	(void)state;
	struct rig r;

	rig_init(&r, 20);
	put(&r, 1000);
	commit(&r);
	pen_disk_sim_faults(r.disk)->read_only = true;
	put(&r, 1000);
	assert_int_equal(pen_spool_core_commit(r.core), -EROFS);
	pen_disk_sim_faults(r.disk)->read_only = false;
	settle(&r);
	put(&r, 1000);
	commit(&r);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 2);
	rig_fini(&r);
}

static void fill(struct rig *r, uint64_t *ids, unsigned *n, uint32_t len)
{
	uint64_t id;

	// Packing makes room a few times before the spool is really full.
	while (put_sized(r, len, &id) == 0) {
		do {
			ids[(*n)++] = id;
			commit(r);
		} while (put_sized(r, len, &id) == 0);
		commit(r);
		settle(r);
	}
}

static void a_full_spool_takes_updates_and_empties_itself(void **state)
{
	(void)state;
	for (int by_disk = 0; by_disk < 2; by_disk++) {
		struct rig r;
		uint64_t ids[2000], id;
		unsigned n = 0;

		rig_init(&r, by_disk ? 1000 : 16);
		if (by_disk)
			pen_disk_sim_faults(r.disk)->capacity = 16 * SEGMENT;
		fill(&r, ids, &n, 3000);
		assert_true(n > 80);
		assert_int_equal(put_sized(&r, 3000, &id), -ENOSPC);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(update(&r, ids[i], i % 2 == 0), 0);
			commit(&r);
			settle(&r);
		}
		// Half is gone: there is room again for about as much.
		unsigned before = n;
		fill(&r, ids, &n, 3000);
		assert_true(n > before + before / 4);
		rig_restart(&r, false);
		assert_int_equal(r.nfound, n - (before + 1) / 2);
		for (unsigned i = 0; i < r.nfound; i++)
			check_content(&r, r.found[i]);
		rig_fini(&r);
	}
}

static void a_full_spool_survives_many_restarts_and_still_empties_itself(void **state)
{
	(void)state;
	struct rig r;
	uint64_t ids[2000], id;
	unsigned n = 0;

	rig_init(&r, 16);
	fill(&r, ids, &n, 3000);
	assert_int_equal(put_sized(&r, 3000, &id), -ENOSPC);
	// Each start opens a segment of its own; one change is made in each.
	for (unsigned i = 0; i < 6; i++) {
		rig_restart(&r, i % 2 == 0);
		assert_int_equal(update(&r, ids[i], false), 0);
		commit(&r);
		settle(&r);
	}
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(update(&r, ids[i], true), 0);
		commit(&r);
		settle(&r);
	}
	assert_int_equal(put_sized(&r, 3000, &id), 0);
	commit(&r);
	rig_fini(&r);
}

static void long_lived_mail_is_moved_and_short_lived_is_not(void **state)
{
	(void)state;
	struct rig r;
	struct pen_spool_stats st;

	rig_init(&r, 40);
	uint64_t old = put(&r, 2000);
	commit(&r);
	assert_int_equal(update(&r, old, false), 0);
	commit(&r);
	for (int i = 0; i < 1000; i++) {
		uint64_t id = put(&r, 3000);
		commit(&r);
		assert_int_equal(update(&r, id, true), 0);
		commit(&r);
		settle(&r);
	}
	pen_spool_core_stats(r.core, &st);
	assert_int_equal(st.live, 1);
	assert_true(st.segments < 20);
	assert_true(st.counters.relocated >= 2 && st.counters.relocated < 60);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 1);
	assert_int_equal(r.found[0]->rcpt[1].fate, PEN_FATE_DELIVERED);
	assert_int_equal(r.found[0]->next_attempt, NOW + 5);
	assert_string_equal(r.found[0]->last_error->text, "no answer");
	check_content(&r, r.found[0]);
	rig_fini(&r);
}

static void segments_prepared_elsewhere_and_here_never_collide(void **state)
{
	(void)state;
	struct rig r;
	uint32_t slot = 0;
	int made = 0;

	rig_init(&r, 0);
	pen_spool_core_close(r.core, true);
	pen_disk_sim_restart(r.disk);
	r.cfg.prepare_elsewhere = true;
	rig_open(&r);
	// The preparer is slow: most segments are made by the writer meanwhile.
	for (int i = 0; i < 1500; i++) {
		put(&r, 3900);
		commit(&r);
		if (i % 40 == 0 && slot == 0 && (slot = pen_spool_core_wanted(r.core)) != 0)
			made += pen_spool_core_prepare(r.core, slot) == 0;
		if (i % 40 == 39 && slot != 0) {
			pen_spool_core_prepared(r.core, slot, 0);
			slot = 0;
		}
	}
	assert_true(made > 20);
	assert_int_equal(r.io, 0);
	rig_restart(&r, false);
	assert_int_equal(r.nfound, 1500);
	rig_fini(&r);
}

static void one_commit_is_one_sync(void **state)
{
	(void)state;
	struct rig r;

	rig_init(&r, 20);
	put(&r, 100);
	commit(&r);
	uint64_t before = pen_disk_sim_counts(r.disk)->syncs;
	for (int i = 0; i < 20; i++)
		put(&r, 100);
	commit(&r);
	commit(&r); // nothing to write
	assert_int_equal(pen_disk_sim_counts(r.disk)->syncs - before, 1);
	rig_fini(&r);
}

static void the_index_finds_what_it_was_given(void **state)
{
	(void)state;
	struct spool_index x = {0};
	struct pen_rand rand;

	pen_rand_seed(&rand, pen_test_seed());
	static uint8_t in[20000];
	memset(in, 0, sizeof(in));
	for (int i = 0; i < 400000; i++) {
		uint64_t k = pen_rand_below(&rand, sizeof(in));
		struct spool_entry *e = spool_index_find(&x, k + 1);
		assert_int_equal(e != NULL, in[k]);
		if (e == NULL)
			spool_index_add(&x, k + 1)->off = (uint32_t)k;
		else
			assert_int_equal(e->off, k);
		if (e != NULL && pen_rand_below(&rand, 2) == 0)
			spool_index_remove(&x, k + 1);
		in[k] = spool_index_find(&x, k + 1) != NULL;
	}
	for (uint64_t k = 0; k < sizeof(in); k++)
		spool_index_remove(&x, k + 1);
	assert_int_equal(x.count, 0);
	spool_index_fini(&x);
}

static double index_bytes(const struct spool_index *x)
{
	uint64_t cells = 0;

	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++)
		cells += x->shard[i].cap;
	return (double)(cells * sizeof(struct spool_entry)) / (double)x->count;
}

static void an_indexed_message_takes_at_most_45_bytes_at_any_size(void **state)
{
	(void)state;
	struct spool_index x = {0};
	uint64_t id = 1;

	for (uint64_t n = 100000; n < 400000; n += n / 32) {
		for (; id <= n; id++)
			assert_non_null(spool_index_add(&x, 1800000000000000 + id * 97));
		assert_true(index_bytes(&x) <= 45);
	}
	for (; id > 20000; id--)
		spool_index_remove(&x, 1800000000000000 + (id - 1) * 97);
	assert_int_equal(x.count, 19999);
	assert_true(index_bytes(&x) <= 100);
	spool_index_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_and_content_come_back_after_a_clean_stop_and_a_crash),
		cmocka_unit_test(requests_with_no_sense_are_refused),
		cmocka_unit_test(ids_go_up_even_when_the_clock_goes_back),
		cmocka_unit_test(a_damaged_record_is_set_aside_and_the_rest_survives),
		cmocka_unit_test(lost_headers_and_footers_cost_no_mail),
		cmocka_unit_test(a_record_of_a_later_version_is_set_aside_and_never_destroyed),
		cmocka_unit_test(a_segment_of_a_later_version_is_put_away_whole),
		cmocka_unit_test(damage_found_by_a_reader_is_said_and_not_served),
		cmocka_unit_test(mail_content_that_looks_like_records_stays_content),
		cmocka_unit_test(a_failed_sync_moves_the_batch_to_another_segment),
		cmocka_unit_test(a_put_that_failed_does_not_come_back),
		cmocka_unit_test(a_torn_update_between_two_does_not_undo_the_first),
		cmocka_unit_test(a_read_only_disk_is_an_error_and_no_loss),
		cmocka_unit_test(a_full_spool_takes_updates_and_empties_itself),
		cmocka_unit_test(a_full_spool_survives_many_restarts_and_still_empties_itself),
		cmocka_unit_test(long_lived_mail_is_moved_and_short_lived_is_not),
		cmocka_unit_test(segments_prepared_elsewhere_and_here_never_collide),
		cmocka_unit_test(one_commit_is_one_sync),
		cmocka_unit_test(the_index_finds_what_it_was_given),
		cmocka_unit_test(an_indexed_message_takes_at_most_45_bytes_at_any_size),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
