// SPDX-License-Identifier: BSD-3-Clause
#include "resolver.h"

#include "dns_wire.h"
#include "pen_err.h"
#include "pen_log.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unbound-event.h>
#include <unbound.h>

PEN_LOG_TYPE("control.dns");

// No more than this part of dns_concurrency is used to repeat questions.
#define PREFETCH_SHARE 4

const char *pen_dns_status_name(enum pen_dns_status s)
{
	static const char *const names[] = {
		[PEN_DNS_OK] = "ok",
		[PEN_DNS_NODATA] = "nodata",
		[PEN_DNS_NXDOMAIN] = "nxdomain",
		[PEN_DNS_FAILED] = "failed",
		[PEN_DNS_BOGUS] = "bogus",
		[PEN_DNS_MALFORMED] = "malformed",
	};

	return names[s];
}

static struct lookups *list_of(struct lookup *l)
{
	struct pen_dns *d = l->dns;

	switch (l->state) {
	case LOOKUP_FRESH:
		return &d->fresh;
	case LOOKUP_WAITING:
		return &d->waiting;
	case LOOKUP_RUNNING:
		return &d->in_flight;
	default:
		return &d->answered;
	}
}

static void move(struct lookup *l, enum lookup_state state)
{
	TAILQ_REMOVE(list_of(l), l, link);
	l->state = state;
	TAILQ_INSERT_TAIL(list_of(l), l, link);
}

struct lookup *lookup_new(struct pen_dns *d, const char *name, uint16_t type)
{
	struct lookup *l = calloc(1, sizeof(*l));
	size_t n = strlen(name);

	if (l == NULL)
		return NULL;
	if (n > 0 && name[n - 1] == '.')
		n--;
	l->dns = d;
	l->type = type;
	l->state = LOOKUP_WAITING;
	if (n < sizeof(l->name)) {
		for (size_t i = 0; i < n; i++)
			l->name[i] = (char)tolower((unsigned char)name[i]);
		// What is in the cache does not wait behind what is not.
		if (d->nlookups < 2 * d->concurrency &&
			hot_names_fresh(d->hot, l->name, type, pen_clock_mono()))
			l->state = LOOKUP_FRESH;
	} else {
		l->status = PEN_DNS_MALFORMED; // no such name can exist
		l->state = LOOKUP_ANSWERED;
	}
	TAILQ_INSERT_TAIL(list_of(l), l, link);
	return l;
}

static void lookup_free(struct lookup *l)
{
	free((void *)(uintptr_t)l->packet.p);
	free(l);
}

// forget_asker leaves nobody who waits for the answer.
static void forget_asker(struct lookup *l)
{
	if (l->fn != NULL) {
		TAILQ_REMOVE(&l->dns->asked, l, asked);
		l->dns->nasked--;
	}
	if (l->request != NULL)
		TAILQ_REMOVE(&l->request->asked, l, asked);
	l->fn = NULL;
	l->request = NULL;
}

void lookup_orphan(struct lookup *l)
{
	forget_asker(l);
	if (l->state == LOOKUP_RUNNING)
		return;
	TAILQ_REMOVE(list_of(l), l, link);
	lookup_free(l);
}

static void count(struct pen_dns *d, const struct dns_answer *a)
{
	uint64_t *const by_status[] = {
		[PEN_DNS_OK] = &d->counters.answers,
		[PEN_DNS_NODATA] = &d->counters.nodata,
		[PEN_DNS_NXDOMAIN] = &d->counters.nxdomain,
		[PEN_DNS_FAILED] = &d->counters.failures,
		[PEN_DNS_BOGUS] = &d->counters.bogus,
		[PEN_DNS_MALFORMED] = &d->counters.malformed,
	};

	PEN_COUNT(*by_status[a->a.status]);
	if (a->odd == 0)
		return;
	PEN_COUNT_N(d->counters.cname_loops, (a->odd & DNS_ODD_CNAMES) != 0);
	PEN_COUNT_N(d->counters.records_cut, (a->odd & DNS_ODD_RECORDS) != 0);
	PEN_COUNT_N(d->counters.bad_names, (a->odd & DNS_ODD_NAME) != 0);
	PEN_COUNT_N(d->counters.txt_cut, (a->odd & DNS_ODD_TXT) != 0);
	PEN_COUNT_N(d->counters.tlsa_cut, (a->odd & DNS_ODD_TLSA) != 0);
}

