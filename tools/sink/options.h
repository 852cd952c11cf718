// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The command line of penstock-sink. Letters mean what they mean for Postfix's
// smtp-sink where both have them.

#include "pen_wire_tls.h"
#include "sink.h"

struct sink_options {
	struct pen_dataplane_config dp;
	struct pen_source_config source[2]; // one for each family that is given
	struct sink_config sink;
	struct pen_tls_ctx_config tls; // cert_file NULL: no STARTTLS
	const char *status_file;
	uint64_t expect;   // end after so many different messages
	uint64_t messages; // -M
	uint64_t sessions; // -n
	double duration;   // seconds; 0: no limit
	bool counters;     // -c
	bool json;
	bool strict; // exit 1 when something arrived damaged
};

// Ends the program with 2 and a sentence when something is wrong.
void sink_options_parse(struct sink_options *o, int argc, char **argv);
