// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A disk in memory that loses power on demand.
//
// Everything written since a file's last good datasync is, at a crash, kept,
// lost or torn sector by sector, in any order, as the seed says; a sector that
// was written twice may hold either version. Files made, removed or renamed
// since the last sync_dir may be there or not. A failed datasync marks the
// sectors clean although they may not be on the medium, as Linux does.
//
// Threads: the pen_disk operations may be called by any; what is declared here by
//          one, faults also beside them. Memory: twice the bytes of the files.

#include "pen_disk.h"
#include "pen_rand.h"

#define PEN_DISK_SECTOR 512u

struct pen_disk_sim_faults {
	uint64_t capacity;        // bytes of all files; 0: no limit (-ENOSPC beyond)
	uint32_t write_eio_ppm;   // chance that a pwrite fails
	uint32_t sync_eio_ppm;    // chance that a datasync fails
	uint32_t read_eio_ppm;    // chance that a pread fails
	uint32_t short_write_ppm; // chance that a pwrite stops at a block inside
	uint32_t fail_syncs;      // the next n datasyncs fail
	uint32_t fail_writes;     // the next n pwrites fail
	bool read_only;           // every change fails with -EROFS
	uint32_t create_eio_ppm;  // chance that a file cannot be made
	uint32_t fail_creates;    // the next n creations fail
	// A slow disk: called before each datasync, with its number, and may take
	// its time; a datasync under way is not durable.
	void (*before_sync)(void *ctx, uint64_t n);
	void *ctx;
};

// What happened so far.
struct pen_disk_sim_counts {
	uint64_t syncs, syncs_failed, writes_failed, writes_short;
	uint64_t sectors_lost; // that were written and not synced when the power failed
};

struct pen_disk *pen_disk_sim_new(uint64_t seed);
struct pen_disk_sim_faults *pen_disk_sim_faults(struct pen_disk *d);

// The power fails after `ops` more changing operations (writes, syncs, creates,
// removals): from then on every call fails with -EIO and changes nothing.
// 0 takes it back.
void pen_disk_sim_crash_after(struct pen_disk *d, uint64_t ops);
bool pen_disk_sim_crashed(const struct pen_disk *d);
uint64_t pen_disk_sim_ops(const struct pen_disk *d);
const struct pen_disk_sim_counts *pen_disk_sim_counts(const struct pen_disk *d);

// pen_disk_sim_restart resolves what the crash left on the medium and switches
// the power on. Handles opened before are invalid. The lock is free again.
void pen_disk_sim_restart(struct pen_disk *d);

// A file's current bytes, or NULL.
const uint8_t *pen_disk_sim_bytes(struct pen_disk *d, const char *name, size_t *size);
// Damages a file, on the medium: overwrites n bytes by `byte`, or flips its bits
// in them.
void pen_disk_sim_smash(struct pen_disk *d, const char *name, size_t off, size_t n, uint8_t byte);
void pen_disk_sim_flip(struct pen_disk *d, const char *name, size_t off, size_t n, uint8_t bits);
// Makes or replaces a file, durable at once.
void pen_disk_sim_put(struct pen_disk *d, const char *name, const void *p, size_t n);
