// SPDX-License-Identifier: BSD-3-Clause

// How many decisions one thread takes in a second. A decision is one delivery of
// one message with one recipient: handed to a lease, and its result taken, to the
// record of its end; connections are opened and closed as that needs. A worker that
// answers at once stands at the other end of the ring. Times are of the processor.
//
//   pen_sched_bench [messages [waiting [sites [tenants [limits]]]]]
//
// First `waiting` messages are queued. Then messages come and go, so that as many
// stay queued: adding, routing and queueing each is part of that number. Then what
// is queued goes: that number is of the decisions alone. `tenants`: so many, two campaigns of each.
// `limits` 1: every site has limits of all kinds, none of which is reached. Not a test: the result
// depends on the machine.
#include "core.h"

#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RING 4096 // events on their way back

struct bench {
	struct pen_sched *s;
	// What the worker answers, in order; [1]: results, which go first, so that what
	// is on its way stays little, as with a worker that sends as fast as it is told.
	struct pen_ring_msg *event[2];
	uint64_t head[2], tail[2], mask;
	uint64_t removed, sites, tenants, opened, handed;
	struct pen_message *spare;
	uint8_t *content;
	const struct pen_mail_class **klass;
};

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	(void)ctx;
	(void)rcpt;
	(void)why;
	out->transport = PEN_SPAN_LIT("smtp");
	out->nexthop = domain;
	return true;
}

static void op_resolve(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	static struct pen_route_result r;
	struct bench *b = ctx;

	(void)demand;
	(void)transport;
	r.status.klass = 2;
	r.site_key = nexthop;
	r.site_name = nexthop;
	r.mx = &nexthop;
	r.nmx = 1;
	r.ttl = 3600 * PEN_US_PER_S;
	r.nhosts = 1;
	if (r.host[0].tls == NULL)
		r.host[0].tls = pen_tls_policy_plain(PEN_TLS_NONE, "mx.test");
	r.host[0].addr = pen_addr_ip4(0x0a000001);
	r.host[0].port = 25;
	pen_sched_on_resolved(b->s, token, &r);
}

static void answer(struct bench *b, uint32_t type, void *p)
{
	unsigned q = type == PEN_EVENT_DELIVERY_DONE;

	b->event[q][b->head[q]++ & b->mask] = (struct pen_ring_msg){.type = type, .p = p};
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	struct bench *b = ctx;

	(void)worker;
	if (b->head[0] - b->tail[0] > b->mask - 2 || b->head[1] - b->tail[1] > b->mask - 2)
		return false;
	if (msg.type == PEN_CMD_LEASE_OPEN) {
		((struct pen_lease *)msg.p)->ready = true;
		b->opened++;
		answer(b, PEN_EVENT_LEASE_READY, msg.p);
	} else if (msg.type == PEN_CMD_DELIVERY) {
		struct pen_delivery *d = msg.p;
		b->handed++;
		d->attempted = true;
		d->rcpt[0].result.klass = 2;
		d->rcpt[0].result.reply = 250;
		answer(b, PEN_EVENT_DELIVERY_DONE, d);
	} else {
		((struct pen_lease *)msg.p)->result.klass = 2;
		answer(b, PEN_EVENT_LEASE_ENDED, msg.p);
	}
	return true;
}

static void op_record(void *ctx, const struct pen_message *m, const struct pen_message_update *up)
{
	(void)ctx;
	(void)m;
	(void)up;
}

static void op_submit(void *ctx, const struct pen_sched_submission *sub)
{
	(void)ctx;
	free(sub->content);
}

static void op_log(void *ctx, const struct pen_sched_log *line)
{
	(void)ctx;
	(void)line;
}

static void op_gone(void *ctx, struct pen_message *m)
{
	struct bench *b = ctx;

	b->removed++;
	m->sched = b->spare; // keeps the message's own memory out of the measure
	b->spare = m;
}

