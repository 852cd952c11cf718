// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <stdio.h>

bool shape_node_init(struct pen_shape *sh, struct pen_shape_node *n, unsigned kind)
{
	memset(n, 0, sizeof(*n));
	n->kind = (uint8_t)kind;
	n->flags = N_FRESH;
	n->calm_at = PEN_TIME_NEVER;
	if (!shape_heap_reserve(sh, sh->nodes + 1))
		return false;
	sh->nodes++;
	return true;
}

static void meter_free(struct pen_shape *sh, struct pen_shape_node *n, unsigned which)
{
	struct meter *l = n->lim[which];

	if (l == NULL)
		return;
	if (l->longish) {
		*l->at = l->next;
		if (l->next != NULL)
			l->next->at = l->at;
	}
	n->lim[which] = NULL;
	shape_slab_put(&sh->meters, l);
}

void shape_node_fini(struct pen_shape *sh, struct pen_shape_node *n)
{
	PEN_ASSERT(n->q[Q_OPEN] == NULL && n->q[Q_SEND] == NULL);
	for (unsigned m = 0; m < METERS; m++)
		meter_free(sh, n, m);
	while (n->extra != NULL)
		shape_effect_end(sh, n->extra);
	sh->nodes--;
}

bool shape_node_busy(struct pen_shape *sh, struct pen_shape_node *n)
{
	if (n->conns + n->msgs > 0 || n->q[Q_OPEN] != NULL || n->q[Q_SEND] != NULL ||
		n->extra != NULL || n->lent || (n->flags & N_CALM) != 0)
		return true;
	for (unsigned m = 0; m < METERS; m++) {
		struct meter *l = n->lim[m];
		if (l != NULL && pen_meter_used(&l->m, &l->rate, sh->now) > 0)
			return true;
	}
	return false;
}

struct pen_span shape_node_name(const struct pen_shape *sh, const struct pen_shape_node *n)
{
	switch (n->kind) {
	case PEN_HELD_SITE:
		return pen_shape_site_name(container(n, const struct pen_shape_site, node));
	case PEN_HELD_PROVIDER:
		return pen_span_cstr(container(n, const struct provider, node)->name);
	case PEN_HELD_SOURCE:
		return pen_span_cstr(container(n, const struct source, node)->name);
	case PEN_HELD_SOURCE_AT_SITE:
	case PEN_HELD_SOURCE_AT_PROVIDER:
	case PEN_HELD_WARMUP:
		return pen_span_cstr(
			sh->source[container(n, const struct at_node, node)->source].name);
	case PEN_HELD_POOL:
		return pen_span_cstr(container(n, const struct pool, node)->name);
	case PEN_HELD_TENANT:
	case PEN_HELD_CAMPAIGN:
		return pen_span_cstr(container(n, const struct owner, node)->name);
	case NODE_EFFECT: {
		const struct effect *e = container(n, const struct effect, node);
		return shape_node_name(sh, e->on);
	}
	case NODE_LANE:
		return pen_span_cstr(container(n, const struct pool, lane.node)->name);
	}
	return PEN_SPAN_LIT("");
}

// ---- limits

static uint64_t inflight(const struct pen_shape_node *n, unsigned which)
{
	return which == M_CRATE ? n->dials : which == M_MRATE ? n->msgs : n->bytes;
}

