// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include <errno.h>
#include <stdlib.h>

// Space comes back from the head of the log only: a segment is reused when its
// last message is gone. Messages that stay long are moved to the open segment
// in their current state, a few at a time, each step its own commit, so that a
// request never waits for more than one step.

#define STEP_BYTES (256u << 10)
#define STEP_MESSAGES 64u
#define RATIO 3u // log bytes to live bytes, beyond which survivors are moved
#define SLACK_SEGMENTS 4u
#define SPARE_SEGMENTS 8u // free segments kept beyond the ones always kept

static bool must_move(struct pen_spool_core *c)
{
	uint64_t size = c->cfg.segment_bytes;
	uint64_t used = (uint64_t)c->log.n * size;
	uint64_t dead = used > c->live_bytes ? used - c->live_bytes : 0;

	if (c->log.first == NULL || c->log.first == c->active)
		return false;
	// One whole turn over the log gave nothing: wait until mail has left.
	if (c->moved_idle > used)
		return false;
	if (used > RATIO * c->live_bytes + SLACK_SEGMENTS * size)
		return true;
	// Nothing is left even for changes; making one segment for moves has cleared prepare_err.
	if (c->idle.n == 0 && !spool_may_grow(c, CLASS_UPDATE))
		return dead > 0;
	if (c->idle.n > c->reserve || c->prepare_err == 0)
		return false;
	// Changes eat up the reserve: any gain counts.
	return dead > (c->idle.n < c->reserve ? size : used / 10 + size);
}

static void chain_broken(struct pen_spool_core *c, const struct spool_place *at, uint64_t id)
{
	spool_problem(c, &(struct pen_spool_problem){.kind = PEN_SPOOL_CORRUPT,
				 .file = c->slot[at->slot]->name,
				 .offset = at->off,
				 .length = SPOOL_UPDATE_FIXED,
				 .id = id});
}

// Brings m, as its MESSAGE record has it, to its current state.
static int apply_chain(struct pen_spool_core *c, const struct spool_entry *e, struct pen_message *m)
{
	struct spool_place at = {.slot = e->upd_slot, .off = e->upd_off}, *chain = NULL;
	struct spool_record r;
	uint32_t n = 0, cap = 0;
	int err = 0;

	if (at.slot != 0)
		at.epoch = c->slot[at.slot]->epoch;
	// Newest first on the disk; oldest first to apply.
	while (at.slot != 0 && at.slot < c->nslots && c->slot[at.slot] != NULL &&
		c->slot[at.slot]->epoch == at.epoch) {
		if (n == cap) {
			cap = cap != 0 ? cap * 2 : 16;
			struct spool_place *p = realloc(chain, cap * sizeof(*p));
			if (p == NULL) {
				err = -ENOMEM;
				goto out;
			}
			chain = p;
		}
		err = spool_read_record(c, c->slot[at.slot], at.off, 0, &r);
		if (err == -EBADMSG || (err == 0 && (r.id != m->id || !spool_update_sane(&r)))) {
			// Without the older changes the message is sent again to some;
			// that is better than losing it.
			chain_broken(c, &at, m->id);
			err = 0;
			break;
		}
		if (err != 0)
			goto out;
		chain[n++] = at;
		at = spool_update_prev(&r);
	}
	while (n > 0 && err == 0) {
		n--;
		err = spool_read_record(c, c->slot[chain[n].slot], chain[n].off, 0, &r);
		if (err == 0)
			err = spool_update_apply(&r, m);
	}
out:
	free(chain);
	return err;
}

// Appends a message of the victim, in its current state, to the batch.
static int move_one(struct pen_spool_core *c, struct spool_segment *s, struct spool_entry *e)
{
	struct spool_record r;
	int err = spool_read_record(c, s, e->off, e->len, &r);

	if (err == 0 && r.id != e->id)
		err = -EBADMSG;
	if (err != 0)
		return err;
	struct pen_message *m = spool_message_decode(&r, &err);
	struct pen_span content = spool_message_content(&r);
	if (m == NULL)
		return err;
	// The chain is read into the same memory: keep the content first.
	uint8_t *copy = malloc(content.n > 0 ? content.n : 1);
	if (copy == NULL) {
		pen_message_free(m);
		return -ENOMEM;
	}
	if (content.n > 0)
		memcpy(copy, content.p, content.n);
	err = apply_chain(c, e, m);
	uint64_t len = spool_message_size(m, m->content_len);
	uint64_t foot = SPOOL_FOOT_ENTRY + align8(len - m->content_len);
	uint8_t *to = NULL;
	if (err == 0)
		to = spool_batch_room(c, len, foot, CLASS_MOVE, &err);
	if (to != NULL) {
		spool_message_encode(to, m, copy);
		err = spool_batch_add(c,
			&(struct spool_op){.id = m->id, .len = (uint32_t)len, .kind = OP_MOVE},
			foot);
	}
	free(copy);
	pen_message_free(m);
	return err;
}

