// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a bad network does to a stream of frames, as a pure function of a seed.
//
// For each frame impair_decide draws whether it is lost, doubled, damaged or
// held back; frames that wait are kept in an impair_queue until their time.
// Percentages are of frames. A frame is reordered by holding it back a little
// so that later ones overtake it.
//
// Threads: none of its own. Memory: impair_queue_init allocates once.

#include "pen_rand.h"
#include "pen_time.h"

#include <stdbool.h>

struct impair_config {
	double loss, reorder, dup, corrupt; // percent
	pen_time_us delay;                  // of every frame
	pen_time_us reorder_hold;           // how long at most a frame is held back
	uint64_t seed;
};

struct impair {
	struct impair_config cfg;
	struct pen_rand rand;
	uint64_t frames, lost, reordered, doubled, corrupted;
};

#define IMPAIR_COPIES_MAX 2

struct impair_plan {
	unsigned copies; // 0: lost
	pen_time_us at[IMPAIR_COPIES_MAX];
	bool corrupt;
	uint32_t corrupt_bit; // of the whole frame, Ethernet header excluded
};

void impair_init(struct impair *im, const struct impair_config *cfg);
// len: bytes of the frame from the Ethernet header on.
void impair_decide(struct impair *im, uint32_t len, pen_time_us now, struct impair_plan *plan);

// Frames ordered by the time at which they leave; equal times keep their order.
struct impair_item {
	pen_time_us at;
	uint64_t order;
	void *frame;
	uint32_t len;
};
struct impair_queue {
	struct impair_item *heap;
	uint32_t n, cap;
	uint64_t order;
};

int impair_queue_init(struct impair_queue *q, uint32_t cap); // 0 or -ENOMEM
void impair_queue_fini(struct impair_queue *q);
bool impair_queue_put(struct impair_queue *q, pen_time_us at, void *frame, uint32_t len);
// The next frame that is due; NULL when none is.
void *impair_queue_get(struct impair_queue *q, pen_time_us now, uint32_t *len);
pen_time_us impair_queue_next(const struct impair_queue *q);
