// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Carries one report to where the domain's record wants it (RFC 8460 3 and 5).
//
// Threads: the reporter's; blocks for as long as DNS and HTTPS take (bounded).

#include "pen_tlsrpt.h"
#include "tlsrpt_report.h"

struct tlsrpt_sender {
	const struct pen_tlsrpt_config *cfg;
	struct tlsrpt_identity who;
	const char *ca_file; // "" or authorities for HTTPS
};

enum tlsrpt_sent {
	TLSRPT_SENT,      // every address has it
	TLSRPT_LATER,     // some did not take it: try again
	TLSRPT_NOT_ASKED, // the record is gone: drop the report
};

// `why` gets a sentence unless SENT. `taken`: a bit for each address that has
// the report from an earlier try; 0 at first.
enum tlsrpt_sent tlsrpt_send(const struct tlsrpt_sender *s, const char *domain, const char *day,
	json_t *report, uint32_t *taken, char *why, size_t cap);
