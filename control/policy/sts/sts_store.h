// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The cached policies on disk: one file for each domain in one directory.
//
// Threads: called by one thread. Writing and removing happen on a thread of the
//          store's own, in order, so that nobody waits for the disk.
// Memory:  at most STS_STORE_QUEUE changes wait; more are dropped and counted.
// Crash:   a file is either the old or the new one. What was not written yet is
//          fetched again.

#include "sts_file.h"

#include <stdint.h>

#define STS_STORE_QUEUE 10000

struct sts_store;

// Opens or makes the directory; NULL with one sentence in err. The counter (of
// changes that could not be made) is written by the store's thread.
struct sts_store *sts_store_open(const char *dir, uint64_t *errors, char *err, size_t cap);
// Gives each good file to fn, which takes over what *p owns. Files that are not
// good are moved to "+bad" inside, and counted in the result.
typedef void sts_store_load_fn(void *ctx, struct pen_sts_policy *p, pen_wall_us fetched);
uint64_t sts_store_load(struct sts_store *s, sts_store_load_fn *fn, void *ctx);
void sts_store_write(struct sts_store *s, const struct pen_sts_policy *p, pen_wall_us fetched);
void sts_store_remove(struct sts_store *s, const char *domain);
// Finishes what waits.
void sts_store_close(struct sts_store *s);
