// SPDX-License-Identifier: BSD-3-Clause
#include "spool_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void on_name(void *ctx, const char *name)
{
	struct check *k = ctx;
	uint32_t slot = spool_segment_slot(name);

	if (slot == 0)
		return;
	if (k->nseg == k->cap_seg) {
		uint32_t cap = k->cap_seg != 0 ? k->cap_seg * 2 : 64;
		struct seg *p = realloc(k->seg, cap * sizeof(*p));
		if (p == NULL) {
			k->err = -ENOMEM;
			return;
		}
		k->seg = p;
		k->cap_seg = cap;
	}
	struct seg *s = &k->seg[k->nseg++];
	*s = (struct seg){.slot = slot};
	snprintf(s->name, sizeof(s->name), "%s", name);
}

static int by_epoch(const void *a, const void *b)
{
	const struct seg *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->slot < y->slot ? -1 : 1;
}

// A segment that was given up after an error was never closed.
static bool may_have_failed(void *ctx, uint32_t slot)
{
	const struct check *k = ctx;

	for (uint32_t i = 0; i < k->nseg; i++) {
		if (k->seg[i].slot == slot)
			return !k->seg[i].closed;
	}
	return false;
}

// The newest segment is open, and so may be one that was given up after an
// error: closed is what a successor or a trailer says is whole.
static bool is_closed(struct check *k, const struct seg *s)
{
	uint8_t *block = pen_disk_alloc(SPOOL_BLOCK);
	struct spool_trailer t;

	if (s->closed_end != 0 || block == NULL) {
		free(block);
		return s->closed_end != 0;
	}
	bool closed =
		spool_check_read(k, s, block, SPOOL_BLOCK, s->size - SPOOL_BLOCK) == SPOOL_BLOCK &&
		spool_trailer_decode(block, &t) && t.epoch == s->epoch;
	free(block);
	return closed;
}

static void link_segments(struct check *k)
{
	if (k->nseg > 0)
		qsort(k->seg, k->nseg, sizeof(*k->seg), by_epoch);
	for (uint32_t i = 1; i < k->nseg; i++) {
		struct seg *s = &k->seg[i], *before = s - 1;
		if (s->epoch == 0)
			continue;
		if (s->epoch == before->epoch) {
			spool_check_fault(k, 24, 8, 0, "has the same epoch as %s", before->name);
			spool_check_tell(k, s->name);
		}
		if (s->have_header && before->epoch == s->header.prev_epoch) {
			before->closed_end = s->header.prev_end;
			before->followed = s->has_batch;
		}
	}
}

static void check_segments(struct check *k)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < k->nseg; i++)
		total += k->seg[i].size;
	for (uint32_t i = 0; i < k->nseg && k->err == 0; i++) {
		struct seg *s = &k->seg[i];
		k->out->bytes += s->size;
		if (s->epoch == 0)
			continue;
		if (s->epoch < k->low || s->size < (uint64_t)4 * SPOOL_BLOCK) {
			k->out->fresh++;
		} else if (k->out->online && !is_closed(k, s)) {
			k->out->skipped++;
			k->gaps = k->gaps || i + 1 < k->nseg;
		} else {
			spool_check_segment(k, s);
		}
		if (k->cfg->on_progress != NULL)
			k->cfg->on_progress(k->cfg->ctx, k->out->bytes, total);
	}
}

// Of an unfinished batch any record may have survived, without the one before.
static bool is_torn(const struct check *k, uint32_t slot)
{
	for (uint32_t i = 0; i < k->nseg; i++) {
		if (k->seg[i].slot == slot)
			return k->seg[i].torn;
	}
	return false;
}

// Both indexes have to agree; links have to lead from update to update.
static void compare_views(struct check *k)
{
	char name[SPOOL_NAME_MAX];

	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++) {
		const struct spool_shard *s = &k->scan.index.shard[i];
		for (uint32_t at = 0; at < s->cap; at++) {
			const struct spool_entry *e = &s->cells[at];
			if (e->id == 0)
				continue;
			const struct spool_entry *f = spool_index_find(&k->foot.index, e->id);
			if (f == NULL)
				spool_check_fault(k, e->off, e->len, e->id,
					"the message is in no footer: a recovery would lose it");
			else if (f->slot != e->slot || f->off != e->off || f->len != e->len)
				spool_check_fault(k, e->off, e->len, e->id,
					"a footer has the message at another place");
			else if (f->upd_slot != e->upd_slot || f->upd_off != e->upd_off)
				spool_check_fault(k, e->off, e->len, e->id,
					"a footer leaves out the message's last change");
			if (spool_view_broken(e) && !is_torn(k, e->upd_slot) &&
				!may_have_failed(k, e->upd_slot))
				spool_check_fault(k, e->upd_off, SPOOL_UPDATE_FIXED, e->id,
					"a change does not follow the one before it");
			spool_segment_name(e->slot, name);
			spool_check_tell(k, name);
		}
	}
	for (int i = 0; i < SPOOL_INDEX_SHARDS; i++) {
		const struct spool_shard *s = &k->foot.index.shard[i];
		for (uint32_t at = 0; at < s->cap; at++) {
			const struct spool_entry *f = &s->cells[at];
			if (f->id == 0 || spool_index_find(&k->scan.index, f->id) != NULL)
				continue;
			spool_check_fault(k, f->off, f->len, f->id,
				"a footer has a message that has ended: a recovery would bring it "
				"back");
			spool_segment_name(f->slot, name);
			spool_check_tell(k, name);
		}
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct spool_seen *)a)->m->id;
	uint64_t y = ((const struct spool_seen *)b)->m->id;

	return x < y ? -1 : x > y;
}

