// SPDX-License-Identifier: BSD-3-Clause

// The spool of a world: it takes what is recorded, and gives contents back.
#include "pen_err.h"
#include "sched_world_ops.h"

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

struct world_stored *world_stored(struct world *w, uint64_t id)
{
	// Ids are given in order, from 1000 on, but for those that a test chooses.
	uint64_t i = id - 1000;

	for (uint32_t k = 0; k < w->nstored && (i >= w->nstored || w->stored[i].id != id); k++)
		i = k;
	PEN_ASSERT(i < w->nstored && w->stored[i].id == id);
	return &w->stored[i];
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

void world_spool_ops(struct pen_sched_ops *ops)
{
	ops->record = op_record;
	ops->submit = op_submit;
	ops->content = op_content;
	ops->ended = op_ended;
	ops->removed = op_removed;
	ops->forget = op_forget;
}
