// SPDX-License-Identifier: BSD-3-Clause

// Whose mail goes next at a site, and how much of it is made ready.
#include "pen_test.h"
#include "sched_world.h"

#define S PEN_US_PER_S

static void one_by_one(struct pen_sched_config *cfg)
{
	cfg->concurrency_limit = 1;
	cfg->initial_concurrency = 1;
	cfg->pipeline_depth = 1;
	cfg->recipient_limit = 1;
	cfg->connection_message_limit = 0;
}

static const struct pen_mail_class *make_class(
	const char *tenant, const char *campaign, enum pen_priority priority)
{
	return pen_mail_class_get(
		pen_span_cstr(tenant), pen_span_cstr(campaign), pen_span("", 0), priority);
}

static uint64_t add_of(struct world *w, const char *tenant, const char *campaign,
	enum pen_priority priority, const char *rcpts)
{
	const struct pen_mail_class *k = make_class(tenant, campaign, priority);

	w->klass = k;
	uint64_t id = world_add(w, "s@x", rcpts);
	w->klass = NULL;
	pen_mail_class_put(k);
	return id;
}

static void add_many(struct world *w, int n, const char *tenant, const char *campaign,
	enum pen_priority priority)
{
	for (int i = 0; i < n; i++)
		add_of(w, tenant, campaign, priority, "r@a.test");
}

// Of log lines [from, to), those of messages with ids [first, first + n).
static uint32_t share_of(const struct world *w, uint32_t from, uint32_t to, uint64_t first, int n)
{
	uint32_t got = 0;

	for (uint32_t i = from; i < to && i < w->nlog; i++)
		got += w->log[i].id >= first && w->log[i].id < first + (uint64_t)n;
	return got;
}

static void tenants_share_a_site_evenly_whoever_came_first(void **state)
{
	struct world *w = world_new(one_by_one);

	(void)state;
	add_many(w, 3000, "big", "", PEN_PRIORITY_NORMAL);
	add_many(w, 100, "small", "", PEN_PRIORITY_NORMAL);
	add_many(w, 100, "", "", PEN_PRIORITY_NORMAL);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3200);
	assert_in_range(share_of(w, 0, 300, 4000, 100), 95, 100);
	assert_in_range(share_of(w, 0, 300, 4100, 100), 95, 100);
	world_free(w);
}

static void campaigns_share_what_their_tenant_has(void **state)
{
	struct world *w = world_new(one_by_one);

	(void)state;
	add_many(w, 500, "a", "one", PEN_PRIORITY_NORMAL);
	add_many(w, 500, "a", "two", PEN_PRIORITY_NORMAL);
	add_many(w, 500, "b", "one", PEN_PRIORITY_NORMAL);
	world_run_ok(w);
	assert_in_range(share_of(w, 0, 400, 1000, 500), 98, 102);
	assert_in_range(share_of(w, 0, 400, 1500, 500), 98, 102);
	assert_in_range(share_of(w, 0, 400, 2000, 500), 196, 204);
	world_free(w);
}

static void high_priority_goes_first_and_nobody_waits_for_ever(void **state)
{
	struct world *w = world_new(one_by_one);

	(void)state;
	add_many(w, 1000, "", "", PEN_PRIORITY_LOW);
	add_many(w, 1000, "", "", PEN_PRIORITY_NORMAL);
	add_many(w, 1000, "", "", PEN_PRIORITY_HIGH);
	world_run_ok(w);
	// 16 : 4 : 1
	assert_in_range(share_of(w, 0, 210, 3000, 1000), 155, 165);
	assert_in_range(share_of(w, 0, 210, 2000, 1000), 35, 45);
	assert_in_range(share_of(w, 0, 210, 1000, 1000), 8, 12);
	assert_int_equal(world_stats(w).delivered, 3000);
	world_free(w);
}

static void many_recipients(char *out, int n, const char *domain)
{
	char *at = out;

	for (int i = 0; i < n; i++)
		at += sprintf(at, "%sr@%s", i > 0 ? "," : "", domain);
}

