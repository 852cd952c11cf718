// SPDX-License-Identifier: BSD-3-Clause
#include "intr_gate.h"

#include <time.h>

#include <rte_alarm.h>

#define COME_IN_SECONDS 1

// On the interrupt thread, which runs the alarms.
static void wait_inside(void *arg)
{
	struct intr_gate *g = arg;

	pthread_mutex_lock(&g->lock);
	g->inside = true;
	pthread_cond_broadcast(&g->changed);
	while (g->closed)
		pthread_cond_wait(&g->changed, &g->lock);
	g->inside = false;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

void intr_gate_init(struct intr_gate *g)
{
	pthread_condattr_t attr;

	g->closed = g->inside = false;
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void intr_gate_fini(struct intr_gate *g)
{
	intr_gate_open(g);
	rte_eal_alarm_cancel(wait_inside, g); // waits for one that runs
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

bool intr_gate_close(struct intr_gate *g)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += COME_IN_SECONDS;
	pthread_mutex_lock(&g->lock);
	g->closed = true;
	pthread_mutex_unlock(&g->lock);
	// Not under the lock: DPDK has one of its own around the alarms.
	bool called = rte_eal_alarm_set(1, wait_inside, g) == 0;
	pthread_mutex_lock(&g->lock);
	g->closed = called;
	while (g->closed && !g->inside) {
		if (pthread_cond_timedwait(&g->changed, &g->lock, &end) != 0)
			g->closed = g->inside;
	}
	bool closed = g->closed;
	pthread_mutex_unlock(&g->lock);
	return closed;
}

void intr_gate_open(struct intr_gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->closed = false;
	pthread_cond_broadcast(&g->changed);
	while (g->inside)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}
