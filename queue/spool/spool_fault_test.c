// SPDX-License-Identifier: BSD-3-Clause

// The spool with its threads on a disk that is full, broken, read-only or slow:
// who is told what, that it recovers by itself, and that nothing is lost.

#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool.h"
#include "pen_spool_check.h"
#include "pen_test.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define SEGMENT 65536u
#define MOST 4000u

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

enum state { UNKNOWN, REFUSED, STORED, FOUND };

struct rig {
	struct pen_disk *disk;
	struct pen_spool_config cfg;
	struct pen_spool *spool;
	enum state is[MOST];       // by arrival
	unsigned n;                // arrivals given out
	unsigned answered, stored; // atomics, as the ones below
	unsigned changed, changes_failed;
	int last_err; // of a refused put
	unsigned full, room, slow, io;
	uint64_t id[MOST];
	unsigned found;
};

static unsigned get(unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

static void add(unsigned *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_ACQ_REL);
}

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		for (int wait_ = 0; !(condition); wait_++) {                                       \
			if (wait_ > 20000)                                                         \
				fail_msg("waited in vain for " #condition);                        \
			usleep(500);                                                               \
		}                                                                                  \
	} while (0)

static void on_problem(void *ctx, const struct pen_spool_problem *p)
{
	struct rig *r = ctx;

	if (p->kind == PEN_SPOOL_FULL)
		add(&r->full);
	if (p->kind == PEN_SPOOL_ROOM)
		add(&r->room);
	if (p->kind == PEN_SPOOL_SLOW)
		add(&r->slow);
	if (p->kind == PEN_SPOOL_IO)
		add(&r->io);
}

static void on_message(void *ctx, struct pen_message *m)
{
	struct rig *r = ctx;

	r->is[m->arrival] = r->is[m->arrival] == STORED ? FOUND : r->is[m->arrival];
	if (r->is[m->arrival] == REFUSED)
		fail_msg("message %d was refused and is back", (int)m->arrival);
	r->found++;
	pen_message_free(m);
}

static void rig_open(struct rig *r)
{
	char error[256];

	r->found = 0;
	if (pen_spool_open(&r->cfg, &r->spool, error, sizeof(error)) != 0)
		fail_msg("%s", error);
}

static void rig_init(struct rig *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->disk = pen_disk_sim_new(seed);
	r->cfg = (struct pen_spool_config){.disk = r->disk,
		.segment_bytes = SEGMENT,
		.seed = seed,
		.ctx = r,
		.on_message = on_message,
		.on_problem = on_problem};
	rig_open(r);
}

static void on_put(void *ctx, struct pen_message *m, int err)
{
	struct rig *r = ctx;

	r->is[m->arrival] = err == 0 ? STORED : REFUSED;
	r->id[m->arrival] = m->id;
	if (err != 0)
		r->last_err = err;
	else
		add(&r->stored);
	pen_message_free(m);
	add(&r->answered);
}

static void on_change(void *ctx, struct pen_message *m, int err)
{
	struct rig *r = ctx;

	assert_null(m);
	add(err == 0 ? &r->changed : &r->changes_failed);
}

// The result of a put: of the call, or of its completion.
static int put(struct rig *r, bool wait)
{
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	uint32_t n = r->n++;

	assert_true(n < MOST);
	struct pen_message *m = pen_message_new(
		PEN_SPAN_LIT("s@example.org"), &rcpt, 1, calloc(1, 3000), 3000, n, 0);
	unsigned before = get(&r->answered);
	int err = pen_spool_put(r->spool, m, on_put, r);
	if (err != 0) {
		r->is[n] = REFUSED;
		pen_message_free(m);
		return err;
	}
	if (!wait)
		return 0;
	WAIT_FOR(get(&r->answered) > before);
	return r->is[n] == STORED ? 0 : r->last_err;
}

static int change(struct rig *r, uint32_t n, bool removed)
{
	struct pen_message_update u = {.id = r->id[n], .next_attempt = 7, .removed = removed};
	unsigned before = get(&r->changed) + get(&r->changes_failed), good = get(&r->changed);

	assert_int_equal(pen_spool_update(r->spool, &u, on_change, r), 0);
	WAIT_FOR(get(&r->changed) + get(&r->changes_failed) > before);
	return get(&r->changed) > good ? 0 : -EIO;
}

// Stops, loses power, starts: what was stored and not removed is there.
static void restart(struct rig *r, unsigned want)
{
	struct pen_spool_check_config cfg = {.disk = r->disk};
	struct pen_spool_check out;
	char error[256];

	pen_spool_close(r->spool);
	*pen_disk_sim_faults(r->disk) = (struct pen_disk_sim_faults){0};
	pen_disk_sim_restart(r->disk);
	assert_int_equal(pen_spool_check(&cfg, &out, error, sizeof(error)), 0);
	assert_int_equal(out.totals.live, want);
	rig_open(r);
	assert_int_equal(r->found, want);
}

