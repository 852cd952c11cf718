// SPDX-License-Identifier: BSD-3-Clause
#include "native.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct native {
	struct pen_dns *dns;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct native_job *head, *tail;
	uint32_t waiting;
	uint32_t users; // helpers, and the owner
	bool stop;      // dns is not touched any more
};

static enum pen_dns_status status_of(int err)
{
	switch (err) {
	case 0:
		return PEN_DNS_OK;
	case EAI_NONAME:
		return PEN_DNS_NXDOMAIN;
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return PEN_DNS_NODATA;
	default:
		return PEN_DNS_FAILED;
	}
}

static void add(struct native_job *job, const struct sockaddr *sa)
{
	struct pen_addr *a = &job->addr[job->n];

	*a = (struct pen_addr){0};
	if (sa->sa_family == AF_INET) {
		a->family = PEN_FAMILY_IP4;
		memcpy(a->ip, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		a->family = PEN_FAMILY_IP6;
		memcpy(a->ip, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	} else {
		return;
	}
	job->n++;
}

static void look_up(struct native_job *job)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	job->status = status_of(getaddrinfo(job->name, NULL, &hints, &found));
	if (job->status != PEN_DNS_OK)
		return;
	for (struct addrinfo *i = found; i != NULL && job->n < NATIVE_ADDRS_MAX; i = i->ai_next)
		add(job, i->ai_addr);
	freeaddrinfo(found);
	if (job->n == 0)
		job->status = PEN_DNS_NODATA;
}

static void on_resolver(void *ctx)
{
	struct native_job *job = ctx;

	job->fn(job->ctx, job);
	free(job);
}

// leave gives up the lock and, as the last one, everything.
static void leave(struct native *n)
{
	bool last = --n->users == 0;

	pthread_mutex_unlock(&n->lock);
	if (!last)
		return;
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static void *helper(void *arg)
{
	struct native *n = arg;

	pthread_setname_np(pthread_self(), "pen-dns-native");
	pthread_mutex_lock(&n->lock);
	for (;;) {
		while (n->head == NULL && !n->stop)
			pthread_cond_wait(&n->changed, &n->lock);
		if (n->stop)
			break;
		struct native_job *job = n->head;
		n->head = job->next;
		n->waiting--;
		pthread_mutex_unlock(&n->lock);
		look_up(job);
		pthread_mutex_lock(&n->lock);
		// Under the lock, so that the resolver is there until the post is done.
		if (n->stop || pen_dns_post(n->dns, on_resolver, job) != 0)
			free(job);
	}
	leave(n);
	return NULL;
}

struct native *native_new(struct pen_dns *dns)
{
	struct native *n = calloc(1, sizeof(*n));
	pthread_t thread;

	if (n == NULL)
		return NULL;
	n->dns = dns;
	n->users = 1;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	pthread_mutex_lock(&n->lock);
	for (int i = 0; i < NATIVE_THREADS; i++) {
		if (pthread_create(&thread, NULL, helper, n) != 0)
			break;
		pthread_detach(thread);
		n->users++;
	}
	bool some = n->users > 1;
	if (some) {
		pthread_mutex_unlock(&n->lock);
		return n;
	}
	leave(n);
	return NULL;
}

int native_ask(struct native *n, const char *name, native_fn *fn, void *ctx)
{
	struct native_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return -ENOMEM;
	snprintf(job->name, sizeof(job->name), "%s", name);
	job->fn = fn;
	job->ctx = ctx;
	pthread_mutex_lock(&n->lock);
	bool full = n->waiting >= NATIVE_JOBS_MAX;
	if (!full) {
		if (n->head == NULL)
			n->head = job;
		else
			n->tail->next = job;
		n->tail = job;
		n->waiting++;
		pthread_cond_signal(&n->changed);
	}
	pthread_mutex_unlock(&n->lock);
	if (full)
		free(job);
	return full ? -EAGAIN : 0;
}

void native_free(struct native *n)
{
	if (n == NULL)
		return;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	while (n->head != NULL) {
		struct native_job *job = n->head;
		n->head = job->next;
		free(job);
	}
	pthread_cond_broadcast(&n->changed);
	leave(n);
}
