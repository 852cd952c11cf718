// SPDX-License-Identifier: BSD-3-Clause

// `penstock reload` and SIGHUP: the configuration is read anew and replaces the one in use as a
// whole, or not at all.
//
// Control thread: notes the request and wakes the main thread, which reads and compares, and then
// posts one call to the queue thread. That call cannot fail half-way: what may fail comes first.

#include "pen_gateway.h"
#include "reload_diff.h"

#include "pen_header_checks.h"
#include "pen_log.h"
#include "pen_reply_rules.h"
#include "pen_tls_decide.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.reload");

struct pen_reload {
	struct pen_reload *next;
	uint64_t token; // 0: nobody waits for the answer
	bool check;
};

// ---- reading

static bool has_own_rules(const struct pen_shape_config *shape)
{
	for (uint32_t i = 0; shape != NULL && i < shape->nrules; i++) {
		if (!shape->rule[i].shipped)
			return true;
	}
	return false;
}

static void check_patterns(const struct pen_config *c, const char *main_cf, struct pen_report *r)
{
	const char *spec = c->params.header_checks;
	char err[512];

	if (spec[0] != '\0') {
		struct pen_header_hook *h = pen_header_hook_new(spec, 1, err, sizeof(err));
		if (h == NULL)
			pen_report_error(r, main_cf, pen_params_line(&c->params, "header_checks"),
				"%s", err);
		pen_header_hook_free(h);
	}
	// Those that come with Penstock compile, and take their time: only with others.
	if (!has_own_rules(c->egress.shape))
		return;
	struct pen_reply_rules *rules =
		pen_reply_rules_new(NULL, c->egress_file, c->egress.shape, err, sizeof(err));
	if (rules == NULL)
		pen_report_error(r, NULL, 0, "%s", err);
	pen_reply_rules_free(rules);
}

struct pen_config *pen_gateway_load(const char *directory, struct pen_report *r)
{
	unsigned errors = r->errors;
	struct pen_config *c = pen_config_load(directory, r);

	if (c == NULL)
		return NULL;
	const struct pen_routing routing = {
		&c->transport_maps, c->params.relayhost, c->params.myorigin};
	char main_cf[4096];
	snprintf(main_cf, sizeof(main_cf), "%s/main.cf", c->directory);
	struct pen_map_where where = {
		main_cf, pen_params_line(&c->params, "relayhost"), "relayhost"};
	pen_routing_check(&routing, &where, r);
	// Only for its faults: who uses it makes it with its contexts.
	pen_tls_settings_free(pen_tls_settings_new(c, NULL, NULL, r));
	check_patterns(c, main_cf, r);
	if (r->errors == errors)
		return c;
	pen_config_free(c);
	return NULL;
}

// ---- replacing

struct apply {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_live *live;
	struct pen_shape_config *shape;
	struct pen_match_set *match;
	struct pen_sched_config sched;
	struct pen_sched_transport transport[2];
	int err;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
};

// All or nothing: the scheduler's part only fails when its own copy finds no memory.
static int replace(struct apply *a)
{
	struct pen_gateway *g = a->g;
	int err = pen_sched_reconfigure(g->sched, &a->sched);

	if (err != 0)
		return err;
	err = pen_shape_apply(g->shape, a->shape, pen_clock_mono());
	if (err != 0) {
		struct pen_sched_transport transport[2];
		pen_gateway_sched_config(g->config, transport, &a->sched);
		pen_sched_reconfigure(g->sched, &a->sched);
		return err;
	}
	a->shape = NULL;
	a->match = pen_wire_match_replace(g, a->match); // the one before, for the main thread
	pen_live_set(g, a->live);
	a->live = NULL;
	return 0;
}

// On the queue thread.
static void run_apply(struct pen_call *call)
{
	struct apply *a = (struct apply *)call;
	int err = replace(a);

	pthread_mutex_lock(&a->lock);
	a->err = err;
	a->done = true;
	pthread_cond_signal(&a->over);
	pthread_mutex_unlock(&a->lock);
}

static void post_and_wait(struct apply *a)
{
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->over, NULL);
	a->call.fn = run_apply;
	pen_inbox_post(&a->g->inbox, &a->call);
	pthread_mutex_lock(&a->lock);
	while (!a->done)
		pthread_cond_wait(&a->over, &a->lock);
	pthread_mutex_unlock(&a->lock);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->over);
}

