// SPDX-License-Identifier: BSD-3-Clause

// One gateway worker against penstock-sink over memif, with the queue in
// memory: what the dataplane alone can do.
//
// The messages are made before the clock starts; the feeder thread only moves
// pointers through the rings, as the scheduler does. Idle mode opens
// connections that say nothing and divides the memory they take.

#include "bench_settings.h"
#include "pen_content_hash.h"
#include "pen_dataplane.h"
#include "pen_delivery.h"
#include "pen_err.h"
#include "pen_wire_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define AHEAD 16 // deliveries that a lease has at the worker at a time
#define IDLE_US (3600 * PEN_US_PER_S)

struct bench_lease {
	struct pen_lease lease;
	uint32_t worker;
	uint32_t left;        // deliveries still to be given to this connection
	uint32_t outstanding; // at the worker
	bool open, ready, closing;
};

struct bench {
	struct bench_settings set;
	struct pen_dataplane *d;
	struct bench_lease *lease;
	struct pen_delivery **delivery; // a stack of free ones
	uint32_t nfree;
	uint64_t next, delivered, failed, returned;
	uint32_t open, ready, ended_badly;
	uint8_t **content; // `distinct` contents
	uint32_t *content_n;
	struct pen_dsn last_error;
	char run[32];
};

// ---- messages ----

static uint32_t make_content(struct bench *b, uint32_t i, uint8_t **out)
{
	char head[512], *text = malloc(b->set.size + 1024);
	size_t n;

	if (text == NULL)
		pen_fatal("out of memory");
	n = (size_t)snprintf(head, sizeof(head),
		"X-Penstock-Id: %s-%u\r\nFrom: <bench@example.com>\r\nTo: <sink@example.net>\r\n"
		"Subject: message %u\r\nMIME-Version: 1.0\r\n\r\n",
		b->run, i, i);
	memcpy(text + 64, head, n);
	while (n < b->set.size - 80) {
		for (unsigned c = 0; c < 76; c++)
			text[64 + n + c] = (char)('a' + (n + c * 7 + i) % 26);
		n += 76;
		text[64 + n++] = '\r';
		text[64 + n++] = '\n';
	}
	// The claim comes on top; it does not count in the hash.
	uint64_t hash = pen_content_hash(text + 64, n);
	int claim = snprintf(
		head, sizeof(head), "X-Penstock-Hash: %016llx\r\n", (unsigned long long)hash);
	memmove(text + claim, text + 64, n);
	memcpy(text, head, (size_t)claim);
	*out = (uint8_t *)text;
	return (uint32_t)n + (uint32_t)claim;
}

static void make_messages(struct bench *b)
{
	uint32_t ndeliveries = b->set.connections * AHEAD;

	b->content = calloc(b->set.distinct, sizeof(*b->content));
	b->content_n = calloc(b->set.distinct, sizeof(*b->content_n));
	b->lease = calloc(b->set.connections + b->set.idle, sizeof(*b->lease));
	b->delivery = calloc(ndeliveries, sizeof(*b->delivery));
	if (b->content == NULL || b->content_n == NULL || b->lease == NULL || b->delivery == NULL)
		pen_fatal("out of memory");
	for (uint32_t i = 0; i < b->set.distinct; i++)
		b->content_n[i] = make_content(b, i, &b->content[i]);
	for (; b->nfree < ndeliveries; b->nfree++) {
		struct pen_delivery *d = calloc(1, sizeof(*d) + sizeof(d->rcpt[0]));
		if (d == NULL)
			pen_fatal("out of memory");
		d->nrcpt = 1;
		d->rcpt[0].addr = PEN_SPAN_LIT("sink@example.net");
		d->sender = PEN_SPAN_LIT("bench@example.com");
		b->delivery[b->nfree] = d;
	}
}

// ---- feeding the worker ----

static bool send_command(struct bench *b, const struct bench_lease *l, uint32_t type, const void *p)
{
	struct pen_ring_msg m = {.type = type, .p = (void *)(uintptr_t)p};

	return pen_worker_send(pen_dataplane_worker(b->d, l->worker), m);
}

