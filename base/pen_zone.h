// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Time zones: how far the clock on the wall is from UTC, and until when.
//
// Reads a TZif file (RFC 9636, all versions), as /usr/share/zoneinfo has them,
// from memory. Beyond its table the rule in its footer holds for ever.
//
// Threads: a struct pen_zone is read-only after pen_zone_parse.
// Memory:  none of its own; it points into the file's bytes, which must stay.
// Limits:  files that count leap seconds ("right/...") are refused: our clock
//          does not.

#include "pen_span.h"
#include "pen_time.h"

#include <stdbool.h>

// A change of the clock by the rule of a footer.
struct pen_zone_change {
	uint8_t form;         // 'M' month, week, weekday; 'J' day without 29 February; 'N' day
	uint16_t month, week; // 'M'
	uint16_t day;         // 'M': weekday, 0 Sunday; else the day of the year
	int32_t time;         // seconds after that day's midnight, may be negative
};

struct pen_zone {
	const uint8_t *times, *indexes, *types;
	uint32_t ntimes, ntypes;
	uint8_t width;    // of a time: 4 or 8 bytes
	bool has_rule;    // the footer's
	bool has_dst;     // and it changes the clock twice a year
	int32_t std, dst; // seconds east of UTC
	struct pen_zone_change to_dst, to_std;
};

// 0, or -EBADMSG when it is no such file.
int pen_zone_parse(struct pen_zone *z, struct pen_span file);

// Seconds east of UTC at `at`, and until when that holds (PEN_TIME_NEVER).
void pen_zone_at(const struct pen_zone *z, pen_wall_us at, int32_t *offset, pen_wall_us *until);

// A name that may be looked for below a folder of zones: "Europe/Berlin".
#define PEN_ZONE_NAME_MAX 47
bool pen_zone_name_valid(struct pen_span name);
