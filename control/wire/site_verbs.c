// SPDX-License-Identifier: BSD-3-Clause

// site.list, site.show: where mail goes, and what limits it there.

#include "verb_call.h"

#include <stdlib.h>
#include <strings.h>

enum sort { BY_QUEUED, BY_CONNECTIONS, BY_DELIVERED, BY_DEFERRED, BY_NAME };

static const char *const sorts[] = {[BY_QUEUED] = "queued",
	[BY_CONNECTIONS] = "connections",
	[BY_DELIVERED] = "delivered",
	[BY_DEFERRED] = "deferred",
	[BY_NAME] = "name"};

static struct pen_span name_of(const struct pen_site_view *s)
{
	return s->name.n > 0 ? s->name : s->key;
}

static uint64_t waiting(const struct pen_site_view *s)
{
	return (uint64_t)s->queued + s->waiting + s->in_flight;
}

static json_t *site_json(const struct pen_site_view *s)
{
	json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
		"site", bytes_json(name_of(s)), "key", bytes_json(s->key), "provider",
		bytes_json(s->provider), "pool", bytes_json(s->pool), "queued",
		(json_int_t)s->queued, "waiting", (json_int_t)s->waiting, "in_flight",
		(json_int_t)s->in_flight, "connections", (json_int_t)s->leases, "ready",
		(json_int_t)s->leases_ready, "opening", (json_int_t)s->leases_opening, "window",
		(json_int_t)s->window, "flows", (json_int_t)s->flows, "delivered",
		(json_int_t)s->delivered, "deferred", (json_int_t)s->deferred, "bounced",
		(json_int_t)s->bounced);

	if (s->dead_for > 0) {
		json_object_set_new(o, "dead_for",
			json_integer((s->dead_for + PEN_US_PER_S - 1) / PEN_US_PER_S));
		json_object_set_new(o, "reason", bytes_json(s->reason));
	}
	if (s->blocked.n > 0) {
		json_object_set_new(o, "blocked", bytes_json(s->blocked));
		if (s->blocked_for != PEN_TIME_NEVER)
			json_object_set_new(
				o, "blocked_for", json_integer(s->blocked_for / PEN_US_PER_S));
	}
	return o;
}

// ---- site.list: the first of all sites in an order, in one pass

struct row {
	uint64_t value;
	char name[PEN_SITE_NAME_MAX + 1];
	json_t *site;
};

struct list {
	enum sort sort;
	const char *filter, *provider; // "": any
	bool dead, blocked;
	uint32_t limit, n;
	uint64_t total;
	struct row *row; // a heap; its last is [0]
};

static uint64_t value_of(const struct list *l, const struct pen_site_view *s)
{
	switch (l->sort) {
	case BY_CONNECTIONS:
		return s->leases;
	case BY_DELIVERED:
		return s->delivered;
	case BY_DEFERRED:
		return s->deferred;
	case BY_NAME:
		return 0;
	case BY_QUEUED:
		break;
	}
	return waiting(s);
}

// Larger values first, then names in order.
static bool before(const struct row *a, const struct row *b)
{
	return a->value != b->value ? a->value > b->value : strcmp(a->name, b->name) < 0;
}

static void sift_down(struct list *l)
{
	for (uint32_t i = 0, child; (child = 2 * i + 1) < l->n; i = child) {
		if (child + 1 < l->n && before(&l->row[child], &l->row[child + 1]))
			child++;
		if (!before(&l->row[i], &l->row[child]))
			return;
		struct row t = l->row[i];
		l->row[i] = l->row[child];
		l->row[child] = t;
	}
}

static void sift_up(struct list *l, uint32_t i)
{
	while (i > 0 && before(&l->row[(i - 1) / 2], &l->row[i])) {
		struct row t = l->row[i];
		l->row[i] = l->row[(i - 1) / 2];
		l->row[(i - 1) / 2] = t;
		i = (i - 1) / 2;
	}
}

static bool contains(struct pen_span text, const char *part)
{
	size_t n = strlen(part);

	for (size_t i = 0; i + n <= text.n; i++) {
		if (strncasecmp((const char *)text.p + i, part, n) == 0)
			return true;
	}
	return false;
}

