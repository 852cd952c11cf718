// SPDX-License-Identifier: BSD-3-Clause

#include "pen_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int write_all(int fd, struct pen_span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = pen_span_from(bytes, (size_t)n);
	}
	return 0;
}

static int write_fresh(int at, const char *fresh, const struct pen_span *part, size_t nparts)
{
	int fd = openat(at, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; err == 0 && i < nparts; i++)
		err = write_all(fd, part[i]);
	if (err == 0 && fdatasync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

int pen_file_replace(
	int at, const char *name, const char *fresh, const struct pen_span *part, size_t nparts)
{
	int err = write_fresh(at, fresh, part, nparts);

	if (err == 0 && renameat(at, fresh, at, name) != 0)
		err = -errno;
	if (err != 0)
		unlinkat(at, fresh, 0);
	return err;
}
