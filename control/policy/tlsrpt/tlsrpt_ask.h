// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A question to the resolver from another thread, which waits for the answer.
//
// Threads: any but the resolver's. Memory: the answer is the caller's copy.

#include "pen_dns_query.h"

struct tlsrpt_answer {
	enum pen_dns_status status;
	uint32_t n;
	struct {
		struct pen_addr addr;
		struct pen_span text; // TXT: malloc'ed
	} record[16];
};

// Status FAILED when the answer does not come within `limit`.
void tlsrpt_ask(struct pen_dns *dns, const char *name, enum pen_dns_type type, pen_time_us limit,
	struct tlsrpt_answer *out);
void tlsrpt_answer_fini(struct tlsrpt_answer *a);
