// SPDX-License-Identifier: BSD-3-Clause

// The control verbs suppression.add, remove, list, check and import.
//
// They run on a thread of their own: changes wait for the disk. Entries of an import
// come in many requests and are kept in one transaction, which ends with the request
// that says so, with any other verb, after PEN_SUPPRESSION_BATCH entries, or when no
// more come: what was answered with "committed" is on disk.

#include "pen_gateway.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_IDLE PEN_US_PER_S

struct pen_suppression_desk {
	struct pen_gateway *g;
	struct pen_inbox inbox;
	pthread_t thread;
	bool stop;   // its thread's
	bool closed; // nobody is there to be answered

	uint64_t in_batch; // entries of the batch that is open, 0: there is none
	pen_time_us batch_at;
};

struct order;
typedef void order_fn(struct order *o);

struct order {
	struct pen_call call; // first: the callback casts back
	struct pen_suppression_desk *desk;
	struct pen_control *control;
	order_fn *fn;
	uint64_t token;
	json_t *args; // a copy of our own
};

static void refuse(struct order *o, int err)
{
	if (err == -ENOSPC)
		pen_control_done_error(o->control, o->token, "the disk is full");
	else
		pen_control_done_error(
			o->control, o->token, "the suppression list: %s", strerror(-err));
}

static int end_batch(struct pen_suppression_desk *d)
{
	if (d->in_batch == 0)
		return 0;
	d->in_batch = 0;
	return pen_suppression_batch_commit(d->g->suppression);
}

// ---- arguments

static struct pen_span text_of(json_t *args, const char *key)
{
	json_t *v = json_object_get(args, key);

	return json_is_string(v) ? pen_span(json_string_value(v), json_string_length(v))
				 : pen_span(NULL, 0);
}

struct entry_text {
	char address[PEN_SUPPRESSION_ADDRESS_MAX + 1];
	char why[200];
};

// Control bytes would end up in replies and logs.
static void clean(struct pen_span s, char *out, size_t cap, size_t *n)
{
	*n = s.n < cap ? s.n : cap;
	for (size_t i = 0; i < *n; i++)
		out[i] = s.p[i] >= ' ' && s.p[i] != 0x7f ? (char)s.p[i] : ' ';
}

static bool read_entry(json_t *o, enum pen_suppression_source source, struct entry_text *t,
	char reason[PEN_SUPPRESSION_REASON_MAX], struct pen_suppression_entry *e)
{
	struct pen_span address = text_of(o, "address"), word = text_of(o, "source");
	const char *fault = pen_suppression_address(t->address, address);
	json_t *since = json_object_get(o, "since");
	size_t n;

	if (fault != NULL) {
		snprintf(t->why, sizeof(t->why), "address %.*s: %s",
			(int)(address.n < 80 ? address.n : 80), (const char *)address.p, fault);
		return false;
	}
	*e = (struct pen_suppression_entry){.tenant = text_of(o, "tenant"),
		.address = pen_span_cstr(t->address),
		.source = word.n > 0 ? pen_suppression_source_parse(word) : source,
		.since = json_is_integer(since) && json_integer_value(since) > 0
				 ? json_integer_value(since) * PEN_US_PER_S
				 : pen_clock_wall()};
	if (e->tenant.n > 0 && !pen_class_name_valid(e->tenant)) {
		snprintf(t->why, sizeof(t->why),
			"tenant %.*s: accepted is a name of at most 63 "
			"letters, digits and . _ - @ +",
			(int)(e->tenant.n < 80 ? e->tenant.n : 80), (const char *)e->tenant.p);
		return false;
	}
	if (e->source == PEN_SUPPRESSION_SOURCES) {
		snprintf(t->why, sizeof(t->why),
			"source %.*s: accepted is operator, bounce, complaint or import",
			(int)(word.n < 80 ? word.n : 80), (const char *)word.p);
		return false;
	}
	clean(text_of(o, "reason"), reason, PEN_SUPPRESSION_REASON_MAX, &n);
	e->reason = pen_span(reason, n);
	return true;
}

static json_t *string_json(struct pen_span s)
{
	json_t *text = json_stringn(s.n > 0 ? (const char *)s.p : "", s.n);

	return text != NULL ? text : json_string("?");
}

static json_t *entry_json(const struct pen_suppression_entry *e)
{
	json_t *o = json_pack("{s:o, s:o, s:s, s:I}", "address", string_json(e->address), "reason",
		string_json(e->reason), "source", pen_suppression_source_word(e->source), "since",
		(json_int_t)(e->since / PEN_US_PER_S));

	if (o != NULL && e->tenant.n > 0)
		json_object_set_new(o, "tenant", string_json(e->tenant));
	return o;
}

// ---- verbs

