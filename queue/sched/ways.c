// SPDX-License-Identifier: BSD-3-Clause

// From which source which host of a site may be asked: what dead_hosts.h remembers,
// applied to a site and its pool.
//
// A connection leaves out the hosts that do not answer its source, as if they had
// failed for it; a source that reaches no host of the site is not chosen. When none
// reaches any, the site is dead until the first of them is due. Then one connection
// of the site asks, and the others wait for what it finds.
#include "ways.h"
#include "core.h"

#include <stdio.h>

#define REST PEN_US_PER_S // how soon a site without a way looks again, unless told
#define SHOWN 4           // dead hosts in a sentence

static struct dead_host_rules rules_of(const struct pen_sched *s)
{
	pen_time_us first = s->cfg.minimal_host_backoff_time;

	if (first == 0)
		first = s->cfg.retry.minimal_backoff_time / 5;
	return (struct dead_host_rules){
		.minimal = first > 0 ? first : 1, .maximal = s->cfg.maximal_host_backoff_time};
}

static const struct dead_host *find(const struct pen_sched *s, const struct pen_addr *source,
	const struct pen_addr *host, uint16_t port)
{
	const struct dead_host_key key = {.source = *source, .host = *host, .port = port};
	const struct dead_host_rules r = rules_of(s);

	return dead_hosts_find(s->dead, &r, &key, s->now);
}

bool way_to(const struct pen_sched *s, const struct site *site, const struct pen_addr *source,
	const struct site_host *h, bool *due)
{
	enum dead_host_state st = dead_host_state(find(s, source, &h->addr, h->port), s->now);

	*due = st == HOST_DUE;
	return st == HOST_ALIVE || (st == HOST_DUE && site->nprobing == 0);
}

bool way_from(const struct pen_sched *s, const struct site *site, uint32_t source)
{
	const struct pen_addr *from = &s->cfg.source[source].addr;
	bool due;

	if (dead_hosts_count(s->dead) == 0)
		return true;
	for (uint16_t i = 0; i < site->nhosts; i++) {
		if (site->host[i].addr.family == from->family &&
			way_to(s, site, from, &site->host[i], &due))
			return true;
	}
	return false;
}

// ---- all ways of a site

struct walk {
	// False stops. d: NULL when the host is alive.
	bool (*fn)(struct walk *w, const struct pen_addr *source, const struct site_host *h,
		const struct dead_host *d);
	const struct pen_sched *s;
};

static bool walk_source(struct walk *w, const struct site *site, uint32_t source)
{
	const struct pen_addr *from = &w->s->cfg.source[source].addr;

	for (uint16_t i = 0; i < site->nhosts; i++) {
		const struct site_host *h = &site->host[i];
		if (h->addr.family == from->family &&
			!w->fn(w, from, h, find(w->s, from, &h->addr, h->port)))
			return false;
	}
	return true;
}

static void walk_ways(struct walk *w, const struct site *site)
{
	const struct pen_shape_config *c =
		w->s->cfg.shape != NULL ? pen_shape_config_of(w->s->cfg.shape) : NULL;

	if (c == NULL || c->npools == 0) {
		for (uint32_t i = 0; i < w->s->cfg.nsources && walk_source(w, site, i); i++)
			;
		return;
	}
	const struct pen_shape_pool *p = &c->pool[site->pool < c->npools ? site->pool : 0];
	for (uint32_t i = 0; i < p->nmembers && walk_source(w, site, p->member[i].source); i++)
		;
}

struct survey {
	struct walk walk;
	bool any, open;                // ways at all; one that is not dead
	const struct dead_host *first; // of the dead ones, the first that is due
};

static bool survey_one(struct walk *w, const struct pen_addr *source, const struct site_host *h,
	const struct dead_host *d)
{
	struct survey *v = (struct survey *)w;

	(void)source;
	(void)h;
	v->any = true;
	v->open = dead_host_state(d, w->s->now) != HOST_DEAD;
	if (!v->open && (v->first == NULL || d->until < v->first->until))
		v->first = d;
	return !v->open;
}

static struct survey survey(const struct pen_sched *s, const struct site *site)
{
	struct survey v = {.walk = {survey_one, s}};

