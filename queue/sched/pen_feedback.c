// SPDX-License-Identifier: BSD-3-Clause
#include "pen_feedback.h"

#include "pen_err.h"

#include <math.h>
#include <stdlib.h>

bool pen_feedback_rate_parse(struct pen_span text, struct pen_feedback_rate *out)
{
	char buf[64];
	char *end;

	*out = (struct pen_feedback_rate){1, PEN_FEEDBACK_FIXED};
	if (text.n == 0 || text.n >= sizeof(buf) || text.p[0] < '.' || text.p[0] > '9' ||
		text.p[0] == '/')
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	// strtod takes more than a plain number: hexadecimal, for one.
	size_t digits = strspn(buf, "0123456789.");
	double base = strtod(buf, &end);
	if (end != buf + digits || !(base >= 0 && base <= 1))
		return false;
	const char *scale = end + strspn(end, " \t");
	if (*scale == '\0') {
		out->base = base;
		return true;
	}
	if (*scale++ != '/')
		return false;
	scale += strspn(scale, " \t");
	if (strcmp(scale, "concurrency") == 0)
		out->scale = PEN_FEEDBACK_CONCURRENCY;
	else if (strcmp(scale, "sqrt_concurrency") == 0)
		out->scale = PEN_FEEDBACK_SQRT;
	else
		return false;
	out->base = base;
	return true;
}

static double step(const struct pen_feedback_rate *r, uint32_t window)
{
	switch (r->scale) {
	case PEN_FEEDBACK_FIXED:
		break;
	case PEN_FEEDBACK_CONCURRENCY:
		return r->base / window;
	case PEN_FEEDBACK_SQRT:
		return r->base / sqrt(window);
	}
	return r->base;
}

void pen_feedback_init(struct pen_feedback *f, const struct pen_feedback_rules *r)
{
	PEN_ASSERT(r->initial > 0);
	*f = (struct pen_feedback){.window = r->initial};
}

void pen_feedback_revive(struct pen_feedback *f, const struct pen_feedback_rules *r, uint32_t busy)
{
	*f = (struct pen_feedback){.window = busy > 0 ? busy : r->initial};
}

void pen_feedback_success(struct pen_feedback *f, const struct pen_feedback_rules *r, uint32_t busy)
{
	if (f->window == 0) {
		pen_feedback_revive(f, r, busy);
		return;
	}
	f->cohorts = 0;
	if ((r->limit != 0 && f->window >= r->limit) || f->window >= (uint64_t)busy + r->initial)
		return;
	double by = step(&r->positive, f->window);
	f->success += by;
	while (f->success + by / 2 >= 1) {
		f->window++;
		f->success -= 1;
		f->failure = 0;
	}
	if (r->limit != 0 && f->window > r->limit)
		f->window = r->limit;
}

bool pen_feedback_failure(struct pen_feedback *f, const struct pen_feedback_rules *r)
{
	if (f->window == 0)
		return true;
	f->cohorts += 1.0 / f->window;
	if (r->failed_cohort_limit != 0 && f->cohorts >= r->failed_cohort_limit) {
		f->window = 0;
		return true;
	}
	double by = step(&r->negative, f->window);
	f->failure -= by;
	while (f->failure - by / 2 < 0) {
		f->failure += 1;
		f->success = 0;
		if (f->window > 1)
			f->window--;
	}
	return false;
}
