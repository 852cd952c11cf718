// SPDX-License-Identifier: BSD-3-Clause

// The workers of a world, and the servers that they speak to.
#include "pen_err.h"
#include "sched_world_ops.h"

static void op_prepare(void *ctx, struct pen_lease *l)
{
	struct world *w = ctx;

	PEN_ASSERT(l->nhosts > 0 && l->host[0].tls->refs > 0);
	l->host[0].tls_remembered = true;
	w->prepared++;
}

static void op_session(void *ctx, const struct pen_lease *l, bool ended)
{
	struct world *w = ctx;

	PEN_ASSERT(l->host[0].tls_remembered);
	*(ended ? &w->sessions_over : &w->sessions_up) += 1;
}

static struct world_lease *find_lease(struct world *w, const struct pen_lease *l)
{
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l == l)
			return &w->lease[i];
	}
	return NULL;
}

static void check_limits(struct world *w, const struct pen_lease *l)
{
	uint32_t site = 0, all = 0;

	for (uint32_t i = 0; i < w->nlease; i++) {
		all += w->lease[i].l != NULL;
		site += w->lease[i].l != NULL && w->lease[i].l->site == l->site;
	}
	PEN_ASSERT(all <= w->cfg.lease_limit);
	PEN_ASSERT(w->cfg.shape != NULL || site <= w->cfg.concurrency_limit);
}

static void take_lease(struct world *w, struct pen_lease *l)
{
	uint32_t i = 0;

	while (i < w->nlease && w->lease[i].l != NULL)
		i++;
	PEN_ASSERT(i < WORLD_MAX);
	if (i == w->nlease)
		w->nlease++;
	w->lease[i] = (struct world_lease){.l = l};
	l->opened_at = w->now;
	PEN_ASSERT(l->nhosts > 0 && l->helo[0] != '\0');
	w->opened++;
	check_limits(w, l);
	if (w->watch != NULL)
		w->watch->opened(w, l);
}

// A delivery must be for recipients without a fate, each at most once at a time.
static void take_delivery(struct world *w, struct pen_delivery *d)
{
	struct world_lease *wl = find_lease(w, d->lease);

	PEN_ASSERT(wl != NULL && wl->ready && !wl->closing && w->nflying < WORLD_MAX);
	PEN_ASSERT(d->nrcpt > 0 && d->content.n > 0);
	PEN_ASSERT(w->cfg.shape != NULL || d->nrcpt <= w->cfg.recipient_limit);
	wl->deliveries++;
	PEN_ASSERT(w->cfg.connection_message_limit == 0 || w->cfg.shape != NULL ||
		   wl->deliveries <= w->cfg.connection_message_limit);
	if (w->watch != NULL)
		w->watch->begun(w, d);
	w->flying[w->nflying++] = d;
	w->sent++;
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	struct world *w = ctx;
	struct world_lease *wl;

	PEN_ASSERT(worker < w->cfg.workers);
	if (w->ring_full)
		return false;
	switch (msg.type) {
	case PEN_CMD_LEASE_OPEN:
		take_lease(w, msg.p);
		break;
	case PEN_CMD_DELIVERY:
		take_delivery(w, msg.p);
		break;
	case PEN_CMD_LEASE_CLOSE:
	case PEN_CMD_LEASE_ABORT:
		wl = find_lease(w, msg.p);
		PEN_ASSERT(wl != NULL);
		wl->closing = true;
		wl->aborted = wl->aborted || msg.type == PEN_CMD_LEASE_ABORT;
		break;
	}
	return true;
}

void world_ready(struct world *w, uint32_t lease)
{
	struct world_lease *wl = &w->lease[lease];

	PEN_ASSERT(wl->l != NULL && !wl->ready);
	wl->ready = true;
	wl->l->ready = true;
	wl->l->host[wl->l->host_used].answer = PEN_HOST_ANSWERED;
	wl->l->ready_at = w->now;
	pen_sched_on_event(w->s, (struct pen_ring_msg){.type = PEN_EVENT_LEASE_READY, .p = wl->l});
}

