// SPDX-License-Identifier: BSD-3-Clause

// A seeded run of everything at once: random mail, random answers, random
// failures and operators; then time passes until nothing is left. The world
// (sched_world.c) checks fates and limits at each step.
#include "pen_test.h"
#include "sched_ledger.h"

#include "pen_sched_select.h"

#include <errno.h>

#define S PEN_US_PER_S
#define STEPS 4000
#ifdef __SANITIZE_ADDRESS__ // which takes its time
#define SEEDS 2
#else
#define SEEDS 6
#endif

struct sim {
	struct world *w;
	struct pen_rand r;
	uint64_t walk;         // where an order to many stopped
	bool calm;             // the end: nothing new, no trouble but what answers bring
	struct ledger *ledger; // NULL: no limits are said
	uint64_t suspended;    // a tenant: the id of the suspension
	uint32_t tenant;
	uint64_t held; // a recipients' domain: the same
};

static struct pen_rand sim_seed_rand;
static struct ledger_limits sim_limits;

static void small_limits(struct pen_sched_config *cfg)
{
	struct pen_rand *r = &sim_seed_rand;

	cfg->lease_limit = 1 + (uint32_t)pen_rand_below(r, 12);
	cfg->concurrency_limit = 1 + (uint32_t)pen_rand_below(r, 6);
	cfg->initial_concurrency = 1 + (uint32_t)pen_rand_below(r, 5);
	cfg->recipient_limit = 1 + (uint32_t)pen_rand_below(r, 5);
	cfg->connection_message_limit = (uint32_t)pen_rand_below(r, 8);
	cfg->pipeline_depth = 1 + (uint32_t)pen_rand_below(r, 8);
	cfg->content_memory_limit = pen_rand_below(r, 4000);
	cfg->retry.maximal_queue_lifetime = (pen_time_us)(1 + pen_rand_below(r, 40)) * 3600 * S;
	cfg->soft_bounce = pen_rand_below(r, 10) == 0;
	cfg->preempt = (struct pen_preempt_rules){.slot_cost = (uint32_t)pen_rand_below(r, 4),
		.loan = (uint32_t)pen_rand_below(r, 3),
		.discount = (uint32_t)pen_rand_below(r, 101),
		.minimum = 1};
	cfg->redact_dsn = pen_rand_below(r, 2) == 0;
	cfg->notify_double_bounce = pen_rand_below(r, 2) == 0;
	cfg->failed_cohort_limit = (uint32_t)pen_rand_below(r, 4);
	cfg->positive_feedback.scale = (enum pen_feedback_scale)pen_rand_below(r, 3);
	cfg->negative_feedback.base = (double)pen_rand_below(r, 11) / 10;
	cfg->in_doubt_policy = (enum pen_in_doubt_policy)pen_rand_below(r, 3);
	cfg->in_doubt_delay = (pen_time_us)pen_rand_below(r, 4000) * S;
	cfg->delay_warning_time = (pen_time_us)pen_rand_below(r, 3) * 3600 * S;
	cfg->confirm_delay_cleared = pen_rand_below(r, 2) == 0;
	cfg->minimal_host_backoff_time = (pen_time_us)pen_rand_below(r, 300) * S;
	cfg->maximal_host_backoff_time = (pen_time_us)pen_rand_below(r, 4) * 900 * S;
	cfg->dead_host_limit = 1; // one bucket: some are forgotten too soon
	cfg->ready_limit = 1 + (uint32_t)pen_rand_below(r, 20);
	cfg->seed = pen_rand_u64(r);
	if (pen_rand_below(r, 3) == 0)
		return;
	sim_limits = ledger_random_limits(r);
	cfg->shape = pen_shape_new(ledger_config(&sim_limits), WORLD_START, WORLD_START_WALL);
}

