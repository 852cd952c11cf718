// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The command line of bench_dataplane, and the sink that it starts.

#include "pen_addr.h"

#include <sys/types.h>

struct bench_settings {
	uint64_t messages;
	uint32_t size, per_connection, connections, idle, distinct;
	const char *sink; // path of penstock-sink; NULL: somebody else runs it
	const char *sink_options[32];
	uint32_t nsink_options;
	char socket[128];
	unsigned core, sink_core;
	double timeout;
	uint32_t workers, buffer_mb;
	const char *device; // NULL: memif to the sink
	struct pen_addr source, host;
	uint16_t port;
	bool tls, tls_may, json, huge, counters;
	bool ip6; // sink and source at their IPv6 addresses
	const char *cert, *key;
};

// Ends the program with 2 when something is wrong.
void bench_settings_parse(struct bench_settings *set, int argc, char **argv);

// penstock-sink as a child that does not outlive us.
pid_t bench_sink_start(const struct bench_settings *set);
// Ends it; 0 when it exited well. Without a sink (pid <= 0) 0 too.
int bench_sink_stop(pid_t pid);
