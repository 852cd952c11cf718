// SPDX-License-Identifier: BSD-3-Clause
#include "spool_record.h"

#include "pen_crc32c.h"

// Segment header, batch header and trailer: magic, checksum of what follows it.
static void block_seal(uint8_t *p, uint32_t magic, size_t n)
{
	put32(p, magic);
	put32(p + 4, pen_crc32c(0, p + 8, n - 8));
}

static bool block_check(const uint8_t *p, uint32_t magic, size_t n)
{
	return get32(p) == magic && get32(p + 4) == pen_crc32c(0, p + 8, n - 8);
}

void spool_segment_header_encode(uint8_t block[SPOOL_BLOCK], const struct spool_segment_header *h)
{
	memset(block, 0, SPOOL_BLOCK);
	put32(block + 8, SPOOL_VERSION);
	put64(block + 16, h->segment_bytes);
	put64(block + 24, h->epoch);
	put64(block + 32, h->low_epoch);
	put64(block + 40, h->high_id);
	put64(block + 48, h->prev_epoch);
	put64(block + 56, h->prev_end);
	block_seal(block, SPOOL_SEGMENT_MAGIC, 64);
}

bool spool_segment_header_decode(const uint8_t *block, struct spool_segment_header *h)
{
	if (!block_check(block, SPOOL_SEGMENT_MAGIC, 64) || get32(block + 8) != SPOOL_VERSION)
		return false;
	h->segment_bytes = get64(block + 16);
	h->epoch = get64(block + 24);
	h->low_epoch = get64(block + 32);
	h->high_id = get64(block + 40);
	h->prev_epoch = get64(block + 48);
	h->prev_end = get64(block + 56);
	return h->epoch != 0;
}

uint32_t spool_segment_header_newer(const uint8_t *block)
{
	return block_check(block, SPOOL_SEGMENT_MAGIC, 64) && get32(block + 8) > SPOOL_VERSION
		       ? get32(block + 8)
		       : 0;
}

void spool_batch_header_encode(uint8_t *p, const struct spool_batch_header *h)
{
	memset(p, 0, SPOOL_BATCH_HEADER);
	put64(p + 8, h->epoch);
	put64(p + 16, h->low_epoch);
	put64(p + 24, h->high_id);
	put32(p + 32, h->number);
	put32(p + 36, h->length);
	put32(p + 40, h->records);
	block_seal(p, SPOOL_BATCH_MAGIC, SPOOL_BATCH_HEADER);
}

bool spool_batch_header_decode(const uint8_t *p, struct spool_batch_header *h)
{
	if (!block_check(p, SPOOL_BATCH_MAGIC, SPOOL_BATCH_HEADER))
		return false;
	h->epoch = get64(p + 8);
	h->low_epoch = get64(p + 16);
	h->high_id = get64(p + 24);
	h->number = get32(p + 32);
	h->length = get32(p + 36);
	h->records = get32(p + 40);
	return h->length >= SPOOL_BATCH_HEADER && h->epoch != 0;
}

void spool_trailer_encode(uint8_t block[SPOOL_BLOCK], const struct spool_trailer *t)
{
	memset(block, 0, SPOOL_BLOCK);
	put32(block + 8, SPOOL_VERSION);
	put64(block + 16, t->epoch);
	put64(block + 24, t->low_epoch);
	put64(block + 32, t->high_id);
	put64(block + 40, t->end);
	put32(block + 48, t->foot_off);
	put32(block + 52, t->foot_len);
	put32(block + 56, t->foot_crc);
	block_seal(block, SPOOL_TRAILER_MAGIC, 64);
}

bool spool_trailer_decode(const uint8_t *block, struct spool_trailer *t)
{
	if (!block_check(block, SPOOL_TRAILER_MAGIC, 64) || get32(block + 8) != SPOOL_VERSION)
		return false;
	t->epoch = get64(block + 16);
	t->low_epoch = get64(block + 24);
	t->high_id = get64(block + 32);
	t->end = get64(block + 40);
	t->foot_off = get32(block + 48);
	t->foot_len = get32(block + 52);
	t->foot_crc = get32(block + 56);
	return t->epoch != 0;
}

bool spool_blocks_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}
