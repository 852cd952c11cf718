// SPDX-License-Identifier: BSD-3-Clause

// The scheduler under limits: what the receivers see never exceeds them, whatever
// is reloaded or suspended meanwhile, and what waits for them is never forgotten.
#include "core.h"
#include "pen_test.h"
#include "sched_ledger.h"
#include "why.h"

#define S PEN_US_PER_S

static struct ledger_limits start_limits;

static void shaped(struct pen_sched_config *cfg)
{
	cfg->shape = pen_shape_new(ledger_config(&start_limits), WORLD_START, WORLD_START_WALL);
	assert_non_null(cfg->shape);
}

static struct world *shaped_world(const struct ledger_limits *l, struct ledger **g)
{
	start_limits = *l;
	struct world *w = world_new(shaped);
	*g = ledger_new(l);
	ledger_watch(w, *g);
	return w;
}

static void end(struct world *w, struct ledger *g)
{
	world_free(w);
	ledger_free(g);
}

static uint64_t add_of(struct world *w, int tenant, const char *pool, const char *rcpts)
{
	char name[16] = "", sender[24] = "s@x";

	if (tenant >= 0) {
		snprintf(name, sizeof(name), "t%d", tenant);
		snprintf(sender, sizeof(sender), "t%d@x", tenant);
	}
	const struct pen_mail_class *k = pen_mail_class_get(
		pen_span_cstr(name), pen_span("", 0), pen_span_cstr(pool), PEN_PRIORITY_NORMAL);
	w->klass = k;
	uint64_t id = world_add(w, sender, rcpts);
	w->klass = NULL;
	pen_mail_class_put(k);
	return id;
}

static void run_for(struct world *w, pen_time_us step, int steps)
{
	for (int i = 0; i < steps; i++) {
		world_run_ok(w);
		world_wait(w, step);
	}
	world_run_ok(w);
}

static const char *why_of(struct world *w, uint64_t id, struct pen_why *out)
{
	memset(out, 0, sizeof(*out));
	site_why(w->s, entry_find(w->s, id), out);
	return out->text;
}

static void a_rate_is_kept_and_used(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.message_rate = 20}, &g);
	struct pen_why why;

	(void)state;
	for (int i = 0; i < 100; i++)
		add_of(w, -1, "", "r@a.test");
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 20);
	assert_non_null(strstr(why_of(w, 1099, &why), "rate"));
	assert_int_equal(why.code, PEN_WHY_SHAPING);
	assert_true(why.until > world_wall(w));
	run_for(w, S, 45);
	assert_int_equal(world_stats(w).delivered, 100);
	end(w, g);
}

static void a_tenant_that_has_to_wait_holds_up_nobody(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.tenant_rate = 5}, &g);

	(void)state;
	for (int i = 0; i < 50; i++)
		add_of(w, 0, "", "r@a.test");
	for (int i = 0; i < 50; i++)
		add_of(w, -1, "", "r@a.test");
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 55);
	run_for(w, S, 100);
	assert_int_equal(world_stats(w).delivered, 100);
	end(w, g);
}

static struct pen_suspension suspension(enum pen_suspend_scope scope, const char *name)
{
	return (struct pen_suspension){.scope = scope,
		.name = pen_span_cstr(name),
		.at = pen_span("", 0),
		.reason = PEN_SPAN_LIT("blocked at the receiver"),
		.by = PEN_SPAN_LIT("operator")};
}

static void a_suspended_domain_and_tenant_wait_and_go_on(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);
	struct pen_suspension d = suspension(PEN_SUSPEND_DOMAIN, "a.test");
	struct pen_suspension t = suspension(PEN_SUSPEND_TENANT, "t1");
	struct pen_why why;

	(void)state;
	uint64_t early = add_of(w, -1, "", "early@a.test"); // it is at its site already
	uint64_t di = pen_shape_suspend(w->cfg.shape, &d, w->now);
	uint64_t ti = pen_shape_suspend(w->cfg.shape, &t, w->now);
	uint64_t one = add_of(w, -1, "", "r@a.test");
	uint64_t two = add_of(w, 1, "", "r@b.test");
	uint64_t three = add_of(w, -1, "", "r@b.test");
	run_for(w, S, 5);
	assert_int_equal(world_fate(w, early, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, one, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, two, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, three, 0), PEN_FATE_DELIVERED);
	assert_non_null(strstr(why_of(w, one, &why), "a.test"));
	assert_string_equal(why.word, "suspended");
	assert_non_null(strstr(why_of(w, two, &why), "t1"));
	assert_string_equal(why.word, "suspended");
	assert_int_equal(pen_shape_resume(w->cfg.shape, di, w->now), 0);
	assert_int_equal(pen_shape_resume(w->cfg.shape, ti, w->now), 0);
	run_for(w, S, 5);
	assert_int_equal(world_stats(w).delivered, 4);
	end(w, g);
}

