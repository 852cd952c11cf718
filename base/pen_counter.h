// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters: one line declares the name and the help text.
//
//   In the header, an X-macro list and its declaration:
//     #define PEN_ARP_COUNTERS(X) X(rx_replies, "replies received") X(...)
//     PEN_COUNTERS_DECLARE(pen_arp, PEN_ARP_COUNTERS);
//   In one .c file:
//     PEN_COUNTERS_DEFINE(pen_arp, PEN_ARP_COUNTERS);
//   Where it happens:
//     PEN_COUNT(ctr->rx_replies);
//
// Threads: exactly one thread writes a given struct; any thread may read it
// through a pen_counter_set. Counters only grow.

#include <stddef.h>
#include <stdint.h>

struct pen_counter_desc {
	const char *name;
	const char *help;
};

// A readable view of one struct of counters.
struct pen_counter_set {
	const char *group; // "tcp", "smtp_client"...
	const struct pen_counter_desc *desc;
	const uint64_t *value;
	uint32_t n;
};

#define PEN_COUNTER_FIELD(name, help) uint64_t name;
#define PEN_COUNTER_DESC(name, help) {#name, help},

#define PEN_COUNTERS_DECLARE(prefix, list)                                                         \
	struct prefix##_counters {                                                                 \
		list(PEN_COUNTER_FIELD)                                                            \
	};                                                                                         \
	extern const struct pen_counter_desc prefix##_counter_desc[];                              \
	struct pen_counter_set prefix##_counter_set(const struct prefix##_counters *c)

#define PEN_COUNTERS_DEFINE(prefix, list)                                                          \
	const struct pen_counter_desc prefix##_counter_desc[] = {list(PEN_COUNTER_DESC)};          \
	struct pen_counter_set prefix##_counter_set(const struct prefix##_counters *c)             \
	{                                                                                          \
		return (struct pen_counter_set){#prefix, prefix##_counter_desc,                    \
			(const uint64_t *)c, sizeof(*c) / sizeof(uint64_t)};                       \
	}                                                                                          \
	_Static_assert(sizeof(struct prefix##_counters) % sizeof(uint64_t) == 0, "counters only")

// Single writer: a plain add, but one that a reader never sees torn.
#define PEN_COUNT_N(c, by)                                                                         \
	__atomic_store_n(                                                                          \
		&(c), __atomic_load_n(&(c), __ATOMIC_RELAXED) + (uint64_t)(by), __ATOMIC_RELAXED)
#define PEN_COUNT(c) PEN_COUNT_N(c, 1)

static inline uint64_t pen_counter_read(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}
