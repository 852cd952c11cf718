// SPDX-License-Identifier: BSD-3-Clause

// What becomes of mail in doubt, of late mail, and of times of their own.
#include "sched_steps.h"

#include <errno.h>

#include "pen_note.h"
#include "pen_retry.h"
#include "pen_test.h"

#define S PEN_US_PER_S
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

static void plain(struct pen_sched_config *cfg)
{
	cfg->in_doubt_delay = 900 * S;
}

static void holds_doubts(struct pen_sched_config *cfg)
{
	cfg->in_doubt_policy = PEN_IN_DOUBT_HOLD;
}

static void retries_doubts(struct pen_sched_config *cfg)
{
	cfg->in_doubt_policy = PEN_IN_DOUBT_RETRY;
}

static void warns(struct pen_sched_config *cfg)
{
	cfg->delay_warning_time = 4 * HOUR;
	cfg->confirm_delay_cleared = true;
}

static void lose_first(struct world *w, enum pen_dot_state dot)
{
	struct pen_delivery *d = first_delivery(w);

	assert_non_null(d);
	world_lose_dot(w, d, dot);
}

static struct pen_sched_view seen;

static bool see(void *ctx, const struct pen_sched_view *v)
{
	(void)ctx;
	seen = *v;
	return true;
}

static void mail_in_doubt_is_recorded_visible_and_tried_once_more_after_the_delay(void **state)
{
	(void)state;
	struct world *w = world_new(plain);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	lose_first(w, PEN_DOT_ACKED);
	assert_int_equal(world_stored(w, id)->doubts[0], 1);
	pen_wall_us due = world_wall(w) + w->cfg.in_doubt_delay;
	assert_in_range(world_stored(w, id)->doubt_due, due, due + S);
	assert_int_equal(world_stats(w).doubtful, 1);
	assert_int_equal(world_stats(w).queued, 1);
	assert_true(last_log(w)->in_doubt && !last_log(w)->retry_is_safe);
	pen_sched_show(w->s, id, see, NULL);
	assert_int_equal(seen.in_doubt, 1);
	world_wait(w, 899 * S);
	assert_null(first_delivery(w));
	world_wait(w, 2 * S);
	struct pen_delivery *d = first_delivery(w);
	assert_non_null(d);
	world_answer(w, d, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_stats(w).doubtful, 0);
	world_free(w);
}

static void in_doubt_twice_it_waits_until_it_expires_and_the_sender_hears_of_it(void **state)
{
	(void)state;
	struct world *w = world_new(plain);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	lose_first(w, PEN_DOT_ACKED);
	world_wait(w, 901 * S);
	lose_first(w, PEN_DOT_ACKED);
	assert_int_equal(world_stored(w, id)->doubts[0], 2);
	pen_sched_flush(w->s, 0); // everything: but not what may be there already
	world_wait(w, 4 * DAY);
	assert_null(first_delivery(w));
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	world_wait(w, DAY);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	assert_non_null(strstr(w->sub[0].content, "may have arrived"));
	assert_non_null(strstr(w->sub[0].content, "X-Penstock-In-Doubt: 2"));
	assert_int_equal(world_stats(w).doubtful, 0);
	world_free(w);
}

