// SPDX-License-Identifier: BSD-3-Clause
#include "pen_disk_sim.h"

#include "pen_err.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

// A file's bytes: what a reader sees, and what the medium has for sure.
struct inode {
	struct inode *next;
	uint8_t *now, *medium;
	uint8_t *dirty; // per sector: written since the last datasync
	size_t size, cap;
	size_t medium_size;
};

// A name as readers see it and as the folder on the medium has it.
struct entry {
	struct entry *next;
	char name[PEN_DISK_NAME_MAX];
	struct inode *now, *medium;
};

struct pen_disk_file {
	struct pen_disk_file *next;
	struct inode *inode;
	unsigned flags;
};

struct sim_disk {
	struct pen_disk base;
	pthread_mutex_t lock; // recursive: a list's callback opens files
	struct pen_rand rand;
	struct pen_disk_sim_faults faults;
	struct inode *inodes;
	struct entry *entries;
	struct pen_disk_file *files;
	struct pen_disk_sim_counts count;
	uint64_t ops, crash_at;
	bool crashed, locked;
};

static struct sim_disk *sim_of(struct pen_disk *d)
{
	return (struct sim_disk *)d;
}

static bool chance(struct sim_disk *d, uint32_t ppm)
{
	return ppm != 0 && pen_rand_below(&d->rand, 1000000) < ppm;
}

// Counts one changing operation; what it returns ends the operation.
static int sim_change(struct sim_disk *d)
{
	if (d->crashed)
		return -EIO;
	d->ops++;
	if (d->crash_at != 0 && d->ops >= d->crash_at) {
		d->crashed = true;
		return -EIO;
	}
	return d->faults.read_only ? -EROFS : 0;
}