static void run_add(struct order *o)
{
	char reason[PEN_SUPPRESSION_REASON_MAX];
	struct pen_suppression_entry e;
	struct entry_text t;

	if (!read_entry(o->args, PEN_SUPPRESSION_OPERATOR, &t, reason, &e)) {
		pen_control_done_error(o->control, o->token, "%s", t.why);
		return;
	}
	int err = pen_suppression_put(o->desk->g->suppression, &e);
	if (err != 0)
		refuse(o, err);
	else
		pen_control_done_ok(
			o->control, o->token, json_pack("{s:o}", "entry", entry_json(&e)));
}

static void run_remove(struct order *o)
{
	struct pen_span address = text_of(o->args, "address"), tenant = text_of(o->args, "tenant");
	char kept[PEN_SUPPRESSION_ADDRESS_MAX + 1];
	const char *fault = pen_suppression_address(kept, address);

	if (fault != NULL) {
		pen_control_done_error(o->control, o->token, "address %.*s: %s",
			(int)(address.n < 80 ? address.n : 80), (const char *)address.p, fault);
		return;
	}
	int err = pen_suppression_remove(o->desk->g->suppression, tenant, pen_span_cstr(kept));
	if (err == -ENOENT)
		pen_control_done_error(o->control, o->token, "%s is not on the list%s%.*s", kept,
			tenant.n > 0 ? " of tenant " : "", PEN_SPAN_ARG(tenant));
	else if (err != 0)
		refuse(o, err);
	else
		pen_control_done_ok(o->control, o->token, json_pack("{s:s}", "removed", kept));
}

static void run_check(struct order *o)
{
	struct pen_span address = text_of(o->args, "address"), tenant = text_of(o->args, "tenant");
	struct pen_suppression_hit hit;

	if (address.n == 0) {
		pen_control_done_error(o->control, o->token, "args.address: give an address");
		return;
	}
	if (!pen_suppression_find(o->desk->g->suppression, tenant, address, &hit)) {
		pen_control_done_ok(o->control, o->token, json_pack("{s:b}", "suppressed", 0));
		return;
	}
	struct pen_suppression_entry e = {.tenant = hit.of_tenant ? tenant : pen_span(NULL, 0),
		.address = pen_span_cstr(hit.address),
		.source = hit.source,
		.since = hit.since,
		.reason = pen_span_cstr(hit.reason)};
	pen_control_done_ok(o->control, o->token,
		json_pack("{s:b, s:o}", "suppressed", 1, "entry", entry_json(&e)));
}

struct page {
	json_t *entries;
	uint32_t left;
	bool more;
	char next[PEN_CLASS_NAME_MAX + 1 + PEN_SUPPRESSION_ADDRESS_MAX + 1];
};

static bool add_to_page(void *ctx, const struct pen_suppression_entry *e)
{
	struct page *p = ctx;

	if (p->left == 0) {
		p->more = true;
		return false;
	}
	p->left--;
	json_array_append_new(p->entries, entry_json(e));
	// A tenant has no '/' in it.
	snprintf(p->next, sizeof(p->next), "%.*s/%.*s", PEN_SPAN_ARG(e->tenant),
		PEN_SPAN_ARG(e->address));
	return true;
}

static void run_list(struct order *o)
{
	struct page p = {.entries = json_array()};
	struct pen_span tenant = text_of(o->args, "tenant");
	bool one = json_is_string(json_object_get(o->args, "tenant"));
	struct pen_suppression_entry after;
	struct pen_control_page want;
	char err[200];

	if (pen_control_page(o->args, &want, err, sizeof(err)) != 0) {
		json_decref(p.entries);
		pen_control_done_error(o->control, o->token, "%s", err);
		return;
	}
	p.left = want.limit;
	struct pen_span cursor = pen_span_cstr(want.cursor);
	ptrdiff_t slash = pen_span_find(cursor, '/');
	after.tenant = pen_span(cursor.p, slash >= 0 ? (size_t)slash : 0);
	after.address = pen_span_from(cursor, after.tenant.n + 1);
	int failed = pen_suppression_list(o->desk->g->suppression, one ? &tenant : NULL,
		slash >= 0 ? &after : NULL, add_to_page, &p);
	if (failed != 0) {
		json_decref(p.entries);
		refuse(o, failed);
		return;
	}
	json_t *result = json_pack("{s:o, s:I}", "entries", p.entries, "total",
		(json_int_t)pen_suppression_count(o->desk->g->suppression));
	if (p.more)
		json_object_set_new(result, "next", json_string(p.next));
	pen_control_done_ok(o->control, o->token, result);
}

static int put_all(struct order *o, json_t *entries, json_int_t *added, json_int_t *replaced,
	struct entry_text *t)
{
	struct pen_suppression_desk *d = o->desk;
	char reason[PEN_SUPPRESSION_REASON_MAX];
	struct pen_suppression_entry e;
	json_t *one;
	size_t i;

