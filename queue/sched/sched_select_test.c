// SPDX-License-Identifier: BSD-3-Clause

// Operators' hands: which messages a selector chooses, and what is done to them.
#include "sched_steps.h"

#include "pen_sched_select.h"
#include "pen_test.h"

#define S PEN_US_PER_S
#define HOUR (3600 * S)

static void defer_all(struct world *w)
{
	for (struct pen_delivery *d; (d = first_delivery(w)) != NULL;)
		world_answer(w, d, 450);
}

// In pieces of three, as the control socket would.
static struct pen_sched_tally apply(
	struct world *w, struct pen_sched_selector which, struct pen_sched_order order)
{
	struct pen_sched_tally t = {0};
	uint64_t after = 0;

	do {
		after = pen_sched_apply(w->s, &which, &order, after, 3, &t, NULL, NULL);
		world_check(w);
	} while (after != 0);
	return t;
}

static struct pen_sched_tally count(struct world *w, struct pen_sched_selector which)
{
	return apply(w, which, (struct pen_sched_order){.action = PEN_ACTION_COUNT});
}

static struct pen_sched_tally act(
	struct world *w, struct pen_sched_selector which, enum pen_sched_action a)
{
	return apply(w, which, (struct pen_sched_order){.action = a});
}

static const char *tenant;

static void give_class(struct pen_message *m)
{
	m->klass = pen_mail_class_get(pen_span_cstr(tenant), PEN_SPAN_LIT("xmas"),
		PEN_SPAN_LIT("bulk"), PEN_PRIORITY_NORMAL);
}

static uint64_t add_for(struct world *w, const char *whose, const char *sender, const char *rcpts)
{
	tenant = whose;
	w->edit = give_class;
	uint64_t id = world_add(w, sender, rcpts);
	w->edit = NULL;
	return id;
}

static void each_condition_chooses_what_it_says(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t one = add_for(w, "acme", "s@x", "a@b.test,b@c.test");

	add_for(w, "acme", "", "c@b.test");
	world_wait(w, 100 * S);
	add_for(w, "emca", "t@x", "a@c.test");
	defer_all(w);
	world_wait(w, S);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("acme")}).recipients,
		3);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.campaign = PEN_SPAN_LIT("xmas")}).messages,
		3);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.pool = PEN_SPAN_LIT("other")}).messages, 0);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.sender = PEN_SPAN_LIT("<>")}).messages, 1);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.sender = PEN_SPAN_LIT("S@X")}).messages, 1);
	struct pen_sched_tally t =
		count(w, (struct pen_sched_selector){.domain = PEN_SPAN_LIT("C.test")});
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.recipients, 2);
	assert_int_equal(t.done, 0);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.recipient = PEN_SPAN_LIT("a@b.test")})
			.recipients,
		1);
	assert_int_equal(count(w, (struct pen_sched_selector){.older_than = 50 * S}).messages, 2);
	assert_int_equal(count(w, (struct pen_sched_selector){.id = one}).messages, 1);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.states = PEN_STATE_DEFERRED}).messages, 3);
	assert_int_equal(
		count(w, (struct pen_sched_selector){.states = PEN_STATE_HOLD}).messages, 0);
	assert_int_equal(count(w, (struct pen_sched_selector){.site = PEN_SPAN_LIT("mx2.c.test")})
				 .recipients,
		2);
	assert_int_equal(count(w, (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("acme"),
					  .domain = PEN_SPAN_LIT("c.test")})
				 .messages,
		1);
	world_free(w);
}

static void a_selector_that_says_nothing_chooses_nothing(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	world_add(w, "s@x", "a@b.test");
	defer_all(w);
	struct pen_sched_tally t = act(w, (struct pen_sched_selector){0}, PEN_ACTION_DELETE);
	assert_int_equal(t.examined, 0);
	t = act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_DELETE);
	assert_int_equal(t.done, 1);
	assert_int_equal(world_stats(w).messages, 0);
	assert_int_equal(w->ended[PEN_FATE_DELETED], 1);
	world_free(w);
}

