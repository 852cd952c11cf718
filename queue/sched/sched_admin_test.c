// SPDX-License-Identifier: BSD-3-Clause

// What operators see and do.
#include "pen_test.h"
#include "sched_world.h"

#include <errno.h>

#define S PEN_US_PER_S

struct seen {
	uint32_t n;
	uint64_t last, sum;
	struct pen_sched_view view;
};

static bool see(void *ctx, const struct pen_sched_view *view)
{
	struct seen *seen = ctx;

	seen->n++;
	seen->last = view->message->id;
	seen->sum += view->message->id;
	seen->view = *view;
	return true;
}

static void listing_filters_and_goes_on_where_it_stopped(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_sched_filter any = {0};
	struct seen seen = {0};

	(void)state;
	uint64_t first = 0;
	for (int i = 0; i < 10; i++) {
		uint64_t id = world_add(w, i % 2 != 0 ? "odd@x" : "even@x",
			i < 5 ? "r@a.test" : "q@z.test,r@b.test");
		first = first != 0 ? first : id;
	}
	uint64_t at = pen_sched_list(w->s, &any, 0, 4, see, &seen);
	assert_int_equal(seen.n, 4);
	assert_int_equal(at, first + 3);
	// The message it stopped at goes away meanwhile.
	pen_sched_delete(w->s, at);
	at = pen_sched_list(w->s, &any, at, 100, see, &seen);
	assert_int_equal(at, 0);
	assert_int_equal(seen.n, 10);
	assert_int_equal(seen.sum, 10 * first + 45);
	seen.n = 0;
	pen_sched_list(w->s,
		&(struct pen_sched_filter){.by_sender = true, .sender = PEN_SPAN_LIT("EVEN@x")}, 0,
		100, see, &seen);
	assert_int_equal(seen.n, 5);
	seen.n = 0;
	pen_sched_list(w->s, &(struct pen_sched_filter){.recipient_domain = PEN_SPAN_LIT("B.test")},
		0, 100, see, &seen);
	assert_int_equal(seen.n, 5);
	seen.n = 0;
	pen_sched_list(
		w->s, &(struct pen_sched_filter){.states = PEN_STATE_DEFERRED}, 0, 100, see, &seen);
	assert_int_equal(seen.n, 0);
	assert_int_equal(pen_sched_show(w->s, first, see, &seen), 0);
	assert_int_equal(seen.view.state, PEN_STATE_ACTIVE);
	assert_int_equal(seen.view.expires, world_wall(w) + 5 * 86400 * S);
	assert_int_equal(pen_sched_show(w->s, 1, see, &seen), -ENOENT);
	world_free(w);
}

static void flush_tries_now_and_wakes_dead_sites(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_refuse(w, 0);
	world_refuse(w, 1);
	world_wait(w, S);
	assert_int_equal(world_stats(w).deferred, 2);
	assert_int_equal(pen_sched_flush(w->s, id), 0);
	world_wait(w, S);
	assert_int_equal(world_stats(w).deferred, 1);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 1);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	pen_sched_flush(w->s, 0);
	world_wait(w, S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 2);
	assert_int_equal(pen_sched_flush(w->s, 5), -ENOENT);
	world_free(w);
}

static void flush_asks_the_resolver_again(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->route = WORLD_ROUTE_SOFT;
	w->ttl = 3600 * S;
	world_add(w, "s@x", "r@a.test");
	w->route = WORLD_ROUTE_OK;
	pen_sched_flush(w->s, 0);
	world_wait(w, S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 1);
	world_free(w);
}

static void three_at_a_time(struct pen_sched_config *cfg)
{
	cfg->recipient_limit = 1;
	cfg->concurrency_limit = 1;
	cfg->initial_concurrency = 1;
	cfg->pipeline_depth = 1;
}

