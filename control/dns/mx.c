// SPDX-License-Identifier: BSD-3-Clause
#include "mx_host.h"

#include "pen_err.h"

#include <stdio.h>
#include <stdlib.h>

static const char *status_text(enum pen_dns_status s)
{
	switch (s) {
	case PEN_DNS_NXDOMAIN:
		return "Host not found";
	case PEN_DNS_NODATA:
		return "Host found but no data record of requested type";
	case PEN_DNS_MALFORMED:
		return "Malformed or unexpected name server reply";
	case PEN_DNS_BOGUS:
		return "Host not found, try again (DNSSEC validation failed)";
	default:
		return "Host not found, try again";
	}
}

void mx_warn(struct mx *m, const char *fmt, ...)
{
	va_list ap;

	if (m->warning[0] != '\0')
		return; // the first is the most telling
	va_start(ap, fmt);
	vsnprintf(m->warning, sizeof(m->warning), fmt, ap);
	va_end(ap);
}

void mx_fail(struct mx *m, unsigned klass, unsigned detail, const char *name, const char *type,
	enum pen_dns_status status)
{
	pen_dsn_set(&m->dsn, klass, 4, detail, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"Host or domain name not found. Name service error for name=%s type=%s: %s", name,
		type, status_text(status));
	m->state = STATE_DONE;
}

void mx_give_up(struct mx *m, const char *text)
{
	pen_dsn_set(&m->dsn, 4, 4, 3, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"Host or domain name not found. Name service error for name=%s: %s",
		m->nexthop.host, text);
	m->npicks = 0;
	m->state = STATE_DONE;
}

static bool hosts_alloc(struct mx *m, uint32_t n)
{
	m->host = calloc(n, sizeof(m->host[0]));
	return m->host != NULL;
}

// add_host: NULL when the host is known already, at another preference.
static struct mx_host *add_host(struct mx *m, const char *name, uint16_t preference)
{
	for (uint32_t i = 0; i < m->nhosts; i++) {
		struct mx_host *h = &m->host[i];
		if (strcmp(h->name, name) != 0)
			continue;
		if (preference < h->preference)
			h->preference = preference;
		return NULL;
	}
	struct mx_host *h = &m->host[m->nhosts++];
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->preference = preference;
	return h;
}

static void begin_hosts(struct mx *m)
{
	m->state = STATE_HOSTS;
	for (uint32_t i = 0; i < m->nhosts; i++)
		mx_host_begin(m, &m->host[i]);
	if (m->pending == 0) // numeric hosts need no question
		mx_finish(m);
}

// use_domain: no MX, so the domain itself is the host (RFC 5321 5.1).
static void use_domain(struct mx *m)
{
	if (!hosts_alloc(m, 1)) {
		mx_give_up(m, "out of memory");
		return;
	}
	add_host(m, m->nexthop.host, 0);
	begin_hosts(m);
}

static void null_mx(struct mx *m, unsigned detail)
{
	pen_dsn_set(&m->dsn, 5, 1, detail, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_NONE,
		"Domain %s does not accept mail (nullMX)", m->nexthop.host);
	m->state = STATE_DONE;
}

static void add_mx(struct mx *m, const struct pen_dns_record *r)
{
	struct pen_addr addr;
	bool numeric = pen_addr_parse(&addr, pen_span_cstr(r->name)) == 0;

	if (r->bad_name && !numeric) {
		mx_warn(m, "%.60s has an MX record with a name that no host can have",
			m->nexthop.host);
		return;
	}
	struct mx_host *h = add_host(m, r->name, r->preference);
	if (!numeric)
		return;
	// A mistake in the zone, but its meaning is clear.
	mx_warn(m, "MX record of %.60s holds the address %.40s", m->nexthop.host, r->name);
	if (h != NULL)
		mx_host_known(h, &addr);
}

