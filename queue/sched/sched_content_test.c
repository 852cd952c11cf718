// SPDX-License-Identifier: BSD-3-Clause

// Contents in memory: content_bytes is what the allocator gives them, and nothing is left
// of it when they are gone.
#include "sched_steps.h"

#include <malloc.h>
#include <stdlib.h>

#define S PEN_US_PER_S
#define MADE_MAX 8

// What take_in made; only for those that have not ended.
static struct pen_message *made[MADE_MAX];
static uint32_t nmade;

// Each content has another length, so that the allocator rounds some of them up.
static void take_in(struct pen_message *m)
{
	static const uint32_t length[MADE_MAX] = {3, 17, 100, 333, 1000, 4097, 20000, 70001};

	assert_true(nmade < MADE_MAX);
	m->content_len = length[nmade];
	m->content = realloc(m->content, m->content_len);
	memset(m->content, 'x', m->content_len);
	memcpy(m->content + m->content_len - 2, "\r\n", 2);
	made[nmade++] = m;
}

static uint64_t allocated(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < nmade; i++) {
		// glibc and jemalloc take NULL, others need not.
		n += made[i]->content != NULL ? malloc_usable_size(made[i]->content) : 0;
	}
	return n;
}

static uint64_t counted(struct world *w)
{
	return world_stats(w).content_bytes;
}

static struct world *content_world(void (*tweak)(struct pen_sched_config *cfg))
{
	struct world *w = world_new(tweak);

	nmade = 0;
	w->edit = take_in;
	return w;
}

static void one_connection(struct pen_sched_config *cfg)
{
	cfg->concurrency_limit = 1;
	cfg->initial_concurrency = 1;
	cfg->pipeline_depth = 4;
}

static void little_memory(struct pen_sched_config *cfg)
{
	one_connection(cfg);
	cfg->content_memory_limit = 200;
}

