// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Storage as the spool sees it: one folder of named files.
//
// Two implementations: pen_disk_posix_new (a real folder) and pen_disk_sim_new
// (pen_disk_sim.h: memory, with crashes and errors on demand).
//
// Names:   relative to the folder, at most one '/' (as in "corrupt/x").
// Threads: a pen_disk may be used by several threads, but one file is written
//          by one thread at a time; reads may run beside a write.
// Errors:  -errno. A failed datasync says that nothing written since the last
//          good one is known to be on the medium, and that repeating it proves
//          nothing: the caller must write the bytes again elsewhere.

#include "pen_span.h"

#include <sys/types.h>

#define PEN_DISK_BLOCK 4096u // alignment of direct transfers
#define PEN_DISK_NAME_MAX 96

enum {
	PEN_DISK_CREATE = 1 << 0, // make the file; fails with -EEXIST when it is there
	PEN_DISK_DIRECT = 1 << 1, // offset, length and memory are multiples of the block
	PEN_DISK_READONLY = 1 << 2,
};

struct pen_disk;
struct pen_disk_file;

typedef void pen_disk_list_fn(void *ctx, const char *name);

struct pen_disk_ops {
	int (*open)(struct pen_disk *, const char *name, unsigned flags, struct pen_disk_file **);
	void (*close)(struct pen_disk *, struct pen_disk_file *);
	// Both may transfer less than asked.
	ssize_t (*pwrite)(
		struct pen_disk *, struct pen_disk_file *, const void *, size_t n, uint64_t off);
	ssize_t (*pread)(struct pen_disk *, struct pen_disk_file *, void *, size_t n, uint64_t off);
	int (*datasync)(struct pen_disk *, struct pen_disk_file *);
	int64_t (*size)(struct pen_disk *, struct pen_disk_file *);
	// dir is "" for the folder itself.
	int (*sync_dir)(struct pen_disk *, const char *dir);
	int (*list)(struct pen_disk *, pen_disk_list_fn *fn, void *ctx);
	int (*make_dir)(struct pen_disk *, const char *dir); // 0 when it is there already
	int (*remove)(struct pen_disk *, const char *name);
	int (*rename)(struct pen_disk *, const char *from, const char *to);
	int64_t (*free_bytes)(struct pen_disk *);
	int (*lock)(struct pen_disk *); // -EWOULDBLOCK: another process has it
	// To read only, several at a time; makes and changes nothing.
	int (*lock_shared)(struct pen_disk *);
	void (*unlock)(struct pen_disk *);
	void (*free)(struct pen_disk *);
};

struct pen_disk {
	const struct pen_disk_ops *ops;
};

// pen_disk_posix_new opens (and makes, mode 0700) the folder. 0, or -errno with
// a sentence for the operator in `error`.
int pen_disk_posix_new(const char *dir, struct pen_disk **out, char *error, size_t error_cap);
void pen_disk_free(struct pen_disk *d);

// The whole length or an error; a short write that does not go on is -EIO.
int pen_disk_write(
	struct pen_disk *d, struct pen_disk_file *f, const void *p, size_t n, uint64_t off);
// Reads up to n bytes, fewer only at the end of the file.
ssize_t pen_disk_read(struct pen_disk *d, struct pen_disk_file *f, void *p, size_t n, uint64_t off);

// Memory aligned for direct transfers; free() it. NULL when there is none.
void *pen_disk_alloc(size_t n);

static inline uint64_t pen_disk_align(uint64_t n)
{
	return (n + PEN_DISK_BLOCK - 1) & ~(uint64_t)(PEN_DISK_BLOCK - 1);
}