static void count_message(struct pen_spool_totals *t, const struct spool_seen *s)
{
	bool queued = pen_message_live(s->m);

	if (s->ended && queued) {
		t->taken_back++;
		return;
	}
	t->live += !s->ended;
	t->ended += s->ended;
	for (uint32_t i = 0; i < s->m->nrcpt; i++) {
		const struct pen_recipient *r = &s->m->rcpt[i];
		t->recipients[r->fate]++;
		if (!s->ended)
			t->live_recipients[r->fate]++;
		t->in_doubt += r->fate == PEN_FATE_QUEUED && r->doubts > 0;
	}
}

static void hand_out(struct check *k)
{
	struct spool_view *v = &k->scan;
	char name[SPOOL_NAME_MAX];

	if (v->nseen > 0)
		qsort(v->seen, v->nseen, sizeof(*v->seen), by_id);
	for (uint32_t i = 0; i < v->nseen; i++) {
		const struct spool_seen *s = &v->seen[i];
		count_message(&k->out->totals, s);
		if (k->cfg->on_message == NULL)
			continue;
		spool_segment_name(s->slot, name);
		struct pen_spool_seen out = {.m = s->m,
			.ended = s->ended,
			.file = name,
			.offset = s->off,
			.length = s->len};
		k->cfg->on_message(k->cfg->ctx, &out);
	}
}

static int run(struct check *k)
{
	int err = k->disk->ops->list(k->disk, on_name, k);

	for (uint32_t i = 0; i < k->nseg && k->err == 0 && err == 0; i++)
		spool_check_head(k, &k->seg[i]);
	if (err == 0 && k->err == 0) {
		k->out->segments = k->nseg;
		for (uint32_t i = 0; i < k->nseg; i++) {
			if (!k->seg[i].have_header)
				spool_check_headless(k, &k->seg[i]);
		}
		link_segments(k);
		k->scan.keep = true;
		k->scan.may_have_failed = may_have_failed;
		k->scan.ctx = k;
		check_segments(k);
		k->err = k->err != 0 ? k->err : k->scan.err != 0 ? k->scan.err : k->foot.err;
		if (k->err == 0 && !k->gaps)
			compare_views(k);
		if (k->err == 0)
			hand_out(k);
	}
	return err != 0 ? err : k->err;
}

static int open_folder(struct check *k, char *error, size_t cap)
{
	struct stat st;
	int err = 0;

	k->disk = k->cfg->disk;
	if (k->disk != NULL)
		return 0;
	if (stat(k->cfg->directory, &st) != 0)
		err = -errno;
	else if (!S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err == 0)
		return pen_disk_posix_new(k->cfg->directory, &k->disk, error, cap);
	snprintf(error, cap, "cannot read the spool %s: %s", k->cfg->directory, strerror(-err));
	return err;
}

int pen_spool_check(const struct pen_spool_check_config *cfg, struct pen_spool_check *out,
	char *error, size_t error_cap)
{
	struct check k = {.cfg = cfg, .out = out};

	memset(out, 0, sizeof(*out));
	int err = open_folder(&k, error, error_cap);
	if (err != 0)
		return err;
	err = k.disk->ops->lock_shared(k.disk);
	out->online = err == -EWOULDBLOCK;
	if (err == 0 || out->online)
		err = run(&k);
	if (err != 0)
		snprintf(error, error_cap, "cannot read the spool %s: %s",
			cfg->directory != NULL ? cfg->directory : "", strerror(-err));
	spool_view_fini(&k.scan);
	spool_view_fini(&k.foot);
	free(k.seg);
	free(k.held);
	if (cfg->disk == NULL)
		pen_disk_free(k.disk);
	else if (!out->online)
		k.disk->ops->unlock(k.disk);
	return err;
}
