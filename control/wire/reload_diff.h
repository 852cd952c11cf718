// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a reload changes, what it cannot change, and what it must not.
//
// Threads: the main thread; nothing of it is kept.

#include "pen_config.h"

#include <jansson.h>

struct reload_diff {
	json_t *changed; // names of parameters and files that take effect at once
	json_t *restart; // {"name", "value", "in_effect", "file", "line"}: only after a restart
};

// Compares `next` with what runs: `now` the configuration, `boot` the one of the start, `shape`
// the shaping. False: sources or pools are not what shaping counts by; the fault is reported and
// nothing may change. True: next's pools are put into the order of those in use. The lists are
// the caller's in every case.
bool reload_compare(const struct pen_config *boot, const struct pen_config *now,
	const struct pen_shape_config *shape, struct pen_config *next, struct reload_diff *out,
	struct pen_report *r);
// Whether a parameter takes effect at run time.
bool reload_is_live(const char *name);
size_t reload_live_count(void); // for tests
