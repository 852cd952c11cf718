// SPDX-License-Identifier: BSD-3-Clause
#include "mx.h"

#include "pen_buf.h"
#include "pen_err.h"

#include <stdio.h>
#include <stdlib.h>

#define ADDRS_MAX 16
// How long a result is used: bounds that keep neither a typo in a zone for days
// nor a lookup for every message.
#define TTL_MIN_S 5
#define TTL_MAX_S 3600
#define NEGATIVE_TTL_MAX_S 900
#define FAILURE_TTL_S 30

#define QUERY_MX 0 // address queries have the id index + 1

struct host {
	char name[DNS_WIRE_NAME_MAX];
	uint16_t preference;
	bool asked, answered, secure;
	enum dns_status status;
	uint32_t naddrs;
	struct pen_addr addr[ADDRS_MAX];
};

enum mx_state { STATE_MX, STATE_MX_ASKED, STATE_HOSTS, STATE_DONE };

struct mx {
	enum mx_state state;
	struct pen_nexthop nexthop;
	struct mx_options options;
	struct pen_rand rand;
	struct pen_dsn dsn; // class 0 until the end
	char warning[sizeof(((struct pen_dns_hosts *)0)->warning)];
	uint32_t ttl_s;
	bool from_mx, mx_secure;
	uint32_t nhosts;
	uint32_t wave; // hosts before this index are asked for
	struct host host[MX_HOSTS_MAX];
};

struct mx *mx_new(
	const struct pen_nexthop *nexthop, const struct mx_options *options, uint64_t seed)
{
	struct mx *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->nexthop = *nexthop;
	m->options = *options;
	if (m->options.address_limit == 0 || m->options.address_limit > PEN_LEASE_HOSTS_MAX)
		m->options.address_limit = PEN_LEASE_HOSTS_MAX;
	m->ttl_s = TTL_MAX_S;
	m->mx_secure = true;
	pen_rand_seed(&m->rand, seed);
	if (!nexthop->literal)
		return m;

	// Brackets: one host, and perhaps its address already.
	struct host *h = &m->host[m->nhosts++];
	memcpy(h->name, nexthop->host, sizeof(h->name));
	m->state = STATE_HOSTS;
	m->wave = 1;
	if (nexthop->addr.family != PEN_FAMILY_NONE) {
		h->asked = h->answered = true;
		h->status = DNS_OK;
		h->addr[h->naddrs++] = nexthop->addr;
		m->state = STATE_DONE;
	}
	return m;
}

void mx_free(struct mx *m)
{
	free(m);
}

bool mx_done(const struct mx *m)
{
	return m->state == STATE_DONE;
}

bool mx_next(struct mx *m, struct mx_query *query)
{
	if (m->state == STATE_MX) {
		m->state = STATE_MX_ASKED;
		*query = (struct mx_query){QUERY_MX, DNS_TYPE_MX, m->nexthop.host};
		return true;
	}
	for (uint32_t i = 0; m->state == STATE_HOSTS && i < m->wave; i++) {
		if (m->host[i].asked)
			continue;
		m->host[i].asked = true;
		*query = (struct mx_query){i + 1, DNS_TYPE_A, m->host[i].name};
		return true;
	}
	return false;
}

static void lower_ttl(struct mx *m, const struct dns_answer *a)
{
	bool failed = a->status == DNS_FAIL || a->status == DNS_MALFORMED;
	uint32_t ttl = failed ? FAILURE_TTL_S : a->ttl_s;

	if (ttl < m->ttl_s)
		m->ttl_s = ttl;
}

static const char *status_text(enum dns_status s)
{
	switch (s) {
	case DNS_NXDOMAIN:
		return "Host not found";
	case DNS_NODATA:
		return "Host found but no data record of requested type";
	case DNS_MALFORMED:
		return "Malformed or unexpected name server reply";
	default:
		return "Host not found, try again";
	}
}

static void fail(struct mx *m, unsigned klass, unsigned detail, const char *name, const char *type,
	enum dns_status status)
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
	m->state = STATE_DONE;
}

static int by_preference_and_name(const void *a, const void *b)
{
	const struct host *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return strcmp(x->name, y->name);
}

// group_end returns the index behind the hosts that share the preference of i.
static uint32_t group_end(const struct mx *m, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < m->nhosts && m->host[end].preference == m->host[i].preference)
		end++;
	return end;
}

