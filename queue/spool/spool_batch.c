// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

#define MOVES_PER_BYTE 32u    // relocation that a byte of changes pays for
#define BATCH_KEEP (4u << 20) // a larger buffer is given back after its commit

static bool batch_grow(struct pen_spool_core *c, uint64_t need)
{
	uint64_t want = pen_disk_align(c->batch_len + need);

	if (want <= c->batch_cap)
		return true;
	uint64_t cap = c->batch_cap * 2 > want ? c->batch_cap * 2 : want;
	uint8_t *p = pen_disk_alloc(cap);
	if (p == NULL)
		return false;
	if (c->batch != NULL)
		memcpy(p, c->batch, c->batch_len);
	free(c->batch);
	c->batch = p;
	c->batch_cap = cap;
	return true;
}

static bool fits_active(const struct pen_spool_core *c, uint64_t need, uint64_t foot)
{
	return c->active != NULL && c->active->end + pen_disk_align(c->batch_len + need) +
						    spool_foot_room(c, c->batch_foot + foot) <=
					    c->active->size;
}

bool spool_batch_fits(const struct pen_spool_core *c, uint64_t len, uint64_t foot)
{
	uint64_t size = c->cfg.segment_bytes;
	uint64_t tail = (foot > size / 4 ? 0 : pen_disk_align(foot)) + SPOOL_BLOCK;

	return SPOOL_BLOCK + pen_disk_align(SPOOL_BATCH_HEADER + align8(len)) + tail <= size;
}

// The reserve: the last segment belongs to relocation, the ones before to
// updates, so that a full spool can still empty itself.
static bool may_append(const struct pen_spool_core *c, enum spool_class who)
{
	if (who == CLASS_PUT)
		return c->idle.n >= c->reserve;
	return who == CLASS_MOVE || c->idle.n >= 1;
}

uint8_t *spool_batch_room(
	struct pen_spool_core *c, uint64_t need, uint64_t foot, enum spool_class who, int *err)
{
	need = align8(need);
	*err = -EAGAIN;
	if (c->batch_records > 0 &&
		(c->batch_len + need > c->cfg.batch_bytes || !fits_active(c, need, foot)))
		return NULL;
	if (c->batch_records == 0) {
		c->batch_len = SPOOL_BATCH_HEADER;
		c->batch_foot = 0;
	}
	if (!may_append(c, who)) {
		if (spool_may_grow(c, who))
			spool_prepare_now(c, who);
		*err = c->prepare_err != 0 ? c->prepare_err : -ENOSPC;
		if (!may_append(c, who))
			return NULL;
	}
	if (!fits_active(c, need, foot)) {
		*err = spool_rotate(c, who);
		if (*err != 0)
			return NULL;
		*err = -ENOSPC;
		if (!fits_active(c, need, foot))
			return NULL;
	}
	*err = -ENOMEM;
	if (!batch_grow(c, need))
		return NULL;
	*err = 0;
	return c->batch + c->batch_len;
}

int spool_batch_add(struct pen_spool_core *c, const struct spool_op *op, uint64_t foot)
{
	if (c->nop == c->cap_op) {
		uint32_t cap = c->cap_op != 0 ? c->cap_op * 2 : 256;
		struct spool_op *p = realloc(c->op, cap * sizeof(*p));
		if (p == NULL)
			return -ENOMEM;
		c->op = p;
		c->cap_op = cap;
	}
	c->op[c->nop] = *op;
	c->op[c->nop].at = (uint32_t)c->batch_len;
	c->nop++;
	uint8_t *p = c->batch + c->batch_len;
	memset(p + op->len, 0, align8(op->len) - op->len);
	spool_record_seal(p, c->active->epoch);
	c->batch_len += align8(op->len);
	c->batch_foot += foot;
	c->batch_records++;
	return 0;
}

