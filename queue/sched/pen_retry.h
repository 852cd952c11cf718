// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When to try again and when to give up: pure arithmetic on wall time.
//
// The delay until the next attempt equals the message's age, within bounds, so
// intervals double in effect and survive a restart without stored state.
// Names and defaults are Postfix's.

#include "pen_rand.h"
#include "pen_shape_config.h"
#include "pen_time.h"

#include <stdbool.h>

struct pen_retry_policy {
	pen_time_us minimal_backoff_time;   // 300 s
	pen_time_us maximal_backoff_time;   // 4000 s
	pen_time_us maximal_queue_lifetime; // 5 d
	pen_time_us bounce_queue_lifetime;  // 5 d; never larger than the maximal one
};

#define PEN_RETRY_POLICY_DEFAULT                                                                   \
	((struct pen_retry_policy){                                                                \
		.minimal_backoff_time = 300 * PEN_US_PER_S,                                        \
		.maximal_backoff_time = 4000 * PEN_US_PER_S,                                       \
		.maximal_queue_lifetime = 5 * 86400 * PEN_US_PER_S,                                \
		.bounce_queue_lifetime = 5 * 86400 * PEN_US_PER_S,                                 \
	})

// The time of the next attempt after a deferral at `wall`.
pen_wall_us pen_retry_next(const struct pen_retry_policy *p, pen_wall_us arrival, pen_wall_us wall);

// The wait after that many attempts by a site's own schedule, with its jitter; 0:
// it has none.
pen_time_us pen_retry_step(
	const struct pen_retry_schedule *own, uint32_t attempts, struct pen_rand *rand);

// The time from which the message is too old. A lifetime of 0 means one
// attempt: the answer is then `arrival`, and the caller checks it only after
// an attempt.
pen_wall_us pen_retry_expiry(
	const struct pen_retry_policy *p, pen_wall_us arrival, bool null_sender);
