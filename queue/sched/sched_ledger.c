// SPDX-License-Identifier: BSD-3-Clause
#include "sched_ledger.h"

#include "pen_err.h"

#include <stdlib.h>

struct arena { // of a shaping configuration
	struct pen_shape_source source[2];
	struct pen_shape_pool pool[2];
	struct {
		uint32_t source, weight;
	} member[3];
	struct pen_shape_owner tenant[LEDGER_TENANTS];
	struct pen_shape_rule rule;
};

static struct pen_rate rate(uint32_t count)
{
	return count == 0 ? (struct pen_rate){0, 0, 1}
			  : (struct pen_rate){count, LEDGER_PERIOD, count};
}

static void give(struct pen_limits *to, uint32_t what, bool really)
{
	if (really)
		to->given |= what;
}

static struct pen_limits site_limits(const struct ledger_limits *l)
{
	struct pen_limits out = {.connections = l->connections,
		.connection_rate = rate(l->connection_rate),
		.message_rate = rate(l->message_rate),
		.byte_rate = rate(l->byte_rate),
		.connection_messages = l->connection_messages,
		.recipients = l->recipients,
		.connection_time = l->connection_time};

	give(&out, PEN_LIMIT_CONNECTIONS, l->connections > 0);
	give(&out, PEN_LIMIT_CONNECTION_RATE, l->connection_rate > 0);
	give(&out, PEN_LIMIT_MESSAGE_RATE, l->message_rate > 0);
	give(&out, PEN_LIMIT_BYTE_RATE, l->byte_rate > 0);
	give(&out, PEN_LIMIT_CONNECTION_MESSAGES, l->connection_messages > 0);
	give(&out, PEN_LIMIT_RECIPIENTS, l->recipients > 0);
	give(&out, PEN_LIMIT_CONNECTION_TIME, l->connection_time > 0);
	return out;
}

static void set_tenants(struct arena *a, const struct ledger_limits *l)
{
	static const char *const names[LEDGER_TENANTS] = {"t0", "t1", "t2", "t3"};

	for (uint32_t i = 0; i < LEDGER_TENANTS; i++) {
		struct pen_limits limits = {
			.connections = l->tenant_connections, .message_rate = rate(l->tenant_rate)};
		give(&limits, PEN_LIMIT_CONNECTIONS, l->tenant_connections > 0);
		give(&limits, PEN_LIMIT_MESSAGE_RATE, l->tenant_rate > 0);
		a->tenant[i] = (struct pen_shape_owner){.name = names[i],
			.tenant = "",
			.weight = l->weight[i] > 0 ? l->weight[i] : 10,
			.pool = "",
			.limits = limits};
	}
}

// Two sources, as the world has them; pool "second" has the second only.
struct pen_shape_config *ledger_config(const struct ledger_limits *l)
{
	struct pen_shape_config *c = calloc(1, sizeof(*c));
	struct arena *a = calloc(1, sizeof(*a));

	PEN_ASSERT(c != NULL && a != NULL);
	for (uint32_t i = 0; i < 2; i++) {
		a->source[i] = (struct pen_shape_source){.name = i == 0 ? "s0" : "s1",
			.addr = pen_addr_ip4(0xc0000201 + i),
			.helo = ""};
		a->member[i].source = i;
		a->member[i].weight = 1;
	}
	a->member[2].source = 1;
	a->member[2].weight = 1;
	a->pool[0] = (struct pen_shape_pool){
		.name = "default", .nmembers = 2, .member = (void *)&a->member[0]};
	a->pool[1] = (struct pen_shape_pool){
		.name = "second", .nmembers = 1, .member = (void *)&a->member[2]};
	set_tenants(a, l);
	a->rule = (struct pen_shape_rule){.line = 7,
		.provider = "",
		.site = "",
		.pattern = "/end it/",
		.action = PEN_ACT_BOUNCE_QUEUE,
		.trigger = {0, 0, 1},
		.duration = PEN_US_PER_S};
	*c = (struct pen_shape_config){.defaults = {.name = "default", .limits = site_limits(l)},
		.nsources = 2,
		.source = a->source,
		.npools = 2,
		.pool = a->pool,
		.ntenants = LEDGER_TENANTS,
		.tenant = a->tenant,
		.nrules = 1,
		.rule = &a->rule,
		.arena = a};
	c->defaults.source_limits.connections = l->source_connections;
	give(&c->defaults.source_limits, PEN_LIMIT_CONNECTIONS, l->source_connections > 0);
	return c;
}

