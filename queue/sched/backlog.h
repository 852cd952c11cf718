// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Mail that waits for the resolver to have room, in a queue of its tenant.

#include <stdbool.h>
#include <stdint.h>

struct entry;
struct pen_sched;

void backlog_push(struct pen_sched *s, struct entry *e);
void backlog_take(struct pen_sched *s, struct entry *e);
uint32_t backlog_work(struct pen_sched *s, uint32_t budget);
bool backlog_ready(const struct pen_sched *s);