static void an_operator_may_send_it_again(void **state)
{
	(void)state;
	struct world *w = world_new(holds_doubts);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	lose_first(w, PEN_DOT_ACKED);
	world_wait(w, DAY);
	assert_null(first_delivery(w));
	pen_sched_flush(w->s, id);
	world_wait(w, S);
	world_answer(w, first_delivery(w), 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void with_retry_mail_in_doubt_waits_as_any_other(void **state)
{
	(void)state;
	struct world *w = world_new(retries_doubts);

	world_add(w, "s@x", "a@b.test");
	lose_first(w, PEN_DOT_ACKED);
	world_wait(w, 301 * S);
	assert_non_null(first_delivery(w));
	world_free(w);
}

static void a_definite_no_ends_the_doubt_with_a_bounce(void **state)
{
	(void)state;
	struct world *w = world_new(plain);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	lose_first(w, PEN_DOT_ACKED);
	world_wait(w, 901 * S);
	world_answer(w, first_delivery(w), 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_stats(w).doubtful, 0);
	world_free(w);
}

static void what_was_not_acknowledged_is_safe_to_send_again_and_says_so(void **state)
{
	(void)state;
	struct world *w = world_new(plain);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	lose_first(w, PEN_DOT_SENT);
	assert_int_equal(world_stored(w, id)->doubts[0], 0);
	assert_true(last_log(w)->retry_is_safe && !last_log(w)->in_doubt);
	assert_non_null(strstr(last_log(w)->text, "the retry cannot duplicate it"));
	assert_null(strstr(last_log(w)->text, "more than once"));
	world_wait(w, 301 * S);
	assert_non_null(first_delivery(w));
	world_free(w);
}

static void only_those_in_doubt_wait_the_others_keep_their_time(void **state)
{
	(void)state;
	struct world *w = world_new(plain);
	uint64_t id = world_add(w, "s@x", "a@b.test,c@b.test,d@b.test");
	struct pen_delivery *d = first_delivery(w);

	assert_int_equal(d->nrcpt, 3);
	world_answer_one(d, 0, 450); // refused in RCPT
	for (uint32_t i = 1; i < 3; i++)
		pen_dsn_set(&d->rcpt[i].result, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			PEN_STAGE_DOT, "lost");
	d->dot = PEN_DOT_ACKED;
	world_done(w, d);
	assert_int_equal(world_stats(w).doubtful, 2);
	world_wait(w, 301 * S);
	d = first_delivery(w);
	assert_int_equal(d->nrcpt, 1);
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("a@b.test")));
	world_answer(w, d, 450);
	// Its age decides its next one (at about 600 s); those in doubt are due at 900 s.
	world_wait(w, 301 * S);
	world_answer(w, first_delivery(w), 450);
	world_wait(w, 361 * S);
	d = first_delivery(w);
	assert_int_equal(d->nrcpt, 2);
	world_answer(w, d, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_DELIVERED);
	assert_int_equal(world_stats(w).doubtful, 0);
	world_free(w);
}

static void make_doubtful(struct pen_message *m)
{
	m->rcpt[0].doubts = 1;
	m->rcpt[0].attempts = 1;
}

static void make_doubtful_until_later(struct pen_message *m)
{
	make_doubtful(m);
	m->rcpt[0].due = 700; // since it came
}

static void a_time_that_the_spool_knew_holds_beside_other_recipients(void **state)
{
	(void)state;
	struct world *w = world_new(plain);

	w->edit = make_doubtful_until_later;
	world_recover(
		w, "s@x", "a@c.test,b@c.test", world_wall(w) - 100 * S, world_wall(w) + 200 * S, 0);
	// The only one that is left, with the time of one that was not.
	world_recover(w, "s@x", "a@b.test", world_wall(w) - 100 * S, world_wall(w) - 50 * S, 0);
	w->edit = NULL;
	world_wait(w, 301 * S);
	struct pen_delivery *d = first_delivery(w);
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("b@c.test")));
	world_answer(w, d, 250);
	world_wait(w, 298 * S);
	assert_null(first_delivery(w));
	world_wait(w, 2 * S);
	assert_int_equal(world_stats(w).leases, 2);
	world_run_ok(w);
	assert_int_equal(world_stats(w).queued, 0);
	world_free(w);
}

static void doubts_and_their_time_survive_a_restart(void **state)
{
	(void)state;
	struct world *w = world_new(plain);

	w->edit = make_doubtful;
	world_recover(w, "s@x", "a@b.test", world_wall(w) - 100 * S, world_wall(w) + 800 * S, 0);
	// Beside another recipient a time that is not in the record begins anew.
	world_recover(
		w, "s@x", "a@c.test,b@c.test", world_wall(w) - 100 * S, world_wall(w) + 200 * S, 0);
	w->edit = NULL;
	assert_int_equal(world_stats(w).doubtful, 2);
	world_wait(w, 301 * S);
	struct pen_delivery *d = first_delivery(w);
	assert_int_equal(d->nrcpt, 1);
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("b@c.test")));
	world_answer(w, d, 250);
	world_wait(w, 480 * S);
	assert_null(first_delivery(w));
	world_wait(w, 21 * S);
	d = first_delivery(w);
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("a@b.test")));
	world_answer(w, d, 250);
	world_wait(w, 300 * S);
	assert_non_null(first_delivery(w));
	world_free(w);
}