// The order of equals is drawn before the lookups, so that the few hosts that
// are asked for are a fair choice from a large group.
static void order_hosts(struct mx *m)
{
	qsort(m->host, m->nhosts, sizeof(m->host[0]), by_preference_and_name);
	for (uint32_t i = 0; m->options.randomize && i < m->nhosts;) {
		uint32_t end = group_end(m, i);
		for (uint32_t k = end - 1; k > i; k--) {
			uint32_t other = i + (uint32_t)pen_rand_below(&m->rand, k - i + 1);
			struct host t = m->host[k];
			m->host[k] = m->host[other];
			m->host[other] = t;
		}
		i = end;
	}
}

static struct host *find_host(struct mx *m, const char *name)
{
	for (uint32_t i = 0; i < m->nhosts; i++) {
		if (strcmp(m->host[i].name, name) == 0)
			return &m->host[i];
	}
	return NULL;
}

static void add_host(struct mx *m, const struct dns_data *d)
{
	struct host *h = find_host(m, d->name);

	if (h != NULL) {
		if (d->preference < h->preference)
			h->preference = d->preference;
		return;
	}
	_Static_assert(MX_HOSTS_MAX >= DNS_WIRE_DATA_MAX, "every record of an answer fits");
	h = &m->host[m->nhosts++];
	strcpy(h->name, d->name);
	h->preference = d->preference;
}

static void begin_hosts(struct mx *m)
{
	m->state = STATE_HOSTS;
	m->wave = m->options.address_limit < m->nhosts ? m->options.address_limit : m->nhosts;
}

// use_domain: no MX, so the domain itself is the host (RFC 5321 5.1).
static void use_domain(struct mx *m)
{
	struct host *h = &m->host[m->nhosts++];

	memcpy(h->name, m->nexthop.host, sizeof(h->name));
	begin_hosts(m);
}

// A numeric MX name is a mistake in the zone, but its meaning is clear.
static void take_numeric(struct host *h, struct pen_addr addr)
{
	h->addr[h->naddrs++] = addr;
	h->asked = h->answered = true;
	h->status = DNS_OK;
}

static void use_mx(struct mx *m, const struct dns_answer *a)
{
	const char *domain = m->nexthop.host;
	bool null_mx = false;

	for (uint32_t i = 0; i < a->n; i++) {
		const struct dns_data *d = &a->data[i];
		struct pen_addr addr;
		bool numeric = pen_addr_parse(&addr, pen_span_cstr(d->name)) == 0;
		if (d->name[0] == '\0') {
			null_mx = true;
		} else if (numeric) {
			add_host(m, d);
			struct host *h = find_host(m, d->name);
			if (h->naddrs == 0)
				take_numeric(h, addr);
			snprintf(m->warning, sizeof(m->warning),
				"MX record of %.60s holds the address %.40s", domain, d->name);
		} else if (!d->bad_name) {
			add_host(m, d);
		}
	}
	if (m->nhosts == 0 && null_mx) {
		pen_dsn_set(&m->dsn, 5, 1, 10, PEN_SCOPE_SITE, PEN_ORIGIN_PEER, PEN_STAGE_NONE,
			"Domain %s does not accept mail (nullMX)", domain);
		m->state = STATE_DONE;
		return;
	}
	if (m->nhosts == 0) {
		fail(m, 5, 4, domain, "MX", DNS_MALFORMED);
		return;
	}
	if (null_mx)
		snprintf(m->warning, sizeof(m->warning),
			"%.60s has a null MX beside real ones, which are used", domain);
	m->from_mx = true;
	order_hosts(m);
	begin_hosts(m);
}

static void on_mx(struct mx *m, const struct dns_answer *a)
{
	lower_ttl(m, a);
	m->mx_secure = a->secure;
	switch (a->status) {
	case DNS_OK:
		use_mx(m, a);
		break;
	case DNS_NODATA:
		use_domain(m);
		break;
	case DNS_NXDOMAIN:
		fail(m, 5, 4, m->nexthop.host, "MX", DNS_NXDOMAIN);
		break;
	case DNS_MALFORMED:
		fail(m, 5, 4, m->nexthop.host, "MX", DNS_MALFORMED);
		break;
	default:
		m->mx_secure = false;
		if (m->options.ignore_mx_lookup_error)
			use_domain(m);
		else
			fail(m, 4, 3, m->nexthop.host, "MX", DNS_FAIL);
		break;
	}
}

// no_address: hosts are known, but none has an address.
static void no_address(struct mx *m)
{
	for (uint32_t i = 0; i < m->nhosts; i++) {
		// What may work later weighs more than what is gone for good.
		if (m->host[i].status == DNS_FAIL) {
			fail(m, 4, 3, m->host[i].name, "A", DNS_FAIL);
			return;
		}
	}
	bool defer = m->from_mx && m->options.defer_if_no_address;
	fail(m, defer ? 4 : 5, 4, m->host[0].name, "A", m->host[0].status);
}

