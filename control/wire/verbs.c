// SPDX-License-Identifier: BSD-3-Clause

// The control verbs: requests arrive on the control thread, are posted to the
// queue thread, and answered from there. README.md of control/ops has the
// shapes of the results.

#include "pen_gateway.h"

#include "pen_sched_admin.h"
#include "pen_trouble.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct verb_call;
typedef void verb_fn(struct verb_call *v);

struct verb_call {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_control *control;
	verb_fn *fn;
	uint64_t token;
	uint64_t id;    // of a message; 0: none was named
	uint64_t after; // queue.list, deleting everything: continue behind this
	uint32_t limit;
	json_t *ids; // queue.delete: our own copy of the list
	uint64_t done;
	bool again; // to be posted once more
};

static void answer(struct verb_call *v, json_t *result)
{
	pen_control_done_ok(v->control, v->token, result);
}

static void answer_missing(struct verb_call *v)
{
	char id[PEN_QUEUE_ID_MAX];

	pen_queue_id_format(v->id, id);
	pen_control_done_error(v->control, v->token, "%s: no such message in the queue", id);
}

// ---- queue

static json_t *bytes_json(struct pen_span s)
{
	// Addresses come from clients and need not be UTF-8.
	json_t *text = json_stringn((const char *)s.p, s.n);
	char *safe;

	if (text != NULL)
		return text;
	safe = malloc(s.n + 1);
	if (safe == NULL)
		return json_string("");
	for (size_t i = 0; i < s.n; i++)
		safe[i] = s.p[i] >= ' ' && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	text = json_stringn(safe, s.n);
	free(safe);
	return text;
}

static const char *fate_word(unsigned fate)
{
	static const char *const words[] = {[PEN_FATE_QUEUED] = "queued",
		[PEN_FATE_DELIVERED] = "delivered",
		[PEN_FATE_BOUNCED] = "bounced",
		[PEN_FATE_EXPIRED] = "expired",
		[PEN_FATE_DELETED] = "deleted"};

	return fate < sizeof(words) / sizeof(words[0]) ? words[fate] : "unknown";
}

// `all`: also recipients that have their fate.
static json_t *recipients_json(const struct pen_sched_view *view, bool all)
{
	const struct pen_message *m = view->message;
	json_t *list = json_array();
	char text[PEN_TROUBLE_TEXT_MAX];

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		bool queued = m->rcpt[i].fate == PEN_FATE_QUEUED;
		if (!queued && !all)
			continue;
		json_t *r = json_object();
		json_object_set_new(r, "address", bytes_json(m->rcpt[i].addr));
		json_object_set_new(r, "attempts", json_integer(m->rcpt[i].attempts));
		if (all)
			json_object_set_new(r, "fate", json_string(fate_word(m->rcpt[i].fate)));
		if (queued && m->last_error != NULL) {
			struct pen_dsn error;
			pen_note_to_dsn(m->last_error, &error);
			pen_trouble_text(&error, pen_note_relay(m->last_error), text, sizeof(text));
			json_object_set_new(r, "delay_reason", json_string(text));
		}
		json_array_append_new(list, r);
	}
	return list;
}

static json_t *message_json(const struct pen_sched_view *view, bool all)
{
	const struct pen_message *m = view->message;

	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:b, s:o}", "queue_name",
		pen_sched_state_word(view->state), "queue_id", m->queue_id, "arrival_time",
		(json_int_t)(m->arrival / PEN_US_PER_S), "message_size", (json_int_t)m->content_len,
		"sender", bytes_json(m->sender), "next_attempt",
		(json_int_t)(m->next_attempt / PEN_US_PER_S), "expires",
		(json_int_t)(view->expires / PEN_US_PER_S), "forced_expire", 0, "recipients",
		recipients_json(view, all));
}

static bool append_message(void *ctx, const struct pen_sched_view *view)
{
	json_array_append_new(ctx, message_json(view, false));
	return true;
}

static void run_list(struct verb_call *v)
{
	struct pen_sched_filter all = {0};
	json_t *entries = json_array();
	char next[PEN_QUEUE_ID_MAX];
	uint64_t more =
		pen_sched_list(v->g->sched, &all, v->after, v->limit, append_message, entries);
	json_t *result = json_pack("{s:o}", "entries", entries);

	if (more != 0) {
		pen_queue_id_format(more, next);
		json_object_set_new(result, "next", json_string(next));
	}
	answer(v, result);
}

static bool keep_message(void *ctx, const struct pen_sched_view *view)
{
	*(json_t **)ctx = message_json(view, true);
	return false;
}

static void run_show(struct verb_call *v)
{
	json_t *message = NULL;
	int err = pen_sched_show(v->g->sched, v->id, keep_message, &message);

	if (err != 0 || message == NULL)
		answer_missing(v);
	else
		answer(v, message);
}

