// SPDX-License-Identifier: BSD-3-Clause

// What the scheduler asks for: the ops of control/wire, in virtual time.

#include "sim.h"

#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_question {
	struct sim_question *next;
	uint64_t token;
	pen_time_us at;
	char name[64];
};

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	(void)ctx, (void)rcpt, (void)why;
	out->transport = PEN_SPAN_LIT("smtp");
	out->nexthop = domain;
	return true;
}

static void op_resolve(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	struct sim *s = ctx;
	struct sim_question *q = calloc(1, sizeof(*q));

	(void)transport, (void)demand;
	PEN_ASSERT(q != NULL);
	q->token = token;
	q->at = sim_now(s) + sim_below(s, 300000);
	snprintf(q->name, sizeof(q->name), "%.*s", PEN_SPAN_ARG(nexthop));
	q->next = s->questions;
	s->questions = q;
}

// "s3.test" is site 3: mx.s3.test at the fourth address of host 1.
static void answer(struct sim *s, const struct sim_question *q)
{
	struct pen_route_result r = {.ttl = PEN_US_PER_S * (1 + sim_below(s, 3600))};
	unsigned site = (unsigned)strtoul(q->name + 1, NULL, 10);
	char mx[80];

	if (sim_trouble(s, 12)) {
		bool hard = sim_below(s, 4) == 0;
		*(hard ? &s->faults.dns_hard : &s->faults.dns_soft) += 1;
		pen_dsn_set(&r.status, hard ? 5 : 4, 4, hard ? 4 : 3, PEN_SCOPE_SITE,
			PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "name service error");
		pen_sched_on_resolved(s->sched, q->token, &r);
		return;
	}
	snprintf(mx, sizeof(mx), "mx.%s", q->name);
	pen_dsn_set(&r.status, 2, 0, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "ok");
	r.site_key = pen_span_cstr(mx);
	r.nhosts = 1;
	r.host[0].tls = pen_tls_policy_plain(PEN_TLS_NONE, mx);
	r.host[0].addr = pen_addr_ip4(0x0a000002u + site);
	r.host[0].port = 25;
	pen_sched_on_resolved(s->sched, q->token, &r);
	pen_tls_policy_unref(r.host[0].tls);
}

static pen_time_us answer_questions(struct sim *s)
{
	pen_time_us next = PEN_TIME_NEVER;

	for (struct sim_question **at = &s->questions; *at != NULL;) {
		struct sim_question *q = *at;
		if (q->at > sim_now(s)) {
			next = pen_time_min(next, q->at);
			at = &q->next;
			continue;
		}
		*at = q->next;
		answer(s, q);
		free(q);
	}
	return next;
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	struct sim *s = ctx;

	(void)worker;
	return s->dead || sim_worker_command(s, msg);
}

static void op_record(void *ctx, const struct pen_message *m, const struct pen_message_update *up)
{
	struct sim *s = ctx;
	struct pen_message_update u = *up;

	(void)m;
	if (s->dead)
		return;
	if (s->plant == SIM_PLANT_FORGET && !u.removed && u.nchanges > 0 && sim_below(s, 4) == 0)
		u.nchanges--;
	sim_store_update(s, &u);
}

struct notice {
	uint64_t token;
};

static void notice_stored(struct sim *s, void *arg, struct pen_message *m, int err)
{
	uint64_t token = ((struct notice *)arg)->token;

	free(arg);
	if (err == 0) {
		sim_ledger_notice(s, m);
		err = pen_sched_add(s->sched, m);
	}
	if (err != 0)
		pen_message_free(m);
	if (token != 0)
		pen_sched_on_submitted(s->sched, token, err);
}

static void op_submit(void *ctx, const struct pen_sched_submission *sub)
{
	struct sim *s = ctx;
	struct notice *n = malloc(sizeof(*n));
	struct pen_message *m = pen_message_new(pen_span(NULL, 0), &sub->rcpt, 1, sub->content,
		sub->content_len, sub->arrival, sub->flags);

	PEN_ASSERT(n != NULL && m != NULL);
	n->token = sub->token;
	if (s->plant == SIM_PLANT_NO_NOTICE) {
		n->token = 0;
		sim_store_put(s, m, notice_stored, n);
		pen_sched_on_submitted(s->sched, sub->token, 0);
		return;
	}
	sim_store_put(s, m, notice_stored, n);
}

static int op_content(void *ctx, struct pen_message *m)
{
	struct sim *s = ctx;

	return s->dead ? -ENOENT : pen_spool_core_read(s->spool, m);
}

static void op_log(void *ctx, const struct pen_sched_log *line)
{
	(void)ctx, (void)line;
}

static void op_forget(void *ctx, struct pen_message *m)
{
	(void)ctx;
	pen_message_free(m);
}

static const struct pen_sched_ops ops = {
	.route = op_route,
	.resolve = op_resolve,
	.send = op_send,
	.record = op_record,
	.submit = op_submit,
	.content = op_content,
	.log = op_log,
	.removed = op_forget,
	.forget = op_forget,
};

void sim_queue_new(struct sim *s)
{
	s->sched = pen_sched_new(&s->sched_cfg, &ops, s, sim_now(s), sim_wall(s));
	PEN_ASSERT(s->sched != NULL);
}

void sim_queue_free(struct sim *s)
{
	SIM_CHECK(s, pen_sched_idle(s->sched), "the scheduler is not idle at its end");
	struct pen_counter_set dead = pen_sched_dead_hosts_counters(s->sched);
	const struct pen_dead_hosts_counters *c = (const void *)dead.value;
	s->faults.hosts_dead += c->noted + c->again;
	s->faults.hosts_left_out += c->skipped;
	s->faults.hosts_asked_again += c->probes;
	pen_sched_free(s->sched);
	s->sched = NULL;
	while (s->questions != NULL) {
		struct sim_question *q = s->questions;
		s->questions = q->next;
		free(q);
	}
}

// A connection's results are on disk: it may send the end of its next message.
struct barrier {
	struct pen_lease *lease;
	uint32_t id;
};

static void barrier_done(struct sim *s, void *arg, struct pen_message *m, int err)
{
	struct barrier *b = arg;

	(void)m, (void)err;
	if (!s->dead)
		PEN_ASSERT(sim_worker_command(
			s, (struct pen_ring_msg){PEN_CMD_RESULT_STORED, b->id, b->lease}));
	free(b);
}

static void event(struct sim *s, struct pen_ring_msg m)
{
	struct pen_delivery *d = m.type == PEN_EVENT_DELIVERY_DONE ? m.p : NULL;
	struct barrier *b = NULL;

	if (d != NULL) {
		sim_ledger_done(s, d);
		if (s->plant == SIM_PLANT_DOUBT && d->dot == PEN_DOT_ACKED)
			d->dot = PEN_DOT_NOT_SENT;
		if (d->lease->hold_dots && d->dot != PEN_DOT_NOT_SENT) {
			b = malloc(sizeof(*b));
			PEN_ASSERT(b != NULL);
			*b = (struct barrier){d->lease, (uint32_t)d->lease->id};
		}
	}
	pen_sched_on_event(s->sched, m);
	if (b != NULL)
		sim_store_sync(s, barrier_done, b);
}

pen_time_us sim_queue_step(struct sim *s)
{
	struct pen_ring_msg m;

	pen_sched_clock(s->sched, sim_now(s), sim_wall(s));
	pen_time_us next = answer_questions(s);
	while (sim_worker_event(s, &m))
		event(s, m);
	while (pen_sched_poll(s->sched, 1 + sim_below(s, 200)) > 0)
		;
	return pen_time_min(next, pen_sched_next(s->sched));
}
