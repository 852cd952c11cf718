// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

static bool batch_grow(struct pen_spool_core *c, uint64_t need)
{
	uint64_t want = pen_disk_align(c->open.len + need);

	if (want <= c->open.cap)
		return true;
	uint64_t cap = c->open.cap * 2 > want ? c->open.cap * 2 : want;
	uint8_t *p = pen_disk_alloc(cap);
	if (p == NULL)
		return false;
	if (c->open.p != NULL)
		memcpy(p, c->open.p, c->open.len);
	free(c->open.p);
	c->open.p = p;
	c->open.cap = cap;
	return true;
}

uint64_t spool_open_base(const struct pen_spool_core *c)
{
	return c->active->end + (c->flying ? pen_disk_align(c->flight.len) : 0);
}

static bool fits_active(const struct pen_spool_core *c, uint64_t need, uint64_t foot)
{
	if (c->active == NULL)
		return false;
	foot += c->open.foot + (c->flying ? c->flight.foot : 0) + c->landed.foot;
	return spool_open_base(c) + pen_disk_align(c->open.len + need) + spool_foot_room(c, foot) <=
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
	if (c->open.records > 0 &&
		(c->open.len + need > c->cfg.batch_bytes || !fits_active(c, need, foot)))
		return NULL;
	if (c->open.records == 0) {
		c->open.len = SPOOL_BATCH_HEADER;
		c->open.foot = 0;
	}
	if (!may_append(c, who))
		pen_spool_core_apply(c);
	if (!may_append(c, who)) {
		// What flies may free segments; and a refusal must be final.
		if (c->flying)
			return NULL;
		if (spool_may_grow(c, who))
			spool_prepare_now(c, who);
		*err = c->prepare_err != 0 ? c->prepare_err : -ENOSPC;
		if (!may_append(c, who))
			return NULL;
	}
	if (!fits_active(c, need, foot)) {
		if (c->flying) // the segment is not at its end yet
			return NULL;
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
	return c->open.p + c->open.len;
}

int spool_batch_add(struct pen_spool_core *c, const struct spool_op *op, uint64_t foot)
{
	if (c->open.nop == c->open.cap_op) {
		uint32_t cap = c->open.cap_op != 0 ? c->open.cap_op * 2 : 256;
		struct spool_op *p = realloc(c->open.op, cap * sizeof(*p));
		if (p == NULL)
			return -ENOMEM;
		c->open.op = p;
		c->open.cap_op = cap;
	}
	c->open.op[c->open.nop] = *op;
	c->open.op[c->open.nop].at = (uint32_t)c->open.len;
	c->open.nop++;
	uint8_t *p = c->open.p + c->open.len;
	memset(p + op->len, 0, align8(op->len) - op->len);
	spool_record_seal(p, c->active->epoch);
	c->open.len += align8(op->len);
	c->open.foot += foot;
	c->open.records++;
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
		c->refused = err != -EAGAIN;
		spool_tell_full(c);
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
	c->refused = false;
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
	// Making room may have brought the index up to date, whose entries move then.
	e = spool_index_find(&c->index, u->id);
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
	uint64_t at = spool_open_base(c) + c->open.len;
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
		struct spool_op op = {.id = u.id, .len = (uint32_t)len, .kind = OP_TAKE_BACK};
		if (spool_batch_add(c, &op, foot) != 0)
			return;
		c->naborted--;
	}
}

bool pen_spool_core_dirty(const struct pen_spool_core *c)
{
	return c->open.records > 0;
}

bool pen_spool_core_full(const struct pen_spool_core *c)
{
	if (c->prepare_err == 0 || c->idle.n > c->reserve)
		return false;
	// With just the reserve left, the open segment may still have room.
	return c->idle.n < c->reserve || c->refused;
}

bool pen_spool_core_short(const struct pen_spool_core *c)
{
	return c->idle.n <= c->reserve;
}
