// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A worker's surroundings, played by a test: TCP connections, TLS, the rings.
// For tests of sessions only; one world at a time.

#include "session.h"

#define CONNS 12

struct pen_tcp_conn {
	struct pen_addr local, remote;
	void *ctx;
	bool open, closing;
	struct pen_tcp_signs signs;
	char sent[4096]; // what we said on it; TLS records in angle brackets
	size_t n;
};

struct world {
	struct pen_worker_env env;
	struct pen_dataplane_config cfg;
	void *state;
	pen_time_us now;
	struct pen_tcp_conn conn[CONNS];
	unsigned nconn;
	bool full; // no object for another connection
	uint32_t ready, done, ended;
	// TLS
	enum pen_session_tls_status handshake;
	struct pen_tls_peer peer;
	unsigned streams;
	struct pen_addr source;
	const char *helo;
	const struct pen_lease_host *host;
};

extern struct world w;
extern struct pen_smtp_rules rules;
extern struct pen_tls_policy policy[4];
extern struct pen_lease lease;

// A lease with hosts 10.0.0.16 and on, not opened yet.
void world_set_up(uint8_t nhosts, enum pen_tls_level level);
// Lets everything happen that follows at once.
void world_settle(void);
void world_command(uint32_t type, void *p);
// Time goes on, in small steps.
void world_pass(pen_time_us us);
// Connection k: the host answers, refuses, or the connection ends.
void world_answers(unsigned k);
void world_fails(unsigned k);
void world_closed(struct pen_tcp_conn *c, enum pen_tcp_close why);
// What the host says on connection k, and all that it has heard.
void world_says(unsigned k, const char *text);
void world_heard(unsigned k, const char *text);
// Index of the host that connection k goes to.
unsigned world_host_of(unsigned k);
// One of the worker's counters.
uint64_t world_count(const char *name);
// Ends the lease if it lives, checks that no connection is left.
void world_tear_down(void);
void world_expect_status(unsigned klass, unsigned subject, unsigned detail);
void world_expect_field(const char *want);
