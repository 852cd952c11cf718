// SPDX-License-Identifier: BSD-3-Clause

// What a large deferred queue costs: memory, adding, timers, and an operator's
// hands on all of it. Messages wait for retries that are spread over a time, all
// with the same few reasons.
//
//   pen_queue_bench [messages [spread-seconds]]
#include "pen_sched.h"
#include "pen_sched_select.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define S PEN_US_PER_S
#define TENANTS 100

static uint64_t due, records;

static bool op_route(void *ctx, struct pen_span rcpt, struct pen_span domain,
	struct pen_sched_hop *out, struct pen_dsn *why)
{
	(void)ctx;
	(void)rcpt;
	(void)out;
	(void)domain;
	// Deferred at once: what is measured is the waiting, not the sending.
	pen_dsn_set(why, 4, 4, 3, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"host mx.example.com[192.0.2.1] said: 451 4.7.1 try again later");
	due++;
	return false;
}

static void op_resolve(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token)
{
	(void)ctx, (void)transport, (void)nexthop, (void)demand, (void)token;
}

static bool op_send(void *ctx, uint32_t worker, struct pen_ring_msg msg)
{
	(void)ctx, (void)worker, (void)msg;
	return false;
}

static void op_record(void *ctx, const struct pen_message *m, const struct pen_message_update *up)
{
	(void)ctx, (void)m, (void)up;
	records++;
}

static void op_submit(void *ctx, const struct pen_sched_submission *sub)
{
	(void)ctx;
	free(sub->content);
}

static int op_content(void *ctx, struct pen_message *m)
{
	(void)ctx, (void)m;
	return -1;
}

static void op_log(void *ctx, const struct pen_sched_log *line)
{
	(void)ctx, (void)line;
}

static void op_end(void *ctx, struct pen_message *m)
{
	(void)ctx;
	pen_message_free(m);
}

// Bytes of memory that are in use, whichever allocator it is.
static size_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f != NULL && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static double seconds_since(pen_time_us t)
{
	return (double)(pen_clock_mono() - t) / S;
}

static struct pen_message *message(uint64_t i, pen_wall_us wall, pen_time_us spread)
{
	static const char text[] = "host mx.example.com[192.0.2.1] said: 451 4.7.1 try again later";
	char addr[64], sender[64], tenant[16];
	struct pen_dsn why;

	snprintf(addr, sizeof(addr), "user%llu@example%llu.com", (unsigned long long)i,
		(unsigned long long)(i % 1000));
	snprintf(
		sender, sizeof(sender), "bounces@sender%llu.example", (unsigned long long)(i % 50));
	snprintf(tenant, sizeof(tenant), "t%llu", (unsigned long long)(i % TENANTS));
	const struct pen_mail_class *k = pen_mail_class_get(
		pen_span_cstr(tenant), pen_span(NULL, 0), pen_span(NULL, 0), PEN_PRIORITY_NORMAL);
	const struct pen_envelope_rcpt r = {.addr = pen_span_cstr(addr)};
	struct pen_message *m =
		pen_message_make(&(struct pen_envelope){.sender = pen_span_cstr(sender),
					 .rcpt = &r,
					 .nrcpt = 1,
					 .arrival = wall - 3600 * S,
					 .klass = k},
			NULL, 4096);
	pen_mail_class_put(k);
	m->id = i + 1;
	m->next_attempt = wall + S + (pen_time_us)(i * 2654435761u % (uint64_t)spread);
	pen_dsn_set(&why, 4, 7, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT,
		"%s (%llu)", text, (unsigned long long)(i % 100));
	m->last_error = pen_note_get(&why, "", 0);
	return m;
}

// Time goes on in steps of 10 ms: how long the slowest poll is.
static void let_time_pass(struct pen_sched *s, pen_time_us mono, pen_wall_us wall, pen_time_us how)
{
	pen_time_us begun = pen_clock_mono(), slowest = 0;
	uint64_t polls = 0;

	due = 0;
	for (pen_time_us t = 0; t < how; t += 10000) {
		pen_sched_clock(s, mono + t, wall + t);
		for (uint32_t did = 1; did > 0; polls++) {
			pen_time_us before = pen_clock_mono();
			did = pen_sched_poll(s, 256);
			pen_time_us took = pen_clock_mono() - before;
			slowest = took > slowest ? took : slowest;
		}
	}
	double took = seconds_since(begun);
	printf("%.0f s of its time: %llu attempts in %.2f s (%.0f/s), %llu polls, the slowest %.1f "
	       "ms\n",
		(double)how / S, (unsigned long long)due, took, (double)due / took,
		(unsigned long long)polls, (double)slowest / 1000);
}

static void order(struct pen_sched *s, const char *what, struct pen_sched_selector which,
	enum pen_sched_action action)
{
	struct pen_sched_tally t = {0};
	pen_time_us begun = pen_clock_mono(), slowest = 0;
	uint64_t after = 0;

	do {
		pen_time_us before = pen_clock_mono();
		after = pen_sched_apply(s, &which, &(struct pen_sched_order){.action = action},
			after, 4096, &t, NULL, NULL);
		pen_time_us took = pen_clock_mono() - before;
		slowest = took > slowest ? took : slowest;
	} while (after != 0);
	printf("%s: %llu of %llu messages, %llu changed, %.2f s, the slowest piece %.1f ms\n", what,
		(unsigned long long)t.messages, (unsigned long long)t.examined,
		(unsigned long long)t.done, seconds_since(begun), (double)slowest / 1000);
}

int main(int argc, char **argv)
{
	static const struct pen_sched_ops ops = {.route = op_route,
		.resolve = op_resolve,
		.send = op_send,
		.record = op_record,
		.submit = op_submit,
		.content = op_content,
		.log = op_log,
		.removed = op_end,
		.forget = op_end};
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
	pen_time_us spread = (argc > 2 ? strtoll(argv[2], NULL, 10) : 4000) * S;
	struct pen_sched_source source = {.addr = pen_addr_ip4(0xc0000201)};
	const pen_time_us mono = S;
	const pen_wall_us wall = 1700000000ll * S;
	struct pen_sched_config cfg;

	pen_sched_config_init(&cfg);
	strcpy(cfg.myhostname, "gw.test");
	cfg.workers = 1;
	cfg.nsources = 1;
	cfg.source = &source;
	cfg.seed = 1;
	struct pen_sched *s = pen_sched_new(&cfg, &ops, NULL, mono, wall);
	size_t before = resident();
	pen_time_us begun = pen_clock_mono();
	for (uint64_t i = 0; i < n; i++) {
		if (pen_sched_add(s, message(i, wall, spread)) != 0)
			return 1;
	}
	double took = seconds_since(begun);
	printf("%llu messages added in %.2f s (%.0f/s), %.0f bytes each, %zu notes\n",
		(unsigned long long)n, took, (double)n / took,
		(double)(resident() - before) / (double)n, pen_note_count());
	let_time_pass(s, mono, wall, spread + 100 * S);
	order(s, "count of a tenant", (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("t7")},
		PEN_ACTION_COUNT);
	order(s, "count of a domain",
		(struct pen_sched_selector){.domain = PEN_SPAN_LIT("example7.com")},
		PEN_ACTION_COUNT);
	order(s, "hold of a tenant", (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("t7")},
		PEN_ACTION_HOLD);
	order(s, "deletion of a tenant", (struct pen_sched_selector){.tenant = PEN_SPAN_LIT("t8")},
		PEN_ACTION_DELETE);
	order(s, "deletion of all", (struct pen_sched_selector){.everything = true},
		PEN_ACTION_DELETE);
	pen_sched_free(s);
	return 0;
}
