// SPDX-License-Identifier: BSD-3-Clause

// One domain's discovery and fetch (RFC 8461 3.1, 3.3).
//
// Diagnostics: each failed fetch is logged at level info, with our own words.

#include "pen_err.h"
#include "pen_log.h"
#include "sts_service.h"

#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.sts");

pen_wall_us sts_refresh_at(const struct sts_entry *e)
{
	uint32_t half = e->policy->max_age_s / 2;

	return e->fetched +
	       (pen_wall_us)(half < STS_REFRESH_S ? half : STS_REFRESH_S) * PEN_US_PER_S;
}

struct sts_job *sts_job_new(struct pen_sts_service *s, struct sts_entry *e, bool background)
{
	struct sts_job *j = calloc(1, sizeof(*j));

	PEN_ASSERT(e->job == NULL);
	if (j == NULL)
		return NULL;
	*j = (struct sts_job){.prev = s->jobs.prev,
		.next = &s->jobs,
		.service = s,
		.entry = e,
		.background = background};
	j->prev->next = j->next->prev = j;
	e->job = j;
	s->running++;
	s->background += background;
	return j;
}

void sts_job_free(struct sts_job *j)
{
	j->prev->next = j->next;
	j->next->prev = j->prev;
	free(j);
}

// job_detach ends a job but for those who wait for it, whom it returns.
static struct sts_waiter *job_detach(struct sts_job *j)
{
	struct pen_sts_service *s = j->service;
	struct sts_waiter *waiters = j->waiters;

	s->queued -= j->state == STS_JOB_QUEUED;
	s->fetches -= j->state == STS_JOB_ADDRESSES || j->state == STS_JOB_GET;
	s->background -= j->background;
	s->running--;
	j->state = STS_JOB_OVER;
	j->entry->job = NULL;
	j->entry = NULL;
	j->waiters = NULL;
	j->deadline = PEN_TIME_NEVER;
	if (j->questions == 0)
		sts_job_free(j);
	return waiters;
}

// job_end: the answer is `failure`, or with NONE what the cache has.
static void job_end(struct sts_job *j, enum pen_tlsrpt_result failure)
{
	struct pen_sts_service *s = j->service;
	struct sts_entry *e = j->entry;

	for (struct sts_waiter *w = job_detach(j), *next; w != NULL; w = next) {
		next = w->job_next;
		sts_waiter_ready(s, w, failure);
	}
	if (e->policy == NULL && sts_entry_idle(e, s->env.wall()))
		sts_cache_remove(&s->cache, e);
}

static void fail(struct sts_job *j, enum pen_tlsrpt_result failure, const char *why)
{
	struct pen_sts_service *s = j->service;
	struct sts_entry *e = j->entry;

	if (failure == PEN_TLSRPT_STS_WEBPKI_INVALID)
		PEN_COUNT(s->counters.webpki_invalid);
	else if (failure == PEN_TLSRPT_STS_POLICY_INVALID)
		PEN_COUNT(s->counters.invalid);
	else
		PEN_COUNT(s->counters.fetch_errors);
	snprintf(e->why, sizeof(e->why), "%s", why);
	pen_info("%s: %s: %s", e->domain, pen_tlsrpt_result_name(failure), why);
	job_end(j, failure);
}

// fail_fetch also remembers the failure, so that the id is left alone for a while.
static void fail_fetch(struct sts_job *j, enum pen_tlsrpt_result failure, const char *why)
{
	struct sts_entry *e = j->entry;

	memcpy(e->failed_id, j->id, sizeof(e->failed_id));
	e->failed_until = j->service->env.wall() + STS_RETRY_S * PEN_US_PER_S;
	e->failure = failure;
	struct pen_sts_service *s = j->service;
	fail(j, failure, why);
	sts_cache_shrink(s);
}

static void install(struct sts_job *j, struct pen_sts_policy *p)
{
	struct pen_sts_service *s = j->service;
	struct sts_entry *e = j->entry;
	pen_wall_us now = s->env.wall();
	bool refreshed = sts_entry_valid(e, now);

	snprintf(p->domain, sizeof(p->domain), "%s", e->domain);
	memcpy(p->id, j->id, sizeof(p->id));
	if (sts_cache_set(&s->cache, e, p, now) != 0) {
		pen_sts_policy_fini(p);
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "out of memory");
		return;
	}
	if (refreshed)
		PEN_COUNT(s->counters.refreshed);
	sts_store_write(s->store, e->policy, now);
	// Now, as a policy of max_age 0 is good for those who waited and nobody else.
	for (struct sts_waiter *w = job_detach(j), *next; w != NULL; w = next) {
		next = w->job_next;
		sts_waiter_answer(s, w, e->policy);
	}
	sts_cache_shrink(s);
}

static void on_http(void *ctx, const struct sts_http_result *r)
{
	struct sts_job *j = ctx;
	struct pen_sts_service *s = j->service;
	struct pen_sts_policy p;

	if (r->failure != PEN_TLSRPT_NONE) {
		fail_fetch(j, r->failure, r->why);
	} else {
		PEN_COUNT(s->counters.fetches);
		const char *wrong = pen_sts_parse(r->body, &p);
		if (wrong != NULL)
			fail_fetch(j, PEN_TLSRPT_STS_POLICY_INVALID, wrong);
		else
			install(j, &p);
	}
	sts_service_arm(s);
}

