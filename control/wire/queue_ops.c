// SPDX-License-Identifier: BSD-3-Clause

// What the scheduler asks for: routing, DNS, workers, the spool, the log.
// Everything here runs on the queue thread, except where a name says _elsewhere.

#include "pen_gateway.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.queue");

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	struct pen_gateway *g = ctx;

	(void)domain; // of the address as it is; transport_maps also look at all of it
	pen_route_find(&g->routing, rcpt, &g->route);
	bool lmtp = g->route.kind == PEN_ROUTE_LMTP;
	if (g->route.kind != PEN_ROUTE_SMTP && !lmtp) {
		*why = g->route.dsn;
		return false;
	}
	out->transport = lmtp ? PEN_SPAN_LIT("lmtp") : PEN_SPAN_LIT("smtp");
	out->nexthop = pen_span_cstr(g->route.nexthop);
	return true;
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	struct pen_gateway *g = ctx;

	return pen_worker_send(pen_dataplane_worker(g->dataplane, worker), msg);
}

// Runs on the spool's writer thread.
static void recorded(void *ctx, struct pen_message *m, int err)
{
	(void)ctx;
	(void)m;
	// The spool tries until it is stored. Given up at the end of the daemon, it means that
	// the message is in its older state after the start, and maybe a second delivery.
	if (err != 0 && err != -ENOENT)
		pen_error("a change of a message was not recorded: %s", strerror(-err));
}

static void op_record(void *ctx, const struct pen_message *m, const struct pen_message_update *up)
{
	struct pen_gateway *g = ctx;
	int err = pen_spool_update(g->spool, up, recorded, NULL);

	if (err != 0)
		pen_error("%s: a change was not recorded: %s", PEN_QUEUE_ID(m), strerror(-err));
}

// A notification on its way through the spool.
struct notice {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_message *m;
	uint64_t token;
	int err;
	char original[PEN_QUEUE_ID_MAX];
};

static void notice_stored(struct pen_call *call)
{
	struct notice *n = (struct notice *)call;
	struct pen_gateway *g = n->g;
	int err = n->err;

	if (err == 0) {
		pen_maillog_bounce_notice(g->maillog, n->original, PEN_QUEUE_ID(n->m));
		pen_maillog_active(g->maillog, PEN_QUEUE_ID(n->m), pen_message_sender(n->m),
			n->m->content_len, n->m->nrcpt);
		err = pen_sched_add(g->sched, n->m);
	}
	if (err != 0)
		pen_message_free(n->m);
	pen_sched_on_submitted(g->sched, n->token, err);
	free(n);
}

static void notice_stored_elsewhere(void *ctx, struct pen_message *m, int err)
{
	struct notice *n = ctx;

	pen_accept_log_add(n->g, m->id, err, false, 0);
	n->err = err;
	pen_inbox_post(&n->g->inbox, &n->call);
}

static void op_submit(void *ctx, const struct pen_sched_submission *sub)
{
	struct pen_gateway *g = ctx;
	struct notice *n = calloc(1, sizeof(*n));
	struct pen_message *m = pen_message_new(pen_span(NULL, 0), &sub->rcpt, 1, sub->content,
		sub->content_len, sub->arrival, sub->flags);
	int err = n != NULL && m != NULL ? 0 : -ENOMEM;

	if (err == 0) {
		*n = (struct notice){
			.call = {.fn = notice_stored}, .g = g, .m = m, .token = sub->token};
		m->id = pen_spool_next_id(g->spool);
		pen_event_received(g, m, "internal", pen_span(NULL, 0));
		memcpy(n->original, PEN_QUEUE_ID(sub->original), sizeof(n->original));
		err = pen_spool_put(g->spool, m, notice_stored_elsewhere, n);
	}
	if (err != 0) {
		pen_message_free(m);
		free(n);
		pen_sched_on_submitted(g->sched, sub->token, err);
	}
}

static int op_content(void *ctx, struct pen_message *m)
{
	struct pen_gateway *g = ctx;

	return pen_spool_read(g->spool, m);
}

void pen_match_op(void *ctx, const struct pen_dsn *d, const char *provider, struct pen_span site,
	struct pen_sched_match *out)
{
	struct pen_gateway *g = ctx;

	pen_match_ask(g->match, d, provider, site, out);
}

struct pen_match_set *pen_wire_match_replace(struct pen_gateway *g, struct pen_match_set *set)
{
	return pen_match_replace(g->match, set);
}

static bool op_zone(
	void *ctx, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	struct pen_gateway *g = ctx;

	return g->zones != NULL && pen_zones_at(g->zones, name, at, offset, until);
}

static void op_log(void *ctx, const struct pen_sched_log *line)
{
	pen_delivery_log(ctx, line);
}

static void op_ended(
	void *ctx, const struct pen_message *m, uint32_t rcpt, enum pen_fate fate, const char *by)
{
	static const char *const words[] = {[PEN_FATE_BOUNCED] = "bounced",
		[PEN_FATE_EXPIRED] = "expired",
		[PEN_FATE_DELETED] = "deleted"};
	struct pen_gateway *g = ctx;
	double delay = (double)(pen_clock_wall() - m->arrival) / PEN_US_PER_S;

	if (fate >= PEN_FATE_BOUNCED && fate <= PEN_FATE_DELETED)
		pen_maillog_line(g->maillog, "qmgr",
			"%s: to=<%.*s>, relay=none, delay=%.2f, dsn=%s, status=%s (by %s)",
			PEN_QUEUE_ID(m), PEN_SPAN_ARG(pen_recipient_addr(&m->rcpt[rcpt])),
			delay > 0 ? delay : 0, fate == PEN_FATE_EXPIRED ? "4.4.7" : "5.7.0",
			words[fate], by);
	pen_event_ended(g, m, rcpt, fate, by);
}

static void op_removed(void *ctx, struct pen_message *m)
{
	struct pen_gateway *g = ctx;

	pen_maillog_removed(g->maillog, PEN_QUEUE_ID(m));
	pen_message_free(m);
}

static void op_forget(void *ctx, struct pen_message *m)
{
	(void)ctx;
	pen_message_free(m);
}

const struct pen_sched_ops pen_queue_ops = {
	.route = op_route,
	.resolve = pen_resolve_op,
	.prepare = pen_prepare_op,
	.session = pen_session_op,
	.send = op_send,
	.record = op_record,
	.submit = op_submit,
	.content = op_content,
	.match = pen_match_op,
	.zone = op_zone,
	.log = op_log,
	.ended = op_ended,
	.removed = op_removed,
	.forget = op_forget,
};