static void add(struct bench *b, uint64_t id)
{
	struct pen_message *m = b->spare;

	if (m != NULL)
		b->spare = m->sched;
	else
		m = malloc(sizeof(*m) + sizeof(m->rcpt[0]) + 64);
	memset(m, 0, sizeof(*m) + sizeof(m->rcpt[0]));
	m->id = id;
	m->klass = b->tenants > 0 ? b->klass[id / 7 % (2 * b->tenants)] : &pen_mail_class_none;
	m->arrival = 1;
	char *addr = (char *)&m->rcpt[1];
	m->nrcpt = 1;
	m->content = b->content; // never read here
	m->content_len = 1;
	int n = snprintf(addr, 64, "r@d%llu.test", (unsigned long long)(id % b->sites));
	m->rcpt[0].addr_off = (uint32_t)(addr - (char *)&m->rcpt[0]);
	m->rcpt[0].addr_len = (uint16_t)n;
	m->sender_len = m->rcpt[0].addr_len; // the same text
	if (pen_sched_add(b->s, m) != 0)
		abort();
}

static uint64_t pending(const struct bench *b)
{
	return b->head[0] - b->tail[0] + b->head[1] - b->tail[1];
}

static void work(struct bench *b, uint64_t leave)
{
	while (pending(b) > leave) {
		unsigned q = b->head[1] != b->tail[1];
		pen_sched_on_event(b->s, b->event[q][b->tail[q]++ & b->mask]);
	}
}

// Of this thread: what others do on the machine counts less.
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_classes(struct bench *b)
{
	char tenant[32], campaign[32];

	b->klass = calloc(2 * b->tenants + 1, sizeof(*b->klass));
	for (uint64_t i = 0; i < 2 * b->tenants; i++) {
		int n = snprintf(tenant, sizeof(tenant), "t%llu", (unsigned long long)(i / 2));
		int k = snprintf(campaign, sizeof(campaign), "c%llu", (unsigned long long)(i % 2));
		b->klass[i] = pen_mail_class_get(pen_span(tenant, (size_t)n),
			pen_span(campaign, (size_t)k), pen_span("", 0), PEN_PRIORITY_NORMAL);
	}
}

#ifndef BENCH_WITHOUT_SHAPE
static void set_limits(struct pen_limits *l)
{
	*l = (struct pen_limits){.given = 0x7f,
		.connections = 20,
		.connection_rate = {1000000, PEN_US_PER_S, 1000000},
		.message_rate = {10000000, PEN_US_PER_S, 10000000},
		.byte_rate = {1000000000, PEN_US_PER_S, 1000000000},
		.connection_messages = 100,
		.recipients = 50,
		.connection_time = 300 * PEN_US_PER_S};
}

static struct pen_shape *make_shape(struct bench *b, const struct pen_addr *source, bool limits,
	pen_time_us now, pen_wall_us wall)
{
	struct pen_shape_config *cfg = pen_shape_config_plain(source, 1);

	(void)b;
	if (limits)
		set_limits(&cfg->defaults.limits);
	return pen_shape_new(cfg, now, wall);
}
#endif

static uint64_t heap(void)
{
	uint64_t epoch = 1;
	size_t n = 0, size = sizeof(n), epoch_size = sizeof(epoch);

	mallctl("epoch", &epoch, &epoch_size, &epoch, epoch_size);
	mallctl("stats.allocated", &n, &size, NULL, 0);
	return n;
}

static void pass(struct bench *b, pen_time_us start)
{
	pen_sched_clock(b->s, pen_clock_mono(), 2 + pen_clock_mono() - start);
	pen_sched_poll(b->s, 1000);
}

static void report(
	const struct bench *b, const char *what, double since, uint64_t handed, uint64_t opened)
{
	double t = seconds() - since;

	handed = b->handed - handed;
	printf("%s: %llu deliveries, %llu connections in %.2f s, %.0f decisions/s\n", what,
		(unsigned long long)handed, (unsigned long long)(b->opened - opened), t,
		(double)handed / t);
}

