// SPDX-License-Identifier: BSD-3-Clause

// bench_spool DIRECTORY [messages [bytes [producers]]]: producers feed messages
// from memory; each is put, and removed once it is durable, as mail that is
// delivered at once. Prints messages/s and syncs/message, and beside them what
// the disk gives a plain writer of batches of the same size.

#include "pen_spool.h"

#include "pen_err.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
	struct pen_spool *spool;
	uint64_t messages;
	uint32_t bytes, producers;
	uint64_t failed, removed; // atomics
};

static void on_removed(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;

	(void)m;
	__atomic_fetch_add(err == 0 ? &b->removed : &b->failed, 1, __ATOMIC_RELAXED);
}

static void on_durable(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;
	struct pen_rcpt_change change = {.index = 0, .fate = PEN_FATE_DELIVERED, .attempts = 1};
	struct pen_message_update u = {
		.id = m->id, .nchanges = 1, .change = &change, .removed = true};

	if (err != 0 || pen_spool_update(b->spool, &u, on_removed, b) != 0)
		__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
	pen_message_free(m);
}

static void *produce(void *arg)
{
	struct bench *b = arg;
	struct pen_span rcpt = PEN_SPAN_LIT("recipient@example.net");

	for (uint64_t i = 0; i < b->messages / b->producers; i++) {
		uint8_t *content = malloc(b->bytes);
		memset(content, (int)('a' + i % 26), b->bytes);
		struct pen_message *m = pen_message_new(
			PEN_SPAN_LIT("sender@example.org"), &rcpt, 1, content, b->bytes, 1, 0);
		int err;
		while ((err = pen_spool_put(b->spool, m, on_durable, b)) == -EAGAIN)
			usleep(200);
		if (err != 0) {
			__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
			pen_message_free(m);
		}
	}
	return NULL;
}

// A sequential writer of the same batches over written blocks, nothing else.
static double raw_rate(const char *dir, uint64_t total, uint64_t batch)
{
	char error[256];
	struct pen_disk *d;
	struct pen_disk_file *f;
	uint64_t size = 64u << 20, off = 0;
	uint8_t *p = pen_disk_alloc(batch);

	if (pen_disk_posix_new(dir, &d, error, sizeof(error)) != 0)
		pen_fatal("%s", error);
	d->ops->remove(d, "raw");
	if (p == NULL || d->ops->open(d, "raw", PEN_DISK_CREATE | PEN_DISK_DIRECT, &f) != 0)
		pen_fatal("cannot make %s/raw", dir);
	memset(p, 'x', batch);
	for (; off + batch <= size; off += batch)
		pen_disk_write(d, f, p, batch, off);
	d->ops->datasync(d, f);
	pen_time_us start = pen_clock_mono();
	uint64_t done = 0;
	for (off = 0; done < total; done += batch) {
		off = off + batch <= size ? off : 0;
		if (pen_disk_write(d, f, p, batch, off) != 0 || d->ops->datasync(d, f) != 0)
			pen_fatal("cannot write %s/raw", dir);
		off += batch;
	}
	double seconds = (double)(pen_clock_mono() - start) / 1e6;
	d->ops->close(d, f);
	d->ops->remove(d, "raw");
	pen_disk_free(d);
	free(p);
	return (double)done / seconds;
}

static void report(const struct bench *b, const char *dir, double seconds)
{
	struct pen_spool_stats st;

	pen_spool_stats(b->spool, &st);
	const struct pen_spool_counters *c = &st.counters;
	double rate = (double)b->messages / seconds;
	double bytes = (double)c->bytes_written / seconds;
	uint64_t batch = pen_disk_align(c->bytes_written / (c->commits != 0 ? c->commits : 1));
	printf("%llu messages of %u bytes in %.2f s: %.0f messages/s, %llu failed\n",
		(unsigned long long)b->messages, b->bytes, seconds, rate,
		(unsigned long long)b->failed);
	printf("%.4f syncs/message, %.1f KiB/commit, %.1f MB/s, write amplification %.3f\n",
		(double)c->syncs / (double)b->messages, (double)batch / 1024, bytes / 1e6,
		(double)c->bytes_written / ((double)b->messages * b->bytes));
	printf("%u segments (%u used), %llu relocated\n", st.segments, st.segments_used,
		(unsigned long long)c->relocated);
	double raw = raw_rate(dir, 512u << 20, batch);
	printf("plain writer of the same batches: %.1f MB/s; the spool reaches %.0f%%\n", raw / 1e6,
		100 * bytes / raw);
}

int main(int argc, char **argv)
{
	struct bench b = {.messages = argc > 2 ? strtoull(argv[2], NULL, 0) : 300000,
		.bytes = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 4096,
		.producers = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 0) : 2};
	struct pen_spool_config cfg = {.directory = argc > 1 ? argv[1] : NULL};
	char error[256];
	pthread_t threads[64];

	if (argc < 2 || b.producers == 0 || b.producers > 64)
		pen_fatal("usage: bench_spool DIRECTORY [messages [bytes [producers]]]");
	if (pen_spool_open(&cfg, &b.spool, error, sizeof(error)) != 0)
		pen_fatal("%s", error);
	b.messages -= b.messages % b.producers;
	pen_time_us start = pen_clock_mono();
	for (uint32_t i = 0; i < b.producers; i++) {
		if (pthread_create(&threads[i], NULL, produce, &b) != 0)
			pen_fatal("cannot start a thread");
	}
	for (uint32_t i = 0; i < b.producers; i++)
		pthread_join(threads[i], NULL);
	while (__atomic_load_n(&b.removed, __ATOMIC_RELAXED) +
			__atomic_load_n(&b.failed, __ATOMIC_RELAXED) <
		b.messages)
		usleep(100);
	report(&b, argv[1], (double)(pen_clock_mono() - start) / 1e6);
	pen_spool_close(b.spool);
	return b.failed == 0 ? 0 : 1;
}
