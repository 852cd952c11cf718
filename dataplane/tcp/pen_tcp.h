// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TCP, client and server, as a pure core: segments, time and randomness are
// passed in. The same code runs under DPDK, in the simulator and in fuzzers.
//
// One pen_tcp is the TCP of one worker over one pen_inet. Connections are
// objects from a fixed pool. Bytes to send are either copied (small: commands,
// TLS records) or held by reference until acknowledged (message content);
// received bytes are handed over in place. IPv4 and IPv6 differ in the tuple, in
// the pseudo header and in the segment size, and in nothing else.
//
// Threads: owned by one worker; callbacks run inside pen_tcp_* calls.
// Memory:  everything is taken in pen_tcp_new from the limits; "full" makes a
//          call return less than asked, never allocate.
// Callbacks may call any pen_tcp_* function on any connection except
//          pen_tcp_input and pen_tcp_poll.
// Follows: RFC 9293, 7323, 6298, 5681, 6582, 5961, 6528, 6056, 6928, 9438.

#include "pen_inet.h"
#include "pen_rand.h"

// The list of counters is in pen_tcp_counters.h (one per drop reason and per
// event that an operator or a test asks for).
#include "pen_tcp_counters.h"

struct pen_tcp;
struct pen_tcp_conn;

struct pen_tcp_config {
	uint32_t max_conns;     // 1..4,194,304
	uint32_t buffer_chunks; // pool of 2 KiB chunks for copied and received data
	uint32_t send_refs;     // pool of by-reference descriptors
	uint16_t mss;           // 0: from the MTU, for each family
	uint32_t rx_window;     // bytes advertised at most, default 256 KiB
	uint32_t tx_limit;      // bytes queued unsent per connection, default 256 KiB
	pen_time_us min_rto;    // default 200 ms
	pen_time_us max_rto;    // default 60 s
	uint8_t syn_retries;    // default 6
	uint8_t data_retries;   // default 15, RFC 9293 R2
	pen_time_us time_wait;  // default 60 s (2 MSL)
	uint16_t port_low;      // ephemeral ports, default 10000..65535
	uint16_t port_high;
	uint16_t workers; // port % workers == worker: the owner of a port
	uint16_t worker;
	struct pen_siphash_key secret; // RFC 6528 and 6056
	uint64_t seed;                 // jitter
};

// Fills the defaults above; the caller sets limits and secrets afterwards.
void pen_tcp_config_init(struct pen_tcp_config *cfg);

enum pen_tcp_close {
	PEN_TCP_CLOSED_OK,          // both sides finished in order
	PEN_TCP_CLOSED_RESET,       // the peer sent RST
	PEN_TCP_CLOSED_REFUSED,     // RST in answer to our SYN
	PEN_TCP_CLOSED_TIMEOUT,     // R2 retransmissions without an answer
	PEN_TCP_CLOSED_UNREACHABLE, // ICMP said so while connecting
	PEN_TCP_CLOSED_ABORTED,     // pen_tcp_abort or shutdown
	PEN_TCP_CLOSED_NO_RESOURCE,
};
const char *pen_tcp_close_name(enum pen_tcp_close why); // "Connection refused"...

struct pen_tcp_callbacks {
	// Server: a connection came in on a listening port. Returns the context
	// for the new connection, or NULL to refuse it with RST.
	void *(*on_accept)(void *listen_ctx, struct pen_tcp_conn *c);
	// Our own pen_tcp_connect succeeded (on_accept stands for it on a server).
	void (*on_connected)(void *ctx, struct pen_tcp_conn *c, pen_time_us now);
	// In-order bytes. Returns how many were consumed; the rest is kept, the
	// window closes, and pen_tcp_resume offers it again.
	uint32_t (*on_data)(
		void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now);
	// The peer finished sending.
	void (*on_peer_fin)(void *ctx, struct pen_tcp_conn *c, pen_time_us now);
	// The peer acknowledged everything up to stream offset `acked` (bytes
	// since the start), or there is room for writing again.
	void (*on_writable)(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now);
	// The last callback for c: no reference to sent memory is left. The
	// connection must not be used after it returns. After a graceful close
	// from our side it comes when our FIN is acknowledged and the peer's FIN
	// has come; TIME_WAIT is kept apart and needs no connection object.
	void (*on_closed)(
		void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now);
};

struct pen_tcp *pen_tcp_new(const struct pen_tcp_config *cfg, struct pen_inet *inet,
	const struct pen_tcp_callbacks *cb, struct pen_tcp_counters *ctr, pen_time_us now);
