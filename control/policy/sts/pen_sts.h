// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// MTA-STS (RFC 8461): parse the record and the policy, match hosts, and keep a
// cache that survives restarts. Pure: fetching is pen_sts_service.h.

#include "pen_span.h"
#include "pen_time.h"
#include "pen_tls_policy.h"

#define PEN_STS_BODY_MAX 65536
#define PEN_STS_MX_MAX 64
#define PEN_STS_ID_MAX 32
#define PEN_STS_MAX_AGE 31557600

enum pen_sts_mode { PEN_STS_NONE, PEN_STS_TESTING, PEN_STS_ENFORCE };

struct pen_sts_policy {
	enum pen_sts_mode mode;
	uint32_t max_age_s;
	char id[PEN_STS_ID_MAX + 1];
	char domain[256];
	uint32_t nmx;
	char *mx[PEN_STS_MX_MAX]; // lower case; "*.example.com" or a host
	char **line;              // the body's lines, for TLSRPT; NULL-terminated
	// Testing mode, or no usable policy: what a report says of sessions.
	enum pen_tlsrpt_result failure;
};

// NULL, or why the body is no policy.
const char *pen_sts_parse(struct pen_span body, struct pen_sts_policy *out);
void pen_sts_policy_fini(struct pen_sts_policy *p);
// From all TXT records of _mta-sts.<domain>: true and the id when exactly one is
// a record of STSv1.
bool pen_sts_record(const struct pen_span *txt, uint32_t n, char id[PEN_STS_ID_MAX + 1]);
// Does an MX host name match one of the patterns? `pattern` alone is one.
bool pen_sts_pattern_match(const char *pattern, const char *host);
bool pen_sts_mx_allowed(const struct pen_sts_policy *p, const char *host);
