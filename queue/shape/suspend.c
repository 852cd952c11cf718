// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <errno.h>
#include <stdio.h>

// Suspensions are found by what they name; a node of that name has N_SUSP and asks. What
// waits hangs on the suspension itself.

static struct pen_span plain_name(enum pen_suspend_scope scope, struct pen_span name)
{
	while (scope == PEN_SUSPEND_DOMAIN && name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	return name;
}

static uint64_t hash_of(
	const struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name)
{
	return shape_hash(sh->seed + scope, name);
}

static struct suspension *next_named(
	struct hent *e, uint64_t hash, enum pen_suspend_scope scope, struct pen_span name)
{
	for (; e != NULL; e = e->next) {
		struct suspension *s = container(e, struct suspension, hent);
		if (e->hash == hash && s->scope == scope &&
			pen_span_ieq(pen_span_cstr(s->name), name))
			return s;
	}
	return NULL;
}

bool shape_suspension_named(
	const struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name)
{
	uint64_t h = hash_of(sh, scope, name);

	return next_named(shape_htab_chain(&sh->suspended, h), h, scope, name) != NULL;
}

static bool at_here(const struct suspension *s, const struct pen_shape_site *site)
{
	if (s->where[0] == '\0')
		return true;
	struct pen_span where = pen_span_cstr(s->where);
	return site != NULL &&
	       (pen_span_ieq(where, pen_shape_site_name(site)) ||
		       pen_span_ieq(where, pen_span_cstr(pen_shape_site_provider(site))));
}

static void block(struct pen_shape *sh, struct suspension *s, struct pen_shape_block *why)
{
	static const uint8_t holder[] = {[PEN_SUSPEND_SITE] = PEN_HELD_SITE,
		[PEN_SUSPEND_DOMAIN] = PEN_HELD_DOMAIN,
		[PEN_SUSPEND_TENANT] = PEN_HELD_TENANT,
		[PEN_SUSPEND_CAMPAIGN] = PEN_HELD_CAMPAIGN,
		[PEN_SUSPEND_SOURCE] = PEN_HELD_SOURCE};

	shape_block(sh, &s->node, PEN_WHY_SUSPENDED, why);
	why->holder = holder[s->scope];
	why->until = s->ends;
	snprintf(why->name, sizeof(why->name), "%s%s%s", s->name, s->where[0] != '\0' ? " at " : "",
		s->where);
	// "the operator: blocked at ...", "rule at egress.conf line 30 until 14:05:00"
	int n = snprintf(why->by, sizeof(why->by), "%s%s",
		strcmp(s->by, "operator") == 0 ? "the " : "", s->by);
	size_t at = n < 0 ? 0 : (size_t)n < sizeof(why->by) ? (size_t)n : sizeof(why->by) - 1;
	if (s->reason[0] != '\0')
		snprintf(why->by + at, sizeof(why->by) - at, ": %s", s->reason);
}

bool shape_suspended(struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name,
	struct pen_shape_site *site, struct pen_shape_block *why)
{
	uint64_t h = hash_of(sh, scope, name);
	struct suspension *s = next_named(shape_htab_chain(&sh->suspended, h), h, scope, name);

	for (; s != NULL; s = next_named(s->hent.next, h, scope, name)) {
		if (s->ends > sh->now && at_here(s, site)) {
			block(sh, s, why);
			return true;
		}
	}
	return false;
}

bool pen_shape_domain_open(
	struct pen_shape *sh, struct pen_span domain, pen_time_us now, struct pen_shape_block *why)
{
	shape_clock(sh, now);
	return sh->domain_suspensions == 0 ||
	       !shape_suspended(
		       sh, PEN_SUSPEND_DOMAIN, plain_name(PEN_SUSPEND_DOMAIN, domain), NULL, why);
}

// ---- setting

static void set_flag(struct pen_shape_node *n, bool on)
{
	if (on)
		n->flags |= N_SUSP;
	else
		n->flags &= (uint16_t)~N_SUSP;
}

// All nodes of that name: tenants' campaigns may be several.
static void flag_nodes(struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name)
{
	bool on = shape_suspension_named(sh, scope, name);

	if (scope == PEN_SUSPEND_SITE) {
		struct pen_shape_site *s = shape_site_find(sh, name);
		if (s != NULL)
			set_flag(&s->node, on);
	}
	for (uint32_t i = 0; scope == PEN_SUSPEND_SOURCE && i < sh->cfg->nsources; i++) {
		if (pen_span_ieq(pen_span_cstr(sh->source[i].name), name))
			set_flag(&sh->source[i].node, on);
	}
	unsigned kind = scope == PEN_SUSPEND_TENANT ? PEN_HELD_TENANT : PEN_HELD_CAMPAIGN;
	if (scope != PEN_SUSPEND_TENANT && scope != PEN_SUSPEND_CAMPAIGN)
		return;
	for (uint32_t i = 0; i <= sh->owners.mask; i++) {
		for (struct hent *e = sh->owners.bucket[i]; e != NULL; e = e->next) {
			struct owner *o = container(e, struct owner, hent);
			if (o->node.kind == kind && pen_span_ieq(pen_span_cstr(o->name), name))
				set_flag(&o->node, on);
		}
	}
}

static char *copy(struct pen_span s)
{
	char *p = malloc(s.n + 1);

	if (p != NULL) {
		if (s.n > 0)
			memcpy(p, s.p, s.n);
		p[s.n] = '\0';
	}
	return p;
}

static void set_text(char **at, struct pen_span s)
{
	char *p = copy(s);

	if (p == NULL)
		return; // the old one stays
	free(*at);
	*at = p;
}

struct suspension *shape_suspension_find(
	struct pen_shape *sh, const struct pen_suspension *p, bool rule)
{
	struct pen_span name = plain_name(p->scope, p->name);
	uint64_t h = hash_of(sh, p->scope, name);
	struct suspension *s = next_named(shape_htab_chain(&sh->suspended, h), h, p->scope, name);