static void fill_lease(struct bench *b, struct bench_lease *l)
{
	static const struct pen_tls_policy levels[3] = {
		{.level = PEN_TLS_NONE}, {.level = PEN_TLS_MAY}, {.level = PEN_TLS_ENCRYPT}};

	static const struct pen_smtp_rules rules = PEN_SMTP_RULES_DEFAULT;

	l->lease = (struct pen_lease){
		.rules = &rules,
		.source = b->set.source,
		.source6 = b->set.source,
		.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT,
		.nhosts = 1,
	};
	l->lease.timeouts.idle = IDLE_US;
	l->lease.host[0] = (struct pen_lease_host){.name = "sink.example.net",
		.tls = &levels[b->set.tls_may ? 1
			       : b->set.tls   ? 2
					      : 0],
		.addr = b->set.host,
		.port = b->set.port};
	l->lease.helo = l->lease.helo6 = "bench.example.com";
	l->ready = l->closing = false;
	l->outstanding = 0;
	l->worker = (uint32_t)(l - b->lease) % b->set.workers;
}

static bool feed_lease(struct bench *b, struct bench_lease *l)
{
	bool did = false;

	while (l->left > 0 && l->outstanding < AHEAD && b->next < b->set.messages && b->nfree > 0) {
		struct pen_delivery *d = b->delivery[b->nfree - 1];
		uint32_t c = (uint32_t)(b->next % b->set.distinct);
		d->lease = &l->lease;
		d->content = pen_span(b->content[c], b->content_n[c]);
		d->rcpt[0].result.klass = 0;
		if (!send_command(b, l, PEN_CMD_DELIVERY, d))
			return did;
		b->nfree--;
		b->next++;
		l->left--;
		l->outstanding++;
		did = true;
	}
	return did;
}

static bool feed(struct bench *b)
{
	bool did = false;

	for (uint32_t i = 0; i < b->set.connections; i++) {
		struct bench_lease *l = &b->lease[i];
		if (!l->open && b->next < b->set.messages) {
			fill_lease(b, l);
			l->left = b->set.per_connection;
			if (!send_command(b, l, PEN_CMD_LEASE_OPEN, &l->lease))
				return did;
			l->open = did = true;
			b->open++;
		}
		if (!l->open)
			continue;
		did |= feed_lease(b, l);
		bool finished = l->left == 0 || b->next >= b->set.messages;
		if (finished && !l->closing && send_command(b, l, PEN_CMD_LEASE_CLOSE, &l->lease))
			l->closing = true;
	}
	return did;
}

static void on_done(struct bench *b, struct pen_delivery *d)
{
	struct bench_lease *l = (struct bench_lease *)d->lease;

	l->outstanding--;
	b->delivery[b->nfree++] = d;
	if (!d->attempted) {
		b->returned++;
	} else if (pen_dsn_ok(&d->rcpt[0].result)) {
		b->delivered++;
	} else {
		b->failed++;
		b->last_error = d->rcpt[0].result;
	}
}

static bool drain_worker(struct bench *b, struct pen_worker *w)
{
	struct pen_ring_msg m;
	bool did = false;

	while (pen_worker_recv(w, &m)) {
		struct bench_lease *l = m.p;
		did = true;
		switch (m.type) {
		case PEN_EVENT_LEASE_READY:
			l->ready = true;
			b->ready++;
			break;
		case PEN_EVENT_DELIVERY_DONE:
			on_done(b, m.p);
			break;
		default:
			if (l->ready)
				b->ready--;
			if (l->lease.result.klass != 2) {
				b->ended_badly++;
				b->last_error = l->lease.result;
			}
			l->open = false;
			b->open--;
		}
	}
	return did;
}

static bool drain(struct bench *b)
{
	bool did = false;

	for (uint32_t i = 0; i < b->set.workers; i++)
		did |= drain_worker(b, pen_dataplane_worker(b->d, i));
	return did;
}

// All workers together.
static struct pen_worker_load get_load(struct bench *b)
{
	struct pen_worker_load sum = {0}, l;

	for (uint32_t i = 0; i < b->set.workers; i++) {
		pen_worker_get_load(pen_dataplane_worker(b->d, i), &l);
		sum.connections += l.connections;
		sum.loops += l.loops;
		sum.busy_loops += l.busy_loops;
	}
	return sum;
}

static void pause_us(long us)
{
	struct timespec ts = {.tv_nsec = us * 1000};

	nanosleep(&ts, NULL);
}

