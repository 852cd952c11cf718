// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// In-flow control: tokens that let mail in as fast as the queue takes it over.
//
// A message takes a token before it is handed over; the queue gives one back
// for each message it has taken. While the queue keeps up there are always
// tokens. When it does not, a message without a token waits for a moment and
// then goes on without one, which slows the clients down and never stops them.
//
// Threads: any thread may take and give.
// Limits:  never more than `max` tokens: one that comes back for a message that
//          had none is worth no more than that.

#include <stdbool.h>
#include <stdint.h>

struct inflow {
	uint32_t tokens; // atomic
	uint32_t max;
};

void inflow_init(struct inflow *f, uint32_t max);
bool inflow_take(struct inflow *f);
void inflow_give(struct inflow *f);