static uint32_t sometimes(struct pen_rand *r, uint32_t from, uint32_t below)
{
	return pen_rand_below(r, 2) == 0 ? 0 : from + (uint32_t)pen_rand_below(r, below);
}

struct ledger_limits ledger_random_limits(struct pen_rand *r)
{
	struct ledger_limits l = {.connections = sometimes(r, 1, 5),
		.source_connections = sometimes(r, 1, 3),
		.connection_rate = sometimes(r, 3, 10),
		.message_rate = sometimes(r, 5, 30),
		.connection_messages = sometimes(r, 1, 6),
		.recipients = sometimes(r, 1, 4),
		.tenant_rate = sometimes(r, 5, 30),
		.tenant_connections = sometimes(r, 1, 4),
		.connection_time = (pen_time_us)sometimes(r, 1, 30) * PEN_US_PER_S};

	for (uint32_t i = 0; i < LEDGER_TENANTS; i++)
		l.weight[i] = 1 + (uint32_t)pen_rand_below(r, 30);
	return l;
}

static struct ledger_meter *meter_new(void)
{
	return calloc(1, sizeof(struct ledger_meter));
}

// One more; at most `limit` in any period.
static void count(struct ledger_meter *m, pen_time_us now, uint32_t limit)
{
	PEN_ASSERT(m->n < sizeof(m->at) / sizeof(m->at[0]));
	m->at[m->n++] = now;
	while (m->at[m->first] <= now - LEDGER_PERIOD)
		m->first++;
	PEN_ASSERT(limit == 0 || m->n - m->first <= limit);
}

// The last one at that time never took place.
static void uncount(struct ledger_meter *m)
{
	if (m->n > m->first)
		m->n--;
}

static struct ledger_site *site_of(struct ledger *g, const struct pen_lease *l)
{
	const char *name = strchr(l->host[0].name, '.') + 1; // behind "mx1."
	uint32_t i = 0;

	while (i < LEDGER_SITES && g->site[i].opened != NULL && strcmp(g->site[i].name, name) != 0)
		i++;
	PEN_ASSERT(i < LEDGER_SITES);
	struct ledger_site *st = &g->site[i];
	if (st->opened == NULL) {
		snprintf(st->name, sizeof(st->name), "%s", name);
		st->opened = meter_new();
		st->begun = meter_new();
		st->done = meter_new();
	}
	return st;
}

static unsigned source_of(const struct pen_lease *l)
{
	return l->source.ip[3] == 1 ? 0 : 1;
}

static uint32_t lease_of(struct ledger *g, const struct pen_lease *l)
{
	uint32_t i = 0;

	while (i < WORLD_MAX && g->lease[i].l != l)
		i++;
	PEN_ASSERT(i < WORLD_MAX);
	return i;
}

static void on_opened(struct world *w, const struct pen_lease *l)
{
	struct ledger *g = w->watcher;
	struct ledger_site *st = site_of(g, l);
	const struct ledger_limits *is = &g->limits;
	uint32_t i = 0;

	PEN_ASSERT(!st->suspended);
	while (g->lease[i].l != NULL)
		i++;
	g->lease[i].l = l;
	g->lease[i].given = 0;
	g->lease[i].since = w->now;
	st->open++;
	st->from[source_of(l)]++;
	PEN_ASSERT(is->connections == 0 || st->open <= is->connections);
	PEN_ASSERT(is->source_connections == 0 || st->from[source_of(l)] <= is->source_connections);
	count(st->opened, w->now, is->connection_rate);
}

static void on_ended(struct world *w, const struct pen_lease *l)
{
	struct ledger *g = w->watcher;
	struct ledger_site *st = site_of(g, l);

	g->lease[lease_of(g, l)].l = NULL;
	st->open--;
	st->from[source_of(l)]--;
}