static void rig_fini(struct rig *r)
{
	pen_spool_close(r->spool);
	pen_disk_free(r->disk);
}

// Until mail is refused for good: packing makes room a few times.
static void fill(struct rig *r)
{
	for (int refused = 0; refused < 40;) {
		if (put(r, true) == 0) {
			refused = 0;
		} else {
			refused++;
			usleep(5000);
		}
	}
	WAIT_FOR(get(&r->full) == get(&r->room) + 1);
	assert_int_equal(put(r, true), -ENOSPC);
}

static void a_full_disk_refuses_mail_takes_changes_and_recovers_by_itself(void **state)
{
	(void)state;
	struct rig r;
	unsigned gone = 0;

	rig_init(&r, 11);
	pen_disk_sim_faults(r.disk)->capacity = 14 * SEGMENT;
	fill(&r);
	assert_true(get(&r.stored) > 50);
	unsigned n = r.n, stored = get(&r.stored);
	for (unsigned i = 0; i < n; i++) {
		if (r.is[i] != STORED)
			continue;
		assert_int_equal(change(&r, i, i % 8 != 0), 0);
		gone += i % 8 != 0;
	}
	// Most of it has gone: mail is taken again, without anybody's help.
	WAIT_FOR(get(&r.room) == get(&r.full));
	WAIT_FOR(put(&r, true) == 0);
	fill(&r);
	assert_true(get(&r.stored) > stored + 20);
	// And so it is when the disk gets room from elsewhere.
	pen_disk_sim_faults(r.disk)->capacity = 60 * SEGMENT;
	WAIT_FOR(get(&r.room) == get(&r.full));
	assert_int_equal(put(&r, true), 0);
	restart(&r, get(&r.stored) - gone);
	rig_fini(&r);
}

static void try_fault(struct rig *r, int want, void (*set)(struct pen_disk_sim_faults *, bool))
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(put(r, true), 0);
	set(pen_disk_sim_faults(r->disk), true);
	unsigned refused = 0;
	for (int i = 0; i < 30; i++) {
		int err = put(r, true);
		refused += err != 0;
		if (err != 0 && err != want && err != -ENOSPC)
			fail_msg("refused with %s", strerror(-err));
	}
	assert_true(refused > 0);
	assert_true(get(&r->io) > 0);
	set(pen_disk_sim_faults(r->disk), false);
	WAIT_FOR(put(r, true) == 0);
	assert_int_equal(put(r, true), 0);
	assert_int_equal(change(r, 0, false), 0);
	restart(r, get(&r->stored));
}

static void set_write(struct pen_disk_sim_faults *f, bool on)
{
	f->write_eio_ppm = on ? 1000000 : 0;
}

static void set_sync(struct pen_disk_sim_faults *f, bool on)
{
	f->sync_eio_ppm = on ? 1000000 : 0;
}

static void set_some(struct pen_disk_sim_faults *f, bool on)
{
	f->sync_eio_ppm = f->write_eio_ppm = f->create_eio_ppm = on ? 400000 : 0;
	f->short_write_ppm = on ? 300000 : 0;
}

static void set_read_only(struct pen_disk_sim_faults *f, bool on)
{
	f->read_only = on;
}

static void errors_of_the_disk_refuse_mail_and_pass(void **state)
{
	(void)state;
	static const struct {
		void (*set)(struct pen_disk_sim_faults *, bool);
		int want;
	} cases[] = {
		{set_write, -EIO}, {set_sync, -EIO}, {set_some, -EIO}, {set_read_only, -EROFS}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (uint64_t seed = 1; seed < 5; seed++) {
			struct rig r;
			rig_init(&r, seed);
			try_fault(&r, cases[i].want, cases[i].set);
			rig_fini(&r);
		}
	}
}

static void a_read_error_is_said_and_passes(void **state)
{
	(void)state;
	struct rig r;
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");

	rig_init(&r, 5);
	assert_int_equal(put(&r, true), 0);
	struct pen_message *m =
		pen_message_new(PEN_SPAN_LIT("s@example.org"), &rcpt, 1, NULL, 3000, 0, 0);
	m->id = r.id[0];
	pen_disk_sim_faults(r.disk)->read_eio_ppm = 1000000;
	assert_int_equal(pen_spool_read(r.spool, m), -EIO);
	assert_null(m->content);
	pen_disk_sim_faults(r.disk)->read_eio_ppm = 0;
	assert_int_equal(pen_spool_read(r.spool, m), 0);
	pen_message_free(m);
	rig_fini(&r);
}

