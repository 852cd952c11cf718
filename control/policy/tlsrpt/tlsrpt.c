// SPDX-License-Identifier: BSD-3-Clause

// The reporter: its thread, the day's turn, and what waits to be sent.
//
// Diagnostics: a notice for each report that was sent, a warning for one that
// is given up or files that cannot be written.

#include "pen_err.h"
#include "pen_log.h"
#include "pen_rand.h"
#include "pen_tlsrpt.h"
#include "tlsrpt_count.h"
#include "tlsrpt_send.h"
#include "tlsrpt_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

PEN_LOG_TYPE("control.tlsrpt");

#define FLUSH_S 5
#define EVENTS_MAX 65536
#define RETRY_FIRST_S 900
#define GIVE_UP_S 86400
#define KEEP_SENT_DAYS 30

#define TLSRPT_COUNTERS(X)                                                                         \
	X(sessions, "sessions counted")                                                            \
	X(sessions_dropped, "sessions not counted: too many at once, or too many kinds a day")     \
	X(reports, "reports made")                                                                 \
	X(reports_sent, "reports sent to all addresses")                                           \
	X(reports_retried, "reports that some address did not take, to be tried again")            \
	X(reports_given_up, "reports dropped after a day, or because the record is gone")          \
	X(write_errors, "failed writes of counts or reports")
PEN_COUNTERS_DECLARE(tlsrpt, TLSRPT_COUNTERS);
PEN_COUNTERS_DEFINE(tlsrpt, TLSRPT_COUNTERS);

struct pending {
	struct pending *next;
	struct tlsrpt_event event; // a reference on its policy
};

enum ask { ASK_LIST, ASK_SHOW, ASK_SEND };

struct request {
	struct request *next;
	enum ask ask;
	char domain[256], day[TLSRPT_DAY_MAX]; // "" none was named
	pen_tlsrpt_answer_fn *fn;
	void *ctx;
};

struct outgoing {
	struct outgoing *next;
	char day[TLSRPT_DAY_MAX], domain[256];
	int64_t due, give_up; // unix seconds
	int64_t wait;
	uint32_t taken;
};

struct pen_tlsrpt {
	struct pen_tlsrpt_config cfg;
	struct tlsrpt_sender sender;
	struct pen_rand rand;
	char submitter[256];
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct pending *events, **events_tail;
	uint32_t nevents;
	struct request *requests, **requests_tail;
	bool stop;

	// The reporter's thread.
	struct tlsrpt_store store;
	struct tlsrpt_count today, fresh; // fresh: since the last write
	struct outgoing *outbox;
	struct tlsrpt_counters ctr;
};

// ---- from the queue thread

void pen_tlsrpt_session(struct pen_tlsrpt *t, const struct pen_lease *l, uint32_t host)
{
	const struct pen_lease_host *h = &l->host[host];
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return;
	p->event = (struct tlsrpt_event){
		.policy = pen_tls_policy_ref(h->tls),
		.result = (enum pen_tlsrpt_result)h->tls_event,
		.reason = h->tls_reason,
		.source = h->addr.family == PEN_FAMILY_IP6 ? l->source6 : l->source,
		.receiver = h->addr,
	};
	pthread_mutex_lock(&t->lock);
	bool full = t->nevents >= EVENTS_MAX;
	if (!full) {
		t->nevents++;
		*t->events_tail = p;
		t->events_tail = &p->next;
	}
	pthread_mutex_unlock(&t->lock);
	if (full) {
		PEN_COUNT(t->ctr.sessions_dropped);
		pen_tls_policy_unref(p->event.policy);
		free(p);
	}
}

// ---- reports

static int64_t now_s(void)
{
	return pen_clock_wall() / PEN_US_PER_S;
}

static struct outgoing *outbox_find(struct pen_tlsrpt *t, const char *day, const char *domain)
{
	struct outgoing *o = t->outbox;

	while (o != NULL && (strcmp(o->day, day) != 0 || strcmp(o->domain, domain) != 0))
		o = o->next;
	return o;
}

