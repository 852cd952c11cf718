// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

// A batch becomes durable while the next one fills: begin takes it out of the
// open place, write puts it on the disk (any thread), end says whether it is
// durable, apply brings the index to that. As apply can wait, the disk has the
// next batch meanwhile. When the write failed, what filled meanwhile is dropped
// first, so that everything is undone in the opposite order.

#define MOVES_PER_BYTE 32u    // relocation that a byte of changes pays for
#define BATCH_KEEP (4u << 20) // a larger buffer is given back after its commit

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
	e->off = (uint32_t)c->landed.base + op->at;
	e->len = op->len;
	e->flags &= ~(uint32_t)SPOOL_ENTRY_PENDING;
	s->live++;
	s->live_bytes += op->len;
	c->live_bytes += op->len;
}

static void op_removed(struct pen_spool_core *c, const struct spool_op *op, struct spool_entry *e)
{
	struct spool_segment *s = e->slot != 0 ? c->slot[e->slot] : NULL;
	const uint8_t *record = c->landed.p + op->at;

	// Only an insert that this very segment's footer will leave out, and that
	// is nowhere else, can do without its tombstone there.
	if (s != c->active || (e->flags & SPOOL_ENTRY_MOVED))
		spool_foot_update(c, record, (uint32_t)c->landed.base + op->at);
	if (s != NULL) {
		s->live--;
		s->live_bytes -= e->len;
		c->live_bytes -= e->len;
	}
	spool_index_remove_entry(&c->index, e);
}

static void landed_apply(struct pen_spool_core *c)
{
	for (uint32_t i = 0; i < c->landed.nop; i++) {
		const struct spool_op *op = &c->landed.op[i];
		struct spool_entry *e = spool_index_find(&c->index, op->id);
		const uint8_t *record = c->landed.p + op->at;
		uint32_t off = (uint32_t)c->landed.base + op->at;

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
		case OP_TAKE_BACK:
			if (e != NULL)
				op_removed(c, op, e);
			else // of a put that had failed
				spool_foot_update(c, record, off);
			break;
		}
	}
}