// A disk that stands still until it is let go.
static struct gate {
	pthread_mutex_t lock;
	pthread_cond_t open;
	bool shut;
	unsigned inside; // atomic
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER};

static void wait_at_gate(void *ctx, uint64_t n)
{
	(void)ctx, (void)n;
	pthread_mutex_lock(&gate.lock);
	__atomic_fetch_add(&gate.inside, 1, __ATOMIC_ACQ_REL);
	while (gate.shut)
		pthread_cond_wait(&gate.open, &gate.lock);
	__atomic_fetch_sub(&gate.inside, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_set(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.lock);
}

static void a_stuck_disk_keeps_nobody_waiting_for_ever(void **state)
{
	(void)state;
	for (int fails = 0; fails < 2; fails++) {
		struct rig r;

		rig_init(&r, 17 + (uint64_t)fails);
		pen_spool_close(r.spool);
		r.cfg.wait_limit_us = PEN_US_PER_S / 5;
		rig_open(&r);
		assert_int_equal(put(&r, true), 0);
		pen_disk_sim_faults(r.disk)->before_sync = wait_at_gate;
		gate_set(true);
		unsigned answered = get(&r.answered);
		put(&r, false); // being written
		WAIT_FOR(get(&gate.inside) > 0);
		for (int i = 0; i < 20; i++)
			put(&r, false);
		struct pen_message_update u = {.id = r.id[0], .next_attempt = 9};
		assert_int_equal(pen_spool_update(r.spool, &u, on_change, &r), 0);
		// All are told, and the next ones at once.
		WAIT_FOR(get(&r.answered) == answered + 21);
		assert_int_equal(r.last_err, -ETIMEDOUT);
		assert_int_equal(get(&r.stored), 1);
		assert_int_equal(get(&r.changed), 0);
		assert_int_equal(put(&r, false), -EAGAIN);
		WAIT_FOR(get(&r.slow) > 0);
		if (fails)
			pen_disk_sim_faults(r.disk)->fail_syncs = 1;
		gate_set(false);
		WAIT_FOR(get(&r.changed) == 1);
		WAIT_FOR(put(&r, true) == 0);
		// What was refused does not come back, though its bytes had been written.
		restart(&r, 2);
		rig_fini(&r);
	}
}

static void a_slow_disk_makes_larger_batches_and_no_errors(void **state)
{
	(void)state;
	struct rig r;
	struct pen_spool_stats st;

	rig_init(&r, 23);
	pen_disk_sim_faults(r.disk)->before_sync = wait_at_gate;
	pen_spool_stats(r.spool, &st);
	uint64_t commits = st.counters.commits;
	for (int i = 0; i < 10; i++) {
		unsigned before = get(&r.answered);
		gate_set(true);
		put(&r, false);
		WAIT_FOR(get(&gate.inside) > 0);
		for (int k = 0; k < 15; k++)
			put(&r, false);
		gate_set(false);
		WAIT_FOR(get(&r.answered) == before + 16);
	}
	assert_int_equal(get(&r.stored), 160);
	pen_spool_stats(r.spool, &st);
	assert_true(st.counters.commits - commits <= 60);
	restart(&r, 160);
	rig_fini(&r);
}

static void on_sync(void *ctx, struct pen_message *m, int err)
{
	(void)m;
	*(unsigned *)ctx = err == 0 ? 1 : 2;
}

static void update(struct rig *r, uint32_t n, pen_wall_us next_attempt, bool removed)
{
	struct pen_message_update u = {
		.id = r->id[n], .next_attempt = next_attempt, .removed = removed};

	assert_int_equal(pen_spool_update(r->spool, &u, on_change, r), 0);
}

// What the spool has of a message: its next_attempt, or -1 without it.
static struct {
	uint64_t id;
	pen_wall_us next_attempt;
} looked;

static void on_look(void *ctx, struct pen_message *m)
{
	(void)ctx;
	if (m->id == looked.id)
		looked.next_attempt = m->next_attempt;
	pen_message_free(m);
}

static pen_wall_us look(struct rig *r, uint32_t n)
{
	struct pen_spool_config cfg = r->cfg;
	struct pen_spool_core *core;
	char error[256];

	looked.id = r->id[n];
	looked.next_attempt = -1;
	cfg.on_message = on_look;
	assert_int_equal(pen_spool_core_open(&cfg, &core, error, sizeof(error)), 0);
	pen_spool_core_close(core, true);
	return looked.next_attempt;
}

static void changes_that_the_disk_refuses_are_stored_in_their_order_when_it_can(void **state)
{
	(void)state;
	void (*const faults[])(struct pen_disk_sim_faults *, bool) = {
		set_write, set_sync, set_read_only};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct rig r;
		unsigned before = 0, behind = 0;
		int last;

		rig_init(&r, 40 + i);
		for (int k = 0; k < 4; k++)
			assert_int_equal(put(&r, true), 0);
		faults[i](pen_disk_sim_faults(r.disk), true);
		update(&r, 0, 7, false);
		update(&r, 1, 0, true);
		assert_int_equal(pen_spool_sync(r.spool, on_sync, &before), 0);
		// It goes on to try, and new mail is not taken meanwhile.
		WAIT_FOR((last = put(&r, true)) == -EAGAIN || last == -ENOSPC);
		update(&r, 0, 9, false);
		update(&r, 2, 0, true);
		assert_int_equal(pen_spool_sync(r.spool, on_sync, &behind), 0);
		usleep(600000);
		assert_int_equal(get(&r.changed) + get(&r.changes_failed), 0);
		assert_int_equal(get(&before) + get(&behind), 0);
		faults[i](pen_disk_sim_faults(r.disk), false);
		WAIT_FOR(get(&behind) != 0);
		assert_int_equal(get(&before), 1);
		assert_int_equal(get(&behind), 1);
		assert_int_equal(get(&r.changed), 4);
		WAIT_FOR(put(&r, true) == 0);
		restart(&r, get(&r.stored) - 2);
		pen_spool_close(r.spool);
		assert_int_equal(look(&r, 0), 9);
		assert_int_equal(look(&r, 1), -1);
		assert_int_equal(look(&r, 2), -1);
		pen_disk_free(r.disk);
	}
}

