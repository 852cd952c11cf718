// SPDX-License-Identifier: BSD-3-Clause

// suspend, resume, suspend.list: what operators (and rules) hold back.

#include "verb_call.h"

#define FOR_MAX (366LL * 86400)

static const char *const scopes[PEN_SUSPEND_SCOPES] = {[PEN_SUSPEND_SITE] = "site",
	[PEN_SUSPEND_DOMAIN] = "domain",
	[PEN_SUSPEND_TENANT] = "tenant",
	[PEN_SUSPEND_CAMPAIGN] = "campaign",
	[PEN_SUSPEND_SOURCE] = "source"};

json_t *suspension_json(const struct pen_suspension *s)
{
	json_t *o = json_pack("{s:I,s:s,s:o,s:o,s:o}", "id", (json_int_t)s->id, "scope",
		scopes[s->scope], "name", bytes_json(s->name), "reason", bytes_json(s->reason),
		"by", bytes_json(s->by));

	if (s->at.n > 0)
		json_object_set_new(o, "at", bytes_json(s->at));
	if (s->until != 0)
		json_object_set_new(o, "until", json_integer(s->until / PEN_US_PER_S));
	return o;
}

static bool read_scope(const char *word, enum pen_suspend_scope *out)
{
	for (unsigned i = 0; word != NULL && i < PEN_SUSPEND_SCOPES; i++) {
		if (strcmp(scopes[i], word) == 0) {
			*out = (enum pen_suspend_scope)i;
			return true;
		}
	}
	return false;
}

// A host alone is a site's name in another spelling: "mx.example" is "mx.example.".
static struct pen_span site_name(struct pen_span text, char out[PEN_SITE_NAME_MAX + 1])
{
	bool rolled = pen_span_find(text, '(') >= 0 || pen_span_find(text, ',') >= 0;

	if (rolled || text.n == 0 || text.n > 253)
		return text;
	return pen_span(out, pen_site_rollup(&text, 1, out));
}

struct names {
	char name[PEN_SITE_NAME_MAX + 1], at[PEN_SITE_NAME_MAX + 1];
};

// The scope, name and place that the arguments give. The spans point into them, or into *n.
static bool read_target(struct verb_call *v, struct pen_suspension *s, struct names *n)
{
	const char *name = verb_text(v, "name"), *at = verb_text(v, "at");

	if (!read_scope(verb_text(v, "scope"), &s->scope)) {
		verb_error(v, "scope: give site, domain, tenant, campaign or source");
		return false;
	}
	if (name == NULL || *name == '\0') {
		verb_error(v, "name: give the name of a %s", scopes[s->scope]);
		return false;
	}
	s->name = pen_span_cstr(name);
	s->at = pen_span_cstr(at != NULL ? at : "");
	if (s->scope == PEN_SUSPEND_SITE)
		s->name = site_name(s->name, n->name);
	// A provider's name has no dot.
	if (pen_span_find(s->at, '.') >= 0)
		s->at = site_name(s->at, n->at);
	if (s->at.n > 0 && (s->scope == PEN_SUSPEND_SITE || s->scope == PEN_SUSPEND_DOMAIN)) {
		verb_error(v, "at: a %s is one place already", scopes[s->scope]);
		return false;
	}
	return true;
}

static bool known_source(const struct pen_gateway *g, struct pen_span name)
{
	const struct pen_shape_config *c = pen_shape_config_of(g->shape);

	for (uint32_t i = 0; i < c->nsources; i++) {
		if (pen_span_eq(name, pen_span_cstr(c->source[i].name)))
			return true;
	}
	return false;
}

static void run_suspend(struct verb_call *v)
{
	json_t *seconds = json_object_get(v->args, "seconds");
	json_int_t for_s = json_integer_value(seconds);
	const char *reason = verb_text(v, "reason");
	struct pen_suspension s = {.by = PEN_SPAN_LIT("operator")};
	struct names names;

	if (v->g->shape == NULL) {
		verb_error(v, "nothing can be suspended: there is no shaping");
		return;
	}
	if (!read_target(v, &s, &names))
		return;
	if (reason == NULL || *reason == '\0' || strlen(reason) > 200) {
		verb_error(v, "reason: say why, in at most 200 bytes");
		return;
	}
	if (seconds != NULL && (!json_is_integer(seconds) || for_s < 1 || for_s > FOR_MAX)) {
		verb_error(v, "seconds: give 1 to %lld, or nothing", FOR_MAX);
		return;
	}
	if (s.scope == PEN_SUSPEND_SOURCE && !known_source(v->g, s.name)) {
		verb_error(v, "source %.64s: egress.conf has no such source", verb_text(v, "name"));
		return;
	}
	s.reason = pen_span_cstr(reason);
	s.until = seconds != NULL ? pen_clock_wall() + for_s * PEN_US_PER_S : 0;
	s.id = pen_shape_suspend(v->g->shape, &s, pen_clock_mono());
	if (s.id == 0)
		verb_error(v, "out of memory");
	else
		verb_answer(v, suspension_json(&s));
}