static void a_suspended_domain_is_the_recipients_whatever_the_next_hop(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);
	struct pen_suspension d = suspension(PEN_SUSPEND_DOMAIN, "A.test.");
	struct pen_why why;
	char text[PEN_WHY_TEXT_MAX];

	(void)state;
	w->relayhost = "b.test";
	uint64_t early = add_of(w, -1, "", "early@a.test");
	uint64_t mixed = add_of(w, 1, "", "1@a.test,2@b.test,3@a.test,4@c.test");
	uint64_t id = pen_shape_suspend(w->cfg.shape, &d, w->now);
	snprintf(g->domain, sizeof(g->domain), "@a.test");
	uint64_t late = add_of(w, -1, "", "late@a.test");
	assert_non_null(strstr(why_of(w, early, &why), "domain A.test is suspended"));
	run_for(w, S, 5);
	assert_int_equal(world_fate(w, early, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, late, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, mixed, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, mixed, 1), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, mixed, 2), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, mixed, 3), PEN_FATE_DELIVERED);
	assert_string_equal(why_of(w, early, &why),
		"domain A.test is suspended by the operator: blocked at the receiver");
	assert_string_equal(why.word, "suspended");
	why_of(w, mixed, &why);
	assert_int_equal(why.rcpt, 0);
	assert_true(pen_sched_held(w->s, PEN_SPAN_LIT("x@A.TEST"), text, sizeof(text)));
	assert_non_null(strstr(text, "suspended by the operator"));
	assert_false(pen_sched_held(w->s, PEN_SPAN_LIT("a.test@b.test"), text, sizeof(text)));
	assert_string_equal(text, "");
	assert_int_equal(pen_shape_resume(w->cfg.shape, id, w->now), 0);
	g->domain[0] = '\0';
	run_for(w, S, 5);
	assert_int_equal(world_stats(w).delivered, 6);
	end(w, g);
}

// A suspension of b.test is not about what goes there for others.
static void mail_for_others_passes_a_relay_of_a_suspended_domain(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);
	struct pen_suspension d = suspension(PEN_SUSPEND_DOMAIN, "b.test");

	(void)state;
	w->relayhost = "b.test";
	assert_int_not_equal(pen_shape_suspend(w->cfg.shape, &d, w->now), 0);
	uint64_t other = add_of(w, -1, "", "r@a.test");
	uint64_t held = add_of(w, -1, "", "r@b.test");
	run_for(w, S, 5);
	assert_int_equal(world_fate(w, other, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, held, 0), PEN_FATE_QUEUED);
	pen_sched_delete(w->s, held);
	end(w, g);
}

static void a_suspension_with_an_end_lets_go_by_itself(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);
	struct pen_suspension d = suspension(PEN_SUSPEND_DOMAIN, "a.test");

	(void)state;
	w->relayhost = "b.test";
	d.until = world_wall(w) + 60 * S;
	assert_int_not_equal(pen_shape_suspend(w->cfg.shape, &d, w->now), 0);
	add_of(w, -1, "", "1@a.test,2@a.test,3@b.test");
	run_for(w, S, 50);
	assert_int_equal(world_stats(w).delivered, 1);
	run_for(w, S, 20);
	assert_int_equal(world_stats(w).delivered, 3);
	end(w, g);
}

// A turn of the queue thread looks at a few of them only, and they are in nobody's way.
static void thousands_of_a_suspended_domain_are_moved_in_bounded_steps(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);
	struct pen_suspension d = suspension(PEN_SUSPEND_DOMAIN, "a.test");

	(void)state;
	w->relayhost = "b.test";
	for (int i = 0; i < 5000; i++)
		add_of(w, -1, "", "r@a.test");
	add_of(w, -1, "", "last@b.test");
	assert_int_not_equal(pen_shape_suspend(w->cfg.shape, &d, w->now), 0);
	snprintf(g->domain, sizeof(g->domain), "@a.test");
	uint64_t before = world_stats(w).jobs_resolving;
	world_ready_all(w);
	assert_in_range(world_stats(w).jobs_resolving - before, 1, 500);
	assert_int_equal(w->nflying, 0);
	run_for(w, S / 100, 200);
	assert_int_equal(world_stats(w).jobs_resolving, 5000);
	assert_int_equal(world_stats(w).delivered, 1);
	end(w, g);
}