	while (s != NULL && (s->rule != rule || !pen_span_ieq(pen_span_cstr(s->where), p->at)))
		s = next_named(s->hent.next, h, p->scope, name);
	return s;
}

static struct suspension *make(struct pen_shape *sh, const struct pen_suspension *p, bool rule)
{
	struct suspension *s = calloc(1, sizeof(*s));

	if (s == NULL || !shape_node_init(sh, &s->node, NODE_SUSPENSION)) {
		free(s);
		return NULL;
	}
	s->name = copy(plain_name(p->scope, p->name));
	s->where = copy(p->at);
	s->reason = copy(p->reason);
	s->by = copy(p->by);
	s->scope = p->scope;
	s->rule = rule;
	s->id = ++sh->next_id;
	s->next = sh->suspensions;
	s->at = &sh->suspensions;
	if (s->next != NULL)
		s->next->at = &s->next;
	sh->suspensions = s;
	if (s->name == NULL || s->where == NULL || s->reason == NULL || s->by == NULL) {
		s->hent.hash = 0;
		*s->at = s->next;
		if (s->next != NULL)
			s->next->at = s->at;
		shape_node_fini(sh, &s->node);
		free(s->name);
		free(s->where);
		free(s->reason);
		free(s->by);
		free(s);
		return NULL;
	}
	s->hent.hash = hash_of(sh, s->scope, pen_span_cstr(s->name));
	shape_htab_put(&sh->suspended, &s->hent);
	sh->domain_suspensions += s->scope == PEN_SUSPEND_DOMAIN;
	flag_nodes(sh, s->scope, pen_span_cstr(s->name));
	return s;
}

static pen_time_us mono(const struct pen_shape *sh, pen_wall_us until)
{
	return until == 0 ? PEN_TIME_NEVER : until - sh->offset;
}

struct suspension *shape_suspend(struct pen_shape *sh, const struct pen_suspension *p, bool rule)
{
	struct suspension *s = shape_suspension_find(sh, p, rule);

	if (s == NULL)
		s = make(sh, p, rule);
	else {
		set_text(&s->reason, p->reason);
		set_text(&s->by, p->by);
	}
	if (s == NULL)
		return NULL;
	s->until = p->until;
	s->ends = mono(sh, p->until);
	sh->dirty = true;
	shape_event(sh, &s->node);
	return s;
}

uint64_t pen_shape_suspend(struct pen_shape *sh, const struct pen_suspension *p, pen_time_us now)
{
	shape_clock(sh, now);
	struct suspension *s = shape_suspend(sh, p, false);
	return s != NULL ? s->id : 0;
}

void shape_suspension_end(struct pen_shape *sh, struct suspension *s)
{
	shape_recall(sh, &s->node);
	*s->at = s->next;
	if (s->next != NULL)
		s->next->at = s->at;
	shape_htab_remove(&sh->suspended, &s->hent);
	sh->domain_suspensions -= s->scope == PEN_SUSPEND_DOMAIN;
	flag_nodes(sh, s->scope, pen_span_cstr(s->name));
	shape_node_fini(sh, &s->node);
	if (s->scope == PEN_SUSPEND_SOURCE) { // its connections wait for any source
		for (uint32_t i = 0; i < sh->cfg->nsources; i++)
			shape_lane_event(sh, i);
	}
	free(s->name);
	free(s->where);
	free(s->reason);
	free(s->by);
	free(s);
	sh->dirty = true;
}

int pen_shape_resume(struct pen_shape *sh, uint64_t id, pen_time_us now)
{
	shape_clock(sh, now);
	for (struct suspension *s = sh->suspensions; s != NULL; s = s->next) {
		if (s->id == id) {
			shape_suspension_end(sh, s);
			return 0;
		}
	}
	return -ENOENT;
}

void pen_shape_suspensions(const struct pen_shape *sh, pen_suspension_fn *fn, void *ctx)
{
	for (const struct suspension *s = sh->suspensions; s != NULL; s = s->next) {
		struct pen_suspension p = {.id = s->id,
			.scope = s->scope,
			.name = pen_span_cstr(s->name),
			.at = pen_span_cstr(s->where),
			.reason = pen_span_cstr(s->reason),
			.by = pen_span_cstr(s->by),
			.until = s->until};
		if (s->ends > sh->now && !fn(ctx, &p))
			return;
	}
}

void shape_suspensions_sweep(struct pen_shape *sh)
{
	struct suspension *next;

	for (struct suspension *s = sh->suspensions; s != NULL; s = next) {
		next = s->next;
		if (s->ends <= sh->now)
			shape_suspension_end(sh, s);
	}
}

// The wall clock was set: what people gave as a time of day follows it.
void shape_wall_moved(struct pen_shape *sh)
{
	for (struct suspension *s = sh->suspensions; s != NULL; s = s->next) {
		s->ends = mono(sh, s->until);
		shape_event(sh, &s->node);
	}
}