static void fetch_file(struct sts_job *j)
{
	struct pen_sts_service *s = j->service;
	struct sts_http_request r = {.domain = j->entry->domain,
		.port = s->env.port,
		.naddrs = j->naddrs,
		.addr = j->addr,
		.timeout_ms = s->env.fetch_ms,
		.fn = on_http,
		.ctx = j};

	if (j->naddrs == 0) {
		fail_fetch(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "the policy host has no address");
		return;
	}
	j->state = STS_JOB_GET;
	j->deadline = PEN_TIME_NEVER; // the request has its own
	if (sts_http_get(s->http, &r) == NULL)
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "out of memory");
}

// Addresses of both families go to libcurl, which races them.
static void on_address(void *ctx, const struct pen_dns_answer *a)
{
	struct sts_job *j = ctx;
	struct pen_sts_service *s = j->service;

	j->questions--;
	for (uint32_t i = 0; a->status == PEN_DNS_OK && i < a->n; i++) {
		uint32_t room = j->questions > 0 ? STS_HTTP_ADDRS_MAX / 2 : STS_HTTP_ADDRS_MAX;
		if (j->naddrs < room)
			j->addr[j->naddrs++] = a->record[i].addr;
	}
	if (j->state == STS_JOB_OVER) {
		if (j->questions == 0)
			sts_job_free(j);
		return;
	}
	if (j->questions == 0)
		fetch_file(j);
	sts_service_arm(s);
}

static void fetch_begin(struct sts_job *j)
{
	struct pen_sts_service *s = j->service;
	char name[STS_NAME_MAX + 16];

	s->fetches++;
	j->state = STS_JOB_ADDRESSES;
	j->deadline = s->env.mono() + STS_JOB_MS * PEN_US_PER_MS;
	snprintf(name, sizeof(name), "mta-sts.%s", j->entry->domain);
	if (s->env.query(s->env.dns, name, PEN_DNS_AAAA, on_address, j) == 0)
		j->questions++;
	if (s->env.query(s->env.dns, name, PEN_DNS_A, on_address, j) == 0)
		j->questions++;
	// Our own trouble: not held against the id.
	if (j->questions == 0)
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "no address lookup is possible");
}

void sts_fetches_fill(struct pen_sts_service *s)
{
	for (struct sts_job *j = s->jobs.next, *next; s->queued > 0; j = next) {
		if (s->fetches >= STS_FETCHES_MAX)
			return;
		next = j->next;
		if (j->state == STS_JOB_QUEUED) {
			s->queued--;
			fetch_begin(j);
		}
	}
}

static void want_fetch(struct sts_job *j)
{
	struct pen_sts_service *s = j->service;

	if (s->fetches < STS_FETCHES_MAX) {
		fetch_begin(j);
	} else if (s->queued < STS_FETCH_QUEUE) {
		j->state = STS_JOB_QUEUED;
		j->deadline = PEN_TIME_NEVER;
		s->queued++;
	} else {
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "too many fetches wait");
	}
}

static void have_record(struct sts_job *j)
{
	const struct sts_entry *e = j->entry;
	pen_wall_us now = j->service->env.wall();

	PEN_COUNT(j->service->counters.records);
	if (sts_entry_valid(e, now) && strcmp(e->policy->id, j->id) == 0 && now < sts_refresh_at(e))
		job_end(j, PEN_TLSRPT_NONE);
	else if (now < e->failed_until && strcmp(e->failed_id, j->id) == 0)
		job_end(j, e->failure);
	else
		want_fetch(j);
}

static bool read_record(const struct pen_dns_answer *a, char id[PEN_STS_ID_MAX + 1])
{
	struct pen_span txt[64];
	uint32_t n = 0;

	// Among more than that, whether there is exactly one is not to be known.
	if (a->cut || a->n > sizeof(txt) / sizeof(txt[0]))
		return false;
	for (; n < a->n; n++)
		txt[n] = a->record[n].data;
	return pen_sts_record(txt, n, id);
}

static void on_record(void *ctx, const struct pen_dns_answer *a)
{
	struct sts_job *j = ctx;
	struct pen_sts_service *s = j->service;
	uint32_t ttl = a->ttl_s < STS_CHECK_MIN_S ? STS_CHECK_MIN_S : a->ttl_s;

	j->questions--;
	if (j->state == STS_JOB_OVER) {
		sts_job_free(j);
		return;
	}
	if (ttl > STS_CHECK_MAX_S)
		ttl = STS_CHECK_MAX_S;
	j->entry->check_at = s->env.wall() + ttl * PEN_US_PER_S;
	if (a->status == PEN_DNS_OK && read_record(a, j->id))
		have_record(j);
	else if (a->status == PEN_DNS_OK || a->status == PEN_DNS_NODATA ||
		 a->status == PEN_DNS_NXDOMAIN)
		// No policy; one that is cached stays in force until it expires.
		job_end(j, PEN_TLSRPT_NONE);
	else
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "the record cannot be looked up");
	sts_service_arm(s);
}

void sts_job_start(struct sts_job *j)
{
	struct pen_sts_service *s = j->service;
	char name[STS_NAME_MAX + 16];

	j->deadline = s->env.mono() + STS_JOB_MS * PEN_US_PER_MS;
	snprintf(name, sizeof(name), "_mta-sts.%s", j->entry->domain);
	if (s->env.query(s->env.dns, name, PEN_DNS_TXT, on_record, j) == 0)
		j->questions++;
	else
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "no record lookup is possible");
}

void sts_job_deadline(struct sts_job *j)
{
	if (j->state == STS_JOB_RECORD)
		fail(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR, "the record was not found in time");
	else
		fail_fetch(j, PEN_TLSRPT_STS_POLICY_FETCH_ERROR,
			"the policy host's addresses were not found in time");
}
