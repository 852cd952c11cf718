// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("queue.spool");

PEN_COUNTERS_DEFINE(pen_spool, PEN_SPOOL_COUNTERS);

#define RESERVE_MIN 3u // two for relocation, one for updates

static int config_check(struct pen_spool_config *cfg, char *error, size_t cap)
{
	if (cfg->segment_bytes == 0)
		cfg->segment_bytes = 64u << 20;
	if (cfg->batch_bytes == 0)
		cfg->batch_bytes = 1u << 20;
	if (cfg->ahead_segments == 0)
		cfg->ahead_segments = 2;
	if (cfg->segment_bytes % SPOOL_BLOCK != 0 || cfg->segment_bytes < SPOOL_SEGMENT_MIN ||
		cfg->segment_bytes > 1u << 30) {
		snprintf(error, cap,
			"spool segment size %llu: must be a multiple of 4096 from 32768 to "
			"1073741824",
			(unsigned long long)cfg->segment_bytes);
		return -EINVAL;
	}
	return 0;
}

static int config_sizes(struct pen_spool_core *c, char *error, size_t cap)
{
	uint64_t size = c->cfg.segment_bytes;

	c->reserve = (uint32_t)((c->cfg.reserve_bytes + size - 1) / size);
	if (c->reserve < RESERVE_MIN)
		c->reserve = RESERVE_MIN;
	if (c->cfg.max_bytes == 0)
		return 0;
	c->max_segments = (uint32_t)(c->cfg.max_bytes / size);
	if (c->max_segments >= c->reserve + 2)
		return 0;
	snprintf(error, cap, "spool size limit %llu: must hold at least %u segments of %llu bytes",
		(unsigned long long)c->cfg.max_bytes, c->reserve + 2, (unsigned long long)size);
	return -EINVAL;
}

static int disk_lock(struct pen_spool_core *c, char *error, size_t cap)
{
	const char *dir = c->cfg.directory != NULL ? c->cfg.directory : "";
	int err = c->disk->ops->lock(c->disk);

	c->locked = err == 0;
	if (err == -EWOULDBLOCK)
		snprintf(error, cap, "another process uses the spool %s (%s/lock has its number)",
			dir, dir);
	else if (err != 0)
		snprintf(error, cap, "cannot lock the spool %s: %s", dir, strerror(-err));
	return err;
}

static void core_free(struct pen_spool_core *c)
{
	for (uint32_t i = 0; i < c->nslots; i++) {
		if (c->slot[i] != NULL)
			spool_segment_free(c, c->slot[i]);
	}
	spool_index_fini(&c->index);
	pen_buf_fini(&c->foot);
	free(c->slot);
	free(c->open.p);
	free(c->open.op);
	free(c->flight.p);
	free(c->flight.op);
	free(c->landed.p);
	free(c->landed.op);
	free(c->aborted);
	free(c->scratch);
	pthread_mutex_destroy(&c->lock);
	if (c->locked)
		c->disk->ops->unlock(c->disk);
	if (c->own_disk)
		pen_disk_free(c->disk);
	free(c);
}

// The reserve first of all: it has to be there before the disk is full.
void spool_prepare_reserve(struct pen_spool_core *c)
{
	uint32_t want = c->reserve + (c->cfg.prepare_elsewhere ? 1 : c->cfg.ahead_segments);

	while (c->idle.n < want) {
		int err = spool_prepare_now(c, CLASS_PUT);
		if (err != 0) {
			pen_warning("spool: only %u of %u segments could be prepared: %s",
				c->idle.n, want, strerror(-err));
			return;
		}
	}
}

int pen_spool_core_open(const struct pen_spool_config *cfg, struct pen_spool_core **out,
	char *error, size_t error_cap)
{
	struct pen_spool_core *c = calloc(1, sizeof(*c));
	uint64_t seed = cfg->seed;

	snprintf(error, error_cap, "out of memory");
	if (c == NULL)
		return -ENOMEM;
	c->cfg = *cfg;
	c->slot_from = 1;
	pthread_mutex_init(&c->lock, NULL);
	if (seed == 0)
		pen_rand_secret(&seed, sizeof(seed));
	pen_rand_seed(&c->rand, seed);
	int err = config_check(&c->cfg, error, error_cap);
	if (err == 0)
		err = config_sizes(c, error, error_cap);
	c->disk = cfg->disk;
	if (err == 0 && c->disk == NULL) {
		err = pen_disk_posix_new(cfg->directory, &c->disk, error, error_cap);
		c->own_disk = err == 0;
	}
	if (err == 0)
		err = disk_lock(c, error, error_cap);
	if (err == 0) {
		err = spool_recover(c);
		if (err != 0)
			snprintf(error, error_cap, "cannot read the spool %s: %s",
				cfg->directory != NULL ? cfg->directory : "", strerror(-err));
	}
	if (err != 0) {
		core_free(c);
		return err;
	}
	*out = c;
	return 0;
}

void pen_spool_core_close(struct pen_spool_core *c, bool clean)
{
	pen_spool_core_apply(c);
	if (clean && c->active != NULL)
		spool_foot_write(c);
	core_free(c);
}

uint64_t pen_spool_core_next_id(struct pen_spool_core *c, pen_wall_us now)
{
	uint64_t id = now > 0 ? (uint64_t)now : 1;

	if (id <= c->last_id)
		id = c->last_id + 1;
	c->last_id = id;
	return id;
}

void pen_spool_core_stats(struct pen_spool_core *c, struct pen_spool_stats *out)
{
	const uint64_t *from = (const uint64_t *)&c->ctr;
	uint64_t *to = (uint64_t *)&out->counters;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(c->ctr) / sizeof(uint64_t); i++)
		to[i] = pen_counter_read(&from[i]);
	pthread_mutex_lock(&c->lock);
	out->live = c->index.count;
	out->live_bytes = c->live_bytes;
	out->segments = c->total;
	out->segments_used = c->log.n;
	out->segments_free = c->total - c->log.n;
	pthread_mutex_unlock(&c->lock);
}