int pen_spool_core_put(struct pen_spool_core *c, const struct pen_message *m)
{
	uint64_t len = spool_message_size(m, m->content_len);
	int err;

	if (m->id == 0 || (m->content == NULL && m->content_len > 0))
		return -EINVAL;
	uint64_t foot = SPOOL_FOOT_ENTRY + align8(len - m->content_len);
	// When it is moved later it may have an error, doubts and a class that it has
	// not now.
	uint64_t slack = spool_message_growth(m->nrcpt);
	if (len == 0 || !spool_batch_fits(c, len + slack, foot + slack)) {
		PEN_COUNT(c->ctr.refused_large);
		return -EMSGSIZE;
	}
	if (spool_index_find(&c->index, m->id) != NULL)
		return -EEXIST;
	uint8_t *p = spool_batch_room(c, len, foot, CLASS_PUT, &err);
	if (p == NULL) {
		if (err == -ENOSPC)
			PEN_COUNT(c->ctr.refused_full);
		return err;
	}
	pthread_mutex_lock(&c->lock);
	struct spool_entry *e = spool_index_add(&c->index, m->id);
	if (e != NULL)
		e->flags = SPOOL_ENTRY_PENDING;
	pthread_mutex_unlock(&c->lock);
	if (e == NULL)
		return -ENOMEM;
	spool_message_encode(p, m, m->content);
	err = spool_batch_add(
		c, &(struct spool_op){.id = m->id, .len = (uint32_t)len, .kind = OP_PUT}, foot);
	if (err != 0) {
		pthread_mutex_lock(&c->lock);
		spool_index_remove(&c->index, m->id);
		pthread_mutex_unlock(&c->lock);
		return err;
	}
	if (m->id > c->last_id)
		c->last_id = m->id;
	return 0;
}

int pen_spool_core_update(struct pen_spool_core *c, const struct pen_message_update *u)
{
	return spool_update_append(c, u, false);
}

int spool_update_append(struct pen_spool_core *c, const struct pen_message_update *u, bool whole)
{
	struct spool_entry *e = spool_index_find(&c->index, u->id);
	uint64_t len = spool_update_size(u);
	int err;

	if (e == NULL || (e->flags & SPOOL_ENTRY_REMOVING))
		return -ENOENT;
	uint64_t foot = SPOOL_FOOT_ENTRY + align8(len);
	if (len == 0 || !spool_batch_fits(c, len, foot))
		return -EMSGSIZE;
	uint8_t *p = spool_batch_room(c, len, foot, whole ? CLASS_MOVE : CLASS_UPDATE, &err);
	if (p == NULL)
		return err;
	struct spool_place prev = {.slot = e->upd_slot, .off = e->upd_off};
	if (prev.slot != 0 && !u->removed && !whole)
		prev.epoch = c->slot[prev.slot]->epoch;
	else
		prev = (struct spool_place){0};
	struct spool_op op = {.id = u->id,
		.len = (uint32_t)len,
		.old_upd_slot = e->upd_slot,
		.old_upd_off = e->upd_off,
		.kind = u->removed ? OP_REMOVE : OP_UPDATE};
	spool_update_encode(p, u, &prev);
	uint64_t at = c->active->end + c->batch_len;
	err = spool_batch_add(c, &op, foot);
	if (err != 0)
		return err;
	if (u->removed) {
		e->flags |= SPOOL_ENTRY_REMOVING;
	} else {
		e->upd_slot = c->active->slot;
		e->upd_off = (uint32_t)at;
	}
	return 0;
}

// A message is now at the place its op says.
static void op_place(struct pen_spool_core *c, const struct spool_op *op, struct spool_entry *e)
{
	struct spool_segment *s = c->active;

	if (e->slot != 0) {
		struct spool_segment *old = c->slot[e->slot];
		old->live--;
		old->live_bytes -= e->len;
		c->live_bytes -= e->len;
		e->flags |= SPOOL_ENTRY_MOVED;
		e->upd_slot = 0;
	}
	e->slot = s->slot;
	e->off = (uint32_t)s->end + op->at;
	e->len = op->len;
	e->flags &= ~(uint32_t)SPOOL_ENTRY_PENDING;
	s->live++;
	s->live_bytes += op->len;
	c->live_bytes += op->len;
}

static void op_removed(struct pen_spool_core *c, const struct spool_op *op, struct spool_entry *e)
{
	struct spool_segment *s = e->slot != 0 ? c->slot[e->slot] : NULL;
	const uint8_t *record = c->batch + op->at;

	// Only an insert that this very segment's footer will leave out, and that
	// is nowhere else, can do without its tombstone there.
	if (s != c->active || (e->flags & SPOOL_ENTRY_MOVED))
		spool_foot_update(c, record, (uint32_t)c->active->end + op->at);
	if (s != NULL) {
		s->live--;
		s->live_bytes -= e->len;
		c->live_bytes -= e->len;
	}
	spool_index_remove(&c->index, op->id);
}