static bool meter_set(struct pen_shape *sh, struct pen_shape_node *n, unsigned which,
	const struct pen_rate *rate, uint32_t line, bool shipped, bool fresh)
{
	struct meter *l = n->lim[which];

	if (l != NULL && (l->longish != (rate->period > SHAPE_SHORT))) {
		// The list of long ones and the reservation change: a new one.
		struct meter *was = l;
		n->lim[which] = NULL;
		if (!meter_set(sh, n, which, rate, line, shipped, true)) {
			n->lim[which] = was;
			return false;
		}
		l = n->lim[which];
		l->m = was->m;
		l->line = line;
		pen_meter_change(&l->m, &was->rate, rate, sh->now);
		if (l->longish)
			l->res.left = 0;
		n->lim[which] = was;
		meter_free(sh, n, which);
		n->lim[which] = l;
		return true;
	}
	if (l == NULL) {
		l = shape_slab_get(&sh->meters);
		if (l == NULL)
			return false;
		memset(l, 0, sizeof(*l));
		pen_meter_init(&l->m);
		l->m.newest = sh->now;
		l->m.open = inflight(n, which);
		l->node = n;
		l->which = (uint8_t)which;
		l->rate = *rate;
		l->longish = rate->period > SHAPE_SHORT;
		if (l->longish) {
			l->next = sh->longs;
			l->at = &sh->longs;
			if (l->next != NULL)
				l->next->at = &l->next;
			sh->longs = l;
			l->res.next = shape_chunk(rate->count);
			l->res.left = sh->confirmed && fresh ? l->res.next : 0;
			if (l->res.left == 0)
				sh->low = true;
		}
		n->lim[which] = l;
		shape_meter_restore(sh, l, fresh);
	} else if (memcmp(&l->rate, rate, sizeof(*rate)) != 0) {
		pen_meter_change(&l->m, &l->rate, rate, sh->now);
		if (!l->longish && rate->period > l->rate.period)
			pen_meter_fill(&l->m, rate, sh->now);
		if (l->res.left > shape_chunk(rate->count))
			l->res.left = shape_chunk(rate->count);
		l->rate = *rate;
	}
	l->line = line;
	l->shipped = shipped;
	l->width = (rate->period + PEN_METER_SLOTS - 2) / (PEN_METER_SLOTS - 1);
	l->simple = !l->longish && rate->burst >= rate->count && rate->count <= UINT32_MAX;
	return true;
}

static void limits_set(
	struct pen_shape *sh, struct pen_shape_node *n, const struct limit_set *set, bool fresh)
{
	const struct pen_rate *rate[METERS] = {
		&set->l.connection_rate, &set->l.message_rate, &set->l.byte_rate};

	n->flags &= (uint16_t) ~(N_CONNS | N_CRATE | N_MRATE | N_BRATE | N_RETRY);
	if (set->l.given & PEN_LIMIT_CONNECTIONS) {
		n->flags |= N_CONNS;
		n->conns_max = set->l.connections;
		n->conns_line = set->line[LIMIT_CONNECTIONS];
		n->conns_shipped = (set->shipped & PEN_LIMIT_CONNECTIONS) != 0;
	}
	for (unsigned m = 0; m < METERS; m++) {
		unsigned bit = LIMIT_CRATE + m;
		if ((set->l.given & (1u << bit)) == 0 || !pen_rate_limited(rate[m])) {
			meter_free(sh, n, m);
			continue;
		}
		bool shipped = (set->shipped & (1u << bit)) != 0;
		if (meter_set(sh, n, m, rate[m], set->line[bit], shipped, fresh))
			n->flags |= (uint16_t)(N_CRATE << m);
		else
			n->flags |= N_RETRY;
	}
}

// When nothing is said about back-off: hardly anything, but not nothing.
const struct limit_set shape_calm_default = {
	.l = {.given = PEN_LIMIT_CONNECTIONS | PEN_LIMIT_MESSAGE_RATE,
		.connections = 1,
		.message_rate = {60, 60 * PEN_US_PER_S, 1}},
};

static void calm_limits(struct pen_shape_node *n, struct limit_set *set, const struct limit_set *b)
{
	if ((n->flags & N_CALM) == 0)
		return;
	struct limit_set over = b->l.given != 0 ? *b : shape_calm_default;
	for (unsigned i = 0; i < 7; i++) // named by the rule that set it
		over.line[i] = 0;
	shape_limits_over_set(set, &over);
}

