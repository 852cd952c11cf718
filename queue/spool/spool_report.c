// SPDX-License-Identifier: BSD-3-Clause
#include "spool_core.h"

#include "pen_log.h"

#include <errno.h>
#include <stdio.h>

PEN_LOG_TYPE("queue.spool");

// Diagnostics: a notice for an unfinished tail, a warning for damage and for
// input/output errors. Never message content.

static const char *folder(const struct pen_spool_core *c)
{
	return c->cfg.directory != NULL ? c->cfg.directory : "spool";
}

void spool_problem(struct pen_spool_core *c, const struct pen_spool_problem *p)
{
	char id[PEN_QUEUE_ID_MAX] = "unknown";

	if (p->id != 0)
		pen_queue_id_format(p->id, id);
	switch (p->kind) {
	case PEN_SPOOL_TORN:
		PEN_COUNT(c->ctr.torn);
		pen_notice("%s/%s: unfinished write of %llu bytes at offset %llu ignored; nothing "
			   "in it had been confirmed",
			folder(c), p->file, (unsigned long long)p->length,
			(unsigned long long)p->offset);
		break;
	case PEN_SPOOL_CORRUPT:
		// Readers find damage too.
		__atomic_fetch_add(&c->ctr.corrupt, 1, __ATOMIC_RELAXED);
		pen_warning("%s/%s: %llu damaged bytes at offset %llu (message %s), set aside in "
			    "%s",
			folder(c), p->file, (unsigned long long)p->length,
			(unsigned long long)p->offset, id, p->kept != NULL ? p->kept : "no file");
		break;
	case PEN_SPOOL_NEWER:
		PEN_COUNT(c->ctr.newer);
		pen_warning("%s/%s: %llu bytes at offset %llu (message %s) were written by a later "
			    "version of this program, set aside in %s",
			folder(c), p->file, (unsigned long long)p->length,
			(unsigned long long)p->offset, id, p->kept != NULL ? p->kept : "no file");
		break;
	case PEN_SPOOL_FULL:
		pen_warning("%s: no new mail is taken: %s", folder(c), strerror(-p->err));
		break;
	case PEN_SPOOL_ROOM:
		pen_notice("%s: mail is taken again", folder(c));
		break;
	case PEN_SPOOL_SLOW:
		pen_warning("%s: the disk is slow: a commit has taken %.1f seconds so far",
			folder(c), (double)p->length / 1e6);
		break;
	case PEN_SPOOL_IO:
		pen_warning("%s/%s: %s", folder(c), p->file, strerror(-p->err));
		break;
	}
	if (c->cfg.on_problem != NULL)
		c->cfg.on_problem(c->cfg.ctx, p);
}

void pen_spool_core_report(struct pen_spool_core *c, const struct pen_spool_problem *p)
{
	spool_problem(c, p);
}

// Says when mail begins to be refused, and when that ends.
void spool_tell_full(struct pen_spool_core *c)
{
	bool full = pen_spool_core_full(c);

	if (full == c->told_full)
		return;
	c->told_full = full;
	spool_problem(c, &(struct pen_spool_problem){.kind = full ? PEN_SPOOL_FULL : PEN_SPOOL_ROOM,
				 .file = "",
				 .err = full ? c->prepare_err : 0});
}

void spool_io_problem(struct pen_spool_core *c, const char *file, int err)
{
	spool_problem(
		c, &(struct pen_spool_problem){.kind = PEN_SPOOL_IO, .file = file, .err = err});
}

static int keep_bytes(struct pen_spool_core *c, const char *name, const uint8_t *p, uint64_t n)
{
	struct pen_disk_file *f;
	int err = c->disk->ops->make_dir(c->disk, "corrupt");

	if (err == 0)
		err = c->disk->ops->open(c->disk, name, PEN_DISK_CREATE, &f);
	if (err != 0)
		return err == -EEXIST ? 0 : err; // found by an earlier start too
	for (uint64_t off = 0; off < n && err == 0;) {
		ssize_t done = c->disk->ops->pwrite(c->disk, f, p + off, n - off, off);
		err = done < 0 ? (int)done : done == 0 ? -EIO : 0;
		off += done > 0 ? (uint64_t)done : 0;
	}
	if (err == 0)
		err = c->disk->ops->datasync(c->disk, f);
	c->disk->ops->close(c->disk, f);
	if (err != 0)
		c->disk->ops->remove(c->disk, name);
	else
		c->disk->ops->sync_dir(c->disk, "corrupt");
	return err;
}

bool spool_set_aside(struct pen_spool_core *c, enum pen_spool_problem_kind kind, const char *file,
	uint64_t epoch, uint64_t offset, const uint8_t *p, uint64_t length, uint64_t id)
{
	char name[PEN_DISK_NAME_MAX];

	snprintf(name, sizeof(name), "corrupt/%s-%016llx-%llu", file, (unsigned long long)epoch,
		(unsigned long long)offset);
	int err = keep_bytes(c, name, p, length);
	if (err != 0)
		spool_io_problem(c, name, err);
	spool_problem(c, &(struct pen_spool_problem){.kind = kind,
				 .file = file,
				 .offset = offset,
				 .length = length,
				 .id = id,
				 .kept = err == 0 ? name : NULL});
	return err == 0;
}

int spool_segment_away(
	struct pen_spool_core *c, struct spool_segment *s, enum pen_spool_problem_kind kind)
{
	char to[PEN_DISK_NAME_MAX];
	int err = c->disk->ops->make_dir(c->disk, "corrupt");

	snprintf(to, sizeof(to), "corrupt/%s-%016llx", s->name,
		(unsigned long long)pen_rand_u64(&c->rand));
	if (err == 0)
		err = c->disk->ops->rename(c->disk, s->name, to);
	if (err == 0)
		err = c->disk->ops->sync_dir(c->disk, "corrupt");
	if (err == 0)
		err = c->disk->ops->sync_dir(c->disk, "");
	if (err != 0)
		spool_io_problem(c, s->name, err);
	else
		spool_problem(
			c, &(struct pen_spool_problem){
				   .kind = kind, .file = s->name, .length = s->size, .kept = to});
	return err;
}
