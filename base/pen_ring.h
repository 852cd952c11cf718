// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Bounded single-producer, single-consumer ring of 16-byte messages: the only
// way that anything crosses between two threads around the dataplane.
//
// Threads: one producer calls pen_ring_put, one consumer calls pen_ring_get.
// Memory: pen_ring_init allocates `depth` (a power of two) entries once;
//         pen_ring_fini frees. A full ring is back-pressure, never a wait.

#include <stdbool.h>
#include <stdint.h>

struct pen_ring_msg {
	uint32_t type;
	uint32_t arg;
	void *p;
};

struct pen_ring {
	struct pen_ring_msg *slot;
	uint32_t mask;
	// Each side keeps a copy of the other's index to spare cache misses.
	_Alignas(64) uint32_t head; // producer: wo
	uint32_t tail_seen;
	_Alignas(64) uint32_t tail; // consumer: wo
	uint32_t head_seen;
};

// 0, -EINVAL (depth is not a power of two) or -ENOMEM.
int pen_ring_init(struct pen_ring *r, uint32_t depth);
void pen_ring_fini(struct pen_ring *r);

static inline bool pen_ring_put(struct pen_ring *r, struct pen_ring_msg m)
{
	uint32_t head = r->head;

	if (head - r->tail_seen > r->mask) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		if (head - r->tail_seen > r->mask)
			return false;
	}
	r->slot[head & r->mask] = m;
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
	return true;
}

static inline bool pen_ring_get(struct pen_ring *r, struct pen_ring_msg *m)
{
	uint32_t tail = r->tail;

	if (tail == r->head_seen) {
		r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		if (tail == r->head_seen)
			return false;
	}
	*m = r->slot[tail & r->mask];
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

// pen_ring_count is exact for neither side, good enough for statistics.
static inline uint32_t pen_ring_count(const struct pen_ring *r)
{
	return __atomic_load_n(&r->head, __ATOMIC_RELAXED) -
	       __atomic_load_n(&r->tail, __ATOMIC_RELAXED);
}
