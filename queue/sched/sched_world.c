// SPDX-License-Identifier: BSD-3-Clause
#include "sched_world.h"

#include "pen_err.h"
#include "pen_trouble.h"

#include <errno.h>
#include <stdlib.h>

static struct pen_message *build_message(
	const char *sender, const char *rcpts, const void *content, uint32_t len)
{
	struct pen_span addr[64];
	uint32_t n = 0;

	for (const char *p = rcpts;; p++) {
		size_t part = strcspn(p, ",");
		PEN_ASSERT(n < 64);
		addr[n++] = pen_span(p, part);
		p += part;
		if (*p == '\0')
			break;
	}
	uint8_t *copy = malloc(len);
	memcpy(copy, content, len);
	return pen_message_new(pen_span_cstr(sender), addr, n, copy, len, 0, 0);
}

struct pen_addr world_ip6(uint8_t last)
{
	return (struct pen_addr){
		.family = PEN_FAMILY_IP6, .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = last}};
}

pen_wall_us world_wall(const struct world *w)
{
	return w->wall0 + w->now;
}

struct world_stored *world_stored(struct world *w, uint64_t id)
{
	// Ids are given in order, from 1000 on.
	PEN_ASSERT(id >= 1000 && id - 1000 < w->nstored);
	return &w->stored[id - 1000];
}

uint8_t world_fate(struct world *w, uint64_t id, uint32_t rcpt)
{
	return world_stored(w, id)->fate[rcpt];
}

static void store(struct world *w, struct pen_message *m)
{
	if (w->nstored == w->capstored) {
		w->capstored = w->capstored != 0 ? w->capstored * 2 : 64;
		w->stored = realloc(w->stored, w->capstored * sizeof(*w->stored));
	}
	struct world_stored *st = &w->stored[w->nstored++];
	*st = (struct world_stored){
		.id = m->id,
		.nrcpt = m->nrcpt,
		.flags = m->flags,
		.next_attempt = m->next_attempt,
		.dsn = (m->flags & PEN_MESSAGE_DSN) != 0,
		.content_len = m->content_len,
	};
	PEN_ASSERT(m->nrcpt <= 64 && m->sender_len < sizeof(st->sender));
	snprintf(st->sender, sizeof(st->sender), "%.*s", PEN_SPAN_ARG(pen_message_sender(m)));
	for (uint32_t i = 0; i < m->nrcpt; i++)
		st->notify[i] = m->rcpt[i].notify;
	for (uint32_t i = 0; i < m->nrcpt; i++)
		st->doubts[i] = (uint8_t)m->rcpt[i].doubts;
	st->content = malloc(m->content_len);
	memcpy(st->content, m->content, m->content_len);
}

static uint64_t add_message(struct world *w, struct pen_message *m)
{
	uint64_t id = w->next_id++;

	m->id = id;
	store(w, m);
	w->live_messages++;
	PEN_ASSERT(pen_sched_add(w->s, m) == 0);
	return id;
}

uint64_t world_recover(struct world *w, const char *sender, const char *rcpts, pen_wall_us arrival,
	pen_wall_us next, uint32_t flags)
{
	static const char text[] = "Subject: hello\r\nFrom: a@b\r\n\r\nBody line\r\n";
	struct pen_message *m = build_message(sender, rcpts, text, sizeof(text) - 1);

	m->arrival = arrival;
	m->next_attempt = next;
	m->flags = flags;
	if (w->klass != NULL)
		m->klass = pen_mail_class_ref(w->klass);
	if (w->edit != NULL)
		w->edit(m);
	return add_message(w, m);
}

uint64_t world_add(struct world *w, const char *sender, const char *rcpts)
{
	return world_recover(w, sender, rcpts, world_wall(w), world_wall(w), 0);
}

// ops

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	const struct world *w = ctx;

	(void)rcpt;
	if (domain.n == 0 || pen_span_eq(domain, PEN_SPAN_LIT("unroutable"))) {
		pen_dsn_set(why, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
			"no route");
		return false;
	}
	if (pen_span_eq(domain, PEN_SPAN_LIT("discarded"))) {
		pen_dsn_set(why, 2, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
			"thrown away");
		return false;
	}
	out->transport = PEN_SPAN_LIT("smtp");
	out->nexthop = w->relayhost != NULL ? pen_span_cstr(w->relayhost) : domain;
	return true;
}

static void add_host(
	struct world *w, struct pen_route_result *r, const char *site, uint32_t i, bool ip6)
{
	struct pen_route_host *h = &r->host[r->nhosts++];
	char mx[128];

