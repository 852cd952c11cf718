// SPDX-License-Identifier: BSD-3-Clause

// The resolver thread: libunbound's event API on an event base of its own.
//
// Diagnostics: warns about odd zones (a null MX beside real ones...); a broken
// configuration is refused by pen_dns_new.

#include "mx.h"
#include "pen_err.h"
#include "pen_log.h"
#include "unbound_setup.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

PEN_LOG_TYPE("control.dns");
PEN_COUNTERS_DEFINE(pen_dns, PEN_DNS_COUNTERS);

struct request {
	struct request *next, *prev; // of pen_dns.running
	struct request *ready;       // of pen_dns.ready_head
	bool is_ready;
	struct pen_dns *dns;
	struct mx *mx;
	struct event *timer;
	pen_time_us submitted;
	pen_dns_fn *fn;
	void *ctx;
	char nexthop[PEN_NEXTHOP_MAX];
};

// One question in flight. It outlives its request when that is given up:
// libunbound's cancel leaves a callback behind, so the answer is awaited and
// thrown away.
struct lookup {
	struct lookup *next, *prev;
	struct request *request; // NULL: nobody waits any more
	struct pen_dns *dns;
	uint32_t id;
	uint16_t type;
};

struct pen_dns {
	struct mx_options options;
	pen_time_us timeout;
	struct pen_rand rand;
	struct event_base *base;
	struct ub_ctx *ub;
	struct event *wake;
	int wake_fd;
	pthread_t thread;
	bool started;

	// Any thread, under the lock.
	pthread_mutex_t lock;
	struct request *inbox, *inbox_tail;
	uint32_t requests; // accepted and not answered yet
	bool stop;

	// The resolver thread.
	struct request running; // list head
	struct lookup lookups;  // list head
	uint32_t nlookups;
	struct request *ready_head, *ready_tail;
	bool resolving; // inside ub_resolve_event, which may call back at once
	struct pen_dns_counters counters;
};

static void request_ready(struct request *q)
{
	struct pen_dns *d = q->dns;

	if (q->is_ready)
		return;
	q->is_ready = true;
	q->ready = NULL;
	if (d->ready_head == NULL)
		d->ready_head = q;
	else
		d->ready_tail->ready = q;
	d->ready_tail = q;
}

static struct request *ready_pop(struct pen_dns *d)
{
	struct request *q = d->ready_head;

	d->ready_head = q->ready;
	q->is_ready = false;
	return q;
}

static void ready_remove(struct request *q)
{
	struct request **at = &q->dns->ready_head, *last = NULL;

	if (!q->is_ready)
		return;
	while (*at != q) {
		last = *at;
		at = &(*at)->ready;
	}
	*at = q->ready;
	if (q->dns->ready_tail == q)
		q->dns->ready_tail = last;
	q->is_ready = false;
}

