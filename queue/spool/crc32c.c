// SPDX-License-Identifier: BSD-3-Clause
#include "pen_crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY 0x82f63b78u // reflected

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ ((c & 1) ? POLY : 0);
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int k = 1; k < 8; k++)
			table[k][i] = table[0][table[k - 1][i] & 255] ^ (table[k - 1][i] >> 8);
	}
}

uint32_t pen_crc32c_portable(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint32_t c = ~crc;

	pthread_once(&table_once, table_fill);
	for (; n >= 8; n -= 8, b += 8) {
		c ^= (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
		     (uint32_t)b[3] << 24;
		c = table[7][c & 255] ^ table[6][(c >> 8) & 255] ^ table[5][(c >> 16) & 255] ^
		    table[4][c >> 24] ^ table[3][b[4]] ^ table[2][b[5]] ^ table[1][b[6]] ^
		    table[0][b[7]];
	}
	for (; n > 0; n--, b++)
		c = table[0][(c ^ *b) & 255] ^ (c >> 8);
	return ~c;
}

#if defined(__x86_64__)
// The instruction has a latency of three cycles and can start one each cycle:
// three streams side by side, put together by shifting a checksum over the bytes
// that follow it. Over zeros that is linear: a table for each byte of it.
#define LONG 1024u
#define SHORT 128u

static uint32_t shift_long[4][256], shift_short[4][256];
static pthread_once_t shift_once = PTHREAD_ONCE_INIT;

static void shift_fill_one(uint32_t shift[4][256], size_t zeros)
{
	uint32_t bit[32];

	for (int i = 0; i < 32; i++) {
		uint32_t c = 1u << i;
		for (size_t n = 0; n < zeros; n++)
			c = table[0][c & 255] ^ (c >> 8);
		bit[i] = c;
	}
	for (int k = 0; k < 4; k++) {
		for (uint32_t b = 0; b < 256; b++) {
			uint32_t c = 0;
			for (int i = 0; i < 8; i++)
				c ^= (b >> i & 1) ? bit[k * 8 + i] : 0;
			shift[k][b] = c;
		}
	}
}

static void shift_fill(void)
{
	pthread_once(&table_once, table_fill);
	shift_fill_one(shift_long, LONG);
	shift_fill_one(shift_short, SHORT);
}

static uint32_t shifted(uint32_t shift[4][256], uint32_t c)
{
	return shift[0][c & 255] ^ shift[1][(c >> 8) & 255] ^ shift[2][(c >> 16) & 255] ^
	       shift[3][c >> 24];
}

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, 8);
	return w;
}

__attribute__((target("sse4.2"))) static uint32_t crc_triple(
	uint32_t crc, const uint8_t *b, size_t step, uint32_t shift[4][256])
{
	uint64_t c0 = crc, c1 = 0, c2 = 0;

	for (const uint8_t *end = b + step; b < end; b += 8) {
		c0 = _mm_crc32_u64(c0, word_at(b));
		c1 = _mm_crc32_u64(c1, word_at(b + step));
		c2 = _mm_crc32_u64(c2, word_at(b + 2 * step));
	}
	c1 ^= shifted(shift, (uint32_t)c0);
	return (uint32_t)c2 ^ shifted(shift, (uint32_t)c1);
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(
	uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t c = (uint32_t)~crc;

	if (n >= (size_t)3 * SHORT)
		pthread_once(&shift_once, shift_fill);
	for (; n >= (size_t)3 * LONG; n -= (size_t)3 * LONG, b += (size_t)3 * LONG)
		c = crc_triple((uint32_t)c, b, LONG, shift_long);
	for (; n >= (size_t)3 * SHORT; n -= (size_t)3 * SHORT, b += (size_t)3 * SHORT)
		c = crc_triple((uint32_t)c, b, SHORT, shift_short);
	for (; n >= 8; n -= 8, b += 8)
		c = _mm_crc32_u64(c, word_at(b));
	for (; n > 0; n--, b++)
		c = _mm_crc32_u8((uint32_t)c, *b);
	return ~(uint32_t)c;
}
#endif

uint32_t pen_crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, p, n);
#endif
	return pen_crc32c_portable(crc, p, n);
}
