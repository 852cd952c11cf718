// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The machine's time zones by name, each read once (base/pen_zone.h).
//
// Threads: one at a time. Memory: pen_zones_free frees it all. A file that
// changes is read at the next start.

#include "pen_zone.h"

struct pen_zones;

#define PEN_ZONES_FOLDER "/usr/share/zoneinfo"

struct pen_zones *pen_zones_new(const char *folder); // copied; NULL: no memory
void pen_zones_free(struct pen_zones *z);            // NULL is fine

// Seconds east of UTC at `at`, and until when that holds. False: there is no such
// zone, or its name leads out of the folder.
bool pen_zones_at(
	struct pen_zones *z, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until);