void world_ready_all(struct world *w)
{
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL && !w->lease[i].ready)
			world_ready(w, i);
	}
}

static void take_off(struct world *w, const struct pen_delivery *d)
{
	uint32_t i = 0;

	while (i < w->nflying && w->flying[i] != d)
		i++;
	PEN_ASSERT(i < w->nflying);
	w->nflying--;
	memmove(&w->flying[i], &w->flying[i + 1], (w->nflying - i) * sizeof(w->flying[0]));
}

void world_done(struct world *w, struct pen_delivery *d)
{
	take_off(w, d);
	d->attempted = true;
	d->conn_use = (uint16_t)++d->lease->messages;
	if (d->started_at == 0)
		d->started_at = w->now;
	d->done_at = w->now;
	if (w->watch != NULL)
		w->watch->done(w, d);
	pen_sched_on_event(w->s, (struct pen_ring_msg){.type = PEN_EVENT_DELIVERY_DONE, .p = d});
	world_check(w);
}

void world_untried(struct world *w, struct pen_delivery *d)
{
	struct world_lease *wl = find_lease(w, d->lease);

	take_off(w, d);
	wl->deliveries--;
	d->attempted = false;
	if (w->watch != NULL)
		w->watch->done(w, d);
	pen_sched_on_event(w->s, (struct pen_ring_msg){.type = PEN_EVENT_DELIVERY_DONE, .p = d});
}

struct pen_delivery *world_oldest(struct world *w, uint32_t lease)
{
	for (uint32_t i = 0; i < w->nflying; i++) {
		if (w->flying[i]->lease == w->lease[lease].l)
			return w->flying[i];
	}
	return NULL;
}

void world_answer_one(struct pen_delivery *d, uint32_t rcpt, unsigned reply)
{
	struct pen_dsn *r = &d->rcpt[rcpt].result;
	unsigned k = reply / 100;

	pen_dsn_set(r, k, k == 2 ? 0 : 1, k == 2 ? 0 : 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER,
		k == 2 ? PEN_STAGE_DOT : PEN_STAGE_RCPT, "%u %u.1.1 said so", reply, k);
	r->reply = (uint16_t)reply;
}

void world_answer(struct world *w, struct pen_delivery *d, unsigned reply)
{
	for (uint32_t i = 0; i < d->nrcpt; i++)
		world_answer_one(d, i, reply);
	world_done(w, d);
}

void world_lose_dot(struct world *w, struct pen_delivery *d, enum pen_dot_state dot)
{
	for (uint32_t i = 0; i < d->nrcpt; i++)
		pen_dsn_set(&d->rcpt[i].result, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			PEN_STAGE_DOT,
			"lost connection with mx while sending end of data -- message may be sent "
			"more than once");
	d->dot = (uint8_t)dot;
	world_done(w, d);
}

void world_end(struct world *w, uint32_t lease, const struct pen_dsn *why)
{
	struct pen_lease *l = w->lease[lease].l;
	struct pen_delivery *d;

	w->lease[lease].closing = true; // a sent delivery would be refused by now
	while ((d = world_oldest(w, lease)) != NULL)
		world_untried(w, d);
	l->result = *why;
	w->lease[lease].l = NULL;
	if (w->watch != NULL)
		w->watch->ended(w, l);
	pen_sched_on_event(w->s, (struct pen_ring_msg){.type = PEN_EVENT_LEASE_ENDED, .p = l});
}

void world_leave(struct world *w, uint32_t lease)
{
	PEN_ASSERT(w->lease[lease].ready && world_oldest(w, lease) == NULL);
	w->lease[lease].leaving = true;
	pen_dsn_set(&w->lease[lease].l->result, 2, 0, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
		PEN_STAGE_QUIT, "idle");
}