static bool passes(const struct list *l, const struct pen_site_view *s)
{
	bool held = s->blocked.n > 0 || s->dead_for > 0;

	if ((l->dead && s->dead_for == 0) || (l->blocked && !held))
		return false;
	if (*l->provider != '\0' && !pen_span_ieq(s->provider, pen_span_cstr(l->provider)))
		return false;
	return contains(s->name, l->filter) || contains(s->key, l->filter);
}

static bool keep_site(void *ctx, const struct pen_site_view *s)
{
	struct list *l = ctx;
	struct pen_span name = name_of(s);
	struct row r = {.value = value_of(l, s)};

	if (!passes(l, s))
		return true;
	l->total++;
	snprintf(r.name, sizeof(r.name), "%.*s", (int)name.n, (const char *)name.p);
	if (l->n == l->limit && !before(&r, &l->row[0]))
		return true;
	r.site = site_json(s);
	if (l->n < l->limit) {
		l->row[l->n] = r;
		sift_up(l, l->n++);
	} else {
		json_decref(l->row[0].site);
		l->row[0] = r;
		sift_down(l);
	}
	return true;
}

static int by_order(const void *a, const void *b)
{
	return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static bool read_list(struct verb_call *v, struct list *l)
{
	const char *sort = verb_text(v, "sort"), *filter = verb_text(v, "filter");
	const char *provider = verb_text(v, "provider");
	json_t *limit = json_object_get(v->args, "limit");
	json_int_t n = limit != NULL ? json_integer_value(limit) : 50;
	bool known = sort == NULL;

	for (unsigned i = 0; sort != NULL && i < sizeof(sorts) / sizeof(sorts[0]); i++) {
		if (strcmp(sort, sorts[i]) == 0) {
			l->sort = (enum sort)i;
			known = true;
		}
	}
	if (!known) {
		verb_error(v, "sort %.40s: give queued, connections, delivered, deferred or name",
			sort);
		return false;
	}
	if (n < 1 || n > 1000) {
		verb_error(v, "limit: give 1 to 1000");
		return false;
	}
	l->limit = (uint32_t)n;
	l->filter = filter != NULL ? filter : "";
	l->provider = provider != NULL ? provider : "";
	l->dead = json_is_true(json_object_get(v->args, "dead"));
	l->blocked = json_is_true(json_object_get(v->args, "blocked"));
	return true;
}

static void run_list(struct verb_call *v)
{
	struct list l = {0};
	json_t *sites = json_array();

	if (!read_list(v, &l)) {
		json_decref(sites);
		return;
	}
	l.row = calloc(l.limit, sizeof(*l.row));
	if (l.row == NULL) {
		json_decref(sites);
		verb_error(v, "out of memory");
		return;
	}
	pen_sched_sites(v->g->sched, keep_site, &l);
	qsort(l.row, l.n, sizeof(*l.row), by_order);
	for (uint32_t i = 0; i < l.n; i++)
		json_array_append_new(sites, l.row[i].site);
	free(l.row);
	verb_answer(v, json_pack("{s:o,s:I}", "sites", sites, "total", (json_int_t)l.total));
}

// ---- site.show

struct show {
	struct pen_gateway *g;
	struct pen_span name;
	json_t *parts, *suspensions;
	char found[PEN_SITE_NAME_MAX + 1];
	struct pen_shape_site *shape; // a reference
};

// By its name, by one of its hosts, or by its key.
static bool is_meant(const struct show *s, const struct pen_site_view *view)
{
	char host[300];

	if (pen_span_ieq(view->name, s->name) || pen_span_eq(view->key, s->name))
		return true;
	snprintf(host, sizeof(host), "%.*s.", (int)s->name.n, (const char *)s->name.p);
	return s->name.n > 0 && s->name.n < 256 && pen_span_ieq(view->name, pen_span_cstr(host));
}

#define DEAD_HOSTS_MAX 100 // of one site in an answer

static bool show_dead_host(void *ctx, const struct pen_dead_host_view *h)
{
	char source[PEN_ADDR_STR_MAX], host[PEN_ADDR_STR_MAX];

	json_array_append_new(
		ctx, json_pack("{s:s,s:s,s:i,s:s,s:I,s:i,s:b,s:o}", "host", h->name, "address",
			     pen_addr_str(h->host, host), "port", (int)h->port, "source",
			     pen_addr_str(h->source, source), "dead_for",
			     (json_int_t)((h->dead_for + PEN_US_PER_S - 1) / PEN_US_PER_S),
			     "failures", (int)h->failures, "probed", (int)h->probed, "reason",
			     bytes_json(h->reason)));
	return json_array_size(ctx) < DEAD_HOSTS_MAX;
}

static bool show_part(void *ctx, const struct pen_site_view *view)
{
	struct show *s = ctx;

	if (!is_meant(s, view))
		return true;
	if (json_array_size(s->parts) < 1000) {
		json_t *part = site_json(view), *dead = json_array();
		pen_sched_dead_hosts(s->g->sched, view->handle, show_dead_host, dead);
		json_object_set_new(part, "dead_hosts", dead);
		json_array_append_new(s->parts, part);
	}
	if (s->shape == NULL && view->shape != NULL)
		s->shape = pen_shape_site_ref(view->shape);
	struct pen_span name = name_of(view);
	snprintf(s->found, sizeof(s->found), "%.*s", (int)name.n, (const char *)name.p);
	return true;
}

static const char *holder_word(enum pen_shape_holder h)
{
	static const char *const words[] = {[PEN_HELD_SITE] = "site",
		[PEN_HELD_PROVIDER] = "provider",
		[PEN_HELD_SOURCE] = "source",
		[PEN_HELD_SOURCE_AT_SITE] = "source at site",
		[PEN_HELD_SOURCE_AT_PROVIDER] = "source at provider",
		[PEN_HELD_POOL] = "pool",
		[PEN_HELD_TENANT] = "tenant",
		[PEN_HELD_CAMPAIGN] = "campaign",
		[PEN_HELD_DOMAIN] = "domain",
		[PEN_HELD_WARMUP] = "warmup"};

	return words[h];
}

static bool show_limit(void *ctx, const struct pen_limit_view *v)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s}", "holder", holder_word(v->holder), "name",
		v->name, "limit", v->limit, "value", v->value, "used", (json_int_t)v->used, "by",
		v->by);
	pen_time_us now = pen_clock_mono();

	if (v->release != PEN_TIME_NEVER)
		json_object_set_new(o, "next_release_in",
			json_real(
				v->release > now ? (double)(v->release - now) / PEN_US_PER_S : 0));
	json_array_append_new(ctx, o);
	return json_array_size(ctx) < 5000;
}

