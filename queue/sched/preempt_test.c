// SPDX-License-Identifier: BSD-3-Clause

// Who goes first, transaction by transaction: the known sequences, with one
// connection that takes one transaction after the other.
#include "pen_preempt.h"
#include "pen_test.h"

struct message {
	char name;
	bool lent; // stands behind one that went first
	struct pen_preempt_work work;
};

// Messages in the order they came, all at the same time; a preempting one moves
// before the current one.
struct line {
	struct message m[8];
	uint32_t n;
};

static void remove_at(struct line *q, uint32_t i)
{
	memmove(&q->m[i], &q->m[i + 1], (--q->n - i) * sizeof(q->m[0]));
}

static void consider(struct line *q, const struct pen_preempt_rules *r)
{
	struct pen_preempt p;

	if (!pen_preempt_begin(&p, r, &q->m[0].work))
		return;
	for (uint32_t i = 1; i < q->n; i++) {
		if (!q->m[i].lent)
			pen_preempt_offer(&p, &q->m[i], q->m[i].work.total, q->m[i].work.left, 10);
	}
	struct message *first = pen_preempt_end(&p, &q->m[0].work);
	if (first == NULL)
		return;
	q->m[0].lent = true;
	struct message copy = *first;
	remove_at(q, (uint32_t)(first - q->m));
	memmove(&q->m[1], &q->m[0], q->n++ * sizeof(q->m[0]));
	q->m[0] = copy;
}

// `jobs` like "A20 b1 c1", `expect` like "A b1 A*19".
static void play(struct pen_preempt_rules r, const char *jobs, const char *expect)
{
	struct line q = {0};
	char got[256] = "", want[256] = "";
	size_t len = 0;

	for (const char *p = jobs; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
		uint32_t total = (uint32_t)atoi(p + 1);
		q.m[q.n++] = (struct message){.name = *p, .work = {total, total, 0}};
	}
	for (const char *p = expect; *p != '\0';) {
		char name = *p++;
		int times = 1;
		if (*p == '*')
			times = (int)strtol(p + 1, (char **)&p, 10);
		p += *p == ' ';
		memset(want + strlen(want), name, (size_t)times);
	}
	while (q.n > 0) {
		consider(&q, &r);
		got[len++] = q.m[0].name;
		q.m[0].work.slots++;
		if (--q.m[0].work.left == 0)
			remove_at(&q, 0);
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s: %s, not %s", jobs, got, want);
}

static void small_messages_go_first_as_in_the_known_sequences(void **state)
{
	struct pen_preempt_rules r = PEN_PREEMPT_RULES_DEFAULT;

	(void)state;
	play(r, "A20 b1 c1 d1 e1 f1", "AbAAAAAcAAAAAdAAAAAeAAAAf");
	play(r, "A14 b1 c1 d1", "A*14 bcd");
	play(r, "A15 b1 c1 d1", "AbAAAAAcAAAAAdAAAA");
	play(r, "A40 b6 c8", "A b*6 A*39 c*8");
	play(r, "A100 B10 c1", "A c A*14 B*10 A*85");
	play(r, "A25 b5", "A b*5 A*24");
	play(r, "A20 b4", "A b*4 A*19");
	play(r, "A20 b5", "A*20 b*5");
	play(r, "A60 b12", "A*15 b*12 A*45");
	play(r, "A30 b3 c2 d1", "A d A*5 cc A*10 bbb A*14");
}

static void the_parameters_change_who_may_go_first(void **state)
{
	struct pen_preempt_rules r = PEN_PREEMPT_RULES_DEFAULT;

	(void)state;
	r.slot_cost = 0;
	play(r, "A20 b1 c1", "A*20 b c");
	r.slot_cost = 1;
	play(r, "A20 b1 c1", "A*20 b c");
	r = (struct pen_preempt_rules){.slot_cost = 5, .minimum = 3};
	play(r, "A20 b1 c1", "A*5 b A*5 c A*10");
	r = (struct pen_preempt_rules){.slot_cost = 2, .minimum = 1};
	play(r, "A10 b2 c2", "A*4 bb A*4 cc AA");
	r.discount = 50;
	play(r, "A10 b2 c2", "AAbbAAAAccAAAA");
}

static void the_oldest_for_its_size_goes_first(void **state)
{
	struct pen_preempt_rules r = PEN_PREEMPT_RULES_DEFAULT;
	struct pen_preempt_work current = {.total = 100, .left = 90, .slots = 10};
	struct pen_preempt p;
	char a, b, c;

	(void)state;
	assert_true(pen_preempt_begin(&p, &r, &current));
	pen_preempt_offer(&p, &a, 2, 2, 9);  // 5
	pen_preempt_offer(&p, &b, 3, 1, 29); // 10, by its size when it came
	pen_preempt_offer(&p, &c, 1, 1, 9);  // 10: the first stays
	assert_ptr_equal(pen_preempt_end(&p, &current), &b);
	assert_int_equal(current.slots, 5);
}

static void what_was_lent_is_earned_before_the_next_goes_first(void **state)
{
	struct pen_preempt_rules r = PEN_PREEMPT_RULES_DEFAULT;
	struct pen_preempt_work current = {.total = 100, .left = 90, .slots = -4};
	struct pen_preempt p;
	char a;

	(void)state;
	assert_false(pen_preempt_begin(&p, &r, &current));
	pen_preempt_offer(&p, &a, 1, 1, 9);
	assert_null(pen_preempt_end(&p, &current));
	assert_int_equal(current.slots, -4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_messages_go_first_as_in_the_known_sequences),
		cmocka_unit_test(the_parameters_change_who_may_go_first),
		cmocka_unit_test(the_oldest_for_its_size_goes_first),
		cmocka_unit_test(what_was_lent_is_earned_before_the_next_goes_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
