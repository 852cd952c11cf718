// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TLSRPT (RFC 8460): counts sessions by policy, keeps the day's counts on disk,
// and makes and sends the reports.
//
// Threads: pen_tlsrpt_session is called by the queue thread and is quick: it
//          counts in memory and appends to a journal now and then (on a thread
//          of its own). Everything else belongs to that thread too, which
//          resolves, signs nothing, gzips, mails and posts.
// Memory:  at most PEN_TLSRPT_KEYS_MAX combinations a day; beyond it, counted.
// Files:   <queue_directory>/tlsrpt/: a journal for each UTC day, reports that
//          wait to be sent. A crash loses at most the last 5 seconds of counts.

#include "pen_counter.h"
#include "pen_delivery.h"
#include "pen_dns_query.h"
#include "pen_params.h"

#include <jansson.h>

#define PEN_TLSRPT_KEYS_MAX 200000

struct pen_tlsrpt;

// Queues a report for mail: content is canonical (CRLF), the callee takes it
// over. 0 or -errno. Called on the reporter's thread.
typedef int pen_tlsrpt_mail_fn(
	void *ctx, const char *sender, const char *rcpt, uint8_t *content, uint32_t len);

struct pen_tlsrpt_config {
	const struct pen_params *params;
	struct pen_dns *dns;
	pen_tlsrpt_mail_fn *mail;
	void *ctx;
};

// NULL with one sentence in err.
struct pen_tlsrpt *pen_tlsrpt_new(const struct pen_tlsrpt_config *cfg, char *err, size_t cap);
int pen_tlsrpt_start(struct pen_tlsrpt *t);
void pen_tlsrpt_free(struct pen_tlsrpt *t);

// One session with one host: event and reason from lease->host[i].
void pen_tlsrpt_session(struct pen_tlsrpt *t, const struct pen_lease *l, uint32_t host);

// For the control verbs; from any thread. The answer (a new reference) comes
// through fn on the reporter's thread. `domain` and `day` ("2026-11-21") NULL: all.
typedef void pen_tlsrpt_answer_fn(void *ctx, json_t *result, const char *error);
void pen_tlsrpt_list(struct pen_tlsrpt *t, pen_tlsrpt_answer_fn *fn, void *ctx);
void pen_tlsrpt_show(struct pen_tlsrpt *t, const char *domain, const char *day,
	pen_tlsrpt_answer_fn *fn, void *ctx);
// Makes and sends now what is there for a day (default: yesterday; today's
// counts are sent as they are and go on).
void pen_tlsrpt_send(struct pen_tlsrpt *t, const char *domain, const char *day,
	pen_tlsrpt_answer_fn *fn, void *ctx);
struct pen_counter_set pen_tlsrpt_counters_of(const struct pen_tlsrpt *t);
