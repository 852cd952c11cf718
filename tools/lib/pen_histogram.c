// SPDX-License-Identifier: BSD-3-Clause
#include "pen_histogram.h"

#include <string.h>

#define SUB_BITS 6

void pen_histogram_init(struct pen_histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

static unsigned index_of(uint64_t v)
{
	if (v < 2 * PEN_HISTOGRAM_SUB)
		return (unsigned)v;
	unsigned shift = 63 - (unsigned)__builtin_clzll(v) - SUB_BITS;
	return shift * PEN_HISTOGRAM_SUB + (unsigned)(v >> shift);
}

// The largest value that lands in bucket i.
static uint64_t upper_bound(unsigned i)
{
	if (i < 2 * PEN_HISTOGRAM_SUB)
		return i;
	unsigned shift = i / PEN_HISTOGRAM_SUB - 1;
	uint64_t low = (uint64_t)(i - shift * PEN_HISTOGRAM_SUB) << shift;
	return low + ((1ull << shift) - 1);
}

void pen_histogram_add(struct pen_histogram *h, uint64_t value)
{
	h->bucket[index_of(value)]++;
	h->count++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

void pen_histogram_merge(struct pen_histogram *into, const struct pen_histogram *from)
{
	for (unsigned i = 0; i < PEN_HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum += from->sum;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t pen_histogram_quantile(const struct pen_histogram *h, double q)
{
	uint64_t seen = 0;

	if (h->count == 0)
		return 0;
	double want = q * (double)h->count;
	for (unsigned i = 0; i < PEN_HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > 0 && (double)seen >= want) {
			uint64_t bound = upper_bound(i);
			return bound < h->max ? bound : h->max;
		}
	}
	return h->max;
}