	walk_ways(&v.walk, site);
	return v;
}

bool way_left(const struct pen_sched *s, const struct site *site)
{
	return survey(s, site).open;
}

void way_no_source(struct pen_sched *s, struct site *site)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d};

	pen_dsn_set(&d, 4, 4, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"no source address for the address family of its hosts");
	site_die(s, site, &r);
}

static void die_of(struct pen_sched *s, struct site *site, const struct dead_host *h)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d};

	if (h->why != NULL) {
		pen_note_to_dsn(h->why, &d);
		snprintf(r.relay, sizeof(r.relay), "%s", pen_note_relay(h->why));
		r.mta_len = h->why->mta_len;
	} else {
		pen_dsn_set(&d, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
			"no host answers");
	}
	site_die_until(s, site, &r, h->until);
}

void way_none(struct pen_sched *s, struct site *site)
{
	struct survey v = survey(s, site);

	if (!v.any)
		way_no_source(s, site);
	else if (v.open || site->nleases > 0) // somebody asks, or a source is busy
		site_rest(s, site, s->now + REST);
	else
		die_of(s, site, v.first);
}

// ---- what a lease learns

static struct dead_host_key key_of(const struct pen_lease *l, uint8_t i)
{
	const struct pen_lease_host *h = &l->host[i];

	return (struct dead_host_key){
		.source = h->addr.family == PEN_FAMILY_IP6 ? l->source6 : l->source,
		.host = h->addr,
		.port = h->port};
}

void way_begin(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;

	l->planned_at = s->now;
	if (l->probes == 0)
		return;
	site->nprobing++;
	for (uint8_t i = 0; i < l->pub.nhosts; i++) {
		const struct dead_host_key key = key_of(&l->pub, i);
		if (l->probes & 1u << i)
			dead_hosts_probe(s->dead, &key, l->pub.id);
	}
}

// A session between the two speaks against the host being dead: it has enough of us.
static bool in_use(const struct lease *mine, const struct dead_host_key *key)
{
	const struct site *site = mine->pub.site;

	for (const struct link *i = site->leases.next; i != &site->leases; i = i->next) {
		const struct lease *l = LINK_OF(i, struct lease, in_site);
		if (l == mine || !l->ready || l->ended)
			continue;
		const struct dead_host_key have = key_of(&l->pub, l->pub.host_used);
		if (pen_addr_eq(&have.host, &key->host) && have.port == key->port &&
			pen_addr_eq(&have.source, &key->source))
			return true;
	}
	return false;
}

static const struct pen_note *reason(const struct pen_lease *l, uint8_t i)
{
	static const char *const words[PEN_HOST_ANSWERS] = {
		[PEN_HOST_UNTRIED] = "",
		[PEN_HOST_ANSWERED] = "",
		[PEN_HOST_TIMEOUT] = "Connection timed out",
		[PEN_HOST_REFUSED] = "Connection refused",
		[PEN_HOST_UNREACHABLE] = "Host is unreachable",
		[PEN_HOST_SILENT] = "lost before the initial server greeting",
		[PEN_HOST_BUSY] = "greeted with 421",
	};
	const struct pen_lease_host *h = &l->host[i];
	char addr[PEN_ADDR_STR_MAX];
	struct pen_dsn d;

	// Its own words, when they are still there.
	if (!l->ready && i == l->host_used && l->result.klass == 4 &&
		(l->result.stage == PEN_STAGE_CONNECT || l->result.stage == PEN_STAGE_GREETING))
		return pen_note_get(&l->result, "", 0);
	pen_dsn_set(&d, 4, 4, h->answer >= PEN_HOST_SILENT ? 2 : 1, PEN_SCOPE_SITE,
		PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT, "connect to %s[%s]:%u: %s", h->name,
		pen_addr_str(&h->addr, addr), h->port,
		words[h->answer < PEN_HOST_ANSWERS ? h->answer : 0]);
	return pen_note_get(&d, "", 0);
}

