// SPDX-License-Identifier: BSD-3-Clause
#include "pen_hop.h"

#include "pen_buf.h"
#include "pen_err.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define TLSA_TTL_MAX_S 100 // Postfix's limit: a rollover is seen soon

// A lookup under way. It lives until every question it put is answered, even
// when the answer was given without them.
struct hop {
	const struct pen_hop_service *service;
	struct pen_hop_answer *answer; // NULL once it was given
	pen_hop_fn *fn;
	void *ctx;
	struct event *timer;
	uint32_t pending; // questions, and a hold of the function that asks
	bool diverted;    // to best_mx_transport
};

struct tlsa_question {
	struct hop *hop;
	uint32_t name;
	uint32_t step; // index into facts.tlsa
	char base[2][256];
	uint32_t nbase;
};

// ---- answers

static void free_tlsa(struct pen_tlsa_lookup *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		free((void *)(uintptr_t)l->record[i].data);
	free((void *)(uintptr_t)l->record);
}

void pen_hop_answer_free(struct pen_hop_answer *a)
{
	if (a == NULL)
		return;
	for (uint32_t i = 0; i < a->nnames; i++) {
		free_tlsa(&a->name[i].facts.tlsa[0]);
		free_tlsa(&a->name[i].facts.tlsa[1]);
		pen_tls_policy_unref(a->name[i].policy);
	}
	free(a->name);
	if (a->sts != NULL)
		pen_sts_policy_fini(a->sts);
	free(a->sts);
	pen_tls_site_decision_fini(&a->site);
	pen_dns_hosts_free(a->hosts);
	free(a->site_key);
	free(a);
}

static void hop_free(struct hop *h)
{
	if (h->timer != NULL)
		event_free(h->timer);
	pen_hop_answer_free(h->answer);
	free(h);
}

static void give(struct hop *h)
{
	struct pen_hop_answer *a = h->answer;

	h->answer = NULL;
	h->fn(h->ctx, a);
}

static void fail(struct pen_hop_answer *a, const char *text)
{
	pen_dsn_set(
		&a->status, 4, 3, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "%s", text);
	a->ttl_s = 1;
}

static void lower_ttl(struct pen_hop_answer *a, uint32_t ttl_s)
{
	if (ttl_s < a->ttl_s)
		a->ttl_s = ttl_s > 0 ? ttl_s : 1;
}

// Sites share limits and connections: only next hops whose hosts get the same
// policies may be one. Reports are per domain, so a domain that wants them, and
// one with a policy of its own, stays by itself.
static char *site_key(const struct pen_hop_answer *a)
{
	static const char *const demands[] = {"", "/requiretls", "/tls-optional"};
	uint64_t identity = 0xcbf29ce484222325u;
	struct pen_buf b = PEN_BUF_INIT;

	for (uint32_t i = 0; i < a->nnames; i++)
		identity = (identity ^ a->name[i].policy->identity) * 0x100000001b3u;
	const struct pen_tls_policy *first = a->name[0].policy;
	pen_buf_addf(&b, "%s/%s-%08llx%s", a->hosts->site,
		pen_tls_level_name(first->skipped ? first->skip_level : first->level),
		(unsigned long long)(identity ^ identity >> 32) & 0xffffffffu, demands[a->demand]);
	if (a->tlsrpt || first->report.type == PEN_TLSRPT_STS)
		pen_buf_addf(&b, "/%s", a->site.nexthop);
	pen_buf_add(&b, "", 1);
	if (!b.failed)
		return (char *)b.p;
	pen_buf_fini(&b);
	return NULL;
}

// All is known, or will not be: the decisions.
static void decide(struct hop *h)
{
	struct pen_hop_answer *a = h->answer;

	for (uint32_t i = 0; i < a->nnames; i++) {
		struct pen_hop_name *n = &a->name[i];
		n->facts.sts = a->sts;
		n->policy =
			pen_tls_host_decide(h->service->settings, &a->site, &n->facts, n->warning);
		if (n->policy == NULL) {
			fail(a, "out of memory");
			give(h);
			return;
		}
		if (!a->tlsrpt) { // nobody wants to hear of it
			free(n->policy->report.domain);
			n->policy->report.domain = NULL;
		}
	}
	a->site_key = site_key(a);
	if (a->site_key == NULL)
		fail(a, "out of memory");
	give(h);
}

static void one_done(struct hop *h)
{
	if (--h->pending > 0)
		return;
	if (h->answer != NULL)
		decide(h);
	hop_free(h);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct hop *h = arg;

	(void)fd;
	(void)what;
	if (h->answer == NULL)
		return;
	for (uint32_t i = 0; i < h->answer->nnames; i++) {
		struct pen_tls_host_facts *f = &h->answer->name[i].facts;
		for (int k = 0; k < 2; k++) {
			// Asked and without an answer: it is still 0.
			if (f->tlsa[k].asked && f->tlsa[k].base[0] != '\0' && f->tlsa[k].n == 0 &&
				f->tlsa[k].status == PEN_DNS_OK)
				f->tlsa[k].status = PEN_DNS_FAILED;
		}
	}
	decide(h);
}

