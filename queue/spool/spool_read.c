// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include <errno.h>
#include <stdlib.h>

// Reads [off, off + len) with whole blocks into p (room for span_room(len)).
// The bytes asked for start at p + off % block. -EIO when the file ends before.
static size_t span_room(uint32_t len)
{
	return (size_t)pen_disk_align((uint64_t)len) + 2 * (size_t)SPOOL_BLOCK;
}

static int read_span(
	struct pen_spool_core *c, struct pen_disk_file *f, uint32_t off, uint32_t len, uint8_t *p)
{
	uint64_t from = off & ~(uint64_t)(SPOOL_BLOCK - 1);
	uint64_t to = pen_disk_align((uint64_t)off + len);
	ssize_t got = pen_disk_read(c->disk, f, p, to - from, from);

	if (got < 0)
		return (int)got;
	return from + (uint64_t)got >= (uint64_t)off + len ? 0 : -EIO;
}

int spool_read_record(struct pen_spool_core *c, struct spool_segment *s, uint32_t off,
	uint32_t len_hint, struct spool_record *out)
{
	uint32_t len = len_hint > 0 ? len_hint : SPOOL_RECORD_HEADER;

	for (;;) {
		if ((uint64_t)off + len > s->size)
			return -EBADMSG;
		if (span_room(len) > c->scratch_cap) {
			free(c->scratch);
			c->scratch = pen_disk_alloc(span_room(len));
			c->scratch_cap = c->scratch != NULL ? span_room(len) : 0;
			if (c->scratch == NULL)
				return -ENOMEM;
		}
		int err = read_span(c, s->file, off, len, c->scratch);
		if (err != 0)
			return err;
		const uint8_t *p = c->scratch + off % SPOOL_BLOCK;
		uint32_t full = get32(p + 8);
		if (get32(p) == SPOOL_RECORD_MAGIC && full > len && len_hint == 0) {
			len_hint = len = full;
			continue;
		}
		return spool_record_parse(p, len_hint > 0 ? len : full, s->epoch, out) ? 0
										       : -EBADMSG;
	}
}

void spool_read_segment(struct pen_spool_core *c, struct spool_segment *s, uint8_t *p)
{
	ssize_t got = pen_disk_read(c->disk, s->file, p, s->size, 0);

	if (got == (ssize_t)s->size)
		return;
	// Block by block, so that one bad sector costs no more than itself.
	spool_io_problem(c, s->name, got < 0 ? (int)got : -EIO);
	memset(p, 0, s->size);
	for (uint64_t off = 0; off < s->size; off += SPOOL_BLOCK)
		pen_disk_read(c->disk, s->file, p + off, SPOOL_BLOCK, off);
}

// What a reader needs, taken under the lock; the segment stays open (pinned).
struct reading {
	struct spool_segment *segment;
	uint64_t epoch;
	uint32_t off, len;
};

static bool reading_start(struct pen_spool_core *c, uint64_t id, struct reading *r)
{
	pthread_mutex_lock(&c->lock);
	struct spool_entry *e = spool_index_find(&c->index, id);
	bool found = e != NULL && e->slot != 0;
	if (found) {
		r->segment = c->slot[e->slot];
		r->epoch = r->segment->epoch;
		r->off = e->off;
		r->len = e->len;
		r->segment->pins++;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void reading_end(struct pen_spool_core *c, struct reading *r)
{
	pthread_mutex_lock(&c->lock);
	bool last = --r->segment->pins == 0 && r->segment->orphan;
	pthread_mutex_unlock(&c->lock);
	if (last)
		spool_segment_release(c, r->segment);
}

static int load_content(
	struct pen_spool_core *c, const struct reading *r, uint8_t *p, struct pen_message *m)
{
	struct spool_record record;
	int err = read_span(c, r->segment->file, r->off, r->len, p);

	if (err != 0)
		return err;
	if (!spool_record_parse(p + r->off % SPOOL_BLOCK, r->len, r->epoch, &record) ||
		record.id != m->id)
		return -EBADMSG;
	struct pen_span content = spool_message_content(&record);
	if (content.n != m->content_len)
		return -EBADMSG;
	m->content = malloc(content.n > 0 ? content.n : 1);
	if (m->content == NULL)
		return -ENOMEM;
	if (content.n > 0)
		memcpy(m->content, content.p, content.n);
	return 0;
}

// Damage that is found here may be in a segment that recovery did not have to
// look into. The bytes are kept: the message ends, and its segment is reused.
static void report_damage(
	struct pen_spool_core *c, const struct reading *r, const uint8_t *p, uint64_t id)
{
	spool_set_aside(c, PEN_SPOOL_CORRUPT, r->segment->name, r->epoch, r->off,
		p + r->off % SPOOL_BLOCK, r->len, id);
}

int pen_spool_core_read(struct pen_spool_core *c, struct pen_message *m)
{
	struct reading r, before = {0};

	if (m->content != NULL)
		return 0;
	while (reading_start(c, m->id, &r)) {
		uint8_t *p = pen_disk_alloc(span_room(r.len));
		int err = p != NULL ? load_content(c, &r, p, m) : -ENOMEM;
		// The record may have moved and its place been overwritten while it
		// was read; it is damaged only if it is still said to be there.
		bool sure = err != -EBADMSG || (before.epoch == r.epoch && before.off == r.off);
		if (err == -EBADMSG && sure)
			report_damage(c, &r, p, m->id);
		free(p);
		reading_end(c, &r);
		if (sure)
			return err;
		before = r;
	}
	return -ENOENT;
}