static void a_small_message_is_not_stuck_behind_a_large_one(void **state)
{
	struct world *w = world_new(one_by_one);
	char rcpts[1024];

	(void)state;
	many_recipients(rcpts, 60, "a.test");
	uint64_t large = add_of(w, "t", "", PEN_PRIORITY_NORMAL, rcpts);
	uint64_t same = add_of(w, "t", "", PEN_PRIORITY_NORMAL, "1@a.test");
	uint64_t other = add_of(w, "u", "", PEN_PRIORITY_NORMAL, "1@a.test,2@a.test,3@a.test");
	world_run_ok(w);
	uint32_t last_same = 0, last_other = 0;
	for (uint32_t i = 0; i < w->nlog; i++) {
		if (w->log[i].id == same)
			last_same = i;
		if (w->log[i].id == other)
			last_other = i;
	}
	assert_true(last_same < 12);
	assert_true(last_other < 12);
	assert_true(world_stored(w, large)->gone);
	world_free(w);
}

static void few_ready(struct pen_sched_config *cfg)
{
	one_by_one(cfg);
	cfg->ready_limit = 10;
}

static bool site_of(void *ctx, const struct pen_site_view *view)
{
	*(struct pen_site_view *)ctx = *view;
	return false;
}

static void only_so_many_are_made_ready_and_the_rest_keeps_its_order(void **state)
{
	struct world *w = world_new(few_ready);
	struct pen_site_view v;

	(void)state;
	for (int i = 0; i < 500; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready_all(w);
	for (int i = 0; i < 400; i++) {
		pen_sched_sites(w->s, site_of, &v);
		assert_true(v.queued <= 10);
		assert_int_equal(v.waiting, world_stats(w).waiting);
		assert_int_equal(v.waiting + v.queued + v.in_flight, 500 - i);
		world_answer(w, w->flying[0], 250);
	}
	world_run_ok(w);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(w->log[i].id, 1000 + i);
	world_free(w);
}

static bool is_state(void *ctx, const struct pen_sched_view *view)
{
	*(enum pen_sched_state *)ctx = view->state;
	return true;
}

static enum pen_sched_state state_of(struct world *w, uint64_t id)
{
	enum pen_sched_state st = PEN_STATE_ANY;

	assert_int_equal(pen_sched_show(w->s, id, is_state, &st), 0);
	return st;
}

static void what_waits_can_be_held_deleted_and_expires(void **state)
{
	struct world *w = world_new(few_ready);
	uint64_t id[50];

	(void)state;
	for (int i = 0; i < 50; i++)
		id[i] = world_add(w, "s@x", "r@a.test");
	assert_int_equal(state_of(w, id[3]), PEN_STATE_ACTIVE);
	assert_int_equal(state_of(w, id[40]), PEN_STATE_WAITING);
	pen_sched_hold(w->s, id[40]);
	assert_int_equal(state_of(w, id[40]), PEN_STATE_HOLD);
	pen_sched_delete(w->s, id[41]);
	assert_int_equal(world_fate(w, id[41], 0), PEN_FATE_DELETED);
	pen_sched_release(w->s, id[40]);
	world_wait(w, 1000);
	assert_int_equal(state_of(w, id[40]), PEN_STATE_WAITING);
	// The connection never comes up: each expires at its time, where it stands.
	world_wait(w, w->cfg.retry.maximal_queue_lifetime + S);
	assert_int_equal(world_fate(w, id[49], 0), PEN_FATE_EXPIRED);
	assert_int_equal(world_fate(w, id[2], 0), PEN_FATE_EXPIRED);
	world_free(w);
}

static void much_mail_for_a_dead_site_stays_where_it_is(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->cfg.ready_limit = 1000;
	for (int i = 0; i < 20000; i++)
		world_add(w, "s@x", "r@a.test");
	for (uint32_t i = 0; i < 3; i++)
		world_refuse(w, i);
	world_quit(w, 3);
	world_quit(w, 4);
	world_wait(w, 1 * S);
	assert_int_equal(world_stats(w).sites_dead, 1);
	assert_in_range(world_stats(w).deferred, 1000, 1005);
	uint32_t lines = w->nlog;
	world_wait(w, 200 * S);
	assert_int_equal(w->nlog, lines);
	world_wait(w, 150 * S); // revived
	assert_int_equal(world_stats(w).sites_dead, 0);
	world_run_ok(w);
	world_wait(w, 1000 * S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 20000);
	world_free(w);
}

static void the_resolver_is_not_asked_everything_at_once(void **state)
{
	struct world *w = world_new(NULL);
	char rcpt[64];

	(void)state;
	w->hold_resolves = true;
	for (int i = 0; i < 3000; i++) {
		snprintf(rcpt, sizeof(rcpt), "r@d%d.test", i);
		add_of(w, i < 2900 ? "big" : "small", "", PEN_PRIORITY_NORMAL, rcpt);
	}
	assert_int_equal(w->nresolve, 1000);
	assert_int_equal(world_stats(w).waiting, 2000);
	// The other tenant does not wait for all of the first.
	for (int i = 0; i < 250; i++)
		world_resolved(w, 0, WORLD_ROUTE_OK);
	world_wait(w, 1000);
	assert_int_equal(w->nresolve, 1000);
	uint32_t small = 0;
	for (uint32_t i = 0; i < w->nresolve; i++)
		small += atoi(w->resolve_name[i] + 1) >= 2900;
	assert_int_equal(small, 100);
	// A message for a next hop that is known goes at once.
	add_of(w, "big", "", PEN_PRIORITY_NORMAL, "r@d0.test");
	assert_int_equal(world_stats(w).waiting, 1750);
	w->hold_resolves = false;
	while (w->nresolve > 0)
		world_resolved(w, 0, WORLD_ROUTE_OK);
	world_wait(w, 1000);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3001);
	world_free(w);
}

