// SPDX-License-Identifier: BSD-3-Clause
#include "session.h"

#include "pen_err.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMERS_PER_LOOP 512

PEN_COUNTERS_DEFINE(session, SESSION_COUNTERS);

// What an idle plaintext connection costs beside its TCP object (the sum is
// checked when the worker starts).
_Static_assert(sizeof(struct session) <= 1408, "an idle session takes at most 2 KiB with TCP");

// ---- lists ----

static void push(struct pen_delivery **head, struct pen_delivery **tail, struct pen_delivery *d)
{
	d->next = NULL;
	if (*head == NULL)
		*head = d;
	else
		(*tail)->next = d;
	*tail = d;
}

void session_mark(struct session *s)
{
	struct session_worker *sw = s->sw;

	if (s->dirty)
		return;
	s->dirty = true;
	s->next_dirty = NULL;
	if (sw->dirty == NULL)
		sw->dirty = s;
	else
		sw->dirty_tail->next_dirty = s;
	sw->dirty_tail = s;
}

void session_post_later(struct session *s)
{
	struct session_worker *sw = s->sw;

	if (s->in_outbox)
		return;
	s->in_outbox = true;
	s->next_outbox = NULL;
	if (sw->outbox == NULL)
		sw->outbox = s;
	else
		sw->outbox_tail->next_outbox = s;
	sw->outbox_tail = s;
}

// ---- events ----

static bool post(struct session_worker *sw, uint32_t type, void *p)
{
	return pen_worker_post(sw->env->self, (struct pen_ring_msg){.type = type, .p = p});
}

static bool post_deliveries(struct session_worker *sw, struct pen_delivery **list)
{
	while (*list != NULL) {
		// After the post it belongs to the scheduler.
		struct pen_delivery *d = *list, *next = d->next;
		if (!post(sw, PEN_EVENT_DELIVERY_DONE, d))
			return false;
		*list = next;
	}
	return true;
}

static void free_session(struct session *s)
{
	struct session_worker *sw = s->sw;

	s->phase = SESSION_FREE;
	s->lease = NULL;
	s->next_free = sw->free_list;
	sw->free_list = s;
	sw->live--;
}

static bool post_session(struct session *s)
{
	struct session_worker *sw = s->sw;

	if (s->post_ready) {
		if (!post(sw, PEN_EVENT_LEASE_READY, s->lease))
			return false;
		s->post_ready = false;
	}
	if (!post_deliveries(sw, &s->done))
		return false;
	return s->phase != SESSION_ENDED || post(sw, PEN_EVENT_LEASE_ENDED, s->lease);
}

// Everything that the scheduler has to hear, in the order of the contract;
// what does not fit into the ring waits for the next loop.
static void post_events(struct session_worker *sw)
{
	if (!post_deliveries(sw, &sw->stray))
		return;
	while (sw->refused != NULL) {
		struct pen_lease *l = sw->refused, *next = l->owner_state;
		l->owner_state = NULL;
		if (!post(sw, PEN_EVENT_LEASE_ENDED, l)) {
			l->owner_state = next;
			return;
		}
		sw->refused = next;
	}
	while (sw->outbox != NULL) {
		struct session *s = sw->outbox;
		if (!post_session(s))
			return;
		sw->outbox = s->next_outbox;
		s->in_outbox = false;
		if (s->phase == SESSION_ENDED)
			free_session(s);
	}
}

// ---- the SMTP client's callbacks ----

static struct pen_delivery *next_delivery(void *ctx)
{
	struct session *s = ctx;
	struct pen_delivery *d = s->queue;

	if (d != NULL)
		s->queue = d->next;
	return d;
}

static void on_ready(void *ctx, pen_time_us now)
{
	struct session *s = ctx;

	(void)now;
	pen_attempt_ready(&s->attempt);
	session_signs(s, s->conn);
	s->post_ready = true;
	session_post_later(s);
}

static void on_starttls(void *ctx, pen_time_us now)
{
	struct session *s = ctx;

	(void)now;
	// The handshake itself begins when the client's call has returned.
	s->phase = SESSION_HANDSHAKE;
}

static void on_delivery_done(void *ctx, struct pen_delivery *d, pen_time_us now)
{
	struct session *s = ctx;
	struct session_hold *h = &s->hold[0];

	(void)now;
	if (s->conn != NULL)
		session_signs(s, s->conn);
	session_post_later(s);
	if (s->conn == NULL || pen_tcp_acked(s->conn) >= pen_tcp_queued(s->conn)) {
		push(&s->done, &s->done_tail, d);
		return;
	}
	// Two generations suffice: while the first waits for its offset, later ones
	// share the second.
	if (h->head != NULL)
		h++;
	push(&h->head, &h->tail, d);
	h->until = pen_tcp_queued(s->conn);
	PEN_COUNT(s->sw->ctr.deliveries_held);
}