// ---- TLSA

static void copy_tlsa(struct pen_tlsa_lookup *to, const struct pen_dns_answer *answer)
{
	uint32_t n = answer->n < PEN_TLSA_MAX ? answer->n : PEN_TLSA_MAX;
	struct pen_tlsa *list = n > 0 ? calloc(n, sizeof(*list)) : NULL;

	to->status = answer->status;
	to->secure = answer->secure;
	if (answer->status != PEN_DNS_OK || n == 0) {
		free(list);
		return;
	}
	to->record = list;
	for (uint32_t i = 0; list != NULL && i < n; i++) {
		const struct pen_dns_record *r = &answer->record[i];
		size_t size = r->data.n <= PEN_TLSA_DATA_MAX ? r->data.n : 0;
		uint8_t *data = malloc(size > 0 ? size : 1);
		if (data == NULL)
			break;
		if (size > 0)
			memcpy(data, r->data.p, size);
		list[to->n++] =
			(struct pen_tlsa){r->usage, r->selector, r->mtype, (uint16_t)size, data};
	}
	// Out of memory must not pass for "there are none".
	if (to->n < n)
		to->status = PEN_DNS_FAILED;
}

static void tlsa_ask(struct tlsa_question *q);

static void on_tlsa(void *ctx, const struct pen_dns_answer *answer)
{
	struct tlsa_question *q = ctx;
	struct hop *h = q->hop;

	if (h->answer != NULL) {
		struct pen_tlsa_lookup *l = &h->answer->name[q->name].facts.tlsa[q->step];
		copy_tlsa(l, answer);
		lower_ttl(
			h->answer, answer->ttl_s < TLSA_TTL_MAX_S ? answer->ttl_s : TLSA_TTL_MAX_S);
		bool none = answer->status == PEN_DNS_NODATA ||
			    answer->status == PEN_DNS_NXDOMAIN ||
			    (answer->status == PEN_DNS_OK && !answer->secure);
		if (none && ++q->step < q->nbase) {
			tlsa_ask(q);
			return;
		}
	}
	free(q);
	one_done(h);
}

static void tlsa_ask(struct tlsa_question *q)
{
	struct pen_tls_host_facts *f = &q->hop->answer->name[q->name].facts;
	struct pen_tlsa_lookup *l = &f->tlsa[q->step];
	char owner[300];

	l->asked = true;
	snprintf(l->base, sizeof(l->base), "%s", q->base[q->step]);
	snprintf(owner, sizeof(owner), "_%u._tcp.%s", f->port, l->base);
	if (pen_dns_query(q->hop->service->dns, owner, PEN_DNS_TLSA, on_tlsa, q) == 0)
		return;
	struct hop *h = q->hop;
	l->status = PEN_DNS_FAILED;
	free(q);
	one_done(h);
}

static void ask_tlsa_of(struct hop *h, uint32_t name)
{
	struct pen_hop_name *n = &h->answer->name[name];
	struct tlsa_question *q = calloc(1, sizeof(*q));

	if (q == NULL) {
		n->facts.tlsa[0].asked = true;
		n->facts.tlsa[0].status = PEN_DNS_FAILED;
		return;
	}
	q->hop = h;
	q->name = name;
	q->nbase = pen_tls_tlsa_names(h->service->settings, &h->answer->site, &n->facts, q->base);
	if (q->nbase == 0) {
		free(q);
		return;
	}
	h->pending++;
	tlsa_ask(q);
}

// ---- MTA-STS and TLSRPT

static char **copy_list(char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	char **out = calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out != NULL && i < n; i++)
		out[i] = strdup(list[i]);
	return out;
}

static void on_sts(void *ctx, const struct pen_sts_policy *policy)
{
	struct hop *h = ctx;

	if (h->answer != NULL && policy != NULL) {
		struct pen_sts_policy *copy = malloc(sizeof(*copy));
		if (copy != NULL) {
			*copy = *policy;
			for (uint32_t i = 0; i < policy->nmx; i++)
				copy->mx[i] = strdup(policy->mx[i]);
			copy->line = copy_list(policy->line);
			h->answer->sts = copy;
		}
	}
	one_done(h);
}

static void on_tlsrpt(void *ctx, const struct pen_dns_answer *answer)
{
	struct hop *h = ctx;
	struct pen_span txt[16];
	uint32_t n = answer->n < 16 ? answer->n : 16;

	if (h->answer != NULL && answer->status == PEN_DNS_OK) {
		for (uint32_t i = 0; i < n; i++)
			txt[i] = answer->record[i].data;
		h->answer->tlsrpt = pen_tlsrpt_record(txt, n, &h->answer->rua);
	}
	one_done(h);
}

