// SPDX-License-Identifier: BSD-3-Clause

// Why a message does not move.
#include "sched_steps.h"

#include "pen_sched_select.h"
#include "pen_test.h"

#include <errno.h>

#define S PEN_US_PER_S
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

static struct pen_why why;

static void ask(
	struct world *w, uint64_t id, enum pen_why_code code, const char *word, const char *part)
{
	assert_int_equal(pen_sched_why(w->s, id, &why), 0);
	if (why.code != code || strcmp(why.word, word) != 0 || strstr(why.text, part) == NULL)
		fail_msg("%d %s: %s", why.code, why.word, why.text);
}

static void a_deferred_message_says_when_it_is_tried_and_what_was_said(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	world_answer(w, first_delivery(w), 450);
	ask(w, id, PEN_WHY_RETRY, "retry", "450 4.1.1 said so");
	assert_non_null(strstr(why.text, "after 1 attempts"));
	assert_true(why.until == world_stored(w, id)->next_attempt);
	assert_int_equal(pen_sched_why(w->s, 5, &why), -ENOENT);
	world_free(w);
}

static void a_message_on_hold_waits_for_the_operator(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	pen_sched_hold(w->s, id);
	ask(w, id, PEN_WHY_HOLD, "hold", "until an operator releases it");
	assert_string_equal(why.holder, "the operator");
	assert_true(why.until == 0);
	world_free(w);
}

static void a_message_in_doubt_names_its_policy_and_its_end(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	world_lose_dot(w, first_delivery(w), PEN_DOT_ACKED);
	ask(w, id, PEN_WHY_IN_DOUBT, "in-doubt", "tried once more at");
	assert_string_equal(why.holder, "in_doubt_policy");
	world_wait(w, 901 * S);
	world_lose_dot(w, first_delivery(w), PEN_DOT_ACKED);
	ask(w, id, PEN_WHY_IN_DOUBT, "in-doubt", "waits for an operator, or expires at");
	assert_true(why.until > world_wall(w) + 4 * DAY);
	world_free(w);
}

static struct pen_message_extra extra;

static void give_extra(struct pen_message *m)
{
	m->extra = malloc(sizeof(*m->extra));
	*m->extra = extra;
}

static void a_scheduled_message_says_until_when(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	w->edit = give_extra;
	extra = (struct pen_message_extra){.not_before = world_wall(w) + HOUR};
	uint64_t later = world_add(w, "s@x", "a@b.test");
	extra = (struct pen_message_extra){
		.window = {.days = 0x3e, .from = 540, .to = 1020, .zone = "Europe/Berlin"}};
	w->zone_offset = 3600;
	uint64_t office = world_add(w, "s@x", "a@b.test");
	w->edit = NULL;
	ask(w, later, PEN_WHY_SCHEDULED, "scheduled", "not to be sent before Tue, 14 Nov 2023");
	assert_true(why.until == world_wall(w) + HOUR);
	ask(w, office, PEN_WHY_SCHEDULED, "scheduled",
		"outside its window (mon,tue,wed,thu,fri 09:00-17:00 Europe/Berlin), which opens "
		"at Wed, 15 Nov 2023 08:00:00");
	world_free(w);
}

static void a_message_at_work_says_what_it_waits_for(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);

	w->hold_resolves = true;
	uint64_t id = world_add(w, "s@x", "a@b.test");
	ask(w, id, PEN_WHY_RESOLVING, "resolving", "the hosts of b.test are being looked up");
	world_resolved(w, 0, WORLD_ROUTE_OK);
	ask(w, id, PEN_WHY_TURN, "turn", "it is next for ");
	assert_true(why.site.n > 0);
	assert_non_null(first_delivery(w));
	ask(w, id, PEN_WHY_MOVING, "moving", "it is being sent to ");
	world_free(w);
}

static void a_bounce_on_its_way_and_a_stop_are_reasons_too(void **state)
{
	(void)state;
	struct world *w = world_new(NULL);
	uint64_t id = world_add(w, "s@x", "a@b.test");

	w->hold_submissions = true;
	world_answer(w, first_delivery(w), 550);
	ask(w, id, PEN_WHY_BOUNCING, "bouncing", "on its way to the spool");
	world_submitted(w, 0, -ENOSPC);
	ask(w, id, PEN_WHY_BOUNCING, "bouncing", "could not be stored");
	w->hold_submissions = false;
	w->hold_resolves = true;
	uint64_t next = world_add(w, "s@x", "a@c.test");
	pen_sched_stop(w->s);
	ask(w, next, PEN_WHY_STOPPING, "stopping", "after the next start");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deferred_message_says_when_it_is_tried_and_what_was_said),
		cmocka_unit_test(a_message_on_hold_waits_for_the_operator),
		cmocka_unit_test(a_message_in_doubt_names_its_policy_and_its_end),
		cmocka_unit_test(a_scheduled_message_says_until_when),
		cmocka_unit_test(a_message_at_work_says_what_it_waits_for),
		cmocka_unit_test(a_bounce_on_its_way_and_a_stop_are_reasons_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
