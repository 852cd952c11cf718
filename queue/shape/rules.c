// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <stdio.h>

// Rules: hits are counted per rule and place (site, provider, tenant at a site...), as
// times in a ring. A long trigger shares a place in the ring between several hits.

#define RING_MAX 256

// Where a rule's action takes place.
struct target {
	struct pen_shape_node *node; // for limits
	struct pen_span name;        // what a suspension names
	struct pen_span at;
	enum pen_suspend_scope scope;
	uint64_t key; // of the trigger
	bool valid;
};

static bool applies(
	const struct pen_shape *sh, const struct pen_shape_rule *r, const struct pen_shape_site *s)
{
	const struct profile *p = s->profile;

	if (r->provider[0] != '\0' &&
		(p->provider == NULL || strcasecmp(r->provider, p->provider->name) != 0))
		return false;
	if (r->site[0] == '\0')
		return true;
	for (uint32_t i = 0; i < p->nsections; i++) {
		if (strcasecmp(sh->cfg->site[p->section[i]].name, r->site) == 0)
			return true;
	}
	return false;
}

static struct target target_of(struct pen_shape *sh, const struct pen_shape_rule *r,
	struct pen_shape_site *s, int32_t source, const struct pen_shape_class *k)
{
	struct provider *pr = s->profile->provider;
	bool wide = r->provider[0] != '\0'; // it stands in a provider's section
	struct target t = {.node = &s->node, .at = pen_shape_site_name(s), .valid = true};

	switch (r->action) {
	case PEN_ACT_SUSPEND:
	case PEN_ACT_BOUNCE_QUEUE:
		t.scope = PEN_SUSPEND_SITE;
		t.name = t.at;
		t.at = PEN_SPAN_LIT("");
		break;
	case PEN_ACT_SUSPEND_TENANT:
		t.scope = PEN_SUSPEND_TENANT;
		t.valid = k != NULL && k->tenant != NULL;
		if (t.valid)
			t.name = pen_span_cstr(k->tenant->name);
		break;
	case PEN_ACT_SUSPEND_CAMPAIGN:
		t.scope = PEN_SUSPEND_CAMPAIGN;
		t.valid = k != NULL && k->campaign != NULL;
		if (t.valid)
			t.name = pen_span_cstr(k->campaign->name);
		break;
	case PEN_ACT_DISABLE_SOURCE:
		t.scope = PEN_SUSPEND_SOURCE;
		t.valid = source >= 0;
		if (t.valid)
			t.name = pen_span_cstr(sh->source[source].name);
		if (pr != NULL && r->site[0] == '\0')
			t.at = pen_span_cstr(pr->name);
		break;
	case PEN_ACT_BACKOFF:
		// A rule of no section uses the provider's set, if it has one.
		if (pr != NULL && r->site[0] == '\0' && (wide || pr->backoff.l.given != 0))
			t.node = &pr->node;
		break;
	case PEN_ACT_LIMIT:
		if (wide && pr != NULL)
			t.node = &pr->node;
		break;
	}
	uint64_t h = sh->seed + (uint64_t)(r - sh->cfg->rule);
	h = shape_hash(h, shape_node_name(sh, t.node));
	h = shape_hash(h ^ t.node->kind, t.at);
	t.key = shape_hash(h + t.scope, t.name);
	return t;
}

// ---- triggers

static struct trigger *trigger_get(
	struct pen_shape *sh, const struct pen_shape_rule *r, uint64_t key)
{
	uint32_t rule = (uint32_t)(r - sh->cfg->rule);

	for (struct hent *e = shape_htab_chain(&sh->triggers, key); e != NULL; e = e->next) {
		struct trigger *t = container(e, struct trigger, hent);
		if (e->hash == key && t->rule == rule)
			return t;
	}
	uint64_t count = r->trigger.count;
	uint32_t group = (uint32_t)((count + RING_MAX - 1) / RING_MAX);
	uint32_t cap = (uint32_t)((count + group - 1) / group);
	struct trigger *t = calloc(1, sizeof(*t) + cap * sizeof(t->hit[0]));
	if (t == NULL)
		return NULL;
	t->hent.hash = key;
	t->rule = rule;
	t->cap = cap;
	t->group = group;
	shape_htab_put(&sh->triggers, &t->hent);
	return t;
}