// check_wave: when all that were asked have answered, there are enough
// addresses, or more hosts to ask, or neither.
static void check_wave(struct mx *m)
{
	uint32_t addrs = 0;

	for (uint32_t i = 0; i < m->wave; i++) {
		if (!m->host[i].answered)
			return;
		addrs += m->host[i].naddrs;
	}
	if (addrs < m->options.address_limit && m->wave < m->nhosts) {
		uint32_t more = m->options.address_limit - addrs;
		m->wave = more < m->nhosts - m->wave ? m->wave + more : m->nhosts;
		check_wave(m); // numeric hosts need no question
		return;
	}
	if (addrs == 0)
		no_address(m);
	else
		m->state = STATE_DONE;
}

void mx_answer(struct mx *m, uint32_t id, const struct dns_answer *answer)
{
	if (m->state == STATE_MX_ASKED && id == QUERY_MX) {
		on_mx(m, answer);
		if (m->state == STATE_HOSTS)
			check_wave(m);
		return;
	}
	if (m->state != STATE_HOSTS || id == QUERY_MX)
		return;
	PEN_ASSERT(id <= m->nhosts);
	struct host *h = &m->host[id - 1];
	if (h->answered)
		return;
	h->answered = true;
	h->status = answer->status;
	h->secure = answer->secure;
	lower_ttl(m, answer);
	for (uint32_t i = 0; i < answer->n && h->naddrs < ADDRS_MAX; i++)
		h->addr[h->naddrs++] = answer->data[i].addr;
	check_wave(m);
}

struct pick {
	const struct host *host;
	const struct pen_addr *addr;
};

static void append(struct mx *m, struct pen_dns_hosts *out, const struct pick *p)
{
	if (out->nhosts >= m->options.address_limit)
		return;
	for (uint32_t i = 0; i < out->nhosts; i++) {
		if (pen_addr_eq(&out->host[i].addr, p->addr))
			return;
	}
	struct pen_dns_host *h = &out->host[out->nhosts++];
	memcpy(h->name, p->host->name, sizeof(h->name));
	h->addr = *p->addr;
	h->port = m->nexthop.port;
	h->preference = p->host->preference;
	h->secure = p->host->secure;
	out->secure = out->secure && p->host->secure;
}

// pick_group orders the addresses of one preference.
static void pick_group(struct mx *m, struct pen_dns_hosts *out, uint32_t from, uint32_t to)
{
	struct pick pick[MX_HOSTS_MAX * ADDRS_MAX];
	uint32_t n = 0;

	for (uint32_t i = from; i < to && i < m->wave; i++) {
		for (uint32_t k = 0; k < m->host[i].naddrs; k++)
			pick[n++] = (struct pick){&m->host[i], &m->host[i].addr[k]};
	}
	for (uint32_t k = n; m->options.randomize && k > 1; k--) {
		uint32_t other = (uint32_t)pen_rand_below(&m->rand, k);
		struct pick t = pick[k - 1];
		pick[k - 1] = pick[other];
		pick[other] = t;
	}
	for (uint32_t k = 0; k < n; k++)
		append(m, out, &pick[k]);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *site_text(const struct mx *m)
{
	const char *name[MX_HOSTS_MAX];
	struct pen_buf b = PEN_BUF_INIT;

	for (uint32_t i = 0; i < m->nhosts; i++)
		name[i] = m->host[i].name;
	qsort(name, m->nhosts, sizeof(name[0]), by_text);
	for (uint32_t i = 0; i < m->nhosts; i++)
		pen_buf_addf(&b, "%s%s", i > 0 ? "," : "", name[i]);
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

struct pen_dns_hosts *mx_take(struct mx *m)
{
	struct pen_dns_hosts *out = calloc(1, sizeof(*out));

	PEN_ASSERT(m->state == STATE_DONE);
	if (out == NULL)
		return NULL;
	out->dsn = m->dsn;
	out->from_mx = m->from_mx;
	memcpy(out->warning, m->warning, sizeof(out->warning));
	bool ok = m->dsn.klass == 0;
	out->site = ok ? site_text(m) : strdup("");
	if (out->site == NULL) {
		free(out);
		return NULL;
	}
	if (!ok) {
		uint32_t most = m->dsn.klass == 4 ? FAILURE_TTL_S : NEGATIVE_TTL_MAX_S;
		out->ttl_s = clamp(m->ttl_s, TTL_MIN_S, most);
		return out;
	}
	out->secure = m->mx_secure;
	for (uint32_t i = 0, end; i < m->nhosts; i = end) {
		end = group_end(m, i);
		pick_group(m, out, i, end);
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
