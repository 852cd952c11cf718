// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Telling the sender what became of a message.

#include "pen_time.h"

#include <stdbool.h>

struct entry;
struct pen_sched;

// Somebody is to be told of what happened in this pass.
bool bounce_wanted(const struct pen_sched *s, const struct entry *e);
// The entry may be gone afterwards.
void bounce_submit(struct pen_sched *s, struct entry *e);
// Nobody will be told of the failures: they end as deleted.
void bounce_forget(struct entry *e);
// When its sender is to be told that it is late; PEN_TIME_NEVER.
pen_wall_us bounce_delay_at(const struct pen_sched *s, const struct entry *e);
void bounce_delay(struct pen_sched *s, struct entry *e);
