// SPDX-License-Identifier: BSD-3-Clause

// The scheduler's arithmetic: "window", "preempt" and "retry" lines.

#include "policy_case.h"

#include "pen_feedback.h"
#include "pen_preempt.h"
#include "pen_retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long number(const struct case_line *l, const char *key, long otherwise)
{
	const char *v = case_value(l, key);

	return v != NULL ? atol(v) : otherwise;
}

// "window init=5 limit=20 pos=1/concurrency events=+++ expect=5,5,5"
static void run_window(struct policy_case *c, const struct case_line *l)
{
	struct pen_feedback_rules r = PEN_FEEDBACK_RULES_DEFAULT;
	struct pen_feedback f;
	const char *events = case_value(l, "events"), *want = case_value(l, "expect");
	const char *pos = case_value(l, "pos"), *neg = case_value(l, "neg");
	char got[256] = "";

	r.initial = (uint32_t)number(l, "init", 5);
	r.limit = (uint32_t)number(l, "limit", 20);
	r.failed_cohort_limit = (uint32_t)number(l, "cohort", 1);
	if ((pos != NULL && !pen_feedback_rate_parse(pen_span_cstr(pos), &r.positive)) ||
		(neg != NULL && !pen_feedback_rate_parse(pen_span_cstr(neg), &r.negative)))
		case_fail(c, "a rate is refused");
	pen_feedback_init(&f, &r);
	for (const char *e = events; e != NULL && *e != '\0'; e++) {
		if (*e == '+')
			pen_feedback_success(&f, &r, (uint32_t)number(l, "busy", f.window));
		else
			pen_feedback_failure(&f, &r);
		size_t at = strlen(got);
		if (f.window == 0)
			snprintf(got + at, sizeof(got) - at, "%sdead", at > 0 ? "," : "");
		else
			snprintf(got + at, sizeof(got) - at, "%s%u", at > 0 ? "," : "", f.window);
	}
	case_expect_text(c, "the window", got, want != NULL ? want : "");
}

struct job {
	char name;
	bool lent;
	struct pen_preempt_work work;
};

// The next transaction is of queue[0], unless another may go first.
static void choose(struct job *queue, int n, const struct pen_preempt_rules *r)
{
	struct pen_preempt p;

	if (!pen_preempt_begin(&p, r, &queue[0].work))
		return;
	for (int i = 1; i < n; i++) {
		if (!queue[i].lent)
			pen_preempt_offer(
				&p, &queue[i], queue[i].work.total, queue[i].work.left, 10);
	}
	struct job *first = pen_preempt_end(&p, &queue[0].work);
	if (first == NULL)
		return;
	struct job copy = *first;
	queue[0].lent = true;
	memmove(&queue[1], &queue[0], (size_t)(first - queue) * sizeof(*queue));
	queue[0] = copy;
}

// "preempt jobs=A20,b1,c1 cost=5 expect=AbAAAAAc..."
static void run_preempt(struct policy_case *c, const struct case_line *l)
{
	struct pen_preempt_rules r = PEN_PREEMPT_RULES_DEFAULT;
	const char *jobs = case_value(l, "jobs"), *want = case_value(l, "expect");
	struct job queue[16];
	char got[512] = "";
	int n = 0;

	r.slot_cost = (uint32_t)number(l, "cost", 5);
	r.loan = (uint32_t)number(l, "loan", 3);
	r.discount = (uint32_t)number(l, "discount", 50);
	r.minimum = (uint32_t)number(l, "min", 3);
	for (const char *p = jobs; p != NULL && *p != '\0' && n < 16;) {
		uint32_t total = (uint32_t)atoi(p + 1);
		queue[n++] = (struct job){.name = *p, .work = {total, total, 0}};
		p += strcspn(p, ",");
		p += *p == ',';
	}
	for (size_t at = 0; n > 0 && at < sizeof(got) - 1; at++) {
		choose(queue, n, &r);
		got[at] = queue[0].name;
		got[at + 1] = '\0';
		queue[0].work.slots++;
		if (--queue[0].work.left == 0)
			memmove(&queue[0], &queue[1], (size_t)--n * sizeof(queue[0]));
	}
	case_expect_text(c, "the order", got, want != NULL ? want : "");
}

// "retry at=10,310 expect=310,620": attempts of a message that came at 0.
static void run_retry(struct policy_case *c, const struct case_line *l)
{
	const struct pen_retry_policy p = PEN_RETRY_POLICY_DEFAULT;
	const char *at = case_value(l, "at"), *want = case_value(l, "expect");
	char got[256] = "";

	while (at != NULL && *at != '\0') {
		pen_wall_us next = pen_retry_next(&p, 0, atol(at) * PEN_US_PER_S);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%ld",
			got[0] != '\0' ? "," : "", (long)(next / PEN_US_PER_S));
		at += strcspn(at, ",");
		at += *at == ',';
	}
	case_expect_text(c, "the next attempt", got, want != NULL ? want : "");
}

bool case_scheduler(struct policy_case *c)
{
	bool some = false;

	for (int i = 0; i < c->n; i++) {
		const struct case_line *l = &c->line[i];
		bool known = true;
		if (strcmp(l->word[0], "window") == 0)
			run_window(c, l);
		else if (strcmp(l->word[0], "preempt") == 0)
			run_preempt(c, l);
		else if (strcmp(l->word[0], "retry") == 0)
			run_retry(c, l);
		else
			known = false;
		some |= known;
	}
	return some;
}