static void a_greylisting_server_is_tried_again_soon_three_times(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	w->reply_class = "greylisted";
	w->greylisted = true;
	world_wait(w, 2000 * S); // it is late already: any other deferral would wait long
	for (int i = 0; i < 3; i++) {
		struct pen_delivery *d = first_delivery(w);
		assert_non_null(d);
		world_answer(w, d, 450);
		assert_string_equal(last_log(w)->klass, "greylisted");
		world_wait(w, 309 * S);
		assert_null(first_delivery(w));
		world_wait(w, 2 * S);
	}
	world_answer(w, first_delivery(w), 450);
	pen_time_us wait = world_stored(w, id)->next_attempt - world_wall(w);
	assert_true(wait > 2000 * S);
	world_free(w);
}

static void a_site_has_steps_jitter_and_a_last_step_that_repeats(void **state)
{
	(void)state;
	const struct pen_retry_schedule own = {
		.nsteps = 3, .step = {300 * S, 900 * S, 3600 * S}, .jitter = 10};
	const struct pen_retry_schedule none = {.nsteps = 0};
	struct pen_rand r;
	pen_time_us low = PEN_TIME_NEVER, high = 0;

	pen_rand_seed(&r, pen_test_seed());
	for (int i = 0; i < 1000; i++) {
		pen_time_us t = pen_retry_step(&own, 1, &r);
		low = t < low ? t : low;
		high = t > high ? t : high;
	}
	assert_true(low >= 270 * S && low < 275 * S && high <= 330 * S && high > 325 * S);
	assert_in_range(pen_retry_step(&own, 2, &r), 810 * S, 990 * S);
	assert_in_range(pen_retry_step(&own, 3, &r), 3240 * S, 3960 * S);
	assert_in_range(pen_retry_step(&own, 400, &r), 3240 * S, 3960 * S);
	assert_in_range(pen_retry_step(&own, 0, &r), 270 * S, 330 * S);
	assert_int_equal(pen_retry_step(&none, 1, &r), 0);
}

static void a_late_message_is_told_of_once_and_its_end_too(void **state)
{
	(void)state;
	struct world *w = world_new(warns);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	world_answer(w, first_delivery(w), 450);
	w->hold_resolves = true; // so that nothing else happens
	world_wait(w, 4 * HOUR - 10 * S);
	assert_int_equal(w->nsub, 0);
	world_wait(w, 20 * S);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "Action: delayed"));
	assert_non_null(strstr(w->sub[0].content, "Will-Retry-Until:"));
	assert_non_null(strstr(w->sub[0].content, "450 4.1.1 said so"));
	assert_true(world_stored(w, id)->flags & PEN_MESSAGE_DELAY_TOLD);
	world_wait(w, 8 * HOUR);
	assert_int_equal(w->nsub, 1);
	w->hold_resolves = false;
	while (w->nresolve > 0)
		world_resolved(w, 0, WORLD_ROUTE_OK);
	world_wait(w, 2 * HOUR);
	world_run_ok(w);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	bool told = false;
	for (uint32_t i = 1; i < w->nsub; i++)
		told = told || strstr(w->sub[i].content, "Action: relayed") != NULL;
	assert_true(told);
	world_free(w);
}

static uint8_t wanted[3];

static void want(struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt && i < 3; i++)
		m->rcpt[i].notify = wanted[i];
}

static void only_those_who_want_to_hear_of_delays_do(void **state)
{
	(void)state;
	struct world *w = world_new(warns);

	wanted[0] = PEN_NOTIFY_FAILURE;
	wanted[1] = PEN_NOTIFY_DELAY;
	wanted[2] = PEN_NOTIFY_NEVER;
	w->hold_resolves = true;
	w->edit = want;
	world_add(w, "s@x", "a@b.test,c@b.test,d@b.test");
	world_add(w, "", "n@b.test"); // nobody to tell
	wanted[1] = PEN_NOTIFY_SUCCESS;
	world_add(w, "s@x", "e@b.test,f@b.test,g@b.test");
	w->edit = NULL;
	world_wait(w, 5 * HOUR);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "c@b.test"));
	assert_null(strstr(w->sub[0].content, "a@b.test"));
	assert_null(strstr(w->sub[0].content, "d@b.test"));
	world_free(w);
}

static void a_message_may_end_while_its_delay_is_being_told(void **state)
{
	(void)state;
	struct world *w = world_new(warns);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	world_answer(w, first_delivery(w), 450);
	w->hold_submissions = true;
	world_wait(w, 4 * HOUR + 10 * S);
	assert_int_equal(w->nsub, 1);
	assert_false(pen_sched_idle(w->s));
	pen_sched_delete(w->s, id);
	struct pen_delivery *d = first_delivery(w); // its retry has begun meanwhile
	if (d != NULL)
		world_answer(w, d, 450);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	world_submitted(w, 0, 0);
	w->hold_submissions = false;
	world_run_ok(w);
	world_free(w);
}