static void run_flush(struct verb_call *v)
{
	struct pen_sched_stats st;

	pen_sched_stats(v->g->sched, &st);
	int err = pen_sched_flush(v->g->sched, v->id);
	if (err != 0)
		answer_missing(v);
	else
		answer(v, json_pack("{s:I}", "flushed",
				  v->id != 0 ? (json_int_t)1 : (json_int_t)st.deferred));
}

static void run_delete(struct verb_call *v)
{
	json_t *missing = json_array(), *id;
	json_int_t deleted = 0;
	size_t i;

	json_array_foreach(v->ids, i, id)
	{
		struct pen_span text = pen_span(json_string_value(id), json_string_length(id));
		uint64_t n = text.p != NULL ? pen_queue_id_parse(text) : 0;
		if (n != 0 && pen_sched_delete(v->g->sched, n) == 0)
			deleted++;
		else
			json_array_append(missing, id);
	}
	json_decref(v->ids);
	answer(v, json_pack("{s:I, s:o}", "deleted", deleted, "missing", missing));
}

static void run_hold(struct verb_call *v)
{
	if (pen_sched_hold(v->g->sched, v->id) != 0)
		answer_missing(v);
	else
		answer(v, json_pack("{s:i}", "held", 1));
}

static void run_release(struct verb_call *v)
{
	if (pen_sched_release(v->g->sched, v->id) != 0)
		answer_missing(v);
	else
		answer(v, json_pack("{s:i}", "released", 1));
}

struct some_ids {
	uint64_t id[256];
	uint32_t n;
};

static bool note_id(void *ctx, const struct pen_sched_view *view)
{
	struct some_ids *some = ctx;

	some->id[some->n++] = view->message->id;
	return some->n < sizeof(some->id) / sizeof(some->id[0]);
}

// A piece at a time, so that deliveries go on between.
static void run_delete_all(struct verb_call *v)
{
	struct pen_sched_filter all = {0};
	struct some_ids some = {.n = 0};

	v->after = pen_sched_list(v->g->sched, &all, v->after, 256, note_id, &some);
	for (uint32_t i = 0; i < some.n; i++) {
		if (pen_sched_delete(v->g->sched, some.id[i]) == 0)
			v->done++;
	}
	v->again = v->after != 0;
	if (!v->again)
		answer(v, json_pack("{s:I, s:[]}", "deleted", (json_int_t)v->done, "missing"));
}

// ---- status

static json_t *workers_json(struct pen_gateway *g)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < pen_dataplane_workers(g->dataplane); i++) {
		struct pen_worker_load load;
		pen_worker_get_load(pen_dataplane_worker(g->dataplane, i), &load);
		json_array_append_new(
			list, json_pack("{s:I, s:I, s:I, s:I}", "connections",
				      (json_int_t)load.connections, "loops", (json_int_t)load.loops,
				      "busy_loops", (json_int_t)load.busy_loops, "idle_sleeps",
				      (json_int_t)load.idle_sleeps));
	}
	return list;
}

static json_t *spool_json(struct pen_gateway *g)
{
	struct pen_spool_stats st;

	pen_spool_stats(g->spool, &st);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "messages", (json_int_t)st.live,
		"bytes", (json_int_t)st.live_bytes, "segments", (json_int_t)st.segments, "commits",
		(json_int_t)st.counters.commits, "syncs", (json_int_t)st.counters.syncs, "corrupt",
		(json_int_t)st.counters.corrupt, "full", (int)st.full);
}

static json_t *reply_classes_json(struct pen_gateway *g)
{
	json_t *classes = json_object();

	for (uint32_t i = 0; i < g->replies.n; i++)
		json_object_set_new(classes, g->replies.seen[i].name,
			json_integer((json_int_t)g->replies.seen[i].count));
	return classes;
}

static void run_status(struct verb_call *v)
{
	struct pen_gateway *g = v->g;
	struct pen_sched_stats st;

	pen_sched_stats(g->sched, &st);
	json_t *totals = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "accepted",
		(json_int_t)st.accepted, "delivered", (json_int_t)st.delivered, "deferred",
		(json_int_t)st.deferrals, "bounced", (json_int_t)st.bounced, "expired",
		(json_int_t)st.expired, "deleted", (json_int_t)st.deleted, "in_doubt",
		(json_int_t)st.in_doubt);
	json_t *queue = json_pack("{s:I, s:I, s:I, s:I, s:I}", "messages", (json_int_t)st.messages,
		"recipients", (json_int_t)st.queued, "active", (json_int_t)st.active, "deferred",
		(json_int_t)st.deferred, "held", (json_int_t)st.held);
	answer(v, json_pack("{s:s, s:i, s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "version",
			  PENSTOCK_VERSION, "pid", (int)getpid(), "uptime",
			  (json_int_t)((pen_clock_mono() - g->started_at) / PEN_US_PER_S), "totals",
			  totals, "queue", queue, "workers", workers_json(g), "leases",
			  (json_int_t)st.leases, "spool", spool_json(g), "reply_classes",
			  reply_classes_json(g)));
}

