// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The fields by which a client says how its message is to be treated:
//
//   X-Penstock-Tenant, -Campaign, -Pool: a name (pen_mail_class.h)
//   X-Penstock-Priority: high, normal or low
//   X-Penstock-Schedule: see send_schedule.h
//
// Other fields whose names begin like that are the message's own.
//
// Pure; spans point into the block that was scanned.

#include "pen_buf.h"
#include "pen_message.h"

#define X_HEADERS_WHY_MAX 400

struct x_headers {
	bool any; // one of these fields is there
	struct pen_span tenant, campaign, pool;
	struct pen_span priority_text;
	enum pen_priority priority;
	bool scheduled;
	struct pen_message_extra extra; // with `scheduled`: its times and window
	// What is wrong: "X-Penstock-Priority: urgent: accepted is high, normal or low".
	// Empty: nothing.
	char why[X_HEADERS_WHY_MAX];
};

// The first fault ends the scan.
void x_headers_scan(struct pen_span block, pen_wall_us now, struct x_headers *out);
// Appends the block without these fields.
void x_headers_strip(struct pen_span block, struct pen_buf *out);
