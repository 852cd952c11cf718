// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inside of the three threads, shared by spool_queue.c, spool_open.c, spool_writer.c,
// spool_hold.c, spool_flusher.c and spool_preparer.c.

#include "pen_buf.h"
#include "pen_spool.h"
#include "spool_crowd.h"

#include <pthread.h>

#define SPOOL_LANDINGS 8u
#define SPOOL_EAGER_BYTES (128u << 10)    // that wait: worth a batch, or to fill the next meanwhile
#define SPOOL_RETRY_US (PEN_US_PER_S / 5) // between attempts at what failed
#define SPOOL_SPINS 400                   // some microseconds: an append takes about one
#if defined(__x86_64__)
#define SPOOL_PAUSE() __builtin_ia32_pause()
#else
#define SPOOL_PAUSE() ((void)0)
#endif

// In the queue: this, and for an update a copy of it behind.
struct request {
	struct pen_message *m; // NULL: an update, or nothing but the completion
	pen_spool_done_fn *done;
	void *ctx;
	uint64_t id;    // of m
	uint32_t size;  // of all of it, a multiple of 8
	uint32_t bytes; // counted against the limit
	int err;        // refused when it was appended
	bool sync;      // pen_spool_sync
	bool answered;  // the put waited too long, and its caller knows
};

struct pen_spool {
	struct pen_spool_core *core; // under core_lock; write, read and stats need none
	uint64_t queue_limit;
	pen_time_us wait_limit;
	void (*before_commit)(void *ctx); // flusher
	void (*after_commit)(void *ctx);  // writer
	void *hook_ctx;

	pthread_mutex_t lock;
	pthread_cond_t wake;      // the writer
	pthread_cond_t prep_wake; // the preparer
	pthread_cond_t fly_wake;  // the flusher
	struct pen_buf queue;     // requests that wait
	uint64_t queued_bytes;    // of messages, waiting or being written
	uint64_t fresh_bytes;     // of those in `queue`
	uint32_t fresh;           // requests in `queue`
	uint32_t crowd, gathered; // requests of the last batch, and of the open one
	uint64_t last_id;
	uint32_t prep_slot; // to prepare; 0 none
	uint32_t prep_done; // prepared, with prep_err; 0 none
	int prep_err;
	bool prep_hurry;  // the reserve is all there is
	bool busy;        // the flusher has a batch, or is about to take one
	uint32_t nlanded; // batches whose requests are to be answered
	struct landing {
		uint64_t to;
		int err;
	} landed[SPOOL_LANDINGS];
	uint32_t events;       // batches taken and landed; the writer looks again
	pen_time_us fly_since; // of the batch under way
	bool stop;             // no more requests
	bool ended;            // the writer has returned
	bool full;             // writer: wo
	bool stuck;            // the disk has been busy for wait_limit; writer: wo
	bool held;             // changes wait for a disk that refuses them; writer: wo
	bool writer_sleeps;    // writer: wo
	bool gathers;          // the writer waits for company to a batch; writer: wo

	pthread_t writer, preparer, flusher;

	// Taken requests are known by their place in the stream of all of them.
	// Before `flight_from` they are on the disk or failed, before `flight_to`
	// being written, before `open_to` in the open batch.
	pthread_mutex_t core_lock; // taken before `lock`
	uint64_t flight_from, flight_to, open_to;
	bool flying;
	bool flusher_waits; // for core_lock; atomic
	bool draining;      // the flusher stops after this batch: for housekeeping
	bool rewind;        // a batch failed; nothing is appended before the writer has seen to it

	// The writer's own: the requests that it has taken, in their order, from
	// the place `base` on. Those before `done_to` are answered.
	struct pen_buf taken;
	uint64_t base, done_to;
	uint32_t seen;          // events
	pen_time_us slow_since; // the flight whose slowness was told,
	pen_time_us slow_at;    // and when it is told next
	bool blocked;           // what waits cannot go on before the next event
	bool preparing;
	bool more;            // housekeeping has more to do at once
	bool failed;          // not before retry_at
	pen_time_us retry_at; // when it looks again; 0: nothing waits
	uint32_t tries;       // to store the first changes in `taken`, that failed
	pen_time_us hold_at;  // the next one; 0: at once
	bool lost;            // changes were given up, as it is the end
};

// A taken request by its place, and the place behind the last one.
static inline struct request *spool_request_at(struct pen_spool *s, uint64_t at)
{
	return (struct request *)(s->taken.p + (at - s->base));
}

static inline uint64_t spool_taken_end(const struct pen_spool *s)
{
	return s->base + s->taken.n;
}

// spool_queue.c, with the lock held
void spool_writer_wake(struct pen_spool *s);
// Moves what waits behind what was taken.
void spool_queue_take(struct pen_spool *s);
// Appends a request to the open batch; as pen_spool_core_put returns.
int spool_request_append(struct pen_spool *s, struct request *r);
// Has the processor fetch what the requests behind `r` will copy; `left`: bytes of requests from
// `r` on.
void spool_request_prefetch(const struct request *r, uint64_t left);
// Frees what the copy of an update holds.
void spool_request_fini(struct request *r);

// spool_hold.c, on the writer's thread: changes that wait for a disk that refuses them.
// Whether err is the disk's answer to a change, and not the change's own fault.
bool spool_change_refused(const struct request *r, int err);
// The batch up to `to` failed; the core has forgotten all of it, and all that was behind.
void spool_hold_batch(struct pen_spool *s, uint64_t to, int err);
// With core_lock held, which it may let go meanwhile: a change that no segment has room for
// waits for the batches under way, then for better times. False: it is given up.
bool spool_hold_room(struct pen_spool *s, int err);
// What is before `to` is stored.
void spool_hold_over(struct pen_spool *s, uint64_t to);

// spool_writer.c
void *spool_writer_main(void *arg);
// Answers the requests before `to`. What a put that had waited too long left on
// the disk is taken back.
void spool_answer(struct pen_spool *s, uint64_t to, int err);

// spool_flusher.c
void *spool_flusher_main(void *arg);

// spool_preparer.c
void *spool_preparer_main(void *arg);
void spool_prepare_pace(void *spool);
