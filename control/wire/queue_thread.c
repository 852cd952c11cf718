// SPDX-License-Identifier: BSD-3-Clause

// The thread that owns the scheduler: posted calls, workers' events, timers.

#include "pen_gateway.h"

#include "pen_err.h"
#include "pen_log.h"
#include "pen_sched_admin.h"
#include "probe.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

PEN_LOG_TYPE("control.queue");

// How long it sleeps while connections are open and nothing happens: workers
// cannot wake it, because they make no system calls.
#define IDLE_MIN 20
#define IDLE_MAX 500
#define BARRIER_MAX 64

// Connections whose latest results have to be on disk before they go on, and the
// call that comes back when that is so.
struct barrier {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	uint32_t n, sent;
	struct {
		struct pen_worker *worker;
		struct pen_lease *lease; // an address to the worker; may be gone
		uint32_t id;
	} at[BARRIER_MAX];
};

static void barrier_release(struct pen_call *call)
{
	struct barrier *b = (struct barrier *)call;

	for (; b->sent < b->n && b->g->queue_runs; b->sent++) {
		struct pen_ring_msg m = {
			PEN_CMD_RESULT_STORED, b->at[b->sent].id, b->at[b->sent].lease};
		if (!pen_worker_send(b->at[b->sent].worker, m)) {
			b->call.next = b->g->barriers_late;
			b->g->barriers_late = &b->call;
			return;
		}
	}
	free(b);
}

// Runs on the spool's writer thread. An error means that results were given up, as the spool is
// closed: these connections don't go on.
static void barrier_stored(void *ctx, struct pen_message *m, int err)
{
	struct barrier *b = ctx;

	(void)m;
	if (err == 0)
		pen_inbox_post(&b->g->inbox, &b->call);
	else
		free(b);
}

static void barrier_note(struct pen_gateway *g, struct barrier **b, struct pen_worker *w,
	const struct pen_ring_msg *m)
{
	const struct pen_delivery *d = m->p;

	if (m->type != PEN_EVENT_DELIVERY_DONE || !d->lease->hold_dots ||
		d->dot == PEN_DOT_NOT_SENT)
		return;
	if (*b == NULL) {
		*b = malloc(sizeof(**b));
		PEN_ASSERT(*b != NULL); // without it the connection would stand still
		(*b)->call.fn = barrier_release;
		(*b)->g = g;
		(*b)->n = (*b)->sent = 0;
	}
	(*b)->at[(*b)->n].worker = w;
	(*b)->at[(*b)->n].lease = d->lease;
	(*b)->at[(*b)->n++].id = (uint32_t)d->lease->id;
}

static void barrier_ask(struct pen_call *call)
{
	struct barrier *b = (struct barrier *)call;
	struct pen_gateway *g = b->g;

	call->fn = barrier_release;
	int err = g->queue_runs ? pen_spool_sync(g->spool, barrier_stored, b) : -ESHUTDOWN;
	if (err == -ENOMEM) { // asked again
		call->fn = barrier_ask;
		call->next = g->barriers_late;
		g->barriers_late = call;
	} else if (err != 0) {
		free(b);
	}
}

static void barrier_start(struct barrier *b)
{
	if (b != NULL)
		barrier_ask(&b->call);
}

static void barriers_retry(struct pen_gateway *g)
{
	struct pen_call *late = g->barriers_late;

	g->barriers_late = NULL;
	while (late != NULL) {
		struct pen_call *next = late->next;
		late->fn(late);
		late = next;
	}
}

static uint32_t drain_workers(struct pen_gateway *g)
{
	uint32_t did = 0;
	struct pen_ring_msg m;
	struct barrier *b = NULL;

	barriers_retry(g);

	for (uint32_t i = 0; i < pen_dataplane_workers(g->dataplane); i++) {
		struct pen_worker *w = pen_dataplane_worker(g->dataplane, i);
		for (uint32_t n = 0; n < 1024 && pen_worker_recv(w, &m); n++, did++) {
			// Looked at before the scheduler frees it; started after it has
			// recorded the result.
			if (pen_probe_event(g, &m))
				continue;
			barrier_note(g, &b, w, &m);
			pen_sched_on_event(g->sched, m);
			if (b != NULL && b->n == BARRIER_MAX) {
				barrier_start(b);
				b = NULL;
			}
		}
	}
	barrier_start(b);
	return did;
}