void world_left(struct world *w, uint32_t lease)
{
	struct pen_lease *l = w->lease[lease].l;
	struct pen_delivery *late[64];
	uint32_t n = 0;

	PEN_ASSERT(w->lease[lease].leaving);
	while ((late[n] = world_oldest(w, lease)) != NULL) {
		take_off(w, late[n]);
		late[n]->attempted = false;
		if (w->watch != NULL)
			w->watch->done(w, late[n]);
		n++;
		PEN_ASSERT(n < 64);
	}
	w->lease[lease].l = NULL;
	if (w->watch != NULL)
		w->watch->ended(w, l);
	pen_sched_on_event(w->s, (struct pen_ring_msg){.type = PEN_EVENT_LEASE_ENDED, .p = l});
	for (uint32_t i = 0; i < n; i++)
		pen_sched_on_event(
			w->s, (struct pen_ring_msg){.type = PEN_EVENT_DELIVERY_DONE, .p = late[i]});
}

void world_refuse(struct world *w, uint32_t lease)
{
	struct pen_dsn d;

	pen_dsn_set(&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to mx[10.0.0.1]:25: Connection refused");
	world_end(w, lease, &d);
}

void world_no_answer(struct world *w, uint32_t lease, uint8_t last, enum pen_host_answer answer)
{
	struct pen_lease *l = w->lease[lease].l;
	char addr[PEN_ADDR_STR_MAX];
	struct pen_dsn d;

	l->host_tried = true;
	for (uint8_t i = 0; i <= last; i++)
		l->host[i].answer = (uint8_t)answer;
	l->host_used = (uint8_t)(last + 1);
	if (l->host_used < l->nhosts) {
		world_ready(w, lease);
		return;
	}
	l->host_used = last;
	pen_dsn_set(&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to %s[%s]:25: Connection timed out", l->host[last].name,
		pen_addr_str(&l->host[last].addr, addr));
	world_end(w, lease, &d);
}

void world_fail(struct world *w, uint32_t lease, enum pen_tls_level level, unsigned klass,
	unsigned detail, enum pen_dsn_scope scope, enum pen_dsn_origin origin,
	enum pen_smtp_stage stage)
{
	struct pen_lease *l = w->lease[lease].l;
	struct pen_dsn d;

	l->host_tried = true;
	l->tls_field = (struct pen_tls_field){
		.shown = true, .level = (int8_t)level, .final = (int8_t)level};
	pen_dsn_set(&d, klass, 7, detail, scope, origin, stage, "TLS is not as it should be");
	world_end(w, lease, &d);
}

void world_quit(struct world *w, uint32_t lease)
{
	struct pen_dsn d;

	pen_dsn_set(&d, 2, 0, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_QUIT, "bye");
	world_end(w, lease, &d);
}

void world_run_ok(struct world *w)
{
	for (bool moved = true; moved;) {
		moved = pen_sched_poll(w->s, 1000) > 0;
		for (uint32_t i = 0; i < w->nlease; i++) {
			if (w->lease[i].l == NULL)
				continue;
			struct pen_delivery *d = world_oldest(w, i);
			if (!w->lease[i].ready) {
				world_ready(w, i);
				moved = true;
			} else if (d != NULL) {
				world_answer(w, d, 250);
				moved = true;
			} else if (w->lease[i].closing) {
				world_quit(w, i);
				moved = true;
			}
		}
	}
}

uint32_t world_leases(const struct world *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->nlease; i++)
		n += w->lease[i].l != NULL;
	return n;
}

uint32_t world_lease_at(const struct world *w, uint32_t n)
{
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL && n-- == 0)
			return i;
	}
	PEN_ASSERT(!"that many leases");
	return 0;
}

void world_worker_ops(struct pen_sched_ops *ops)
{
	ops->prepare = op_prepare;
	ops->session = op_session;
	ops->send = op_send;
}