	snprintf(mx, sizeof(mx), "mx%u.%s", i + 1, site);
	struct pen_tls_policy *tls = pen_tls_policy_plain(w->level, mx);
	tls->one_use = w->one_use;
	h->tls = tls;
	h->addr = ip6 ? world_ip6((uint8_t)(i + 1)) : pen_addr_ip4(0x0a000001 + i);
	h->port = 25;
	h->preference = (uint16_t)(10 * i);
}

static void answer_resolve(struct world *w, uint64_t token, const char *name, enum world_route how)
{
	struct pen_route_result *r = calloc(1, sizeof(*r));
	char key[128];

	r->ttl = w->ttl;
	if (how == WORLD_ROUTE_OK) {
		const char *site = w->one_site ? "shared" : name;
		pen_dsn_set(&r->status, 2, 0, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"ok");
		snprintf(key, sizeof(key), "%s/%u", site, w->shuffle);
		r->site_key = pen_span_cstr(key);
		for (uint32_t i = 0; i < 2; i++) {
			if (w->two_families)
				add_host(w, r, site, i, true);
			add_host(w, r, site, i, false);
		}
	} else if (how == WORLD_ROUTE_SOFT) {
		pen_dsn_set(&r->status, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"name service error for %s", name);
	} else {
		pen_dsn_set(&r->status, 5, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"domain %s not found", name);
	}
	pen_sched_on_resolved(w->s, token, r);
	for (uint32_t i = 0; i < r->nhosts; i++)
		pen_tls_policy_unref(r->host[i].tls);
	free(r);
}

static void op_resolve(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	struct world *w = ctx;
	char name[64];

	w->demand[w->nasked++ % WORLD_MAX] = demand;
	(void)transport;
	snprintf(name, sizeof(name), "%.*s", PEN_SPAN_ARG(nexthop));
	if (!w->hold_resolves) {
		answer_resolve(w, token, name, w->route);
		return;
	}
	PEN_ASSERT(w->nresolve < WORLD_MAX);
	w->resolve[w->nresolve] = token;
	memcpy(w->resolve_name[w->nresolve++], name, sizeof(name));
}

void world_resolved(struct world *w, uint32_t i, enum world_route how)
{
	uint64_t token = w->resolve[i];
	char name[64];

	memcpy(name, w->resolve_name[i], sizeof(name));
	w->nresolve--;
	memmove(&w->resolve[i], &w->resolve[i + 1], (w->nresolve - i) * sizeof(w->resolve[0]));
	memmove(&w->resolve_name[i], &w->resolve_name[i + 1],
		(w->nresolve - i) * sizeof(w->resolve_name[0]));
	answer_resolve(w, token, name, how);
}

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

static void op_record(void *ctx, const struct pen_message *m, const struct pen_message_update *up)
{
	struct world *w = ctx;
	struct world_stored *st = world_stored(w, up->id);

	PEN_ASSERT(!st->removed && up->id == m->id);
	for (uint32_t i = 0; i < up->nchanges; i++) {
		const struct pen_rcpt_change *c = &up->change[i];
		PEN_ASSERT(c->index < st->nrcpt);
		PEN_ASSERT(st->fate[c->index] == PEN_FATE_QUEUED);
		if ((c->fate == PEN_FATE_BOUNCED || c->fate == PEN_FATE_EXPIRED) &&
			st->sender[0] != '\0' && !(st->flags & PEN_MESSAGE_NO_NOTICE) &&
			!(st->notify[c->index] & PEN_NOTIFY_NEVER) &&
			(st->notify[c->index] == 0 || st->notify[c->index] & PEN_NOTIFY_FAILURE))
			PEN_ASSERT(st->notices > 0); // the sender was told before
		st->fate[c->index] = c->fate;
		st->attempts[c->index] = c->attempts;
		PEN_ASSERT(c->doubts >= st->doubts[c->index]);
		st->doubts[c->index] = c->doubts;
	}
	if (up->klass != NULL)
		snprintf(st->pool, sizeof(st->pool), "%.*s", PEN_SPAN_ARG(up->klass->pool));
	if (up->extra != NULL)
		snprintf(st->route, sizeof(st->route), "%s", up->extra->route);
	if (up->doubt_due != 0)
		st->doubt_due = up->doubt_due;
	st->next_attempt = up->next_attempt;
	st->flags = up->flags;
	st->removed = up->removed;
	for (uint32_t i = 0; up->removed && i < st->nrcpt; i++)
		PEN_ASSERT(st->fate[i] != PEN_FATE_QUEUED);
}

