// SPDX-License-Identifier: BSD-3-Clause

// Submission with a queue that forgets: bench_submission PORT COUNT accepts
// COUNT messages on 127.0.0.1:PORT, answers each at once, and prints what its one
// loop thread spent on them. Feed it with penstock-source -d -s 50.

#include "pen_submission.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct bench {
	struct pen_submission *s;
	uint64_t id, want;
	struct timespec cpu;
	sem_t done;
};

static uint64_t next_id(void *ctx)
{
	return ++((struct bench *)ctx)->id;
}

static int intake(void *ctx, struct pen_message *m, struct pen_span user, uint64_t token)
{
	struct bench *b = ctx;

	(void)user;
	pen_message_free(m);
	pen_submission_done(b->s, token, 0, NULL);
	if (--b->want == 0) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b->cpu);
		sem_post(&b->done);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct pen_submission_ops ops = {.next_id = next_id, .intake = intake};
	struct pen_submission_listen listen = {.addr = pen_addr_ip4(0x7f000001)};
	struct pen_cidr net;
	const char *what;
	struct bench b = {0};

	if (argc != 3) {
		fprintf(stderr, "usage: bench_submission PORT COUNT\n");
		return 2;
	}
	listen.port = (uint16_t)atoi(argv[1]);
	uint64_t count = b.want = strtoull(argv[2], NULL, 10);
	sem_init(&b.done, 0, 0);
	pen_cidr_parse(&net, PEN_SPAN_LIT("127.0.0.0/8"), true);
	struct pen_submission_config cfg = {
		.listen = &listen,
		.nlisten = 1,
		.mynetworks = &net,
		.nmynetworks = 1,
		.hostname = "localhost",
		.message_size_limit = 10240000,
		.hopcount_limit = 50,
	};
	if (pen_submission_new(&cfg, &ops, &b, &b.s, &what) != 0 ||
		pen_submission_start(b.s) != 0) {
		fprintf(stderr, "%s\n", what);
		return 1;
	}
	sem_wait(&b.done);
	double cpu = (double)b.cpu.tv_sec + (double)b.cpu.tv_nsec / 1e9;
	const struct pen_submission_counters *c = pen_submission_counters(b.s, 0);
	printf("%.1f us and %.2f system calls per message, %.0f messages per CPU second\n",
		cpu * 1e6 / (double)count,
		(double)(pen_counter_read(&c->reads) + pen_counter_read(&c->writes)) /
			(double)count,
		(double)count / cpu);
	pen_submission_free(b.s);
	return 0;
}
