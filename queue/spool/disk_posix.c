// SPDX-License-Identifier: BSD-3-Clause
#include "pen_disk.h"
#include "pen_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

PEN_LOG_TYPE("queue.disk");

struct posix_disk {
	struct pen_disk base;
	int dir;
	int lock;
	bool buffered; // the file system refused O_DIRECT; said once
};

struct pen_disk_file {
	int fd;
};

static struct posix_disk *posix_of(struct pen_disk *d)
{
	return (struct posix_disk *)d;
}

static int open_direct(struct posix_disk *d, const char *name, int how)
{
	int fd = -1;

	if (!d->buffered) {
		fd = openat(d->dir, name, how | O_DIRECT, 0600);
		if (fd >= 0 || errno != EINVAL)
			return fd;
		d->buffered = true;
		pen_notice("the file system takes no O_DIRECT: the spool writes through the page "
			   "cache, which is slower but as safe");
		// With O_CREAT some file systems have made the file before refusing.
		how &= ~O_EXCL;
	}
	return openat(d->dir, name, how, 0600);
}

static int posix_open(
	struct pen_disk *base, const char *name, unsigned flags, struct pen_disk_file **out)
{
	struct posix_disk *d = posix_of(base);
	int how = O_CLOEXEC | ((flags & PEN_DISK_READONLY) ? O_RDONLY : O_RDWR);

	if (flags & PEN_DISK_CREATE)
		how |= O_CREAT | O_EXCL;
	int fd = (flags & PEN_DISK_DIRECT) ? open_direct(d, name, how)
					   : openat(d->dir, name, how, 0600);
	if (fd < 0)
		return -errno;
	struct pen_disk_file *f = malloc(sizeof(*f));
	if (f == NULL) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	*out = f;
	return 0;
}

static void posix_close(struct pen_disk *base, struct pen_disk_file *f)
{
	(void)base;
	close(f->fd);
	free(f);
}

static ssize_t posix_pwrite(
	struct pen_disk *base, struct pen_disk_file *f, const void *p, size_t n, uint64_t off)
{
	(void)base;
	for (;;) {
		ssize_t done = pwrite(f->fd, p, n, (off_t)off);
		if (done >= 0)
			return done;
		if (errno != EINTR)
			return -errno;
	}
}

static ssize_t posix_pread(
	struct pen_disk *base, struct pen_disk_file *f, void *p, size_t n, uint64_t off)
{
	(void)base;
	for (;;) {
		ssize_t done = pread(f->fd, p, n, (off_t)off);
		if (done >= 0)
			return done;
		if (errno != EINTR)
			return -errno;
	}
}

static int posix_datasync(struct pen_disk *base, struct pen_disk_file *f)
{
	(void)base;
	return fdatasync(f->fd) == 0 ? 0 : -errno;
}

static int64_t posix_size(struct pen_disk *base, struct pen_disk_file *f)
{
	struct stat st;

	(void)base;
	return fstat(f->fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static int posix_sync_dir(struct pen_disk *base, const char *dir)
{
	int fd = openat(posix_of(base)->dir, dir[0] != '\0' ? dir : ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int err = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return err;
}

static int posix_list(struct pen_disk *base, pen_disk_list_fn *fn, void *ctx)
{
	int fd = openat(posix_of(base)->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL) {
		int err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(dir);
		if (e == NULL)
			break;
		if (e->d_name[0] != '.')
			fn(ctx, e->d_name);
	}
	int err = -errno;
	closedir(dir);
	return err;
}

static int posix_make_dir(struct pen_disk *base, const char *name)
{
	if (mkdirat(posix_of(base)->dir, name, 0700) == 0 || errno == EEXIST)
		return 0;
	return -errno;
}

static int posix_remove(struct pen_disk *base, const char *name)
{
	return unlinkat(posix_of(base)->dir, name, 0) == 0 ? 0 : -errno;
}

static int posix_rename(struct pen_disk *base, const char *from, const char *to)
{
	int dir = posix_of(base)->dir;

	return renameat(dir, from, dir, to) == 0 ? 0 : -errno;
}

static int64_t posix_free_bytes(struct pen_disk *base)
{
	struct statvfs v;

	if (fstatvfs(posix_of(base)->dir, &v) != 0)
		return -errno;
	return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

static int posix_lock(struct pen_disk *base)
{
	struct posix_disk *d = posix_of(base);
	int fd = openat(d->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	// Tells the operator who holds it; the lock itself is the flock.
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		pen_debug("cannot write the process id into the lock file");
	d->lock = fd;
	return 0;
}

// Without a lock file there is nobody to keep out.
static int posix_lock_shared(struct pen_disk *base)
{
	struct posix_disk *d = posix_of(base);
	int fd = openat(d->dir, "lock", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	d->lock = fd;
	return 0;
}

static void posix_unlock(struct pen_disk *base)
{
	struct posix_disk *d = posix_of(base);

	if (d->lock >= 0)
		close(d->lock);
	d->lock = -1;
}

static void posix_free(struct pen_disk *base)
{
	struct posix_disk *d = posix_of(base);

	if (d->lock >= 0)
		close(d->lock);
	close(d->dir);
	free(d);
}

static const struct pen_disk_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.pwrite = posix_pwrite,
	.pread = posix_pread,
	.datasync = posix_datasync,
	.size = posix_size,
	.sync_dir = posix_sync_dir,
	.list = posix_list,
	.make_dir = posix_make_dir,
	.remove = posix_remove,
	.rename = posix_rename,
	.free_bytes = posix_free_bytes,
	.lock = posix_lock,
	.lock_shared = posix_lock_shared,
	.unlock = posix_unlock,
	.free = posix_free,
};

int pen_disk_posix_new(const char *dir, struct pen_disk **out, char *error, size_t error_cap)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
		int err = -errno;
		snprintf(error, error_cap, "cannot make the spool folder %s: %s", dir,
			strerror(-err));
		return err;
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct posix_disk *d = fd >= 0 ? calloc(1, sizeof(*d)) : NULL;
	if (d == NULL) {
		int err = fd >= 0 ? -ENOMEM : -errno;
		if (fd >= 0)
			close(fd);
		snprintf(error, error_cap, "cannot open the spool folder %s: %s", dir,
			strerror(-err));
		return err;
	}
	d->base.ops = &posix_ops;
	d->dir = fd;
	d->lock = -1;
	*out = &d->base;
	return 0;
}