// A record that cannot be read as it was written is set aside; its message is
// lost, and the report says which.
static void give_up(struct pen_spool_core *c, struct spool_segment *s, struct spool_entry *e)
{
	uint64_t from = e->off & ~(uint64_t)(SPOOL_BLOCK - 1);
	uint64_t to = pen_disk_align((uint64_t)e->off + e->len), id = e->id;
	uint8_t *p = pen_disk_alloc(to - from);

	if (p == NULL)
		return;
	memset(p, 0, to - from);
	pen_disk_read(c->disk, s->file, p, to - from, from);
	if (!spool_set_aside(c, PEN_SPOOL_CORRUPT, s->name, s->epoch, e->off, p + (e->off - from),
		    e->len, id))
		s->keep = true;
	free(p);
	pthread_mutex_lock(&c->lock);
	s->live--;
	s->live_bytes -= e->len;
	c->live_bytes -= e->len;
	spool_index_remove(&c->index, id);
	pthread_mutex_unlock(&c->lock);
}

static int move_step(struct pen_spool_core *c)
{
	struct spool_segment *s = c->log.first;
	uint64_t bytes = 0;
	uint32_t n = 0;
	int err = 0;

	if (c->moving != s) {
		c->moving = s;
		c->moving_at = 0;
	}
	uint32_t at = c->moving_at;
	for (; at < s->nids && n < STEP_MESSAGES && bytes < STEP_BYTES; at++) {
		struct spool_entry *e = spool_index_find(&c->index, s->ids[at]);
		if (e == NULL || e->slot != s->slot)
			continue;
		err = move_one(c, s, e);
		if (err == -EBADMSG) {
			give_up(c, s, e);
			err = 0;
			continue;
		}
		if (err != 0)
			break;
		n++;
		bytes += e->len;
	}
	int committed = pen_spool_core_commit(c);
	if (committed != 0)
		return committed;
	c->moving_at = at;
	c->moved_idle += bytes;
	spool_free_heads(c);
	return err != 0 && err != -EAGAIN ? err : 1;
}

// Free segments beyond what a busy hour needs go back to the file system.
static bool must_trim(const struct pen_spool_core *c)
{
	return c->idle.n > c->reserve + c->cfg.ahead_segments + SPARE_SEGMENTS + c->log.n;
}

static bool trim(struct pen_spool_core *c)
{
	if (!must_trim(c))
		return false;
	spool_segment_delete(c, spool_segments_pop(&c->idle));
	return true;
}

bool pen_spool_core_wants_step(struct pen_spool_core *c)
{
	return c->naborted > 0 || c->retired.n > 0 || must_move(c) || must_trim(c) ||
	       (c->log.first != NULL && c->log.first != c->active && c->log.first->live == 0) ||
	       (!c->cfg.prepare_elsewhere && c->idle.n < c->reserve + c->cfg.ahead_segments);
}

static int step(struct pen_spool_core *c)
{
	if (pen_spool_core_dirty(c) || c->flying)
		return -EBUSY;
	pen_spool_core_apply(c);
	spool_aborted_flush(c);
	int err = pen_spool_core_commit(c);
	if (err != 0)
		return err;
	if (c->retired.n > 0) {
		err = spool_segment_delete(c, spool_segments_pop(&c->retired));
		return err != 0 ? err : 1;
	}
	if (spool_free_heads(c))
		return 1;
	if (!c->cfg.prepare_elsewhere && c->idle.n < c->reserve + c->cfg.ahead_segments &&
		spool_may_grow(c, CLASS_PUT)) {
		err = spool_prepare_now(c, CLASS_PUT);
		if (err == 0)
			return 1;
	}
	if (must_move(c))
		return move_step(c);
	if (trim(c))
		return 1;
	return err == 0 && c->naborted > 0 ? -ENOSPC : err;
}

int pen_spool_core_step(struct pen_spool_core *c)
{
	int n = step(c);

	spool_tell_full(c);
	return n;
}