static void set_class(struct sim *sim, const char **sender)
{
	static const char *const senders[LEDGER_TENANTS] = {
		"t0@f.test", "t1@f.test", "t2@f.test", "t3@f.test"};
	uint32_t t = (uint32_t)pen_rand_below(&sim->r, LEDGER_TENANTS + 1);
	enum pen_priority priority = (enum pen_priority)pen_rand_below(&sim->r, PEN_PRIORITIES);
	struct pen_span name = pen_span("", 0), pool = pen_span("", 0);

	if (t < LEDGER_TENANTS) {
		*sender = senders[t];
		name = pen_span(senders[t], 2);
	}
	if (pen_rand_below(&sim->r, 5) == 0)
		pool = PEN_SPAN_LIT("second");
	sim->w->klass = pen_mail_class_get(name, pen_span("", 0), pool, priority);
}

static uint32_t below(struct sim *sim, uint32_t n)
{
	return (uint32_t)pen_rand_below(&sim->r, n);
}

static void random_notify(struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		m->rcpt[i].notify = (uint8_t)((m->arrival / 7 + i * 5) % 16);
}

static struct sim *editing;

// Somebody's mail, perhaps with a schedule.
static void random_edit(struct pen_message *m)
{
	struct sim *sim = editing;

	if (below(sim, 3) == 0)
		random_notify(m);
	if (below(sim, 6) != 0)
		return;
	m->extra = calloc(1, sizeof(*m->extra));
	if (below(sim, 2) == 0)
		m->extra->not_before = m->arrival + (pen_time_us)below(sim, 72000) * S;
	if (below(sim, 3) == 0)
		m->extra->not_after = m->arrival + (pen_time_us)below(sim, 100000) * S;
	if (below(sim, 2) == 0)
		m->extra->window = (struct pen_send_window){.days = (uint8_t)(1 + below(sim, 127)),
			.from = (uint16_t)below(sim, 1440),
			.to = (uint16_t)below(sim, 1441)};
	if (below(sim, 4) == 0)
		strcpy(m->extra->window.zone, "Some/Where");
}

