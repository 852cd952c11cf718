// SPDX-License-Identifier: BSD-3-Clause

// What holds mail that is due, in a sentence; and how a site is shown.
#include "core.h"
#include "ways.h"
#include "why.h"

#include <stdarg.h>
#include <stdio.h>

#define WALK_MAX 100000 // places in a queue that are counted, for people

uint8_t entry_shown(const struct entry *e)
{
	bool resolving = e->state == ENTRY_WAITING && (e->ware.at & WARE_PLACE) == WARE_NEXTHOP;

	return resolving ? ENTRY_ACTIVE : e->state;
}

static void __attribute__((format(printf, 5, 6))) say(struct pen_why *out, enum pen_why_code code,
	const char *word, pen_wall_us until, const char *format, ...)
{
	va_list ap;

	out->code = code;
	out->word = word;
	out->until = until;
	va_start(ap, format);
	vsnprintf(out->text, sizeof(out->text), format, ap);
	va_end(ap);
}

static pen_wall_us wall_at(const struct pen_sched *s, pen_time_us at)
{
	return at == PEN_TIME_NEVER ? 0 : s->wall + (at - s->now);
}

static struct pen_span site_title(const struct site *site)
{
	return site->shape != NULL ? pen_shape_site_name(site->shape)
				   : pen_span(site->key, site->key_len);
}

static void say_block(struct pen_sched *s, const struct pen_shape_block *b, struct pen_why *out)
{
	pen_shape_block_text(b, s->now, s->wall, out->text, sizeof(out->text));
	out->code = PEN_WHY_SHAPING;
	out->word = b->reason == PEN_WHY_SUSPENDED ? "suspended" : "limit";
	out->until = wall_at(s, b->until);
	snprintf(out->holder, sizeof(out->holder), "%s", b->name);
}

static void why_nexthop(const struct nexthop *nh, struct pen_why *out)
{
	struct pen_span name =
		pen_span(nh->name + nh->transport_len, (size_t)(nh->len - nh->transport_len));

	say(out, PEN_WHY_RESOLVING, "resolving", 0, "the hosts of %.*s are being looked up",
		PEN_SPAN_ARG(name));
}

// A recipient's domain is suspended; the message may not have been moved for it yet.
static bool why_held(
	struct pen_sched *s, const struct entry *e, const struct job *j, struct pen_why *out)
{
	struct pen_shape_block b;

	for (uint32_t i = 0; i < (j != NULL ? j->nrcpt : 1); i++) {
		uint32_t rcpt = j != NULL ? j->rcpt[i] : out->rcpt;
		if (!rcpt_held(s, pen_recipient_addr(&e->m->rcpt[rcpt]), &b))
			continue;
		out->rcpt = rcpt;
		say_block(s, &b, out);
		return true;
	}
	return false;
}

bool pen_sched_held(struct pen_sched *s, struct pen_span addr, char *out, size_t cap)
{
	struct pen_shape_block b;

	out[0] = '\0';
	if (!rcpt_held(s, addr, &b))
		return false;
	pen_shape_block_text(&b, s->now, s->wall, out, cap);
	return true;
}

// Transactions before it in its own flow.
static uint32_t place_of(const struct flow *f, const struct ware *w)
{
	uint32_t n = 0;

	for (struct link *i = f->returned.next; i != &f->returned && n < WALK_MAX; i = i->next) {
		if (i == &w->link)
			return n;
		n++;
	}
	for (struct link *i = f->queue.next; i != &f->queue && i != &w->link && n < WALK_MAX;
		i = i->next) {
		const struct ware *v = LINK_OF(i, struct ware, link);
		const struct job *j = ware_is_job(v) ? LINK_OF(v, struct job, ware) : NULL;
		n += j != NULL && j->pile != NULL ? j->pile->work.left : 1;
	}
	return n;
}

static void why_turn(struct pen_sched *s, const struct site *site, const struct flow *f,
	const struct ware *w, struct pen_why *out)
{
	struct pen_span name = site_title(site);
	uint32_t flows = flow_count(site);
	uint32_t ahead = place_of(f, w);
	if (site->nleases == 0 && s->nleases >= s->cfg.lease_limit) {
		say(out, PEN_WHY_LEASES, "connections", 0,
			"all %u connections of the gateway are in use", s->cfg.lease_limit);
	} else if (ahead == 0 && flows <= 1) {
		say(out, PEN_WHY_TURN, "turn", 0,
			"it is next for %.*s, which has %u of %u connections and is opening %u",
			PEN_SPAN_ARG(name), site->nready, site_window(s, site), site->nopening);
	} else {
		say(out, PEN_WHY_TURN, "turn", 0,
			"%u transactions of its own flow are ahead, and %u of %u other flows share "
			"the %u connections to %.*s",
			ahead, site->queued - f->n, flows > 0 ? flows - 1 : 0, site_window(s, site),
			PEN_SPAN_ARG(name));
	}
}

// The sentence in out->text, with the hosts that are known to be dead.
static void name_dead(const struct pen_sched *s, const struct site *site, struct pen_why *out)
{
	static const char lead[] = "; dead: ";
	size_t n = strlen(out->text);

	if (n + sizeof(lead) < sizeof(out->text) &&
		way_text(s, site, out->text + n + sizeof(lead) - 1,
			sizeof(out->text) - n - (sizeof(lead) - 1)) > 0)
		memcpy(out->text + n, lead, sizeof(lead) - 1);
}

void site_why_dead(struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct site *site = entry_site(s, e, out->rcpt);

	if (site != NULL)
		name_dead(s, site, out);
}