static void delete_spares_only_what_is_in_flight(void **state)
{
	struct world *w = world_new(three_at_a_time);

	(void)state;
	uint64_t id = world_add(w, "s@x", "1@a.test,2@a.test,3@a.test");
	world_ready(w, 0);
	assert_int_equal(w->nflying, 1);
	assert_int_equal(pen_sched_delete(w->s, id), 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_DELETED);
	assert_int_equal(world_fate(w, id, 2), PEN_FATE_DELETED);
	world_answer(w, w->flying[0], 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_true(world_stored(w, id)->gone);
	// A delivery that would have been tried again is deleted instead.
	id = world_add(w, "s@x", "1@a.test,2@a.test");
	pen_sched_delete(w->s, id);
	world_answer(w, w->flying[0], 450);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	assert_true(world_stored(w, id)->gone);
	// And one that comes back untried.
	id = world_add(w, "s@x", "1@a.test");
	pen_sched_delete(w->s, id);
	assert_false(world_stored(w, id)->gone);
	world_quit(w, 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	// Deferred and waiting ones go at once.
	w->route = WORLD_ROUTE_SOFT;
	id = world_add(w, "s@x", "1@b.test");
	pen_sched_delete(w->s, id);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(w->nsub, 0);
	assert_int_equal(pen_sched_delete(w->s, id), -ENOENT);
	world_free(w);
}

static void delete_while_the_sender_cannot_be_told_ends_it(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->hold_submissions = true;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_ready_all(w);
	world_answer(w, w->flying[0], 550);
	pen_sched_delete(w->s, id);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_submitted(w, 0, -ENOSPC);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	// The same when it waits for its next try.
	uint64_t again = world_add(w, "s@x", "r@a.test");
	world_answer(w, w->flying[0], 550);
	world_submitted(w, 0 + (w->sub[0].open ? 0 : 1), -ENOSPC);
	pen_sched_delete(w->s, again);
	assert_int_equal(world_fate(w, again, 0), PEN_FATE_DELETED);
	assert_int_equal(world_stats(w).messages, 0);
	world_free(w);
}

static void hold_stops_and_release_starts(void **state)
{
	struct world *w = world_new(three_at_a_time);

	(void)state;
	uint64_t id = world_add(w, "s@x", "1@a.test,2@a.test");
	world_ready(w, 0);
	assert_int_equal(pen_sched_hold(w->s, id), 0);
	assert_true(world_stored(w, id)->flags & PEN_MESSAGE_HOLD);
	world_answer(w, w->flying[0], 250);
	assert_int_equal(w->nflying, 0);
	assert_int_equal(world_stats(w).held, 1);
	// Held mail does not age out, and a flush does not move it.
	world_wait(w, 6 * 86400 * S);
	pen_sched_flush(w->s, 0);
	world_wait(w, S);
	assert_int_equal(world_stats(w).held, 1);
	assert_int_equal(pen_sched_release(w->s, id), 0);
	assert_false(world_stored(w, id)->flags & PEN_MESSAGE_HOLD);
	world_wait(w, S);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_EXPIRED); // its time counted from arrival
	uint64_t held = world_recover(w, "s@x", "r@a.test", world_wall(w), 0, PEN_MESSAGE_HOLD);
	world_wait(w, S);
	assert_int_equal(world_stats(w).held, 1);
	pen_sched_release(w->s, held);
	world_wait(w, S);
	world_run_ok(w);
	assert_int_equal(world_fate(w, held, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static bool see_site(void *ctx, const struct pen_site_view *view)
{
	*(struct pen_site_view *)ctx = *view;
	return false;
}

static void sites_show_their_queue_and_why_they_are_dead(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_site_view v;

	(void)state;
	for (int i = 0; i < 3; i++)
		world_add(w, "s@x", "r@a.test");
	pen_sched_sites(w->s, see_site, &v);
	assert_true(pen_span_eq(v.key, PEN_SPAN_LIT("a.test/0")));
	assert_int_equal(v.queued, 3);
	assert_int_equal(v.leases_opening, 3);
	assert_int_equal(v.window, 5);
	world_refuse(w, 0);
	world_refuse(w, 1);
	pen_sched_sites(w->s, see_site, &v);
	assert_int_equal(v.dead_for, 0);
	assert_int_equal(v.window, 2);
	world_refuse(w, 2);
	pen_sched_sites(w->s, see_site, &v);
	assert_int_equal(v.dead_for, 300 * S);
	assert_true(pen_span_eq(
		v.reason, PEN_SPAN_LIT("connect to mx[10.0.0.1]:25: Connection refused")));
	assert_int_equal(v.deferred, 3);
	world_free(w);
}

static void tiny_queue(struct pen_sched_config *cfg)
{
	cfg->message_limit = 2;
}

static void a_full_queue_stops_accepting(void **state)
{
	struct world *w = world_new(tiny_queue);

	(void)state;
	assert_true(pen_sched_accepting(w->s));
	world_add(w, "s@x", "r@a.test");
	world_add(w, "s@x", "r@a.test");
	assert_false(pen_sched_accepting(w->s));
	world_run_ok(w);
	assert_true(pen_sched_accepting(w->s));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listing_filters_and_goes_on_where_it_stopped),
		cmocka_unit_test(flush_tries_now_and_wakes_dead_sites),
		cmocka_unit_test(flush_asks_the_resolver_again),
		cmocka_unit_test(delete_spares_only_what_is_in_flight),
		cmocka_unit_test(delete_while_the_sender_cannot_be_told_ends_it),
		cmocka_unit_test(hold_stops_and_release_starts),
		cmocka_unit_test(sites_show_their_queue_and_why_they_are_dead),
		cmocka_unit_test(a_full_queue_stops_accepting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