// queue_minfree; asked once a second, as the answer costs a system call.
static bool disk_has_room(struct pen_gateway *g, pen_time_us now)
{
	const struct pen_params *p = &g->config->params;
	struct statvfs st;

	if (p->queue_minfree > 0 && now >= g->disk_asked_at + PEN_US_PER_S) {
		g->disk_asked_at = now;
		bool full = statvfs(g->boot->params.queue_directory, &st) == 0 &&
			    (uint64_t)st.f_bavail * st.f_frsize < (uint64_t)p->queue_minfree;
		if (full != g->disk_full)
			pen_warning("%s has %s free than queue_minfree = %lld: mail is %s",
				g->boot->params.queue_directory, full ? "less" : "more",
				(long long)p->queue_minfree, full ? "refused" : "accepted again");
		g->disk_full = full;
	}
	return !g->disk_full;
}

static void publish(struct pen_gateway *g, pen_time_us now)
{
	bool accept = disk_has_room(g, now) && pen_sched_accepting(g->sched);

	__atomic_store_n(&g->accepting, accept ? 1 : 0, __ATOMIC_RELAXED);
}

static pen_time_us sleep_for(struct pen_gateway *g, pen_time_us now, pen_time_us idle)
{
	struct pen_sched_stats st;
	pen_time_us due = pen_sched_next(g->sched) - now;

	pen_sched_stats(g->sched, &st);
	if (st.leases > 0 || g->probes > 0)
		return pen_time_min(idle, due);
	return pen_time_min(due, PEN_US_PER_S);
}

static void *queue_main(void *arg)
{
	struct pen_gateway *g = arg;
	pen_time_us idle = IDLE_MIN;

	pthread_setname_np(pthread_self(), "queue");
	for (;;) {
		pen_time_us now = pen_clock_mono();
		pen_sched_clock(g->sched, now, pen_clock_wall());
		uint32_t did = pen_inbox_run(&g->inbox);
		did += drain_workers(g);
		did += pen_sched_poll(g->sched, 4096);
		pen_shape_state_tick(g, now);
		publish(g, now);
		if (g->stopping && pen_sched_idle(g->sched) && g->probes == 0)
			return NULL;
		if (did > 0) {
			idle = IDLE_MIN;
			continue;
		}
		pen_inbox_wait(&g->inbox, sleep_for(g, now, idle));
		idle = pen_time_min(idle * 2, IDLE_MAX);
	}
}

int pen_queue_thread_start(struct pen_gateway *g)
{
	g->disk_asked_at = -PEN_US_PER_S;
	publish(g, pen_clock_mono());
	g->queue_runs = true; // before the thread that asks for it
	int err = pthread_create(&g->queue_thread, NULL, queue_main, g);
	if (err != 0)
		g->queue_runs = false;
	return -err;
}

struct stop_call {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	bool abort;
};

static void stop_on_queue(struct pen_call *call)
{
	struct stop_call *c = (struct stop_call *)call;

	c->g->stopping = true;
	if (c->abort)
		pen_sched_abort(c->g->sched);
	else
		pen_sched_stop(c->g->sched);
}

void pen_queue_thread_stop(struct pen_gateway *g, pen_time_us grace)
{
	struct stop_call orderly = {{NULL, stop_on_queue}, g, false};
	struct stop_call now = {{NULL, stop_on_queue}, g, true};
	struct timespec until;

	if (!g->queue_runs)
		return;
	pen_inbox_post(&g->inbox, &orderly.call);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += grace / PEN_US_PER_S;
	if (pthread_timedjoin_np(g->queue_thread, NULL, &until) == ETIMEDOUT) {
		pen_inbox_post(&g->inbox, &now.call);
		pthread_join(g->queue_thread, NULL);
	}
	g->queue_runs = false;
	barriers_retry(g); // nobody waits for them any more
}
