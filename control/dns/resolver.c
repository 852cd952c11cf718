// SPDX-License-Identifier: BSD-3-Clause

// The resolver thread: libunbound's event API on an event base of its own.
//
// Diagnostics: warns about odd zones (a null MX beside real ones...).

#include "resolver.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

PEN_LOG_TYPE("control.dns");
PEN_COUNTERS_DEFINE(pen_dns, PEN_DNS_COUNTERS);

// Sockets and timers get their turn after so much work.
#define STEPS_MAX 256

void resolver_kick(struct pen_dns *d)
{
	event_active(d->kick, 0, 0);
}

static void request_free(struct request *q)
{
	mx_free(q->mx);
	free(q);
}

// out_of_memory is what a requester gets when no result can be made.
static struct pen_dns_hosts *out_of_memory(void)
{
	struct pen_dns_hosts *h = calloc(1, sizeof(*h));

	PEN_ASSERT(h != NULL && (h->site = strdup("")) != NULL);
	pen_dsn_set(&h->dsn, 4, 3, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"out of memory");
	return h;
}

static void count_result(struct pen_dns *d, const struct pen_dns_hosts *hosts)
{
	if (hosts->dsn.klass == 2)
		PEN_COUNT(d->counters.resolved);
	else if (hosts->dsn.klass == 4)
		PEN_COUNT(d->counters.failed_soft);
	else
		PEN_COUNT(d->counters.failed_hard);
	PEN_COUNT_N(d->counters.loops, hosts->loops);
	PEN_COUNT_N(d->counters.null_mx, hosts->dsn.klass == 5 && hosts->dsn.subject == 1 &&
						 hosts->dsn.origin == PEN_ORIGIN_PEER);
}

static void request_finish(struct request *q, struct pen_dns_hosts *hosts)
{
	struct pen_dns *d = q->dns;

	if (hosts == NULL)
		hosts = mx_take(q->mx);
	if (hosts == NULL)
		hosts = out_of_memory();
	count_result(d, hosts);
	if (hosts->warning[0] != '\0')
		pen_warning("%s", hosts->warning);
	while (!TAILQ_EMPTY(&q->asked))
		lookup_orphan(TAILQ_FIRST(&q->asked));
	if (q->is_ready)
		TAILQ_REMOVE(&d->ready, q, ready);
	TAILQ_REMOVE(&d->running, q, running);
	pthread_mutex_lock(&d->lock);
	d->requests--;
	pthread_mutex_unlock(&d->lock);
	q->fn(q->ctx, hosts);
	request_free(q);
}

static void request_ready(struct request *q)
{
	if (mx_done(q->mx)) {
		request_finish(q, NULL);
		return;
	}
	if (!q->is_ready)
		TAILQ_INSERT_TAIL(&q->dns->ready, q, ready);
	q->is_ready = true;
	resolver_kick(q->dns);
}

void request_answered(struct request *q, uint32_t id, const struct pen_dns_answer *answer)
{
	mx_answer(q->mx, id, answer);
	request_ready(q);
}

// request_ask asks one question of a request; false: it has none at the moment.
static bool request_ask(struct request *q)
{
	struct mx_query query;

	if (!mx_next(q->mx, &query))
		return false;
	struct lookup *l = lookup_new(q->dns, query.name, query.type);
	if (l == NULL) {
		mx_give_up(q->mx, "out of memory");
		request_ready(q);
		return true;
	}
	l->request = q;
	l->id = query.id;
	TAILQ_INSERT_TAIL(&q->asked, l, asked);
	return true;
}