static void run_stop(struct verb_call *v)
{
	answer(v, json_pack("{s:b}", "stopping", 1));
	// The same way as a service manager's: the main thread waits for it.
	kill(getpid(), SIGTERM);
}

// ---- from the control thread to the queue thread

static void run_on_queue(struct pen_call *call)
{
	struct verb_call *v = (struct verb_call *)call;

	v->again = false;
	if (v->g->queue_runs) {
		v->fn(v);
	} else {
		json_decref(v->ids);
		if (v->g->control != NULL)
			pen_control_done_error(v->control, v->token, "the daemon is stopping");
	}
	if (v->again)
		pen_inbox_post(&v->g->inbox, &v->call);
	else
		free(v);
}

static struct verb_call *verb_new(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_fn *fn)
{
	struct verb_call *v = calloc(1, sizeof(*v));

	if (v == NULL) {
		pen_control_done_error(c, req->token, "out of memory");
		return NULL;
	}
	*v = (struct verb_call){
		.call = {.fn = run_on_queue}, .g = g, .control = c, .fn = fn, .token = req->token};
	return v;
}

static void post_plain(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_fn *fn)
{
	struct verb_call *v = verb_new(g, c, req, fn);

	if (v != NULL)
		pen_inbox_post(&g->inbox, &v->call);
}

// With args.id; `needed`: without one the request is refused.
static void post_with_id(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_fn *fn, bool needed)
{
	json_t *arg = json_object_get(req->args, "id");
	uint64_t id = json_is_string(arg) ? pen_queue_id_parse(pen_span(json_string_value(arg),
						    json_string_length(arg)))
					  : 0;

	if (id == 0 && json_is_string(arg)) {
		pen_control_done_error(c, req->token, "%.64s: no such message in the queue",
			json_string_value(arg));
		return;
	}
	if (id == 0 && (needed || arg != NULL)) {
		pen_control_done_error(c, req->token, "args.id: give a queue id");
		return;
	}
	struct verb_call *v = verb_new(g, c, req, fn);
	if (v != NULL) {
		v->id = id;
		pen_inbox_post(&g->inbox, &v->call);
	}
}

static void on_status(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_plain(ctx, c, req, run_status);
}

static void on_stop(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_plain(ctx, c, req, run_stop);
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_control_page page;
	char err[200];

	if (pen_control_page(req->args, &page, err, sizeof(err)) != 0) {
		pen_control_done_error(c, req->token, "%s", err);
		return;
	}
	struct verb_call *v = verb_new(ctx, c, req, run_list);
	if (v != NULL) {
		v->limit = page.limit;
		v->after = pen_queue_id_parse(pen_span_cstr(page.cursor));
		pen_inbox_post(&v->g->inbox, &v->call);
	}
}

static void on_show(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_with_id(ctx, c, req, run_show, true);
}

static void on_flush(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_with_id(ctx, c, req, run_flush, false);
}

static void on_hold(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_with_id(ctx, c, req, run_hold, true);
}

static void on_release(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_with_id(ctx, c, req, run_release, true);
}

static void on_delete(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	json_t *ids = json_object_get(req->args, "ids");
	bool all = json_is_true(json_object_get(req->args, "all"));

	if (all == json_is_array(ids)) {
		pen_control_done_error(
			c, req->token, "args: give either ids, a list, or all, true");
		return;
	}
	struct verb_call *v = verb_new(ctx, c, req, all ? run_delete_all : run_delete);
	if (v == NULL)
		return;
	if (!all)
		v->ids = json_deep_copy(ids); // the request's is not ours to keep
	pen_inbox_post(&v->g->inbox, &v->call);
}

int pen_verbs_register(struct pen_gateway *g)
{
	static const struct {
		const char *verb;
		pen_control_fn *fn;
	} verbs[] = {{"status", on_status}, {"stop", on_stop}, {"queue.list", on_list},
		{"queue.show", on_show}, {"queue.flush", on_flush}, {"queue.delete", on_delete},
		{"queue.hold", on_hold}, {"counters", pen_counters_verb},
		{"queue.release", on_release}};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int err = pen_control_register(g->control, verbs[i].verb, verbs[i].fn, g);
		if (err != 0)
			return err;
	}
	int err = pen_suppression_verbs_register(g);
	return err != 0 ? err : pen_tls_verbs_register(g);
}