static void learn_failure(struct pen_sched *s, struct lease *l, uint8_t i)
{
	const struct dead_host_key key = key_of(&l->pub, i);
	const struct dead_host_rules r = rules_of(s);

	if (r.maximal == 0 || in_use(l, &key)) {
		dead_hosts_unprobe(s->dead, &key, l->pub.id);
		return;
	}
	dead_hosts_failed(s->dead, &r, &key, l->planned_at, s->now, reason(&l->pub, i));
	l->blamed = true;
}

void way_learn(struct pen_sched *s, struct lease *l)
{
	struct site *site = l->pub.site;
	bool answered = false;

	for (uint8_t i = 0; i < l->pub.nhosts; i++) {
		const struct dead_host_key key = key_of(&l->pub, i);
		switch ((enum pen_host_answer)l->pub.host[i].answer) {
		case PEN_HOST_UNTRIED:
			if (l->probes & 1u << i)
				dead_hosts_unprobe(s->dead, &key, l->pub.id);
			break;
		case PEN_HOST_ANSWERED:
			dead_hosts_answered(s->dead, &key);
			answered = true;
			break;
		default:
			learn_failure(s, l, i);
		}
	}
	// A host that speaks and lets nobody in is the site's trouble.
	l->blamed = l->blamed && !answered;
	site->nprobing -= l->probes != 0;
	l->probes = 0;
}

// ---- for people

static struct pen_dead_host_view view_of(const struct pen_sched *s, const struct pen_addr *source,
	const struct site_host *h, const struct dead_host *d)
{
	return (struct pen_dead_host_view){
		.source = source,
		.host = &h->addr,
		.name = h->tls->host,
		.port = h->port,
		.failures = d->failures,
		.probed = d->probe != 0,
		.dead_for = d->until > s->now ? d->until - s->now : 0,
		.reason =
			d->why != NULL ? pen_span(d->why->text, d->why->text_len) : pen_span("", 0),
	};
}

struct show {
	struct walk walk;
	pen_dead_host_view_fn *fn;
	void *ctx;
};

static bool show_one(struct walk *w, const struct pen_addr *source, const struct site_host *h,
	const struct dead_host *d)
{
	const struct show *show = (const struct show *)w;

	if (d == NULL)
		return true;
	struct pen_dead_host_view v = view_of(w->s, source, h, d);
	return show->fn(show->ctx, &v);
}

void pen_sched_dead_hosts(
	const struct pen_sched *s, const void *site, pen_dead_host_view_fn *fn, void *ctx)
{
	struct show show = {.walk = {show_one, s}, .fn = fn, .ctx = ctx};

	walk_ways(&show.walk, site);
}

struct pen_counter_set pen_sched_dead_hosts_counters(const struct pen_sched *s)
{
	return pen_dead_hosts_counter_set(dead_hosts_counters(s->dead));
}

struct text {
	const struct pen_sched *s;
	char *out;
	size_t cap, n;
	uint32_t shown;
};

static bool text_one(void *ctx, const struct pen_dead_host_view *v)
{
	struct text *t = ctx;
	char from[PEN_ADDR_STR_MAX], to[PEN_ADDR_STR_MAX], when[48];

	if (t->shown++ == SHOWN || t->n >= t->cap)
		return false;
	pen_wall_rfc5322(when, sizeof(when), t->s->wall + v->dead_for);
	t->n += (size_t)snprintf(t->out + t->n, t->cap - t->n, "%s%s[%s] from %s ",
		t->shown > 1 ? ", " : "", v->name, pen_addr_str(v->host, to),
		pen_addr_str(v->source, from));
	if (t->n < t->cap)
		t->n += (size_t)snprintf(t->out + t->n, t->cap - t->n,
			v->dead_for > 0 ? "until %s"
			: v->probed     ? "(asked again now)"
					: "(asked again next)",
			when);
	return true;
}

size_t way_text(const struct pen_sched *s, const struct site *site, char *out, size_t cap)
{
	struct text t = {.s = s, .out = out, .cap = cap};

	out[0] = '\0';
	if (dead_hosts_count(s->dead) == 0)
		return 0;
	pen_sched_dead_hosts(s, site, text_one, &t);
	if (t.shown > SHOWN && t.n < cap)
		t.n += (size_t)snprintf(out + t.n, cap - t.n, ", and others");
	return t.n < cap ? t.n : cap - 1;
}
