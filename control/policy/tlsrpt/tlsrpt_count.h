// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The counts of one day: TLSRPT domain -> policy -> successes, and failures by
// what a report tells apart.
//
// Kept as JSON from the start, because every use of it is JSON: the journal on
// disk (one object of increments per line, summed when read), the report, and
// the answers to control verbs:
//
//   {"example.com": {KEY: {"policy": {...}, "ok": 3, "failures": {KEY: {"result-type":
//     "...", ..., "failed-session-count": 1}}}}}
//
// Pure. Threads: one owner. Memory: at most PEN_TLSRPT_KEYS_MAX policies and
// failures a day.

#include "pen_addr.h"
#include "pen_tls_policy.h"

#include <jansson.h>

struct tlsrpt_event {
	const struct pen_tls_policy *policy;
	enum pen_tlsrpt_result result; // not NONE
	const char *reason;            // or NULL
	struct pen_addr source, receiver;
};

struct tlsrpt_count {
	json_t *days; // see above
	uint32_t keys;
	uint64_t refused; // events beyond the limit
};

int tlsrpt_count_init(struct tlsrpt_count *c); // 0 or -ENOMEM
void tlsrpt_count_fini(struct tlsrpt_count *c);
void tlsrpt_count_add(struct tlsrpt_count *c, const struct tlsrpt_event *e);
// Adds the counts of `more`, of the same shape; what has another shape is left
// out. Takes no reference. False: something was left out.
bool tlsrpt_count_merge(struct tlsrpt_count *c, json_t *more);
// {"success": n, "failure": n} of a domain's counts.
void tlsrpt_count_sum(json_t *domain, json_int_t *success, json_int_t *failure);
