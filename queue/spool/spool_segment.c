// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("queue.spool");

#define PREPARE_CHUNK (1u << 20)

void spool_segments_push(struct spool_segments *l, struct spool_segment *s)
{
	s->next = NULL;
	if (l->last != NULL)
		l->last->next = s;
	else
		l->first = s;
	l->last = s;
	l->n++;
}

struct spool_segment *spool_segments_pop(struct spool_segments *l)
{
	struct spool_segment *s = l->first;

	if (s == NULL)
		return NULL;
	l->first = s->next;
	if (l->first == NULL)
		l->last = NULL;
	l->n--;
	s->next = NULL;
	return s;
}

void spool_segment_name(uint32_t slot, char out[SPOOL_NAME_MAX])
{
	snprintf(out, SPOOL_NAME_MAX, "seg-%08x", (unsigned)slot);
}

uint32_t spool_segment_slot(const char *name)
{
	unsigned slot;
	char again[SPOOL_NAME_MAX];

	if (sscanf(name, "seg-%8x", &slot) != 1 || slot == 0 || slot > 1u << 24)
		return 0;
	spool_segment_name(slot, again);
	return strcmp(name, again) == 0 ? slot : 0;
}

static int slots_grow(struct pen_spool_core *c, uint32_t slot)
{
	if (slot < c->nslots)
		return 0;
	uint32_t n = c->nslots != 0 ? c->nslots : 64;
	while (n <= slot)
		n *= 2;
	struct spool_segment **p = realloc(c->slot, n * sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	memset(p + c->nslots, 0, (n - c->nslots) * sizeof(*p));
	c->slot = p;
	c->nslots = n;
	return 0;
}

struct spool_segment *spool_segment_attach(
	struct pen_spool_core *c, uint32_t slot, const char *name, int *err)
{
	struct spool_segment *s = calloc(1, sizeof(*s));

	*err = -ENOMEM;
	if (s == NULL)
		return NULL;
	pthread_mutex_lock(&c->lock);
	int grown = slots_grow(c, slot);
	pthread_mutex_unlock(&c->lock);
	if (grown != 0)
		goto fail;
	s->slot = slot;
	snprintf(s->name, sizeof(s->name), "%s", name);
	*err = c->disk->ops->open(c->disk, name, PEN_DISK_DIRECT, &s->file);
	if (*err != 0)
		goto fail;
	int64_t size = c->disk->ops->size(c->disk, s->file);
	if (size < 0) {
		*err = (int)size;
		c->disk->ops->close(c->disk, s->file);
		goto fail;
	}
	s->size = (uint64_t)size & ~(uint64_t)(SPOOL_BLOCK - 1);
	s->state = SEGMENT_FREE;
	pthread_mutex_lock(&c->lock);
	c->slot[slot] = s;
	c->total++;
	pthread_mutex_unlock(&c->lock);
	return s;
fail:
	free(s);
	return NULL;
}

void spool_segment_free(struct pen_spool_core *c, struct spool_segment *s)
{
	pthread_mutex_lock(&c->lock);
	c->slot[s->slot] = NULL;
	c->total--;
	s->orphan = true;
	bool reading = s->pins > 0;
	pthread_mutex_unlock(&c->lock);
	if (!reading)
		spool_segment_release(c, s);
}

void spool_segment_release(struct pen_spool_core *c, struct spool_segment *s)
{
	c->disk->ops->close(c->disk, s->file);
	free(s->ids);
	free(s);
}

int spool_segment_delete(struct pen_spool_core *c, struct spool_segment *s)
{
	int err = c->disk->ops->remove(c->disk, s->name);

	if (err == 0 || err == -ENOENT)
		err = c->disk->ops->sync_dir(c->disk, "");
	if (err != 0) {
		spool_io_problem(c, s->name, err);
		spool_segments_push(&c->retired, s);
		return err;
	}
	PEN_COUNT(c->ctr.segments_removed);
	spool_segment_free(c, s);
	c->prepare_err = 0;
	return 0;
}

int spool_segment_reserve_ids(struct spool_segment *s, uint32_t more)
{
	uint32_t cap = s->nids + more;

	if (cap <= s->cap_ids)
		return 0;
	cap += cap / 8 + 64;
	uint64_t *p = realloc(s->ids, cap * sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	s->ids = p;
	s->cap_ids = cap;
	return 0;
}

uint32_t spool_slot_unused(struct pen_spool_core *c)
{
	uint32_t slot = c->slot_from;

	while (slot == c->preparing || (slot < c->nslots && c->slot[slot] != NULL))
		slot++;
	return slot;
}

int pen_spool_core_prepare(const struct pen_spool_core *c, uint32_t slot)
{
	struct pen_disk *disk = c->disk;
	uint64_t segment_bytes = c->cfg.segment_bytes;
	char name[SPOOL_NAME_MAX];
	struct pen_disk_file *f;
	uint64_t chunk = segment_bytes < PREPARE_CHUNK ? segment_bytes : PREPARE_CHUNK;
	uint8_t *zeros = pen_disk_alloc(chunk);

	if (zeros == NULL)
		return -ENOMEM;
	memset(zeros, 0, chunk);
	spool_segment_name(slot, name);
	int err = disk->ops->open(disk, name, PEN_DISK_CREATE | PEN_DISK_DIRECT, &f);
	if (err != 0) {
		free(zeros);
		return err;
	}
	for (uint64_t off = 0; off < segment_bytes && err == 0; off += chunk) {
		uint64_t n = segment_bytes - off < chunk ? segment_bytes - off : chunk;
		err = pen_disk_write(disk, f, zeros, n, off);
		if (c->cfg.prepare_pace != NULL)
			c->cfg.prepare_pace(c->cfg.prepare_ctx);
	}
	if (err == 0)
		err = disk->ops->datasync(disk, f);
	disk->ops->close(disk, f);
	if (err == 0)
		err = disk->ops->sync_dir(disk, "");
	if (err != 0)
		disk->ops->remove(disk, name);
	free(zeros);
	return err;
}

#define OVER_LIMIT 4u // segments

bool spool_may_grow(struct pen_spool_core *c, enum spool_class who)
{
	uint32_t most = who == CLASS_PUT ? c->max_segments : c->max_segments + c->reserve;

	// Failed writes and crashes leave segments half used, and can eat up the reserve. Without
	// a segment to move mail to none is ever freed: then the limit is worth less than that.
	if (who == CLASS_MOVE && c->idle.n == 0)
		most += c->max_segments / 8 + OVER_LIMIT;
	if (c->max_segments != 0 && c->total + (c->preparing != 0) >= most)
		return false;
	int64_t room = c->disk->ops->free_bytes(c->disk);
	return room < 0 || (uint64_t)room >= c->cfg.segment_bytes;
}

void pen_spool_core_prepared(struct pen_spool_core *c, uint32_t slot, int err)
{
	char name[SPOOL_NAME_MAX];

	if (c->preparing == slot)
		c->preparing = 0;
	c->prepare_err = err;
	if (err != 0) {
		// Part of the file may have stayed: leave the name alone.
		if (err != -ENOSPC)
			c->slot_from = slot + 1;
		if (err != -ENOSPC) {
			PEN_COUNT(c->ctr.io_errors);
			spool_segment_name(slot, name);
			spool_io_problem(c, name, err);
		}
		return;
	}
	PEN_COUNT_N(c->ctr.bytes_prepared, c->cfg.segment_bytes);
	spool_segment_name(slot, name);
	struct spool_segment *s = spool_segment_attach(c, slot, name, &c->prepare_err);
	if (s != NULL)
		spool_segments_push(&c->idle, s);
}

int spool_prepare_now(struct pen_spool_core *c, enum spool_class who)
{
	if (!spool_may_grow(c, who)) {
		c->prepare_err = -ENOSPC;
		return -ENOSPC;
	}
	// A file that nobody knows may be in the way: then the next name.
	for (int attempt = 0; attempt < 4; attempt++) {
		uint32_t slot = spool_slot_unused(c);
		pen_spool_core_prepared(c, slot, pen_spool_core_prepare(c, slot));
		if (c->prepare_err != -EEXIST)
			return c->prepare_err;
	}
	return -EIO;
}

uint32_t pen_spool_core_wanted(struct pen_spool_core *c)
{
	if (c->preparing != 0 || c->idle.n >= c->reserve + c->cfg.ahead_segments ||
		!spool_may_grow(c, CLASS_PUT))
		return 0;
	c->preparing = spool_slot_unused(c);
	return c->preparing;
}

uint64_t spool_low_epoch(const struct pen_spool_core *c)
{
	return c->log.first != NULL ? c->log.first->epoch : 0;
}

// The next segment to reuse: in the order in which they were freed, so that no
// tombstone is overwritten before the insert it ends.
static struct spool_segment *take_free(struct pen_spool_core *c, enum spool_class who)
{
	static const uint32_t must_leave[] = {[CLASS_UPDATE] = 1, [CLASS_MOVE] = 0};
	uint32_t leave = who == CLASS_PUT ? c->reserve : must_leave[who];

	for (;;) {
		if (c->idle.n <= leave && spool_prepare_now(c, who) != 0)
			return NULL;
		struct spool_segment *s = spool_segments_pop(&c->idle);
		if (s == NULL || !s->discard)
			return s;
		spool_segment_delete(c, s);
	}
}

static int write_header(struct pen_spool_core *c, struct spool_segment *s, uint64_t epoch)
{
	uint8_t *block = pen_disk_alloc(SPOOL_BLOCK);

	if (block == NULL)
		return -ENOMEM;
	struct spool_segment_header h = {
		.segment_bytes = s->size,
		.epoch = epoch,
		// An empty log leaves nothing below its first segment.
		.low_epoch = c->log.first != NULL ? c->log.first->epoch : epoch,
		.high_id = c->last_id,
		.prev_epoch = c->active != NULL && c->active->batches > 0 ? c->active->epoch
									  : c->closed_epoch,
		.prev_end = c->active != NULL && c->active->batches > 0 ? c->active->end
									: c->closed_end,
	};
	spool_segment_header_encode(block, &h);
	int err = pen_disk_write(c->disk, s->file, block, SPOOL_BLOCK, 0);
	free(block);
	PEN_COUNT_N(c->ctr.bytes_written, SPOOL_BLOCK);
	if (err == 0) {
		PEN_COUNT(c->ctr.syncs);
		err = c->disk->ops->datasync(c->disk, s->file);
	}
	return err;
}

// Ends the active segment, all of whose batches are durable.
static void close_active(struct pen_spool_core *c)
{
	struct spool_segment *s = c->active;

	if (s == NULL)
		return;
	spool_foot_write(c);
	c->closed_epoch = s->epoch;
	c->closed_end = s->end;
	s->state = SEGMENT_USED;
	c->active = NULL;
}

int spool_rotate(struct pen_spool_core *c, enum spool_class who)
{
	int err = -ENOSPC;

	PEN_ASSERT(c->active == NULL || (c->open.records == 0 && !c->flying));
	pen_spool_core_apply(c);
	// A disk that fails writes would fail them on every segment: try two.
	for (int attempt = 0; attempt < 2; attempt++) {
		struct spool_segment *s = take_free(c, who);
		if (s == NULL)
			return attempt > 0 || c->prepare_err == 0 ? err : c->prepare_err;
		uint64_t epoch = (uint64_t)c->next_epoch++ << 32 | (uint32_t)pen_rand_u64(&c->rand);
		err = write_header(c, s, epoch);
		if (err != 0) {
			PEN_COUNT(c->ctr.io_errors);
			spool_io_problem(c, s->name, err);
			// Its header may be on the medium and says where the open segment
			// ends. If the file stays, nothing may follow there.
			if (spool_segment_delete(c, s) != 0)
				spool_abandon(c);
			continue;
		}
		close_active(c);
		s->epoch = epoch;
		s->end = SPOOL_BLOCK;
		s->closed_end = 0;
		s->batches = 0;
		s->nids = 0;
		s->state = SEGMENT_ACTIVE;
		pen_buf_fini(&c->foot);
		c->foot.limit = s->size / 4;
		pthread_mutex_lock(&c->lock);
		c->active = s;
		spool_segments_push(&c->log, s);
		pthread_mutex_unlock(&c->lock);
		PEN_COUNT(c->ctr.segments_opened);
		return 0;
	}
	return err;
}

void spool_abandon(struct pen_spool_core *c)
{
	struct spool_segment *s = c->active;

	if (s == NULL)
		return;
	// What this segment holds beyond its last good batch is unknown, so nobody
	// may call it whole: its torn end is no corruption.
	s->state = SEGMENT_USED;
	s->discard = true;
	c->active = NULL;
	c->closed_epoch = 0;
	c->closed_end = 0;
	pen_buf_fini(&c->foot);
	PEN_COUNT(c->ctr.segments_abandoned);
}

// Before the oldest segment leaves the log: what could not be copied out of it
// when it was found stays in its file.
static int keep_away(struct pen_spool_core *c)
{
	return spool_segment_away(c, c->log.first, PEN_SPOOL_CORRUPT);
}

bool spool_free_heads(struct pen_spool_core *c)
{
	bool freed = false;

	while (c->log.first != NULL && c->log.first != c->active && c->log.first->live == 0) {
		if (c->log.first->keep && keep_away(c) != 0)
			break;
		pthread_mutex_lock(&c->lock);
		struct spool_segment *s = spool_segments_pop(&c->log);
		s->state = SEGMENT_FREE;
		pthread_mutex_unlock(&c->lock);
		if (c->moving == s)
			c->moving = NULL;
		free(s->ids);
		s->ids = NULL;
		s->nids = s->cap_ids = 0;
		PEN_COUNT(c->ctr.segments_freed);
		freed = true;
		if (s->keep) {
			spool_segment_free(c, s);
			continue;
		}
		spool_segments_push(&c->idle, s);
		pen_debug("segment %s is free", s->name);
	}
	return freed;
}