static void remember(const struct lookup *l, const struct pen_dns_answer *a)
{
	bool known = a->status == PEN_DNS_OK || a->status == PEN_DNS_NODATA ||
		     a->status == PEN_DNS_NXDOMAIN;

	if (known && l->type != MX_TYPE_NATIVE)
		hot_names_seen(l->dns->hot, l->name, l->type, a->ttl_s,
			l->fn != NULL || l->request != NULL, pen_clock_mono());
}

// answer ends a lookup. The callback may ask more, which then waits.
static void answer(struct lookup *l, const struct pen_dns_answer *a)
{
	struct request *q = l->request;
	pen_dns_query_fn *fn = l->fn;

	TAILQ_REMOVE(list_of(l), l, link);
	if (l->state == LOOKUP_RUNNING)
		l->dns->nlookups--;
	remember(l, a);
	forget_asker(l);
	if (q != NULL)
		request_answered(q, l->id, a);
	else if (fn != NULL)
		fn(l->ctx, a);
	lookup_free(l);
}

static void answer_none(struct lookup *l, enum pen_dns_status status)
{
	struct dns_answer *a = l->dns->scratch;

	dns_answer_none(a, l->name, status);
	count(l->dns, a);
	answer(l, &a->a);
}

static void answer_packet(struct lookup *l, struct pen_span packet, bool secure)
{
	struct dns_answer *a = l->dns->scratch;

	dns_wire_parse(a, packet, l->name, l->type);
	a->a.secure = secure && !l->dns->no_trust &&
		      (a->a.status == PEN_DNS_OK || a->a.status == PEN_DNS_NODATA ||
			      a->a.status == PEN_DNS_NXDOMAIN);
	count(l->dns, a);
	answer(l, &a->a);
}

void lookup_deliver(struct lookup *l)
{
	if (l->status == PEN_DNS_OK)
		answer_packet(l, l->packet, l->secure);
	else
		answer_none(l, l->status);
}

// answer_later keeps what came inside the call that asked.
static void answer_later(
	struct lookup *l, enum pen_dns_status status, struct pen_span packet, bool secure)
{
	if (l->state == LOOKUP_RUNNING)
		l->dns->nlookups--;
	l->status = status;
	if (status == PEN_DNS_OK) {
		uint8_t *copy = malloc(packet.n);
		if (copy != NULL)
			l->packet = pen_span(memcpy(copy, packet.p, packet.n), packet.n);
		else
			l->status = PEN_DNS_FAILED;
		l->secure = secure;
	}
	move(l, LOOKUP_ANSWERED);
	resolver_kick(l->dns);
}

// The sixth argument of libunbound's callback explains a bogus answer; it may
// run inside ub_resolve_event.
static void on_answer(
	void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int was_ratelimited)
{
	struct lookup *l = arg;
	struct pen_dns *d = l->dns;
	struct pen_span bytes = {0};
	enum pen_dns_status status = PEN_DNS_FAILED;

	(void)was_ratelimited;
	// A bogus answer comes with its data and rcode 0: this test is the first.
	if (sec == 1) {
		status = PEN_DNS_BOGUS;
		pen_info("DNSSEC: %s: %s", l->name,
			why_bogus != NULL ? why_bogus : "validation failed");
	} else if (packet != NULL && len > 0 && (rcode == 0 || rcode == 3)) {
		status = PEN_DNS_OK;
		bytes = pen_span(packet, (size_t)len);
	}
	if (d->resolving) {
		PEN_COUNT_N(d->counters.cached, status == PEN_DNS_OK);
		answer_later(l, status, bytes, sec == 2);
		return;
	}
	if (status == PEN_DNS_OK)
		answer_packet(l, bytes, sec == 2);
	else
		answer_none(l, status);
	resolver_kick(d);
}

