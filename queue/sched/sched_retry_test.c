// SPDX-License-Identifier: BSD-3-Clause

// What happens when it does not work: retries, dead sites, expiry, bounces.
#include "pen_test.h"
#include "sched_steps.h"

#include <errno.h>

#define S PEN_US_PER_S

static void a_refusal_for_now_is_tried_at_growing_intervals(void **state)
{
	static const int64_t expect[] = {310, 620, 1240, 2480, 4960, 8960, 12960};
	struct world *w = world_new(NULL);
	pen_wall_us arrival = world_wall(w);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_wait(w, 10 * S);
	for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++) {
		assert_int_equal(world_leases(w), 1);
		answer_all(w, 450);
		assert_int_equal(world_stored(w, id)->next_attempt - arrival, expect[i] * S);
		assert_int_equal(world_stored(w, id)->attempts[0], i + 1);
		assert_int_equal(world_stats(w).deferred, 1);
		world_quit(w, 0);
		pen_wall_us due = arrival + expect[i] * S - world_wall(w);
		world_wait(w, due - S);
		assert_int_equal(world_leases(w), 0);
		world_wait(w, S + 2 * PEN_US_PER_MS);
		// The wheel is late by a millisecond at most; take it back.
		w->wall0 -= world_wall(w) - (arrival + expect[i] * S);
		pen_sched_clock(w->s, w->now, world_wall(w));
	}
	assert_string_equal(last_log(w)->dsn, "4.1.1");
	assert_string_equal(last_log(w)->text, "host mx1.a.test[10.0.0.1] said: 450 4.1.1 said so "
					       "(in reply to RCPT TO command)");
	assert_true(w->content_reads > 0); // it was dropped from memory meanwhile
	world_run_ok(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void a_refusal_for_good_is_told_before_it_is_final(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->hold_submissions = true;
	uint64_t id = world_add(w, "s@x", "r@a.test,q@a.test");
	world_ready_all(w);
	struct pen_delivery *d = w->flying[0];
	world_answer_one(d, 0, 550);
	world_answer_one(d, 1, 250);
	world_done(w, d);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_DELIVERED); // at once
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_stats(w).bouncing, 1);
	assert_false(pen_sched_idle(w->s));
	// The spool could not take it: later again.
	world_submitted(w, 0, -ENOSPC);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_wait(w, 61 * S);
	assert_int_equal(w->nsub, 2);
	world_submitted(w, 1, 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_true(world_stored(w, id)->gone);
	assert_string_equal(w->sub[1].rcpt, "s@x");
	assert_non_null(strstr(w->sub[1].content, "Final-Recipient: rfc822; r@a.test"));
	assert_null(strstr(w->sub[1].content, "q@a.test"));
	assert_non_null(strstr(w->sub[1].content, "Body line"));
	// The notification itself is on its way to x.
	assert_int_equal(world_stats(w).queued, 1);
	world_free(w);
}

static void one_message_can_end_in_three_ways(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_add(w, "s@x", "ok@a.test,bad@a.test,later@a.test");
	world_ready_all(w);
	struct pen_delivery *d = w->flying[0];
	world_answer_one(d, 0, 250);
	world_answer_one(d, 1, 550);
	world_answer_one(d, 2, 450);
	world_done(w, d);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, id, 2), PEN_FATE_QUEUED);
	assert_int_equal(w->nsub, 1);
	world_wait(w, 301 * S);
	// Only the one that is left is tried again.
	world_ready_all(w);
	bool seen = false;
	for (uint32_t i = 0; i < w->nflying; i++) {
		d = w->flying[i];
		if (pen_span_eq(d->sender, PEN_SPAN_LIT("s@x"))) {
			seen = true;
			assert_int_equal(d->nrcpt, 1);
			assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("later@a.test")));
		}
	}
	assert_true(seen);
	world_run_ok(w);
	assert_true(world_stored(w, id)->gone);
	world_free(w);
}

static void a_null_sender_is_never_told(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_add(w, "", "r@a.test");
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(w->nsub, 0);
	assert_int_equal(last_log(w)->status, PEN_STATUS_BOUNCED);
	assert_int_equal(world_stats(w).messages, 0);
	world_free(w);
}

static void soft_bounces(struct pen_sched_config *cfg)
{
	cfg->soft_bounce = true;
}

static void soft_bounce_keeps_the_mail(void **state)
{
	struct world *w = world_new(soft_bounces);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(last_log(w)->status, PEN_STATUS_SOFTBOUNCE);
	assert_string_equal(last_log(w)->dsn, "4.1.1");
	world_free(w);
}

static void much_ready(struct pen_sched_config *cfg)
{
	cfg->ready_limit = 5000;
}

