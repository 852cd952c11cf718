// SPDX-License-Identifier: BSD-3-Clause

// Who is delivered when, over which connection.
#include "pen_test.h"
#include "sched_world.h"

#define S PEN_US_PER_S

static void a_message_is_delivered_and_removed(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_leases(w), 1);
	assert_int_equal(w->sent, 0); // nothing before the session is ready
	w->now += 2 * S;
	pen_sched_clock(w->s, w->now, world_wall(w));
	world_ready(w, 0);
	assert_int_equal(w->sent, 1);
	struct pen_delivery *d = w->flying[0];
	assert_true(pen_span_eq(d->sender, PEN_SPAN_LIT("s@x")));
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("r@a.test")));
	d->started_at = w->now;
	w->now += 3 * S;
	pen_sched_clock(w->s, w->now, world_wall(w));
	world_answer(w, d, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(w->nlog, 1);
	assert_int_equal(w->log[0].status, PEN_STATUS_SENT);
	assert_string_equal(w->log[0].relay, "mx1.a.test[10.0.0.1]:25");
	assert_string_equal(w->log[0].text, "250 2.1.1 said so");
	assert_int_equal(w->log[0].delay[2], 2 * S);
	assert_int_equal(w->log[0].delay[3], 3 * S);
	assert_int_equal(world_stats(w).delivered, 1);
	world_free(w);
}

static void one_connection(struct pen_sched_config *cfg)
{
	cfg->concurrency_limit = 1;
	cfg->initial_concurrency = 1;
	cfg->pipeline_depth = 4;
}

static void a_route_that_discards_ends_the_recipient_as_delivered(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@discarded");
	assert_int_equal(world_leases(w), 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(w->log[0].status, PEN_STATUS_SENT);
	world_free(w);
}

static void one_connection_delivers_in_order_and_keeps_its_stream_full(void **state)
{
	struct world *w = world_new(one_connection);
	uint64_t first = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		uint64_t id = world_add(w, "s@x", "r@a.test");
		first = first != 0 ? first : id;
	}
	assert_int_equal(w->opened, 1);
	world_ready(w, 0);
	assert_int_equal(w->nflying, 4);
	for (int i = 0; i < 36; i++)
		world_answer(w, w->flying[0], 250);
	assert_int_equal(w->nflying, 4);
	world_run_ok(w);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(w->log[i].id, first + i);
	assert_int_equal(w->opened, 1);
	world_free(w);
}

static void few_recipients(struct pen_sched_config *cfg)
{
	cfg->recipient_limit = 3;
}

static void recipients_are_grouped_by_next_hop(void **state)
{
	struct world *w = world_new(few_recipients);

	(void)state;
	uint64_t id = world_add(w, "s@x", "1@a.test,2@b.test,3@A.test,4@a.test,5@a.test,6@b.test");
	world_ready_all(w);
	while (pen_sched_poll(w->s, 100) > 0)
		world_ready_all(w);
	world_ready_all(w);
	// a.test has four recipients, more than fit one transaction.
	assert_int_equal(w->nflying, 3);
	uint32_t total = 0;
	for (uint32_t i = 0; i < w->nflying; i++) {
		const struct pen_delivery *d = w->flying[i];
		total += d->nrcpt;
		assert_true(d->nrcpt <= 3);
		if (d->nrcpt == 3) {
			assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("1@a.test")));
			assert_true(pen_span_eq(d->rcpt[2].addr, PEN_SPAN_LIT("4@a.test")));
		}
	}
	assert_int_equal(total, 6);
	world_run_ok(w);
	assert_true(world_stored(w, id)->gone);
	world_free(w);
}

static void a_connection_carries_no_more_than_its_limit(void **state)
{
	struct world *w = world_new(one_connection);

	(void)state;
	for (int i = 0; i < 250; i++)
		world_add(w, "s@x", "r@a.test");
	world_run_ok(w); // the world checks connection_message_limit
	assert_int_equal(world_stats(w).delivered, 250);
	assert_int_equal(w->opened, 3);
	world_free(w);
}

static void a_long_queue_opens_connections_up_to_the_limit(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	for (int i = 0; i < 5000; i++)
		world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_leases(w), 5); // initial_destination_concurrency
	// One more for each delivery, up to the limit.
	world_ready(w, 0);
	assert_int_equal(world_leases(w), 5);
	world_answer(w, world_oldest(w, 0), 250);
	world_answer(w, world_oldest(w, 0), 250);
	assert_int_equal(world_leases(w), 7);
	for (uint32_t i = 1; i < 20; i++) {
		world_ready(w, i);
		world_answer(w, world_oldest(w, i), 250);
	}
	assert_int_equal(world_leases(w), 20);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 5000);
	world_free(w);
}