static void outbox_add(struct pen_tlsrpt *t, const char *day, const char *domain, int64_t due)
{
	struct outgoing *o = outbox_find(t, day, domain);
	int64_t start = 0;

	if (o != NULL) { // an earlier report of that day, which this one replaces
		o->due = due;
		o->taken = 0;
		return;
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return; // it is in the folder and found at the next start
	tlsrpt_day_start(day, &start);
	snprintf(o->day, sizeof(o->day), "%s", day);
	snprintf(o->domain, sizeof(o->domain), "%s", domain);
	o->due = due;
	o->give_up = start + 86400 + GIVE_UP_S + t->cfg.params->tlsrpt_jitter / PEN_US_PER_S;
	o->wait = RETRY_FIRST_S;
	o->next = t->outbox;
	t->outbox = o;
}

static void make_report(
	struct pen_tlsrpt *t, const char *day, const char *domain, json_t *counts, int64_t due)
{
	if (!pen_hostname_valid(pen_span_cstr(domain)))
		return; // it becomes the name of a file
	json_t *report = tlsrpt_report_json(&t->sender.who, domain, counts, day);
	int rc = report != NULL ? tlsrpt_store_put(&t->store, day, domain, report) : -ENOMEM;

	json_decref(report);
	if (rc != 0) {
		PEN_COUNT(t->ctr.write_errors);
		pen_warning("the report of %s for %s is lost: %s", day, domain, strerror(-rc));
		return;
	}
	PEN_COUNT(t->ctr.reports);
	outbox_add(t, day, domain, due);
}

// A day is over: its counts become reports, which start within the jitter.
static void close_day(struct pen_tlsrpt *t, const char *day, json_t *days)
{
	int64_t jitter = t->cfg.params->tlsrpt_jitter / PEN_US_PER_S;
	const char *domain;
	json_t *counts;

	json_object_foreach(days, domain, counts) make_report(t, day, domain, counts,
		now_s() + (int64_t)pen_rand_below(&t->rand, (uint64_t)jitter + 1));
	tlsrpt_store_remove_day(&t->store, day);
}

static void flush(struct pen_tlsrpt *t)
{
	if (json_object_size(t->fresh.days) == 0)
		return;
	int rc = tlsrpt_store_append(&t->store, t->fresh.days, t->today.days);
	if (rc != 0) {
		PEN_COUNT(t->ctr.write_errors);
		pen_warning("TLSRPT counts cannot be written: %s", strerror(-rc));
	}
	tlsrpt_count_fini(&t->fresh);
	PEN_ASSERT(tlsrpt_count_init(&t->fresh) == 0);
}

static void turn_day(struct pen_tlsrpt *t, const char *day)
{
	char past[TLSRPT_DAY_MAX];

	flush(t);
	if (t->store.day[0] != '\0') {
		char old[TLSRPT_DAY_MAX];
		memcpy(old, t->store.day, sizeof(old));
		close_day(t, old, t->today.days);
	}
	tlsrpt_count_fini(&t->today);
	PEN_ASSERT(tlsrpt_count_init(&t->today) == 0);
	int rc = tlsrpt_store_begin_day(&t->store, day, &t->today);
	if (rc != 0) {
		PEN_COUNT(t->ctr.write_errors);
		pen_warning("TLSRPT counts cannot be written: %s", strerror(-rc));
	}
	tlsrpt_day(now_s() - KEEP_SENT_DAYS * 86400, past);
	tlsrpt_store_prune(&t->store, past);
}

// False: it stays in the outbox.
static bool send_one(struct pen_tlsrpt *t, struct outgoing *o, char *why, size_t cap)
{
	json_t *report = tlsrpt_store_get(&t->store, "outbox", o->day, o->domain);
	enum tlsrpt_sent sent = TLSRPT_NOT_ASKED;

	snprintf(why, cap, "the report cannot be read");
	if (report != NULL)
		sent = tlsrpt_send(&t->sender, o->domain, o->day, report, &o->taken, why, cap);
	json_decref(report);
	if (sent == TLSRPT_SENT) {
		PEN_COUNT(t->ctr.reports_sent);
		pen_notice("TLSRPT report of %s for %s was sent", o->day, o->domain);
	} else if (sent == TLSRPT_LATER && now_s() + o->wait < o->give_up) {
		PEN_COUNT(t->ctr.reports_retried);
		o->due = now_s() + o->wait;
		o->wait *= 2;
		return false;
	} else {
		PEN_COUNT(t->ctr.reports_given_up);
		pen_warning("TLSRPT report of %s for %s is given up: %s", o->day, o->domain, why);
	}
	tlsrpt_store_done(&t->store, o->day, o->domain, sent == TLSRPT_SENT);
	return true;
}

// One at a time, so that counting goes on in between.
static bool send_due(struct pen_tlsrpt *t)
{
	char why[512];

	for (struct outgoing **at = &t->outbox; *at != NULL; at = &(*at)->next) {
		struct outgoing *o = *at;
		if (o->due > now_s())
			continue;
		if (send_one(t, o, why, sizeof(why))) {
			*at = o->next;
			free(o);
		}
		return true;
	}
	return false;
}

// ---- requests

static void append_summary(json_t *list, const char *day, const char *state, const char *domain,
	json_int_t success, json_int_t failure)
{
	json_array_append_new(
		list, json_pack("{s:s,s:s,s:s,s:I,s:I}", "day", day, "domain", domain, "state",
			      state, "success", success, "failure", failure));
}

struct listing {
	struct pen_tlsrpt *t;
	const char *box, *state;
	json_t *list;
};

static void list_report(void *ctx, const char *day, const char *domain)
{
	struct listing *l = ctx;
	json_t *report = tlsrpt_store_get(&l->t->store, l->box, day, domain), *p;
	json_int_t success = 0, failure = 0;
	size_t i;

	json_array_foreach(json_object_get(report, "policies"), i, p)
	{
		json_t *s = json_object_get(p, "summary");
		success += json_integer_value(json_object_get(s, "total-successful-session-count"));
		failure += json_integer_value(json_object_get(s, "total-failure-session-count"));
	}
	append_summary(l->list, day, l->state, domain, success, failure);
	json_decref(report);
}

static json_t *run_list(struct pen_tlsrpt *t)
{
	json_t *list = json_array(), *counts;
	struct listing waiting = {t, "outbox", "waiting", list}, sent = {t, "sent", "sent", list};
	const char *domain;

	json_object_foreach(t->today.days, domain, counts)
	{
		json_int_t success, failure;
		tlsrpt_count_sum(counts, &success, &failure);
		append_summary(list, t->store.day, "counting", domain, success, failure);
	}
	tlsrpt_store_each(&t->store, "outbox", list_report, &waiting);
	tlsrpt_store_each(&t->store, "sent", list_report, &sent);
	return json_pack("{s:o}", "reports", list);
}

static json_t *find_report(struct pen_tlsrpt *t, const char *domain, const char *day)
{
	json_t *counts = json_object_get(t->today.days, domain);

	if (strcmp(day, t->store.day) == 0)
		return counts != NULL ? tlsrpt_report_json(&t->sender.who, domain, counts, day)
				      : NULL;
	json_t *r = tlsrpt_store_get(&t->store, "outbox", day, domain);
	return r != NULL ? r : tlsrpt_store_get(&t->store, "sent", day, domain);
}

static json_t *run_show(struct pen_tlsrpt *t, const struct request *q, const char **error)
{
	const char *day = q->day[0] != '\0' ? q->day : t->store.day;
	json_t *report = q->domain[0] != '\0' ? find_report(t, q->domain, day) : NULL;

	if (report == NULL)
		*error = "there is no report of this domain and day";
	return report;
}

// Today's counts so far, or what waits: due now.
static json_t *run_send(struct pen_tlsrpt *t, const struct request *q, const char **error)
{
	json_t *results = json_array(), *counts;
	const char *domain;
	char why[512];
	void *next;

	if (q->day[0] != '\0' && strcmp(q->day, t->store.day) == 0) {
		json_object_foreach_safe(t->today.days, next, domain, counts)
		{
			if (q->domain[0] == '\0' || strcmp(q->domain, domain) == 0)
				make_report(t, t->store.day, domain, counts, now_s());
		}
	}
	for (struct outgoing **at = &t->outbox, *o; (o = *at) != NULL;) {
		bool asked = (q->domain[0] == '\0' || strcmp(q->domain, o->domain) == 0) &&
			     (q->day[0] == '\0' || strcmp(q->day, o->day) == 0);
		if (!asked) {
			at = &o->next;
			continue;
		}
		uint64_t sent = t->ctr.reports_sent;
		bool gone = send_one(t, o, why, sizeof(why));
		json_array_append_new(
			results, json_pack("{s:s,s:s,s:b,s:s}", "domain", o->domain, "day", o->day,
					 "sent", t->ctr.reports_sent > sent, "why",
					 t->ctr.reports_sent > sent ? "" : why));
		if (gone) {
			*at = o->next;
			free(o);
		} else {
			at = &o->next;
		}
	}
	if (json_array_size(results) == 0) {
		json_decref(results);
		*error = "no report waits to be sent; name a day to send its counts";
		return NULL;
	}
	return json_pack("{s:o}", "reports", results);
}

// The words for days, and only names that are safe as names of files.
static const char *check_request(const struct pen_tlsrpt *t, struct request *q)
{
	int64_t start;

	if (strcmp(q->day, "today") == 0) {
		memcpy(q->day, t->store.day, sizeof(q->day));
	} else if (strcmp(q->day, "yesterday") == 0) {
		if (!tlsrpt_day_start(t->store.day, &start))
			return "there is no day yet";
		tlsrpt_day(start - 86400, q->day);
	} else if (q->day[0] != '\0' && !tlsrpt_day_start(q->day, &start)) {
		return "the day is none: give it as 2026-11-21, today or yesterday";
	}
	if (q->domain[0] != '\0' && !pen_hostname_valid(pen_span_cstr(q->domain)))
		return "the domain is none";
	return NULL;
}

static void run_request(struct pen_tlsrpt *t, struct request *q)
{
	const char *error = check_request(t, q);
	json_t *result = error != NULL        ? NULL
			 : q->ask == ASK_LIST ? run_list(t)
			 : q->ask == ASK_SHOW ? run_show(t, q, &error)
					      : run_send(t, q, &error);

	q->fn(q->ctx, result, error);
	free(q);
}

// ---- the thread

static void count_events(struct pen_tlsrpt *t, struct pending *list)
{
	while (list != NULL) {
		struct pending *p = list;
		list = p->next;
		PEN_COUNT(t->ctr.sessions);
		tlsrpt_count_add(&t->today, &p->event);
		tlsrpt_count_add(&t->fresh, &p->event);
		pen_tls_policy_unref(p->event.policy);
		free(p);
	}
}

// Takes what others have put there; waits for it at most until the next flush.
static bool take(struct pen_tlsrpt *t, struct pending **events, struct request **requests)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FLUSH_S;
	pthread_mutex_lock(&t->lock);
	while (!t->stop && t->requests == NULL &&
		pthread_cond_timedwait(&t->wake, &t->lock, &until) == 0)
		;
	*events = t->events;
	*requests = t->requests;
	t->events = NULL;
	t->events_tail = &t->events;
	t->nevents = 0;
	t->requests = NULL;
	t->requests_tail = &t->requests;
	bool go_on = !t->stop;
	pthread_mutex_unlock(&t->lock);
	return go_on;
}

