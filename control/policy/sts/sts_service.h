// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inside of pen_sts_service: who waits, what runs, and what it runs on.
//
// A job finds out about one domain: its TXT record, then the addresses of the
// policy host, then the file. Everybody who asks for that domain meanwhile
// waits for the same job. Jobs know nothing of each other, and nothing is keyed
// by MX host: a domain's broken policy is that domain's alone.

#include "pen_sts_service.h"
#include "sts_cache.h"
#include "sts_http.h"
#include "sts_name.h"
#include "sts_store.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#define STS_FETCHES_MAX 64    // on the way at once
#define STS_FETCH_QUEUE 4096  // waiting for one of these places
#define STS_BACKGROUND_MAX 16 // jobs of the daily refresh
#define STS_RETRY_S 300       // RFC 8461 3.3: no sooner for the same id
#define STS_REFRESH_S 86400   // RFC 8461 3.3: daily for domains in use
#define STS_CHECK_MIN_S 60    // between two questions for a record,
#define STS_CHECK_MAX_S 3600  // whatever its TTL says
#define STS_JOB_MS 60000      // DNS, and then the fetch: each at most
#define STS_TICK_US PEN_US_PER_S
#define STS_SWEEP_BUCKETS 1024 // looked at in a tick

// What the service stands on; tests put their own there.
struct sts_env {
	struct pen_dns *dns;
	int (*query)(struct pen_dns *dns, const char *name, enum pen_dns_type type,
		pen_dns_query_fn *fn, void *ctx);
	struct event_base *(*event_base)(struct pen_dns *dns);
	pen_time_us (*mono)(void);
	pen_wall_us (*wall)(void);
	uint16_t port;     // of policy hosts
	uint32_t fetch_ms; // for one fetch
};

// Somebody who is to be called.
struct sts_waiter {
	struct sts_waiter *prev, *next; // of the service's waiting (by deadline) or ready list
	struct sts_waiter *job_next;
	struct sts_job *job;
	pen_time_us deadline;
	bool cached; // a policy was there when the question came
	enum pen_tlsrpt_result failure;
	pen_sts_fn *fn;
	void *ctx;
	char domain[STS_NAME_MAX + 4];
};

enum sts_job_state { STS_JOB_RECORD, STS_JOB_QUEUED, STS_JOB_ADDRESSES, STS_JOB_GET, STS_JOB_OVER };

struct sts_job {
	struct sts_job *prev, *next;
	struct pen_sts_service *service;
	struct sts_entry *entry; // NULL once over
	enum sts_job_state state;
	bool background;
	uint32_t questions; // whose answers have not come: the job stays until then
	pen_time_us deadline;
	char id[PEN_STS_ID_MAX + 1];
	struct pen_addr addr[STS_HTTP_ADDRS_MAX];
	uint32_t naddrs;
	struct sts_waiter *waiters;
};

struct pen_sts_service {
	struct sts_env env;
	pen_time_us timeout; // mta_sts_timeout
	struct sts_cache cache;
	struct sts_store *store;
	struct sts_http *http;
	struct pen_sts_counters counters;

	// The resolver's thread.
	bool started; // the timer is made
	struct event timer;
	struct sts_waiter waiting, ready;              // list heads
	struct sts_job jobs;                           // list head
	uint32_t running, fetches, queued, background; // jobs
	pen_time_us next_tick;
	size_t sweep; // the bucket that is next
};

struct pen_sts_service *sts_service_new(
	const struct pen_params *params, const struct sts_env *env, char *err, size_t cap);
// Does what is due: deadlines, answers, sweeping.
void sts_service_tick(struct pen_sts_service *s);
// Makes the timer fire when something is due.
void sts_service_arm(struct pen_sts_service *s);
// Puts w among those whose callbacks are due, with what is cached then or else
// `failure`.
void sts_waiter_ready(
	struct pen_sts_service *s, struct sts_waiter *w, enum pen_tlsrpt_result failure);
// Calls back at once: never inside a call of the public interface.
void sts_waiter_answer(
	struct pen_sts_service *s, struct sts_waiter *w, const struct pen_sts_policy *policy);
void sts_cache_shrink(struct pen_sts_service *s);

// A new job for an entry without one; NULL: out of memory. It starts with
// sts_job_start, which may end it at once.
struct sts_job *sts_job_new(struct pen_sts_service *s, struct sts_entry *e, bool background);
void sts_job_start(struct sts_job *j);
void sts_job_deadline(struct sts_job *j); // its time is up
// Gives free places to jobs that wait for one.
void sts_fetches_fill(struct pen_sts_service *s);
void sts_job_free(struct sts_job *j);
// When a policy that is in use should be fetched again.
pen_wall_us sts_refresh_at(const struct sts_entry *e);
