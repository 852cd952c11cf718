// SPDX-License-Identifier: BSD-3-Clause

// bench_spool [options] DIRECTORY: what the spool gives, beside what the disk
// gives a plain sequential writer of the same bytes in as many flushes, over
// written blocks as the spool's, in turns, so that both see the same machine.
//
//   (default)     producers feed messages that lie ready in memory; each is put, and
//                 removed once it is durable, as mail that is delivered at once, and
//                 then put again as a new one. Round 0 is not counted: it makes the
//                 spool's segments, as the plain writer's file was made before
//   --deferred    each is deferred twice, with a change of its state, and lives
//                 until --live others have come; the writes per payload count
//   --lone        one message at a time: time until it is durable, in flushes
//   --recover N   fills a spool with N small messages, crashes, opens it again
//   -n N, -s BYTES, -p PRODUCERS, -m N (messages in memory), --rounds N, --live N

#include "bench_plain.h"
#include "pen_spool.h"

#include "pen_err.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ROUNDS 64
#define TAKEN 32 // messages that a producer takes at a time

struct bench {
	struct pen_spool *spool;
	const char *dir;
	uint64_t messages;
	uint32_t bytes, producers, rounds;
	uint64_t live; // --deferred: how many live at a time
	bool deferred;
	uint64_t failed, removed; // atomics

	// What producers may put. Durable ones come back all at once, after a commit.
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct pen_message **ready, **durable;
	uint32_t nready, ndurable, memory;
	uint64_t to_put; // in this round

	// --deferred: what lives, oldest first; the writer thread's.
	uint64_t *ring;
	uint64_t head, count;
};

static void on_removed(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;

	(void)m;
	__atomic_fetch_add(err == 0 ? &b->removed : &b->failed, 1, __ATOMIC_RELAXED);
}

static void on_deferred(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;

	(void)m;
	if (err != 0)
		__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
}

static void end_one(struct bench *b, uint64_t id)
{
	struct pen_rcpt_change change = {.index = 0, .fate = PEN_FATE_DELIVERED, .attempts = 1};
	struct pen_message_update u = {.id = id, .nchanges = 1, .change = &change, .removed = true};

	if (pen_spool_update(b->spool, &u, on_removed, b) != 0)
		__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
}

static void defer_one(struct bench *b, uint64_t id, uint16_t attempts)
{
	struct pen_rcpt_change change = {.index = 0, .attempts = attempts};
	struct pen_dsn error;
	struct pen_message_update u = {.id = id,
		.next_attempt = 1,
		.nchanges = 1,
		.change = &change,
		.last_error = &error};

	pen_dsn_set(&error, 4, 2, 2, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT,
		"452 4.2.2 The email account that you tried to reach is over quota");
	if (pen_spool_update(b->spool, &u, on_deferred, b) != 0)
		__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
}

static void live_one(struct bench *b, uint64_t id)
{
	defer_one(b, id, 1);
	b->ring[(b->head + b->count++) % (b->live + 1)] = id;
	// Half way through its life it is deferred again.
	if (b->count > b->live / 2)
		defer_one(b, b->ring[(b->head + b->count - 1 - b->live / 2) % (b->live + 1)], 2);
	if (b->count > b->live) {
		end_one(b, b->ring[b->head]);
		b->head = (b->head + 1) % (b->live + 1);
		b->count--;
	}
}

static void on_durable(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;

	if (err != 0)
		__atomic_fetch_add(&b->failed, 1, __ATOMIC_RELAXED);
	else if (b->deferred)
		live_one(b, m->id);
	else
		end_one(b, m->id);
	b->durable[b->ndurable++] = m;
}

static void after_commit(void *ctx)
{
	struct bench *b = ctx;

	if (b->ndurable == 0)
		return;
	pthread_mutex_lock(&b->lock);
	memcpy(b->ready + b->nready, b->durable, b->ndurable * sizeof(struct pen_message *));
	b->nready += b->ndurable;
	b->ndurable = 0;
	pthread_cond_broadcast(&b->some);
	pthread_mutex_unlock(&b->lock);
}

