// SPDX-License-Identifier: BSD-3-Clause
#include "pen_inbox.h"
#include "pen_test.h"

#include <pthread.h>

enum { PRODUCERS = 4, CALLS = 20000 };

struct numbered {
	struct pen_call call; // first: the callback casts back
	int producer, number;
};

static int last[PRODUCERS], seen;

static void take(struct pen_call *call)
{
	struct numbered *n = (struct numbered *)call;

	assert_int_equal(n->number, last[n->producer]);
	last[n->producer]++;
	seen++;
}

struct producer {
	struct pen_inbox *box;
	struct numbered *item;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (int i = 0; i < CALLS; i++)
		pen_inbox_post(p->box, &p->item[i].call);
	return NULL;
}

static void calls_of_each_poster_run_once_and_in_order(void **state)
{
	(void)state;
	static struct pen_inbox box;
	pthread_t thread[PRODUCERS];
	struct producer p[PRODUCERS];

	pen_inbox_init(&box);
	for (int i = 0; i < PRODUCERS; i++) {
		p[i].box = &box;
		p[i].item = calloc(CALLS, sizeof(struct numbered));
		for (int n = 0; n < CALLS; n++)
			p[i].item[n] = (struct numbered){{NULL, take}, i, n};
		pthread_create(&thread[i], NULL, produce, &p[i]);
	}
	while (seen < PRODUCERS * CALLS) {
		// A lost wake-up would show as this wait running into the test's limit.
		if (pen_inbox_run(&box) == 0)
			pen_inbox_wait(&box, 3600 * PEN_US_PER_S);
	}
	for (int i = 0; i < PRODUCERS; i++) {
		pthread_join(thread[i], NULL);
		free(p[i].item);
	}
	assert_int_equal(pen_inbox_run(&box), 0);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(calls_of_each_poster_run_once_and_in_order),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