#define RESUME_MAX 64

struct resume {
	struct pen_suspension which;
	uint64_t id; // instead
	uint64_t found[RESUME_MAX];
	uint32_t n;
};

static bool matches(const struct resume *r, const struct pen_suspension *s)
{
	if (r->id != 0)
		return s->id == r->id;
	bool at = r->which.at.n == 0 || pen_span_ieq(s->at, r->which.at);
	return s->scope == r->which.scope && pen_span_ieq(s->name, r->which.name) && at;
}

static bool note_suspension(void *ctx, const struct pen_suspension *s)
{
	struct resume *r = ctx;

	if (matches(r, s))
		r->found[r->n++] = s->id;
	return r->n < RESUME_MAX;
}

struct clear {
	struct pen_gateway *g;
	struct pen_span name;
	uint32_t n;
};

// What rules did to the site ends with it.
static bool clear_site(void *ctx, const struct pen_site_view *view)
{
	struct clear *c = ctx;

	if (view->shape != NULL && pen_span_ieq(view->name, c->name)) {
		pen_shape_clear(c->g->shape, view->shape, pen_clock_mono());
		c->n++;
	}
	return true;
}

static void run_resume(struct verb_call *v)
{
	json_int_t id = json_integer_value(json_object_get(v->args, "id"));
	struct resume r = {.id = id > 0 ? (uint64_t)id : 0};
	struct names names;
	uint32_t done = 0;

	if (v->g->shape == NULL) {
		verb_error(v, "nothing is suspended: there is no shaping");
		return;
	}
	if (r.id == 0 && !read_target(v, &r.which, &names))
		return;
	pen_shape_suspensions(v->g->shape, note_suspension, &r);
	for (uint32_t i = 0; i < r.n; i++)
		done += pen_shape_resume(v->g->shape, r.found[i], pen_clock_mono()) == 0;
	struct clear c = {v->g, r.which.name, 0};
	if (r.id == 0 && r.which.scope == PEN_SUSPEND_SITE)
		pen_sched_sites(v->g->sched, clear_site, &c);
	if (done == 0 && c.n == 0) {
		if (r.id != 0)
			verb_error(v, "%lld: no such suspension", (long long)id);
		else
			verb_error(v, "%s %.100s: is not suspended", scopes[r.which.scope],
				verb_text(v, "name"));
		return;
	}
	verb_answer(
		v, json_pack("{s:I,s:b}", "resumed", (json_int_t)done, "rules_cleared", c.n > 0));
}

struct list {
	json_t *suspensions;
	uint32_t left;
};

static bool append_suspension(void *ctx, const struct pen_suspension *s)
{
	struct list *l = ctx;

	json_array_append_new(l->suspensions, suspension_json(s));
	return --l->left > 0;
}

static void run_list(struct verb_call *v)
{
	struct list l = {json_array(), 10000};

	if (v->g->shape != NULL)
		pen_shape_suspensions(v->g->shape, append_suspension, &l);
	verb_answer(v, json_pack("{s:o}", "suspensions", l.suspensions));
}

static void post(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run)
{
	struct verb_call *v = verb_new(g, c, req, run);

	if (v != NULL)
		verb_post(v);
}

static void on_suspend(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_suspend);
}

static void on_resume(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_resume);
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	post(ctx, c, req, run_list);
}

int suspend_verbs_register(struct pen_gateway *g)
{
	static const struct verb_row rows[] = {
		{"suspend", on_suspend}, {"resume", on_resume}, {"suspend.list", on_list}};

	return verb_register(g, rows, sizeof(rows) / sizeof(rows[0]));
}
