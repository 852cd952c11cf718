// SPDX-License-Identifier: BSD-3-Clause
#include "mx_host.h"

#include "pen_buf.h"
#include "pen_err.h"

#include <stdio.h>
#include <stdlib.h>

// How long a result is used: bounds that keep neither a typo in a zone for days
// nor a lookup for every message.
#define TTL_MIN_S 5
#define TTL_MAX_S 3600
#define NEGATIVE_TTL_MAX_S 900
#define FAILURE_TTL_S 30

_Static_assert(MX_HOSTS_MAX *MX_ADDRS_MAX <= MX_PICKS_MAX, "every address can be a pick");

void mx_lower_ttl(struct mx *m, uint32_t ttl_s)
{
	if (ttl_s < m->ttl_s)
		m->ttl_s = ttl_s;
}

// no_address: hosts are known, but none has an address.
static void no_address(struct mx *m)
{
	static const char *const types[] = {
		[SLOT_A] = "A", [SLOT_AAAA] = "AAAA", [SLOT_NATIVE] = "host", [SLOT_CNAME] = ""};
	const struct mx_host *h = &m->host[0];

	if (m->from_mx)
		mx_warn(m, "no MX host for %.60s has a valid address record", m->nexthop.host);
	for (uint32_t i = 0; i < m->nhosts; i++) {
		if (m->host[i].preference < h->preference)
			h = &m->host[i];
	}
	for (uint32_t i = 0; i < m->nhosts; i++) {
		// What may work later weighs more than what is gone for good.
		if (m->host[i].soft) {
			h = &m->host[i];
			mx_fail(m, 4, 3, h->name, types[h->said], h->status);
			return;
		}
	}
	bool defer = m->from_mx && m->options.defer_if_no_address;
	mx_fail(m, defer ? 4 : 5, 4, h->name, types[h->said], h->status);
}

// add_picks takes the addresses in the order of sources, not of answers.
static void add_picks(struct mx *m, uint16_t i)
{
	const struct mx_host *h = &m->host[i];

	for (uint8_t source = 0; source < SLOTS_N; source++) {
		for (uint32_t k = 0; k < h->naddrs; k++) {
			if (h->addr[k].source != source)
				continue;
			m->pick[m->npicks++] = (struct mx_pick){.addr = h->addr[k].addr,
				.preference = h->preference,
				.host = i,
				.source = source};
		}
	}
}

static bool collect(struct mx *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->nhosts; i++)
		n += m->host[i].naddrs;
	m->pick = calloc(n > 0 ? n : 1, sizeof(m->pick[0]));
	if (m->pick == NULL)
		return false;
	for (uint32_t i = 0; i < m->nhosts; i++)
		add_picks(m, (uint16_t)i);
	return true;
}

static uint16_t best_host(const struct mx *m)
{
	uint16_t best = UINT16_MAX;

	for (uint32_t i = 0; i < m->nhosts; i++) {
		if (m->host[i].preference < best)
			best = m->host[i].preference;
	}
	return best;
}

static uint16_t best_pick(const struct mx *m)
{
	uint16_t best = UINT16_MAX;

	for (uint32_t i = 0; i < m->npicks; i++) {
		if (m->pick[i].preference < best)
			best = m->pick[i].preference;
	}
	return best;
}

// drop_self: we are a host of this next hop, so neither we nor what stands
// behind us may get its mail (RFC 5321 5.1). With another port it is another
// service of this machine.
static void drop_self(struct mx *m)
{
	uint16_t preference = 0, found = best_pick(m);

	if (m->nexthop.port != PEN_NEXTHOP_PORT ||
		!mx_pick_self(m->pick, m->npicks, m->options.own, &preference))
		return;
	m->self_removed = true;
	m->npicks = mx_pick_better(m->pick, m->npicks, preference);
	if (m->npicks > 0)
		return;
	if (found != best_host(m)) {
		pen_dsn_set(&m->dsn, 4, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"unable to find primary relay for %s", m->nexthop.host);
	} else {
		m->loops = true;
		pen_dsn_set(&m->dsn, 5, 4, 6, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"mail for %s loops back to myself", m->nexthop.host);
	}
}

