// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <stdio.h>

struct viewer {
	struct pen_shape *sh;
	pen_limit_view_fn *fn;
	void *ctx;
	bool more;
};

static void show(struct viewer *v, struct pen_shape_node *n, unsigned limit, const char *value,
	uint64_t used, pen_time_us release, uint32_t line, bool shipped)
{
	struct pen_shape_block b;
	struct pen_limit_view out = {
		.limit = shape_limit_word[limit], .value = value, .used = used, .release = release};

	if (!v->more)
		return;
	shape_block(v->sh, n, PEN_WHY_CONNECTIONS, &b);
	shape_block_by(v->sh, n, line, shipped, &b);
	out.holder = b.holder;
	out.name = b.name;
	out.by = b.by;
	v->more = v->fn(v->ctx, &out);
}

static void show_node(struct viewer *v, struct pen_shape_node *n)
{
	struct pen_shape *sh = v->sh;
	bool owner = n->kind == PEN_HELD_TENANT || n->kind == PEN_HELD_CAMPAIGN;
	char text[PEN_RATE_STR_MAX];

	if ((n->flags & N_CALM) && n->calm_at <= sh->now)
		shape_node_calm(sh, n, 0, 0, false);
	if (n->flags & N_CONNS) {
		uint64_t used = owner ? n->msgs : n->conns;
		snprintf(text, sizeof(text), "%u", n->conns_max);
		show(v, n, LIMIT_CONNECTIONS, text, used,
			used < n->conns_max ? sh->now : PEN_TIME_NEVER, n->conns_line,
			n->conns_shipped);
	}
	for (unsigned m = 0; m < METERS; m++) {
		struct meter *l = n->lim[m];
		if (l == NULL)
			continue;
		show(v, n, LIMIT_CRATE + m, pen_rate_str(&l->rate, text),
			pen_meter_used(&l->m, &l->rate, sh->now),
			pen_meter_when(&l->m, &l->rate, sh->now, 1), l->line, l->shipped);
	}
	uint64_t cap;
	if ((n->flags & N_WARM) && shape_warm_cap(sh, container(n, struct at_node, node), &cap)) {
		struct at_node *a = container(n, struct at_node, node);
		snprintf(text, sizeof(text), "%llu/d", (unsigned long long)cap);
		show(v, n, LIMIT_MRATE, text, shape_warm_used(sh, a), shape_warm_when(sh, a),
			a->warm->line, false);
	}
	for (struct effect *e = n->extra; e != NULL; e = e->next) {
		if (e->ends > sh->now)
			show_node(v, &e->node);
	}
}

// What holds for one connection or transaction: nothing is used up.
static void show_each(struct viewer *v, struct pen_shape_site *site)
{
	const struct limit_set *set = &site->profile->limits;
	const struct pen_limits *l = pen_shape_site_limits(v->sh, site, v->sh->now);
	struct pen_limits now = *l;
	char text[32];

	for (unsigned bit = LIMIT_MESSAGES; bit <= LIMIT_TIME; bit++) {
		if ((now.given & (1u << bit)) == 0)
			continue;
		if (bit == LIMIT_TIME)
			snprintf(text, sizeof(text), "%llds",
				(long long)(now.connection_time / PEN_US_PER_S));
		else
			snprintf(text, sizeof(text), "%u",
				bit == LIMIT_RCPTS ? now.recipients : now.connection_messages);
		show(v, &site->node, bit, text, 0, v->sh->now, set->line[bit],
			(set->shipped >> bit & 1) != 0);
	}
}

void pen_shape_site_view(struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now,
	pen_limit_view_fn *fn, void *ctx)
{
	struct viewer v = {.sh = sh, .fn = fn, .ctx = ctx, .more = true};
	struct provider *pr = site->profile->provider;

	shape_clock(sh, now);
	show_node(&v, &site->node);
	show_each(&v, site);
	for (struct at_node *a = site->ats; a != NULL; a = a->next)
		show_node(&v, &a->node);
	if (pr != NULL) {
		show_node(&v, &pr->node);
		for (struct at_node *a = pr->ats; a != NULL; a = a->next)
			show_node(&v, &a->node);
	}
	for (uint32_t i = 0; i < sh->cfg->npools; i++)
		show_node(&v, &sh->pool[i].node);
	for (uint32_t i = 0; i < sh->cfg->nsources; i++)
		show_node(&v, &sh->source[i].node);
}