static void *reporter_main(void *arg)
{
	struct pen_tlsrpt *t = arg;
	char day[TLSRPT_DAY_MAX];
	bool go_on;

	pthread_setname_np(pthread_self(), "pen-tlsrpt");
	do {
		struct pending *events;
		struct request *requests;
		go_on = take(t, &events, &requests);
		tlsrpt_day(now_s(), day);
		if (strcmp(day, t->store.day) > 0) // a clock that goes back opens no old day
			turn_day(t, day);
		count_events(t, events);
		flush(t);
		while (requests != NULL) {
			struct request *q = requests;
			requests = q->next;
			run_request(t, q);
		}
		if (go_on)
			send_due(t);
	} while (go_on);
	return NULL;
}

static void find_waiting(void *ctx, const char *day, const char *domain)
{
	outbox_add(ctx, day, domain, now_s());
}

// Days that ended while we did not run.
static void close_old_days(struct pen_tlsrpt *t)
{
	json_t *days = tlsrpt_store_days(&t->store), *d;
	char today[TLSRPT_DAY_MAX];
	size_t i;

	tlsrpt_day(now_s(), today);
	json_array_foreach(days, i, d)
	{
		const char *day = json_string_value(d);
		struct tlsrpt_count c;
		if (strcmp(day, today) >= 0 || tlsrpt_count_init(&c) != 0)
			continue;
		if (tlsrpt_store_begin_day(&t->store, day, &c) == 0)
			close_day(t, day, c.days);
		tlsrpt_count_fini(&c);
	}
	json_decref(days);
	t->store.day[0] = '\0';
}

