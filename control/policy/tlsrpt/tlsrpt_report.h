// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A report (RFC 8460 4) from a day's counts, and the mail that carries it (5.3).
//
// Pure functions.

#include "pen_buf.h"
#include "pen_time.h"

#include <jansson.h>

struct tlsrpt_identity {
	const char *organization; // organization-name
	const char *contact;      // contact-info
	const char *submitter;    // domain that sends the report
	const char *sender;       // From:
};

#define TLSRPT_DAY_MAX 11 // "2026-11-21"

// The day of a time, and its first second; false when the text is no day.
void tlsrpt_day(int64_t unix_s, char out[TLSRPT_DAY_MAX]);
bool tlsrpt_day_start(const char *day, int64_t *unix_s);

// A new reference, NULL when out of memory. `domain` is one entry of the counts.
json_t *tlsrpt_report_json(
	const struct tlsrpt_identity *who, const char *name, json_t *domain, const char *day);
// "submitter!domain!begin!end!unique.json.gz"
void tlsrpt_report_file(const struct tlsrpt_identity *who, const char *domain, const char *day,
	const char *unique, char *out, size_t cap);
// gzip; 0 or -errno.
int tlsrpt_gzip(struct pen_span in, struct pen_buf *out);
// The message in canonical form, without the envelope; 0 or -ENOMEM.
int tlsrpt_report_mail(const struct tlsrpt_identity *who, const char *domain, const char *rcpt,
	const char *report_id, const char *file, struct pen_span gzip, int64_t now_s,
	struct pen_buf *out);
