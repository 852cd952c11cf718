// SPDX-License-Identifier: BSD-3-Clause

// penstock-sink: starts the sink on one worker and reports what it saw.

#include "options.h"
#include "pen_err.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define STATUS_EVERY_US (PEN_US_PER_S / 2)
// After the last expected message: time for a duplicate to show up.
#define LINGER_US (300 * PEN_US_PER_MS)

static volatile sig_atomic_t stop_asked, report_asked;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		report_asked = 1;
	else
		stop_asked = 1;
}

static void note(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "penstock-sink: %s\n", line);
}

static uint64_t count(const uint64_t *c)
{
	return pen_counter_read(c);
}

// Messages per second between the first and the last.
static double rate(const struct sink *k)
{
	pen_time_us first = __atomic_load_n(&k->first_at, __ATOMIC_RELAXED);
	pen_time_us last = __atomic_load_n(&k->last_at, __ATOMIC_RELAXED);

	return last > first ? (double)(count(&k->ctr.messages) - 1) * 1e6 / (double)(last - first)
			    : 0;
}

static void add_sets(void *ctx, const struct pen_counter_set *set)
{
	struct pen_buf *b = ctx;

	pen_buf_addf(b, ",\"%s\":{", set->group);
	for (uint32_t i = 0, n = 0; i < set->n; i++) {
		uint64_t v = pen_counter_read(&set->value[i]);
		if (v != 0)
			pen_buf_addf(b, "%s\"%s\":%llu", n++ > 0 ? "," : "", set->desc[i].name,
				(unsigned long long)v);
	}
	pen_buf_add_cstr(b, "}");
}

// One JSON object: the sink's counters on top, all others by group.
static void make_report(const struct sink *k, const struct pen_worker *w, struct pen_buf *b)
{
	struct pen_counter_set set = sink_counter_set(&k->ctr);
	pen_time_us first = __atomic_load_n(&k->first_at, __ATOMIC_RELAXED);
	pen_time_us last = __atomic_load_n(&k->last_at, __ATOMIC_RELAXED);
	double per_s = rate(k);
	uint64_t messages = count(&k->ctr.messages), bytes = count(&k->ctr.bytes);

	pen_buf_add_cstr(b, "{");
	for (uint32_t i = 0; i < set.n; i++)
		pen_buf_addf(b, "\"%s\":%llu,", set.desc[i].name,
			(unsigned long long)pen_counter_read(&set.value[i]));
	pen_buf_addf(b,
		"\"rejects\":%llu,\"seconds\":%.3f,\"messages_per_second\":%.1f,"
		"\"megabytes_per_second\":%.2f",
		(unsigned long long)(count(&k->ctr.rejects_soft) + count(&k->ctr.rejects_hard)),
		(double)(last - first) / 1e6, per_s,
		messages > 0 ? per_s * ((double)bytes / (double)messages) / 1e6 : 0.0);
	pen_buf_add_cstr(b, ",\"counters\":{\"none\":0");
	pen_worker_counters(w, add_sets, b);
	pen_buf_add_cstr(b, "}}\n");
}

static void write_status(const char *path, const struct pen_buf *b)
{
	char part[4096];

	if ((size_t)snprintf(part, sizeof(part), "%s.new", path) >= sizeof(part))
		return;
	FILE *f = fopen(part, "we");
	if (f == NULL)
		return;
	bool ok = fwrite(b->p, 1, b->n, f) == b->n;
	if (fclose(f) == 0 && ok)
		rename(part, path);
}

static bool enough(const struct sink_options *o, const struct sink *k)
{
	return (o->expect > 0 && count(&k->ctr.unique) >= o->expect) ||
	       (o->messages > 0 && count(&k->ctr.messages) >= o->messages) ||
	       (o->sessions > 0 && count(&k->ctr.sessions_ended) >= o->sessions);
}

static void watch(const struct sink_options *o, const struct sink *k, const struct pen_worker *w)
{
	struct timespec step = {.tv_nsec = 20000000};
	pen_time_us begin = pen_clock_mono(), next = begin, end = PEN_TIME_NEVER;

	if (o->duration > 0)
		end = begin + (pen_time_us)(o->duration * 1e6);
	while (!stop_asked && pen_clock_mono() < end) {
		pen_time_us now = pen_clock_mono();
		if (enough(o, k))
			end = pen_time_min(end, now + LINGER_US);
		if (now >= next || report_asked) {
			struct pen_buf b = PEN_BUF_INIT;
			make_report(k, w, &b);
			if (o->status_file != NULL)
				write_status(o->status_file, &b);
			if (report_asked)
				fwrite(b.p, 1, b.n, stdout), fflush(stdout);
			pen_buf_fini(&b);
			if (o->counters)
				fprintf(stderr, "sess=%llu quit=%llu mesg=%llu uniq=%llu\n",
					(unsigned long long)count(&k->ctr.connections),
					(unsigned long long)count(&k->ctr.sessions_ended),
					(unsigned long long)count(&k->ctr.messages),
					(unsigned long long)count(&k->ctr.unique));
			report_asked = 0;
			next = now + STATUS_EVERY_US;
		}
		nanosleep(&step, NULL);
	}
}

static void last_words(const struct sink_options *o, const struct sink *k, const struct pen_buf *b)
{
	if (o->status_file != NULL)
		write_status(o->status_file, b);
	if (o->json) {
		fwrite(b->p, 1, b->n, stdout);
		return;
	}
	printf("%llu messages (%llu different, %llu twice, %llu corrupted) in %llu connections, "
	       "%.0f per second\n",
		(unsigned long long)count(&k->ctr.messages),
		(unsigned long long)count(&k->ctr.unique),
		(unsigned long long)count(&k->ctr.duplicates),
		(unsigned long long)count(&k->ctr.corrupted),
		(unsigned long long)count(&k->ctr.connections), rate(k));
}

int main(int argc, char **argv)
{
	static struct sink_options o;
	static struct sink k;
	struct pen_session_tls tls;
	struct sigaction sa = {.sa_handler = on_signal};
	struct pen_buf b = PEN_BUF_INIT;
	char err[512];

	sink_options_parse(&o, argc, argv);
	if (o.tls.cert_file != NULL) {
		if (pen_wire_tls_init(&tls, &o.tls) != 0)
			pen_fatal("TLS did not start");
		o.sink.tls = &tls;
	}
	if (o.sink.dump_dir != NULL)
		mkdir(o.sink.dump_dir, 0755);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	k.cfg = &o.sink;
	struct pen_dataplane *d =
		pen_dataplane_start_app(&o.dp, &sink_app, &k, err, sizeof(err), note, NULL);
	if (d == NULL)
		pen_fatal("%s", err);
	fprintf(stderr, "penstock-sink: listening on port %u\n", o.sink.port);
	watch(&o, &k, pen_dataplane_worker(d, 0));
	make_report(&k, pen_dataplane_worker(d, 0), &b);
	pen_dataplane_stop(d);
	last_words(&o, &k, &b);
	pen_buf_fini(&b);
	return o.strict && count(&k.ctr.corrupted) > 0 ? 1 : 0;
}