static void batch_apply(struct pen_spool_core *c)
{
	for (uint32_t i = 0; i < c->nop; i++) {
		const struct spool_op *op = &c->op[i];
		struct spool_entry *e = spool_index_find(&c->index, op->id);
		const uint8_t *record = c->batch + op->at;
		uint32_t off = (uint32_t)c->active->end + op->at;

		switch (op->kind) {
		case OP_PUT:
		case OP_MOVE:
			op_place(c, op, e);
			c->active->ids[c->active->nids++] = op->id;
			spool_foot_message(c, record, off);
			break;
		case OP_UPDATE:
			spool_foot_update(c, record, off);
			break;
		case OP_REMOVE:
			if (e != NULL)
				op_removed(c, op, e);
			else // of a put that had failed
				spool_foot_update(c, record, off);
			break;
		}
	}
}

static void batch_count(struct pen_spool_core *c)
{
	uint64_t allowance = MOVES_PER_BYTE * pen_disk_align(c->batch_len);
	bool changed = false;

	for (uint32_t i = 0; i < c->nop; i++) {
		const struct spool_op *op = &c->op[i];

		if (op->kind == OP_MOVE) {
			PEN_COUNT(c->ctr.relocated);
			PEN_COUNT_N(c->ctr.bytes_relocated, op->len);
			continue;
		}
		PEN_COUNT_N(c->ctr.bytes_payload, op->len);
		if (op->kind != OP_PUT)
			changed = true;
		if (op->kind == OP_PUT)
			PEN_COUNT(c->ctr.puts);
		else if (op->kind == OP_UPDATE)
			PEN_COUNT(c->ctr.updates);
		else
			PEN_COUNT(c->ctr.removals);
	}
	if (changed)
		c->moved_idle -= allowance < c->moved_idle ? allowance : c->moved_idle;
}

// Ids of puts that were answered with an error although their bytes may be on
// the medium: the next good batch ends them, so that they don't come back.
static void aborted_add(struct pen_spool_core *c, uint64_t id)
{
	if (c->naborted == c->cap_aborted) {
		uint32_t cap = c->cap_aborted != 0 ? c->cap_aborted * 2 : 64;
		uint64_t *p = realloc(c->aborted, cap * sizeof(*p));
		if (p == NULL)
			return;
		c->aborted = p;
		c->cap_aborted = cap;
	}
	c->aborted[c->naborted++] = id;
}

void spool_aborted_flush(struct pen_spool_core *c)
{
	while (c->naborted > 0) {
		struct pen_message_update u = {.id = c->aborted[c->naborted - 1], .removed = true};
		uint64_t len = spool_update_size(&u), foot = SPOOL_FOOT_ENTRY + align8(len);
		int err;
		uint8_t *p = spool_batch_room(c, len, foot, CLASS_UPDATE, &err);

		if (p == NULL)
			return;
		spool_update_encode(p, &u, &(struct spool_place){0});
		struct spool_op op = {.id = u.id, .len = (uint32_t)len, .kind = OP_REMOVE};
		if (spool_batch_add(c, &op, foot) != 0)
			return;
		c->naborted--;
	}
}

static void batch_undo(struct pen_spool_core *c)
{
	for (uint32_t i = c->nop; i-- > 0;) {
		const struct spool_op *op = &c->op[i];
		struct spool_entry *e = spool_index_find(&c->index, op->id);

		if (op->kind == OP_PUT) {
			spool_index_remove(&c->index, op->id);
			aborted_add(c, op->id);
		} else if (op->kind == OP_UPDATE) {
			e->upd_slot = op->old_upd_slot;
			e->upd_off = op->old_upd_off;
		} else if (op->kind == OP_REMOVE && e != NULL) {
			e->flags &= ~(uint32_t)SPOOL_ENTRY_REMOVING;
		} else if (op->kind == OP_REMOVE) {
			aborted_add(c, op->id);
		}
	}
}