static void op_submit(void *ctx, const struct pen_sched_submission *sub)
{
	struct world *w = ctx;
	struct world_submission *ws;
	uint32_t i = 0;

	while (i < w->nsub && w->sub[i].content != NULL)
		i++;
	PEN_ASSERT(i < WORLD_MAX && sub->rcpt.n > 0 && sub->rcpt.n < sizeof(ws->rcpt));
	if (i == w->nsub)
		w->nsub++;
	ws = &w->sub[i];
	*ws = (struct world_submission){.token = sub->token, .flags = sub->flags, .open = true};
	snprintf(ws->rcpt, sizeof(ws->rcpt), "%.*s", PEN_SPAN_ARG(sub->rcpt));
	ws->content = malloc(sub->content_len + 1);
	memcpy(ws->content, sub->content, sub->content_len);
	ws->content[sub->content_len] = '\0';
	ws->len = sub->content_len;
	free(sub->content);
	if (!w->hold_submissions)
		world_submitted(w, i, 0);
}

void world_submitted(struct world *w, uint32_t i, int err)
{
	struct world_submission *ws = &w->sub[i];

	PEN_ASSERT(ws->open);
	ws->open = false;
	uint64_t token = ws->token, id = token & ~(PEN_SUBMITTED_LATE | PEN_SUBMITTED_COPY);
	if (err == 0) {
		struct pen_message *m = build_message("", ws->rcpt, ws->content, ws->len);
		m->arrival = world_wall(w);
		m->next_attempt = m->arrival;
		m->flags = ws->flags;
		world_stored(w, id)->notices += !(token & PEN_SUBMITTED_COPY);
		add_message(w, m);
	}
	pen_sched_on_submitted(w->s, token, err);
}

static int op_content(void *ctx, struct pen_message *m)
{
	struct world *w = ctx;
	struct world_stored *st = world_stored(w, m->id);

	w->content_reads++;
	if (w->content_fails)
		return -EIO;
	m->content = malloc(st->content_len);
	memcpy(m->content, st->content, st->content_len);
	return 0;
}

static void op_match(void *ctx, const struct pen_dsn *d, const char *provider, struct pen_span site,
	struct pen_sched_match *out)
{
	struct world *w = ctx;

	PEN_ASSERT(provider != NULL && site.n > 0 && d->klass != 2);
	if (w->match != NULL) {
		w->match(d, out);
		return;
	}
	out->klass = w->reply_class;
	out->greylisted = w->greylisted;
}

static void op_log(void *ctx, const struct pen_sched_log *line)
{
	struct world *w = ctx;
	char addr[PEN_ADDR_STR_MAX];

	PEN_ASSERT(line->dsn->klass == 2 || line->dsn->klass == 4 || line->dsn->klass == 5);
	for (int i = 0; i < 4; i++)
		PEN_ASSERT(line->delay[i] >= 0);
	if (!w->keep_log)
		return;
	if (w->nlog == w->caplog) {
		w->caplog = w->caplog != 0 ? w->caplog * 2 : 64;
		w->log = realloc(w->log, w->caplog * sizeof(*w->log));
	}
	struct world_log *l = &w->log[w->nlog++];
	*l = (struct world_log){
		.id = line->message->id,
		.rcpt = line->rcpt,
		.status = line->status,
		.in_doubt = line->in_doubt,
		.retry_is_safe = line->retry_is_safe,
	};
	snprintf(l->klass, sizeof(l->klass), "%s", line->klass != NULL ? line->klass : "");
	memcpy(l->delay, line->delay, sizeof(l->delay));
	if (line->tls_field != NULL)
		pen_tls_field_str(line->tls_field, l->tls);
	if (line->relay_name != NULL)
		snprintf(l->relay, sizeof(l->relay), "%s[%s]:%u", line->relay_name,
			pen_addr_str(line->relay_addr, addr), line->relay_port);
	else
		snprintf(l->relay, sizeof(l->relay), "none");
	pen_sched_log_text(line, l->text, sizeof(l->text));
	pen_trouble_status(line->dsn, l->dsn);
}

static bool op_zone(
	void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	const struct world *w = ctx;
	bool later = w->zone_until != 0 && at >= w->zone_until;

	if (name[0] == '\0')
		return false;
	*offset = later ? w->zone_next : w->zone_offset;
	*until = w->zone_until != 0 && !later ? w->zone_until : PEN_TIME_NEVER;
	return true;
}

static void op_ended(
	void *ctx, const struct pen_message *m, uint32_t rcpt, enum pen_fate fate, const char *by)
{
	struct world *w = ctx;

	PEN_ASSERT(m->rcpt[rcpt].fate == fate && strcmp(by, "operator") == 0);
	w->ended[fate]++;
}

