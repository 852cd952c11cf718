// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Whether a batch waits for company although the disk is free: where requests come
// in crowds, a flush for every few of them would cost more processor time than the
// mail. Pure decisions; the time is the caller's.

#include "pen_time.h"

#include <stdbool.h>
#include <stdint.h>

#define SPOOL_CROWD 40u                // requests that are worth a batch,
#define SPOOL_CROWD_BYTES (256u << 10) // or so much of them
#define SPOOL_CROWD_MIN 4u             // requests of the last batch: fewer came one by one
#define SPOOL_CROWD_US 2000            // after the last flush, at most
#define SPOOL_CROWD_LOOK_US 250        // nobody came meanwhile: nobody will

struct spool_crowd {
	uint32_t last;        // requests of the last batch
	uint32_t fresh;       // requests that wait,
	uint64_t fresh_bytes; // and their bytes
	pen_time_us flushed;  // when the last flush ended
};

// What waits is worth a batch.
bool spool_crowd_enough(uint32_t fresh, uint64_t fresh_bytes);
// Until when to wait for more; 0: what is there goes. `had`: `fresh` at the look
// before, 0 at the first.
pen_time_us spool_crowd_wait(const struct spool_crowd *c, uint32_t had, pen_time_us now);
