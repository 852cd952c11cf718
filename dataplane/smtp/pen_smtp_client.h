// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The SMTP client of one connection, as a pure core over a byte stream.
//
// Bytes from the peer go in (feed), spans to send come out (pull), time is
// passed in, deadlines come out. It knows neither sockets nor TCP nor TLS: when
// STARTTLS was accepted it asks the owner to switch the stream, and goes on.
// Several deliveries run over one session; with PIPELINING the next MAIL is
// pulled right behind the final dot of the one before.
//
// Threads: owned by one worker. Callbacks run inside feed, pull, tick and
//          eof. They must not call back into this client, except where a
//          callback's comment says so.
// Memory:  the struct is embedded by the owner (at most 1 KiB) and allocates
//          nothing.
// Follows: RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 2034 and
//          3463 (enhanced codes), 3207 (STARTTLS), 3461 (DSN), 8689
//          (REQUIRETLS), 2033 (LMTP); time-outs as Postfix. What TLS policy
//          demands of a session is decided in pen_tls_session.h.

#include "pen_attempt.h"
#include "pen_smtp_client_counters.h"

struct pen_smtp_client;

struct pen_smtp_client_callbacks {
	// The next delivery to send, or NULL: the session then idles until
	// pen_smtp_client_wake, lease close or the idle time-out.
	struct pen_delivery *(*next_delivery)(void *ctx);
	// EHLO (and TLS, when used) is done; lease->size_limit is set.
	void (*on_ready)(void *ctx, pen_time_us now);
	// 220 to STARTTLS: start the handshake on the raw stream. The owner calls
	// pen_smtp_client_tls_up or pen_smtp_client_tls_failed later. Bytes that
	// the server sent behind the 220 in plaintext were discarded (RFC 3207,
	// command injection). With a policy's `wrapper` it runs inside init. NULL:
	// TLS cannot be had.
	void (*on_starttls)(void *ctx, pen_time_us now);
	// All recipients of d have a result (klass != 0) or, with d->attempted
	// false, it was not tried. The content may still be referenced by sent
	// spans: the owner keeps it until the transport has let go.
	void (*on_delivery_done)(void *ctx, struct pen_delivery *d, pen_time_us now);
	// The session is over; `result` as for pen_lease.result. Every delivery
	// was reported before. The owner closes the transport.
	void (*on_end)(void *ctx, const struct pen_dsn *result, pen_time_us now);
};

// One piece of output.
struct pen_smtp_out {
	struct pen_span bytes;
	bool by_ref;    // content: valid until the transport let go of it
			// otherwise: valid until the next call on this client
	bool final_dot; // ends with the last byte of a message's final dot line
};

#include "pen_smtp_client_state.h" // struct pen_smtp_client: not for reading by others

// A recipient's text is the mail log's: "host X said: ... (in reply to RCPT TO
// command)", "lost connection with X while ...", or the plain reply when all
// went well. A delivery whose MAIL was not answered comes back untried when the
// session ended for another reason than that MAIL. lease->result serves as
// scratch from the first failure on; on_end's result points to it.
//
// lease: as pen_attempt_next left it. Read for HELO name, time-outs, the policy
// of host_used, limits; written for what the session learned. It must outlive
// the client. `plain`: a retry without TLS. Starts waiting for the greeting, or
// for TLS.
void pen_smtp_client_init(struct pen_smtp_client *c, struct pen_lease *lease, bool plain,
	const struct pen_smtp_client_callbacks *cb, void *ctx, struct pen_smtp_client_counters *ctr,
	pen_time_us now);

// Bytes from the peer (plaintext). Always consumes all.
void pen_smtp_client_feed(struct pen_smtp_client *c, const uint8_t *p, size_t n, pen_time_us now);

// pen_smtp_client_pull yields the next span to send, at most `max` bytes (max >= 1), or false
// when there is nothing to send now. Progress restarts smtp_data_xfer_timeout.
bool pen_smtp_client_pull(
	struct pen_smtp_client *c, size_t max, struct pen_smtp_out *out, pen_time_us now);

// The peer's TCP acknowledged the final dot of the oldest delivery that waits
// for its reply (called once per delivery, in order).
void pen_smtp_client_dot_acked(struct pen_smtp_client *c);

// The handshake succeeded, and lease->tls_peer says what it showed: EHLO again
// over the encrypted stream, or QUIT.
void pen_smtp_client_tls_up(struct pen_smtp_client *c, pen_time_us now);
// It failed for `error` (lease->tls_peer: a certificate may have ended it), or
// the encrypted stream broke later.
void pen_smtp_client_tls_failed(struct pen_smtp_client *c, const char *error, pen_time_us now);

// The transport ended: the peer closed (eof), or we end it for `why`. Deliveries under way get a
// result, on_end runs. A close in answer to QUIT is a clean end. Call eof for a reset, too: its
// text says what we were doing, and an idle session is not a failure.
void pen_smtp_client_eof(struct pen_smtp_client *c, pen_time_us now);
void pen_smtp_client_fail(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now);

// With lease->hold_dots: one more result of a delivery whose final dot was sent
// is on disk; pull afterwards.
void pen_smtp_client_result_stored(struct pen_smtp_client *c);

// There may be a delivery now; pull afterwards.
void pen_smtp_client_wake(struct pen_smtp_client *c, pen_time_us now);
// No more deliveries: QUIT once those under way are finished.
void pen_smtp_client_close(struct pen_smtp_client *c, pen_time_us now);

// When tick must be called at the latest (PEN_TIME_NEVER is never returned
// while the session lives: every state has a deadline).
pen_time_us pen_smtp_client_deadline(const struct pen_smtp_client *c);
void pen_smtp_client_tick(struct pen_smtp_client *c, pen_time_us now);

bool pen_smtp_client_ended(const struct pen_smtp_client *c);
// For pen_attempt_ended, when the session ended without having been ready.
enum pen_attempt_end pen_smtp_client_how(const struct pen_smtp_client *c);