// step does one piece of work; false when there is none, or no room for it.
static bool step(struct pen_dns *d)
{
	struct request *q = TAILQ_FIRST(&d->ready);

	if (!TAILQ_EMPTY(&d->answered)) {
		lookup_deliver(TAILQ_FIRST(&d->answered));
	} else if (!TAILQ_EMPTY(&d->fresh)) {
		lookup_start(TAILQ_FIRST(&d->fresh));
	} else if (q != NULL) {
		if (request_ask(q))
			return true;
		TAILQ_REMOVE(&d->ready, q, ready);
		q->is_ready = false;
	} else if (!TAILQ_EMPTY(&d->waiting) && d->nlookups < d->concurrency) {
		lookup_start(TAILQ_FIRST(&d->waiting));
	} else {
		return false;
	}
	return true;
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct pen_dns *d = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		if (!step(d))
			return;
	}
	resolver_kick(d);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct pen_dns *d = arg;
	pen_time_us now = pen_clock_mono();
	struct request *q;

	(void)fd;
	(void)what;
	while ((q = TAILQ_FIRST(&d->running)) != NULL && q->submitted + d->timeout <= now) {
		PEN_COUNT(d->counters.deadlines);
		mx_give_up(q->mx, "Host not found, try again (no answer in time)");
		request_finish(q, NULL);
	}
	lookups_expire(d, now);
	lookups_prefetch(d, now);
}

static struct pen_dns_hosts *bad_nexthop(const struct request *q, const char *why)
{
	struct pen_dns_hosts *h = out_of_memory();
	bool relayhost = (q->flags & PEN_DNS_RELAYHOST) != 0;
	// A domain that has no form in the DNS is a bad address of a recipient.
	bool idn = pen_idn_needed(pen_span_cstr(q->nexthop));

	pen_dsn_set(&h->dsn, relayhost ? 4 : 5, relayhost ? 3 : (idn ? 1 : 4),
		relayhost ? 5 : (idn ? 2 : 4), PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"next hop \"%s\": %s", q->nexthop, why);
	h->ttl_s = 60;
	return h;
}

static void request_begin(void *ctx)
{
	struct request *q = ctx;
	struct pen_dns *d = q->dns;
	struct mx_options options = d->options;
	struct pen_nexthop hop;

	TAILQ_INSERT_TAIL(&d->running, q, running);
	TAILQ_INIT(&q->asked);
	PEN_COUNT(d->counters.requests);
	const char *wrong = pen_nexthop_parse(&hop, pen_span_cstr(q->nexthop));
	if (wrong != NULL) {
		request_finish(q, bad_nexthop(q, wrong));
		return;
	}
	options.relayhost = (q->flags & PEN_DNS_RELAYHOST) != 0;
	q->mx = mx_new(&hop, &options, pen_rand_u64(&d->rand));
	if (q->mx == NULL)
		request_finish(q, out_of_memory());
	else
		request_ready(q);
}

