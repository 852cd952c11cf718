// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which hosts do not answer which source address, and until when nobody asks them
// again from there.
//
// The first failure of a host from a source makes it dead for `minimal`; each
// further one, of a connection that was begun after the one before had failed,
// doubles that, up to `maximal`. An answer forgets it. When the time is over the
// host is due: one connection may ask (dead_hosts_probe), and the others wait for
// what it finds. Not asked for another `maximal`, it is as if it had never failed.
//
// Threads: one owner, the scheduler's; counters may be read by any.
// Memory:  fixed at the start, 88 bytes for each pair, and a reference to the
//          note that says why. In a full bucket the one that is due first goes.
// Cost:    O(1), but for dead_hosts_each and dead_hosts_clear.
// Lost at a restart.

#include "pen_addr.h"
#include "pen_note.h"
#include "pen_rand.h"
#include "pen_sched_admin.h"
#include "pen_time.h"

struct dead_host_rules {
	pen_time_us minimal, maximal; // maximal 0: nothing is remembered
};

struct dead_host_key {
	struct pen_addr source, host;
	uint16_t port; // host order
};

enum dead_host_state {
	HOST_ALIVE,
	HOST_DUE,    // its time is over and nobody has asked yet
	HOST_PROBED, // somebody asks now
	HOST_DEAD,
};

struct dead_host {
	uint64_t hash; // 0: free
	struct dead_host_key key;
	uint8_t failures;          // in a row
	uint64_t probe;            // the lease that asks; 0: none
	pen_time_us failed, until; // monotonic
	const struct pen_note *why;
};

struct dead_hosts;

// `limit`: about how many pairs are remembered. NULL: out of memory.
struct dead_hosts *dead_hosts_new(uint32_t limit, const struct pen_siphash_key *key);
void dead_hosts_free(struct dead_hosts *t); // NULL is fine
uint32_t dead_hosts_count(const struct dead_hosts *t);
struct pen_dead_hosts_counters *dead_hosts_counters(struct dead_hosts *t);

// NULL: alive.
const struct dead_host *dead_hosts_find(const struct dead_hosts *t, const struct dead_host_rules *r,
	const struct dead_host_key *key, pen_time_us now);
enum dead_host_state dead_host_state(const struct dead_host *d, pen_time_us now); // NULL: alive

// A connection that was begun at `began` got no answer. Takes over the reference
// to `why`, which may be NULL.
void dead_hosts_failed(struct dead_hosts *t, const struct dead_host_rules *r,
	const struct dead_host_key *key, pen_time_us began, pen_time_us now,
	const struct pen_note *why);
void dead_hosts_answered(struct dead_hosts *t, const struct dead_host_key *key);
// The lease asks a host that is due; it ends with failed, answered or unprobe.
void dead_hosts_probe(struct dead_hosts *t, const struct dead_host_key *key, uint64_t lease);
// It came to no result: another one may ask.
void dead_hosts_unprobe(struct dead_hosts *t, const struct dead_host_key *key, uint64_t lease);
void dead_hosts_clear(struct dead_hosts *t);

// In no order; false from fn stops.
void dead_hosts_each(
	const struct dead_hosts *t, bool (*fn)(void *ctx, const struct dead_host *d), void *ctx);