static void trigger_free(struct pen_shape *sh, struct trigger *t)
{
	shape_htab_remove(&sh->triggers, &t->hent);
	free(t);
}

// True: this hit is the one too many.
static bool hit(struct pen_shape *sh, const struct pen_shape_rule *r, uint64_t key)
{
	if (!pen_rate_limited(&r->trigger) || r->trigger.count <= 1)
		return true;
	struct trigger *t = trigger_get(sh, r, key);
	if (t == NULL || ++t->grouped < t->group)
		return false;
	t->grouped = 0;
	t->hit[t->at] = sh->now;
	t->at = (t->at + 1) % t->cap;
	if (t->n < t->cap)
		t->n++;
	if (t->n < t->cap || sh->now - t->hit[t->at] > r->trigger.period)
		return false;
	trigger_free(sh, t);
	return true;
}

void shape_triggers_sweep(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->triggers.mask; i++) {
		struct hent *next;
		for (struct hent *e = sh->triggers.bucket[i]; e != NULL; e = next) {
			struct trigger *t = container(e, struct trigger, hent);
			next = e->next;
			pen_time_us last = t->hit[(t->at + t->cap - 1) % t->cap];
			if (t->rule >= sh->cfg->nrules ||
				sh->now - last > sh->cfg->rule[t->rule].trigger.period)
				trigger_free(sh, t);
		}
	}
}

void shape_triggers_free(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->triggers.mask; i++) {
		while (sh->triggers.bucket[i] != NULL)
			trigger_free(sh, container(sh->triggers.bucket[i], struct trigger, hent));
	}
}

// ---- actions

static bool active(struct pen_shape *sh, const struct pen_shape_rule *r, const struct target *t)
{
	struct pen_suspension p = {.scope = t->scope, .name = t->name, .at = t->at};
	struct suspension *s;

	switch (r->action) {
	case PEN_ACT_BACKOFF:
		return (t->node->flags & N_CALM) && t->node->calm_at > sh->now;
	case PEN_ACT_LIMIT:
		for (struct effect *e = t->node->extra; e != NULL; e = e->next) {
			if (e->line == r->line && e->shipped == r->shipped && e->ends > sh->now)
				return true;
		}
		return false;
	case PEN_ACT_BOUNCE_QUEUE:
		return false;
	default:
		s = shape_suspension_find(sh, &p, true);
		return s != NULL && s->ends > sh->now;
	}
}

static void suspend(struct pen_shape *sh, const struct pen_shape_rule *r, const struct target *t,
	pen_time_us ends, const char *cause)
{
	char by[128], line[64];
	pen_wall_us until = ends + sh->offset;
	struct pen_suspension p = {.scope = t->scope, .name = t->name, .at = t->at, .until = until};
	struct suspension *s = shape_suspension_find(sh, &p, true);
	int64_t sec = until / PEN_US_PER_S % 86400;

	if (s != NULL && s->ends >= ends)
		return;
	shape_by_line(line, sizeof(line), r->line, r->shipped);
	snprintf(by, sizeof(by), "rule at %s until %02d:%02d:%02d", line, (int)(sec / 3600),
		(int)(sec / 60 % 60), (int)(sec % 60));
	p.by = pen_span_cstr(by);
	p.reason = pen_span_cstr(cause);
	shape_suspend(sh, &p, true);
}