void shape_node_refresh(struct pen_shape *sh, struct pen_shape_node *n, bool fresh)
{
	struct limit_set set = {0};
	const struct pen_shape_owner *o;

	switch (n->kind) {
	case PEN_HELD_SITE: {
		const struct profile *p = container(n, struct pen_shape_site, node)->profile;
		set = p->limits;
		calm_limits(n, &set, &p->backoff);
		break;
	}
	case PEN_HELD_PROVIDER: {
		const struct provider *p = container(n, struct provider, node);
		set = p->limits;
		calm_limits(n, &set, &p->backoff);
		break;
	}
	case PEN_HELD_SOURCE:
		shape_limits_over(&set,
			&sh->cfg->source[container(n, struct source, node) - sh->source].limits, 0,
			false);
		break;
	case PEN_HELD_SOURCE_AT_SITE:
		set = ((struct pen_shape_site *)container(n, struct at_node, node)->where)
			      ->profile->source;
		break;
	case PEN_HELD_SOURCE_AT_PROVIDER:
		set = ((struct provider *)container(n, struct at_node, node)->where)->source;
		break;
	case PEN_HELD_POOL: {
		const struct pen_shape_pool *p =
			&sh->cfg->pool[container(n, struct pool, node) - sh->pool];
		shape_limits_over(&set, &p->limits, p->line, false);
		break;
	}
	case PEN_HELD_TENANT:
	case PEN_HELD_CAMPAIGN:
		o = container(n, struct owner, node)->cfg;
		if (o != NULL)
			shape_limits_over(&set, &o->limits, o->line, false);
		break;
	case NODE_EFFECT:
		set = container(n, struct effect, node)->limits;
		break;
	default:
		return;
	}
	limits_set(sh, n, &set, fresh || (n->flags & N_FRESH) != 0);
	if (n->q[Q_OPEN] != NULL || n->q[Q_SEND] != NULL)
		shape_event(sh, n);
}

void shape_node_calm(struct pen_shape *sh, struct pen_shape_node *n, pen_time_us until,
	uint32_t line, bool shipped)
{
	bool was = (n->flags & N_CALM) != 0;

	if (until > sh->now) {
		n->flags |= N_CALM;
		n->calm_at = until;
		n->calm_line = line;
		n->calm_shipped = shipped;
		if (was) {
			if (n->q[Q_OPEN] != NULL || n->q[Q_SEND] != NULL)
				shape_event(sh, n);
			return;
		}
	} else {
		n->flags &= (uint16_t)~N_CALM;
		n->calm_at = PEN_TIME_NEVER;
		if (!was)
			return;
	}
	shape_node_refresh(sh, n, false);
}

// ---- reservations