static void a_dead_site_suspends_its_queue_and_recovers(void **state)
{
	struct world *w = world_new(much_ready);

	(void)state;
	for (int i = 0; i < 3000; i++)
		world_add(w, "s@x", "r@a.test");
	world_add(w, "s@x", "r@b.test");
	assert_int_equal(world_leases(w), 6);
	// The window shrinks to 3 and 2; the third failure is a verdict.
	world_refuse(w, 0);
	world_refuse(w, 1);
	assert_int_equal(world_stats(w).sites_dead, 0);
	assert_int_equal(world_stats(w).deferred, 2);
	assert_int_equal(world_leases(w), 4); // nothing was opened instead
	world_refuse(w, 2);
	assert_true(w->lease[3].closing && w->lease[4].closing);
	world_quit(w, 3);
	world_quit(w, 4);
	world_wait(w, 1000);
	struct pen_sched_stats st = world_stats(w);
	assert_int_equal(st.sites_dead, 1);
	assert_int_equal(st.deferred, 3000);
	assert_string_equal(w->log[0].text, "connect to mx[10.0.0.1]:25: Connection refused");
	assert_string_equal(w->log[0].relay, "none");
	assert_string_equal(last_log(w)->text, "delivery temporarily suspended: connect to "
					       "mx[10.0.0.1]:25: Connection refused");
	assert_string_equal(last_log(w)->relay, "none");
	// What arrives meanwhile is deferred without a connection; b.test goes on.
	uint64_t id = world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_stats(w).deferred, 3001);
	assert_int_equal(world_stored(w, id)->attempts[0], 0);
	uint64_t opened = w->opened;
	world_wait(w, 299 * S);
	assert_int_equal(w->opened, opened);
	world_wait(w, 2 * S);
	assert_int_equal(w->opened, opened + 5); // as at the beginning
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 3002);
	world_free(w);
}

static void connections_that_are_refused_beside_good_ones_only_lower_the_window(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	for (int i = 0; i < 2000; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	world_ready(w, 1);
	for (uint32_t i = 2; i < 8; i++) {
		if (w->lease[i].l != NULL && !w->lease[i].ready)
			world_refuse(w, i);
	}
	assert_int_equal(world_stats(w).sites_dead, 0);
	assert_int_equal(world_leases(w), 2);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 2000);
	world_free(w);
}

static void sessions_that_are_lost_again_and_again_suspend_the_site(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_dsn d;

	(void)state;
	pen_dsn_set(&d, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_MAIL,
		"lost connection");
	uint64_t id = world_add(w, "s@x", "r@a.test");
	int n = 0;
	while (world_leases(w) > 0 && n++ < 100) {
		uint32_t l = world_lease_at(w, 0);
		world_ready(w, l);
		world_end(w, l, &d);
	}
	assert_true(n < 10);
	assert_int_equal(world_stats(w).sites_dead, 1);
	world_wait(w, 1000);
	assert_int_equal(world_stats(w).deferred, 1);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_free(w);
}

static void an_acknowledged_dot_without_a_reply_is_in_doubt(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test,bad@a.test");
	world_ready_all(w);
	struct pen_delivery *d = w->flying[0];
	pen_dsn_set(&d->rcpt[0].result, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_DOT,
		"lost connection while waiting");
	world_answer_one(d, 1, 450);
	d->dot = PEN_DOT_ACKED;
	world_done(w, d);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(w->log[0].status, PEN_STATUS_DEFERRED);
	assert_true(w->log[0].in_doubt);
	assert_non_null(strstr(w->log[0].text, "in doubt"));
	assert_non_null(strstr(w->log[0].text, "lost connection while waiting"));
	assert_false(w->log[1].in_doubt); // this one was refused before
	assert_int_equal(world_stats(w).in_doubt, 1);
	world_free(w);
}

static void one_hour(struct pen_sched_config *cfg)
{
	cfg->retry.maximal_queue_lifetime = 3600 * S;
	cfg->concurrency_limit = 1;
	cfg->initial_concurrency = 1;
	cfg->pipeline_depth = 1;
}

static void expect_expired(struct world *w, uint64_t id)
{
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	assert_true(world_stored(w, id)->notices == 1);
	assert_true(world_stored(w, id)->gone);
}

static void mail_expires_in_every_state(void **state)
{
	struct world *w = world_new(one_hour);

	(void)state;
	// In flight on the only connection, waiting for it, and resolving.
	uint64_t flying = world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	uint64_t waiting = world_add(w, "s@x", "r@a.test");
	w->hold_resolves = true;
	uint64_t resolving = world_add(w, "s@x", "r@c.test");
	w->hold_resolves = false;
	world_wait(w, 3599 * S);
	assert_int_equal(world_fate(w, waiting, 0), PEN_FATE_QUEUED);
	world_wait(w, 2 * S);
	expect_expired(w, waiting);
	assert_non_null(strstr(w->sub[0].content, "Status: 4."));
	expect_expired(w, resolving);
	assert_int_equal(world_fate(w, flying, 0), PEN_FATE_QUEUED);
	for (uint32_t i = 0; i < w->nflying; i++) {
		if (pen_span_eq(w->flying[i]->sender, PEN_SPAN_LIT("s@x"))) {
			world_answer(w, w->flying[i], 450);
			break;
		}
	}
	expect_expired(w, flying);
	// Its reason is the last answer.
	assert_int_equal(w->log[w->nlog - 1].status, PEN_STATUS_EXPIRED);
	assert_non_null(strstr(w->log[w->nlog - 1].text, "450 4.1.1 said so"));
	// Deferred, and found too old at the start.
	uint64_t deferred =
		world_recover(w, "s@x", "r@d.test", world_wall(w), world_wall(w) + 9000 * S, 0);
	uint64_t old = world_recover(w, "s@x", "r@d.test", world_wall(w) - 3600 * S, 0, 0);
	expect_expired(w, old);
	world_wait(w, 3601 * S);
	expect_expired(w, deferred);
	// A notification (null sender) expires without one.
	uint64_t null = world_recover(w, "", "r@d.test", world_wall(w) - 3600 * S, 0, 0);
	assert_int_equal(world_fate(w, null, 0), PEN_FATE_EXPIRED);
	assert_int_equal(world_stored(w, null)->notices, 0);
	world_free(w);
}