static void use_mx(struct mx *m, const struct pen_dns_answer *a)
{
	bool null = false;

	if (!hosts_alloc(m, a->n)) {
		mx_give_up(m, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < a->n; i++) {
		const struct pen_dns_record *r = &a->record[i];
		if (r->name[0] == '\0')
			null = true;
		else
			add_mx(m, r);
	}
	if (null && m->options.null_mx_postfix) {
		null_mx(m, 0);
	} else if (m->nhosts == 0 && null) {
		null_mx(m, 10);
	} else if (m->nhosts == 0) {
		mx_fail(m, 5, 4, m->nexthop.host, "MX", PEN_DNS_MALFORMED);
	} else {
		if (null)
			mx_warn(m, "%.60s has a null MX beside real ones, which are used",
				m->nexthop.host);
		m->from_mx = true;
		begin_hosts(m);
	}
}

static void on_mx(struct mx *m, const struct pen_dns_answer *a)
{
	mx_lower_ttl(m, a->ttl_s);
	m->mx_secure = a->secure;
	if (strcmp(a->canonical, a->name) != 0)
		snprintf(m->domain_canonical, sizeof(m->domain_canonical), "%s", a->canonical);
	switch (a->status) {
	case PEN_DNS_OK:
		use_mx(m, a);
		break;
	case PEN_DNS_NODATA:
		use_domain(m);
		break;
	case PEN_DNS_NXDOMAIN:
	case PEN_DNS_MALFORMED:
		mx_fail(m, 5, 4, m->nexthop.host, "MX", a->status);
		break;
	default:
		m->mx_secure = false;
		// A forged answer is no reason to do without.
		if (m->options.ignore_mx_lookup_error && a->status != PEN_DNS_BOGUS)
			use_domain(m);
		else
			mx_fail(m, 4, 3, m->nexthop.host, "MX", a->status);
		break;
	}
}

struct mx *mx_new(
	const struct pen_nexthop *nexthop, const struct mx_options *options, uint64_t seed)
{
	struct mx *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->nexthop = *nexthop;
	m->options = *options;
	m->ttl_s = UINT32_MAX;
	m->mx_secure = true;
	pen_rand_seed(&m->rand, seed);
	if (!nexthop->literal && !options->no_dns)
		return m;

	// Brackets: one host, and perhaps its address already.
	if (!hosts_alloc(m, 1)) {
		free(m);
		return NULL;
	}
	struct mx_host *h = add_host(m, nexthop->host, 0);
	if (nexthop->addr.family != PEN_FAMILY_NONE)
		mx_host_known(h, &nexthop->addr);
	begin_hosts(m);
	return m;
}

bool mx_next(struct mx *m, struct mx_query *query)
{
	if (m->state == STATE_MX) {
		m->state = STATE_MX_ASKED;
		*query = (struct mx_query){MX_QUERY_MX, PEN_DNS_MX, m->nexthop.host};
		return true;
	}
	for (uint32_t i = 0; m->state == STATE_HOSTS && m->open < MX_ASKED_MAX && i < m->nhosts;
		i++) {
		struct mx_host *h = &m->host[i];
		int slot = mx_host_next(h);
		if (slot < 0)
			continue;
		m->open++;
		query->id = MX_QUERY_HOST(i, slot);
		query->type = mx_slot_type(slot);
		query->name = h->name;
		return true;
	}
	return false;
}

void mx_answer(struct mx *m, uint32_t id, const struct pen_dns_answer *answer)
{
	if (m->state == STATE_MX_ASKED && id == MX_QUERY_MX) {
		on_mx(m, answer);
		return;
	}
	if (m->state != STATE_HOSTS || id == MX_QUERY_MX)
		return;
	PEN_ASSERT(MX_QUERY_INDEX(id) < m->nhosts && m->open > 0);
	m->open--;
	mx_lower_ttl(m, answer->ttl_s);
	mx_host_answer(m, &m->host[MX_QUERY_INDEX(id)], MX_QUERY_SLOT(id), answer);
	if (m->pending == 0)
		mx_finish(m);
}

bool mx_done(const struct mx *m)
{
	return m->state == STATE_DONE;
}

void mx_free(struct mx *m)
{
	if (m == NULL)
		return;
	free(m->host);
	free(m->pick);
	free(m);
}
