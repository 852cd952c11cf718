// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What recovery knows while it brings the index and the messages to what the
// segments say, one after the other, from the oldest epoch on.

#include "spool_core.h"

// Meanwhile an entry's flags above these hold the message's place in `msg`.
#define SPOOL_REPLAY_BITS 4
#define SPOOL_REPLAY_FLAGS ((1u << SPOOL_REPLAY_BITS) - 1)

struct recovery {
	struct pen_spool_core *c;
	struct found *found;
	uint32_t nfound, cap_found;
	struct pen_message **msg; // as they were first seen; NULL: gone, or there again later
	uint32_t nmsg, cap_msg;
	struct spool_segment *at; // being replayed
	const uint8_t *bytes;     // of it, when it is scanned
	uint64_t low, high_id, high_epoch;
	int err;
};

// Replays one segment, by its footer or by its records; r->err when that failed.
void spool_replay(struct recovery *r, struct spool_segment *s);
