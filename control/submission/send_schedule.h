// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When a message may be sent, as the field X-Penstock-Schedule says it:
//
//   not-before=2026-11-22T08:00:00Z; not-after=2026-11-24T08:00:00+01:00;
//   days=mon-fri,sun; hours=09:00-17:00; zone=Europe/Berlin
//
// Any part may be missing, none may stand twice. Times are those of RFC 3339; days
// are names of three letters or ranges of them, over the end of the week too; hours
// are [from, to), over midnight when `to` is not after `from`, up to 24:00. Without
// days every day counts, without hours the whole day, without a zone UTC.
//
// Pure. Whether the zone exists is for the caller to find out.

#include "pen_message.h"

#define SEND_SCHEDULE_WHY_MAX 128

// Fills the times and the window of *out, which is cleared first. False: why[] says
// in a few words what is accepted.
bool send_schedule_parse(struct pen_span text, pen_wall_us now, struct pen_message_extra *out,
	char why[SEND_SCHEDULE_WHY_MAX]);