static void ask_domain(struct hop *h)
{
	struct pen_hop_answer *a = h->answer;
	char owner[300];

	if (a->site.want_sts && h->service->sts != NULL) {
		a->sts_asked = true;
		h->pending++;
		pen_sts_lookup(h->service->sts, a->site.nexthop, on_sts, h);
	}
	if (a->site.want_tlsrpt) {
		a->tlsrpt_asked = true;
		snprintf(owner, sizeof(owner), "_smtp._tls.%s", a->site.nexthop);
		if (pen_dns_query(h->service->dns, owner, PEN_DNS_TXT, on_tlsrpt, h) == 0)
			h->pending++;
	}
}

// ---- hosts

static void fill_facts(struct pen_hop_answer *a, const struct pen_dns_host *d,
	struct pen_tls_host_facts *f, bool engine)
{
	*f = (struct pen_tls_host_facts){
		.host = d->name,
		.canonical = d->canonical,
		.literal = a->nexthop.addr.family != PEN_FAMILY_NONE,
		.from_mx = a->hosts->from_mx,
		.mx_secure = a->hosts->mx_secure,
		.addr_secure = d->secure,
		.alias_secure = d->alias_secure,
		.domain_canonical = a->hosts->domain_canonical,
		.port = d->port,
		.engine = engine,
	};
}

static bool gather_names(struct pen_hop_answer *a, bool engine)
{
	a->name = calloc(a->hosts->nhosts, sizeof(*a->name));
	if (a->name == NULL)
		return false;
	for (uint32_t i = 0; i < a->hosts->nhosts; i++) {
		const struct pen_dns_host *d = &a->hosts->host[i];
		uint32_t k = 0;
		while (k < a->nnames && strcmp(a->name[k].facts.host, d->name) != 0)
			k++;
		if (k == a->nnames)
			fill_facts(a, d, &a->name[a->nnames++].facts, engine);
		else if (!d->secure) // one family is signed, the other is not
			a->name[k].facts.addr_secure = false;
		a->name_of[i] = (uint8_t)k;
	}
	return true;
}

static void on_hosts(void *ctx, struct pen_dns_hosts *hosts);

// We are the best host of the domain: best_mx_transport takes its mail.
static void divert(struct hop *h)
{
	struct pen_hop_answer *a = h->answer;
	struct pen_span text = pen_span_cstr(h->service->best_mx);

	h->diverted = true;
	snprintf(a->text, sizeof(a->text), "%s", h->service->best_mx);
	pen_nexthop_parse(&a->nexthop, text);
	if (pen_dns_resolve(h->service->dns, text, on_hosts, h) == 0)
		return;
	fail(a, "too many lookups are waiting");
	give(h);
	hop_free(h);
}

static void on_hosts(void *ctx, struct pen_dns_hosts *hosts)
{
	struct hop *h = ctx;
	struct pen_hop_answer *a = h->answer;

	if (hosts->loops && h->service->best_mx[0] != '\0' && !h->diverted) {
		pen_dns_hosts_free(hosts);
		divert(h);
		return;
	}
	a->hosts = hosts;
	a->status = hosts->dsn;
	a->ttl_s = hosts->ttl_s;
	if (!pen_dsn_ok(&a->status) || !gather_names(a, h->service->engine)) {
		if (pen_dsn_ok(&a->status))
			fail(a, "out of memory");
		give(h);
		hop_free(h);
		return;
	}
	pen_tls_site_decide(
		h->service->settings, &a->nexthop, a->text, a->demand, a->lmtp, &a->site);
	h->timer = evtimer_new(pen_dns_event_base(h->service->dns), on_late, h);
	struct timeval tv = {
		h->service->timeout / PEN_US_PER_S, h->service->timeout % PEN_US_PER_S};
	if (h->timer != NULL)
		evtimer_add(h->timer, &tv);
	h->pending = 1;
	for (uint32_t i = 0; a->site.want_tlsa && i < a->nnames; i++)
		ask_tlsa_of(h, i);
	ask_domain(h);
	one_done(h);
}

int pen_hop_lookup(const struct pen_hop_service *s, const struct pen_hop_question *q,
	pen_hop_fn *fn, void *ctx)
{
	struct hop *h = calloc(1, sizeof(*h));
	struct pen_hop_answer *a = calloc(1, sizeof(*a));
	struct pen_span text = q->nexthop;

	if (h == NULL || a == NULL) {
		free(h);
		free(a);
		return -ENOMEM;
	}
	*h = (struct hop){.service = s, .answer = a, .fn = fn, .ctx = ctx};
	a->demand = q->demand;
	a->lmtp = q->lmtp;
	snprintf(a->text, sizeof(a->text), "%.*s",
		(int)(text.n < sizeof(a->text) ? text.n : sizeof(a->text) - 1),
		text.n > 0 ? (const char *)text.p : "");
	// A text that is no next hop fails in the resolver, with its words.
	pen_nexthop_parse(&a->nexthop, text);
	int rc = pen_dns_resolve_for(s->dns, text, q->relay ? PEN_DNS_RELAYHOST : 0, on_hosts, h);
	if (rc != 0)
		hop_free(h);
	return rc;
}