static void on_native(void *ctx, struct native_job *job)
{
	struct lookup *l = ctx;
	struct pen_dns *d = l->dns;
	struct dns_answer *a = d->scratch;

	dns_answer_none(a, l->name, job->status);
	for (uint32_t i = 0; i < job->n && i < DNS_WIRE_DATA_MAX; i++)
		a->record[a->a.n++] = (struct pen_dns_record){.name = "", .addr = job->addr[i]};
	a->a.ttl_s = job->status == PEN_DNS_OK ? NATIVE_TTL_S : a->a.ttl_s;
	PEN_COUNT_N(d->counters.native_failures, job->status != PEN_DNS_OK);
	answer(l, &a->a);
	resolver_kick(d);
}

void lookup_start(struct lookup *l)
{
	struct pen_dns *d = l->dns;
	int async_id, err;

	move(l, LOOKUP_RUNNING);
	d->nlookups++;
	if (l->type == MX_TYPE_NATIVE) {
		PEN_COUNT(d->counters.native);
		if (d->native == NULL || native_ask(d->native, l->name, on_native, l) != 0)
			answer_later(l, PEN_DNS_FAILED, (struct pen_span){0}, false);
		return;
	}
	if (d->no_dns) {
		answer_later(l, PEN_DNS_FAILED, (struct pen_span){0}, false);
		return;
	}
	PEN_COUNT(d->counters.lookups);
	d->resolving = true;
	err = ub_resolve_event(d->ub, l->name, l->type, 1, l, on_answer, &async_id);
	d->resolving = false;
	if (err != 0)
		answer_later(l, err == UB_SYNTAX ? PEN_DNS_MALFORMED : PEN_DNS_FAILED,
			(struct pen_span){0}, false);
}

int pen_dns_query(struct pen_dns *dns, const char *name, enum pen_dns_type type,
	pen_dns_query_fn *fn, void *ctx)
{
	if (dns->ended || dns->nasked >= PEN_DNS_LOOKUPS_MAX) {
		PEN_COUNT(dns->counters.queries_refused);
		return -EAGAIN;
	}
	struct lookup *l = lookup_new(dns, name, (uint16_t)type);
	if (l == NULL)
		return -ENOMEM;
	PEN_COUNT(dns->counters.queries);
	l->fn = fn;
	l->ctx = ctx;
	l->deadline = pen_clock_mono() + dns->timeout;
	TAILQ_INSERT_TAIL(&dns->asked, l, asked);
	dns->nasked++;
	resolver_kick(dns);
	return 0;
}

// abandon answers whoever asked and lets the rest of the lookup happen.
static void abandon(struct lookup *l)
{
	pen_dns_query_fn *fn = l->fn;
	struct dns_answer *a = l->dns->scratch;
	void *ctx = l->ctx;
	char name[sizeof(l->name)];

	memcpy(name, l->name, sizeof(name));
	lookup_orphan(l);
	dns_answer_none(a, name, PEN_DNS_FAILED);
	fn(ctx, &a->a);
}

void lookups_expire(struct pen_dns *d, pen_time_us now)
{
	while (!TAILQ_EMPTY(&d->asked) && TAILQ_FIRST(&d->asked)->deadline <= now) {
		PEN_COUNT(d->counters.query_deadlines);
		abandon(TAILQ_FIRST(&d->asked));
	}
}

void lookups_prefetch(struct pen_dns *d, pen_time_us now)
{
	char name[PEN_IDN_NAME_MAX];
	uint16_t type;

	while (d->prefetch &&
		d->nlookups < (d->concurrency + PREFETCH_SHARE - 1) / PREFETCH_SHARE &&
		hot_names_due(d->hot, now, name, &type)) {
		struct lookup *l = lookup_new(d, name, type);
		if (l == NULL)
			return;
		PEN_COUNT(d->counters.prefetches);
		lookup_start(l);
	}
}

void lookups_end(struct pen_dns *d)
{
	while (!TAILQ_EMPTY(&d->asked))
		abandon(TAILQ_FIRST(&d->asked));
}

static void free_all(struct lookups *list)
{
	struct lookup *l;

	while ((l = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, l, link);
		lookup_free(l);
	}
}

void lookups_free(struct pen_dns *d)
{
	free_all(&d->fresh);
	free_all(&d->waiting);
	free_all(&d->in_flight);
	free_all(&d->answered);
}
