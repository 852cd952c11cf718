// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The parts of a world (sched_world.h): each sets those ops that it answers.

#include "sched_world.h"

void world_resolver_ops(struct pen_sched_ops *ops); // sched_world_resolver.c
void world_worker_ops(struct pen_sched_ops *ops);   // sched_world_worker.c
void world_spool_ops(struct pen_sched_ops *ops);    // sched_world_spool.c
