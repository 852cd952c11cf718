// SPDX-License-Identifier: BSD-3-Clause

// status, stop, why, and the pages of the queue that `penstock audit` reads.

#include "verb_call.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

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

static json_t *spool_json(const struct pen_spool_stats *st)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "messages", (json_int_t)st->live,
		"bytes", (json_int_t)st->live_bytes, "segments", (json_int_t)st->segments,
		"commits", (json_int_t)st->counters.commits, "syncs",
		(json_int_t)st->counters.syncs, "corrupt", (json_int_t)st->counters.corrupt, "full",
		(int)st->full);
}

// The classes that occurred.
static json_t *reply_classes_json(struct pen_gateway *g)
{
	json_t *classes = json_object();
	struct pen_counter_set set = pen_match_counters_of(g->match);

	for (uint32_t i = 0; i < set.n; i++) {
		json_int_t n = (json_int_t)pen_counter_read(&set.value[i]);
		if (n > 0)
			json_object_set_new(classes, set.desc[i].name, json_integer(n));
	}
	return classes;
}

static bool keep_arrival(void *ctx, const struct pen_sched_view *view)
{
	*(pen_wall_us *)ctx = view->message->arrival;
	return false;
}

static json_t *queue_json(struct pen_gateway *g, const struct pen_sched_stats *st)
{
	static const struct pen_sched_filter any = {0};
	pen_wall_us oldest = 0;

	pen_sched_list(g->sched, &any, 0, 1, keep_arrival, &oldest);
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "messages",
		(json_int_t)st->messages, "recipients", (json_int_t)st->queued, "active",
		(json_int_t)st->active, "waiting", (json_int_t)st->waiting, "deferred",
		(json_int_t)st->deferred, "held", (json_int_t)st->held, "scheduled",
		(json_int_t)st->scheduled, "bouncing", (json_int_t)st->bouncing, "in_doubt",
		(json_int_t)st->doubtful, "content_bytes", (json_int_t)st->content_bytes);
	if (oldest != 0)
		json_object_set_new(
			o, "oldest_age", json_integer((pen_clock_wall() - oldest) / PEN_US_PER_S));
	return o;
}

static json_t *totals_json(const struct pen_sched_stats *st)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "accepted",
		(json_int_t)st->accepted, "delivered", (json_int_t)st->delivered, "deferred",
		(json_int_t)st->deferrals, "bounced", (json_int_t)st->bounced, "expired",
		(json_int_t)st->expired, "deleted", (json_int_t)st->deleted, "in_doubt",
		(json_int_t)st->in_doubt);
}

static json_t *events_json(struct pen_gateway *g)
{
	struct pen_events_stats st = pen_events_stats(g->events);

	return json_pack("{s:I,s:I,s:I,s:I}", "records", (json_int_t)st.records, "bytes",
		(json_int_t)st.bytes, "lost", (json_int_t)st.lost, "write_errors",
		(json_int_t)st.write_errors);
}

static bool count_suspension(void *ctx, const struct pen_suspension *s)
{
	(void)s;
	++*(uint64_t *)ctx;
	return true;
}

static void tell(json_t *list, uint64_t n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(json_t *list, uint64_t n, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	if (n == 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(list, json_string(text));
}

// What somebody who was woken up by an alarm should read first.
static json_t *attention_json(struct pen_gateway *g, const struct pen_sched_stats *st,
	const struct pen_spool_stats *spool)
{
	json_t *list = json_array();
	uint64_t suspended = 0;
	struct pen_events_stats ev = pen_events_stats(g->events);

	if (g->shape != NULL)
		pen_shape_suspensions(g->shape, count_suspension, &suspended);
	tell(list, !__atomic_load_n(&g->accepting, __ATOMIC_RELAXED),
		"new mail is refused: the queue, its memory or the disk is full");
	tell(list, spool->full, "the spool is full (spool_size_limit, or the disk)");
	tell(list, spool->counters.io_errors, "%llu input/output errors of the spool",
		(unsigned long long)spool->counters.io_errors);
	tell(list, spool->counters.corrupt, "%llu damaged regions of the spool were set aside",
		(unsigned long long)spool->counters.corrupt);
	tell(list, suspended, "%llu suspensions hold mail: penstock suspend list",
		(unsigned long long)suspended);
	tell(list, st->sites_dead, "%llu sites cannot be reached: penstock site list --dead",
		(unsigned long long)st->sites_dead);
	tell(list, st->doubtful, "%llu recipients are in doubt: penstock queue list --in-doubt",
		(unsigned long long)st->doubtful);
	tell(list, st->held, "%llu messages are on hold: penstock queue list --state hold",
		(unsigned long long)st->held);
	tell(list, ev.lost, "%llu event records were lost", (unsigned long long)ev.lost);
	tell(list, g->stopping, "the daemon is stopping");
	return list;
}

static void run_status(struct verb_call *v)
{
	struct pen_gateway *g = v->g;
	struct pen_sched_stats st;
	struct pen_spool_stats spool;

	pen_sched_stats(g->sched, &st);
	pen_spool_stats(g->spool, &spool);
	json_t *sites = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "sites", (json_int_t)st.sites,
		"dead", (json_int_t)st.sites_dead, "dead_hosts", (json_int_t)st.hosts_dead,
		"next_hops", (json_int_t)st.nexthops, "connections", (json_int_t)st.leases,
		"connections_ready", (json_int_t)st.leases_ready);
	json_t *o = json_pack("{s:s,s:i,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:I,s:o}", "version",
		PENSTOCK_VERSION, "pid", (int)getpid(), "uptime",
		(json_int_t)((pen_clock_mono() - g->started_at) / PEN_US_PER_S), "accepting",
		(int)__atomic_load_n(&g->accepting, __ATOMIC_RELAXED), "attention",
		attention_json(g, &st, &spool), "totals", totals_json(&st), "queue",
		queue_json(g, &st), "sites", sites, "workers", workers_json(g), "leases",
		(json_int_t)st.leases, "spool", spool_json(&spool));
	if (g->events != NULL)
		json_object_set_new(o, "events", events_json(g));
	json_object_set_new(o, "reply_classes", reply_classes_json(g));
	verb_answer(v, o);
}

static void on_status(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_status);

	if (v != NULL)
		verb_post(v);
}