// After a failed write the batch goes to another segment: new epoch, new
// offsets for the links between updates within the batch.
static void batch_rebase(struct pen_spool_core *c, const struct spool_segment *from, uint64_t base)
{
	struct spool_segment *to = c->active;

	for (uint32_t i = 0; i < c->nop; i++) {
		const struct spool_op *op = &c->op[i];
		uint8_t *p = c->batch + op->at;
		struct spool_entry *e = spool_index_find(&c->index, op->id);

		if (op->kind == OP_UPDATE || op->kind == OP_REMOVE) {
			struct spool_record r = {.p = p};
			struct spool_place prev = spool_update_prev(&r);
			if (prev.slot == from->slot && prev.off >= base) {
				prev.slot = to->slot;
				prev.epoch = to->epoch;
				prev.off += (uint32_t)(to->end - base);
				spool_update_set_prev(p, &prev);
			}
		}
		if (e != NULL && e->upd_slot == from->slot && e->upd_off >= base) {
			e->upd_slot = to->slot;
			e->upd_off += (uint32_t)(to->end - base);
		}
		if (op->kind == OP_PUT && e != NULL)
			e->flags |= SPOOL_ENTRY_MOVED;
		spool_record_seal(p, to->epoch);
	}
}

static int batch_write(struct pen_spool_core *c)
{
	struct spool_segment *s = c->active;
	uint64_t padded = pen_disk_align(c->batch_len);
	struct spool_batch_header h = {.epoch = s->epoch,
		.low_epoch = spool_low_epoch(c),
		.high_id = c->last_id,
		.number = s->batches + 1,
		.length = (uint32_t)c->batch_len,
		.records = c->batch_records};

	spool_batch_header_encode(c->batch, &h);
	memset(c->batch + c->batch_len, 0, padded - c->batch_len);
	int err = pen_disk_write(c->disk, s->file, c->batch, padded, s->end);
	PEN_COUNT_N(c->ctr.bytes_written, padded);
	if (err == 0) {
		PEN_COUNT(c->ctr.syncs);
		err = c->disk->ops->datasync(c->disk, s->file);
	}
	return err;
}

// Writes the batch, on a failure once more into a fresh segment.
static int batch_store(struct pen_spool_core *c)
{
	// Memory first: after the write nothing may fail.
	int err = spool_segment_reserve_ids(c->active, c->nop);

	if (err != 0)
		return err;
	err = batch_write(c);

	for (int attempt = 0; err != 0 && attempt < 2; attempt++) {
		struct spool_segment *bad = c->active;
		uint64_t base = bad->end;

		PEN_COUNT(c->ctr.io_errors);
		spool_io_problem(c, bad->name, err);
		spool_abandon(c);
		int opened = spool_rotate(c, CLASS_MOVE);
		if (opened != 0 || spool_segment_reserve_ids(c->active, c->nop) != 0)
			return err;
		batch_rebase(c, bad, base);
		// The footer's size was counted for a segment that was further on, so
		// the batch fits: a new segment has at least as much room.
		err = batch_write(c);
	}
	if (err != 0) {
		PEN_COUNT(c->ctr.io_errors);
		spool_io_problem(c, c->active->name, err);
		spool_abandon(c);
	}
	return err;
}

int pen_spool_core_commit(struct pen_spool_core *c)
{
	if (c->batch_records == 0)
		return 0;
	spool_aborted_flush(c);
	int err = batch_store(c);
	pthread_mutex_lock(&c->lock);
	if (err == 0) {
		batch_apply(c);
		c->active->end += pen_disk_align(c->batch_len);
		c->active->batches++;
	} else {
		batch_undo(c);
	}
	pthread_mutex_unlock(&c->lock);
	if (err == 0) {
		batch_count(c);
		PEN_COUNT(c->ctr.commits);
	} else {
		PEN_COUNT(c->ctr.failed_batches);
	}
	c->nop = 0;
	c->batch_records = 0;
	c->batch_len = 0;
	if (c->batch_cap > BATCH_KEEP && c->batch_cap > pen_disk_align(c->cfg.batch_bytes)) {
		free(c->batch);
		c->batch = NULL;
		c->batch_cap = 0;
	}
	if (err == 0)
		spool_free_heads(c);
	return err;
}

bool pen_spool_core_dirty(const struct pen_spool_core *c)
{
	return c->batch_records > 0;
}

bool pen_spool_core_full(const struct pen_spool_core *c)
{
	return c->idle.n < c->reserve && c->prepare_err != 0;
}