static void deletion_by_domain_takes_only_those_recipients(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test,b@c.test,c@b.test");

	defer_all(w);
	pen_wall_us next = world_stored(w, id)->next_attempt;
	struct pen_sched_tally t = act(w,
		(struct pen_sched_selector){.domain = PEN_SPAN_LIT("b.test")}, PEN_ACTION_DELETE);
	assert_int_equal(t.recipients, 2);
	assert_int_equal(t.done, 1);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_QUEUED);
	assert_int_equal(world_fate(w, id, 2), PEN_FATE_DELETED);
	assert_int_equal(world_stats(w).deferred, 1);
	assert_true(world_stored(w, id)->next_attempt == next); // which it keeps
	assert_int_equal(w->nsub, 0);
	world_free(w);
}

static void a_bounce_tells_the_sender_why(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test,b@c.test");

	defer_all(w);
	apply(w, (struct pen_sched_selector){.recipient = PEN_SPAN_LIT("a@b.test")},
		(struct pen_sched_order){
			.action = PEN_ACTION_BOUNCE, .text = PEN_SPAN_LIT("wrong list")});
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_QUEUED);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "wrong list"));
	assert_int_equal(w->ended[PEN_FATE_BOUNCED], 1);
	world_free(w);
}

static void notifications_of_an_order_are_not_its_next_victims(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	for (int i = 0; i < 20; i++)
		world_add(w, "s@x", "a@b.test");
	defer_all(w);
	struct pen_sched_tally t =
		act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_BOUNCE);
	assert_int_equal(t.done, 20);
	assert_int_equal(w->nsub, 20);
	assert_int_equal(world_stats(w).messages, 20); // the notifications
	assert_int_equal(world_stats(w).bounced, 20);
	world_free(w);
}

static void what_is_with_a_worker_ends_as_its_delivery_ends(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test,b@b.test,c@b.test,d@c.test");
	struct pen_delivery *d = first_delivery(w);

	if (d->nrcpt == 1)
		d = NULL;
	for (uint32_t i = 0; i < w->nflying; i++)
		d = w->flying[i]->nrcpt == 3 ? w->flying[i] : d;
	assert_non_null(d);
	act(w, (struct pen_sched_selector){.domain = PEN_SPAN_LIT("b.test")}, PEN_ACTION_BOUNCE);
	assert_int_equal(world_stats(w).queued, 4);
	world_answer_one(d, 0, 250);
	world_answer_one(d, 1, 450); // would be tried again: the order holds
	world_answer_one(d, 2, 550);
	world_done(w, d);
	d = first_delivery(w);
	world_answer(w, d, 450);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, id, 2), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, id, 3), PEN_FATE_QUEUED);
	assert_int_equal(w->ended[PEN_FATE_BOUNCED], 1);
	assert_non_null(strstr(w->sub[0].content, "returned by an operator"));
	world_free(w);
}

static void an_ordered_recipient_that_comes_back_untried_is_not_sent_again(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test,b@b.test");
	struct pen_delivery *d = first_delivery(w);

	act(w, (struct pen_sched_selector){.recipient = PEN_SPAN_LIT("a@b.test")},
		PEN_ACTION_DELETE);
	world_untried(w, d);
	world_quit(w, world_lease_at(w, 0));
	d = first_delivery(w);
	assert_int_equal(d->nrcpt, 1);
	world_answer(w, d, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELETED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_DELIVERED);
	world_free(w);
}

static void expire_ends_a_lifetime_also_on_hold_and_without_notice(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test"), held = world_add(w, "s@x", "a@b.test");

	defer_all(w);
	pen_sched_hold(w->s, held);
	act(w, (struct pen_sched_selector){.id = held}, PEN_ACTION_EXPIRE);
	assert_int_equal(world_fate(w, held, 0), PEN_FATE_EXPIRED);
	assert_int_equal(w->nsub, 1);
	apply(w, (struct pen_sched_selector){.id = id},
		(struct pen_sched_order){.action = PEN_ACTION_EXPIRE, .no_notice = true});
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	assert_int_equal(w->nsub, 1);
	assert_int_equal(w->ended[PEN_FATE_EXPIRED], 2);
	world_free(w);
}

