// SPDX-License-Identifier: BSD-3-Clause

// A worker without DPDK: the session code over the simulated network, its rings as a list.

#include "sim.h"

#include "pen_err.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4096

struct pen_worker { // what sessions know of it: nothing
	struct sim_worker *w;
};

struct sim_worker {
	struct pen_worker self;
	struct pen_worker_env env;
	struct pen_dataplane_config cfg;
	struct session_worker *state;
	struct pen_ring_msg event[EVENTS_MAX];
	uint32_t head, n;
	const struct pen_delivery *flying[EVENTS_MAX];
	uint32_t nflying;
	pen_time_us next;
};

int pen_worker_port_of(const struct pen_worker *self, const struct pen_addr *local)
{
	(void)self;
	return local->family == PEN_FAMILY_IP4 ? 0 : -1;
}

bool pen_worker_post(struct pen_worker *self, struct pen_ring_msg m)
{
	struct sim_worker *w = self->w;

	if (w->n == EVENTS_MAX)
		return false;
	w->event[(w->head + w->n++) % EVENTS_MAX] = m;
	return true;
}

void sim_worker_new(struct sim *s)
{
	struct sim_worker *w = calloc(1, sizeof(*w));
	char err[256];

	PEN_ASSERT(w != NULL);
	w->self.w = w;
	w->cfg.max_connections = SIM_SESSIONS;
	w->env = (struct pen_worker_env){.self = &w->self, .cfg = &w->cfg};
	w->env.tcp[0] = s->net->host[0].tcp;
	w->state = session_app.start(NULL, &w->env, sim_now(s), err, sizeof(err));
	PEN_ASSERT(w->state != NULL);
	s->worker = w;
}

void sim_worker_free(struct sim *s)
{
	struct sim_worker *w = s->worker;

	session_app.stop(w->state);
	free(w);
	s->worker = NULL;
}

// Nobody's mail goes to another site, whatever happened to the route meanwhile.
static void check_delivery(struct sim *s, const struct pen_delivery *d)
{
	for (uint32_t i = 0; i < d->nrcpt; i++) {
		struct pen_span addr = d->rcpt[i].addr, mx = pen_span_cstr(d->lease->host[0].name);
		ptrdiff_t at = pen_span_find(addr, '@');
		SIM_CHECK(s,
			at >= 0 && pen_span_eq(pen_span_from(addr, (size_t)at + 1),
					   pen_span_from(mx, 3)),
			"mail for %.*s is given to a connection to %s", PEN_SPAN_ARG(addr), mx.p);
	}
}

bool sim_worker_command(struct sim *s, struct pen_ring_msg m)
{
	struct sim_worker *w = s->worker;

	if (m.type == PEN_CMD_DELIVERY) {
		check_delivery(s, m.p);
		sim_ledger_begun(s, m.p);
		PEN_ASSERT(w->nflying < EVENTS_MAX);
		w->flying[w->nflying++] = m.p;
	}
	bool took = session_app.command(w->state, &m, sim_now(s));
	if (!took && m.type == PEN_CMD_DELIVERY)
		w->nflying--;
	w->next = sim_now(s);
	return took;
}

bool sim_worker_event(struct sim *s, struct pen_ring_msg *m)
{
	struct sim_worker *w = s->worker;

	if (w->n == 0)
		return false;
	*m = w->event[w->head];
	w->head = (w->head + 1) % EVENTS_MAX;
	w->n--;
	s->ended_unstored += m->type == PEN_EVENT_LEASE_ENDED && s->first != NULL;
	for (uint32_t i = 0; m->type == PEN_EVENT_DELIVERY_DONE && i < w->nflying; i++) {
		if (w->flying[i] == m->p) {
			w->flying[i] = w->flying[--w->nflying];
			break;
		}
	}
	return true;
}

pen_time_us sim_worker_step(struct sim *s)
{
	struct sim_worker *w = s->worker;

	w->next = session_app.poll(w->state, sim_now(s));
	return w->n > 0 ? sim_now(s) : w->next;
}

uint32_t sim_worker_sessions(const struct sim *s)
{
	return s->worker->state->live;
}

uint32_t sim_worker_flying(const struct sim *s)
{
	return s->worker->nflying;
}

void sim_worker_each_flying(struct sim *s, void (*fn)(struct sim *s, const struct pen_delivery *d))
{
	struct sim_worker *w = s->worker;

	for (uint32_t i = 0; i < w->nflying; i++)
		fn(s, w->flying[i]);
}

void sim_worker_kill(struct sim *s)
{
	struct sim_worker *w = s->worker;
	struct pen_ring_msg m;

	do {
		session_app.poll(w->state, sim_now(s));
		while (sim_worker_event(s, &m))
			pen_sched_on_event(s->sched, m);
	} while (!session_app.finish(w->state, sim_now(s)) || w->n > 0);
}