// Aborts what is left, without callbacks, and frees everything.
void pen_tcp_free(struct pen_tcp *t);

// To be installed as the pen_inet handler (ctx: the pen_tcp).
void pen_tcp_input(void *tcp, const struct pen_addr *src, const struct pen_addr *dst,
	const uint8_t *seg, uint32_t len, bool csum_ok, pen_time_us now);
void pen_tcp_unreachable(void *tcp, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t local_port, uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code,
	uint16_t next_mtu, pen_time_us now);

// pen_tcp_connect starts a connection from `local` (a source of the inet).
// 0, or -ENOBUFS (no connection object), -EADDRNOTAVAIL (no free port),
// -ENETUNREACH (no route). on_connected or on_closed follows.
int pen_tcp_connect(struct pen_tcp *t, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t remote_port, void *ctx, struct pen_tcp_conn **out, pen_time_us now);

// Listens on a local port of every source. 0 or -EADDRINUSE / -ENOBUFS.
int pen_tcp_listen(struct pen_tcp *t, uint16_t port, void *listen_ctx);

// How many bytes pen_tcp_write_* would take now.
uint32_t pen_tcp_room(const struct pen_tcp_conn *c);
// Whether pen_tcp_write_copy would take all n bytes now. False also when the pool of chunks
// is short; on_writable then comes when it is not.
bool pen_tcp_can_copy(struct pen_tcp_conn *c, uint32_t n);
// Queue bytes; they leave at the next pen_tcp_flush or input. Both return how
// many bytes were taken: less than n when the limit or a pool is reached.
// _ref: p must stay valid and unchanged until acknowledged or on_closed.
uint32_t pen_tcp_write_copy(struct pen_tcp_conn *c, const void *p, uint32_t n);
uint32_t pen_tcp_write_ref(struct pen_tcp_conn *c, const void *p, uint32_t n);
// Stream offsets, bytes since the start: queued by us, acknowledged by the peer.
uint64_t pen_tcp_queued(const struct pen_tcp_conn *c);
uint64_t pen_tcp_acked(const struct pen_tcp_conn *c);

// Sends what window, congestion control and SWS avoidance allow. The worker
// calls it after a batch of writes so that segments leave full (no Nagle).
void pen_tcp_flush(struct pen_tcp_conn *c, pen_time_us now);

// Offers kept bytes to on_data again and reopens the window.
void pen_tcp_resume(struct pen_tcp_conn *c, pen_time_us now);
// Caps the advertised window (a fault of the sink); 0 closes it.
void pen_tcp_set_rx_window(struct pen_tcp_conn *c, uint32_t bytes, pen_time_us now);

// Orderly: FIN after what is queued. on_closed follows.
void pen_tcp_close(struct pen_tcp_conn *c, pen_time_us now);
// RST now; on_closed(ABORTED) runs before this returns.
void pen_tcp_abort(struct pen_tcp_conn *c, pen_time_us now);

void pen_tcp_set_ctx(struct pen_tcp_conn *c, void *ctx);
void *pen_tcp_ctx(const struct pen_tcp_conn *c);

struct pen_tcp_info {
	struct pen_addr local, remote;
	uint16_t local_port, remote_port;
	uint32_t srtt_us, rto_us, cwnd, mss, retransmits;
	uint32_t peer_window;
	bool peer_fin, timestamps, window_scaling;
};
void pen_tcp_get_info(const struct pen_tcp_conn *c, struct pen_tcp_info *info);

// What the connection has seen of trouble, since its begin; also inside on_closed.
struct pen_tcp_signs {
	uint32_t segments;      // data segments sent, window probes left out
	uint32_t retransmitted; // of these, again
	uint16_t syn_retries;
	uint16_t zero_windows; // times that the peer shut its window on waiting data
	uint32_t srtt_us;      // 0: nothing was measured yet
};
void pen_tcp_get_signs(const struct pen_tcp_conn *c, struct pen_tcp_signs *out);

// pen_tcp_poll sends pending ACKs and runs at most `most` timers. Call it once
// per loop, after a burst of input. Returns the next deadline.
pen_time_us pen_tcp_poll(struct pen_tcp *t, uint32_t most, pen_time_us now);

uint32_t pen_tcp_conn_count(const struct pen_tcp *t);
// Bytes of one connection object, for the memory budget.
size_t pen_tcp_conn_size(void);

// Checks every invariant of every connection (debug, fuzz and sim builds).
void pen_tcp_check(const struct pen_tcp *t);