bool shape_reserved(const struct pen_shape *sh, const struct reserve *r, uint64_t n)
{
	return r->left >= n && (!sh->pending || r->next >= n);
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void shape_reserve_take(struct pen_shape *sh, struct reserve *r, uint64_t n, uint64_t limit)
{
	r->left = minus(r->left, n);
	if (sh->pending)
		r->next = minus(r->next, n);
	if ((sh->pending ? r->next : r->left) <= shape_chunk(limit) / 2)
		sh->low = true;
}

// ---- the question

void shape_by_line(char *out, size_t cap, uint32_t line, bool shipped)
{
	const char *file = shipped ? "provider-rules.conf" : "egress.conf";

	if (line != 0)
		snprintf(out, cap, "%s line %u", file, line);
	else
		snprintf(out, cap, "%s", file);
}

void shape_block_by(struct pen_shape *sh, struct pen_shape_node *n, uint32_t line, bool shipped,
	struct pen_shape_block *why)
{
	pen_time_us until =
		n->kind == NODE_EFFECT ? container(n, struct effect, node)->ends : n->calm_at;
	char at[64];

	if (n->kind != NODE_EFFECT && (line != 0 || (n->flags & N_CALM) == 0)) {
		shape_by_line(why->by, sizeof(why->by), line, shipped);
		return;
	}
	if (n->kind == NODE_EFFECT) {
		line = container(n, struct effect, node)->line;
		shipped = container(n, struct effect, node)->shipped;
	} else {
		line = n->calm_line;
		shipped = n->calm_shipped;
	}
	shape_by_line(at, sizeof(at), line, shipped);
	int64_t s = (until + sh->offset) / PEN_US_PER_S % 86400;
	snprintf(why->by, sizeof(why->by), "rule at %s until %02d:%02d:%02d", at, (int)(s / 3600),
		(int)(s / 60 % 60), (int)(s % 60));
}

void shape_block(struct pen_shape *sh, struct pen_shape_node *n, unsigned reason,
	struct pen_shape_block *why)
{
	struct pen_span name = shape_node_name(sh, n);
	unsigned kind = n->kind;

	memset(why, 0, offsetof(struct pen_shape_block, name));
	why->name[0] = why->by[0] = '\0';
	why->site = NULL;
	why->pool = 0;
	why->families = 0;
	why->need = 1;
	why->queue = Q_OPEN;
	if (kind == NODE_EFFECT)
		kind = container(n, struct effect, node)->on->kind;
	why->holder = kind <= PEN_HELD_WARMUP ? kind : PEN_HELD_POOL;
	why->reason = reason;
	why->node = n;
	why->until = PEN_TIME_NEVER;
	snprintf(why->name, sizeof(why->name), "%.*s", PEN_SPAN_ARG(name));
}

static bool owner_kind(const struct pen_shape_node *n)
{
	return n->kind == PEN_HELD_TENANT || n->kind == PEN_HELD_CAMPAIGN;
}

static bool refuse(struct pen_shape *sh, struct pen_shape_node *n, unsigned reason, unsigned q,
	uint64_t bytes, struct pen_shape_block *why)
{
	shape_block(sh, n, reason, why);
	why->queue = (uint8_t)q;
	why->need = bytes;
	why->until = shape_node_when(sh, n, q, bytes, 1);
	if (reason == PEN_WHY_CONNECTIONS) {
		why->limit = n->conns_max;
		why->used = owner_kind(n) ? n->msgs : n->conns;
		shape_block_by(sh, n, n->conns_line, n->conns_shipped, why);
		return false;
	}
	unsigned m = reason == PEN_WHY_CONNECTION_RATE ? M_CRATE
		     : reason == PEN_WHY_BYTE_RATE     ? M_BRATE
						       : M_MRATE;
	if (reason == PEN_WHY_SAVING) // the one that needs it
		m = q == Q_OPEN ? M_CRATE : n->lim[M_MRATE] == NULL ? M_BRATE : M_MRATE;
	if (n->lim[m] != NULL) {
		struct meter *l = n->lim[m];
		why->limit = l->rate.count;
		why->period = l->rate.period;
		why->used = pen_meter_used(&l->m, &l->rate, sh->now);
		shape_block_by(sh, n, l->line, l->shipped, why);
	}
	return false;
}

// What most meters are asked most of the time: within the newest slot, with room. The same
// as pen_meter_when and its like, without a call.
static inline bool room(const struct meter *l, pen_time_us now, uint64_t n)
{
	return l->simple && now < l->m.newest + l->width &&
	       l->m.used + l->m.open + n <= l->rate.count;
}

static bool meter_may(struct pen_shape *sh, struct pen_shape_node *n, unsigned m, unsigned q,
	uint64_t amount, uint64_t bytes, struct pen_shape_block *why)
{
	struct meter *l = n->lim[m];

	if (likely(room(l, sh->now, amount)))
		return true;
	if (pen_meter_when(&l->m, &l->rate, sh->now, amount) > sh->now)
		return refuse(sh, n, PEN_WHY_CONNECTION_RATE + m, q, bytes, why);
	if (l->longish && !shape_reserved(sh, &l->res, shape_cut(l, amount)))
		return refuse(sh, n, PEN_WHY_SAVING, q, bytes, why); // asks for it, too
	return true;
}

static bool suspended(struct pen_shape *sh, struct pen_shape_node *n, unsigned q,
	struct pen_shape_site *site, struct pen_shape_block *why)
{
	static const uint8_t scope[] = {[PEN_HELD_SITE] = PEN_SUSPEND_SITE,
		[PEN_HELD_SOURCE] = PEN_SUSPEND_SOURCE,
		[PEN_HELD_TENANT] = PEN_SUSPEND_TENANT,
		[PEN_HELD_CAMPAIGN] = PEN_SUSPEND_CAMPAIGN};

	if (!shape_suspended(sh, scope[n->kind], shape_node_name(sh, n), site, why))
		return false;
	why->queue = (uint8_t)q;
	return true;
}

static uint32_t credit(const struct pen_shape *sh, const struct pen_shape_node *n, unsigned q)
{
	return n->credit_of == sh->polls ? n->credit[q] : 0;
}

bool shape_node_may(struct pen_shape *sh, struct pen_shape_node *n, unsigned q, uint64_t bytes,
	struct pen_shape_site *site, struct pen_shape_block *why)
{
	unsigned flags = n->flags;

	if (unlikely(flags & (N_CALM | N_RETRY))) {
		if ((flags & N_CALM) && n->calm_at <= sh->now)
			shape_node_calm(sh, n, 0, 0, false);
		else if (flags & N_RETRY)
			shape_node_refresh(sh, n, false);
		flags = n->flags;
		if (flags & N_RETRY) {
			refuse(sh, n, PEN_WHY_SAVING, q, bytes, why);
			why->until = sh->now + SHAPE_RETRY;
			return false;
		}
	}
	if (unlikely(flags & N_SUSP) && suspended(sh, n, q, site, why))
		return false;
	// Whoever waits here is first, unless it is the asker's turn.
	if (unlikely(flags & (N_WAIT0 << q)) && !sh->in_wake && credit(sh, n, q) == 0)
		return refuse(sh, n, n->q[q]->reason, q, bytes, why);
	if (q == Q_OPEN) {
		if ((flags & N_CONNS) && n->conns >= n->conns_max && !owner_kind(n))
			return refuse(sh, n, PEN_WHY_CONNECTIONS, q, 1, why);
		if ((flags & N_CRATE) && !meter_may(sh, n, M_CRATE, q, 1, 1, why))
			return false;
	} else {
		if ((flags & N_CONNS) && owner_kind(n) && n->msgs >= n->conns_max)
			return refuse(sh, n, PEN_WHY_CONNECTIONS, q, bytes, why);
		if ((flags & N_MRATE) && !meter_may(sh, n, M_MRATE, q, 1, bytes, why))
			return false;
		if ((flags & N_BRATE) && !meter_may(sh, n, M_BRATE, q, bytes, bytes, why))
			return false;
	}
	if (unlikely(flags & N_WARM) &&
		!shape_warm_may(sh, container(n, struct at_node, node), why)) {
		why->queue = (uint8_t)q;
		return false;
	}
	struct effect *next;
	for (struct effect *e = flags & N_EXTRA ? n->extra : NULL; e != NULL; e = next) {
		next = e->next;
		if (e->ends <= sh->now)
			shape_effect_end(sh, e);
		else if (!shape_node_may(sh, &e->node, q, bytes, site, why))
			return false;
	}
	return true;
}

// Somebody waits for a reservation.
static void starve(struct pen_shape *sh, struct meter *l, uint64_t n)
{
	if (l->res.want < n)
		l->res.want = n;
	sh->low = sh->starved = true;
}

static pen_time_us meter_at(struct pen_shape *sh, struct meter *l, uint64_t n)
{
	pen_time_us at = pen_meter_when(&l->m, &l->rate, sh->now, n);

	if (at > sh->now || !l->longish || shape_reserved(sh, &l->res, shape_cut(l, n)))
		return at;
	starve(sh, l, shape_cut(l, n));
	return PEN_TIME_NEVER; // until it is saved
}

static pen_time_us later(pen_time_us a, pen_time_us b)
{
	return a > b ? a : b;
}

pen_time_us shape_node_when(
	struct pen_shape *sh, struct pen_shape_node *n, unsigned q, uint64_t bytes, uint64_t times)
{
	pen_time_us at = sh->now;

	if (n->kind == NODE_SUSPENSION)
		return container(n, const struct suspension, node)->ends;
	if (n->kind == NODE_RECALL)
		return sh->now;
	if (n->flags & N_RETRY)
		return sh->now + SHAPE_RETRY;
	if ((n->flags & N_CONNS) && (q == Q_OPEN) != owner_kind(n) &&
		(owner_kind(n) ? n->msgs : n->conns) + times > n->conns_max)
		at = PEN_TIME_NEVER;
	if (q == Q_OPEN && n->lim[M_CRATE] != NULL)
		at = later(at, meter_at(sh, n->lim[M_CRATE], times));
	if (q == Q_SEND && n->lim[M_MRATE] != NULL)
		at = later(at, meter_at(sh, n->lim[M_MRATE], times));
	if (q == Q_SEND && n->lim[M_BRATE] != NULL)
		at = later(at, meter_at(sh, n->lim[M_BRATE], bytes * times));
	if (n->flags & N_WARM)
		at = later(at, shape_warm_when(sh, container(n, struct at_node, node)));
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		at = later(at, shape_node_when(sh, &e->node, q, bytes, times));
	if (n->flags & N_CALM)
		at = pen_time_min(at, later(n->calm_at, sh->now));
	if (n->kind == NODE_EFFECT)
		at = pen_time_min(at, later(container(n, struct effect, node)->ends, sh->now));
	return at;
}
