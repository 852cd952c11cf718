// SPDX-License-Identifier: BSD-3-Clause

// RFC 1071: 16-bit ones-complement sums do not care about word size, since
// 2^16, 2^32 and 2^64 are all 1 modulo 65535. So sum 32-bit words into 64-bit
// lanes, which cannot overflow, and fold once at the end.

#include "pen_inet.h"

#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(16)));

static const lanes low_half = {0xffffffffu, 0xffffffffu};

// Brings a sum back below 2^33, so that callers can go on adding.
static uint64_t reduce(uint64_t sum)
{
	return (sum >> 32) + (sum & 0xffffffffu);
}

static uint64_t sum_lanes(lanes a, lanes b)
{
	lanes c = a + b;
	return reduce(c[0]) + reduce(c[1]);
}

static uint64_t tail_word(const uint8_t *p, size_t n)
{
	uint64_t w = 0;
	memcpy(&w, p, n); // n < 8: missing bytes are zero padding
	return reduce(w);
}

uint64_t pen_csum_add(uint64_t sum, const void *src, size_t n)
{
	const uint8_t *p = src;
	lanes lo0 = {0, 0}, hi0 = {0, 0}, lo1 = {0, 0}, hi1 = {0, 0};
	lanes a, b;

	sum = reduce(sum);
	for (; n >= 32; n -= 32, p += 32) {
		memcpy(&a, p, 16);
		memcpy(&b, p + 16, 16);
		lo0 += a & low_half;
		hi0 += a >> 32;
		lo1 += b & low_half;
		hi1 += b >> 32;
	}
	sum += sum_lanes(lo0, hi0) + sum_lanes(lo1, hi1);
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		sum += reduce(w);
	}
	if (n > 0)
		sum += tail_word(p, n);
	return sum;
}

uint64_t pen_csum_copy(uint64_t sum, void *dst, const void *src, size_t n)
{
	const uint8_t *p = src;
	uint8_t *d = dst;
	lanes lo0 = {0, 0}, hi0 = {0, 0}, lo1 = {0, 0}, hi1 = {0, 0};
	lanes a, b;

	sum = reduce(sum);
	for (; n >= 32; n -= 32, p += 32, d += 32) {
		memcpy(&a, p, 16);
		memcpy(&b, p + 16, 16);
		memcpy(d, &a, 16);
		memcpy(d + 16, &b, 16);
		lo0 += a & low_half;
		hi0 += a >> 32;
		lo1 += b & low_half;
		hi1 += b >> 32;
	}
	sum += sum_lanes(lo0, hi0) + sum_lanes(lo1, hi1);
	for (; n >= 8; n -= 8, p += 8, d += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		memcpy(d, &w, 8);
		sum += reduce(w);
	}
	if (n > 0) {
		memcpy(d, p, n);
		sum += tail_word(p, n);
	}
	return sum;
}

uint16_t pen_csum_fold(uint64_t sum)
{
	sum = reduce(reduce(sum));
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}
