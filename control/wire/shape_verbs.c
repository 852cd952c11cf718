// SPDX-License-Identifier: BSD-3-Clause

// queue.shape (qshape), tenant.list, campaign.list, pool.list, source.list: the queue
// counted by domain and by owner, in pieces.

#include "verb_call.h"

#include "owner_tally.h"
#include "pen_qshape.h"

#include <stdlib.h>

static const struct pen_sched_order look = {.action = PEN_ACTION_COUNT};

// One piece of a look at all that was chosen; true at the end.
static bool look_further(struct verb_call *v, pen_sched_view_fn *fn, void *ctx)
{
	struct pen_sched_tally tally = {0};

	v->after = pen_sched_apply(
		v->g->sched, &v->which.which, &look, v->after, VERB_PIECE, &tally, fn, ctx);
	v->again = v->after != 0 && v->after <= v->before;
	return !v->again;
}

// ---- queue.shape

struct shape {
	struct pen_qshape *q;
	bool by_sender;
	uint32_t limit;
	pen_wall_us now;
};

static void free_shape(void *state)
{
	struct shape *s = state;

	pen_qshape_free(s->q);
	free(s);
}

static bool add_message(void *ctx, const struct pen_sched_view *view)
{
	const struct pen_message *m = view->message;
	struct shape *s = ctx;
	int64_t age = (s->now - m->arrival) / PEN_US_PER_S;

	if (s->by_sender) {
		pen_qshape_add(s->q, pen_message_sender(m), age);
		return true;
	}
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (m->rcpt[i].fate == PEN_FATE_QUEUED)
			pen_qshape_add(s->q, pen_recipient_addr(&m->rcpt[i]), age);
	}
	return true;
}

static void run_shape(struct verb_call *v)
{
	json_int_t buckets = json_integer_value(json_object_get(v->args, "buckets"));
	struct shape *s = v->state;
	const struct pen_qshape_row *row;
	size_t left;

	if (!look_further(v, add_message, s))
		return;
	json_t *rows = json_array();
	size_t n = pen_qshape_rows(s->q, s->limit, &row, &left);
	for (size_t i = 0; i < n; i++) {
		json_t *counts = json_array();
		for (json_int_t b = 0; b <= buckets; b++)
			json_array_append_new(counts, json_integer(row[i].count[b]));
		json_array_append_new(rows,
			json_pack("{s:o,s:o}", "name", bytes_json(row[i].name), "counts", counts));
	}
	verb_answer(v, json_pack("{s:o,s:I}", "rows", rows, "left", (json_int_t)left));
}

static uint32_t number_in(
	json_t *args, const char *key, uint32_t otherwise, uint32_t from, uint32_t to, bool *good)
{
	json_t *value = json_object_get(args, key);
	json_int_t n = value != NULL ? json_integer_value(value) : otherwise;

	*good = *good && n >= from && n <= to;
	return (uint32_t)n;
}

static bool read_shape(struct verb_call *v, struct shape *s, char *err, size_t cap)
{
	const char *by = verb_text(v, "by");
	bool good = true;
	struct pen_qshape_config cfg = {
		.buckets = number_in(v->args, "buckets", 10, 2, PEN_QSHAPE_BUCKETS_MAX, &good),
		.minutes = number_in(v->args, "minutes", 5, 1, 100000, &good),
		.min_subdomains = number_in(v->args, "min_subdomains", 5, 1, 1000000, &good),
		.linear = json_is_true(json_object_get(v->args, "linear")),
		.parents = json_is_true(json_object_get(v->args, "parents")),
	};

	s->limit = number_in(v->args, "limit", 20000, 1, 20000, &good);
	if (!good || (by != NULL && strcmp(by, "sender") != 0 && strcmp(by, "recipient") != 0)) {
		snprintf(err, cap,
			"give buckets from 2 to %d, minutes from 1, min_subdomains from 1, limit "
			"up to 20000, by: sender or recipient",
			PEN_QSHAPE_BUCKETS_MAX);
		return false;
	}
	json_object_set_new(v->args, "buckets", json_integer(cfg.buckets));
	s->by_sender = by != NULL && *by == 's';
	s->now = pen_clock_wall();
	s->q = pen_qshape_new(&cfg);
	if (s->q == NULL)
		snprintf(err, cap, "out of memory");
	return s->q != NULL;
}

static bool read_which(struct verb_call *v, char *err, size_t cap)
{
	if (!selector_args_read(json_object_get(v->args, "selector"), &v->which, err, cap))
		return false;
	if (!v->which.given)
		v->which.which.everything = true;
	v->before = (uint64_t)pen_clock_wall();
	return true;
}

static void on_shape(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_shape);
	struct shape *s = v != NULL ? calloc(1, sizeof(*s)) : NULL;
	char err[300] = "out of memory";

	if (v == NULL)
		return;
	v->state = s;
	v->free_state = s != NULL ? free_shape : NULL;
	if (s == NULL || !read_shape(v, s, err, sizeof(err)) || !read_which(v, err, sizeof(err)))
		verb_refuse(v, "%s", err);
	else
		verb_post(v);
}