int main(int argc, char **argv)
{
	uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	uint64_t waiting = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	struct bench b = {
		.mask = (1 << 20) - 1, .sites = argc > 3 ? strtoull(argv[3], NULL, 10) : 100000};
	struct pen_sched_ops ops = {.route = op_route,
		.resolve = op_resolve,
		.send = op_send,
		.record = op_record,
		.submit = op_submit,
		.log = op_log,
		.removed = op_gone,
		.forget = op_gone};
	struct pen_sched_source source = {.addr = pen_addr_ip4(0x0a000002)};
	struct pen_sched_config cfg;

	b.tenants = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	pen_sched_config_init(&cfg);
	strcpy(cfg.myhostname, "gw.test");
	cfg.workers = 1;
	cfg.nsources = 1;
	cfg.source = &source;
	cfg.seed = 1;
	for (int q = 0; q < 2; q++)
		b.event[q] = malloc((b.mask + 1) * sizeof(*b.event[q]));
	b.content = malloc(1);
	make_classes(&b);
	pen_time_us now = pen_clock_mono();
	bool limits = argc > 5 && atoi(argv[5]) > 0;
#ifndef BENCH_WITHOUT_SHAPE
	if (limits || b.tenants > 0)
		cfg.shape = make_shape(&b, &source.addr, limits, now, 2);
#endif
	b.s = pen_sched_new(&cfg, &ops, &b, now, 2);

	uint64_t added = 0;
	printf("bytes per entry %zu, message %zu, job %zu, lease %zu, site %zu, next hop %zu\n",
		sizeof(struct entry), sizeof(struct pen_message) + sizeof(struct pen_recipient),
		offsetof(struct job, rcpt) + sizeof(uint32_t), sizeof(struct lease),
		sizeof(struct site), sizeof(struct nexthop));
	// Sites, next hops and connections first: they do not grow with the queue.
	for (; added < b.sites && added < waiting / 2; added++)
		add(&b, added + 1);
	uint64_t before = heap(), own = 0, first = added;
	for (; added < waiting; added++) {
		add(&b, added + 1);
		own += malloc_usable_size(entry_find(b.s, added + 1)->m);
	}
	if (added > first)
		printf("%.0f bytes per waiting message beyond pen_message\n",
			(double)(heap() - before - own) / (double)(added - first));
	printf("%llu messages, %llu waiting, %llu sites, %llu tenants, limits %d\n",
		(unsigned long long)total, (unsigned long long)waiting, (unsigned long long)b.sites,
		(unsigned long long)b.tenants, limits);
	double t0 = seconds();
	uint64_t handed = b.handed, opened = b.opened;
	for (; added < total; added++) {
		add(&b, added + 1);
		if (b.removed + waiting < added + 1)
			work(&b, RING < waiting ? RING : 0);
		if ((added & 1023) == 0)
			pass(&b, now);
	}
	report(&b, "coming and going", t0, handed, opened);
	t0 = seconds();
	handed = b.handed;
	opened = b.opened;
	while (b.removed < total) {
		work(&b, 0);
		pass(&b, now);
	}
	report(&b, "going", t0, handed, opened);
	pen_sched_stop(b.s);
	while (!pen_sched_idle(b.s))
		work(&b, 0);
	pen_sched_free(b.s);
#ifndef BENCH_WITHOUT_SHAPE
	pen_shape_free(cfg.shape);
#endif
	while (b.spare != NULL) {
		struct pen_message *m = b.spare;
		b.spare = m->sched;
		free(m);
	}
	for (uint64_t i = 0; i < 2 * b.tenants; i++)
		pen_mail_class_put(b.klass[i]);
	free(b.klass);
	free(b.content);
	free(b.event[0]);
	free(b.event[1]);
	return 0;
}
