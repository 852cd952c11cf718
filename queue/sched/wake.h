// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What wakes the scheduler's structures: the wheel's timers, and the shaping that says
// that there may be room again. sched.c tells by the kind whose it is.

#include "pen_shape.h"
#include "pen_wheel.h"

enum timer_kind {
	TIMER_NEXTHOP,
	TIMER_SITE,
	TIMER_LEASE,
};

struct timer {
	struct pen_wheel_node node;
	uint8_t kind; // enum timer_kind
};

// What waits for shaping, and what is to be done when it may have room again.
enum waiter_kind {
	WAITER_OPEN,    // a site that wants a connection
	WAITER_SEND,    // a site that wants to send a message
	WAITER_FLOW,    // mail of one campaign
	WAITER_LEASE,   // a connection whose source may not send more
	WAITER_NEXTHOP, // mail of a domain
};

struct waiter {
	struct pen_shape_waiter shape;
	uint8_t kind; // enum waiter_kind
};
