// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What runs on a worker. The loop (worker.c) receives, steers, drives the
// network stack, sends and idles; the application on top decides what the
// connections are for: the gateway runs leases (session.c), penstock-sink a
// server, penstock-impair plain frames.
//
// Threads: every function of the vtable is called on the worker's own thread,
//          `counters` excepted (any thread).
// Memory:  `start` takes all that the application will need; nothing is
//          allocated afterwards on the gateway's path.

#include "pen_dataplane.h"
#include "pen_tcp.h"

struct pen_worker_env {
	struct pen_worker *self;
	uint32_t index;
	const struct pen_dataplane_config *cfg;
	struct pen_tcp *tcp[PEN_PORTS_MAX]; // one per port; NULL for a frame application
};

struct pen_worker_app {
	const char *name;
	// Connections, or NULL: then `frame` takes every received frame as it is
	// and there is no network stack.
	const struct pen_tcp_callbacks *tcp;
	// Takes the frame over: it goes to pen_worker_frame_send or _drop later.
	void (*frame)(
		void *state, uint32_t port, struct pen_frame *f, uint32_t len, pen_time_us now);

	// NULL on failure, with one sentence in err.
	void *(*start)(void *ctx, const struct pen_worker_env *env, pen_time_us now, char *err,
		size_t err_cap);
	// A command of the outside; false: no room now, offer it again.
	bool (*command)(void *state, const struct pen_ring_msg *m, pen_time_us now);
	// Once per loop, between input and the stack's own timers. Bounded work.
	// Returns the application's next deadline.
	pen_time_us (*poll)(void *state, pen_time_us now);
	// The worker has to end: called once per loop until it returns true.
	bool (*finish)(void *state, pen_time_us now);
	void (*stop)(void *state); // frees; connections are gone without callbacks
	void (*counters)(const void *state,
		void (*fn)(void *ctx, const struct pen_counter_set *set), void *ctx);
};

// pen_dataplane_start for another application than the gateway's.
struct pen_dataplane *pen_dataplane_start_app(const struct pen_dataplane_config *cfg,
	const struct pen_worker_app *app, void *app_ctx, char *err, size_t err_cap,
	void (*note)(void *ctx, const char *line), void *ctx);

// An event for pen_worker_recv; false: the ring is full, try in a later loop.
bool pen_worker_post(struct pen_worker *w, struct pen_ring_msg m);
// The port that owns a local address, or -1.
int pen_worker_port_of(const struct pen_worker *w, const struct pen_addr *local);

// For frame applications.
bool pen_worker_frame_get(struct pen_worker *w, uint32_t port, struct pen_frame *f);
void pen_worker_frame_send(struct pen_worker *w, uint32_t port, struct pen_frame *f, uint32_t len);
void pen_worker_frame_drop(struct pen_worker *w, struct pen_frame *f);
