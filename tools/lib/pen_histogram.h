// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Histogram of durations with a bounded relative error.
//
// Values below 128 are counted exactly; above, each power of two is divided
// into 64 equal buckets, so that a reported percentile is at most 1/64 above
// the recorded value. The maximum is exact.
//
// Memory: the struct only (30 KiB). Threads: owned by one thread.

#include <stdint.h>

#define PEN_HISTOGRAM_SUB 64
#define PEN_HISTOGRAM_BUCKETS ((64 - 6) * PEN_HISTOGRAM_SUB + PEN_HISTOGRAM_SUB)

struct pen_histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t min, max;
	uint64_t bucket[PEN_HISTOGRAM_BUCKETS];
};

void pen_histogram_init(struct pen_histogram *h);
void pen_histogram_add(struct pen_histogram *h, uint64_t value);
// pen_histogram_merge adds all of `from` to `into`.
void pen_histogram_merge(struct pen_histogram *into, const struct pen_histogram *from);
// pen_histogram_quantile returns the least bucket bound (but at most max) that
// is not below a share `q` (0..1) of the values; 0 when there are none.
uint64_t pen_histogram_quantile(const struct pen_histogram *h, double q);