static void run_stop(struct verb_call *v)
{
	verb_answer(v, json_pack("{s:b}", "stopping", 1));
	// The same way as a service manager's: the main thread waits for it.
	kill(getpid(), SIGTERM);
}

static void on_stop(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_stop);

	if (v != NULL)
		verb_post(v);
}

// ---- why

static bool keep_recipient(void *ctx, const struct pen_sched_view *view)
{
	json_t *o = ctx;
	json_int_t i = json_integer_value(json_object_get(o, "recipient_index"));

	json_object_set_new(o, "state", json_string(pen_sched_state_word(view->state)));
	if (i < view->message->nrcpt)
		json_object_set_new(
			o, "recipient", bytes_json(pen_recipient_addr(&view->message->rcpt[i])));
	return false;
}

static void run_why(struct verb_call *v)
{
	struct pen_why why = {0};
	char id[PEN_QUEUE_ID_MAX];

	if (pen_sched_why(v->g->sched, v->id, &why) != 0) {
		verb_missing(v);
		return;
	}
	pen_queue_id_format(v->id, id);
	json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:o}", "queue_id", id, "code", why.word, "text",
		why.text, "recipient_index", (json_int_t)why.rcpt, "holder",
		bytes_json(pen_span_cstr(why.holder)));
	if (why.site.n > 0)
		json_object_set_new(o, "site", bytes_json(why.site));
	if (why.until != 0)
		json_object_set_new(
			o, "until", json_integer((json_int_t)(why.until / PEN_US_PER_S)));
	pen_sched_show(v->g->sched, v->id, keep_recipient, o);
	verb_answer(v, o);
}

static void on_why(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	verb_post_with_id(ctx, c, req, run_why, true);
}

// ---- audit

// A letter for each recipient: queued, in doubt (u), delivered, bounced, expired, deleted (x).
static char letter_of(const struct pen_recipient *r)
{
	static const char letters[] = {[PEN_FATE_QUEUED] = 'q',
		[PEN_FATE_DELIVERED] = 'd',
		[PEN_FATE_BOUNCED] = 'b',
		[PEN_FATE_EXPIRED] = 'e',
		[PEN_FATE_DELETED] = 'x'};

	if (r->fate == PEN_FATE_QUEUED && r->doubts > 0)
		return 'u';
	return r->fate < sizeof(letters) ? letters[r->fate] : 'q';
}

struct audit_page {
	json_t *list;
	size_t room;
};

static bool append_fates(void *ctx, const struct pen_sched_view *view)
{
	const struct pen_message *m = view->message;
	struct audit_page *page = ctx;
	char *fates = malloc(m->nrcpt + 1u);

	if (fates == NULL)
		return false;
	for (uint32_t i = 0; i < m->nrcpt; i++)
		fates[i] = letter_of(&m->rcpt[i]);
	json_array_append_new(
		page->list, json_pack("[s,s#,b]", PEN_QUEUE_ID(m), fates, (int)m->nrcpt,
				    view->state == PEN_STATE_BOUNCING || view->deleting));
	free(fates);
	size_t cost = m->nrcpt + 40u;
	page->room -= cost < page->room ? cost : page->room;
	return page->room > 0;
}

static void run_audit_page(struct verb_call *v)
{
	static const struct pen_sched_filter any = {0};
	struct audit_page page = {json_array(), 256u << 10};
	char next[PEN_QUEUE_ID_MAX];

	v->after = pen_sched_list(v->g->sched, &any, v->after, VERB_PIECE, append_fates, &page);
	json_t *result = json_pack("{s:o}", "messages", page.list);
	if (v->after != 0) {
		pen_queue_id_format(v->after, next);
		json_object_set_new(result, "next", json_string(next));
	}
	verb_answer(v, result);
}

static void on_audit_page(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_audit_page);

	if (v == NULL)
		return;
	const char *cursor = verb_text(v, "cursor");
	v->after = cursor != NULL ? pen_queue_id_parse(pen_span_cstr(cursor)) : 0;
	verb_post(v);
}

// On the control thread: everything put so far is in the file when it is answered.
static void on_audit_flush(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;

	if (g->events == NULL) {
		pen_control_done_error(c, req->token,
			"event_log_file is empty in main.cf: there are no records to audit");
		return;
	}
	pen_events_flush(g->events, false);
	pen_control_done_ok(c, req->token,
		json_pack("{s:s,s:I}", "event_log_file", g->config->params.event_log_file, "now",
			(json_int_t)(pen_clock_wall() / PEN_US_PER_S)));
}

int status_verbs_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {{"status", on_status}, {"stop", on_stop},
		{"why", on_why}, {"audit.page", on_audit_page}, {"audit.flush", on_audit_flush},
		{"counters", pen_counters_verb}, {"reload", pen_reload_verb}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
