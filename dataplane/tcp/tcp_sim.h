// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Test helper: two hosts with real network and TCP layers, joined by a link
// that delays, loses, reorders, duplicates and corrupts, in virtual time. One
// seed decides everything, so a run repeats exactly.
//
// Threads: one. Memory: the heap; for tests only.

#include "pen_tcp.h"

struct tcp_sim;

struct tcp_sim_link {
	pen_time_us delay;   // one way
	pen_time_us jitter;  // added: 0..jitter, order kept unless reordered
	uint32_t loss;       // of 10,000 frames
	uint32_t reorder;    // of 10,000 frames: delayed by up to 4 * delay more
	uint32_t duplicate;  // of 10,000 frames
	uint32_t corrupt;    // of 10,000 frames: one bit flips
	uint64_t bits_per_s; // 0: no limit
	bool ip6;            // the hosts are fd00::1 and fd00::2
	uint32_t peers;      // IPv4: host 1 has this many addresses, 10.0.0.2 and on; 0: one
	// Sees each frame before the link does; true: the frame is lost.
	bool (*drop)(void *ctx, int from, const uint8_t *frame, uint32_t len, pen_time_us now);
	void *drop_ctx;
};

struct tcp_sim_host {
	struct tcp_sim *sim;
	int index;
	struct pen_addr addr; // 10.0.0.1 and 10.0.0.2, unless the link says ip6
	uint8_t mac[6];
	struct pen_inet *inet;
	struct pen_tcp *tcp;
	struct pen_inet_counters inet_ctr;
	struct pen_tcp_counters tcp_ctr;
	uint32_t frames_out; // buffers that the port has lent
	bool no_buffers;     // the port refuses
	pen_time_us busy_until, last_arrival;
};

struct tcp_sim {
	struct tcp_sim_host host[2];
	struct tcp_sim_link link;
	struct pen_rand rand;
	pen_time_us now;
	uint64_t serial;
	uint32_t nflight, cap;
	struct tcp_sim_frame **flight; // a heap by arrival
	uint64_t lost, frames;
	bool check; // pen_tcp_check after every step
};

// Makes both hosts with the same configuration; on host i, callbacks cb[i].
// Neighbours are known from the start.
struct tcp_sim *tcp_sim_new(const struct pen_tcp_config *cfg, const struct pen_tcp_callbacks cb[2],
	const struct tcp_sim_link *link, uint64_t seed);
void tcp_sim_free(struct tcp_sim *s);
// The host starts anew, as after a crash: its connections are gone, and nobody is told.
// What is on its way to it arrives.
void tcp_sim_restart(struct tcp_sim *s, int host, const struct pen_tcp_config *cfg,
	const struct pen_tcp_callbacks *cb);
// Goes on to the next arrival or deadline and handles it; or to `until`, and
// returns false, when nothing happens before.
bool tcp_sim_step(struct tcp_sim *s, pen_time_us until);
// Steps until `now` is `until`.
void tcp_sim_run(struct tcp_sim *s, pen_time_us until);
// Puts a frame on its way to host `to`, as if the other one had sent it.
void tcp_sim_inject(struct tcp_sim *s, int to, const uint8_t *frame, uint32_t len);