static void expire_reaches_what_is_in_flight_when_it_would_be_retried(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test"), good = world_add(w, "s@x", "b@c.test");
	struct pen_delivery *d = first_delivery(w), *e = w->flying[1];

	act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_EXPIRE);
	assert_int_equal(world_stats(w).queued, 2);
	world_answer(w, d, 450);
	world_answer(w, e, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_EXPIRED);
	assert_int_equal(world_fate(w, good, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void hold_and_release_work_on_all_that_is_chosen(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	for (int i = 0; i < 10; i++)
		add_for(w, i % 2 != 0 ? "acme" : "emca", "s@x", "a@b.test");
	defer_all(w);
	const struct pen_sched_selector acme = {.tenant = PEN_SPAN_LIT("acme")};
	assert_int_equal(act(w, acme, PEN_ACTION_HOLD).done, 5);
	assert_int_equal(act(w, acme, PEN_ACTION_HOLD).done, 0);
	assert_int_equal(world_stats(w).held, 5);
	assert_int_equal(act(w, acme, PEN_ACTION_RELEASE).done, 5);
	world_wait(w, S);
	world_run_ok(w);
	assert_int_equal(world_stats(w).delivered, 5);
	world_free(w);
}

static void retry_makes_deferred_mail_due_but_not_what_is_in_doubt(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	world_lose_dot(w, first_delivery(w), PEN_DOT_ACKED);
	world_add(w, "s@x", "b@b.test");
	defer_all(w);
	assert_int_equal(
		act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_RETRY).done, 1);
	world_wait(w, S);
	struct pen_delivery *d = first_delivery(w);
	assert_true(pen_span_eq(d->rcpt[0].addr, PEN_SPAN_LIT("b@b.test")));
	world_answer(w, d, 250);
	assert_int_equal(
		act(w, (struct pen_sched_selector){.in_doubt = true}, PEN_ACTION_RETRY).done, 1);
	world_wait(w, S);
	world_answer(w, first_delivery(w), 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void requeue_routes_anew_and_leaves_what_is_in_flight(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	w->hold_resolves = true;
	world_add(w, "s@x", "a@b.test");
	assert_int_equal(w->nresolve, 1);
	act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_REQUEUE);
	w->hold_resolves = false;
	world_resolved(w, 0, WORLD_ROUTE_OK);
	world_wait(w, S);
	struct pen_delivery *d = first_delivery(w);
	assert_non_null(d);
	act(w, (struct pen_sched_selector){.everything = true}, PEN_ACTION_REQUEUE);
	world_answer(w, d, 450);
	world_wait(w, S);
	assert_non_null(first_delivery(w)); // at once, not at its next attempt
	world_free(w);
}

static void move_takes_mail_to_another_pool_and_route_durably(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = add_for(w, "acme", "s@x", "a@b.test");

	defer_all(w);
	struct pen_sched_tally t =
		apply(w, (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("acme")},
			(struct pen_sched_order){.action = PEN_ACTION_MOVE,
				.pool = PEN_SPAN_LIT("slow"),
				.route = PEN_SPAN_LIT("smtp:[relay.test]")});
	assert_int_equal(t.done, 1);
	assert_string_equal(world_stored(w, id)->pool, "slow");
	assert_string_equal(world_stored(w, id)->route, "smtp:[relay.test]");
	world_wait(w, S);
	struct pen_delivery *d = first_delivery(w);
	assert_non_null(d);
	assert_non_null(strstr(d->lease->host[0].name, "[relay.test]"));
	world_answer(w, d, 250);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	world_free(w);
	assert_int_equal(pen_mail_class_count(), 0);
}

static uint32_t stop_after;

static bool stop(void *ctx, const struct pen_sched_view *v)
{
	(void)ctx;
	(void)v;
	return --stop_after > 0;
}

static void a_walk_goes_on_although_its_place_is_gone(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	const struct pen_sched_selector all = {.everything = true};
	const struct pen_sched_order look = {.action = PEN_ACTION_COUNT};
	struct pen_sched_tally t = {0};

	for (int i = 0; i < 30; i++)
		world_add(w, "s@x", "a@b.test");
	defer_all(w);
	uint64_t at = pen_sched_apply(w->s, &all, &look, 0, 10, &t, NULL, NULL);
	assert_int_equal(t.examined, 10);
	for (uint64_t id = at - 3; id < at + 5; id++)
		pen_sched_delete(w->s, id);
	while (at != 0)
		at = pen_sched_apply(w->s, &all, &look, at, 4, &t, NULL, NULL);
	assert_int_equal(t.examined, 10 + 20 - 4);
	stop_after = 2;
	t = (struct pen_sched_tally){0};
	at = pen_sched_apply(w->s, &all, &look, 0, 100, &t, stop, NULL);
	assert_int_equal(t.messages, 2);
	assert_int_not_equal(at, 0);
	// More walks at once than are remembered: each still ends.
	uint64_t walk[20];
	for (int i = 0; i < 20; i++)
		walk[i] = pen_sched_apply(
			w->s, &all, &look, 0, (uint32_t)(1 + i % 7), &t, NULL, NULL);
	for (int i = 0; i < 20; i++) {
		t = (struct pen_sched_tally){0};
		for (at = walk[i]; at != 0;)
			at = pen_sched_apply(w->s, &all, &look, at, 5, &t, NULL, NULL);
		assert_int_equal(t.examined, 22 - (1 + i % 7));
	}
	world_free(w);
}

// Messages become durable, and come here, in nearly the order of their ids.
static void a_walk_misses_nobody_when_ids_came_out_of_order(void **state)
{
	(void)state;
	static const uint64_t ids[] = {1000, 1003, 1005, 1002, 1007, 1006, 1001, 1004};
	struct world *w = world_new(NULL);
	const struct pen_sched_selector all = {.everything = true};
	const struct pen_sched_order look = {.action = PEN_ACTION_COUNT};
	struct pen_sched_tally t = {0};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		w->next_id = ids[i];
		world_add(w, "s@x", "a@b.test");
	}
	uint64_t at = pen_sched_apply(w->s, &all, &look, 0, 2, &t, NULL, NULL);
	// What comes meanwhile does not belong to it, and its end does not run away.
	for (uint64_t i = 0; i < 10; i++) {
		w->next_id = 1010 + i;
		world_add(w, "s@x", "a@b.test");
	}
	while (at != 0)
		at = pen_sched_apply(w->s, &all, &look, at, 2, &t, NULL, NULL);
	assert_int_equal(t.examined, 8);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_condition_chooses_what_it_says),
		cmocka_unit_test(a_selector_that_says_nothing_chooses_nothing),
		cmocka_unit_test(deletion_by_domain_takes_only_those_recipients),
		cmocka_unit_test(a_bounce_tells_the_sender_why),
		cmocka_unit_test(notifications_of_an_order_are_not_its_next_victims),
		cmocka_unit_test(what_is_with_a_worker_ends_as_its_delivery_ends),
		cmocka_unit_test(an_ordered_recipient_that_comes_back_untried_is_not_sent_again),
		cmocka_unit_test(expire_ends_a_lifetime_also_on_hold_and_without_notice),
		cmocka_unit_test(expire_reaches_what_is_in_flight_when_it_would_be_retried),
		cmocka_unit_test(hold_and_release_work_on_all_that_is_chosen),
		cmocka_unit_test(retry_makes_deferred_mail_due_but_not_what_is_in_doubt),
		cmocka_unit_test(requeue_routes_anew_and_leaves_what_is_in_flight),
		cmocka_unit_test(move_takes_mail_to_another_pool_and_route_durably),
		cmocka_unit_test(a_walk_goes_on_although_its_place_is_gone),
		cmocka_unit_test(a_walk_misses_nobody_when_ids_came_out_of_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
