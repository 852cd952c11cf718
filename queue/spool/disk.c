// SPDX-License-Identifier: BSD-3-Clause
#include "pen_disk.h"

#include <errno.h>
#include <stdlib.h>

void pen_disk_free(struct pen_disk *d)
{
	if (d != NULL)
		d->ops->free(d);
}

int pen_disk_write(
	struct pen_disk *d, struct pen_disk_file *f, const void *p, size_t n, uint64_t off)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t done = d->ops->pwrite(d, f, from, n, off);
		if (done < 0)
			return (int)done;
		// A direct write that stopped inside a block cannot go on from there.
		size_t step = (size_t)done;
		if (step < n)
			step &= ~(size_t)(PEN_DISK_BLOCK - 1);
		if (step == 0)
			return -EIO;
		from += step;
		off += step;
		n -= step;
	}
	return 0;
}

ssize_t pen_disk_read(struct pen_disk *d, struct pen_disk_file *f, void *p, size_t n, uint64_t off)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = d->ops->pread(d, f, (uint8_t *)p + have, n - have, off + have);
		if (got < 0)
			return got;
		have += (size_t)got;
		if (got == 0 || have % PEN_DISK_BLOCK != 0)
			break;
	}
	return (ssize_t)have;
}

void *pen_disk_alloc(size_t n)
{
	void *p = NULL;

	return posix_memalign(&p, PEN_DISK_BLOCK, pen_disk_align(n)) == 0 ? p : NULL;
}
