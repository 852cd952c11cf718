// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Calls posted to a thread: many producers, one consumer, in order per
// producer.
//
// The poster owns the item until the call ran; items are usually embedded in
// the object that the call is about, so posting never allocates and never
// fails.
//
// Threads: pen_inbox_post from any thread; the rest by the owner only.

#include "pen_time.h"

#include <stdbool.h>
#include <stdint.h>

struct pen_call {
	struct pen_call *next;
	// Runs on the owner's thread. The item is free for reuse when it starts.
	void (*fn)(struct pen_call *call);
};

struct pen_inbox {
	_Alignas(64) struct pen_call *newest; // posters: push; owner: takes all
	uint32_t sleeping;                    // futex word: 1 while the owner sleeps
};

void pen_inbox_init(struct pen_inbox *b);
void pen_inbox_post(struct pen_inbox *b, struct pen_call *call);

// Runs everything that was posted; returns how many calls.
uint32_t pen_inbox_run(struct pen_inbox *b);

// Sleeps until something is posted, at most `us` microseconds.
void pen_inbox_wait(struct pen_inbox *b, pen_time_us us);