static void contents_in_memory_count_as_the_allocator_gives_them(void **state)
{
	struct world *w = content_world(one_connection);
	uint64_t bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < MADE_MAX; i++) {
		world_add(w, "s@x", "r@a.test");
		bytes += made[i]->content_len;
		assert_non_null(made[i]->content);
		assert_int_equal(counted(w), allocated());
	}
	assert_true(counted(w) >= bytes);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, MADE_MAX);
	assert_int_equal(w->content_reads, 0);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void what_ends_takes_its_content_with_it(void **state)
{
	struct world *w = content_world(NULL);

	(void)state;
	world_add(w, "", "delivered@a.test");
	world_answer(w, first_delivery(w), 250);
	assert_int_equal(world_stats(w).delivered, 1);
	assert_int_equal(counted(w), 0);
	world_add(w, "", "refused@a.test");
	world_answer(w, first_delivery(w), 550);
	assert_int_equal(world_stats(w).bounced, 1);
	assert_int_equal(counted(w), 0);
	w->hold_resolves = true;
	uint64_t id = world_add(w, "", "deleted@b.test");
	assert_true(counted(w) > 0);
	assert_int_equal(pen_sched_delete(w->s, id), 0);
	assert_int_equal(world_stats(w).deleted, 1);
	assert_int_equal(counted(w), 0);
	world_add(w, "", "unroutable@unroutable");
	assert_int_equal(world_stats(w).bounced, 2);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void deferred_mail_leaves_memory_and_counts_again_when_it_is_read_back(void **state)
{
	struct world *w = content_world(NULL);

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		world_add(w, "", "r@a.test");
	answer_all(w, 450);
	assert_int_equal(world_stats(w).deferred, 3);
	assert_int_equal(allocated(), 0);
	assert_int_equal(counted(w), 0);
	for (int i = 0; i < 10 && w->nflying == 0; i++) {
		world_wait(w, 300 * S);
		world_ready_all(w);
	}
	assert_true(w->nflying > 0);
	assert_int_equal(w->content_reads, w->nflying);
	assert_true(allocated() > 0);
	assert_int_equal(counted(w), allocated());
	world_wait(w, 300 * S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3);
	assert_int_equal(w->content_reads, 3);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void held_mail_is_not_in_memory(void **state)
{
	struct world *w = content_world(NULL);

	(void)state;
	add_flagged(w, "", "r@a.test", PEN_MESSAGE_HOLD); // as it arrives
	assert_null(made[0]->content);
	assert_int_equal(counted(w), 0);
	w->hold_resolves = true;
	uint64_t waiting = world_add(w, "", "r@b.test");
	assert_int_equal(counted(w), allocated());
	assert_int_equal(pen_sched_hold(w->s, waiting), 0);
	assert_null(made[1]->content);
	assert_int_equal(counted(w), 0);
	w->hold_resolves = false;
	uint64_t flying = world_add(w, "", "r@c.test");
	struct pen_delivery *d = first_delivery(w);
	assert_int_equal(pen_sched_hold(w->s, flying), 0);
	assert_non_null(made[2]->content); // the worker reads it
	assert_int_equal(counted(w), allocated());
	world_answer(w, d, 450);
	assert_null(made[2]->content);
	assert_int_equal(counted(w), 0);
	assert_int_equal(pen_sched_release(w->s, flying), 0);
	world_wait(w, S);
	d = first_delivery(w);
	assert_int_equal(w->content_reads, 1);
	assert_true(counted(w) > 0);
	assert_int_equal(counted(w), allocated());
	world_answer(w, d, 250);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void mail_that_expires_is_read_back_for_its_notification_only(void **state)
{
	struct world *w = content_world(NULL);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	w->edit = NULL; // the notification is as long as it is
	answer_all(w, 450);
	assert_int_equal(counted(w), 0);
	w->hold_submissions = true;
	w->route = WORLD_ROUTE_SOFT;
	world_wait(w, 6 * 86400 * S);
	answer_all(w, 450);
	world_wait(w, S);
	assert_int_equal(w->nsub, 1);
	assert_true(allocated() > 0);
	assert_int_equal(counted(w), allocated());
	w->route = WORLD_ROUTE_OK;
	w->hold_submissions = false;
	world_submitted(w, 0, 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	assert_true(counted(w) > 0); // the notification's
	world_run_ok(w);
	world_wait(w, 86400 * S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).messages, 0);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void a_content_that_cannot_be_read_back_counts_nothing(void **state)
{
	struct world *w = content_world(NULL);

	(void)state;
	world_add(w, "", "r@a.test");
	answer_all(w, 450);
	w->content_fails = true;
	world_wait(w, 3600 * S);
	world_ready_all(w);
	world_wait(w, S);
	assert_true(w->content_reads > 0);
	assert_int_equal(counted(w), 0);
	w->content_fails = false;
	for (int i = 0; i < 10 && world_stats(w).delivered == 0; i++) {
		world_wait(w, 4000 * S);
		world_run_ok(w);
	}
	assert_int_equal(world_stats(w).delivered, 1);
	assert_int_equal(counted(w), 0);
	world_free(w);
}

static void contents_beyond_the_limit_are_read_back(void **state)
{
	struct world *w = world_new(little_memory);

	(void)state;
	for (int i = 0; i < 50; i++)
		world_add(w, "s@x", "r@a.test");
	assert_true(world_stats(w).content_bytes <= 200);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 50);
	assert_true(w->content_reads >= 40);
	assert_int_equal(world_stats(w).content_bytes, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_in_memory_count_as_the_allocator_gives_them),
		cmocka_unit_test(what_ends_takes_its_content_with_it),
		cmocka_unit_test(deferred_mail_leaves_memory_and_counts_again_when_it_is_read_back),
		cmocka_unit_test(held_mail_is_not_in_memory),
		cmocka_unit_test(mail_that_expires_is_read_back_for_its_notification_only),
		cmocka_unit_test(a_content_that_cannot_be_read_back_counts_nothing),
		cmocka_unit_test(contents_beyond_the_limit_are_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
