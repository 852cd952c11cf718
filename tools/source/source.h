// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// penstock-source: what its files share. One thread; nothing is allocated while
// messages are sent.

#include "pen_histogram.h"
#include "pen_span.h"
#include "pen_time.h"

#include <sys/socket.h>

struct source_options {
	uint32_t sessions;   // -s
	uint64_t messages;   // -m
	uint64_t first;      // --first: number of the first message
	uint32_t length;     // -l
	uint32_t recipients; // -r
	uint32_t domains;    // --domains, 0: the one of `to`
	uint32_t tenants;    // --tenants, 0: none is named
	const char *from, *to, *subject, *helo;
	bool keep;     // -d
	bool counter;  // -c
	bool number;   // -N
	bool verbose;  // -v
	bool pipeline; // off: --no-pipelining
	bool resend;   // off: --no-resend
	bool json, progress;
	uint32_t per_connection; // 0: no limit
	double rate;             // messages/s, 0: no limit
	uint32_t timeout_s;      // without a byte from the server
	uint32_t give_up_s;      // without any connection
	const char *corpus, *run, *acked_file;
	struct sockaddr_storage addr;
	socklen_t addr_len;
};

struct source_stats {
	uint64_t accepted; // 250 to the content
	uint64_t refused;  // 5xx
	uint64_t deferred; // 4xx: tried again
	uint64_t unknown;  // the reply was lost and --no-resend was given
	uint64_t resent;   // tried again after a lost connection
	uint64_t rcpt_refused;
	uint64_t bytes; // content of accepted messages, as hashed plus our headers
	uint64_t connects, connect_failures, lost_connections;
	pen_time_us started, ended;
	struct pen_histogram latency; // microseconds, content handed over to 250
	char last_error[256];
};

// message.c: contents
struct source_messages;

// NULL after a message on stderr.
struct source_messages *source_messages_new(const struct source_options *opt);
void source_messages_free(struct source_messages *m);
// Room for the part of a message that is its own.
#define SOURCE_HEADER_MAX 2048
struct source_content {
	size_t header_n;      // bytes written to `header`
	struct pen_span rest; // dot-stuffed, with ".\r\n"; shared
	size_t size;          // content bytes without dot-stuffing
};
void source_message_make(struct source_messages *m, uint64_t number, char header[SOURCE_HEADER_MAX],
	struct source_content *out);

// engine.c: runs until every message has an end. 0, or 1 after a hopeless error.
int source_run(
	const struct source_options *opt, struct source_messages *m, struct source_stats *stats);