// ---- runs ----

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static long resident_kb(void)
{
	long pages = 0, skip;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL || fscanf(f, "%ld %ld", &skip, &pages) != 2)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_counters(void *ctx, const struct pen_counter_set *set)
{
	(void)ctx;
	for (uint32_t i = 0; i < set->n; i++) {
		uint64_t v = pen_counter_read(&set->value[i]);
		if (v != 0)
			fprintf(stderr, "%s.%s %llu\n", set->group, set->desc[i].name,
				(unsigned long long)v);
	}
}

// The first packet to a neighbour waits for ARP: not what is measured.
static void warm_up(struct bench *b)
{
	pen_time_us end = pen_clock_mono() + (pen_time_us)(b->set.timeout * 1e6);
	struct bench_lease *l = &b->lease[0];

	fill_lease(b, l);
	l->left = 0;
	l->open = send_command(b, l, PEN_CMD_LEASE_OPEN, &l->lease);
	b->open++;
	while (!l->ready && l->open && pen_clock_mono() < end) {
		drain(b);
		pause_us(100);
	}
	send_command(b, l, PEN_CMD_LEASE_CLOSE, &l->lease);
	while (l->open && pen_clock_mono() < end) {
		drain(b);
		pause_us(100);
	}
}

static int run_messages(struct bench *b)
{
	pen_time_us begin = pen_clock_mono();
	pen_time_us end = begin + (pen_time_us)(b->set.timeout * 1e6);
	struct pen_worker_load l0 = get_load(b), l1;
	double cpu = cpu_seconds();

	for (pen_time_us now = begin; now < end; now = pen_clock_mono()) {
		bool did = feed(b);
		did |= drain(b);
		b->next -= b->returned; // sent again on another connection
		b->returned = 0;
		if (b->delivered + b->failed >= b->set.messages && b->open == 0)
			break;
		if (!did || b->open == b->set.connections)
			pause_us(100);
	}
	double s = (double)(pen_clock_mono() - begin) / 1e6;
	l1 = get_load(b);
	cpu = cpu_seconds() - cpu;
	double rate = (double)b->delivered / s, mb = rate * b->content_n[0] / 1e6;
	bool ok = b->delivered == b->set.messages;
	const char *fmt_ok = ok ? "true" : "false";
	double busy = l1.loops > l0.loops ? (double)(l1.busy_loops - l0.busy_loops) /
						    (double)(l1.loops - l0.loops)
					  : 0;
	if (b->set.json)
		printf("{\"bench\":\"dataplane\",\"tls\":%s,\"size\":%u,\"connections\":%u,"
		       "\"per_connection\":%u,\"messages\":%llu,\"delivered\":%llu,\"failed\":%llu,"
		       "\"seconds\":%.3f,\"messages_per_second\":%.0f,\"megabytes_per_second\":%."
		       "1f,"
		       "\"cpu_seconds\":%.3f,\"busy_loops\":%.3f,\"ok\":%s}\n",
			b->set.tls ? "true" : "false", b->set.size, b->set.connections,
			b->set.per_connection, (unsigned long long)b->set.messages,
			(unsigned long long)b->delivered, (unsigned long long)b->failed, s, rate,
			mb, cpu, busy, fmt_ok);
	else
		printf("%u bytes%s, %u connections, %u messages each: %llu delivered, %llu failed "
		       "in %.2f s: %.0f messages/s, %.0f MB/s, CPU %.2f s\n",
			b->set.size, b->set.tls ? " over TLS" : "", b->set.connections,
			b->set.per_connection, (unsigned long long)b->delivered,
			(unsigned long long)b->failed, s, rate, mb, cpu);
	return ok ? 0 : 1;
}