static void op_removed(void *ctx, struct pen_message *m)
{
	struct world *w = ctx;
	struct world_stored *st = world_stored(w, m->id);

	PEN_ASSERT(st->removed && !st->gone);
	st->gone = true;
	w->live_messages--;
	pen_message_free(m);
}

static void op_forget(void *ctx, struct pen_message *m)
{
	struct world *w = ctx;

	PEN_ASSERT(!world_stored(w, m->id)->removed);
	w->live_messages--;
	pen_message_free(m);
}

void world_check(struct world *w)
{
	struct pen_sched_stats st = world_stats(w);
	uint64_t queued = 0, doubtful = 0;

	if (w->nstored > 256 && ++w->checks % 64 != 0)
		return;
	for (uint32_t i = 0; i < w->nstored; i++) {
		const struct world_stored *m = &w->stored[i];
		for (uint32_t k = 0; k < m->nrcpt && !m->gone; k++) {
			queued += m->fate[k] == PEN_FATE_QUEUED;
			doubtful += m->fate[k] == PEN_FATE_QUEUED && m->doubts[k] > 0;
		}
	}
	PEN_ASSERT(st.queued == queued && st.doubtful == doubtful);
}

struct world *world_new(void (*tweak)(struct pen_sched_config *cfg))
{
	static const struct pen_sched_ops ops = {
		.route = op_route,
		.resolve = op_resolve,
		.prepare = op_prepare,
		.session = op_session,
		.send = op_send,
		.record = op_record,
		.submit = op_submit,
		.content = op_content,
		.match = op_match,
		.zone = op_zone,
		.log = op_log,
		.ended = op_ended,
		.removed = op_removed,
		.forget = op_forget,
	};
	struct world *w = calloc(1, sizeof(*w));
	struct pen_sched_source source[2] = {{.addr = pen_addr_ip4(0xc0000201)},
		{.addr = pen_addr_ip4(0xc0000202), .helo = "two.test"}};

	pen_sched_config_init(&w->cfg);
	strcpy(w->cfg.myhostname, "gw.test");
	w->cfg.workers = 2;
	w->cfg.nsources = 2;
	w->cfg.source = source;
	w->cfg.seed = 7;
	if (tweak != NULL)
		tweak(&w->cfg);
	w->now = WORLD_START;
	w->wall0 = WORLD_START_WALL - WORLD_START;
	w->next_id = 1000;
	w->keep_log = true;
	w->ttl = 86400 * PEN_US_PER_S;
	w->s = pen_sched_new(&w->cfg, &ops, w, w->now, world_wall(w));
	return w;
}

static void poll_out(struct world *w)
{
	while (pen_sched_poll(w->s, 1000) > 0)
		world_check(w);
	world_check(w);
}

void world_wait(struct world *w, pen_time_us us)
{
	pen_time_us until = w->now + us;

	for (;;) {
		poll_out(w);
		pen_time_us next = pen_sched_next(w->s);
		// A ring that stays full asks for every millisecond.
		if (w->ring_full || next <= w->now)
			next = w->now + PEN_US_PER_MS;
		if (next > until)
			break;
		w->now = next;
		pen_sched_clock(w->s, w->now, world_wall(w));
	}
	w->now = until;
	pen_sched_clock(w->s, w->now, world_wall(w));
	poll_out(w);
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

struct pen_sched_stats world_stats(struct world *w)
{
	struct pen_sched_stats st;

	pen_sched_stats(w->s, &st);
	PEN_ASSERT(st.accepted == st.queued + st.delivered + st.bounced + st.expired + st.deleted);
	PEN_ASSERT(st.doubtful <= st.queued);
	PEN_ASSERT(st.messages ==
		   st.active + st.deferred + st.bouncing + st.held + st.waiting + st.scheduled);
	return st;
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

void world_free(struct world *w)
{
	struct pen_dsn d;

	pen_dsn_set(&d, 4, 3, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "stopped");
	w->ring_full = false;
	pen_sched_abort(w->s);
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL && w->lease[i].leaving)
			world_left(w, i);
		else if (w->lease[i].l != NULL)
			world_end(w, i, &d);
	}
	for (uint32_t i = 0; i < w->nsub; i++) {
		if (w->sub[i].open)
			world_submitted(w, i, -ENOSPC);
	}
	PEN_ASSERT(pen_sched_idle(w->s));
	world_stats(w);
	pen_sched_free(w->s);
	pen_shape_free(w->cfg.shape);
	PEN_ASSERT(w->live_messages == 0);
	for (uint32_t i = 0; i < w->nsub; i++)
		free(w->sub[i].content);
	for (uint32_t i = 0; i < w->nstored; i++)
		free(w->stored[i].content);
	free(w->stored);
	free(w->log);
	free(w);
}
