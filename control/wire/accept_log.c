// SPDX-License-Identifier: BSD-3-Clause

// Which received messages a commit has made durable: one record for all of them,
// in the event log before any of their clients gets its 250.
//
// A Reception is written before the commit, so that nothing durable is without
// one. It promises nothing: only with this record behind it was a client told
// that its mail is taken, and only then a message that is gone is a lost one.
//
// On the spool's writer thread, apart from new and free.

#include "pen_gateway.h"

#include "pen_event.h"

#include <errno.h>
#include <stdlib.h>

#define IDS_PER_RECORD 4096 // a batch of any size makes lines of this size

struct accept {
	uint64_t id, token;
	int err;
	bool answer;
};

struct pen_accept_log {
	struct pen_buf list; // of struct accept
	struct pen_event event;
};

int pen_accept_log_new(struct pen_gateway *g)
{
	g->accepts = calloc(1, sizeof(*g->accepts));
	return g->accepts != NULL ? 0 : -ENOMEM;
}

void pen_accept_log_free(struct pen_gateway *g)
{
	if (g->accepts == NULL)
		return;
	pen_buf_fini(&g->accepts->list);
	pen_event_fini(&g->accepts->event);
	free(g->accepts);
	g->accepts = NULL;
}

static void begin_record(struct pen_event *e)
{
	pen_event_begin(e, "Commit");
	pen_event_number(e, "timestamp", pen_clock_wall() / PEN_US_PER_S);
	pen_event_list(e, "ids");
}

static void end_record(struct pen_gateway *g, struct pen_event *e)
{
	pen_event_close_list(e);
	pen_events_put(g->events, pen_event_end(e));
	e->text.failed = false;
}

static void write_records(struct pen_gateway *g, const struct accept *a, size_t n)
{
	struct pen_event *e = &g->accepts->event;
	char id[PEN_QUEUE_ID_MAX];
	size_t in_record = 0;

	for (size_t i = 0; i < n; i++) {
		if (a[i].err != 0)
			continue;
		if (in_record++ == 0)
			begin_record(e);
		pen_queue_id_format(a[i].id, id);
		pen_event_item(e, pen_span_cstr(id));
		if (in_record == IDS_PER_RECORD) {
			end_record(g, e);
			in_record = 0;
		}
	}
	if (in_record > 0)
		end_record(g, e);
	pen_events_flush(g->events, false);
}

static void answer(struct pen_gateway *g, const struct accept *a)
{
	if (a->answer)
		pen_submission_done(g->submission, a->token, a->err, NULL);
}

void pen_accept_log_add(
	struct pen_gateway *g, uint64_t id, int err, bool wants_answer, uint64_t token)
{
	struct accept a = {.id = id, .token = token, .err = err, .answer = wants_answer};

	if (g->events == NULL) {
		answer(g, &a);
		return;
	}
	pen_buf_add(&g->accepts->list, &a, sizeof(a));
	if (g->accepts->list.failed) { // no memory: this one by itself
		g->accepts->list.failed = false;
		write_records(g, &a, 1);
		answer(g, &a);
	}
}

void pen_accept_log_before(void *ctx)
{
	struct pen_gateway *g = ctx;

	pen_events_flush(g->events, true);
}

void pen_accept_log_after(void *ctx)
{
	struct pen_gateway *g = ctx;
	struct pen_buf *list = &g->accepts->list;
	const struct accept *a = (const struct accept *)list->p;
	size_t n = list->n / sizeof(*a);

	if (n == 0)
		return;
	write_records(g, a, n);
	for (size_t i = 0; i < n; i++)
		answer(g, &a[i]);
	pen_buf_reset(list);
}
