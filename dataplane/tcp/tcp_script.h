// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Test helper: one real stack at 10.0.0.1 and fd00::1 against a peer at 10.0.0.2
// and fd00::2 that the test plays by hand, segment by segment, in virtual time.

#include "tcp_internal.h"

#define SCRIPT_SENT_MAX 512
#define SCRIPT_PEER_ISS 5000u
#define SCRIPT_PEER_TS 77000u
// The longest segment is as long over both families.
#define SCRIPT_MSS 1460u
#define SCRIPT_FRAME_MAX (PEN_INET_HEADROOM(PEN_FAMILY_IP6) + TCP_HDR + SCRIPT_MSS)

struct script_sent {
	struct tcp_seg seg; // id as the stack sees it: lport is ours
	pen_time_us at;
	const uint8_t *tcp; // in `frame`
	uint8_t frame[SCRIPT_FRAME_MAX];
};

struct script {
	struct pen_inet *inet;
	struct pen_tcp *tcp;
	struct pen_inet_counters inet_ctr;
	struct pen_tcp_counters ctr;
	struct pen_addr us, peer;
	pen_time_us now, start;
	struct script_sent sent[SCRIPT_SENT_MAX]; // not looked at yet: [head, tail)
	uint32_t head, tail;
	// The application.
	struct pen_tcp_conn *c;
	bool connected, accepted, peer_fin, closed, refuse;
	enum pen_tcp_close why;
	uint32_t consume_at_most; // per on_data call
	uint8_t got[65536];
	uint32_t ngot;
	uint64_t acked;
	// The peer.
	uint16_t peer_port, our_port;
	uint32_t seq, ack; // the peer's snd_nxt and rcv_nxt
	uint16_t wnd;
	bool ts; // segments carry timestamps
	uint32_t tsval, tsecr;
};

// The family of scripts that start from now on.
extern bool script_ip6;

void script_start(struct script *s, const struct pen_tcp_config *cfg);
void script_end(struct script *s);
void script_config(struct pen_tcp_config *cfg);
// Lets time pass, polling whenever something is due.
void script_go(struct script *s, pen_time_us us);
// The next segment the stack sent, or NULL.
const struct script_sent *script_next(struct script *s);
void script_forget(struct script *s); // everything sent so far
// Sends a segment of the peer as given; data may be NULL for zeros.
void script_raw(struct script *s, uint8_t flags, uint32_t seq, uint32_t ack, const void *options,
	uint32_t noptions, const void *data, uint32_t len);
// The same at s->seq and s->ack; moves s->seq on, then polls.
void script_peer(struct script *s, uint8_t flags, const void *data, uint32_t len);
// Handshakes to ESTABLISHED: as client to port 25, or as server on port 25.
void script_connect(struct script *s);
void script_handshake(struct script *s);
void script_accept(struct script *s);