	json_array_foreach(entries, i, one)
	{
		bool fresh = false;
		if (!read_entry(one, PEN_SUPPRESSION_IMPORT, t, reason, &e))
			return -EINVAL;
		int err = d->in_batch == 0 ? pen_suppression_batch_begin(d->g->suppression) : 0;
		if (err == 0)
			err = pen_suppression_batch_put(d->g->suppression, &e, &fresh);
		if (err != 0)
			return err;
		d->in_batch++;
		*(fresh ? added : replaced) += 1;
		if (d->in_batch >= PEN_SUPPRESSION_BATCH && (err = end_batch(d)) != 0)
			return err;
	}
	return 0;
}

static void run_import(struct order *o)
{
	struct pen_suppression_desk *d = o->desk;
	json_t *entries = json_object_get(o->args, "entries");
	bool commit = json_is_true(json_object_get(o->args, "commit"));
	json_int_t added = 0, replaced = 0;
	struct entry_text t;

	int err = put_all(o, entries, &added, &replaced, &t);
	d->batch_at = pen_clock_mono();
	if (err == 0 && commit)
		err = end_batch(d);
	if (err == -EINVAL) {
		pen_control_done_error(o->control, o->token, "%s", t.why);
		return;
	}
	if (err != 0) { // the entries since the last commit are lost, and that is said
		d->in_batch = 0;
		pen_suppression_batch_drop(d->g->suppression);
		refuse(o, err);
		return;
	}
	pen_control_done_ok(o->control, o->token,
		json_pack("{s:I, s:I, s:b}", "added", added, "replaced", replaced, "committed",
			d->in_batch == 0));
}

// ---- the thread

static void run_order(struct pen_call *call)
{
	struct order *o = (struct order *)call;
	int err = !o->desk->closed && o->fn != run_import ? end_batch(o->desk) : 0;

	if (o->desk->closed)
		;
	else if (err != 0)
		refuse(o, err);
	else
		o->fn(o);
	json_decref(o->args);
	free(o);
}

static void *desk_main(void *arg)
{
	struct pen_suppression_desk *d = arg;

	while (!d->stop) {
		pen_inbox_run(&d->inbox);
		if (d->in_batch > 0 && pen_clock_mono() - d->batch_at >= BATCH_IDLE &&
			end_batch(d) != 0)
			pen_maillog_line(d->g->maillog, "penstockd",
				"error: entries of the suppression list were not stored");
		if (!d->stop)
			pen_inbox_wait(&d->inbox, BATCH_IDLE);
	}
	end_batch(d);
	return NULL;
}

static void run_stop(struct pen_call *call)
{
	struct order *o = (struct order *)call;

	o->desk->stop = true;
}

static void post(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, order_fn *fn)
{
	struct order *o = malloc(sizeof(*o));
	json_t *args = o != NULL ? json_deep_copy(req->args) : NULL;

	if (args == NULL) {
		free(o);
		pen_control_done_error(c, req->token, "out of memory");
		return;
	}
	*o = (struct order){.call = {.fn = run_order},
		.desk = g->suppression_desk,
		.control = c,
		.fn = fn,
		.token = req->token,
		.args = args};
	pen_inbox_post(&g->suppression_desk->inbox, &o->call);
}

static void on_add(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_add);
}

static void on_remove(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_remove);
}

static void on_check(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_check);
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_list);
}

static void on_import(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	if (!json_is_array(json_object_get(req->args, "entries")))
		pen_control_done_error(c, req->token, "args.entries: give a list of entries");
	else
		post(ctx, c, req, run_import);
}

int pen_suppression_verbs_register(struct pen_gateway *g)
{
	static const struct {
		const char *verb;
		pen_control_fn *fn;
	} verbs[] = {{"suppression.add", on_add}, {"suppression.remove", on_remove},
		{"suppression.list", on_list}, {"suppression.check", on_check},
		{"suppression.import", on_import}};

	g->suppression_desk = calloc(1, sizeof(*g->suppression_desk));
	if (g->suppression_desk == NULL)
		return -ENOMEM;
	g->suppression_desk->g = g;
	pen_inbox_init(&g->suppression_desk->inbox);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int err = pen_control_register(g->control, verbs[i].verb, verbs[i].fn, g);
		if (err != 0)
			return err;
	}
	return 0;
}

int pen_suppression_desk_start(struct pen_gateway *g)
{
	return -pthread_create(&g->suppression_desk->thread, NULL, desk_main, g->suppression_desk);
}

void pen_suppression_desk_stop(struct pen_gateway *g)
{
	struct order last = {.call = {.fn = run_stop}, .desk = g->suppression_desk};

	pen_inbox_post(&g->suppression_desk->inbox, &last.call);
	pthread_join(g->suppression_desk->thread, NULL);
	g->suppression_desk->closed = true;
}

void pen_suppression_desk_free(struct pen_gateway *g)
{
	pen_inbox_run(&g->suppression_desk->inbox); // what came since
	free(g->suppression_desk);
	g->suppression_desk = NULL;
}
