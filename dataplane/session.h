// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The gateway's application: a session runs one lease over one connection at a
// time, from the first SYN to LEASE_ENDED.
//
//   CONNECTING --> TALKING --> (HANDSHAKE --> TALKING) --> CLOSING --> ENDED
//        ^                                                   |
//        +---------- the next host, or the same without TLS -+
//
// Which host is next is pen_attempt's to say. With smtp_address_race_delay two
// connections may be CONNECTING; there is never more than one SMTP session.
//
// Ownership: a delivery goes back (DELIVERY_DONE) when the SMTP client has
//          reported it and no byte of its content is referenced by TCP any more.
//          The lease goes back last.
// Threads: all of it runs on the worker.
// Memory:  sessions come from a pool of cfg->max_connections; an idle plaintext
//          session with its TCP connection takes at most 2 KiB.

#include "lease_map.h"
#include "pen_smtp_client.h"
#include "pen_wheel.h"
#include "pen_worker_app.h"

#define SESSION_COUNTERS(X)                                                                        \
	X(leases, "leases opened")                                                                 \
	X(leases_refused, "leases refused because all sessions were in use")                       \
	X(connects, "connection attempts")                                                         \
	X(connected, "connections established")                                                    \
	X(connect_refused, "connections refused by the peer")                                      \
	X(connect_timeouts, "connections that were not answered in time")                          \
	X(connect_unreachable, "connections to unreachable hosts")                                 \
	X(connect_local, "connections not begun for want of a port, an object or a route")         \
	X(next_hosts, "leases that went on to their next host")                                    \
	X(hosts_skipped, "hosts passed over for want of a source address of their family")         \
	X(races, "connections begun beside one that was slow to answer")                           \
	X(races_won, "such connections that were the first to be established")                     \
	X(handshakes, "TLS handshakes begun")                                                      \
	X(handshakes_done, "TLS handshakes completed")                                             \
	X(handshakes_failed, "TLS handshakes failed")                                              \
	X(plaintext_retries, "hosts tried again without TLS after a failed handshake")             \
	X(tls_failed, "TLS streams that failed after the handshake")                               \
	X(deliveries, "deliveries taken from the scheduler")                                       \
	X(deliveries_stray, "deliveries that came after their lease had ended")                    \
	X(deliveries_held, "deliveries kept until TCP let go of their content")                    \
	X(aborts, "leases aborted on command")                                                     \
	X(no_room, "sessions aborted because a buffer took less than it had promised")             \
	X(content_bytes, "bytes of content and commands handed to the stream")
PEN_COUNTERS_DECLARE(session, SESSION_COUNTERS);

enum session_phase {
	SESSION_FREE,
	SESSION_CONNECTING,
	SESSION_TALKING,   // SMTP over the plain or the encrypted stream
	SESSION_HANDSHAKE, // TLS; the SMTP client waits
	SESSION_CLOSING,   // SMTP is over, the connection is not
	SESSION_ENDED,     // only events are left
};

#define SESSION_DOTS 4

// Deliveries that are finished for SMTP while TCP still holds their content.
struct session_hold {
	struct pen_delivery *head, *tail;
	uint64_t until; // stream offset that has to be acknowledged
};

struct session_worker;

struct session {
	struct pen_smtp_client smtp;
	struct pen_wheel_node timer;
	struct session_worker *sw;
	struct pen_lease *lease;
	struct pen_tcp_conn *conn;
	struct pen_tcp_conn *rival; // CONNECTING: raced against conn
	pen_time_us connect_by, rival_by;
	struct pen_attempt attempt;
	void *tls;
	struct pen_delivery *queue, *queue_tail; // not taken by the SMTP client yet
	struct pen_delivery *done, *done_tail;   // DELIVERY_DONE to be posted
	struct session_hold hold[2];
	struct pen_span left; // content that TCP had no room for
	struct session *next_dirty, *next_outbox, *next_free;
	uint64_t dot_at[SESSION_DOTS]; // stream offsets of final dots not acknowledged
	uint8_t ndots;
	uint8_t phase;
	uint8_t rival_host;
	bool may_race; // no rival was started yet
	bool left_dot; // `left` ends with a final dot
	bool dirty, in_outbox;
	bool post_ready;  // LEASE_READY to be posted
	bool close_asked; // LEASE_CLOSE
	bool close_told;  // the SMTP client knows
	bool aborted;
	bool smtp_over;
	bool peer_fin;
	bool fin_sent;
};

struct session_worker {
	const struct pen_worker_env *env;
	const struct pen_session_tls *tls;
	void *tls_thread;
	struct session *pool;
	uint32_t nsessions, live;
	uint32_t mark; // sessions from here on were never touched
	struct session *free_list;
	struct session *dirty, *dirty_tail;
	struct session *outbox, *outbox_tail;
	struct pen_delivery *stray, *stray_tail; // to be posted, without a session
	struct pen_lease *refused;               // to be posted; linked by owner_state
	bool finishing;
	struct lease_map map;
	struct pen_wheel wheel;
	struct session_counters ctr;
	struct pen_smtp_client_counters smtp_ctr;
	uint8_t in[PEN_SESSION_TLS_RECORD];
	uint8_t out[PEN_SESSION_TLS_RECORD];
};

extern const struct pen_worker_app session_app;
extern const struct pen_tcp_callbacks session_tcp_callbacks;
// Without and with STARTTLS.
extern const struct pen_smtp_client_callbacks session_smtp_callbacks[2];

// session.c: to be looked at in this loop.
void session_mark(struct session *s);
// session.c: has events to post.
void session_post_later(struct session *s);
// session.c: every delivery and the lease go back.
void session_finish(struct session *s, pen_time_us now);

// session_signs.c: what TCP has seen of `c` goes into the lease.
void session_signs(struct session *s, const struct pen_tcp_conn *c);
// The same at its end, which may be a sign itself.
void session_signs_closed(struct session *s, const struct pen_tcp_conn *c, enum pen_tcp_close why);

// session_connect.c: tries hosts until one SYN leaves.
void session_connect(struct session *s, pen_time_us now);
// CONNECTING: a time limit has passed, or the race is to begin.
void session_connect_timer(struct session *s, pen_time_us now);
// CONNECTING: gives up, rival included; session_disconnected runs.
void session_connect_abort(struct session *s, pen_time_us now);
// Our address and name for the host of this session.
const struct pen_addr *session_source(const struct pen_lease *l, const struct pen_lease_host *h);
const char *session_helo(const struct pen_lease *l, const struct pen_lease_host *h);
// The connection is gone and SMTP is over: another host, or the end.
void session_disconnected(struct session *s, pen_time_us now);

// session_stream.c: TCP's callbacks about bytes.
uint32_t session_on_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now);
void session_on_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now);
void session_on_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now);
// Moves bytes, closes what is over, arms the timer.
void session_pump(struct session *s, pen_time_us now);
void session_timer(struct session *s, pen_time_us now);
// Ends at once: RST.
void session_abort(struct session *s, const char *why, pen_time_us now);
// session_stream.c: content whose bytes were acknowledged goes back.
void session_release(struct session *s, uint64_t acked);

// session_tls.c
void session_tls_start(struct session *s, pen_time_us now);
void session_tls_input(struct session *s, const uint8_t *p, uint32_t n, pen_time_us now);
void session_tls_pump(struct session *s, pen_time_us now);
void session_tls_end(struct session *s); // close_notify if it can be sent
void session_tls_free(struct session *s);
// Shared with the plain stream: notes where a final dot lies.
void session_dot_written(struct session *s);