// ---- a block, as a sentence

#define RATE_TEXT_MAX (PEN_RATE_STR_MAX + 32)

static const char *holder_text(const struct pen_shape_block *b)
{
	static const char *const text[] = {[PEN_HELD_SITE] = "site ",
		[PEN_HELD_PROVIDER] = "provider ",
		[PEN_HELD_SOURCE] = "source ",
		[PEN_HELD_SOURCE_AT_SITE] = "at this site source ",
		[PEN_HELD_SOURCE_AT_PROVIDER] = "at this provider source ",
		[PEN_HELD_POOL] = "pool ",
		[PEN_HELD_TENANT] = "tenant ",
		[PEN_HELD_CAMPAIGN] = "campaign ",
		[PEN_HELD_DOMAIN] = "domain ",
		[PEN_HELD_WARMUP] = "the warm-up of source "};

	return text[b->holder];
}

static void until_text(
	const struct pen_shape_block *b, pen_time_us now, pen_wall_us wall, char *out, size_t cap)
{
	if (b->until == PEN_TIME_NEVER || b->until <= now) {
		out[0] = '\0';
		return;
	}
	int64_t s = (wall + (b->until - now)) / PEN_US_PER_S;
	if (b->until - now < SHAPE_DAY)
		snprintf(out, cap, ", until %02d:%02d:%02d UTC", (int)(s / 3600 % 24),
			(int)(s / 60 % 60), (int)(s % 60));
	else
		snprintf(out, cap, ", for %lld more hours",
			(long long)((b->until - now + 3600 * PEN_US_PER_S - 1) /
				    (3600 * PEN_US_PER_S)));
}

// "100/s messages", "5 messages a day".
static const char *rate_text(
	const struct pen_shape_block *b, const char *what, char out[RATE_TEXT_MAX])
{
	uint64_t per_second = b->period > 0 ? b->limit / (uint64_t)(b->period / PEN_US_PER_S) : 0;
	struct pen_rate r = {b->limit, b->period, per_second > 0 ? per_second : 1};
	char text[PEN_RATE_STR_MAX];

	if (b->period == 0)
		snprintf(out, RATE_TEXT_MAX, "%llu %s a day", (unsigned long long)b->limit, what);
	else
		snprintf(out, RATE_TEXT_MAX, "%s %s", pen_rate_str(&r, text), what);
	return out;
}

size_t pen_shape_block_text(
	const struct pen_shape_block *b, pen_time_us now, pen_wall_us wall, char *out, size_t cap)
{
	static const char *const rate[] = {[PEN_WHY_CONNECTION_RATE] = "connections",
		[PEN_WHY_MESSAGE_RATE] = "messages",
		[PEN_WHY_BYTE_RATE] = "bytes"};
	char value[RATE_TEXT_MAX];
	const char *by = b->by[0] != '\0' ? b->by : "egress.conf";
	bool owner = b->holder == PEN_HELD_TENANT || b->holder == PEN_HELD_CAMPAIGN;
	char until[64];
	int n;

	if (cap == 0)
		return 0;
	until_text(b, now, wall, until, sizeof(until));
	switch (b->reason) {
	case PEN_WHY_CONNECTIONS:
		n = snprintf(out, cap, "%s%s has its %llu %s (%s)%s", holder_text(b), b->name,
			(unsigned long long)b->limit, owner ? "deliveries" : "connections", by,
			until);
		break;
	case PEN_WHY_SUSPENDED:
		n = snprintf(out, cap, "%s%s is suspended by %s%s", holder_text(b), b->name, by,
			strstr(b->by, " until ") == NULL ? until : "");
		break;
	case PEN_WHY_NO_SOURCE:
		n = snprintf(out, cap,
			"pool %s has no source of the address family of these hosts (%s)", b->name,
			by);
		break;
	case PEN_WHY_SAVING:
		n = snprintf(out, cap, "%s%s waits until its use of a limit is on disk (%s)",
			holder_text(b), b->name, by);
		break;
	default:
		n = snprintf(out, cap, "%s%s has used its rate of %s (%s)%s", holder_text(b),
			b->name, rate_text(b, rate[b->reason], value), by, until);
	}
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