static void on_end(void *ctx, const struct pen_dsn *result, pen_time_us now)
{
	struct session *s = ctx;

	(void)result;
	(void)now;
	s->smtp_over = true;
	session_mark(s);
}

const struct pen_smtp_client_callbacks session_smtp_callbacks[2] = {
	{.next_delivery = next_delivery,
		.on_ready = on_ready,
		.on_delivery_done = on_delivery_done,
		.on_end = on_end},
	{.next_delivery = next_delivery,
		.on_ready = on_ready,
		.on_starttls = on_starttls,
		.on_delivery_done = on_delivery_done,
		.on_end = on_end},
};

// ---- commands ----

static void refuse_lease(struct session_worker *sw, struct pen_lease *l)
{
	pen_dsn_set(&l->result, 4, 3, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"all %u connections of this worker are in use", sw->nsessions);
	l->owner_state = sw->refused;
	sw->refused = l;
	PEN_COUNT(sw->ctr.leases_refused);
}

// A session that was never used costs no memory: its page is not there yet.
static struct session *get_session(struct session_worker *sw)
{
	struct session *s = sw->free_list;

	if (sw->finishing)
		return NULL;
	if (s != NULL)
		sw->free_list = s->next_free;
	else if (sw->mark < sw->nsessions)
		s = &sw->pool[sw->mark++];
	else
		return NULL;
	sw->live++;
	return s;
}

static void open_lease(struct session_worker *sw, struct pen_lease *l, pen_time_us now)
{
	struct session *s = get_session(sw);
	struct pen_attempt attempt;

	pen_attempt_init(&attempt, l);
	l->messages = 0;
	l->signs = (struct pen_transport_signs){0};
	l->opened_at = l->ready_at = now;
	l->tls_protocol[0] = l->tls_cipher[0] = '\0';
	if (s == NULL) {
		refuse_lease(sw, l);
		return;
	}
	// The SMTP client initialises itself. A session that was used a moment ago may
	// still be on the list of those to be looked at.
	bool dirty = s->dirty;
	struct session *next_dirty = s->next_dirty;
	memset((uint8_t *)s + sizeof(s->smtp), 0, sizeof(*s) - sizeof(s->smtp));
	s->dirty = dirty;
	s->next_dirty = next_dirty;
	pen_wheel_node_init(&s->timer);
	s->sw = sw;
	s->lease = l;
	s->attempt = attempt;
	lease_map_put(&sw->map, l, s);
	PEN_COUNT(sw->ctr.leases);
	session_connect(s, now);
}

static void take_delivery(struct session_worker *sw, struct pen_delivery *d, pen_time_us now)
{
	struct session *s = lease_map_find(&sw->map, d->lease);

	d->attempted = false;
	PEN_COUNT(sw->ctr.deliveries);
	if (s == NULL) {
		PEN_COUNT(sw->ctr.deliveries_stray);
		push(&sw->stray, &sw->stray_tail, d);
		return;
	}
	push(&s->queue, &s->queue_tail, d);
	if (s->phase == SESSION_TALKING) {
		pen_smtp_client_wake(&s->smtp, now);
		session_mark(s);
	}
}

static bool session_command(void *state, const struct pen_ring_msg *m, pen_time_us now)
{
	struct session_worker *sw = state;
	struct session *s;

	switch (m->type) {
	case PEN_CMD_LEASE_OPEN:
		open_lease(sw, m->p, now);
		break;
	case PEN_CMD_DELIVERY:
		take_delivery(sw, m->p, now);
		break;
	case PEN_CMD_LEASE_CLOSE:
		s = lease_map_find(&sw->map, m->p);
		if (s != NULL) {
			s->close_asked = true;
			session_mark(s);
		}
		break;
	case PEN_CMD_RESULT_STORED:
		s = lease_map_find(&sw->map, m->p);
		// Another lease may live at the address of one that has ended.
		if (s != NULL && (uint32_t)s->lease->id == m->arg && s->phase == SESSION_TALKING) {
			pen_smtp_client_result_stored(&s->smtp);
			session_mark(s);
		}
		break;
	case PEN_CMD_LEASE_ABORT:
		s = lease_map_find(&sw->map, m->p);
		if (s != NULL) {
			PEN_COUNT(sw->ctr.aborts);
			session_abort(s, "the session was ended by the operator", now);
		}
		break;
	default:
		PEN_ASSERT(!"a command of the scheduler");
	}
	return true;
}

