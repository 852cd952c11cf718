// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which session runs a lease: pointer of the lease -> session.
//
// The scheduler may free a lease as soon as it has read the ENDED event, while a
// command for it is still under way. So a command's lease is looked up by the
// value of its pointer and never read unless a session is found.
//
// Threads: owned by one worker. Memory: taken in lease_map_init for `most`
// leases; open addressing, at most half full.

#include <stdint.h>

struct session;

struct lease_map {
	struct lease_map_slot {
		const void *lease; // NULL: free
		struct session *session;
	} * slot;
	uint32_t mask;
};

int lease_map_init(struct lease_map *m, uint32_t most); // 0 or -ENOMEM
void lease_map_fini(struct lease_map *m);
void lease_map_put(struct lease_map *m, const void *lease, struct session *s);
struct session *lease_map_find(const struct lease_map *m, const void *lease);
void lease_map_remove(struct lease_map *m, const void *lease);