static bool show_suspension(void *ctx, const struct pen_suspension *s)
{
	struct show *show = ctx;
	struct pen_span name = pen_span_cstr(show->found);

	if ((s->scope == PEN_SUSPEND_SITE && pen_span_ieq(s->name, name)) ||
		(s->at.n > 0 && pen_span_ieq(s->at, name)))
		json_array_append_new(show->suspensions, suspension_json(s));
	return true;
}

static void run_show(struct verb_call *v)
{
	struct show s = {.g = v->g, .parts = json_array(), .suspensions = json_array()};
	const char *name = verb_text(v, "name");

	s.name = pen_span_cstr(name != NULL ? name : "");
	if (s.name.n > 0)
		pen_sched_sites(v->g->sched, show_part, &s);
	if (json_array_size(s.parts) == 0) {
		json_decref(s.parts);
		json_decref(s.suspensions);
		verb_error(v, "%.100s: no such site now; penstock site list shows those there are",
			name != NULL ? name : "");
		return;
	}
	json_t *result = json_pack("{s:s,s:s,s:o}", "site", s.found, "provider",
		s.shape != NULL ? pen_shape_site_provider(s.shape) : "", "parts", s.parts);
	if (s.shape != NULL) {
		json_t *limits = json_array();
		pen_shape_site_view(v->g->shape, s.shape, pen_clock_mono(), show_limit, limits);
		json_object_set_new(result, "limits", limits);
		pen_shape_suspensions(v->g->shape, show_suspension, &s);
		json_object_set(result, "suspensions", s.suspensions);
		pen_shape_site_put(v->g->shape, s.shape);
	}
	json_decref(s.suspensions);
	verb_answer(v, result);
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_list);

	if (v != NULL)
		verb_post(v);
}

static void on_show(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct verb_call *v = verb_new(ctx, c, req, run_show);

	if (v != NULL)
		verb_post(v);
}

int site_verbs_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {{"site.list", on_list}, {"site.show", on_show}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
