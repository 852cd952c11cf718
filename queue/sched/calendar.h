// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Timers for millions of messages, private to this folder.
//
// What is due within seconds is in a wheel (pen_wheel.h). The rest lies in
// buckets of a few seconds each, and is moved to the wheel bucket by bucket,
// within the budget of a poll: no poll has to file a whole queue anew, as an
// upper level of the wheel would when hundreds of thousands of timers of one of
// its slots come near.
//
// Memory: one megabyte; nodes are the caller's. O(1) each.

#include "pen_wheel.h"

#define CALENDAR_BUCKETS 65536u // six days; what is farther is filed anew then

struct calendar {
	struct pen_wheel wheel;
	struct pen_wheel_node *bucket; // list heads
	uint64_t used[CALENDAR_BUCKETS / 64];
	uint64_t first; // buckets below are in the wheel
	uint32_t armed; // in buckets
};

bool calendar_init(struct calendar *c, pen_time_us now); // false: no memory
void calendar_fini(struct calendar *c);
void calendar_arm(struct calendar *c, struct pen_wheel_node *n, pen_time_us deadline);
void calendar_disarm(struct calendar *c, struct pen_wheel_node *n);
// Moves and fires at most about `most` nodes, disarmed before the call; returns
// how many. What is left over is done at the next call.
uint32_t calendar_advance(
	struct calendar *c, pen_time_us now, uint32_t most, pen_wheel_fn *fn, void *ctx);
// When there is something to do at the latest, or PEN_TIME_NEVER.
pen_time_us calendar_next(const struct calendar *c);
