// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One worker: an lcore with its queues, network stacks and application. It
// shares nothing; frames for another worker and news about neighbours cross
// over a mesh of single-producer rings.
//
// Threads: worker_new and worker_free by the main thread; worker_main is the
//          lcore's function. `state`, `stop` and `load` are the only fields that
//          both touch.

#include "pen_worker_app.h"
#include "port.h"

#include <rte_ring.h>

#define WORKER_MESH_DEPTH 1024

#define WORKER_COUNTERS(X)                                                                         \
	X(loops, "turns of the loop")                                                              \
	X(busy_loops, "turns that found something to do")                                          \
	X(idle_sleeps, "short sleeps for want of work")                                            \
	X(commands, "commands taken from the scheduler")                                           \
	X(events, "events given to the scheduler")                                                 \
	X(event_ring_full, "events that had to wait because the ring was full")
PEN_COUNTERS_DECLARE(worker, WORKER_COUNTERS);

enum worker_state {
	WORKER_STARTING,
	WORKER_READY,
	WORKER_FAILED, // `error` says why
	WORKER_ENDED,
};

// One port seen by one worker.
struct worker_port {
	struct pen_worker *worker;
	struct port_queue queue;
	struct pen_inet *inet;
	struct pen_tcp *tcp;
	pen_time_us inet_deadline;
};

struct pen_worker {
	uint32_t index;
	uint32_t nworkers;
	uint32_t nports;
	const struct pen_dataplane_config *cfg;
	const struct pen_worker_app *app;
	void *app_ctx;
	void *app_state;
	struct pen_worker_env env;
	struct rte_ring *to[PEN_WORKERS_MAX];   // this worker produces
	struct rte_ring *from[PEN_WORKERS_MAX]; // this worker consumes
	struct worker_port port[PEN_PORTS_MAX];
	struct pen_ring_msg waiting; // a command the application had no room for
	bool has_waiting;
	bool finishing;
	pen_time_us last_busy;
	uint8_t *linear; // one frame that came in several pieces

	struct worker_counters ctr;
	struct port_counters port_ctr;
	struct pen_inet_counters inet_ctr;
	struct pen_tcp_counters tcp_ctr;
	uint32_t connections; // worker: wo, relaxed

	struct pen_ring commands; // scheduler -> worker
	struct pen_ring events;   // worker -> scheduler
	char error[256];          // valid once state is FAILED
	uint32_t state;           // enum worker_state; worker: wo
	uint32_t stop;            // main: wo
};

// ports: nports opened ports. NULL on failure with a sentence in err.
struct pen_worker *worker_new(uint32_t index, const struct pen_dataplane_config *cfg,
	struct port *ports, const struct pen_worker_app *app, void *app_ctx, char *err, size_t cap);
void worker_free(struct pen_worker *w);
// rte_eal_remote_launch's function.
int worker_main(void *worker);

static inline enum worker_state worker_state_get(const struct pen_worker *w)
{
	return (enum worker_state)__atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
}
