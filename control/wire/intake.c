// SPDX-License-Identifier: BSD-3-Clause

// From submission into the spool, and from there to the queue thread: the 250
// follows the commit.

#include "pen_gateway.h"

#include <errno.h>
#include <stdlib.h>

// A message between the client and the queue. It lives until the queue thread
// has the message, or the client was refused.
struct intake {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_message *m;
	uint64_t token;
};

static void add_to_queue(struct pen_call *call)
{
	struct intake *in = (struct intake *)call;
	struct pen_gateway *g = in->g;
	bool hold = (in->m->flags & PEN_MESSAGE_HOLD) != 0; // its token is back already

	pen_maillog_active(g->maillog, PEN_QUEUE_ID(in->m), pen_message_sender(in->m),
		in->m->content_len, in->m->nrcpt);
	pen_suppression_log(g, in->m);
	// It is durable already. Out of memory here leaves it to the next start,
	// which finds it in the spool; nothing is lost.
	if (pen_sched_add(g->sched, in->m) != 0)
		pen_message_free(in->m);
	if (!hold)
		pen_submission_token_back(g->submission);
	free(in);
}

// Runs on the spool's writer thread.
static void stored(void *ctx, struct pen_message *m, int err)
{
	struct intake *in = ctx;
	struct pen_gateway *g = in->g;
	uint64_t token = in->token, id = m->id;

	if (err == 0) {
		__atomic_fetch_add(&g->accepted, 1, __ATOMIC_RELAXED);
		pen_inbox_post(&g->inbox, &in->call); // `in` is the queue thread's now
	} else {
		pen_message_free(m);
		free(in);
	}
	pen_accept_log_add(g, id, err, true, token);
}

static uint64_t intake_next_id(void *ctx)
{
	struct pen_gateway *g = ctx;

	return pen_spool_next_id(g->spool);
}

static int intake_admission(void *ctx)
{
	struct pen_gateway *g = ctx;

	return __atomic_load_n(&g->accepting, __ATOMIC_RELAXED) != 0 ? 0 : -ENOSPC;
}

static int intake_take(void *ctx, struct pen_message *m, struct pen_span user, uint64_t token)
{
	struct pen_gateway *g = ctx;
	struct intake *in = malloc(sizeof(*in));

	if (in == NULL)
		return -ENOMEM;
	*in = (struct intake){.call = {.fn = add_to_queue}, .g = g, .m = m, .token = token};
	if (m->id == 0)
		m->id = pen_spool_next_id(g->spool);
	pen_event_received(g, m, "ESMTP", user);
	int err = pen_spool_put(g->spool, m, stored, in);
	if (err != 0)
		free(in);
	return err;
}

static void intake_filter(void *ctx, uint32_t loop, const struct pen_submission_mail *mail,
	struct pen_span headers, struct pen_submission_verdict *v)
{
	struct pen_gateway *g = ctx;

	pen_header_hook_run(g, loop, mail, headers, v);
}

const struct pen_submission_ops pen_intake_ops = {
	.next_id = intake_next_id,
	.admission = intake_admission,
	.filter = intake_filter,
	.intake = intake_take,
	.sender_class = pen_sender_class,
	.user_class = pen_user_class,
	.suppressed = pen_suppressed,
	.dropped = pen_suppression_dropped,
	.zone_known = pen_zone_known,
	.pool_known = pen_pool_known,
};