// ---- tenants, campaigns, pools

enum by { BY_TENANT, BY_CAMPAIGN, BY_POOL };

struct owners {
	struct owner_tally *tally;
	struct pen_gateway *g;
	enum by by;
};

static void free_owners(void *state)
{
	struct owners *o = state;

	owner_tally_free(o->tally);
	free(o);
}

static struct pen_span pool_of(struct pen_gateway *g, const struct pen_mail_class *k)
{
	struct pen_shape_class *class = g->shape != NULL ? pen_shape_class_get(g->shape, k) : NULL;

	if (class == NULL)
		return k->pool.n > 0 ? k->pool : PEN_SPAN_LIT("default");
	return pen_span_cstr(
		pen_shape_config_of(g->shape)->pool[pen_shape_class_pool(g->shape, class)].name);
}

static struct pen_span owner_name(
	struct owners *o, const struct pen_mail_class *k, char text[2 * PEN_CLASS_NAME_MAX + 2])
{
	if (o->by == BY_POOL)
		return pool_of(o->g, k);
	if (o->by == BY_TENANT)
		return k->tenant;
	int n = snprintf(text, 2 * PEN_CLASS_NAME_MAX + 2, "%.*s%s%.*s", (int)k->tenant.n,
		(const char *)k->tenant.p, k->campaign.n > 0 ? "/" : "", (int)k->campaign.n,
		(const char *)k->campaign.p);
	return pen_span(text, (size_t)n);
}

static bool add_to_owner(void *ctx, const struct pen_sched_view *view)
{
	char text[2 * PEN_CLASS_NAME_MAX + 2];
	struct owners *o = ctx;
	struct owner *row = owner_tally_at(o->tally, owner_name(o, view->message->klass, text));

	row->messages++;
	row->recipients += view->queued;
	row->in_flight += view->in_flight;
	row->in_doubt += view->in_doubt;
	row->deferred += view->state == PEN_STATE_DEFERRED;
	row->held += view->state == PEN_STATE_HOLD;
	return true;
}

static void add_owner_section(json_t *o, const struct pen_shape_owner *s)
{
	json_object_set_new(o, "weight", json_integer(s->weight != 0 ? s->weight : 10));
	if (*s->pool != '\0')
		json_object_set_new(o, "pool", json_string(s->pool));
	json_object_set_new(o, "limits", limits_json(&s->limits));
}

// The section of this name, or "*".
static const struct pen_shape_owner *section_of(
	const struct pen_shape_owner *s, uint32_t n, const char *tenant, const char *name)
{
	const struct pen_shape_owner *any = NULL;

	for (uint32_t i = 0; i < n; i++) {
		bool mine = s[i].tenant == NULL || *s[i].tenant == '\0' ||
			    strcmp(s[i].tenant, tenant) == 0;
		if (mine && strcmp(s[i].name, name) == 0)
			return &s[i];
		if (mine && strcmp(s[i].name, "*") == 0)
			any = &s[i];
	}
	return any;
}

static void add_pool(json_t *o, const struct pen_shape_config *c, const char *name)
{
	for (uint32_t i = 0; i < c->npools; i++) {
		const struct pen_shape_pool *p = &c->pool[i];
		if (strcmp(p->name, name) != 0)
			continue;
		json_t *sources = json_array();
		for (uint32_t k = 0; k < p->nmembers; k++)
			json_array_append_new(
				sources, json_pack("{s:s,s:I}", "source",
						 c->source[p->member[k].source].name, "weight",
						 (json_int_t)p->member[k].weight));
		json_object_set_new(o, "sources", sources);
		json_object_set_new(o, "limits", limits_json(&p->limits));
	}
}

static void add_settings(struct owners *o, json_t *row, const char *name)
{
	const struct pen_shape_config *c =
		o->g->shape != NULL ? pen_shape_config_of(o->g->shape) : NULL;
	const char *slash = strrchr(name, '/');
	char tenant[PEN_CLASS_NAME_MAX + 1] = "";
	const struct pen_shape_owner *s = NULL;

	if (c == NULL)
		return;
	if (o->by == BY_POOL) {
		add_pool(row, c, name);
		return;
	}
	if (o->by == BY_TENANT) {
		s = section_of(c->tenant, c->ntenants, "", name);
	} else if (slash != NULL) {
		snprintf(tenant, sizeof(tenant), "%.*s", (int)(slash - name), name);
		s = section_of(c->campaign, c->ncampaigns, tenant, slash + 1);
	}
	if (s != NULL)
		add_owner_section(row, s);
}

