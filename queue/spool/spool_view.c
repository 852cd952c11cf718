// SPDX-License-Identifier: BSD-3-Clause
#include "spool_view.h"

#include <errno.h>
#include <stdlib.h>

// An entry's flags: SPOOL_ENTRY_BROKEN, and the place in `seen` above them.
#define FLAG_BITS 4

static struct spool_seen *seen_of(struct spool_view *v, const struct spool_entry *e)
{
	return &v->seen[e->flags >> FLAG_BITS];
}

static bool seen_add(struct spool_view *v, struct spool_entry *e)
{
	if (v->nseen == v->cap_seen) {
		uint32_t cap = v->cap_seen != 0 ? v->cap_seen * 2 : 1024;
		struct spool_seen *p = realloc(v->seen, cap * sizeof(*p));
		if (p == NULL)
			return false;
		v->seen = p;
		v->cap_seen = cap;
	}
	if (v->nseen >= UINT32_MAX >> FLAG_BITS)
		return false;
	v->seen[v->nseen] = (struct spool_seen){0};
	e->flags = v->nseen++ << FLAG_BITS;
	return true;
}

static bool replay_message(struct spool_view *v, const struct spool_record *r, uint32_t slot,
	uint32_t off, uint32_t len)
{
	struct spool_entry *e = spool_index_find(&v->index, r->id);
	struct pen_message *m = NULL;
	int err = 0;

	if (v->keep && (m = spool_message_decode(r, &err)) == NULL) {
		v->err = err == -ENOMEM ? err : v->err;
		return false;
	}
	if (e == NULL) {
		e = spool_index_add(&v->index, r->id);
		if (e == NULL || (v->keep && !seen_add(v, e))) {
			v->err = -ENOMEM;
			pen_message_free(m);
			return true;
		}
	}
	e->slot = slot;
	e->off = off;
	e->len = len;
	e->upd_slot = e->upd_off = 0;
	e->flags &= ~(uint32_t)SPOOL_ENTRY_BROKEN;
	if (v->keep) {
		struct spool_seen *s = seen_of(v, e);
		pen_message_free(s->m);
		*s = (struct spool_seen){.m = m, .slot = slot, .off = off, .len = len};
	}
	return true;
}

static bool replay_update(
	struct spool_view *v, const struct spool_record *r, uint32_t slot, uint32_t off)
{
	struct spool_entry *e = spool_index_find(&v->index, r->id);

	if (!spool_update_sane(r))
		return false;
	// Without its message: one that ended, and whose segment is used again.
	if (e == NULL)
		return true;
	if (v->keep && spool_update_apply(r, seen_of(v, e)->m) != 0)
		v->err = -ENOMEM;
	if (spool_update_removed(r)) {
		if (v->keep)
			seen_of(v, e)->ended = true;
		spool_index_remove(&v->index, r->id);
		return true;
	}
	struct spool_place prev = spool_update_prev(r);
	// An update without a link has the whole state, or is the first. One may
	// pass over records of a batch that had failed.
	bool follows = prev.slot == e->upd_slot && prev.off == e->upd_off;
	bool passes =
		v->may_have_failed != NULL &&
		(v->may_have_failed(v->ctx, e->slot) || v->may_have_failed(v->ctx, e->upd_slot));
	if (prev.slot == 0 || (passes && !follows))
		e->flags &= ~(uint32_t)SPOOL_ENTRY_BROKEN;
	else if (!follows)
		e->flags |= SPOOL_ENTRY_BROKEN;
	e->upd_slot = slot;
	e->upd_off = off;
	return true;
}

bool spool_view_replay(struct spool_view *v, const struct spool_record *r, uint32_t slot,
	uint32_t off, uint32_t len)
{
	if (r->type == SPOOL_UPDATE)
		return replay_update(v, r, slot, off);
	return replay_message(v, r, slot, off, len);
}

bool spool_view_broken(const struct spool_entry *e)
{
	return e->flags & SPOOL_ENTRY_BROKEN;
}

void spool_view_fini(struct spool_view *v)
{
	for (uint32_t i = 0; i < v->nseen; i++)
		pen_message_free(v->seen[i].m);
	free(v->seen);
	spool_index_fini(&v->index);
}
