// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The sink as a worker application: an SMTP server over our own TCP that throws
// mail away after looking at every byte of it.
//
// Threads: everything runs on the one worker; sink_stats may be read anywhere.

#include "faults.h"
#include "pen_content_hash.h"
#include "pen_smtp_server.h"
#include "pen_wheel.h"
#include "pen_worker_app.h"
#include "tally.h"

#include <stdio.h>

#define SINK_COUNTERS(X)                                                                           \
	X(connections, "connections accepted")                                                     \
	X(connections_refused, "connections refused because too many were open")                   \
	X(sessions_ended, "connections closed")                                                    \
	X(messages, "messages answered with 250")                                                  \
	X(bytes, "bytes of their content")                                                         \
	X(recipients, "recipients accepted")                                                       \
	X(unique, "messages that had not arrived before")                                          \
	X(duplicates, "messages that had arrived before")                                          \
	X(corrupted, "messages whose content differs from what X-Penstock-Hash says")              \
	X(verified, "messages whose content is what X-Penstock-Hash says")                         \
	X(unidentified, "messages without X-Penstock-Id")                                          \
	X(rejects_soft, "commands answered with 4xx on purpose")                                   \
	X(rejects_hard, "commands answered with 5xx on purpose")                                   \
	X(dropped, "connections closed on purpose")                                                \
	X(tls_sessions, "TLS handshakes completed")                                                \
	X(tls_failed, "TLS handshakes or streams that failed")                                     \
	X(dump_failed, "messages that could not be written to the dump directory")
PEN_COUNTERS_DECLARE(sink, SINK_COUNTERS);

struct sink_config {
	struct pen_smtp_server_config smtp;
	uint16_t port;
	uint32_t max_connections;
	struct faults faults;
	const char *soft_reply, *hard_reply; // "450 4.3.0 ..."
	pen_time_us data_read_delay;         // -H
	uint64_t slow_read;                  // bytes per second and connection; 0: no limit
	bool tls_break;                      // --tls-break
	bool no_esmtp;                       // -e
	const char *dump_dir;
	FILE *ledger; // a line for each connection and message; NULL: none
	uint64_t seed;
	const struct pen_session_tls *tls;
};

struct sink;

struct sink_conn {
	struct pen_content_hash hash; // first: it wants alignment
	struct pen_smtp_server smtp;
	struct pen_wheel_node timer;
	struct sink *k;
	struct pen_tcp_conn *tcp;
	void *tls;
	struct sink_conn *next_free, *next_dirty;
	pen_time_us hold_out;   // replies wait until then
	pen_time_us hold_in;    // and reading until then
	pen_time_us read_since; // --slow-read
	uint64_t read_bytes;
	FILE *dump;
	uint64_t number; // of the connection, from 1
	uint32_t nrcpt;
	bool used, dirty, hashing, closing, peer_fin, closed_by_us;
	bool tls_wanted, handshaking, input_waits;
};

struct sink {
	const struct sink_config *cfg;
	const struct pen_worker_env *env;
	void *tls_thread;
	struct sink_conn *pool, *free_list, *dirty;
	struct pen_wheel wheel;
	struct pen_rand rand;
	struct tally tally;
	struct sink_counters ctr;
	struct pen_smtp_server_counters smtp_ctr;
	pen_time_us now;
	pen_time_us first_at, last_at; // worker: wo; accepted messages
	uint64_t dump_seq;
	uint8_t scratch[PEN_SESSION_TLS_RECORD];
};

extern const struct pen_worker_app sink_app; // ctx: struct sink with cfg set

// sink.c
void sink_mark(struct sink_conn *c);
// A line of the ledger: when, what ("open", "mail", "message", "close"), which connection,
// and the message's id or "-".
void sink_ledger(struct sink_conn *c, const char *what, const char *id);
// sink_smtp.c
extern const struct pen_smtp_server_callbacks sink_smtp_callbacks;
void sink_message_abandon(struct sink_conn *c);
// sink_tls.c
void sink_tls_start(struct sink_conn *c);
void sink_tls_input(struct sink_conn *c, const uint8_t *p, uint32_t n, pen_time_us now);
void sink_tls_output(struct sink_conn *c);
void sink_tls_free(struct sink_conn *c);