static int run_idle(struct bench *b)
{
	pen_time_us end = pen_clock_mono() + (pen_time_us)(b->set.timeout * 1e6);
	uint32_t asked = 0;
	struct pen_worker_load load;

	// What the first half touches includes packet buffers and tables that are there
	// once; the second half shows what one more connection costs.
	for (uint32_t i = 0; i < b->set.idle; i++)
		fill_lease(b, &b->lease[i]);
	long before = 0;
	while (pen_clock_mono() < end && b->ready < b->set.idle && b->ended_badly == 0) {
		if (before == 0 && b->ready >= b->set.idle / 2)
			before = resident_kb();
		// A SYN flood would measure retransmissions.
		while (asked < b->set.idle && asked - b->ready < 256 &&
			send_command(
				b, &b->lease[asked], PEN_CMD_LEASE_OPEN, &b->lease[asked].lease)) {
			b->lease[asked++].open = true;
			b->open++;
		}
		drain(b);
		pause_us(200);
	}
	pause_us(300000);
	long after = resident_kb();
	load = get_load(b);
	double each = (double)(after - before) * 1024 / (b->set.idle - b->set.idle / 2);
	bool ok = b->ready == b->set.idle;
	if (b->set.json)
		printf("{\"bench\":\"idle\",\"tls\":%s,\"connections\":%u,\"ready\":%u,"
		       "\"bytes_per_connection\":%.0f,\"ok\":%s}\n",
			b->set.tls ? "true" : "false", load.connections, b->ready, each,
			ok ? "true" : "false");
	else
		printf("%u of %u idle connections%s: %.0f bytes each\n", b->ready, b->set.idle,
			b->set.tls ? " with TLS" : "", each);
	for (uint32_t i = 0; i < asked; i++) {
		while (!send_command(b, &b->lease[i], PEN_CMD_LEASE_ABORT, &b->lease[i].lease)) {
			drain(b);
			pause_us(100);
		}
	}
	while (b->open > 0 && pen_clock_mono() < end) {
		drain(b);
		pause_us(100);
	}
	return ok ? 0 : 1;
}

// ---- start ----

static void note(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "bench_dataplane: %s\n", line);
}

static void start_gateway(struct bench *b, struct pen_session_tls *tls)
{
	static struct pen_source_config source;
	struct pen_dataplane_config dp;
	char err[512];

	pen_dataplane_config_init(&dp);
	source.addr = b->set.source;
	dp.nworkers = b->set.workers;
	for (uint32_t i = 0; i < dp.nworkers; i++)
		dp.worker_core[i] = (uint16_t)(b->set.core + i);
	dp.buffer_mb = b->set.buffer_mb;
	dp.hugepages = b->set.huge ? PEN_HUGEPAGES_YES : PEN_HUGEPAGES_NO;
	dp.nports = 1;
	snprintf(dp.port[0].name, sizeof(dp.port[0].name), "memif");
	if (b->set.device != NULL)
		snprintf(dp.port[0].device, sizeof(dp.port[0].device), "%s", b->set.device);
	else
		snprintf(dp.port[0].device, sizeof(dp.port[0].device),
			"net_memif0,role=client,id=0,socket=%s", b->set.socket);
	dp.port[0].prefix_bits = 24;
	dp.nsources = 1;
	dp.source = &source;
	dp.max_connections = b->set.connections + b->set.idle + 64;
	dp.ring_depth = 16384;
	dp.tls = tls;
	b->d = pen_dataplane_start(&dp, err, sizeof(err), note, NULL);
	if (b->d == NULL)
		pen_fatal("%s", err);
}

int main(int argc, char **argv)
{
	static struct bench b;
	static const struct pen_tls_ctx_config tls_config = {.trust = PEN_TLS_TRUST_NONE};
	struct pen_session_tls tls;
	pid_t sink = 0;

	bench_settings_parse(&b.set, argc, argv);
	snprintf(b.run, sizeof(b.run), "bench%d", (int)getpid());
	b.set.tls |= b.set.tls_may;
	if (b.set.tls && pen_wire_tls_init(&tls, &tls_config) != 0)
		pen_fatal("TLS did not start");
	if (b.set.sink != NULL)
		sink = bench_sink_start(&b.set);
	make_messages(&b);
	start_gateway(&b, b.set.tls ? &tls : NULL);
	warm_up(&b);
	int rc = b.set.idle > 0 ? run_idle(&b) : run_messages(&b);
	if (b.last_error.klass != 0)
		fprintf(stderr, "bench_dataplane: last error: %u.%u.%u %s\n", b.last_error.klass,
			b.last_error.subject, b.last_error.detail, b.last_error.text);
	for (uint32_t i = 0; b.set.counters && i < b.set.workers; i++)
		pen_worker_counters(pen_dataplane_worker(b.d, i), print_counters, NULL);
	pen_dataplane_stop(b.d);
	rc |= bench_sink_stop(sink);
	return rc;
}