static void run_posts(struct pen_dns *d)
{
	struct posts posts = STAILQ_HEAD_INITIALIZER(posts);
	struct post *p;

	pthread_mutex_lock(&d->lock);
	STAILQ_CONCAT(&posts, &d->posts);
	pthread_mutex_unlock(&d->lock);
	while ((p = STAILQ_FIRST(&posts)) != NULL) {
		bool is_request = p->fn == request_begin;
		void (*fn)(void *ctx) = p->fn;
		void *ctx = p->ctx;
		STAILQ_REMOVE_HEAD(&posts, link);
		if (!is_request)
			free(p); // of a request it is a part
		fn(ctx);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct pen_dns *d = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		pen_error("eventfd: read: %s", strerror(errno));
	run_posts(d);
	pthread_mutex_lock(&d->lock);
	bool stop = d->stop;
	pthread_mutex_unlock(&d->lock);
	if (stop)
		event_base_loopbreak(d->base);
}

static void *resolver_main(void *arg)
{
	const struct timeval tenth = {0, 100000};
	struct pen_dns *d = arg;
	struct request *q;

	pthread_setname_np(pthread_self(), "pen-dns");
	evtimer_add(d->tick, &tenth);
	event_base_dispatch(d->base);
	d->ended = true;
	run_posts(d);
	while ((q = TAILQ_FIRST(&d->running)) != NULL) {
		mx_give_up(q->mx, "the mail system is stopping");
		request_finish(q, NULL);
	}
	lookups_end(d);
	return NULL;
}

int pen_dns_start(struct pen_dns *dns)
{
	int err = pthread_create(&dns->thread, NULL, resolver_main, dns);

	dns->started = err == 0;
	return -err;
}

static void wake(struct pen_dns *d)
{
	uint64_t one = 1;

	// Full is as good as written: the thread wakes up.
	if (write(d->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		pen_error("eventfd: write: %s", strerror(errno));
}

// add_post is under the lock; true: the thread must be woken.
static bool add_post(struct pen_dns *d, struct post *p, void (*fn)(void *ctx), void *ctx)
{
	bool first = STAILQ_EMPTY(&d->posts);

	p->fn = fn;
	p->ctx = ctx;
	STAILQ_INSERT_TAIL(&d->posts, p, link);
	return first;
}

int pen_dns_post(struct pen_dns *dns, void (*fn)(void *ctx), void *ctx)
{
	struct post *p = malloc(sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&dns->lock);
	bool stop = dns->stop;
	bool first = !stop && add_post(dns, p, fn, ctx);
	pthread_mutex_unlock(&dns->lock);
	if (stop)
		free(p);
	else if (first)
		wake(dns);
	return stop ? -ESHUTDOWN : 0;
}

struct event_base *pen_dns_event_base(struct pen_dns *dns)
{
	return dns->base;
}

int pen_dns_resolve_for(
	struct pen_dns *dns, struct pen_span nexthop, unsigned flags, pen_dns_fn *fn, void *ctx)
{
	struct request *q = calloc(1, sizeof(*q));
	bool first = false;

	if (q == NULL)
		return -ENOMEM;
	q->dns = dns;
	q->flags = flags;
	q->fn = fn;
	q->ctx = ctx;
	q->submitted = pen_clock_mono();
	// What does not fit is cut behind the longest domain, so it stays invalid.
	snprintf(q->nexthop, sizeof(q->nexthop), "%.*s",
		(int)(nexthop.n < sizeof(q->nexthop) ? nexthop.n : sizeof(q->nexthop)),
		nexthop.n > 0 ? (const char *)nexthop.p : "");
	pthread_mutex_lock(&dns->lock);
	bool full = dns->requests >= PEN_DNS_REQUESTS_MAX || dns->stop;
	if (!full) {
		dns->requests++;
		first = add_post(dns, &q->post, request_begin, q);
	}
	pthread_mutex_unlock(&dns->lock);
	if (full) {
		free(q);
		return -EAGAIN;
	}
	if (first)
		wake(dns);
	return 0;
}

int pen_dns_resolve(struct pen_dns *dns, struct pen_span nexthop, pen_dns_fn *fn, void *ctx)
{
	return pen_dns_resolve_for(dns, nexthop, 0, fn, ctx);
}

void resolver_stop(struct pen_dns *d)
{
	struct post *p;

	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_mutex_unlock(&d->lock);
	if (d->started) {
		wake(d);
		pthread_join(d->thread, NULL);
	}
	while ((p = STAILQ_FIRST(&d->posts)) != NULL) { // never started
		STAILQ_REMOVE_HEAD(&d->posts, link);
		free(p); // of a request the first member
	}
}

bool resolver_events(struct pen_dns *d)
{
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->base = event_base_new();
	if (d->wake_fd < 0 || d->base == NULL)
		return false;
	d->wake = event_new(d->base, d->wake_fd, EV_READ | EV_PERSIST, on_wake, d);
	d->kick = event_new(d->base, -1, 0, on_kick, d);
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	return d->wake != NULL && d->kick != NULL && d->tick != NULL &&
	       event_add(d->wake, NULL) == 0;
}