struct pen_tlsrpt *pen_tlsrpt_new(const struct pen_tlsrpt_config *cfg, char *err, size_t cap)
{
	struct pen_tlsrpt *t = calloc(1, sizeof(*t));
	const struct pen_params *p = cfg->params;
	char folder[4096];

	if (t == NULL) {
		snprintf(err, cap, "out of memory");
		return NULL;
	}
	t->cfg = *cfg;
	t->events_tail = &t->events;
	t->requests_tail = &t->requests;
	const char *at = strrchr(p->tlsrpt_sender, '@');
	snprintf(t->submitter, sizeof(t->submitter), "%s", at != NULL ? at + 1 : p->mydomain);
	t->sender = (struct tlsrpt_sender){
		.cfg = &t->cfg,
		.who = {.organization = p->tlsrpt_organization,
			.contact = p->tlsrpt_contact,
			.submitter = t->submitter,
			.sender = p->tlsrpt_sender},
		.ca_file = p->tlsrpt_CAfile,
	};
	pen_rand_seed(&t->rand, (uint64_t)pen_clock_mono());
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	snprintf(folder, sizeof(folder), "%s/tlsrpt", p->queue_directory);
	if (tlsrpt_count_init(&t->today) != 0 || tlsrpt_count_init(&t->fresh) != 0 ||
		tlsrpt_store_open(&t->store, folder, err, cap) != 0) {
		pen_tlsrpt_free(t);
		return NULL;
	}
	tlsrpt_store_each(&t->store, "outbox", find_waiting, t);
	close_old_days(t);
	return t;
}