// Takes over `next`. False after a report.
static bool take_over(struct pen_gateway *g, struct pen_config *next, struct pen_report *r)
{
	char err[512] = "out of memory";
	struct apply a = {.g = g, .live = pen_live_new(next, err, sizeof(err)), .err = -ENOMEM};

	if (a.live == NULL) {
		pen_config_free(next);
		pen_report_error(r, NULL, 0, "%s", err);
		return false;
	}
	struct pen_reply_rules *rules =
		pen_reply_rules_new(NULL, next->egress_file, next->egress.shape, err, sizeof(err));
	if (rules != NULL)
		a.match = pen_match_set_new(rules);
	if (a.match != NULL) {
		a.shape = pen_egress_take_shape(&next->egress);
		pen_gateway_sched_config(next, a.transport, &a.sched);
		post_and_wait(&a);
	}
	if (a.err != 0)
		pen_report_error(r, NULL, 0, "%s", rules == NULL ? err : "out of memory");
	pen_match_set_free(a.match);
	pen_shape_config_free(a.shape);
	pen_live_put(g, a.live);
	return a.err == 0;
}

// ---- one request

struct problems {
	json_t *list;
	bool log; // nobody gets the answer
};

static void note_problem(void *ctx, const struct pen_report_entry *e)
{
	struct problems *p = ctx;
	bool error = e->level == PEN_REPORT_ERROR;
	char line[2048];

	if (p->log && error)
		pen_error("%s", pen_report_format(e, line, sizeof(line)));
	else if (p->log)
		pen_warning("%s", pen_report_format(e, line, sizeof(line)));
	json_t *one = json_pack("{s:s,s:s?,s:i,s:s}", "level", error ? "error" : "warning", "file",
		e->file, "line", (int)e->line, "text", e->text);
	if (one == NULL) // bytes that are not UTF-8
		one = json_pack("{s:s,s:s?,s:i,s:s}", "level", error ? "error" : "warning", "file",
			e->file, "line", (int)e->line, "text", "a value is not UTF-8");
	json_array_append_new(p->list, one);
}

static json_t *reload(struct pen_gateway *g, bool check, bool log)
{
	struct problems problems = {json_array(), log};
	struct pen_report r = {.fn = note_problem, .ctx = &problems};
	struct reload_diff diff = {NULL, NULL};
	struct pen_config *next = pen_gateway_load(g->boot->directory, &r);
	bool good = next != NULL;

	// Only this thread replaces what these two point to, and not at this moment.
	if (good)
		good = reload_compare(
			g->boot, g->live->config, pen_shape_config_of(g->shape), next, &diff, &r);
	if (good && !check)
		good = take_over(g, next, &r);
	else
		pen_config_free(next);
	if (good && !check)
		pen_notice("the configuration was read again: %zu changes",
			json_array_size(diff.changed));
	else if (!check)
		pen_error("the configuration was not changed: %u errors", r.errors);
	for (size_t i = 0; log && i < json_array_size(diff.restart); i++)
		pen_warning("%s changed, but needs a restart",
			json_string_value(
				json_object_get(json_array_get(diff.restart, i), "name")));
	return json_pack("{s:b,s:b,s:i,s:i,s:o,s:o,s:o}", "ok", good, "reloaded", good && !check,
		"errors", (int)r.errors, "warnings", (int)r.warnings, "problems", problems.list,
		"changed", diff.changed != NULL ? diff.changed : json_array(), "restart",
		diff.restart != NULL ? diff.restart : json_array());
}

static struct pen_reload *take_requests(struct pen_gateway *g)
{
	pthread_mutex_lock(&g->lock);
	struct pen_reload *list = g->reloads;
	g->reloads = NULL;
	pthread_mutex_unlock(&g->lock);
	return list;
}

void pen_reload_serve(struct pen_gateway *g, bool unasked)
{
	if (unasked)
		json_decref(reload(g, false, true));
	for (struct pen_reload *q = take_requests(g), *next; q != NULL; q = next) {
		next = q->next;
		pen_control_done_ok(g->control, q->token, reload(g, q->check, false));
		free(q);
	}
}

void pen_reload_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	struct pen_reload *q = malloc(sizeof(*q));

	if (q == NULL) {
		pen_control_done_error(c, req->token, "out of memory");
		return;
	}
	*q = (struct pen_reload){
		.token = req->token, .check = json_is_true(json_object_get(req->args, "check"))};
	pthread_mutex_lock(&g->lock);
	q->next = g->reloads;
	g->reloads = q;
	pthread_mutex_unlock(&g->lock);
	pthread_kill(g->main_thread, PEN_RELOAD_SIGNAL);
}

void pen_reload_fini(struct pen_gateway *g)
{
	for (struct pen_reload *q = take_requests(g), *next; q != NULL; q = next) {
		next = q->next;
		pen_control_done_error(g->control, q->token, "the daemon is stopping");
		free(q);
	}
}