static void one_attempt(struct pen_sched_config *cfg)
{
	cfg->retry.maximal_queue_lifetime = 0;
}

static void a_lifetime_of_zero_means_one_attempt(void **state)
{
	struct world *w = world_new(one_attempt);

	(void)state;
	uint64_t ok = world_add(w, "s@x", "r@a.test");
	answer_all(w, 250);
	assert_int_equal(world_fate(w, ok, 0), PEN_FATE_DELIVERED);
	uint64_t id = world_add(w, "s@x", "r@a.test");
	answer_all(w, 450);
	expect_expired(w, id);
	world_free(w);
}

static void resolver_failures_are_retried_or_bounced(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->route = WORLD_ROUTE_SOFT;
	uint64_t soft = world_add(w, "s@x", "r@a.test");
	assert_int_equal(world_fate(w, soft, 0), PEN_FATE_QUEUED);
	assert_string_equal(last_log(w)->text, "name service error for a.test");
	w->hold_submissions = true;
	w->route = WORLD_ROUTE_HARD;
	uint64_t hard = world_add(w, "s@x", "r@b.test,r@unroutable,nobody");
	w->route = WORLD_ROUTE_OK;
	world_submitted(w, 0, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(world_fate(w, hard, i), PEN_FATE_BOUNCED);
	assert_non_null(strstr(w->sub[0].content, "Status: 5.4.4"));
	assert_non_null(strstr(w->sub[0].content, "Status: 5.1.1"));
	world_wait(w, 301 * S);
	world_run_ok(w);
	assert_int_equal(world_fate(w, soft, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void a_resolver_that_never_answers_defers(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->hold_resolves = true;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_wait(w, 121 * S);
	assert_int_equal(world_stats(w).deferred, 1);
	world_resolved(w, 0, WORLD_ROUTE_OK); // too late: ignored
	assert_int_equal(world_leases(w), 0);
	w->hold_resolves = false;
	world_wait(w, 301 * S);
	world_run_ok(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void restart_keeps_the_time_of_the_next_attempt(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_recover(
		w, "s@x", "r@a.test", world_wall(w) - 1000 * S, world_wall(w) + 500 * S, 0);
	world_wait(w, 499 * S);
	assert_int_equal(world_leases(w), 0);
	world_wait(w, 2 * S);
	assert_int_equal(world_leases(w), 1);
	world_run_ok(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void unreadable_content_is_retried(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t id = world_recover(w, "s@x", "r@a.test", world_wall(w), world_wall(w) + S, 0);
	w->content_fails = true;
	world_wait(w, 2 * S);
	world_ready_all(w);
	assert_int_equal(w->nflying, 0);
	assert_int_equal(world_stats(w).deferred, 1);
	assert_string_equal(last_log(w)->dsn, "4.3.0");
	w->content_fails = false;
	world_wait(w, 400 * S);
	world_run_ok(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_for_now_is_tried_at_growing_intervals),
		cmocka_unit_test(a_refusal_for_good_is_told_before_it_is_final),
		cmocka_unit_test(one_message_can_end_in_three_ways),
		cmocka_unit_test(a_null_sender_is_never_told),
		cmocka_unit_test(soft_bounce_keeps_the_mail),
		cmocka_unit_test(a_dead_site_suspends_its_queue_and_recovers),
		cmocka_unit_test(
			connections_that_are_refused_beside_good_ones_only_lower_the_window),
		cmocka_unit_test(sessions_that_are_lost_again_and_again_suspend_the_site),
		cmocka_unit_test(an_acknowledged_dot_without_a_reply_is_in_doubt),
		cmocka_unit_test(mail_expires_in_every_state),
		cmocka_unit_test(a_lifetime_of_zero_means_one_attempt),
		cmocka_unit_test(resolver_failures_are_retried_or_bounced),
		cmocka_unit_test(a_resolver_that_never_answers_defers),
		cmocka_unit_test(restart_keeps_the_time_of_the_next_attempt),
		cmocka_unit_test(unreadable_content_is_retried),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