static void weights_of_tenants_are_their_shares(void **state)
{
	struct ledger *g;
	struct ledger_limits l = {.connections = 1, .weight = {10, 30}, .message_rate = 40};
	struct world *w = shaped_world(&l, &g);
	uint32_t got = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		add_of(w, 0, "", "r@a.test");
	for (int i = 0; i < 100; i++)
		add_of(w, 1, "", "r@a.test");
	world_run_ok(w);
	assert_int_equal(w->nlog, 40);
	for (uint32_t i = 0; i < 40; i++)
		got += w->log[i].id >= 1100;
	assert_in_range(got, 28, 32);
	end(w, g);
}

static void a_lowered_limit_holds_for_open_connections(void **state)
{
	struct ledger *g;
	struct ledger_limits l = {.connections = 1};
	struct world *w = shaped_world(&l, &g);

	(void)state;
	for (int i = 0; i < 60; i++)
		add_of(w, -1, "", "1@a.test,2@a.test,3@a.test");
	world_ready_all(w);
	for (int i = 0; i < 3; i++)
		world_answer(w, w->flying[0], 250);
	while (w->nflying > 0)
		world_answer(w, w->flying[0], 250);
	l.connection_messages = 70; // fewer than it has had is no use: the next one closes it
	l.recipients = 2;
	ledger_reload(w, &l);
	for (int i = 0; i < 60; i++)
		add_of(w, -1, "", "1@a.test,2@a.test,3@a.test");
	run_for(w, S, 3);
	assert_int_equal(world_stats(w).delivered, 360);
	end(w, g);
}

static void pools_have_queues_and_connections_of_their_own(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 2}, &g);

	(void)state;
	for (int i = 0; i < 3; i++)
		add_of(w, -1, "second", "r@a.test");
	add_of(w, -1, "", "r@a.test");
	assert_int_equal(world_stats(w).sites, 2);
	for (uint32_t i = 0; i < w->nlease; i++)
		assert_int_equal(w->lease[i].l->source.ip[3], 2);
	assert_int_equal(world_leases(w), 2); // the limit is one for both
	run_for(w, 3 * S, 3);
	assert_int_equal(world_stats(w).delivered, 3);
	// An idle connection of the other pool holds the site: it ends some day.
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL)
			world_quit(w, i);
	}
	run_for(w, S, 3);
	assert_int_equal(world_stats(w).delivered, 4);
	end(w, g);
}

static void end_it(const struct pen_dsn *d, struct pen_sched_match *out)
{
	if (d->klass == 4)
		*out = (struct pen_sched_match){.klass = "blocked", .nrules = 1};
}

static void a_rule_may_end_all_that_waits(void **state)
{
	struct ledger *g;
	struct world *w = shaped_world(&(struct ledger_limits){.connections = 1}, &g);

	(void)state;
	w->match = end_it;
	for (int i = 0; i < 3000; i++)
		add_of(w, i % 3 - 1, "", "r@a.test");
	world_ready_all(w);
	world_answer(w, w->flying[0], 450);
	world_wait(w, S);
	while (w->nflying > 0)
		world_answer(w, w->flying[0], 250);
	world_wait(w, S);
	assert_in_range(world_stats(w).bounced, 2930, 2960);
	world_run_ok(w);
	end(w, g);
}

struct play {
	struct world *w;
	struct ledger *g;
	struct pen_rand r;
	uint64_t suspended[3]; // ids: domain, tenant, site
	int tenant;
};

static uint32_t below(struct play *p, uint32_t n)
{
	return (uint32_t)pen_rand_below(&p->r, n);
}

static void some_mail(struct play *p)
{
	char rcpts[200] = "";
	uint32_t n = below(p, 5) == 0 ? 1 + below(p, 6) : 1;

	for (uint32_t i = 0; i < n; i++)
		sprintf(rcpts + strlen(rcpts), "%sr%u@%c.test", i > 0 ? "," : "", i,
			'a' + (char)below(p, 4));
	add_of(p->w, (int)below(p, 5) - 1, below(p, 4) == 0 ? "second" : "", rcpts);
}

