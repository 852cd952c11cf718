// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Addresses from the system's own lookup (getaddrinfo: /etc/hosts and what else
// nsswitch.conf names), on threads of its own because it blocks.
//
// Threads: native_ask and native_free belong to the resolver thread; answers
//          come there through pen_dns_post. NATIVE_THREADS helpers.
// Memory:  at most NATIVE_JOBS_MAX questions wait.
// A helper that hangs in the C library never holds up native_free: it ends by
// itself later and touches nothing but what the helpers share.

#include "pen_dns_query.h"

#define NATIVE_THREADS 4
#define NATIVE_JOBS_MAX 4096
#define NATIVE_ADDRS_MAX 32
#define NATIVE_TTL_S 60

struct native_job;
typedef void native_fn(void *ctx, struct native_job *job);

struct native_job {
	struct native_job *next;
	native_fn *fn;
	void *ctx;
	enum pen_dns_status status;
	uint32_t n;
	struct pen_addr addr[NATIVE_ADDRS_MAX];
	char name[256];
};

struct native;

struct native *native_new(struct pen_dns *dns);
// native_ask: 0, and fn comes once unless native_free does first; -EAGAIN, -ENOMEM.
int native_ask(struct native *n, const char *name, native_fn *fn, void *ctx);
void native_free(struct native *n);
