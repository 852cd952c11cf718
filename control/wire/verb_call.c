// SPDX-License-Identifier: BSD-3-Clause
#include "verb_call.h"

#include <stdlib.h>

static void verb_free(struct verb_call *v)
{
	if (v->free_state != NULL)
		v->free_state(v->state);
	json_decref(v->args);
	free(v);
}

static void run_on_queue(struct pen_call *call)
{
	struct verb_call *v = (struct verb_call *)call;

	v->again = false;
	if (v->started == 0)
		v->started = pen_clock_mono();
	if (v->g->queue_runs)
		v->run(v);
	else if (v->g->control != NULL)
		verb_error(v, "the daemon is stopping");
	if (v->again)
		pen_inbox_post(&v->g->inbox, &v->call);
	else
		verb_free(v);
}

struct verb_call *verb_new(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run)
{
	struct verb_call *v = calloc(1, sizeof(*v));
	// The request's is not ours to keep, and has a count without a lock.
	json_t *args = json_deep_copy(req->args);

	if (v == NULL || args == NULL) {
		free(v);
		json_decref(args);
		pen_control_done_error(c, req->token, "out of memory");
		return NULL;
	}
	*v = (struct verb_call){.call = {.fn = run_on_queue},
		.g = g,
		.control = c,
		.run = run,
		.token = req->token,
		.args = args};
	return v;
}

void verb_post(struct verb_call *v)
{
	pen_inbox_post(&v->g->inbox, &v->call);
}

__attribute__((format(printf, 2, 0))) static void answer_error(
	struct verb_call *v, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	pen_control_done_error(v->control, v->token, "%s", text);
}

void verb_refuse(struct verb_call *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_error(v, fmt, ap);
	va_end(ap);
	verb_free(v);
}

struct verb_call *verb_with_id(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run, bool needed)
{
	struct verb_call *v = verb_new(g, c, req, run);
	json_t *arg = v != NULL ? json_object_get(v->args, "id") : NULL;

	if (v == NULL)
		return NULL;
	if (json_is_string(arg))
		v->id = pen_queue_id_parse(
			pen_span(json_string_value(arg), json_string_length(arg)));
	if (v->id != 0 || (arg == NULL && !needed))
		return v;
	if (json_is_string(arg))
		verb_refuse(v, "%.64s: no such message in the queue", json_string_value(arg));
	else
		verb_refuse(v, "args.id: give a queue id");
	return NULL;
}

void verb_post_with_id(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run, bool needed)
{
	struct verb_call *v = verb_with_id(g, c, req, run, needed);

	if (v != NULL)
		verb_post(v);
}

void verb_missing(struct verb_call *v)
{
	char id[PEN_QUEUE_ID_MAX];

	pen_queue_id_format(v->id, id);
	verb_error(v, "%s: no such message in the queue", id);
}

void verb_answer(struct verb_call *v, json_t *result)
{
	pen_control_done_ok(v->control, v->token, result);
}

void verb_answer_page(struct verb_call *v, json_t *result)
{
	pen_control_done_page(v->control, v->token, result);
}

void verb_error(struct verb_call *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_error(v, fmt, ap);
	va_end(ap);
}

bool verb_late(const struct verb_call *v)
{
	return pen_clock_mono() - v->started >= VERB_TURN;
}

const char *verb_text(const struct verb_call *v, const char *key)
{
	return json_string_value(json_object_get(v->args, key));
}

int verb_register(struct pen_gateway *g, const struct verb_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err = pen_control_register(g->control, rows[i].verb, rows[i].fn, g);
		if (err != 0)
			return err;
	}
	return 0;
}