static void resume(struct play *p, int which)
{
	if (p->suspended[which] == 0)
		return;
	assert_int_equal(pen_shape_resume(p->w->cfg.shape, p->suspended[which], p->w->now), 0);
	p->suspended[which] = 0;
	if (which == 0)
		p->g->domain[0] = '\0';
	else
		p->g->tenant[p->tenant].suspended = false;
}

static void suspend(struct play *p, int which)
{
	char name[16];

	if (p->suspended[which] != 0)
		return;
	if (which == 0)
		snprintf(name, sizeof(name), "%c.test", 'a' + (char)below(p, 4));
	else
		snprintf(name, sizeof(name), "t%d", p->tenant = (int)below(p, 4));
	struct pen_suspension sus =
		suspension(which == 0 ? PEN_SUSPEND_DOMAIN : PEN_SUSPEND_TENANT, name);
	p->suspended[which] = pen_shape_suspend(p->w->cfg.shape, &sus, p->w->now);
	if (which == 0)
		snprintf(p->g->domain, sizeof(p->g->domain), "@%s", name);
	else
		p->g->tenant[p->tenant].suspended = true;
}

static void play(uint64_t seed)
{
	struct play p = {0};

	pen_rand_seed(&p.r, seed);
	struct ledger_limits l = ledger_random_limits(&p.r);
	struct world *w = p.w = shaped_world(&l, &p.g);
	w->keep_log = false;
	w->relayhost = seed % 3 == 0 ? "d.test" : NULL;
	for (int i = 0; i < 600; i++) {
		uint32_t dice = below(&p, 100);
		if (dice < 60) {
			some_mail(&p);
		} else if (dice < 64) {
			suspend(&p, (int)below(&p, 2));
		} else if (dice < 70) {
			resume(&p, (int)below(&p, 2));
		} else if (dice < 73) {
			l = ledger_random_limits(&p.r);
			ledger_reload(w, &l);
		} else if (dice < 85) {
			world_wait(w, (pen_time_us)below(&p, 3000) * PEN_US_PER_MS);
		} else {
			world_run_ok(w);
		}
	}
	resume(&p, 0);
	resume(&p, 1);
	// From here on the world says 250 to all: whatever waits has to be woken.
	int rounds = 0;
	while (world_stats(w).messages > 0) {
		world_run_ok(w);
		world_wait(w, S);
		// Sessions that have nothing to do end after two seconds.
		for (uint32_t i = 0; i < w->nlease && rounds % 2 == 1; i++) {
			if (w->lease[i].l != NULL && w->lease[i].ready &&
				world_oldest(w, i) == NULL)
				world_quit(w, i);
		}
		if (++rounds > 3600) {
			struct pen_why why;
			uint64_t id = 1000;
			while (world_stored(w, id)->gone)
				id++;
			fail_msg("seed %llu: mail waits for ever: %s", (unsigned long long)seed,
				why_of(w, id, &why));
		}
	}
	assert_int_equal(world_stats(w).delivered, world_stats(w).accepted);
	end(w, p.g);
}

static void limits_are_never_exceeded_and_no_wake_is_lost(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (uint64_t i = 0; i < 20; i++)
		play(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_kept_and_used),
		cmocka_unit_test(a_tenant_that_has_to_wait_holds_up_nobody),
		cmocka_unit_test(a_suspended_domain_and_tenant_wait_and_go_on),
		cmocka_unit_test(a_suspended_domain_is_the_recipients_whatever_the_next_hop),
		cmocka_unit_test(mail_for_others_passes_a_relay_of_a_suspended_domain),
		cmocka_unit_test(a_suspension_with_an_end_lets_go_by_itself),
		cmocka_unit_test(thousands_of_a_suspended_domain_are_moved_in_bounded_steps),
		cmocka_unit_test(weights_of_tenants_are_their_shares),
		cmocka_unit_test(a_lowered_limit_holds_for_open_connections),
		cmocka_unit_test(pools_have_queues_and_connections_of_their_own),
		cmocka_unit_test(a_rule_may_end_all_that_waits),
		cmocka_unit_test(limits_are_never_exceeded_and_no_wake_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
