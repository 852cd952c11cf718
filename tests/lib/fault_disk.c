// SPDX-License-Identifier: BSD-3-Clause

// A bad disk for a program that knows nothing of it: loaded with LD_PRELOAD, it lets writes, reads
// and syncs of a spool's segments fail, or take their time, as a file of numbers says.
//
//   PENSTOCK_FAULT_DISK=FILE  eight unsigned 32-bit numbers, mapped: they may change at any time
//     0 writes that fail with EIO, per million      4 syncs that take long, per million
//     1 writes that fail with ENOSPC, per million   5 how long, microseconds
//     2 syncs that fail with EIO, per million       6 counted here: faults given
//     3 reads that fail with EIO, per million       7 seed
//
// Only files whose name begins with "seg-" are concerned.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_EIO, WRITE_ENOSPC, SYNC_EIO, READ_EIO, SYNC_SLOW, SLOW_US, GIVEN, SEED, NUMBERS };

static volatile uint32_t *number;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void start(void)
{
	const char *file = getenv("PENSTOCK_FAULT_DISK");
	int fd = file != NULL ? open(file, O_RDWR | O_CLOEXEC) : -1;

	*(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
	*(void **)&real_pread = dlsym(RTLD_NEXT, "pread64");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	if (fd < 0)
		return;
	void *p = mmap(NULL, NUMBERS * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	number = p != MAP_FAILED ? p : NULL;
}

static bool segment(int fd)
{
	char link[32], path[512];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	const char *name = strrchr(path, '/');
	return name != NULL && strncmp(name + 1, "seg-", 4) == 0;
}

static bool struck(int fd, int which)
{
	static __thread uint64_t state;
	uint32_t ppm = number != NULL ? number[which] : 0;

	if (ppm == 0 || !segment(fd))
		return false;
	if (state == 0)
		state = (((uint64_t)number[SEED] << 20) ^ (uintptr_t)&state) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	if (state % 1000000 >= ppm)
		return false;
	__atomic_fetch_add(&number[GIVEN], 1, __ATOMIC_RELAXED);
	return true;
}

// The 64-bit names are these, too (large files).
ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (struck(fd, WRITE_EIO)) {
		errno = EIO;
		return -1;
	}
	if (struck(fd, WRITE_ENOSPC)) {
		errno = ENOSPC;
		return -1;
	}
	return real_pwrite(fd, p, n, at);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	if (struck(fd, READ_EIO)) {
		errno = EIO;
		return -1;
	}
	return real_pread(fd, p, n, at);
}

int fdatasync(int fd)
{
	if (struck(fd, SYNC_SLOW))
		usleep(number[SLOW_US]);
	if (struck(fd, SYNC_EIO)) {
		errno = EIO;
		return -1;
	}
	return real_fdatasync(fd);
}
