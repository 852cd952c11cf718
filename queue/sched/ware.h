// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Wares: what the queues of next hops, flows and tenants are made of.

#include "link.h"

#include <stdint.h>

// What stands in a queue: a job, or a message that has none yet. `at` says where:
// the address of the queue's owner with the bits below.
struct ware {
	struct link link;
	uintptr_t at;
};
enum {
	WARE_JOB = 1 << 0, // of a struct job; otherwise of a struct entry
	WARE_BACKLOG = 0 << 1,
	WARE_NEXTHOP = 1 << 1,
	WARE_FLOW = 2 << 1,
	WARE_PLACE = 3 << 1,
	WARE_BITS = 7,
};

struct flow;

static inline struct flow *ware_flow(const struct ware *w)
{
	return (struct flow *)(w->at & ~(uintptr_t)WARE_BITS);
}
static inline bool ware_is_job(const struct ware *w)
{
	return (w->at & WARE_JOB) != 0;
}