static void what_comes_back_untried_goes_first_again(void **state)
{
	struct world *w = world_new(one_connection);

	(void)state;
	uint64_t id = 0;
	for (int i = 0; i < 8; i++) {
		uint64_t got = world_add(w, "s@x", "r@a.test");
		id = id != 0 ? id : got;
	}
	world_ready(w, 0);
	world_answer(w, world_oldest(w, 0), 250);
	world_quit(w, 0);
	assert_int_equal(world_leases(w), 1);
	world_ready(w, 0);
	world_run_ok(w);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(w->log[i].id, id + i);
		assert_int_equal(world_stored(w, id + i)->attempts[0], 1);
	}
	assert_true(world_stats(w).returned > 0);
	world_free(w);
}

// One transaction at a time, a recipient in each.
static void one_by_one(struct pen_sched_config *cfg)
{
	one_connection(cfg);
	cfg->pipeline_depth = 1;
	cfg->recipient_limit = 1;
	cfg->connection_message_limit = 0;
}

// Delivers `large` recipients of one message and three small messages; the
// order as letters.
static void order_of(void (*tweak)(struct pen_sched_config *cfg), int large, char *out)
{
	struct world *w = world_new(tweak);
	char rcpts[1024] = "r@a.test";

	for (int i = 1; i < large; i++)
		strcat(rcpts, ",r@a.test");
	uint64_t first = world_add(w, "s@x", rcpts);
	for (int i = 0; i < 3; i++)
		world_add(w, "s@x", "r@a.test");
	world_run_ok(w);
	for (uint32_t i = 0; i < w->nlog; i++)
		*out++ = (char)('A' + (w->log[i].id - first));
	*out = '\0';
	world_free(w);
}

static void no_preemption(struct pen_sched_config *cfg)
{
	one_by_one(cfg);
	cfg->preempt.slot_cost = 0;
}

static void small_messages_do_not_wait_for_all_of_a_large_one(void **state)
{
	char got[128];

	(void)state;
	order_of(one_by_one, 20, got);
	assert_string_equal(got, "ABAAAAACAAAAADAAAAAAAAA");
	order_of(one_by_one, 14, got);
	assert_string_equal(got, "AAAAAAAAAAAAAABCD");
	order_of(no_preemption, 20, got);
	assert_string_equal(got, "AAAAAAAAAAAAAAAAAAAABCD");
}

static void two_leases(struct pen_sched_config *cfg)
{
	cfg->lease_limit = 2;
	cfg->connection_message_limit = 0;
	cfg->pipeline_depth = 2;
}

static void a_site_that_holds_all_connections_gives_way(void **state)
{
	struct world *w = world_new(two_leases);

	(void)state;
	for (int i = 0; i < 400; i++)
		world_add(w, "s@x", "r@big.test");
	world_ready_all(w);
	assert_int_equal(world_leases(w), 2);
	for (int i = 0; i < 400; i++)
		world_add(w, "s@x", "r@small.test");
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 800);
	// Each had a connection of its own soon after: they end close together.
	uint32_t last_big = 0, last_small = 0, first_small = UINT32_MAX;
	for (uint32_t i = 0; i < w->nlog; i++) {
		bool big = strstr(w->log[i].relay, "big") != NULL;
		*(big ? &last_big : &last_small) = i;
		if (!big && first_small == UINT32_MAX)
			first_small = i;
	}
	assert_true(first_small < 20);
	assert_true(last_small - last_big < 100 || last_big - last_small < 100);
	world_free(w);
}

static void one_lease(struct pen_sched_config *cfg)
{
	two_leases(cfg);
	cfg->lease_limit = 1;
}

static void ten_sites_share_a_single_connection(void **state)
{
	struct world *w = world_new(one_lease);
	char rcpt[32];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(rcpt, sizeof(rcpt), "r@site%d.test", i < 2000 ? 0 : i % 10);
		world_add(w, "s@x", rcpt);
	}
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3000);
	// The big one was first, but the others did not wait for all of it.
	uint32_t big_last = 0, others_last = 0;
	for (uint32_t i = 0; i < w->nlog; i++)
		*(strstr(w->log[i].relay, "site0") != NULL ? &big_last : &others_last) = i;
	assert_true(others_last < big_last);
	world_free(w);
}

static void an_idle_connection_makes_room(void **state)
{
	struct world *w = world_new(one_lease);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	world_answer(w, w->flying[0], 250);
	assert_false(w->lease[0].closing); // kept for what may come
	world_add(w, "s@x", "r@a.test");
	assert_int_equal(w->nflying, 1); // and used again
	world_answer(w, w->flying[0], 250);
	world_add(w, "s@x", "r@b.test");
	assert_true(w->lease[0].closing);
	world_quit(w, 0);
	assert_int_equal(world_leases(w), 1);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3);
	world_free(w);
}

static void a_full_ring_only_delays(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->ring_full = true;
	world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_leases(w), 0);
	world_wait(w, 5 * PEN_US_PER_MS);
	w->ring_full = false;
	world_wait(w, 5 * PEN_US_PER_MS);
	assert_int_equal(world_leases(w), 1);
	w->ring_full = true;
	world_ready(w, 0);
	assert_int_equal(w->nflying, 0);
	w->ring_full = false;
	world_wait(w, 5 * PEN_US_PER_MS);
	assert_int_equal(w->nflying, 1);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 1);
	world_free(w);
}

