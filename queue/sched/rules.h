// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What replies and TCP tell the automation.

#include "pen_sched.h"

struct lease;
struct result;

void rules_match(struct pen_sched *s, struct result *r, const struct pen_dsn *d,
	struct pen_sched_match *out);
void rules_reply(struct pen_sched *s, struct lease *l, struct pen_shape_class *k,
	const struct pen_sched_match *match, const struct pen_dsn *d);
// What the lease has seen since the last time; d: NULL, or the delivery that ended.
void rules_signs(struct pen_sched *s, struct lease *l, const struct pen_delivery *d);
