// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TLSRPT's files below one folder:
//
//   DAY.journal         increments of a day, one JSON object per line
//   outbox/DAY.DOMAIN   reports that wait to be sent
//   sent/DAY.DOMAIN     reports that were sent, kept for 30 days
//
// A line that is no JSON (a torn write) ends the reading of a journal; what
// stood before it counts. Reports are written aside and renamed.
//
// Threads: one owner.

#include "tlsrpt_count.h"
#include "tlsrpt_report.h"

struct tlsrpt_store {
	char folder[4096];
	char day[TLSRPT_DAY_MAX]; // of the open journal
	int fd;
	uint64_t written; // bytes of it
	uint64_t compact; // it is written anew beyond this
};

// 0, or -errno with the path that failed in err.
int tlsrpt_store_open(struct tlsrpt_store *s, const char *folder, char *err, size_t cap);
void tlsrpt_store_close(struct tlsrpt_store *s);
// Makes `day` the day of the journal and reads what is there into `into`.
int tlsrpt_store_begin_day(struct tlsrpt_store *s, const char *day, struct tlsrpt_count *into);
// Durable on return. `all`: the counts of the whole day, for compaction.
int tlsrpt_store_append(struct tlsrpt_store *s, json_t *increments, json_t *all);
int tlsrpt_store_remove_day(struct tlsrpt_store *s, const char *day);
// Days with a journal, in order: a new array of strings.
json_t *tlsrpt_store_days(const struct tlsrpt_store *s);

// `box`: "outbox" or "sent". Names are valid host names.
int tlsrpt_store_put(struct tlsrpt_store *s, const char *day, const char *domain, json_t *report);
json_t *tlsrpt_store_get(
	const struct tlsrpt_store *s, const char *box, const char *day, const char *domain);
// Out of the outbox: kept as sent, or dropped.
int tlsrpt_store_done(struct tlsrpt_store *s, const char *day, const char *domain, bool sent);
// fn for each report of a box.
void tlsrpt_store_each(const struct tlsrpt_store *s, const char *box,
	void (*fn)(void *ctx, const char *day, const char *domain), void *ctx);
// Removes sent reports of days before `day`.
void tlsrpt_store_prune(struct tlsrpt_store *s, const char *day);