static void landed_count(struct pen_spool_core *c)
{
	uint64_t allowance = MOVES_PER_BYTE * pen_disk_align(c->landed.len);
	bool changed = false;

	PEN_COUNT(c->ctr.commits);
	for (uint32_t i = 0; i < c->landed.nop; i++) {
		const struct spool_op *op = &c->landed.op[i];

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

void pen_spool_core_take_back(struct pen_spool_core *c, uint64_t id)
{
	aborted_add(c, id);
}

// `written`: some of the batch's bytes may be on the medium.
static void batch_undo(struct pen_spool_core *c, struct spool_batch *b, bool written)
{
	for (uint32_t i = b->nop; i-- > 0;) {
		const struct spool_op *op = &b->op[i];
		struct spool_entry *e = spool_index_find(&c->index, op->id);

		if (op->kind == OP_PUT) {
			spool_index_remove(&c->index, op->id);
			if (written)
				aborted_add(c, op->id);
		} else if (op->kind == OP_UPDATE) {
			e->upd_slot = op->old_upd_slot;
			e->upd_off = op->old_upd_off;
		} else if (op->kind == OP_REMOVE && e != NULL) {
			e->flags &= ~(uint32_t)SPOOL_ENTRY_REMOVING;
		} else if (op->kind == OP_TAKE_BACK) {
			aborted_add(c, op->id);
		}
	}
}

static void batch_clear(struct pen_spool_core *c, struct spool_batch *b)
{
	b->nop = 0;
	b->records = 0;
	b->len = 0;
	b->foot = 0;
	if (b->cap > BATCH_KEEP && b->cap > 2 * pen_disk_align(c->cfg.batch_bytes)) {
		free(b->p);
		b->p = NULL;
		b->cap = 0;
	}
}

// After a failed write the batch goes to another segment: new epoch, new
// offsets for the links between updates within the batch.
static void flight_rebase(struct pen_spool_core *c, const struct spool_segment *from, uint64_t base)
{
	struct spool_segment *to = c->active;

	for (uint32_t i = 0; i < c->flight.nop; i++) {
		const struct spool_op *op = &c->flight.op[i];
		uint8_t *p = c->flight.p + op->at;
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

static void flight_seal(struct pen_spool_core *c)
{
	struct spool_batch *b = &c->flight;
	uint64_t padded = pen_disk_align(b->len);
	struct spool_batch_header h = {.epoch = c->active->epoch,
		.low_epoch = spool_low_epoch(c),
		.high_id = c->last_id,
		.number = c->active->batches + 1,
		.length = (uint32_t)b->len,
		.records = b->records};

	spool_batch_header_encode(b->p, &h);
	memset(b->p + b->len, 0, padded - b->len);
	PEN_COUNT_N(c->ctr.bytes_written, padded);
	PEN_COUNT(c->ctr.syncs);
}

int pen_spool_core_begin(struct pen_spool_core *c)
{
	PEN_ASSERT(!c->flying);
	if (c->open.records == 0)
		return 0;
	spool_aborted_flush(c);
	// Memory first: after the write nothing may fail.
	int err = spool_segment_reserve_ids(c->active, c->landed.nop + c->open.nop);
	if (err != 0) {
		pen_spool_core_drop(c);
		return err;
	}
	struct spool_batch free_one = c->flight;
	c->flight = c->open;
	c->open = free_one;
	c->flying = true;
	flight_seal(c);
	return 1;
}

int pen_spool_core_write(const struct pen_spool_core *c)
{
	const struct spool_segment *s = c->active;
	int err = pen_disk_write(
		c->disk, s->file, c->flight.p, pen_disk_align(c->flight.len), s->end);

	return err != 0 ? err : c->disk->ops->datasync(c->disk, s->file);
}

void pen_spool_core_drop(struct pen_spool_core *c)
{
	pthread_mutex_lock(&c->lock);
	batch_undo(c, &c->open, false);
	pthread_mutex_unlock(&c->lock);
	batch_clear(c, &c->open);
}

// The write failed: up to twice more, each time into a fresh segment.
static int flight_retry(struct pen_spool_core *c, int err)
{
	for (int attempt = 0; err != 0 && attempt < 2; attempt++) {
		struct spool_segment *bad = c->active;
		uint64_t base = bad->end;

		PEN_COUNT(c->ctr.io_errors);
		spool_io_problem(c, bad->name, err);
		spool_abandon(c);
		int opened = spool_rotate(c, CLASS_MOVE);
		if (opened != 0 || spool_segment_reserve_ids(c->active, c->flight.nop) != 0)
			return err;
		pthread_mutex_lock(&c->lock);
		flight_rebase(c, bad, base);
		pthread_mutex_unlock(&c->lock);
		// The footer's size was counted for a segment that was further on, so
		// the batch fits: a new segment has at least as much room.
		flight_seal(c);
		err = pen_spool_core_write(c);
	}
	if (err != 0) {
		PEN_COUNT(c->ctr.io_errors);
		spool_io_problem(c, c->active->name, err);
		spool_abandon(c);
	}
	return err;
}

// The batch is durable: the next one goes behind it.
static void flight_landed(struct pen_spool_core *c)
{
	struct spool_batch free_one = c->landed;

	c->landed = c->flight;
	c->flight = free_one;
	c->landed.base = c->active->end;
	c->active->end += pen_disk_align(c->landed.len);
	c->active->batches++;
}

void pen_spool_core_apply(struct pen_spool_core *c)
{
	if (c->landed.records == 0)
		return;
	pthread_mutex_lock(&c->lock);
	landed_apply(c);
	pthread_mutex_unlock(&c->lock);
	landed_count(c);
	batch_clear(c, &c->landed);
	spool_free_heads(c);
}

int pen_spool_core_end(struct pen_spool_core *c, int err, bool *dropped)
{
	PEN_ASSERT(c->flying);
	*dropped = err != 0 && c->open.records > 0;
	pen_spool_core_apply(c);
	if (err != 0) {
		pen_spool_core_drop(c);
		err = flight_retry(c, err);
	}
	c->flying = false;
	if (err == 0) {
		flight_landed(c);
		return 0;
	}
	pthread_mutex_lock(&c->lock);
	batch_undo(c, &c->flight, true);
	pthread_mutex_unlock(&c->lock);
	PEN_COUNT(c->ctr.failed_batches);
	batch_clear(c, &c->flight);
	return err;
}

int pen_spool_core_commit(struct pen_spool_core *c)
{
	bool dropped;
	int err = pen_spool_core_begin(c);

	if (err == 1)
		err = pen_spool_core_end(c, pen_spool_core_write(c), &dropped);
	pen_spool_core_apply(c);
	return err;
}
