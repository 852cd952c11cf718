// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a replay of records makes: where each message and its newest update are,
// and, for one of the check's two views, the messages themselves.

#include "spool_index.h"
#include "spool_record.h"

struct spool_seen {
	struct pen_message *m;
	uint32_t slot, off, len;
	bool ended;
};

struct spool_view {
	struct spool_index index;
	bool keep; // the messages too; an entry's flags are their places then
	struct spool_seen *seen;
	uint32_t nseen, cap_seen;
	// Whether the slot's segment may have a batch that had failed: records that
	// nobody was told about, and that later ones do not follow. NULL: none has.
	bool (*may_have_failed)(void *ctx, uint32_t slot);
	void *ctx;
	int err;
};

// False when the record makes no sense.
bool spool_view_replay(struct spool_view *v, const struct spool_record *r, uint32_t slot,
	uint32_t off, uint32_t len);
void spool_view_fini(struct spool_view *v);
// Whether the message's newest link was broken and no later record made up for it.
bool spool_view_broken(const struct spool_entry *e);