void session_finish(struct session *s, pen_time_us now)
{
	(void)now;
	PEN_ASSERT(s->conn == NULL);
	session_tls_free(s);
	session_release(s, UINT64_MAX);
	for (struct pen_delivery *d; (d = s->queue) != NULL;) {
		s->queue = d->next;
		push(&s->done, &s->done_tail, d);
	}
	pen_wheel_disarm(&s->sw->wheel, &s->timer);
	lease_map_remove(&s->sw->map, s->lease);
	s->phase = SESSION_ENDED;
	session_post_later(s);
}

// ---- the application ----

static void on_timer(void *ctx, struct pen_wheel_node *node, pen_time_us now)
{
	struct session *s = (struct session *)((uint8_t *)node - offsetof(struct session, timer));

	(void)ctx;
	session_timer(s, now);
}

static pen_time_us session_poll(void *state, pen_time_us now)
{
	struct session_worker *sw = state;

	pen_wheel_advance(&sw->wheel, now, TIMERS_PER_LOOP, on_timer, sw);
	// Only what is dirty now: pumping may mark a session again.
	struct session *list = sw->dirty;
	sw->dirty = NULL;
	while (list != NULL) {
		struct session *s = list;
		list = s->next_dirty;
		s->dirty = false;
		session_pump(s, now);
	}
	post_events(sw);
	bool waiting =
		sw->dirty != NULL || sw->outbox != NULL || sw->stray != NULL || sw->refused != NULL;
	return waiting ? now : pen_wheel_next(&sw->wheel);
}

static bool session_finish_all(void *state, pen_time_us now)
{
	struct session_worker *sw = state;

	if (!sw->finishing) {
		sw->finishing = true;
		for (uint32_t i = 0; i < sw->mark; i++) {
			struct session *s = &sw->pool[i];
			if (s->phase != SESSION_FREE && s->phase != SESSION_ENDED)
				session_abort(s, "the gateway is shutting down", now);
		}
	}
	return sw->live == 0 && sw->stray == NULL && sw->refused == NULL;
}

static void session_stop(void *state)
{
	struct session_worker *sw = state;

	for (uint32_t i = 0; i < sw->mark; i++)
		session_tls_free(&sw->pool[i]);
	if (sw->tls_thread != NULL)
		sw->tls->thread_free(sw->tls_thread);
	lease_map_fini(&sw->map);
	free(sw->pool);
	free(sw);
}

static void *session_start(
	void *ctx, const struct pen_worker_env *env, pen_time_us now, char *err, size_t err_cap)
{
	struct session_worker *sw = calloc(1, sizeof(*sw));

	(void)ctx;
	PEN_ASSERT(sizeof(struct session) + pen_tcp_conn_size() <= 2048);
	if (sw == NULL) {
		snprintf(err, err_cap, "worker %u: out of memory", env->index);
		return NULL;
	}
	sw->env = env;
	sw->tls = env->cfg->tls;
	sw->nsessions = env->cfg->max_connections;
	sw->pool = calloc(sw->nsessions, sizeof(*sw->pool));
	if (sw->pool == NULL || lease_map_init(&sw->map, sw->nsessions) != 0) {
		snprintf(err, err_cap, "worker %u: no memory for %u sessions", env->index,
			sw->nsessions);
		session_stop(sw);
		return NULL;
	}
	pen_wheel_init(&sw->wheel, now);
	if (sw->tls != NULL) {
		sw->tls_thread = sw->tls->thread_new(sw->tls->ctx, env->index, err, err_cap);
		if (sw->tls_thread == NULL) {
			session_stop(sw);
			return NULL;
		}
	}
	return sw;
}

static void session_counters(
	const void *state, void (*fn)(void *ctx, const struct pen_counter_set *set), void *ctx)
{
	const struct session_worker *sw = state;
	struct pen_counter_set set = session_counter_set(&sw->ctr);

	fn(ctx, &set);
	set = pen_smtp_client_counter_set(&sw->smtp_ctr);
	fn(ctx, &set);
}

const struct pen_worker_app session_app = {
	.name = "gateway",
	.tcp = &session_tcp_callbacks,
	.start = session_start,
	.command = session_command,
	.poll = session_poll,
	.finish = session_finish_all,
	.stop = session_stop,
	.counters = session_counters,
};
