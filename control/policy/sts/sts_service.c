// SPDX-License-Identifier: BSD-3-Clause

// Who asks, who waits, and what the passing of time does.
//
// Diagnostics: a cache directory or authorities that cannot be read are refused
// by pen_sts_service_new.

#include "sts_service.h"

#include "pen_err.h"
#include "pen_log.h"

#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.sts");
PEN_COUNTERS_DEFINE(pen_sts, PEN_STS_COUNTERS);

// "_mta-sts." in front has to fit into a name too.
#define DOMAIN_MAX (STS_NAME_MAX - 9)

static void list_init(struct sts_waiter *l)
{
	l->next = l->prev = l;
}

static void waiter_unlink(struct sts_waiter *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
}

static void waiter_append(struct sts_waiter *list, struct sts_waiter *w)
{
	w->prev = list->prev;
	w->next = list;
	w->prev->next = w->next->prev = w;
}

void sts_waiter_ready(
	struct pen_sts_service *s, struct sts_waiter *w, enum pen_tlsrpt_result failure)
{
	waiter_unlink(w);
	w->job = NULL;
	w->failure = failure;
	waiter_append(&s->ready, w);
}

void sts_waiter_answer(
	struct pen_sts_service *s, struct sts_waiter *w, const struct pen_sts_policy *policy)
{
	pen_sts_fn *fn = w->fn;
	void *ctx = w->ctx;

	(void)s;
	waiter_unlink(w);
	free(w);
	if (fn != NULL)
		fn(ctx, policy);
}

void sts_cache_shrink(struct pen_sts_service *s)
{
	struct sts_entry *e;

	while ((e = sts_cache_victim(&s->cache, s->running)) != NULL) {
		if (e->policy != NULL) {
			PEN_COUNT(s->counters.evicted);
			sts_store_remove(s->store, e->domain);
		}
		sts_cache_remove(&s->cache, e);
	}
}