static void act(struct pen_shape *sh, const struct pen_shape_rule *r, const struct target *t,
	const char *cause, struct pen_shape_effect *out)
{
	pen_time_us ends = r->duration < INT64_MAX / 4 ? sh->now + r->duration : PEN_TIME_NEVER / 4;

	switch (r->action) {
	case PEN_ACT_BOUNCE_QUEUE:
		out->bounce_queue = true;
		break;
	case PEN_ACT_BACKOFF:
		if ((t->node->flags & N_CALM) == 0 || t->node->calm_at < ends)
			shape_node_calm(sh, t->node, ends, r->line, r->shipped);
		sh->dirty = true;
		break;
	case PEN_ACT_LIMIT:
		shape_effect_set(sh, t->node, &r->limits, r->line, r->shipped, ends);
		break;
	default:
		suspend(sh, r, t, ends, cause);
	}
}

static void take_hit(struct pen_shape *sh, const struct pen_shape_rule *r, struct pen_shape_site *s,
	int32_t source, struct pen_shape_class *k, const char *cause, struct pen_shape_effect *out)
{
	if (!applies(sh, r, s))
		return;
	struct target t = target_of(sh, r, s, source, k);
	if (!t.valid)
		return;
	if (active(sh, r, &t)) {
		act(sh, r, &t, cause, out); // longer
		return;
	}
	if (!hit(sh, r, t.key))
		return;
	act(sh, r, &t, cause, out);
	out->rules++;
	out->line = r->line;
}

static int32_t source_of(const struct pen_shape_conn *c)
{
	if (c->family >= 0)
		return c->source[c->family != 0];
	return c->source[0] >= 0 ? c->source[0] : c->source[1];
}

void pen_shape_reply(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	const uint32_t *rule, uint32_t n, pen_time_us now, struct pen_shape_effect *out)
{
	shape_clock(sh, now);
	*out = (struct pen_shape_effect){0};
	for (uint32_t i = 0; i < n && c->site != NULL; i++) {
		if (rule[i] < sh->cfg->nrules)
			take_hit(sh, &sh->cfg->rule[rule[i]], c->site, source_of(c), k, "a reply",
				out);
	}
}

void pen_shape_signal(struct pen_shape *sh, struct pen_shape_conn *c, enum pen_shape_signal signal,
	uint32_t value, pen_time_us now, struct pen_shape_effect *out)
{
	static const char *const cause[PEN_SIGNAL_COUNT] = {"", "connections that time out",
		"refused connections", "connections reset", "zero windows", "retransmissions",
		"slow replies"};

	shape_clock(sh, now);
	*out = (struct pen_shape_effect){0};
	uint32_t n;
	const uint32_t *rule = shape_signal_rules(sh->index, signal, &n);
	for (uint32_t i = 0; i < n && c->site != NULL; i++) {
		const struct pen_shape_rule *r = &sh->cfg->rule[rule[i]];
		if ((signal == PEN_SIGNAL_RETRANSMITS || signal == PEN_SIGNAL_LATENCY) &&
			value < r->threshold)
			continue;
		take_hit(sh, r, c->site, source_of(c), NULL, cause[signal], out);
	}
}

void pen_shape_clear(struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now)
{
	struct provider *pr = site->profile->provider;
	struct suspension *next;

	shape_clock(sh, now);
	shape_node_calm(sh, &site->node, 0, 0, false);
	while (site->node.extra != NULL)
		shape_effect_end(sh, site->node.extra);
	if (pr != NULL) {
		shape_node_calm(sh, &pr->node, 0, 0, false);
		while (pr->node.extra != NULL)
			shape_effect_end(sh, pr->node.extra);
	}
	for (struct suspension *s = sh->suspensions; s != NULL; s = next) {
		struct pen_span here =
			s->where[0] != '\0' ? pen_span_cstr(s->where) : pen_span_cstr(s->name);
		next = s->next;
		if (s->rule && (pen_span_ieq(here, pen_shape_site_name(site)) ||
				       (pr != NULL && pen_span_ieq(here, pen_span_cstr(pr->name)))))
			shape_suspension_end(sh, s);
	}
	sh->dirty = true;
}
