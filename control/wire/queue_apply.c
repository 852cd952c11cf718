// SPDX-License-Identifier: BSD-3-Clause

// queue.apply: an order to all messages that a selector chooses, or to a list of
// ids.
//
// A request works for VERB_TURN and then says with which cursor to go on, so
// that a client sees progress, can be stopped, and never waits for a queue of
// millions. The cursor also holds the newest id at the beginning: mail that
// comes in meanwhile is not chosen.

#include "verb_call.h"

#include <stdlib.h>

#define IDS_PER_PIECE 64

struct action {
	const char *word;
	enum pen_sched_action action;
};

static const struct action actions[] = {{"count", PEN_ACTION_COUNT}, {"hold", PEN_ACTION_HOLD},
	{"release", PEN_ACTION_RELEASE}, {"requeue", PEN_ACTION_REQUEUE},
	{"retry", PEN_ACTION_RETRY}, {"delete", PEN_ACTION_DELETE}, {"bounce", PEN_ACTION_BOUNCE},
	{"expire", PEN_ACTION_EXPIRE}, {"move", PEN_ACTION_MOVE}};

struct apply {
	const struct action *action;
	struct pen_sched_order order;
	struct pen_sched_tally tally;
	json_t *ids; // borrowed from the arguments; NULL: by selector
	size_t at;
	json_t *missing;
};

static void free_apply(void *state)
{
	struct apply *a = state;

	json_decref(a->missing);
	free(a);
}

static json_t *tally_json(const struct verb_call *v, struct apply *a)
{
	bool dry = json_is_true(json_object_get(v->args, "dry_run"));
	json_t *result = json_pack("{s:s,s:b,s:I,s:I,s:I,s:I,s:o}", "action", a->action->word,
		"dry_run", dry, "examined", (json_int_t)a->tally.examined, "messages",
		(json_int_t)a->tally.messages, "recipients", (json_int_t)a->tally.recipients,
		"done", (json_int_t)a->tally.done, "missing", a->missing);

	a->missing = NULL;
	return result;
}

static void run_ids(struct verb_call *v, struct apply *a)
{
	size_t n = json_array_size(a->ids);

	for (unsigned i = 0; i < IDS_PER_PIECE && a->at < n; i++, a->at++) {
		json_t *id = json_array_get(a->ids, a->at);
		struct pen_sched_selector one = {
			.id = pen_queue_id_parse(
				pen_span(json_string_value(id), json_string_length(id)))};
		uint64_t before = a->tally.messages;
		if (one.id != 0)
			pen_sched_apply(v->g->sched, &one, &a->order, 0, 1, &a->tally, NULL, NULL);
		if (a->tally.messages == before)
			json_array_append(a->missing, id);
	}
	v->again = a->at < n;
	if (!v->again)
		verb_answer(v, tally_json(v, a));
}

static void run_selector(struct verb_call *v, struct apply *a)
{
	char after[PEN_QUEUE_ID_MAX], before[PEN_QUEUE_ID_MAX], next[2 * PEN_QUEUE_ID_MAX + 2];

	v->after = pen_sched_apply(v->g->sched, &v->which.which, &a->order, v->after, VERB_PIECE,
		&a->tally, NULL, NULL);
	if (v->after > v->before)
		v->after = 0;
	v->again = v->after != 0 && !verb_late(v);
	if (v->again)
		return;
	json_t *result = tally_json(v, a);
	if (v->after != 0) {
		pen_queue_id_format(v->after, after);
		pen_queue_id_format(v->before, before);
		snprintf(next, sizeof(next), "%s:%s", after, before);
		json_object_set_new(result, "next", json_string(next));
	}
	verb_answer(v, result);
}

