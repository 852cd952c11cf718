// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the disk gives: a sequential writer of batches over written blocks, and
// nothing else, in as many files of the same size as the spool has segments.
// Errors end the program.

#include "pen_disk.h"

#define PLAIN_FILES 64
#define PLAIN_BYTES (64ull << 20) // a segment's

struct plain {
	struct pen_disk *d;
	struct pen_disk_file *f[PLAIN_FILES];
	uint32_t files, at;
	uint64_t off;
};

// Makes `files` files in `dir`, at most PLAIN_FILES; plain_close removes them.
void plain_open(struct plain *r, const char *dir, uint32_t files);
// Writes and flushes batch after batch, `total` bytes, on from where the last call
// ended. Returns bytes a second.
double plain_rate(struct plain *r, uint64_t total, uint64_t batch);
void plain_close(struct plain *r);