static void make_messages(struct bench *b)
{
	struct pen_span rcpt = PEN_SPAN_LIT("recipient@example.net");

	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->some, NULL);
	b->ready = calloc(b->memory, sizeof(struct pen_message *));
	b->durable = calloc(b->memory, sizeof(struct pen_message *));
	for (; b->nready < b->memory; b->nready++) {
		uint8_t *content = malloc(b->bytes);
		memset(content, (int)('a' + b->nready % 26), b->bytes);
		b->ready[b->nready] = pen_message_new(
			PEN_SPAN_LIT("sender@example.org"), &rcpt, 1, content, b->bytes, 1, 0);
	}
}

static void free_messages(struct bench *b)
{
	while (b->nready > 0)
		pen_message_free(b->ready[--b->nready]);
	free(b->ready);
	free(b->durable);
	pthread_cond_destroy(&b->some);
	pthread_mutex_destroy(&b->lock);
}

static uint32_t take_ready(struct bench *b, struct pen_message *out[TAKEN])
{
	uint32_t n = 0;

	pthread_mutex_lock(&b->lock);
	while (b->nready == 0 && b->to_put > 0)
		pthread_cond_wait(&b->some, &b->lock);
	for (; n < TAKEN && b->nready > 0 && b->to_put > 0; n++, b->to_put--)
		out[n] = b->ready[--b->nready];
	if (b->to_put == 0)
		pthread_cond_broadcast(&b->some);
	pthread_mutex_unlock(&b->lock);
	return n;
}

static void *produce(void *arg)
{
	struct bench *b = arg;
	struct pen_message *m[TAKEN];

	for (uint32_t n; (n = take_ready(b, m)) > 0;) {
		for (uint32_t i = 0; i < n; i++) {
			int err;
			m[i]->id = 0;
			while ((err = pen_spool_put(b->spool, m[i], on_durable, b)) == -EAGAIN)
				usleep(200);
			if (err != 0)
				pen_fatal("put: %s", strerror(-err));
		}
	}
	return NULL;
}

static uint64_t per_flush(const struct pen_spool_counters *was, const struct pen_spool_counters *c)
{
	uint64_t syncs = c->syncs - was->syncs;

	return pen_disk_align((c->bytes_written - was->bytes_written) / (syncs ? syncs : 1));
}

static void report(const struct bench *b, const struct pen_spool_counters *was, double seconds)
{
	struct pen_spool_stats st;

	pen_spool_stats(b->spool, &st);
	const struct pen_spool_counters *c = &st.counters;
	double payload = (double)b->messages * b->bytes;
	double written = (double)(c->bytes_written - was->bytes_written);
	double zeros = (double)(c->bytes_prepared - was->bytes_prepared);
	printf("  %llu messages of %u bytes in %.2f s: %.0f messages/s, %llu failed; "
	       "%.4f flushes/message, %.0f KiB/flush, %u segments, %llu messages moved\n",
		(unsigned long long)b->messages, b->bytes, seconds, (double)b->messages / seconds,
		(unsigned long long)b->failed,
		(double)(c->syncs - was->syncs) / (double)b->messages,
		(double)per_flush(was, c) / 1024, st.segments,
		(unsigned long long)(c->relocated - was->relocated));
	printf("  write amplification %.3f (%.3f without prepared zeros)\n",
		(written + zeros) / payload, written / payload);
}

