// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Operators' hands on one message. False: nothing changed. `chosen`: a bit per recipient;
// NULL: all.

#include "pen_sched_select.h"

struct entry;
struct pen_note;

bool order_end(struct pen_sched *s, struct entry *e, const uint8_t *chosen, uint8_t fate,
	const struct pen_note *note);
bool order_delete(struct pen_sched *s, struct entry *e);
bool order_expire(struct pen_sched *s, struct entry *e, bool no_notice);
bool order_hold(struct pen_sched *s, struct entry *e);
bool order_release(struct pen_sched *s, struct entry *e);
// `doubtful`: those in doubt too.
bool order_retry(struct pen_sched *s, struct entry *e, bool doubtful);
bool order_requeue(struct pen_sched *s, struct entry *e);
bool order_move(struct pen_sched *s, struct entry *e, const struct pen_sched_order *o);
