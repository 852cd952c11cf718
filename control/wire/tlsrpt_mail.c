// SPDX-License-Identifier: BSD-3-Clause

// TLSRPT reports on their way into the queue: from the reporter's thread through
// the spool, like any other mail of ours.

#include "pen_gateway.h"

#include <errno.h>
#include <stdlib.h>

// The reporter waits for the spool; the queue thread takes the message after it.
struct report_mail {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_message *m;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool stored;
	int err;
};

static void add_to_queue(struct pen_call *call)
{
	struct report_mail *r = (struct report_mail *)call;
	struct pen_gateway *g = r->g;

	pen_maillog_active(g->maillog, PEN_QUEUE_ID(r->m), pen_message_sender(r->m),
		r->m->content_len, r->m->nrcpt);
	// Durable already: what cannot be queued now is found at the next start.
	if (pen_sched_add(g->sched, r->m) != 0)
		pen_message_free(r->m);
	free(r);
}

// On the spool's writer thread.
static void stored(void *ctx, struct pen_message *m, int err)
{
	struct report_mail *r = ctx;

	pen_accept_log_add(r->g, m->id, err, false, 0);
	pthread_mutex_lock(&r->lock);
	r->err = err;
	r->stored = true;
	pthread_cond_signal(&r->done);
	pthread_mutex_unlock(&r->lock);
}

static int wait_until_stored(struct report_mail *r)
{
	pthread_mutex_lock(&r->lock);
	while (!r->stored)
		pthread_cond_wait(&r->done, &r->lock);
	int err = r->err;
	pthread_mutex_unlock(&r->lock);
	return err;
}

int pen_tlsrpt_mail(void *ctx, const char *sender, const char *rcpt, uint8_t *content, uint32_t len)
{
	struct pen_gateway *g = ctx;
	struct report_mail *r = calloc(1, sizeof(*r));
	struct pen_span to = pen_span_cstr(rcpt);
	struct pen_message *m = pen_message_new(pen_span_cstr(sender), &to, 1, content, len,
		pen_clock_wall(), PEN_MESSAGE_TLSRPT | PEN_MESSAGE_TLS_OPTIONAL);
	int err = r != NULL && m != NULL ? 0 : -ENOMEM;

	if (err == 0) {
		*r = (struct report_mail){.call = {.fn = add_to_queue}, .g = g, .m = m};
		pthread_mutex_init(&r->lock, NULL);
		pthread_cond_init(&r->done, NULL);
		m->id = pen_spool_next_id(g->spool);
		pen_event_received(g, m, "internal", pen_span(NULL, 0));
		err = pen_spool_put(g->spool, m, stored, r);
	}
	if (err == 0)
		err = wait_until_stored(r);
	if (err == 0) {
		__atomic_fetch_add(&g->accepted, 1, __ATOMIC_RELAXED);
		pen_inbox_post(&g->inbox, &r->call);
		return 0;
	}
	pen_message_free(m);
	free(r);
	return err;
}