static void run_apply(struct verb_call *v)
{
	struct apply *a = v->state;

	if (a->order.pool.n > 0 && !pen_pool_known(v->g, a->order.pool))
		verb_error(v, "pool %.*s: egress.conf has no such pool", (int)a->order.pool.n,
			(const char *)a->order.pool.p);
	else if (a->ids != NULL)
		run_ids(v, a);
	else
		run_selector(v, a);
}

static bool read_cursor(struct verb_call *v)
{
	const char *text = verb_text(v, "cursor");
	const char *colon = text != NULL ? strchr(text, ':') : NULL;

	v->before = (uint64_t)pen_clock_wall();
	if (text == NULL || *text == '\0')
		return true;
	if (colon == NULL)
		return false;
	v->after = pen_queue_id_parse(pen_span(text, (size_t)(colon - text)));
	v->before = pen_queue_id_parse(pen_span_cstr(colon + 1));
	return v->after != 0 && v->before != 0;
}

static bool read_order(struct verb_call *v, struct apply *a, char *err, size_t cap)
{
	const char *word = verb_text(v, "action"), *text = verb_text(v, "reason");
	const char *pool = verb_text(v, "pool"), *route = verb_text(v, "route");

	for (size_t i = 0; word != NULL && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].word, word) == 0)
			a->action = &actions[i];
	}
	if (a->action == NULL) {
		snprintf(err, cap,
			"action %.40s: give count, hold, release, requeue, retry, delete, bounce, "
			"expire or move",
			word != NULL ? word : "");
		return false;
	}
	a->order.action = a->action->action;
	if (a->order.action == PEN_ACTION_BOUNCE && (text == NULL || *text == '\0')) {
		snprintf(err, cap, "bounce: give a reason, which its senders will read");
		return false;
	}
	if (a->order.action == PEN_ACTION_MOVE) {
		bool pool_given = pool != NULL && *pool != '\0';
		bool route_given = route != NULL && *route != '\0';
		const char *colon = route_given ? strchr(route, ':') : NULL;
		if (!pool_given && !route_given) {
			snprintf(err, cap, "move: give a pool, or a route");
			return false;
		}
		if (route_given && (colon == NULL || colon == route || strlen(route) >= 128)) {
			snprintf(err, cap,
				"route %.64s: give transport:nexthop, such as "
				"smtp:[mx.example.com]:25",
				route);
			return false;
		}
	}
	a->order.text = pen_span_cstr(text != NULL ? text : "");
	a->order.pool = pen_span_cstr(pool != NULL ? pool : "");
	a->order.route = pen_span_cstr(route != NULL ? route : "");
	if (json_is_true(json_object_get(v->args, "dry_run")))
		a->order.action = PEN_ACTION_COUNT;
	return true;
}

static bool read_which(struct verb_call *v, struct apply *a, char *err, size_t cap)
{
	json_t *selector = json_object_get(v->args, "selector");

	a->ids = json_object_get(v->args, "ids");
	if (!selector_args_read(selector, &v->which, err, cap))
		return false;
	if (a->ids != NULL && !json_is_array(a->ids)) {
		snprintf(err, cap, "ids: give a list");
		return false;
	}
	if ((a->ids != NULL) == v->which.given) {
		snprintf(err, cap,
			"which messages? give ids, or a selector; everything, true means all of "
			"them");
		return false;
	}
	if (!read_cursor(v)) {
		snprintf(err, cap, "cursor: give what the last answer had as next");
		return false;
	}
	return true;
}

static void on_apply(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_apply);
	struct apply *a = v != NULL ? calloc(1, sizeof(*a)) : NULL;
	char err[300] = "out of memory";

	if (v == NULL)
		return;
	v->state = a;
	v->free_state = a != NULL ? free_apply : NULL;
	if (a == NULL || (a->missing = json_array()) == NULL ||
		!read_order(v, a, err, sizeof(err)) || !read_which(v, a, err, sizeof(err))) {
		verb_refuse(v, "%s", err);
		return;
	}
	verb_post(v);
}

int queue_apply_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {{"queue.apply", on_apply}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
