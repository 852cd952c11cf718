// SPDX-License-Identifier: BSD-3-Clause

// How many one-recipient messages per second one thread adds, hands to a worker
// and completes: pen_sched_bench [messages [waiting [sites]]]. With `waiting`
// messages queued before the first is completed. Not a test: the result depends
// on the machine.
#include "core.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

struct bench {
	struct pen_sched *s;
	struct pen_ring_msg *event; // what the worker answers, in order
	uint64_t head, tail, mask;
	uint64_t removed, sites;
	struct pen_message *spare;
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
	b->event[b->head++ & b->mask] = (struct pen_ring_msg){.type = type, .p = p};
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	struct bench *b = ctx;

	(void)worker;
	if (b->head - b->tail > b->mask - 2)
		return false;
	if (msg.type == PEN_CMD_LEASE_OPEN) {
		((struct pen_lease *)msg.p)->ready = true;
		answer(b, PEN_EVENT_LEASE_READY, msg.p);
	} else if (msg.type == PEN_CMD_DELIVERY) {
		struct pen_delivery *d = msg.p;
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
	memset(m, 0, sizeof(*m));
	m->id = id;
	m->klass = &pen_mail_class_none;
	m->arrival = 1;
	m->sender = PEN_SPAN_LIT("sender@example.com");
	char *addr = (char *)&m->rcpt[1];
	m->nrcpt = 1;
	m->content = (uint8_t *)addr; // never read here
	m->content_len = 1;
	int n = snprintf(addr, 64, "r@d%llu.test", (unsigned long long)(id % b->sites));
	m->rcpt[0] = (struct pen_recipient){.addr = pen_span(addr, (size_t)n)};
	if (pen_sched_add(b->s, m) != 0)
		abort();
}

static void work(struct bench *b, uint64_t most)
{
	while (most-- > 0 && b->tail != b->head)
		pen_sched_on_event(b->s, b->event[b->tail++ & b->mask]);
}

static double seconds(void)
{
	return (double)pen_clock_mono() / 1e6;
}

int main(int argc, char **argv)
{
	uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	uint64_t waiting = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	struct bench b = {
		.mask = (1 << 20) - 1, .sites = argc > 3 ? strtoull(argv[3], NULL, 10) : 10};
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

	pen_sched_config_init(&cfg);
	strcpy(cfg.myhostname, "gw.test");
	cfg.workers = 1;
	cfg.nsources = 1;
	cfg.source = &source;
	cfg.seed = 1;
	b.event = malloc((b.mask + 1) * sizeof(*b.event));
	pen_time_us now = pen_clock_mono();
	b.s = pen_sched_new(&cfg, &ops, &b, now, 2);

	uint64_t added = 0;
	printf("bytes per entry %zu, job %zu, lease %zu, site %zu\n", sizeof(struct entry),
		offsetof(struct job, rcpt) + sizeof(uint32_t), sizeof(struct lease),
		sizeof(struct site));
	struct mallinfo2 before = mallinfo2();
	uint64_t own = 0;
	for (; added < waiting; added++) {
		add(&b, added + 1);
		own += malloc_usable_size(entry_find(b.s, added + 1)->m) + 8;
	}
	struct mallinfo2 after = mallinfo2();
	if (waiting > 0)
		printf("%.0f bytes per waiting message beyond pen_message\n",
			(double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd -
				 own) /
				(double)waiting);
	double t0 = seconds();
	for (; added < total; added++) {
		add(&b, added + 1);
		work(&b, 2);
		if ((added & 1023) == 0) {
			pen_sched_clock(b.s, pen_clock_mono(), 2 + pen_clock_mono() - now);
			pen_sched_poll(b.s, 100);
		}
	}
	while (b.removed < total) {
		work(&b, 1024);
		pen_sched_clock(b.s, pen_clock_mono(), 2 + pen_clock_mono() - now);
		pen_sched_poll(b.s, 100);
	}
	double t = seconds() - t0;
	printf("%llu messages, %llu waiting, %llu sites: %.2f s, %.0f messages/s\n",
		(unsigned long long)total, (unsigned long long)waiting, (unsigned long long)b.sites,
		t, (double)total / t);
	pen_sched_stop(b.s);
	while (!pen_sched_idle(b.s))
		work(&b, 1024);
	pen_sched_free(b.s);
	while (b.spare != NULL) {
		struct pen_message *m = b.spare;
		b.spare = m->sched;
		free(m);
	}
	free(b.event);
	return 0;
}