static void why_flow(
	struct pen_sched *s, const struct entry *e, const struct ware *w, struct pen_why *out)
{
	const struct flow *f = ware_flow(w);
	const struct site *site = f->site;
	struct pen_shape_block b;

	out->site = site_title(site);
	if (site->dead) {
		say(out, PEN_WHY_DEAD_SITE, "dead-site", wall_at(s, site->dead_until),
			"no host of %.*s could be reached: %s", PEN_SPAN_ARG(out->site),
			site->why != NULL ? site->why->text : "no reason kept");
		name_dead(s, site, out);
	} else if (site->rest_until > s->now) {
		say(out, PEN_WHY_DEAD_HOST, "dead-host", 0,
			"hosts of %.*s do not answer some of our addresses, and others have no "
			"room or are being asked",
			PEN_SPAN_ARG(out->site));
		name_dead(s, site, out);
	} else if (site->shape != NULL && !pen_shape_may_send(s->cfg.shape, site->shape,
						  f->owner->shape, e->m->content_len, s->now, &b)) {
		say_block(s, &b, out);
	} else if (site->shape != NULL && site->nready == 0 && site->nopening == 0 &&
		   !pen_shape_may_open(
			   s->cfg.shape, site->shape, site->pool, site->families, s->now, &b)) {
		say_block(s, &b, out);
	} else {
		why_turn(s, site, f, w, out);
	}
}

static const struct job *job_in(const struct entry *e, enum job_state state)
{
	const struct job *j = e->jobs;

	while (j != NULL && j->state != state)
		j = j->sibling;
	return j;
}

static void why_waiting(struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	if (why_held(s, e, NULL, out))
		return;
	switch (e->ware.at & WARE_PLACE) {
	case WARE_BACKLOG:
		say(out, PEN_WHY_RESOLVING, "resolving", 0,
			"%u next hops are being looked up; %u messages wait for that before or "
			"beside it",
			s->resolving.n, s->nbacklog - 1);
		return;
	case WARE_NEXTHOP:
		why_nexthop((const struct nexthop *)(e->ware.at & ~(uintptr_t)WARE_BITS), out);
		return;
	case WARE_FLOW:
		why_flow(s, e, &e->ware, out);
		return;
	}
}

void site_why(struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct job *j;

	if (e->state == ENTRY_WAITING && !s->stopping) {
		why_waiting(s, e, out);
	} else if ((j = job_in(e, JOB_FLYING)) != NULL) {
		out->rcpt = j->rcpt[0];
		out->site = site_title(j->site);
		say(out, PEN_WHY_MOVING, "moving", 0, "it is being sent to %.*s now",
			PEN_SPAN_ARG(out->site));
	} else if (s->stopping) {
		say(out, PEN_WHY_STOPPING, "stopping", 0, "the gateway is being stopped");
	} else if ((j = job_in(e, JOB_READY)) != NULL) {
		out->rcpt = j->rcpt[0];
		if (!why_held(s, e, j, out))
			why_flow(s, e, &j->ware, out);
	} else if ((j = job_in(e, JOB_RESOLVING)) != NULL) {
		out->rcpt = j->rcpt[0];
		if (!why_held(s, e, j, out))
			why_nexthop(j->nexthop, out);
	} else {
		say(out, PEN_WHY_MOVING, "moving", 0, "it is on its way through the scheduler");
	}
}

static bool blocked_by(struct pen_sched *s, struct site *site, struct pen_shape_block *b)
{
	if (site->shape == NULL)
		return false;
	return (pen_shape_waiting(&site->sender.shape) &&
		       !pen_shape_may_send(
			       s->cfg.shape, site->shape, s->nobody->shape, 0, s->now, b)) ||
	       (pen_shape_waiting(&site->opener.shape) &&
		       !pen_shape_may_open(
			       s->cfg.shape, site->shape, site->pool, site->families, s->now, b));
}

void site_view(struct pen_sched *s, struct site *site, struct pen_site_view *v,
	char text[PEN_WHY_TEXT_MAX])
{
	struct pen_shape_block b;

	*v = (struct pen_site_view){
		.key = pen_span(site->key, site->key_len),
		.queued = site->queued - site->waiting,
		.in_flight = site->in_flight,
		.leases = site->nleases,
		.leases_ready = site->nready,
		.leases_opening = site->nopening,
		.window = site_window(s, site),
		.dead_for = site->dead && site->dead_until > s->now ? site->dead_until - s->now : 0,
		.delivered = site->delivered,
		.deferred = site->deferred,
		.bounced = site->bounced,
		.name = site_title(site),
		.provider = PEN_SPAN_LIT(""),
		.pool = PEN_SPAN_LIT("default"),
		.waiting = site->waiting,
		.blocked = PEN_SPAN_LIT(""),
		.shape = site->shape,
		.handle = site,
	};
	v->flows = flow_count(site);
	if (site->why != NULL)
		v->reason = pen_span(site->why->text, site->why->text_len);
	if (site->shape == NULL)
		return;
	const struct pen_shape_config *cfg = pen_shape_config_of(s->cfg.shape);
	v->provider = pen_span_cstr(pen_shape_site_provider(site->shape));
	if (site->pool < cfg->npools)
		v->pool = pen_span_cstr(cfg->pool[site->pool].name);
	if (blocked_by(s, site, &b)) {
		size_t n = pen_shape_block_text(&b, s->now, s->wall, text, PEN_WHY_TEXT_MAX);
		v->blocked = pen_span(text, n < PEN_WHY_TEXT_MAX ? n : PEN_WHY_TEXT_MAX - 1);
		v->blocked_for = b.until == PEN_TIME_NEVER ? PEN_TIME_NEVER
				 : b.until > s->now        ? b.until - s->now
							   : 0;
	}
}