// Those that are configured are shown without mail, too.
static void add_configured(struct owners *o)
{
	const struct pen_shape_config *c =
		o->g->shape != NULL ? pen_shape_config_of(o->g->shape) : NULL;

	for (uint32_t i = 0; c != NULL && o->by == BY_TENANT && i < c->ntenants; i++) {
		if (strcmp(c->tenant[i].name, "*") != 0)
			owner_tally_at(o->tally, pen_span_cstr(c->tenant[i].name));
	}
	for (uint32_t i = 0; c != NULL && o->by == BY_POOL && i < c->npools; i++)
		owner_tally_at(o->tally, pen_span_cstr(c->pool[i].name));
}

static void run_owners(struct verb_call *v)
{
	static const char *const keys[] = {
		[BY_TENANT] = "tenants", [BY_CAMPAIGN] = "campaigns", [BY_POOL] = "pools"};
	struct owners *o = v->state;
	json_int_t limit = json_integer_value(json_object_get(v->args, "limit"));
	struct owner **row;

	if (!look_further(v, add_to_owner, o))
		return;
	add_configured(o);
	json_t *list = json_array();
	size_t n = owner_tally_sorted(o->tally, &row);
	for (size_t i = 0; i < n && (json_int_t)i < (limit > 0 && limit < 10000 ? limit : 10000);
		i++) {
		const struct owner *w = row[i];
		json_t *j = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "name",
			bytes_json(pen_span(w->name, w->len)), "messages", (json_int_t)w->messages,
			"recipients", (json_int_t)w->recipients, "in_flight",
			(json_int_t)w->in_flight, "deferred", (json_int_t)w->deferred, "held",
			(json_int_t)w->held, "in_doubt", (json_int_t)w->in_doubt);
		add_settings(o, j, w->name);
		json_array_append_new(list, j);
	}
	verb_answer(v, json_pack("{s:o,s:I}", keys[o->by], list, "total", (json_int_t)n));
}

static void post_owners(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, enum by by)
{
	struct verb_call *v = verb_new(g, c, req, run_owners);
	struct owners *o = v != NULL ? calloc(1, sizeof(*o)) : NULL;
	char err[300] = "out of memory";

	if (v == NULL)
		return;
	v->state = o;
	v->free_state = o != NULL ? free_owners : NULL;
	if (o != NULL)
		*o = (struct owners){owner_tally_new(), g, by};
	if (o == NULL || o->tally == NULL || !read_which(v, err, sizeof(err)))
		verb_refuse(v, "%s", err);
	else
		verb_post(v);
}

static void on_tenants(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_owners(ctx, c, req, BY_TENANT);
}

static void on_campaigns(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_owners(ctx, c, req, BY_CAMPAIGN);
}

static void on_pools(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post_owners(ctx, c, req, BY_POOL);
}

// ---- sources

struct source_rows {
	json_t *list;
	json_t *by_name; // the same rows
};

static bool add_suspension(void *ctx, const struct pen_suspension *s)
{
	struct source_rows *r = ctx;
	char name[64];

	if (s->scope != PEN_SUSPEND_SOURCE || s->name.n >= sizeof(name))
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)s->name.n, (const char *)s->name.p);
	json_t *row = json_object_get(r->by_name, name);
	if (row == NULL)
		return true;
	json_t *list = json_object_get(row, "suspensions");
	if (list == NULL) {
		list = json_array();
		json_object_set_new(row, "suspensions", list);
	}
	json_array_append_new(list, suspension_json(s));
	return true;
}

static void run_sources(struct verb_call *v)
{
	const struct pen_dataplane_config *dp = &v->g->config->egress.dataplane;
	const struct pen_shape_config *c =
		v->g->shape != NULL ? pen_shape_config_of(v->g->shape) : NULL;
	struct source_rows r = {json_array(), json_object()};
	char addr[PEN_ADDR_STR_MAX];

	for (uint32_t i = 0; i < dp->nsources && i < 20000; i++) {
		const struct pen_source_config *s = &dp->source[i];
		json_t *row = json_pack("{s:s,s:s,s:s}", "name", s->name, "address",
			pen_addr_str(&s->addr, addr), "helo",
			s->helo[0] != '\0' ? s->helo : v->g->config->params.smtp_helo_name);
		if (c != NULL && i < c->nsources)
			json_object_set_new(row, "limits", limits_json(&c->source[i].limits));
		json_array_append_new(r.list, row);
		json_object_set(r.by_name, s->name, row);
	}
	if (v->g->shape != NULL)
		pen_shape_suspensions(v->g->shape, add_suspension, &r);
	json_decref(r.by_name);
	verb_answer(
		v, json_pack("{s:o,s:I}", "sources", r.list, "total", (json_int_t)dp->nsources));
}

static void on_sources(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_sources);

	if (v != NULL)
		verb_post(v);
}

int shape_verbs_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {{"queue.shape", on_shape},
		{"tenant.list", on_tenants}, {"campaign.list", on_campaigns},
		{"pool.list", on_pools}, {"source.list", on_sources}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
