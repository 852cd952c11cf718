// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How many connections a site gets at a time: a window that successes widen and
// failures narrow, down to none: then the site is dead.
//
// Pure arithmetic on a value; no memory. How large a step is follows from the
// window itself when a rate is divided by the concurrency or its square root.
// Names, defaults and arithmetic are Postfix's (SCHEDULER_README).

#include "pen_span.h"

#include <stdint.h>

enum pen_feedback_scale {
	PEN_FEEDBACK_FIXED,       // "n"
	PEN_FEEDBACK_CONCURRENCY, // "n/concurrency"
	PEN_FEEDBACK_SQRT,        // "n/sqrt_concurrency"
};

struct pen_feedback_rate {
	double base; // 0 to 1
	enum pen_feedback_scale scale;
};

// Reads a rate; false, and the rate 1, when it is none or out of range: the
// caller warns.
bool pen_feedback_rate_parse(struct pen_span text, struct pen_feedback_rate *out);

struct pen_feedback_rules {
	uint32_t initial; // initial_destination_concurrency, at least 1
	uint32_t limit;   // destination_concurrency_limit; 0: none
	// default_destination_concurrency_positive_feedback, _negative_feedback,
	// _failed_cohort_limit (0: a site is never declared dead)
	struct pen_feedback_rate positive, negative;
	uint32_t failed_cohort_limit;
};

#define PEN_FEEDBACK_RULES_DEFAULT                                                                 \
	((struct pen_feedback_rules){.initial = 5,                                                 \
		.limit = 20,                                                                       \
		.positive = {1, PEN_FEEDBACK_FIXED},                                               \
		.negative = {1, PEN_FEEDBACK_FIXED},                                               \
		.failed_cohort_limit = 1})

struct pen_feedback {
	uint32_t window; // 0: dead
	double success, failure;
	double cohorts; // failed ones in a row, as parts of a window
};

void pen_feedback_init(struct pen_feedback *f, const struct pen_feedback_rules *r);

// A success. `busy`: connections in use, the one that reports it included; a
// window that is not made use of does not grow. Brings a dead site back.
void pen_feedback_success(
	struct pen_feedback *f, const struct pen_feedback_rules *r, uint32_t busy);
// A failure of the site. True: it is dead now.
bool pen_feedback_failure(struct pen_feedback *f, const struct pen_feedback_rules *r);
// The time of a dead site is over: as many as are busy, or as at the beginning.
void pen_feedback_revive(struct pen_feedback *f, const struct pen_feedback_rules *r, uint32_t busy);
