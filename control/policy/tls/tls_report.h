// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a TLS report says about the policy of a host (RFC 8460 4.4).

#include "tls_private.h"

// Where the policy came from; the first that is there is reported.
struct tls_report_source {
	const struct pen_tls_attributes *attributes; // with policy_type=
	const struct tls_dane *dane;                 // records were found, or had to be
	const struct pen_sts_policy *sts;
};

// Fills p->report. False: no memory.
bool tls_report_fill(struct pen_tls_policy *p, const struct tls_report_source *from);