// wait_for: w waits for the job of its domain, which is started if need be.
static void wait_for(struct pen_sts_service *s, struct sts_waiter *w, struct sts_entry *e)
{
	bool fresh = e->job == NULL;
	struct sts_job *j = fresh ? sts_job_new(s, e, false) : e->job;

	if (j == NULL) {
		sts_waiter_ready(s, w, PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
		return;
	}
	w->cached = false;
	w->job = j;
	w->job_next = j->waiters;
	j->waiters = w;
	if (fresh)
		sts_job_start(j);
}

static void look_up(struct pen_sts_service *s, struct sts_waiter *w, bool live)
{
	struct sts_entry *e = sts_cache_get(&s->cache, w->domain);
	pen_wall_us now = s->env.wall();

	if (e == NULL) {
		sts_waiter_ready(s, w, PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
		return;
	}
	sts_cache_touch(&s->cache, e, now);
	if (live || !sts_entry_valid(e, now)) {
		wait_for(s, w, e);
		return;
	}
	PEN_COUNT(s->counters.cached);
	w->cached = true;
	sts_waiter_ready(s, w, PEN_TLSRPT_NONE);
	struct sts_job *j = NULL;
	if (e->job == NULL && now >= e->check_at)
		j = sts_job_new(s, e, false);
	if (j != NULL)
		sts_job_start(j);
}

static void ask(struct pen_sts_service *s, const char *domain, bool live, pen_sts_fn *fn, void *ctx)
{
	struct sts_waiter *w = calloc(1, sizeof(*w));

	PEN_ASSERT(w != NULL);
	PEN_COUNT(s->counters.lookups);
	if (!s->started)
		s->next_tick = s->env.mono() + STS_TICK_US;
	w->fn = fn;
	w->ctx = ctx;
	w->deadline = s->env.mono() + s->timeout;
	waiter_append(&s->waiting, w);
	// What cannot have a record has no policy.
	if (!sts_domain_read(pen_span_cstr(domain), w->domain) || strlen(w->domain) > DOMAIN_MAX)
		sts_waiter_ready(s, w, PEN_TLSRPT_NONE);
	else
		look_up(s, w, live);
	sts_service_arm(s);
}

void pen_sts_lookup(struct pen_sts_service *s, const char *domain, pen_sts_fn *fn, void *ctx)
{
	ask(s, domain, false, fn, ctx);
}

void pen_sts_refresh(struct pen_sts_service *s, const char *domain, pen_sts_fn *fn, void *ctx)
{
	ask(s, domain, true, fn, ctx);
}

static void answer_ready(struct pen_sts_service *s, struct sts_waiter *w)
{
	const struct sts_entry *e =
		w->domain[0] != '\0' ? sts_cache_find(&s->cache, w->domain) : NULL;
	struct pen_sts_policy none = {.mode = PEN_STS_NONE, .failure = w->failure};

	if (e != NULL && sts_entry_valid(e, s->env.wall())) {
		sts_waiter_answer(s, w, e->policy);
	} else if (w->cached) {
		// It expired or was dropped between question and answer.
		waiter_unlink(w);
		waiter_append(&s->waiting, w);
		look_up(s, w, false);
	} else if (w->failure != PEN_TLSRPT_NONE) {
		memcpy(none.domain, w->domain, strlen(w->domain) + 1);
		sts_waiter_answer(s, w, &none);
	} else {
		sts_waiter_answer(s, w, NULL);
	}
}

// Those that callbacks add are for the next round.
static void answer_all(struct pen_sts_service *s)
{
	const struct sts_waiter *last = s->ready.prev;

	while (s->ready.next != &s->ready) {
		struct sts_waiter *w = s->ready.next;
		bool end = w == last;
		answer_ready(s, w);
		if (end)
			return;
	}
}

static void leave_job(struct sts_waiter *w)
{
	struct sts_waiter **at = &w->job->waiters;

	while (*at != w)
		at = &(*at)->job_next;
	*at = w->job_next;
}

static void time_out(struct pen_sts_service *s, pen_time_us now)
{
	while (s->waiting.next != &s->waiting && s->waiting.next->deadline <= now) {
		struct sts_waiter *w = s->waiting.next;
		leave_job(w);
		PEN_COUNT(s->counters.timeouts);
		sts_waiter_ready(s, w, PEN_TLSRPT_STS_POLICY_FETCH_ERROR);
	}
	for (struct sts_job *j = s->jobs.next, *next; j != &s->jobs; j = next) {
		next = j->next;
		if (j->deadline <= now)
			sts_job_deadline(j);
	}
}

static bool refresh_due(const struct pen_sts_service *s, const struct sts_entry *e, pen_wall_us now)
{
	return e->job == NULL && sts_entry_valid(e, now) && s->background < STS_BACKGROUND_MAX &&
	       e->used > now - STS_REFRESH_S * PEN_US_PER_S && now >= sts_refresh_at(e) &&
	       now >= e->check_at;
}

// sweep looks at a part of the cache: what expired goes, what is in use and a day
// old is fetched again.
static void sweep(struct pen_sts_service *s)
{
	pen_wall_us now = s->env.wall();
	size_t n = s->cache.nbuckets < STS_SWEEP_BUCKETS ? s->cache.nbuckets : STS_SWEEP_BUCKETS;

	for (; n > 0; n--) {
		s->sweep = (s->sweep + 1) & (s->cache.nbuckets - 1);
		for (struct sts_entry *e = s->cache.bucket[s->sweep], *next; e != NULL; e = next) {
			next = e->chain;
			struct sts_job *j = NULL;
			if (sts_entry_idle(e, now)) {
				if (e->policy != NULL)
					sts_store_remove(s->store, e->domain);
				sts_cache_remove(&s->cache, e);
			} else if (refresh_due(s, e, now)) {
				j = sts_job_new(s, e, true);
			}
			if (j != NULL)
				sts_job_start(j);
		}
	}
}

void sts_service_tick(struct pen_sts_service *s)
{
	pen_time_us now = s->env.mono();

	time_out(s, now);
	answer_all(s);
	if (now >= s->next_tick) {
		s->next_tick = now + STS_TICK_US;
		sweep(s);
	}
	sts_service_arm(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sts_service_tick(arg);
}

void sts_service_arm(struct pen_sts_service *s)
{
	pen_time_us now = s->env.mono(), due = s->next_tick;

	sts_fetches_fill(s);
	if (s->ready.next != &s->ready)
		due = now;
	else if (s->waiting.next != &s->waiting)
		due = pen_time_min(due, s->waiting.next->deadline);
	if (due < now)
		due = now;
	if (!s->started) {
		struct event_base *base = s->env.event_base(s->env.dns);
		evtimer_assign(&s->timer, base, on_timer, s);
		sts_http_set_base(s->http, base);
		s->started = true;
	}
	struct timeval tv = {(due - now) / PEN_US_PER_S, (due - now) % PEN_US_PER_S};
	evtimer_add(&s->timer, &tv);
}

static void on_load(void *ctx, struct pen_sts_policy *p, pen_wall_us fetched)
{
	struct pen_sts_service *s = ctx;
	pen_wall_us now = s->env.wall();
	struct sts_entry *e;

	// A clock that was wrong must not make a policy last longer.
	if (fetched > now)
		fetched = now;
	if (fetched + (pen_wall_us)p->max_age_s * PEN_US_PER_S <= now) {
		sts_store_remove(s->store, p->domain);
		pen_sts_policy_fini(p);
		return;
	}
	e = sts_cache_get(&s->cache, p->domain);
	if (e == NULL || sts_cache_set(&s->cache, e, p, fetched) != 0)
		pen_sts_policy_fini(p);
	sts_cache_shrink(s);
}

static bool open_cache(
	struct pen_sts_service *s, const struct pen_params *params, char *err, size_t cap)
{
	char dir[4096];

	if (sts_cache_init(&s->cache, (size_t)params->mta_sts_cache_size) != 0) {
		snprintf(err, cap, "mta-sts: out of memory");
		return false;
	}
	if (snprintf(dir, sizeof(dir), "%s/mta-sts", params->queue_directory) >= (int)sizeof(dir)) {
		snprintf(err, cap, "queue_directory: too long");
		return false;
	}
	s->store = sts_store_open(dir, &s->counters.store_errors, err, cap);
	if (s->store == NULL)
		return false;
	PEN_COUNT_N(s->counters.bad_files, sts_store_load(s->store, on_load, s));
	pen_info("%zu MTA-STS policies in the cache", s->cache.n);
	return true;
}

struct pen_sts_service *sts_service_new(
	const struct pen_params *params, const struct sts_env *env, char *err, size_t cap)
{
	struct pen_sts_service *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		snprintf(err, cap, "mta-sts: out of memory");
		return NULL;
	}
	s->env = *env;
	s->timeout = params->mta_sts_timeout;
	list_init(&s->waiting);
	list_init(&s->ready);
	s->jobs.next = s->jobs.prev = &s->jobs;
	s->http = sts_http_new(params->mta_sts_CAfile, err, cap);
	if (s->http != NULL && open_cache(s, params, err, cap))
		return s;
	pen_sts_service_free(s);
	return NULL;
}

void pen_sts_service_free(struct pen_sts_service *s)
{
	if (s == NULL)
		return;
	struct sts_waiter *lists[] = {&s->waiting, &s->ready};
	sts_http_free(s->http);
	for (int i = 0; i < 2; i++) {
		while (lists[i]->next != lists[i]) {
			struct sts_waiter *w = lists[i]->next;
			waiter_unlink(w);
			free(w);
		}
	}
	while (s->jobs.next != &s->jobs)
		sts_job_free(s->jobs.next);
	sts_store_close(s->store);
	sts_cache_fini(&s->cache);
	free(s);
}

void pen_sts_each(struct pen_sts_service *s, const char *domain, pen_sts_each_fn *fn, void *ctx)
{
	for (size_t i = 0; i < s->cache.nbuckets; i++) {
		for (const struct sts_entry *e = s->cache.bucket[i]; e != NULL; e = e->chain) {
			struct pen_sts_info info = {.domain = e->domain,
				.policy = e->policy,
				.fetched = e->fetched,
				.expires = e->expires,
				.used = e->used,
				.busy = e->job != NULL,
				.failure = e->failure,
				.why = e->why,
				.retry = e->failed_until};
			if (domain == NULL || strcmp(domain, e->domain) == 0)
				fn(ctx, &info);
		}
	}
}

struct pen_counter_set pen_sts_counters_of(const struct pen_sts_service *s)
{
	return pen_sts_counter_set(&s->counters);
}