static int by_host_name(const void *a, const void *b)
{
	return strcmp(((const struct mx_host *)a)->name, ((const struct mx_host *)b)->name);
}

void mx_finish(struct mx *m)
{
	m->state = STATE_DONE;
	// So that without a shuffle the order is the same whatever a server's is.
	qsort(m->host, m->nhosts, sizeof(m->host[0]), by_host_name);
	if (!collect(m)) {
		mx_give_up(m, "out of memory");
		return;
	}
	if (m->npicks == 0) {
		no_address(m);
		return;
	}
	drop_self(m);
	mx_pick_order(m->pick, m->npicks, &m->options.pick, &m->rand);
	m->npicks = mx_pick_limit(m->pick, m->npicks, &m->options.pick, PEN_LEASE_HOSTS_MAX);
}

// site_text: the hosts are sorted by name.
static char *site_text(const struct mx *m)
{
	struct pen_buf b = PEN_BUF_INIT;

	for (uint32_t i = 0; i < m->nhosts; i++)
		pen_buf_addf(&b, "%s%s", i > 0 ? "," : "", m->host[i].name);
	pen_buf_addf(&b, ":%u", m->nexthop.port);
	pen_buf_add(&b, "", 1);
	if (!b.failed)
		return (char *)b.p;
	pen_buf_fini(&b);
	return NULL;
}

static uint32_t clamp(uint32_t v, uint32_t lo, uint32_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static void write_host(const struct mx *m, const struct mx_pick *p, struct pen_dns_host *out)
{
	const struct mx_host *h = &m->host[p->host];

	snprintf(out->name, sizeof(out->name), "%s", h->name);
	out->addr = p->addr;
	out->port = m->nexthop.port;
	out->preference = h->preference;
	out->secure = h->secure[p->source];
	if (p->source > SLOT_AAAA || h->canonical[p->source][0] == '\0')
		return;
	snprintf(out->canonical, sizeof(out->canonical), "%s", h->canonical[p->source]);
	out->alias_secure = h->alias_secure && !out->secure;
}

// write_failure: what the operator chose as relay is never a reason to bounce.
static void write_failure(const struct mx *m, struct pen_dns_hosts *out)
{
	out->dsn = m->dsn;
	out->loops = m->loops;
	if (m->options.relayhost && m->dsn.klass == 5) {
		out->dsn.klass = 4;
		out->dsn.subject = 3;
		out->dsn.detail = 5;
		out->loops = false;
		snprintf(out->warning, sizeof(out->warning),
			"relayhost configuration problem: %.200s", m->dsn.text);
	}
	uint32_t most = out->dsn.klass == 4 ? FAILURE_TTL_S : NEGATIVE_TTL_MAX_S;
	out->ttl_s = clamp(m->ttl_s, TTL_MIN_S, most);
}

struct pen_dns_hosts *mx_take(struct mx *m)
{
	struct pen_dns_hosts *out = calloc(1, sizeof(*out));
	bool ok = m->dsn.klass == 0;

	PEN_ASSERT(m->state == STATE_DONE);
	if (out == NULL)
		return NULL;
	out->site = ok ? site_text(m) : strdup("");
	if (out->site == NULL) {
		free(out);
		return NULL;
	}
	out->from_mx = m->from_mx;
	out->mx_secure = m->from_mx && m->mx_secure;
	out->self_removed = m->self_removed;
	memcpy(out->domain_canonical, m->domain_canonical, sizeof(m->domain_canonical));
	memcpy(out->warning, m->warning, sizeof(out->warning));
	if (!ok) {
		write_failure(m, out);
		return out;
	}
	out->secure = m->mx_secure;
	for (uint32_t i = 0; i < m->npicks; i++) {
		struct pen_dns_host *h = &out->host[out->nhosts++];
		write_host(m, &m->pick[i], h);
		out->secure = out->secure && h->secure;
	}
	out->ttl_s = clamp(m->ttl_s, TTL_MIN_S, TTL_MAX_S);
	pen_dsn_set(&out->dsn, 2, 0, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "ok");
	return out;
}

void pen_dns_hosts_free(struct pen_dns_hosts *hosts)
{
	if (hosts != NULL)
		free(hosts->site);
	free(hosts);
}
