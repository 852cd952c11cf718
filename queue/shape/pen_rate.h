// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A rate, as people write it, and the meter that keeps it exactly.
//
// Exact means as the receiver counts: in every interval of one period, wherever
// it begins, at most `count` uses. A use counts from its begin (the permission)
// until one period after its end (the reply), so that no delay between us and
// the receiver moves two uses closer together than they were allowed to be.
// `burst` spaces uses inside the period: never more than `burst` at once, and on
// average no faster than count / period.
//
// Pure arithmetic; time is passed in. A meter is a value of fixed size.

#include "pen_span.h"
#include "pen_time.h"

#include <stdbool.h>

struct pen_rate {
	uint64_t count;     // 0 with period 0: no limit; 0 with a period: nothing may pass
	pen_time_us period; // of one of the units, or a multiple: "10/5min"
	uint64_t burst;     // at least 1; by default what one second takes, at least 1
};

// pen_rate_parse reads "100/s", "1,000/h", "1_000 / 15 min", "50/d, burst=5" and
// "unlimited". Units: s sec second, m min minute, h hr hour, d day, and their
// plurals. A number may end in k, M, G or T (powers of 1000): "10M/s".
// false: *why is a sentence that names what is accepted, *at the offset of the
// fault.
bool pen_rate_parse(struct pen_span text, struct pen_rate *out, const char **why, size_t *at);
#define PEN_RATE_STR_MAX 64
const char *pen_rate_str(const struct pen_rate *r, char out[PEN_RATE_STR_MAX]);
static inline bool pen_rate_limited(const struct pen_rate *r)
{
	return r->period != 0;
}

#define PEN_METER_SLOTS 64

struct pen_meter {
	uint64_t open;                  // begun and not ended
	uint64_t used;                  // ended, and not a period ago: the sum of `slot`
	pen_time_us newest;             // the start of the newest slot
	pen_time_us next;               // spacing: when all begun so far is paid for, in 1/1024 us
	uint32_t at;                    // the newest slot
	uint32_t slot[PEN_METER_SLOTS]; // ends per 1/63 of a period
};

void pen_meter_init(struct pen_meter *m);
// As after a start when nothing is known of what went before: nothing passes
// for one period.
void pen_meter_fill(struct pen_meter *m, const struct pen_rate *r, pen_time_us now);
// When `n` more may begin: `now` or earlier when they may at once; PEN_TIME_NEVER
// when not before something that is open has ended. n above count is cut to it,
// so that a mail larger than a byte rate passes alone.
pen_time_us pen_meter_when(
	struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n);
void pen_meter_begin(struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n);
// The use is over. `happened` false: it never took place, and does not count.
void pen_meter_end(
	struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n, bool happened);
// How much of the rate is taken now, for people.
uint64_t pen_meter_used(struct pen_meter *m, const struct pen_rate *r, pen_time_us now);

// `n` uses that are known to have ended at `ended`, now or earlier. PEN_METER_FULL: as many as
// any rate allows, whatever it is changed to.
#define PEN_METER_FULL (UINT64_MAX / 4)
void pen_meter_past(struct pen_meter *m, const struct pen_rate *r, pen_time_us now,
	pen_time_us ended, uint64_t n);
// What still counts, oldest first: so many ended at that time or shortly before.
typedef void pen_meter_slot_fn(void *ctx, pen_time_us ended, uint64_t n);
void pen_meter_each(const struct pen_meter *m, const struct pen_rate *r, pen_time_us now,
	pen_meter_slot_fn *fn, void *ctx);
// Another rate from now on. What is known of the past still counts: of a longer period than
// before only the old one's is known.
void pen_meter_change(struct pen_meter *m, const struct pen_rate *from, const struct pen_rate *to,
	pen_time_us now);
