// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "sched_world.h"

#define S PEN_US_PER_S

static void new_limits_hold_for_what_is_decided_from_now_on(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_sched_config next = w->cfg;

	(void)state;
	next.recipient_limit = 1;
	next.lease_limit = 1; // not to be changed
	next.workers = 60;    // neither
	next.source = NULL;
	next.nsources = 0;
	assert_int_equal(pen_sched_reconfigure(w->s, &next), 0);
	world_add(w, "s@x", "1@a.test,2@a.test,3@a.test");
	world_ready_all(w);
	while (pen_sched_poll(w->s, 100) > 0)
		world_ready_all(w);
	assert_int_equal(w->nflying, 3);
	for (uint32_t i = 0; i < w->nflying; i++)
		assert_int_equal(w->flying[i]->nrcpt, 1);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3);
	world_free(w);
}

static void a_shorter_lifetime_ends_deferred_mail_at_its_next_attempt(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_sched_config next = w->cfg;

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_ready_all(w);
	struct pen_delivery *d = w->flying[0];
	world_answer(w, d, 450);
	assert_int_equal(world_stats(w).deferred, 1);
	next.retry.maximal_queue_lifetime = 60 * S;
	assert_int_equal(pen_sched_reconfigure(w->s, &next), 0);
	world_wait(w, 7200 * S);
	assert_int_not_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_free(w);
}

static void transports_are_copied(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_sched_config next = w->cfg;
	struct pen_sched_transport *t = calloc(2, sizeof(*t));

	(void)state;
	strcpy(t[0].name, "smtp");
	strcpy(t[1].name, "lmtp");
	next.transport = t;
	next.ntransports = 2;
	assert_int_equal(pen_sched_reconfigure(w->s, &next), 0);
	free(t);
	assert_int_equal(pen_sched_reconfigure(w->s, &w->cfg), 0);
	world_add(w, "s@x", "1@a.test");
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(new_limits_hold_for_what_is_decided_from_now_on),
		cmocka_unit_test(a_shorter_lifetime_ends_deferred_mail_at_its_next_attempt),
		cmocka_unit_test(transports_are_copied),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
