// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When mail may be sent by the clock on the wall of some time zone: pure
// arithmetic over the offsets that the caller's zone function gives.
//
// A window opens on each of its days at `from` and closes at `to`, on the next
// day when that is not later. What the clock skips (the hour when summer time
// begins) is not waited for: a window opens at the first moment behind the gap
// that it holds; what the clock shows twice, it opens twice.

#include "pen_message.h"

// As the `zone` op: seconds east of UTC at `at`, and until when that holds.
typedef bool pen_zone_fn(
	void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until);

// The first moment from `at` on at which the window is open: `at` itself when it
// is. A window without days is always open; an unknown zone is taken as UTC.
// PEN_TIME_NEVER: not within two weeks, so never.
pen_wall_us pen_send_window_opens(
	const struct pen_send_window *w, pen_wall_us at, pen_zone_fn *zone, void *ctx);

// It is open at `at`: until when for certain. PEN_TIME_NEVER: it has no end.
pen_wall_us pen_send_window_closes(
	const struct pen_send_window *w, pen_wall_us at, pen_zone_fn *zone, void *ctx);
