// SPDX-License-Identifier: BSD-3-Clause

// The clock of a world, what the filter says in it, and the log.
#include "sched_world.h"
#include "pen_err.h"
#include "pen_trouble.h"
#include "sched_world_ops.h"

#include <errno.h>
#include <stdlib.h>

pen_wall_us world_wall(const struct world *w)
{
	return w->wall0 + w->now;
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
	struct pen_sched_ops ops = {.match = op_match, .zone = op_zone, .log = op_log};
	struct world *w = calloc(1, sizeof(*w));
	struct pen_sched_source source[2] = {{.addr = pen_addr_ip4(0xc0000201)},
		{.addr = pen_addr_ip4(0xc0000202), .helo = "two.test"}};

	world_resolver_ops(&ops);
	world_worker_ops(&ops);
	world_spool_ops(&ops);
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
