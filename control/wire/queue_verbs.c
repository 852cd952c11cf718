// SPDX-License-Identifier: BSD-3-Clause

// queue.list, queue.show, queue.flush: what is in the queue. queue_apply.c has what
// changes it.

#include "verb_call.h"

#include <stdlib.h>

static void set_next(json_t *result, uint64_t id)
{
	char next[PEN_QUEUE_ID_MAX];

	pen_queue_id_format(id, next);
	json_object_set_new(result, "next", json_string(next));
}

// ---- queue.list

struct list_state {
	struct pen_sched *sched;
	json_t *entries; // until they are answered
	size_t room;
	uint32_t left;
};

static void free_list(void *state)
{
	struct list_state *st = state;

	json_decref(st->entries);
	free(st);
}

static bool append_message(void *ctx, const struct pen_sched_view *view)
{
	struct list_state *st = ctx;

	json_array_append_new(st->entries, message_json(st->sched, view, false, 0, &st->room));
	return --st->left > 0 && st->room > 0;
}

static void run_list(struct verb_call *v)
{
	static const struct pen_sched_order look = {.action = PEN_ACTION_COUNT};
	struct list_state *st = v->state;
	struct pen_sched_tally tally = {0};

	v->after = pen_sched_apply(v->g->sched, &v->which.which, &look, v->after, VERB_PIECE,
		&tally, append_message, st);
	v->again = v->after != 0 && st->left > 0 && st->room > 0 && !verb_late(v);
	if (v->again)
		return;
	json_t *result = json_pack("{s:o}", "entries", st->entries);
	st->entries = NULL;
	if (v->after != 0)
		set_next(result, v->after);
	verb_answer_page(v, result);
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_list);
	struct pen_control_page page;
	char err[300];

	if (v == NULL)
		return;
	struct list_state *st = calloc(1, sizeof(*st));
	v->state = st;
	v->free_state = free_list;
	if (st == NULL || pen_control_page(v->args, &page, err, sizeof(err)) != 0 ||
		!selector_args_read(
			json_object_get(v->args, "selector"), &v->which, err, sizeof(err))) {
		v->free_state = NULL;
		free(st);
		verb_refuse(v, "%s", st != NULL ? err : "out of memory");
		return;
	}
	*st = (struct list_state){v->g->sched, json_array(), MESSAGE_ROOM, page.limit};
	if (!v->which.given) // looking at everything needs no second thought
		v->which.which.everything = true;
	v->after = pen_queue_id_parse(pen_span_cstr(page.cursor));
	verb_post(v);
}

// ---- queue.show

struct show_state {
	struct verb_call *v;
	json_t *message;
};

static bool keep_message(void *ctx, const struct pen_sched_view *view)
{
	struct show_state *st = ctx;
	json_int_t from = json_integer_value(json_object_get(st->v->args, "from"));
	bool all = !json_is_true(json_object_get(st->v->args, "queued"));
	size_t room = MESSAGE_ROOM;

	st->message = message_json(st->v->g->sched, view, all,
		from > 0 && from < UINT32_MAX ? (uint32_t)from : 0, &room);
	return false;
}

static void run_show(struct verb_call *v)
{
	struct show_state st = {.v = v};

	if (pen_sched_show(v->g->sched, v->id, keep_message, &st) != 0 || st.message == NULL)
		verb_missing(v);
	else
		verb_answer(v, st.message);
}

static void on_show(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	verb_post_with_id(ctx, c, req, run_show, true);
}

// ---- queue.flush

static bool keep_id(void *ctx, const struct pen_sched_view *view)
{
	*(uint64_t *)ctx = view->message->id;
	return false;
}

static void run_flush_one(struct verb_call *v)
{
	if (pen_sched_flush(v->g->sched, v->id) != 0)
		verb_missing(v);
	else
		verb_answer(v, json_pack("{s:I}", "flushed", (json_int_t)1));
}

// To flush one message lifts the back-off of all sites; the other messages follow
// in pieces.
static void run_flush(struct verb_call *v)
{
	static const struct pen_sched_selector deferred = {.states = PEN_STATE_DEFERRED};
	static const struct pen_sched_order retry = {.action = PEN_ACTION_RETRY};
	static const struct pen_sched_filter any = {0};
	struct pen_sched_tally *tally = v->state;
	uint64_t first = 0;

	if (v->id != 0) {
		run_flush_one(v);
		return;
	}
	if (v->after == 0) {
		pen_sched_list(v->g->sched, &any, 0, 1, keep_id, &first);
		if (first != 0)
			pen_sched_flush(v->g->sched, first);
	}
	v->after = pen_sched_apply(
		v->g->sched, &deferred, &retry, v->after, VERB_PIECE, tally, NULL, NULL);
	v->again = v->after != 0 && v->after <= v->before;
	if (!v->again)
		verb_answer(v, json_pack("{s:I}", "flushed", (json_int_t)tally->messages));
}

static void on_flush(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_with_id(ctx, c, req, run_flush, false);

	if (v == NULL)
		return;
	v->before = (uint64_t)pen_clock_wall(); // what comes later is not waited for
	v->state = calloc(1, sizeof(struct pen_sched_tally));
	v->free_state = free;
	if (v->state == NULL)
		verb_refuse(v, "out of memory");
	else
		verb_post(v);
}

int queue_verbs_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {
		{"queue.list", on_list}, {"queue.show", on_show}, {"queue.flush", on_flush}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