static double round_of(struct bench *b, struct pen_spool_counters *was)
{
	struct pen_spool_stats st;
	pthread_t threads[64];
	uint64_t ends = b->messages - (b->deferred ? b->live - b->count : 0);

	pen_spool_stats(b->spool, &st);
	*was = st.counters;
	b->removed = 0;
	b->to_put = b->messages;
	pen_time_us start = pen_clock_mono();
	for (uint32_t i = 0; i < b->producers; i++) {
		if (pthread_create(&threads[i], NULL, produce, b) != 0)
			pen_fatal("cannot start a thread");
	}
	for (uint32_t i = 0; i < b->producers; i++)
		pthread_join(threads[i], NULL);
	while (__atomic_load_n(&b->removed, __ATOMIC_RELAXED) +
			__atomic_load_n(&b->failed, __ATOMIC_RELAXED) <
		ends)
		usleep(100);
	return (double)(pen_clock_mono() - start) / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void open_spool(struct bench *b, struct pen_spool_config *cfg)
{
	char error[256];

	cfg->directory = b->dir;
	if (pen_spool_open(cfg, &b->spool, error, sizeof(error)) != 0)
		pen_fatal("%s", error);
}

// A round of the spool and of the plain writer before and behind it, in MB/s.
struct pair {
	double spool, plain, ratio;
};

static void run_pair(struct bench *b, struct plain *disk, struct pair *pair, double *plain)
{
	struct pen_spool_counters was;
	struct pen_spool_stats st;
	double seconds = round_of(b, &was), before = *plain;

	pen_spool_stats(b->spool, &st);
	uint64_t bytes = st.counters.bytes_written - was.bytes_written;
	if (disk->files == 0)
		plain_open(disk, b->dir, st.segments);
	*plain = plain_rate(disk, bytes, per_flush(&was, &st.counters)) / 1e6;
	pair->spool = (double)bytes / seconds / 1e6;
	pair->plain = before != 0 ? (before + *plain) / 2 : *plain;
	pair->ratio = pair->spool / pair->plain;
	report(b, &was, seconds);
}

static void run_rounds(struct bench *b)
{
	struct pen_spool_config cfg = {.ctx = b, .after_commit = after_commit};
	struct pair pair;
	double ratio[MAX_ROUNDS], spool[MAX_ROUNDS], plain[MAX_ROUNDS], last = 0;
	struct plain disk = {0};

	make_messages(b);
	open_spool(b, &cfg);
	printf("round 0, not counted:\n");
	run_pair(b, &disk, &pair, &last);
	for (uint32_t i = 0; i < b->rounds; i++) {
		printf("round %u:\n", i + 1);
		run_pair(b, &disk, &pair, &last);
		ratio[i] = pair.ratio;
		spool[i] = pair.spool;
		plain[i] = pair.plain;
		printf("  spool %.0f MB/s, plain writer before and behind it %.0f MB/s: %.0f%%\n",
			pair.spool, pair.plain, 100 * pair.ratio);
	}
	qsort(ratio, b->rounds, sizeof(ratio[0]), by_value);
	qsort(spool, b->rounds, sizeof(spool[0]), by_value);
	qsort(plain, b->rounds, sizeof(plain[0]), by_value);
	printf("medians of %u rounds: spool %.0f MB/s, plain writer of the same batches %.0f MB/s; "
	       "the spool reaches %.0f%% (%.0f to %.0f%%)\n",
		b->rounds, spool[b->rounds / 2], plain[b->rounds / 2], 100 * ratio[b->rounds / 2],
		100 * ratio[0], 100 * ratio[b->rounds - 1]);
	plain_close(&disk);
	pen_spool_close(b->spool);
	free_messages(b);
}

static void on_lone(void *ctx, struct pen_message *m, int err)
{
	if (err != 0)
		pen_fatal("%s", strerror(-err));
	pen_message_free(m);
	__atomic_store_n((bool *)ctx, true, __ATOMIC_RELEASE);
}

static void run_lone(struct bench *b)
{
	struct pen_spool_config cfg = {0};
	struct pen_span rcpt = PEN_SPAN_LIT("recipient@example.net");
	double took[2000], plain[2000];
	struct plain disk;
	const int n = 1000;

	open_spool(b, &cfg);
	plain_open(&disk, b->dir, 1);
	for (int i = 0; i < n; i++) {
		uint8_t *content = malloc(b->bytes);
		bool done = false;
		memset(content, 'l', b->bytes);
		struct pen_message *m = pen_message_new(
			PEN_SPAN_LIT("sender@example.org"), &rcpt, 1, content, b->bytes, 1, 0);
		pen_time_us start = pen_clock_mono();
		if (pen_spool_put(b->spool, m, on_lone, &done) != 0)
			pen_fatal("put");
		while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
			sched_yield();
		took[i] = (double)(pen_clock_mono() - start);
		uint64_t batch = pen_disk_align(b->bytes + 400);
		plain[i] = (double)batch / plain_rate(&disk, batch, batch) * 1e6;
	}
	qsort(took, (size_t)n, sizeof(took[0]), by_value);
	qsort(plain, (size_t)n, sizeof(plain[0]), by_value);
	printf("a lone message of %u bytes is durable in %.0f us (median), a write and flush "
	       "takes %.0f us: %.2f flush times\n",
		b->bytes, took[n / 2], plain[n / 2], took[n / 2] / plain[n / 2]);
	plain_close(&disk);
	pen_spool_close(b->spool);
}

static void on_kept(void *ctx, struct pen_message *m, int err)
{
	struct bench *b = ctx;

	pen_message_free(m);
	__atomic_fetch_add(err == 0 ? &b->removed : &b->failed, 1, __ATOMIC_RELAXED);
}

static void on_found(void *ctx, struct pen_message *m)
{
	++*(uint64_t *)ctx;
	pen_message_free(m);
}

static long rss_kb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

// The fill is a process of its own and ends without a close: a crash.
static void fill(struct bench *b)
{
	struct pen_spool_config cfg = {0};
	char sender[64], rcpt[64];

	open_spool(b, &cfg);
	for (uint64_t i = 0; i < b->messages; i++) {
		uint8_t *content = malloc(b->bytes);
		memset(content, 'q', b->bytes);
		snprintf(sender, sizeof(sender), "bounce-%llu@news.example.org",
			(unsigned long long)i);
		snprintf(rcpt, sizeof(rcpt), "user%llu@domain%llu.example", (unsigned long long)i,
			(unsigned long long)(i % 1000));
		struct pen_span to = pen_span_cstr(rcpt);
		struct pen_message *m =
			pen_message_new(pen_span_cstr(sender), &to, 1, content, b->bytes, 1, 0);
		while (pen_spool_put(b->spool, m, on_kept, b) == -EAGAIN)
			usleep(200);
	}
	while (__atomic_load_n(&b->removed, __ATOMIC_RELAXED) + b->failed < b->messages)
		usleep(200);
	_exit(b->failed == 0 ? 0 : 1);
}

static int run_recover(struct bench *b)
{
	uint64_t found = 0;
	struct pen_spool_config cfg = {.ctx = &found, .on_message = on_found};

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		fill(b);
	int status = 1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		pen_fatal("cannot fill the spool");
	for (int clean = 0; clean < 2; clean++) {
		found = 0;
		pen_time_us start = pen_clock_mono();
		open_spool(b, &cfg);
		double seconds = (double)(pen_clock_mono() - start) / 1e6;
		printf("recovery of %llu messages of %u bytes after a %s: %.2f s, at most %ld MB "
		       "of memory\n",
			(unsigned long long)found, b->bytes, clean ? "clean stop" : "crash",
			seconds, rss_kb() / 1024);
		pen_spool_close(b->spool);
		if (found != b->messages)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"deferred", no_argument, NULL, 'd'},
		{"lone", no_argument, NULL, 'l'}, {"recover", required_argument, NULL, 'r'},
		{"rounds", required_argument, NULL, 'R'}, {"live", required_argument, NULL, 'L'},
		{NULL, 0, NULL, 0}};
	struct bench b = {
		.messages = 100000, .bytes = 4096, .producers = 2, .rounds = 9, .memory = 4096};
	bool lone = false, recover = false, sized = false;

	for (int o; (o = getopt_long(argc, argv, "n:s:p:m:", options, NULL)) != -1;) {
		switch (o) {
		case 'n':
			b.messages = strtoull(optarg, NULL, 0);
			break;
		case 's':
			b.bytes = (uint32_t)strtoul(optarg, NULL, 0);
			sized = true;
			break;
		case 'p':
			b.producers = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'm':
			b.memory = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'R':
			b.rounds = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'L':
			b.live = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			b.deferred = true;
			break;
		case 'l':
			lone = true;
			break;
		case 'r':
			recover = true;
			b.messages = strtoull(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc || b.producers == 0 || b.producers > 64 || b.rounds == 0 ||
		b.rounds > MAX_ROUNDS || b.messages == 0 || b.memory == 0)
		pen_fatal("usage: bench_spool [-n N] [-s BYTES] [-p PRODUCERS] [-m N] "
			  "[--rounds N] [--deferred [--live N] | --lone | --recover N] DIRECTORY");
	b.dir = argv[optind];
	if (b.deferred && b.live == 0)
		b.live = b.messages / 4;
	b.ring = calloc(b.live + 2, sizeof(*b.ring));
	if (recover) {
		b.bytes = sized ? b.bytes : 300;
		return run_recover(&b);
	}
	if (lone)
		run_lone(&b);
	else
		run_rounds(&b);
	free(b.ring);
	return b.failed == 0 ? 0 : 1;
}