static void no_change_is_lost_on_a_disk_that_fails_every_now_and_then(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 7; seed++) {
		struct rig r;
		unsigned stored = 0, synced = 0;

		rig_init(&r, seed);
		for (int k = 0; k < 40; k++)
			assert_int_equal(put(&r, true), 0);
		pen_disk_sim_faults(r.disk)->write_eio_ppm = 250000;
		pen_disk_sim_faults(r.disk)->sync_eio_ppm = 250000;
		for (uint32_t k = 0; k < 200; k++) {
			update(&r, k % 40, k / 40 + 1, k / 40 == 4 && k % 2 == 0);
			if (k % 7 == 0)
				put(&r, false);
			if (k % 11 == 0)
				usleep(2000);
		}
		assert_int_equal(pen_spool_sync(r.spool, on_sync, &synced), 0);
		WAIT_FOR(get(&synced) != 0);
		assert_int_equal(get(&synced), 1);
		assert_int_equal(get(&r.changed), 200);
		assert_int_equal(get(&r.changes_failed), 0);
		*pen_disk_sim_faults(r.disk) = (struct pen_disk_sim_faults){0};
		WAIT_FOR(put(&r, true) == 0);
		stored = get(&r.stored);
		restart(&r, stored - 20);
		pen_spool_close(r.spool);
		for (uint32_t k = 0; k < 40; k++)
			assert_int_equal(look(&r, k), k % 2 == 0 ? -1 : 5);
		pen_disk_free(r.disk);
	}
}

static void at_the_end_a_broken_disk_is_given_up(void **state)
{
	(void)state;
	struct rig r;
	unsigned synced = 0;

	rig_init(&r, 77);
	assert_int_equal(put(&r, true), 0);
	set_write(pen_disk_sim_faults(r.disk), true);
	update(&r, 0, 0, true);
	assert_int_equal(pen_spool_sync(r.spool, on_sync, &synced), 0);
	pen_spool_close(r.spool);
	assert_int_equal(get(&r.changes_failed), 1);
	assert_int_equal(synced, 2);
	set_write(pen_disk_sim_faults(r.disk), false);
	rig_open(&r);
	assert_int_equal(r.found, 1);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_refuses_mail_takes_changes_and_recovers_by_itself),
		cmocka_unit_test(errors_of_the_disk_refuse_mail_and_pass),
		cmocka_unit_test(a_read_error_is_said_and_passes),
		cmocka_unit_test(a_stuck_disk_keeps_nobody_waiting_for_ever),
		cmocka_unit_test(
			changes_that_the_disk_refuses_are_stored_in_their_order_when_it_can),
		cmocka_unit_test(no_change_is_lost_on_a_disk_that_fails_every_now_and_then),
		cmocka_unit_test(at_the_end_a_broken_disk_is_given_up),
		cmocka_unit_test(a_slow_disk_makes_larger_batches_and_no_errors),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
