// SPDX-License-Identifier: BSD-3-Clause

// Arbitrary bytes as a segment through recovery, reading, relocation and a
// second recovery. With an odd first byte the checksums are made right first,
// so that the decoders behind them are reached.

#include "pen_crc32c.h"
#include "pen_disk_sim.h"
#include "pen_err.h"
#include "pen_log.h"
#include "pen_spool_core.h"
#include "spool_record.h"

#include <stdlib.h>

#define SEGMENT 32768u
#define EPOCH ((uint64_t)7 << 32 | 0x1234567)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

struct found {
	struct pen_message *m[1024];
	unsigned n;
};

static void on_message(void *ctx, struct pen_message *m)
{
	struct found *f = ctx;

	if (f->n < 1024)
		f->m[f->n++] = m;
	else
		pen_message_free(m);
}

// Header, one batch over all of the records, and each record that has a
// plausible length, become valid.
static void make_valid(uint8_t *p)
{
	struct spool_segment_header h = {.segment_bytes = SEGMENT, .epoch = EPOCH};
	uint32_t at = SPOOL_BLOCK + SPOOL_BATCH_HEADER, end = SEGMENT - SPOOL_BLOCK;

	spool_segment_header_encode(p, &h);
	while (at + SPOOL_UPDATE_FIXED <= end) {
		uint8_t *r = p + at;
		uint32_t length = get32(r + 8) % 4096;
		if (length < SPOOL_UPDATE_FIXED || length > end - at)
			length = SPOOL_UPDATE_FIXED;
		put32(r, SPOOL_RECORD_MAGIC);
		put32(r + 8, length);
		r[12] = (uint8_t)(1 + r[12] % 3);
		r[13] = (uint8_t)(r[13] % (SPOOL_VERSION_ATTR + 2)); // and one too new
		put64(r + 24, 1 + get64(r + 24) % 8);
		spool_record_seal(r, EPOCH);
		at += (uint32_t)align8(length);
	}
	struct spool_batch_header b = {
		.epoch = EPOCH, .number = 1, .length = at - SPOOL_BLOCK, .records = 1};
	spool_batch_header_encode(p + SPOOL_BLOCK, &b);
}

static void exercise(struct pen_disk *disk)
{
	struct found f = {.n = 0};
	struct pen_spool_config cfg = {.disk = disk,
		.segment_bytes = SEGMENT,
		.max_bytes = SEGMENT * 12,
		.seed = 3,
		.ctx = &f,
		.on_message = on_message};
	struct pen_spool_core *c;
	char error[256];

	if (pen_spool_core_open(&cfg, &c, error, sizeof(error)) != 0)
		return;
	for (unsigned i = 0; i < f.n; i++) {
		struct pen_message_update u = {.id = f.m[i]->id, .next_attempt = 5};
		pen_spool_core_read(c, f.m[i]);
		pen_spool_core_update(c, &u);
		pen_message_free(f.m[i]);
	}
	pen_spool_core_commit(c);
	for (int i = 0; i < 50 && pen_spool_core_step(c) > 0; i++)
		;
	pen_spool_core_close(c, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool once;
	uint8_t *segment = calloc(1, SEGMENT);

	if (!once)
		pen_log_set_sink(quiet, NULL);
	once = true;
	PEN_ASSERT(segment != NULL);
	struct pen_disk *disk = pen_disk_sim_new(1);
	bool valid = size > 0 && (data[0] & 1) != 0;
	size_t n = size > 0 ? size - 1 : 0;
	if (n > SEGMENT)
		n = SEGMENT;
	if (n > 0 && valid)
		memcpy(segment + SPOOL_BLOCK + SPOOL_BATCH_HEADER, data + 1,
			n < SEGMENT - 2 * SPOOL_BLOCK ? n : SEGMENT - 2 * SPOOL_BLOCK);
	else if (n > 0)
		memcpy(segment, data + 1, n);
	if (valid)
		make_valid(segment);
	pen_disk_sim_put(disk, "seg-00000001", segment, valid ? SEGMENT : n);
	exercise(disk);
	pen_disk_sim_restart(disk);
	exercise(disk);
	pen_disk_free(disk);
	free(segment);
	return 0;
}