static struct entry *entry_find(struct sim_disk *d, const char *name)
{
	for (struct entry *e = d->entries; e != NULL; e = e->next) {
		if (strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

static struct entry *entry_get(struct sim_disk *d, const char *name)
{
	struct entry *e = entry_find(d, name);

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	PEN_ASSERT(e != NULL && strlen(name) < sizeof(e->name));
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->next = d->entries;
	d->entries = e;
	return e;
}

static struct inode *inode_new(struct sim_disk *d)
{
	struct inode *i = calloc(1, sizeof(*i));

	PEN_ASSERT(i != NULL);
	i->next = d->inodes;
	d->inodes = i;
	return i;
}

static void inode_grow(struct inode *i, size_t size)
{
	if (size > i->cap) {
		size_t cap = i->cap != 0 ? i->cap : 16384;
		while (cap < size)
			cap *= 2;
		i->now = realloc(i->now, cap);
		i->medium = realloc(i->medium, cap);
		i->dirty = realloc(i->dirty, cap / PEN_DISK_SECTOR);
		PEN_ASSERT(i->now != NULL && i->medium != NULL && i->dirty != NULL);
		memset(i->now + i->cap, 0, cap - i->cap);
		memset(i->medium + i->cap, 0, cap - i->cap);
		memset(i->dirty + i->cap / PEN_DISK_SECTOR, 0, (cap - i->cap) / PEN_DISK_SECTOR);
		i->cap = cap;
	}
	if (size > i->size)
		i->size = size;
}

static int sim_open(
	struct pen_disk *base, const char *name, unsigned flags, struct pen_disk_file **out)
{
	struct sim_disk *d = sim_of(base);
	struct entry *e = entry_find(d, name);

	if (d->crashed)
		return -EIO;
	if (flags & PEN_DISK_CREATE) {
		int err = sim_change(d);
		if (err != 0)
			return err;
		if (d->faults.fail_creates > 0) {
			d->faults.fail_creates--;
			return -EIO;
		}
		if (chance(d, d->faults.create_eio_ppm))
			return -EIO;
		if (e != NULL && e->now != NULL)
			return -EEXIST;
		e = entry_get(d, name);
		e->now = inode_new(d);
	}
	if (e == NULL || e->now == NULL)
		return -ENOENT;
	struct pen_disk_file *f = calloc(1, sizeof(*f));
	PEN_ASSERT(f != NULL);
	f->inode = e->now;
	f->flags = flags;
	f->next = d->files;
	d->files = f;
	*out = f;
	return 0;
}

static void sim_close(struct pen_disk *base, struct pen_disk_file *f)
{
	for (struct pen_disk_file **at = &sim_of(base)->files; *at != NULL; at = &(*at)->next) {
		if (*at == f) {
			*at = f->next;
			free(f);
			return;
		}
	}
	PEN_ASSERT(!"the file is open");
}

static uint64_t sim_used(const struct sim_disk *d)
{
	uint64_t used = 0;

	for (const struct entry *e = d->entries; e != NULL; e = e->next)
		used += e->now != NULL ? e->now->size : 0;
	return used;
}

static void check_aligned(const struct pen_disk_file *f, const void *p, size_t n, uint64_t off)
{
	if (f->flags & PEN_DISK_DIRECT)
		PEN_ASSERT((n | off | (uintptr_t)p) % PEN_DISK_BLOCK == 0);
}

static void inode_store(struct inode *i, const void *p, size_t n, uint64_t off)
{
	inode_grow(i, off + n);
	memcpy(i->now + off, p, n);
	for (uint64_t s = off / PEN_DISK_SECTOR; s * PEN_DISK_SECTOR < off + n; s++)
		i->dirty[s] = 1;
}

static ssize_t sim_pwrite(
	struct pen_disk *base, struct pen_disk_file *f, const void *p, size_t n, uint64_t off)
{
	struct sim_disk *d = sim_of(base);
	struct pen_disk_sim_faults *faults = &d->faults;

	check_aligned(f, p, n, off);
	PEN_ASSERT(!(f->flags & PEN_DISK_READONLY));
	bool was_up = !d->crashed;
	int err = sim_change(d);
	if (err != 0) {
		// The write in which the power failed may have reached the medium.
		if (was_up && d->crashed && off + n <= f->inode->size)
			inode_store(f->inode, p, n, off);
		return err;
	}
	if (faults->fail_writes > 0 || chance(d, faults->write_eio_ppm)) {
		faults->fail_writes -= faults->fail_writes > 0;
		d->count.writes_failed++;
		return -EIO;
	}
	if (faults->capacity != 0 && off + n > f->inode->size &&
		sim_used(d) + (off + n - f->inode->size) > faults->capacity)
		return -ENOSPC;
	if (n > PEN_DISK_BLOCK && chance(d, faults->short_write_ppm)) {
		d->count.writes_short++;
		n = (1 + pen_rand_below(&d->rand, n / PEN_DISK_BLOCK - 1)) * PEN_DISK_BLOCK;
	}
	inode_store(f->inode, p, n, off);
	return (ssize_t)n;
}

static ssize_t sim_pread(
	struct pen_disk *base, struct pen_disk_file *f, void *p, size_t n, uint64_t off)
{
	struct sim_disk *d = sim_of(base);

	check_aligned(f, p, n, off);
	if (d->crashed || chance(d, d->faults.read_eio_ppm))
		return -EIO;
	if (off >= f->inode->size)
		return 0;
	if (n > f->inode->size - off)
		n = f->inode->size - off;
	memcpy(p, f->inode->now + off, n);
	return (ssize_t)n;
}

static void inode_settle(struct inode *i, size_t sector)
{
	size_t at = sector * PEN_DISK_SECTOR;

	memcpy(i->medium + at, i->now + at, PEN_DISK_SECTOR);
	i->dirty[sector] = 0;
}

static int sim_datasync(struct pen_disk *base, struct pen_disk_file *f)
{
	struct sim_disk *d = sim_of(base);
	struct inode *i = f->inode;
	int err = sim_change(d);

	if (err != 0)
		return err;
	d->count.syncs++;
	size_t sectors = (i->size + PEN_DISK_SECTOR - 1) / PEN_DISK_SECTOR;
	if (d->faults.before_sync != NULL) {
		uint64_t n = d->count.syncs;
		pthread_mutex_unlock(&d->lock);
		d->faults.before_sync(d->faults.ctx, n);
		pthread_mutex_lock(&d->lock);
	}
	if (d->faults.fail_syncs > 0 || chance(d, d->faults.sync_eio_ppm)) {
		d->count.syncs_failed++;
		if (d->faults.fail_syncs > 0)
			d->faults.fail_syncs--;
		for (size_t s = 0; s < sectors; s++) {
			if (i->dirty[s] && pen_rand_below(&d->rand, 2) == 0)
				inode_settle(i, s);
			i->dirty[s] = 0;
		}
		return -EIO;
	}
	for (size_t s = 0; s < sectors; s++) {
		if (i->dirty[s])
			inode_settle(i, s);
	}
	i->medium_size = i->size;
	return 0;
}

static int64_t sim_size(struct pen_disk *base, struct pen_disk_file *f)
{
	return sim_of(base)->crashed ? -EIO : (int64_t)f->inode->size;
}

static bool entry_in_dir(const struct entry *e, const char *dir)
{
	const char *slash = strchr(e->name, '/');

	if (slash == NULL)
		return dir[0] == '\0';
	return strlen(dir) == (size_t)(slash - e->name) &&
	       strncmp(e->name, dir, (size_t)(slash - e->name)) == 0;
}

static int sim_sync_dir(struct pen_disk *base, const char *dir)
{
	struct sim_disk *d = sim_of(base);
	int err = sim_change(d);

	if (err != 0)
		return err;
	for (struct entry *e = d->entries; e != NULL; e = e->next) {
		if (entry_in_dir(e, dir))
			e->medium = e->now;
	}
	return 0;
}

static int sim_list(struct pen_disk *base, pen_disk_list_fn *fn, void *ctx)
{
	struct sim_disk *d = sim_of(base);

	if (d->crashed)
		return -EIO;
	for (struct entry *e = d->entries; e != NULL; e = e->next) {
		if (e->now != NULL && strchr(e->name, '/') == NULL)
			fn(ctx, e->name);
	}
	return 0;
}

static int sim_make_dir(struct pen_disk *base, const char *dir)
{
	(void)dir;
	return sim_change(sim_of(base));
}

static int sim_remove(struct pen_disk *base, const char *name)
{
	struct sim_disk *d = sim_of(base);
	struct entry *e = entry_find(d, name);
	int err = sim_change(d);

	if (err != 0)
		return err;
	if (e == NULL || e->now == NULL)
		return -ENOENT;
	e->now = NULL;
	return 0;
}

static int sim_rename(struct pen_disk *base, const char *from, const char *to)
{
	struct sim_disk *d = sim_of(base);
	struct entry *e = entry_find(d, from);
	int err = sim_change(d);

	if (err != 0)
		return err;
	if (e == NULL || e->now == NULL)
		return -ENOENT;
	entry_get(d, to)->now = e->now;
	e->now = NULL;
	return 0;
}

static int64_t sim_free_bytes(struct pen_disk *base)
{
	struct sim_disk *d = sim_of(base);
	uint64_t used = sim_used(d);

	if (d->faults.capacity == 0)
		return INT64_MAX;
	return d->faults.capacity > used ? (int64_t)(d->faults.capacity - used) : 0;
}

static int sim_lock(struct pen_disk *base)
{
	struct sim_disk *d = sim_of(base);

	if (d->locked)
		return -EWOULDBLOCK;
	d->locked = true;
	return 0;
}

static int sim_lock_shared(struct pen_disk *base)
{
	return sim_of(base)->locked ? -EWOULDBLOCK : 0;
}

static void sim_unlock(struct pen_disk *base)
{
	sim_of(base)->locked = false;
}

static void inodes_free(struct sim_disk *d, bool all)
{
	for (struct inode **at = &d->inodes; *at != NULL;) {
		struct inode *i = *at;
		bool used = false;
		for (struct entry *e = d->entries; e != NULL && !all; e = e->next)
			used |= e->now == i || e->medium == i;
		if (used) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		free(i->now);
		free(i->medium);
		free(i->dirty);
		free(i);
	}
}

static void sim_free(struct pen_disk *base)
{
	struct sim_disk *d = sim_of(base);

	inodes_free(d, true);
	for (struct entry *e; (e = d->entries) != NULL;) {
		d->entries = e->next;
		free(e);
	}
	for (struct pen_disk_file *f; (f = d->files) != NULL;) {
		d->files = f->next;
		free(f);
	}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

// The operations, one at a time.
#define LOCKED(type, name, params, args)                                                           \
	static type locked_##name params                                                           \
	{                                                                                          \
		pthread_mutex_lock(&sim_of(base)->lock);                                           \
		type result = sim_##name args;                                                     \
		pthread_mutex_unlock(&sim_of(base)->lock);                                         \
		return result;                                                                     \
	}

LOCKED(int, open,
	(struct pen_disk * base, const char *name, unsigned flags, struct pen_disk_file **out),
	(base, name, flags, out))
LOCKED(ssize_t, pwrite,
	(struct pen_disk * base, struct pen_disk_file *f, const void *p, size_t n, uint64_t off),
	(base, f, p, n, off))
LOCKED(ssize_t, pread,
	(struct pen_disk * base, struct pen_disk_file *f, void *p, size_t n, uint64_t off),
	(base, f, p, n, off))
LOCKED(int, datasync, (struct pen_disk * base, struct pen_disk_file *f), (base, f))
LOCKED(int64_t, size, (struct pen_disk * base, struct pen_disk_file *f), (base, f))
LOCKED(int, sync_dir, (struct pen_disk * base, const char *dir), (base, dir))
LOCKED(int, list, (struct pen_disk * base, pen_disk_list_fn *fn, void *ctx), (base, fn, ctx))
LOCKED(int, make_dir, (struct pen_disk * base, const char *dir), (base, dir))
LOCKED(int, remove, (struct pen_disk * base, const char *name), (base, name))
LOCKED(int, rename, (struct pen_disk * base, const char *from, const char *to), (base, from, to))
LOCKED(int64_t, free_bytes, (struct pen_disk * base), (base))
LOCKED(int, lock, (struct pen_disk * base), (base))
LOCKED(int, lock_shared, (struct pen_disk * base), (base))

static void locked_close(struct pen_disk *base, struct pen_disk_file *f)
{
	pthread_mutex_lock(&sim_of(base)->lock);
	sim_close(base, f);
	pthread_mutex_unlock(&sim_of(base)->lock);
}

static const struct pen_disk_ops sim_ops = {
	.open = locked_open,
	.close = locked_close,
	.pwrite = locked_pwrite,
	.pread = locked_pread,
	.datasync = locked_datasync,
	.size = locked_size,
	.sync_dir = locked_sync_dir,
	.list = locked_list,
	.make_dir = locked_make_dir,
	.remove = locked_remove,
	.rename = locked_rename,
	.free_bytes = locked_free_bytes,
	.lock = locked_lock,
	.lock_shared = locked_lock_shared,
	.unlock = sim_unlock,
	.free = sim_free,
};

struct pen_disk *pen_disk_sim_new(uint64_t seed)
{
	struct sim_disk *d = calloc(1, sizeof(*d));

	PEN_ASSERT(d != NULL);
	pthread_mutexattr_t recursive;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&d->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	d->base.ops = &sim_ops;
	pen_rand_seed(&d->rand, seed);
	return &d->base;
}

struct pen_disk_sim_faults *pen_disk_sim_faults(struct pen_disk *d)
{
	return &sim_of(d)->faults;
}

void pen_disk_sim_crash_after(struct pen_disk *d, uint64_t ops)
{
	sim_of(d)->crash_at = ops != 0 ? sim_of(d)->ops + ops : 0;
}

bool pen_disk_sim_crashed(const struct pen_disk *d)
{
	return ((const struct sim_disk *)d)->crashed;
}

uint64_t pen_disk_sim_ops(const struct pen_disk *d)
{
	return ((const struct sim_disk *)d)->ops;
}

const struct pen_disk_sim_counts *pen_disk_sim_counts(const struct pen_disk *d)
{
	return &((const struct sim_disk *)d)->count;
}

// What of a file's unsynced sectors the medium kept. The style is drawn once a
// file: nothing, everything, a prefix (in order), or each sector by itself.
static void inode_crash(struct sim_disk *d, struct inode *i)
{
	size_t sectors = (i->size + PEN_DISK_SECTOR - 1) / PEN_DISK_SECTOR;
	uint64_t style = pen_rand_below(&d->rand, 4);
	uint64_t cut = pen_rand_below(&d->rand, sectors + 1);

	for (size_t s = 0; s < sectors; s++) {
		bool keep = style == 1 || (style == 2 && s < cut) ||
			    (style == 3 && pen_rand_below(&d->rand, 2) == 0);
		if (i->dirty[s] && keep)
			inode_settle(i, s);
		else
			d->count.sectors_lost += i->dirty[s];
		i->dirty[s] = 0;
	}
	if (i->size > i->medium_size && pen_rand_below(&d->rand, 2) == 0)
		i->medium_size += pen_rand_below(&d->rand, i->size - i->medium_size + 1);
	i->size = i->medium_size;
	// Bytes past the end read as zeros when the file grows again.
	if (i->cap > i->size)
		memset(i->medium + i->size, 0, i->cap - i->size);
	if (i->cap > 0)
		memcpy(i->now, i->medium, i->cap);
}

void pen_disk_sim_restart(struct pen_disk *base)
{
	struct sim_disk *d = sim_of(base);

	for (struct entry *e = d->entries; e != NULL; e = e->next) {
		if (e->now != e->medium && pen_rand_below(&d->rand, 2) == 0)
			e->medium = e->now;
		e->now = e->medium;
	}
	for (struct inode *i = d->inodes; i != NULL; i = i->next)
		inode_crash(d, i);
	for (struct pen_disk_file *f; (f = d->files) != NULL;) {
		d->files = f->next;
		free(f);
	}
	inodes_free(d, false);
	d->crashed = false;
	d->crash_at = 0;
	d->locked = false;
}

const uint8_t *pen_disk_sim_bytes(struct pen_disk *base, const char *name, size_t *size)
{
	struct entry *e = entry_find(sim_of(base), name);

	if (e == NULL || e->now == NULL)
		return NULL;
	*size = e->now->size;
	return e->now->now;
}

void pen_disk_sim_smash(struct pen_disk *base, const char *name, size_t off, size_t n, uint8_t byte)
{
	struct entry *e = entry_find(sim_of(base), name);

	PEN_ASSERT(e != NULL && e->now != NULL && off + n <= e->now->size);
	memset(e->now->now + off, byte, n);
	memset(e->now->medium + off, byte, n);
}

void pen_disk_sim_flip(struct pen_disk *base, const char *name, size_t off, size_t n, uint8_t bits)
{
	struct entry *e = entry_find(sim_of(base), name);

	PEN_ASSERT(e != NULL && e->now != NULL && off + n <= e->now->size);
	for (size_t i = off; i < off + n; i++) {
		e->now->now[i] ^= bits;
		e->now->medium[i] ^= bits;
	}
}

void pen_disk_sim_put(struct pen_disk *base, const char *name, const void *p, size_t n)
{
	struct entry *e = entry_get(sim_of(base), name);
	struct inode *i = inode_new(sim_of(base));

	if (n > 0) {
		inode_store(i, p, n, 0);
		memcpy(i->medium, i->now, i->cap);
		memset(i->dirty, 0, i->cap / PEN_DISK_SECTOR);
	}
	i->medium_size = n;
	e->now = i;
	e->medium = i;
}