static void random_mail(struct sim *sim)
{
	static const char *const domains[] = {
		"a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "unroutable"};
	struct world *w = sim->w;
	char rcpts[1024] = "";
	uint32_t n = below(sim, 4) == 0 ? 1 + below(sim, 12) : 1;

	for (uint32_t i = 0; i < n; i++) {
		char one[64];
		uint32_t d = below(sim, 60) == 0 ? 6 : below(sim, 6);
		snprintf(one, sizeof(one), "%sr%u@%s", i > 0 ? "," : "", i, domains[d]);
		strcat(rcpts, one);
	}
	const char *sender = below(sim, 8) == 0 ? "" : "s@f.test";
	editing = sim;
	w->edit = random_edit;
	if (below(sim, 2) == 0)
		set_class(sim, &sender);
	else
		w->klass = NULL;
	switch (below(sim, 12)) {
	case 1:
		world_recover(w, sender, rcpts, world_wall(w), 0, PEN_MESSAGE_REQUIRETLS);
		break;
	case 0: // found in the spool
		world_recover(w, sender, rcpts, world_wall(w) - (pen_time_us)below(sim, 100000) * S,
			world_wall(w) + (pen_time_us)below(sim, 2000) * S, 0);
		break;
	default:
		world_add(w, sender, rcpts);
	}
	pen_mail_class_put(w->klass);
	w->klass = NULL;
}

static void resume(struct sim *sim)
{
	if (sim->suspended == 0)
		return;
	assert_int_equal(pen_shape_resume(sim->w->cfg.shape, sim->suspended, sim->w->now), 0);
	sim->suspended = 0;
	sim->ledger->tenant[sim->tenant].suspended = false;
}

static void resume_domain(struct sim *sim)
{
	if (sim->held == 0)
		return;
	assert_int_equal(pen_shape_resume(sim->w->cfg.shape, sim->held, sim->w->now), 0);
	sim->held = 0;
	sim->ledger->domain[0] = '\0';
}

static void suspend_domain(struct sim *sim)
{
	static const char *const domains[] = {"a.test", "b.test", "c.test"};
	const char *name = domains[below(sim, 3)];
	struct pen_suspension sus = {.scope = PEN_SUSPEND_DOMAIN,
		.name = pen_span_cstr(name),
		.reason = PEN_SPAN_LIT("a try"),
		.by = PEN_SPAN_LIT("operator")};

	sim->held = pen_shape_suspend(sim->w->cfg.shape, &sus, sim->w->now);
	snprintf(sim->ledger->domain, sizeof(sim->ledger->domain), "@%s", name);
}

// Limits and suspensions change.
static void random_shaping(struct sim *sim)
{
	static const char *const names[LEDGER_TENANTS] = {"t0", "t1", "t2", "t3"};
	struct pen_suspension sus = {.scope = PEN_SUSPEND_TENANT,
		.reason = PEN_SPAN_LIT("a try"),
		.by = PEN_SPAN_LIT("operator")};

	if (sim->ledger == NULL)
		return;
	if (sim->held != 0 && below(sim, 2) == 0) {
		resume_domain(sim);
	} else if (sim->held == 0 && below(sim, 4) == 0) {
		suspend_domain(sim);
	} else if (below(sim, 3) == 0) {
		sim_limits = ledger_random_limits(&sim->r);
		ledger_reload(sim->w, &sim_limits);
	} else if (sim->suspended != 0) {
		resume(sim);
	} else {
		sim->tenant = below(sim, LEDGER_TENANTS);
		sus.name = pen_span_cstr(names[sim->tenant]);
		sim->suspended = pen_shape_suspend(sim->w->cfg.shape, &sus, sim->w->now);
		sim->ledger->tenant[sim->tenant].suspended = true;
	}
}

static void random_answer(struct sim *sim, struct pen_delivery *d)
{
	static const unsigned replies[] = {250, 250, 250, 250, 250, 250, 450, 550};

	for (uint32_t i = 0; i < d->nrcpt; i++) {
		if (below(sim, 20) == 0) {
			pen_dsn_set(&d->rcpt[i].result, below(sim, 2) == 0 ? 4 : 5, 4, 2,
				(enum pen_dsn_scope)below(sim, 4), PEN_ORIGIN_LOCAL, PEN_STAGE_DOT,
				"lost");
			d->dot = (uint8_t)below(sim, 3);
		} else if (below(sim, 40) != 0) {
			world_answer_one(d, i, replies[below(sim, 8)]);
		}
	}
	world_done(sim->w, d);
}

// A policy that ends the attempt: for good, or at some level for now.
static void random_policy(struct sim *sim, uint32_t lease)
{
	bool final = below(sim, 6) == 0 && !sim->calm;

	world_fail(sim->w, lease, below(sim, 2) == 0 ? PEN_TLS_MAY : PEN_TLS_SECURE, final ? 5 : 4,
		final ? 10 : 5, final ? PEN_SCOPE_SITE : PEN_SCOPE_SESSION,
		final ? PEN_ORIGIN_POLICY : PEN_ORIGIN_LOCAL,
		final ? PEN_STAGE_NONE : PEN_STAGE_TLS);
}

// Some of its hosts do not answer, or all.
static void random_silence(struct sim *sim, uint32_t lease)
{
	uint32_t nhosts = sim->w->lease[lease].l->nhosts;
	uint32_t how = below(sim, PEN_HOST_ANSWERS - PEN_HOST_TIMEOUT);

	world_no_answer(sim->w, lease, (uint8_t)below(sim, nhosts),
		(enum pen_host_answer)(PEN_HOST_TIMEOUT + how));
}

static void random_worker(struct sim *sim)
{
	struct world *w = sim->w;
	struct pen_dsn d;

	if (w->nlease == 0)
		return;
	uint32_t i = below(sim, w->nlease);
	if (w->lease[i].l == NULL)
		return;
	struct pen_delivery *oldest = world_oldest(w, i);
	if (w->lease[i].leaving) {
		world_left(w, i);
	} else if (!w->lease[i].ready) {
		if (w->lease[i].closing) {
			world_refuse(w, i);
		} else if (below(sim, 6) == 0) {
			world_refuse(w, i);
		} else if (below(sim, 6) == 0) {
			random_silence(sim, i);
		} else if (below(sim, 12) == 0) {
			random_policy(sim, i);
		} else {
			world_ready(w, i);
		}
	} else if (oldest == NULL && !w->lease[i].closing && below(sim, 4) == 0) {
		world_leave(w, i);
	} else if (oldest == NULL && (w->lease[i].closing || below(sim, 4) == 0)) {
		world_quit(w, i);
	} else if (oldest != NULL && below(sim, 12) != 0 && !w->lease[i].aborted) {
		random_answer(sim, oldest);
	} else {
		pen_dsn_set(&d, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_DATA,
			"lost connection");
		world_end(w, i, &d);
	}
}

// An order to many; the walks are left where they are.
static void random_order(struct sim *sim)
{
	static const char *const domains[] = {"a.test", "b.test", "c.test"};
	struct world *w = sim->w;
	struct pen_sched_selector which = {.id = 0};
	struct pen_sched_order order = {
		.action = (enum pen_sched_action)below(sim, PEN_ACTION_MOVE + 1),
		.pool = PEN_SPAN_LIT("second"),
		.no_notice = below(sim, 2) == 0};
	struct pen_sched_tally tally = {0};

	if (below(sim, 3) == 0)
		order.route = PEN_SPAN_LIT("smtp:a.test");
	switch (below(sim, 8)) {
	case 0:
		which.tenant = PEN_SPAN_LIT("t1");
		break;
	case 1:
		which.in_doubt = true;
		break;
	case 2:
		which.states = 1u << below(sim, 6);
		break;
	case 3:
		which.site = PEN_SPAN_LIT("mx1.b.test");
		break;
	case 4:
		which.older_than = (pen_time_us)below(sim, 5000) * S;
		break;
	case 5:
		which.id = 1000 + below(sim, w->nstored);
		break;
	default:
		which.domain = pen_span_cstr(domains[below(sim, 3)]);
	}
	sim->walk = pen_sched_apply(w->s, &which, &order, below(sim, 2) == 0 ? sim->walk : 0,
		1 + below(sim, 20), &tally, NULL, NULL);
	struct pen_why why;
	for (uint64_t id = 1000; id < 1000 + w->nstored; id += 1 + below(sim, 20))
		pen_sched_why(w->s, id, &why);
}

static void random_operator(struct sim *sim)
{
	struct world *w = sim->w;

	if (w->nstored == 0)
		return;
	uint64_t id = 1000 + below(sim, w->nstored);
	switch (below(sim, 9)) {
	case 6:
	case 7:
	case 8:
		random_order(sim);
		break;
	case 0:
		pen_sched_delete(w->s, id);
		break;
	case 1:
		pen_sched_hold(w->s, id);
		break;
	case 2:
	case 3:
		pen_sched_release(w->s, id);
		break;
	case 4:
		pen_sched_flush(w->s, id);
		break;
	case 5:
		pen_sched_flush(w->s, 0);
		break;
	}
}

static void random_step(struct sim *sim)
{
	struct world *w = sim->w;
	uint32_t dice = below(sim, 101);

	if (dice == 100) {
		random_shaping(sim);
	} else if (dice < 25) {
		random_mail(sim);
	} else if (dice < 80) {
		random_worker(sim);
	} else if (dice < 83) {
		random_operator(sim);
	} else if (dice < 85) {
		w->ring_full = below(sim, 3) == 0;
		w->hold_resolves = below(sim, 3) == 0;
		w->hold_submissions = below(sim, 3) == 0;
		w->content_fails = below(sim, 10) == 0;
		w->route = below(sim, 8) == 0    ? WORLD_ROUTE_SOFT
			   : below(sim, 20) == 0 ? WORLD_ROUTE_HARD
						 : WORLD_ROUTE_OK;
		w->one_site = below(sim, 4) == 0;
		w->shuffle = below(sim, 2);
		w->ttl = (pen_time_us)below(sim, 1000) * S;
		w->reply_class = below(sim, 2) == 0 ? "some" : NULL;
		w->greylisted = w->reply_class != NULL && below(sim, 2) == 0;
		w->zone_offset = (int32_t)below(sim, 90000) - 45000;
		w->zone_until = below(sim, 2) == 0 ? world_wall(w) + below(sim, 40000) * S : 0;
		w->zone_next = (int32_t)below(sim, 90000) - 45000;
	} else if (dice < 89) {
		if (w->nresolve > 0)
			world_resolved(w, below(sim, w->nresolve), (enum world_route)below(sim, 3));
	} else if (dice < 93) {
		for (uint32_t i = 0; i < w->nsub; i++) {
			if (w->sub[i].open && below(sim, 2) == 0)
				world_submitted(w, i, below(sim, 4) == 0 ? -ENOSPC : 0);
		}
	} else {
		world_wait(w, (pen_time_us)below(sim, dice < 98 ? 1000 : 400000) * PEN_US_PER_MS);
	}
	pen_sched_poll(w->s, 1 + below(sim, 50));
}

// Everything that waits for us gets an answer; then time goes on.
static bool settle(struct sim *sim)
{
	struct world *w = sim->w;

	resume(sim);
	resume_domain(sim);
	w->ring_full = w->hold_resolves = w->hold_submissions = w->content_fails = false;
	w->route = WORLD_ROUTE_OK;
	while (w->nresolve > 0)
		world_resolved(w, 0, WORLD_ROUTE_OK);
	for (uint32_t i = 0; i < w->nsub; i++) {
		if (w->sub[i].open)
			world_submitted(w, i, 0);
	}
	for (uint64_t id = 1000; id < 1000 + w->nstored; id++)
		pen_sched_release(w->s, id);
	for (int i = 0; i < 600; i++)
		random_worker(sim);
	world_wait(w, 3600 * S);
	return world_stats(w).messages == 0;
}

static void run(uint64_t seed)
{
	struct sim sim = {0};

	pen_rand_seed(&sim_seed_rand, seed);
	pen_rand_seed(&sim.r, seed + 1);
	struct world *w = sim.w = world_new(small_limits);
	w->keep_log = false;
	w->relayhost = seed % 4 == 0 ? "a.test" : NULL;
	if (w->cfg.shape != NULL) {
		sim.ledger = ledger_new(&sim_limits);
		ledger_watch(w, sim.ledger);
	}
	for (int i = 0; i < STEPS; i++) {
		random_step(&sim);
		world_check(w); // accepted = queued + the four ends
	}
	// The longest life is 40 hours; a notification may follow, and a word to the
	// postmaster about that one.
	int rounds = 0;
	while (!settle(&sim)) {
		if (++rounds > 3 * 61 + 20)
			fail_msg("mail waits for ever");
	}
	uint64_t ends[5] = {0};
	for (uint32_t i = 0; i < w->nstored; i++) {
		const struct world_stored *st = &w->stored[i];
		assert_true(st->gone && st->removed);
		for (uint32_t k = 0; k < st->nrcpt; k++) {
			assert_int_not_equal(st->fate[k], PEN_FATE_QUEUED);
			ends[st->fate[k]]++;
		}
	}
	struct pen_sched_stats st = world_stats(w);
	assert_int_equal(st.queued, 0);
	assert_int_equal(st.delivered, ends[PEN_FATE_DELIVERED]);
	assert_int_equal(st.bounced, ends[PEN_FATE_BOUNCED]);
	assert_int_equal(st.expired, ends[PEN_FATE_EXPIRED]);
	assert_int_equal(st.deleted, ends[PEN_FATE_DELETED]);
	assert_int_equal(st.content_bytes, 0);
	world_free(w);
	if (sim.ledger != NULL)
		ledger_free(sim.ledger);
}

static void whatever_happens_each_recipient_ends_once(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (uint64_t i = 0; i < SEEDS; i++)
		run(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_each_recipient_ends_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
