// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Time is a value that is passed in: protocol cores never read a clock.
//
// `pen_time_us` is monotonic microseconds from an arbitrary start; it drives
// deadlines. `pen_wall_us` is microseconds since 1970 UTC; it is for records
// that survive a restart (arrival, next attempt, expiry) and for people.

#include <stddef.h>
#include <stdint.h>

typedef int64_t pen_time_us;
typedef int64_t pen_wall_us;

#define PEN_TIME_NEVER INT64_MAX
#define PEN_US_PER_MS ((pen_time_us)1000)
#define PEN_US_PER_S ((pen_time_us)1000000)

// The only readers of the machine's clocks. Edges call them (event loops,
// worker loops, tests' main functions) and hand the value down.
pen_time_us pen_clock_mono(void);
pen_wall_us pen_clock_wall(void);

static inline pen_time_us pen_time_min(pen_time_us a, pen_time_us b)
{
	return a < b ? a : b;
}

// pen_wall_rfc5322 writes "Sat, 21 Nov 2026 03:43:00 +0000 (UTC)" and returns
// its length; `cap` of 48 is enough.
size_t pen_wall_rfc5322(char *out, size_t cap, pen_wall_us t);
