// SPDX-License-Identifier: BSD-3-Clause
#include "tlsrpt_ask.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// Shared by who waits and who answers; the last of them frees it.
struct asking {
	pthread_mutex_t lock;
	pthread_cond_t done;
	int holders;
	bool answered;
	struct pen_dns *dns;
	char name[300];
	enum pen_dns_type type;
	struct tlsrpt_answer answer;
};

void tlsrpt_answer_fini(struct tlsrpt_answer *a)
{
	for (uint32_t i = 0; i < a->n; i++)
		free((void *)(uintptr_t)a->record[i].text.p);
	a->n = 0;
}

static void release(struct asking *a)
{
	pthread_mutex_lock(&a->lock);
	bool last = --a->holders == 0;
	pthread_mutex_unlock(&a->lock);
	if (!last)
		return;
	tlsrpt_answer_fini(&a->answer);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->done);
	free(a);
}

static void settle(struct asking *a)
{
	pthread_mutex_lock(&a->lock);
	a->answered = true;
	pthread_cond_signal(&a->done);
	pthread_mutex_unlock(&a->lock);
	release(a);
}

static void on_answer(void *ctx, const struct pen_dns_answer *answer)
{
	struct asking *a = ctx;

	a->answer.status = answer->status;
	for (uint32_t i = 0; i < answer->n && a->answer.n < 16; i++) {
		const struct pen_dns_record *r = &answer->record[i];
		struct pen_span text = {0};
		if (r->data.n > 0) {
			uint8_t *copy = malloc(r->data.n);
			if (copy == NULL)
				continue;
			memcpy(copy, r->data.p, r->data.n);
			text = pen_span(copy, r->data.n);
		}
		a->answer.record[a->answer.n].addr = r->addr;
		a->answer.record[a->answer.n++].text = text;
	}
	settle(a);
}

static void ask_there(void *ctx)
{
	struct asking *a = ctx;

	if (pen_dns_query(a->dns, a->name, a->type, on_answer, a) != 0)
		settle(a);
}

void tlsrpt_ask(struct pen_dns *dns, const char *name, enum pen_dns_type type, pen_time_us limit,
	struct tlsrpt_answer *out)
{
	struct asking *a = calloc(1, sizeof(*a));
	struct timespec until;

	*out = (struct tlsrpt_answer){.status = PEN_DNS_FAILED};
	if (a == NULL)
		return;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->done, NULL);
	a->holders = 2;
	a->dns = dns;
	a->type = type;
	a->answer.status = PEN_DNS_FAILED;
	snprintf(a->name, sizeof(a->name), "%s", name);
	if (pen_dns_post(dns, ask_there, a) != 0) {
		release(a);
		release(a);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += limit / PEN_US_PER_S;
	pthread_mutex_lock(&a->lock);
	while (!a->answered && pthread_cond_timedwait(&a->done, &a->lock, &until) == 0)
		;
	if (a->answered) {
		*out = a->answer;
		a->answer.n = 0;
	}
	pthread_mutex_unlock(&a->lock);
	release(a);
}
