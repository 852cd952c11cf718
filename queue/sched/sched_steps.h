// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: steps in a world (sched_world.h) that several of them take.

#include "pen_test.h"
#include "sched_world.h"

// Every lease comes up, and every delivery is answered with `reply`.
static inline void answer_all(struct world *w, unsigned reply)
{
	world_ready_all(w);
	while (w->nflying > 0)
		world_answer(w, w->flying[0], reply);
}

// Every lease comes up; the oldest delivery of the first that has one, or NULL.
static inline struct pen_delivery *first_delivery(struct world *w)
{
	world_ready_all(w);
	for (uint32_t i = 0; i < w->nlease; i++) {
		struct pen_delivery *d = w->lease[i].l != NULL ? world_oldest(w, i) : NULL;
		if (d != NULL)
			return d;
	}
	return NULL;
}

static inline const struct world_log *last_log(const struct world *w)
{
	assert_true(w->nlog > 0);
	return &w->log[w->nlog - 1];
}

// A message that arrived now with these flags (PEN_MESSAGE_*). Returns its id.
static inline uint64_t add_flagged(
	struct world *w, const char *sender, const char *rcpt, uint32_t flags)
{
	return world_recover(w, sender, rcpt, world_wall(w), world_wall(w), flags);
}