static void request_free(struct request *q)
{
	if (q->timer != NULL)
		event_free(q->timer);
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

static void request_finish(struct request *q, struct pen_dns_hosts *hosts)
{
	struct pen_dns *d = q->dns;

	if (hosts == NULL)
		hosts = q->mx != NULL ? mx_take(q->mx) : NULL;
	if (hosts == NULL)
		hosts = out_of_memory();
	if (hosts->dsn.klass == 2)
		PEN_COUNT(d->counters.resolved);
	else if (hosts->dsn.klass == 4)
		PEN_COUNT(d->counters.failed_soft);
	else
		PEN_COUNT(d->counters.failed_hard);
	if (hosts->warning[0] != '\0')
		pen_warning("%s", hosts->warning);
	for (struct lookup *l = d->lookups.next; l != &d->lookups; l = l->next) {
		if (l->request == q)
			l->request = NULL;
	}
	ready_remove(q);
	q->prev->next = q->next;
	q->next->prev = q->prev;
	pthread_mutex_lock(&d->lock);
	d->requests--;
	pthread_mutex_unlock(&d->lock);
	q->fn(q->ctx, hosts);
	request_free(q);
}

static void count_answer(struct pen_dns *d, const struct dns_answer *a, bool bogus)
{
	if (bogus)
		PEN_COUNT(d->counters.bogus);
	else if (a->status == DNS_OK)
		PEN_COUNT(d->counters.answers);
	else if (a->status == DNS_NODATA)
		PEN_COUNT(d->counters.nodata);
	else if (a->status == DNS_NXDOMAIN)
		PEN_COUNT(d->counters.nxdomain);
	else if (a->status == DNS_MALFORMED)
		PEN_COUNT(d->counters.malformed);
	else
		PEN_COUNT(d->counters.failures);
}

static void drain(struct pen_dns *d);

static void lookup_done(struct lookup *l, const struct dns_answer *answer)
{
	struct pen_dns *d = l->dns;

	l->prev->next = l->next;
	l->next->prev = l->prev;
	d->nlookups--;
	if (l->request != NULL) {
		mx_answer(l->request->mx, l->id, answer);
		request_ready(l->request);
	}
	free(l);
}

// The sixth argument of libunbound's callback explains a bogus answer; it may
// run inside ub_resolve_event.
static void on_answer(
	void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int was_ratelimited)
{
	struct lookup *l = arg;
	struct pen_dns *d = l->dns;
	struct dns_answer a = {.status = DNS_FAIL};
	bool bogus = sec == 1;

	(void)was_ratelimited;
	// A bogus answer comes with its data and rcode 0: this test is the first.
	if (bogus) {
		pen_info("DNSSEC: %s", why_bogus != NULL ? why_bogus : "validation failed");
	} else if (packet != NULL && len > 0 && (rcode == 0 || rcode == 3)) {
		dns_wire_parse(&a, pen_span(packet, (size_t)len), l->type);
		a.secure = sec == 2;
	}
	count_answer(d, &a, bogus);
	lookup_done(l, &a);
	if (!d->resolving)
		drain(d);
}

static void lookup_start(struct request *q, const struct mx_query *query)
{
	struct pen_dns *d = q->dns;
	struct lookup *l = malloc(sizeof(*l));
	const struct dns_answer failed = {.status = DNS_FAIL};
	int async_id;

	if (l == NULL) {
		mx_answer(q->mx, query->id, &failed);
		request_ready(q);
		return;
	}
	*l = (struct lookup){.next = d->lookups.next,
		.prev = &d->lookups,
		.request = q,
		.dns = d,
		.id = query->id,
		.type = query->type};
	d->lookups.next->prev = l;
	d->lookups.next = l;
	d->nlookups++;
	PEN_COUNT(d->counters.lookups);
	d->resolving = true;
	int err = ub_resolve_event(d->ub, query->name, query->type, 1, l, on_answer, &async_id);
	d->resolving = false;
	if (err != 0) {
		PEN_COUNT(d->counters.failures);
		lookup_done(l, &failed);
	}
}

// drain asks what the ready requests want to ask, as long as there is room.
// Requests that find none stay in line and go on when an answer makes room.
static void drain(struct pen_dns *d)
{
	struct mx_query query;

	while (d->ready_head != NULL) {
		struct request *q = d->ready_head;
		if (mx_done(q->mx)) {
			request_finish(q, NULL);
			continue;
		}
		if (d->nlookups >= PEN_DNS_LOOKUPS_MAX)
			return;
		if (mx_next(q->mx, &query))
			lookup_start(q, &query);
		else
			ready_pop(d);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct request *q = arg;
	struct pen_dns *d = q->dns;

	(void)fd;
	(void)what;
	PEN_COUNT(d->counters.deadlines);
	mx_give_up(q->mx, "Host not found, try again (no answer in time)");
	request_finish(q, NULL);
	drain(d);
}

static struct pen_dns_hosts *bad_nexthop(const struct request *q, const char *why)
{
	struct pen_dns_hosts *h = out_of_memory();

	pen_dsn_set(&h->dsn, 5, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE,
		"next hop \"%s\": %s", q->nexthop, why);
	h->ttl_s = 60;
	return h;
}

static void request_begin(struct request *q)
{
	struct pen_dns *d = q->dns;
	struct pen_nexthop hop;
	pen_time_us left = q->submitted + d->timeout - pen_clock_mono();

	q->next = d->running.next;
	q->prev = &d->running;
	q->next->prev = q;
	d->running.next = q;
	PEN_COUNT(d->counters.requests);
	const char *wrong = pen_nexthop_parse(&hop, pen_span_cstr(q->nexthop));
	if (wrong != NULL) {
		request_finish(q, bad_nexthop(q, wrong));
		return;
	}
	q->mx = mx_new(&hop, &d->options, pen_rand_u64(&d->rand));
	q->timer = evtimer_new(d->base, on_deadline, q);
	if (q->mx == NULL || q->timer == NULL) {
		request_finish(q, out_of_memory());
		return;
	}
	if (left < 1)
		left = 1;
	struct timeval tv = {left / PEN_US_PER_S, left % PEN_US_PER_S};
	evtimer_add(q->timer, &tv);
	request_ready(q);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct pen_dns *d = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		pen_error("eventfd: read: %s", strerror(errno));
	pthread_mutex_lock(&d->lock);
	struct request *q = d->inbox;
	bool stop = d->stop;
	d->inbox = d->inbox_tail = NULL;
	pthread_mutex_unlock(&d->lock);
	while (q != NULL) {
		struct request *next = q->next;
		request_begin(q);
		q = next;
	}
	drain(d);
	if (stop)
		event_base_loopbreak(d->base);
}

static void *resolver_main(void *arg)
{
	struct pen_dns *d = arg;

	pthread_setname_np(pthread_self(), "pen-dns");
	event_base_dispatch(d->base);
	while (d->running.next != &d->running) {
		struct request *q = d->running.next;
		mx_give_up(q->mx, "the mail system is stopping");
		request_finish(q, NULL);
	}
	return NULL;
}

struct pen_dns *pen_dns_new(const struct pen_params *params, uint64_t seed, char *err, size_t cap)
{
	struct pen_dns *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		snprintf(err, cap, "out of memory");
		return NULL;
	}
	d->options = (struct mx_options){
		.address_limit = (uint32_t)params->smtp_mx_address_limit,
		.randomize = params->smtp_randomize_addresses,
		.ignore_mx_lookup_error = params->ignore_mx_lookup_error,
		.defer_if_no_address = params->smtp_defer_if_no_mx_address_found,
	};
	d->timeout = params->dns_timeout;
	d->running.next = d->running.prev = &d->running;
	d->lookups.next = d->lookups.prev = &d->lookups;
	pen_rand_seed(&d->rand, seed);
	pthread_mutex_init(&d->lock, NULL);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->base = event_base_new();
	if (d->wake_fd >= 0 && d->base != NULL)
		d->wake = event_new(d->base, d->wake_fd, EV_READ | EV_PERSIST, on_wake, d);
	if (d->wake == NULL || event_add(d->wake, NULL) != 0)
		snprintf(err, cap, "dns: cannot make an event loop: %s", strerror(errno));
	else
		d->ub = unbound_setup(params, d->base, err, cap);
	if (d->ub != NULL)
		return d;
	pen_dns_free(d);
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

int pen_dns_resolve(struct pen_dns *dns, struct pen_span nexthop, pen_dns_fn *fn, void *ctx)
{
	struct request *q = calloc(1, sizeof(*q));
	bool full;

	if (q == NULL)
		return -ENOMEM;
	q->dns = dns;
	q->fn = fn;
	q->ctx = ctx;
	q->submitted = pen_clock_mono();
	snprintf(q->nexthop, sizeof(q->nexthop), "%.*s",
		(int)(nexthop.n < sizeof(q->nexthop) ? nexthop.n : sizeof(q->nexthop)),
		nexthop.n > 0 ? (const char *)nexthop.p : "");
	pthread_mutex_lock(&dns->lock);
	full = dns->requests >= PEN_DNS_REQUESTS_MAX || dns->stop;
	if (!full) {
		dns->requests++;
		if (dns->inbox == NULL)
			dns->inbox = q;
		else
			dns->inbox_tail->next = q;
		dns->inbox_tail = q;
	}
	pthread_mutex_unlock(&dns->lock);
	if (full) {
		free(q);
		return -EAGAIN;
	}
	wake(dns);
	return 0;
}

void pen_dns_free(struct pen_dns *dns)
{
	if (dns == NULL)
		return;
	pthread_mutex_lock(&dns->lock);
	dns->stop = true;
	pthread_mutex_unlock(&dns->lock);
	if (dns->started) {
		wake(dns);
		pthread_join(dns->thread, NULL);
	}
	if (dns->ub != NULL)
		ub_ctx_delete(dns->ub);
	for (struct lookup *l = dns->lookups.next, *next; l != &dns->lookups; l = next) {
		next = l->next;
		free(l);
	}
	while (dns->inbox != NULL) { // never started
		struct request *q = dns->inbox;
		dns->inbox = q->next;
		free(q);
	}
	if (dns->wake != NULL)
		event_free(dns->wake);
	if (dns->base != NULL)
		event_base_free(dns->base);
	if (dns->wake_fd >= 0)
		close(dns->wake_fd);
	pthread_mutex_destroy(&dns->lock);
	free(dns);
}

struct pen_counter_set pen_dns_counters_of(const struct pen_dns *dns)
{
	return pen_dns_counter_set(&dns->counters);
}