static struct pen_sched_transport slow[] = {{"smtp", 2, 3, 1}};

static void transports(struct pen_sched_config *cfg)
{
	cfg->transport = slow;
	cfg->ntransports = 1;
}

static void a_transport_has_limits_of_its_own(void **state)
{
	struct world *w = world_new(transports);

	(void)state;
	for (int i = 0; i < 100; i++)
		world_add(w, "s@x", "1@a.test,2@a.test,3@a.test");
	assert_int_equal(world_leases(w), 1);
	world_ready_all(w);
	assert_int_equal(w->flying[0]->nrcpt, 2);
	world_answer(w, w->flying[0], 250);
	while (w->nflying > 0) {
		world_ready_all(w);
		assert_true(world_leases(w) <= 3);
		world_answer(w, w->flying[0], 250);
	}
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 300);
	world_free(w);
}

static void full_leases(struct pen_sched_config *cfg)
{
	one_by_one(cfg);
	cfg->connection_message_limit = 5;
}

static void a_used_up_connection_is_replaced_at_once(void **state)
{
	struct world *w = world_new(full_leases);

	(void)state;
	for (int i = 0; i < 20; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready_all(w);
	for (int i = 0; i < 5; i++)
		world_answer(w, w->flying[0], 250);
	assert_true(w->lease[0].closing);
	assert_int_equal(w->opened, 1);
	world_quit(w, 0);
	assert_int_equal(w->opened, 2); // no time has passed
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 20);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tenants_share_a_site_evenly_whoever_came_first),
		cmocka_unit_test(campaigns_share_what_their_tenant_has),
		cmocka_unit_test(high_priority_goes_first_and_nobody_waits_for_ever),
		cmocka_unit_test(a_small_message_is_not_stuck_behind_a_large_one),
		cmocka_unit_test(only_so_many_are_made_ready_and_the_rest_keeps_its_order),
		cmocka_unit_test(what_waits_can_be_held_deleted_and_expires),
		cmocka_unit_test(much_mail_for_a_dead_site_stays_where_it_is),
		cmocka_unit_test(the_resolver_is_not_asked_everything_at_once),
		cmocka_unit_test(a_transport_has_limits_of_its_own),
		cmocka_unit_test(a_used_up_connection_is_replaced_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
