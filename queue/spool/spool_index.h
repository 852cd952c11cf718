// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From a message's id to where its records are: open addressing, 32 bytes an
// entry and 38 to 43 with what is empty, split into shards so that growing one
// never takes long.
//
// Threads: the owner's lock covers it; a lookup's pointer is valid until the
// next insert or remove.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SPOOL_ENTRY_PENDING = 1 << 0,  // in the batch, not durable yet
	SPOOL_ENTRY_REMOVING = 1 << 1, // its removal is in the batch
	SPOOL_ENTRY_MOVED = 1 << 2,    // an older insert may still be on the disk
	SPOOL_ENTRY_BROKEN = 1 << 3,   // recovery: an update between two others is missing
};

struct spool_entry {
	uint64_t id;                // 0: the cell is empty
	uint32_t slot, off, len;    // the MESSAGE record
	uint32_t upd_slot, upd_off; // the newest UPDATE record; slot 0: none
	uint32_t flags;
};

#define SPOOL_INDEX_SHARDS 64

struct spool_index {
	struct spool_shard {
		struct spool_entry *cells;
		uint32_t cap, used;
	} shard[SPOOL_INDEX_SHARDS];
	uint64_t count;
};

void spool_index_fini(struct spool_index *x);
struct spool_entry *spool_index_find(struct spool_index *x, uint64_t id);
// The new, zeroed entry; NULL when out of memory. The id must not be there.
struct spool_entry *spool_index_add(struct spool_index *x, uint64_t id);
void spool_index_remove(struct spool_index *x, uint64_t id);
// Of an entry that was just found.
void spool_index_remove_entry(struct spool_index *x, struct spool_entry *e);