static void all_at_once(struct pen_sched_config *cfg)
{
	cfg->initial_concurrency = cfg->concurrency_limit;
}

static void sources_and_workers_take_turns(void **state)
{
	struct world *w = world_new(all_at_once);
	uint32_t second = 0, worker1 = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		world_add(w, "s@x", "r@a.test");
	for (uint32_t i = 0; i < w->nlease; i++) {
		second += strcmp(w->lease[i].l->helo, "two.test") == 0;
		worker1 += w->lease[i].l->worker == 1;
	}
	assert_int_equal(second, 10);
	assert_int_equal(worker1, 10);
	world_free(w);
}

static void stop_lets_queued_deliveries_finish_and_opens_nothing(void **state)
{
	struct world *w = world_new(one_connection);

	(void)state;
	for (int i = 0; i < 10; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	pen_sched_stop(w->s);
	assert_true(w->lease[0].closing);
	assert_false(pen_sched_idle(w->s));
	assert_false(pen_sched_accepting(w->s));
	world_run_ok(w);
	assert_true(pen_sched_idle(w->s));
	assert_int_equal(world_stats(w).delivered, 4);
	assert_int_equal(w->opened, 1);
	world_free(w);
}

static bool delivered_at_new_site(void *ctx, const struct pen_site_view *view)
{
	uint64_t *n = ctx;

	if (pen_span_eq(view->key, PEN_SPAN_LIT("a.test/1")))
		*n = view->delivered;
	return true;
}

static void a_route_that_changed_takes_waiting_mail_along(void **state)
{
	struct world *w = world_new(one_connection);

	(void)state;
	w->ttl = 60 * S;
	for (int i = 0; i < 200; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	w->shuffle = 1; // a new MX set: another site
	world_wait(w, 100 * S);
	while (world_oldest(w, 0) != NULL && !w->lease[0].closing)
		world_answer(w, world_oldest(w, 0), 250);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 200);
	// The old site has nothing left to do; most went to the new one.
	uint64_t there = 0;
	pen_sched_sites(w->s, delivered_at_new_site, &there);
	assert_true(there > 50);
	world_wait(w, 8000 * S);
	assert_int_equal(world_stats(w).sites, 0); // forgotten when unused
	assert_int_equal(world_stats(w).nexthops, 0);
	world_free(w);
}

static void a_silent_worker_is_told_to_abort(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	world_wait(w, w->cfg.lease_watchdog + S);
	assert_true(w->lease[0].aborted);
	assert_int_equal(world_stats(w).watchdog_aborts, 1);
	world_free(w);
}

static void a_delivery_that_crosses_the_end_comes_back(void **state)
{
	struct world *w = world_new(one_connection);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	world_answer(w, w->flying[0], 250);
	world_leave(w, 0);
	uint64_t id = world_add(w, "s@x", "r@a.test");
	assert_int_equal(w->nflying, 1);
	world_left(w, 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 2);
	assert_int_equal(world_stored(w, id)->attempts[0], 1);
	// A CLOSE may cross it as well.
	world_add(w, "s@x", "r@a.test");
	world_run_ok(w);
	uint32_t idle = world_lease_at(w, 0);
	world_leave(w, idle);
	pen_sched_stop(w->s);
	assert_true(w->lease[idle].closing);
	// The worker may read that CLOSE after its ENDED was taken: the lease is
	// still there.
	const struct pen_lease *l = w->lease[idle].l;
	uint64_t lease_id = l->id;
	world_left(w, idle);
	assert_true(pen_sched_idle(w->s));
	assert_int_equal(l->id, lease_id);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_delivered_and_removed),
		cmocka_unit_test(a_route_that_discards_ends_the_recipient_as_delivered),
		cmocka_unit_test(one_connection_delivers_in_order_and_keeps_its_stream_full),
		cmocka_unit_test(recipients_are_grouped_by_next_hop),
		cmocka_unit_test(a_connection_carries_no_more_than_its_limit),
		cmocka_unit_test(a_long_queue_opens_connections_up_to_the_limit),
		cmocka_unit_test(what_comes_back_untried_goes_first_again),
		cmocka_unit_test(small_messages_do_not_wait_for_all_of_a_large_one),
		cmocka_unit_test(a_site_that_holds_all_connections_gives_way),
		cmocka_unit_test(ten_sites_share_a_single_connection),
		cmocka_unit_test(an_idle_connection_makes_room),
		cmocka_unit_test(a_full_ring_only_delays),
		cmocka_unit_test(sources_and_workers_take_turns),
		cmocka_unit_test(stop_lets_queued_deliveries_finish_and_opens_nothing),
		cmocka_unit_test(a_route_that_changed_takes_waiting_mail_along),
		cmocka_unit_test(a_silent_worker_is_told_to_abort),
		cmocka_unit_test(a_delivery_that_crosses_the_end_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