// The sender of the world's mail is "tN@x" when its tenant is tN.
static int tenant_of(const struct pen_delivery *d)
{
	return d->sender.n > 2 && d->sender.p[0] == 't' ? d->sender.p[1] - '0' : -1;
}

static void on_begun(struct world *w, const struct pen_delivery *d)
{
	struct ledger *g = w->watcher;
	struct ledger_site *st = site_of(g, d->lease);
	const struct ledger_limits *is = &g->limits;
	uint32_t i = lease_of(g, d->lease);
	int t = tenant_of(d);

	PEN_ASSERT(!st->suspended);
	count(st->begun, w->now, is->message_rate);
	st->flying++;
	g->lease[i].given++;
	PEN_ASSERT(is->connection_messages == 0 || g->lease[i].given <= is->connection_messages);
	PEN_ASSERT(is->connection_time == 0 || w->now - g->lease[i].since < is->connection_time);
	PEN_ASSERT(is->recipients == 0 || d->nrcpt <= is->recipients);
	for (uint32_t k = 0; k < d->nrcpt && g->domain[0] != '\0'; k++)
		PEN_ASSERT(memmem(d->rcpt[k].addr.p, d->rcpt[k].addr.n, g->domain,
				   strlen(g->domain)) == NULL);
	if (t < 0)
		return;
	PEN_ASSERT(!g->tenant[t].suspended);
	count(g->tenant[t].begun, w->now, is->tenant_rate);
	g->tenant[t].flying++;
	PEN_ASSERT(is->tenant_connections == 0 || g->tenant[t].flying <= is->tenant_connections);
}

static void on_done(struct world *w, const struct pen_delivery *d)
{
	struct ledger *g = w->watcher;
	struct ledger_site *st = site_of(g, d->lease);
	int t = tenant_of(d);

	st->flying--;
	if (st->carried > 0) { // begun under other limits, or as good as
		st->carried--;
		st->done->first = st->done->n;
	} else if (d->attempted) {
		count(st->done, w->now, g->limits.message_rate);
	}
	if (!d->attempted) {
		uncount(st->begun);
		g->lease[lease_of(g, d->lease)].given--;
	}
	if (t >= 0) {
		g->tenant[t].flying--;
		if (!d->attempted)
			uncount(g->tenant[t].begun);
	}
}

struct ledger *ledger_new(const struct ledger_limits *l)
{
	struct ledger *g = calloc(1, sizeof(*g));

	PEN_ASSERT(g != NULL);
	g->limits = *l;
	for (uint32_t i = 0; i < LEDGER_TENANTS; i++)
		g->tenant[i].begun = meter_new();
	return g;
}

void ledger_watch(struct world *w, struct ledger *g)
{
	static const struct world_watch watch = {on_opened, on_ended, on_begun, on_done};

	w->watch = &watch;
	w->watcher = g;
}

// Nothing was said about it until now.
static void forget(struct ledger_meter *m)
{
	m->first = m->n;
}

void ledger_reload(struct world *w, const struct ledger_limits *l)
{
	struct ledger *g = w->watcher;

	for (uint32_t i = 0; i < LEDGER_SITES && g->site[i].opened != NULL; i++) {
		struct ledger_site *st = &g->site[i];
		st->carried = st->flying;
		if (g->limits.connection_rate == 0)
			forget(st->opened);
		if (g->limits.message_rate == 0) {
			forget(st->begun);
			forget(st->done);
		}
	}
	for (uint32_t i = 0; i < LEDGER_TENANTS && g->limits.tenant_rate == 0; i++)
		forget(g->tenant[i].begun);
	g->limits = *l;
	PEN_ASSERT(pen_shape_apply(w->cfg.shape, ledger_config(l), w->now) == 0);
}

void ledger_free(struct ledger *g)
{
	for (uint32_t i = 0; i < LEDGER_SITES; i++) {
		free(g->site[i].opened);
		free(g->site[i].begun);
		free(g->site[i].done);
	}
	for (uint32_t i = 0; i < LEDGER_TENANTS; i++)
		free(g->tenant[i].begun);
	free(g);
}
