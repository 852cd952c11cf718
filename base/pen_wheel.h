// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Hierarchical timer wheel: 1 ms ticks, 4 levels of 256 slots (49 days).
//
// Nodes are intrusive and the wheel allocates nothing. Re-arming is lazy:
// pen_wheel_arm on an armed node whose deadline moved later only stores the
// new deadline, and the node is put back when its old slot fires, so a busy
// connection does not touch the wheel on every packet.
//
// Threads: owned by one thread. Callbacks may arm or disarm any node.
// Precision: a node fires at or after its deadline, at most 1 ms late plus the
// caller's polling interval; never early.

#include "pen_time.h"

#include <stdbool.h>
#include <stdint.h>

#define PEN_WHEEL_LEVELS 4
#define PEN_WHEEL_SLOTS 256

struct pen_wheel_node {
	struct pen_wheel_node *next, *prev; // NULL when not armed
	pen_time_us deadline;
	pen_time_us slot_time; // where it is filed; <= deadline
};

struct pen_wheel {
	struct pen_wheel_node slot[PEN_WHEEL_LEVELS][PEN_WHEEL_SLOTS];
	uint64_t used[PEN_WHEEL_LEVELS][PEN_WHEEL_SLOTS / 64]; // slots that may hold nodes
	uint64_t tick;                                         // the next tick to expire, in ms
	uint32_t armed;
};

typedef void pen_wheel_fn(void *ctx, struct pen_wheel_node *node, pen_time_us now);

void pen_wheel_init(struct pen_wheel *w, pen_time_us now);
void pen_wheel_node_init(struct pen_wheel_node *n);
void pen_wheel_arm(struct pen_wheel *w, struct pen_wheel_node *n, pen_time_us deadline);
void pen_wheel_disarm(struct pen_wheel *w, struct pen_wheel_node *n);

static inline bool pen_wheel_armed(const struct pen_wheel_node *n)
{
	return n->next != NULL;
}

// pen_wheel_advance fires at most `most` due nodes (disarmed before the call)
// and returns how many. What is left over fires at the next call.
uint32_t pen_wheel_advance(
	struct pen_wheel *w, pen_time_us now, uint32_t most, pen_wheel_fn *fn, void *ctx);

// pen_wheel_next returns a lower bound for the next deadline, or PEN_TIME_NEVER
// when nothing is armed. Sleeping until then misses nothing.
pen_time_us pen_wheel_next(const struct pen_wheel *w);