int pen_tlsrpt_start(struct pen_tlsrpt *t)
{
	int rc = pthread_create(&t->thread, NULL, reporter_main, t);

	t->started = rc == 0;
	return -rc;
}

void pen_tlsrpt_free(struct pen_tlsrpt *t)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	if (t->started)
		pthread_join(t->thread, NULL);
	while (t->outbox != NULL) {
		struct outgoing *o = t->outbox;
		t->outbox = o->next;
		free(o);
	}
	while (t->events != NULL) { // never started
		struct pending *p = t->events;
		t->events = p->next;
		pen_tls_policy_unref(p->event.policy);
		free(p);
	}
	tlsrpt_count_fini(&t->today);
	tlsrpt_count_fini(&t->fresh);
	tlsrpt_store_close(&t->store);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
}

static void ask(struct pen_tlsrpt *t, enum ask what, const char *domain, const char *day,
	pen_tlsrpt_answer_fn *fn, void *ctx)
{
	struct request *q = calloc(1, sizeof(*q));

	if (q == NULL) {
		fn(ctx, NULL, "out of memory");
		return;
	}
	*q = (struct request){.ask = what, .fn = fn, .ctx = ctx};
	snprintf(q->domain, sizeof(q->domain), "%s", domain != NULL ? domain : "");
	snprintf(q->day, sizeof(q->day), "%s", day != NULL ? day : "");
	pthread_mutex_lock(&t->lock);
	bool stopping = t->stop;
	if (!stopping) {
		*t->requests_tail = q;
		t->requests_tail = &q->next;
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&t->lock);
	if (stopping) {
		fn(ctx, NULL, "the daemon is stopping");
		free(q);
	}
}

void pen_tlsrpt_list(struct pen_tlsrpt *t, pen_tlsrpt_answer_fn *fn, void *ctx)
{
	ask(t, ASK_LIST, NULL, NULL, fn, ctx);
}

void pen_tlsrpt_show(struct pen_tlsrpt *t, const char *domain, const char *day,
	pen_tlsrpt_answer_fn *fn, void *ctx)
{
	ask(t, ASK_SHOW, domain, day, fn, ctx);
}

void pen_tlsrpt_send(struct pen_tlsrpt *t, const char *domain, const char *day,
	pen_tlsrpt_answer_fn *fn, void *ctx)
{
	ask(t, ASK_SEND, domain, day, fn, ctx);
}

struct pen_counter_set pen_tlsrpt_counters_of(const struct pen_tlsrpt *t)
{
	return tlsrpt_counter_set(&t->ctr);
}