static void tells_the_postmaster(struct pen_sched_config *cfg)
{
	warns(cfg);
	cfg->notify_delay = true;
	snprintf(cfg->delay_notice_recipient, sizeof(cfg->delay_notice_recipient), "watch@x.test");
}

static void the_postmaster_gets_a_copy_when_a_sender_was_warned(void **state)
{
	(void)state;
	struct world *w = world_new(tells_the_postmaster);

	w->hold_resolves = w->hold_submissions = true;
	uint64_t id = world_add(w, "s@x", "a@b.test");
	world_add(w, "", "n@b.test"); // nobody to warn, and nothing to copy
	world_wait(w, 4 * HOUR + 10 * S);
	assert_int_equal(w->nsub, 1);
	assert_string_equal(w->sub[0].rcpt, "s@x");
	world_submitted(w, 0, 0);
	assert_int_equal(w->nsub, 2);
	assert_string_equal(w->sub[1].rcpt, "watch@x.test");
	assert_non_null(strstr(w->sub[1].content, "The sender was told."));
	assert_non_null(strstr(w->sub[1].content, "Action: delayed"));
	assert_null(strstr(w->sub[1].content, "Body line"));
	world_submitted(w, 1, -ENOSPC); // his is a copy: nothing waits for it
	world_wait(w, 5 * HOUR);
	assert_int_equal(w->nsub, 2);
	assert_int_equal(world_stats(w).notification_errors, 1);
	pen_sched_delete(w->s, id);
	assert_true(pen_sched_idle(w->s));
	world_free(w);
}

static void equal_reasons_are_kept_once(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	size_t before = pen_note_count();

	w->one_site = true;
	for (int i = 0; i < 200; i++)
		world_add(w, "s@x", "a@b.test,c@b.test");
	for (struct pen_delivery *d; (d = first_delivery(w)) != NULL;)
		world_answer(w, d, 450);
	assert_int_equal(world_stats(w).deferred, 200);
	assert_int_equal(pen_note_count() - before, 1);
	world_free(w);
	assert_int_equal(pen_note_count(), before);
}

static void an_old_message_from_the_spool_keeps_its_reason_until_the_dsn(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test,b@b.test");

	world_answer(w, first_delivery(w), 450);
	world_wait(w, 5 * DAY + HOUR);
	while (world_fate(w, id, 0) == PEN_FATE_QUEUED) {
		struct pen_delivery *d = first_delivery(w);
		if (d != NULL)
			world_answer(w, d, 450);
		world_wait(w, HOUR);
	}
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_EXPIRED);
	assert_non_null(strstr(w->sub[0].content, "450 4.1.1 said so"));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			mail_in_doubt_is_recorded_visible_and_tried_once_more_after_the_delay),
		cmocka_unit_test(
			in_doubt_twice_it_waits_until_it_expires_and_the_sender_hears_of_it),
		cmocka_unit_test(an_operator_may_send_it_again),
		cmocka_unit_test(with_retry_mail_in_doubt_waits_as_any_other),
		cmocka_unit_test(a_definite_no_ends_the_doubt_with_a_bounce),
		cmocka_unit_test(what_was_not_acknowledged_is_safe_to_send_again_and_says_so),
		cmocka_unit_test(only_those_in_doubt_wait_the_others_keep_their_time),
		cmocka_unit_test(doubts_and_their_time_survive_a_restart),
		cmocka_unit_test(a_time_that_the_spool_knew_holds_beside_other_recipients),
		cmocka_unit_test(a_greylisting_server_is_tried_again_soon_three_times),
		cmocka_unit_test(a_site_has_steps_jitter_and_a_last_step_that_repeats),
		cmocka_unit_test(a_late_message_is_told_of_once_and_its_end_too),
		cmocka_unit_test(only_those_who_want_to_hear_of_delays_do),
		cmocka_unit_test(a_message_may_end_while_its_delay_is_being_told),
		cmocka_unit_test(the_postmaster_gets_a_copy_when_a_sender_was_warned),
		cmocka_unit_test(equal_reasons_are_kept_once),
		cmocka_unit_test(an_old_message_from_the_spool_keeps_its_reason_until_the_dsn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
