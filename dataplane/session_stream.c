// SPDX-License-Identifier: BSD-3-Clause

// Bytes between the SMTP client and TCP, and the orderly end of a connection.

#include "session.h"

#include "pen_err.h"

// How long the peer may take to close after QUIT: whoever closes first holds
// TIME_WAIT, and a gateway with many connections wants none of it.
#define LET_PEER_CLOSE_US (2 * PEN_US_PER_S)
#define FIN_US (2 * PEN_US_PER_S)
// Below this much room the stream waits for acknowledgements: pieces of a few
// bytes would cost more than they bring.
#define ROOM_LEAST 512

// ---- what the peer has acknowledged ----

void session_release(struct session *s, uint64_t acked)
{
	struct session_hold *h = s->hold;

	while (h->head != NULL && acked >= h->until) {
		if (s->done == NULL)
			s->done = h->head;
		else
			s->done_tail->next = h->head;
		s->done_tail = h->tail;
		h[0] = h[1];
		h[1] = (struct session_hold){0};
		session_post_later(s);
	}
}

static void dots_acked(struct session *s, uint64_t acked)
{
	while (s->ndots > 0 && acked >= s->dot_at[0]) {
		pen_smtp_client_dot_acked(&s->smtp);
		s->ndots--;
		memmove(s->dot_at, s->dot_at + 1, s->ndots * sizeof(s->dot_at[0]));
	}
}

void session_dot_written(struct session *s)
{
	// DATA is the last command of a pipelined group: a second dot can follow
	// only after the reply to the first.
	PEN_ASSERT(s->ndots < SESSION_DOTS);
	s->dot_at[s->ndots++] = pen_tcp_queued(s->conn);
}

static void acknowledged(struct session *s, uint64_t acked)
{
	if (s->phase == SESSION_TALKING && !s->smtp_over)
		dots_acked(s, acked);
	session_release(s, acked);
}

void session_on_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now)
{
	struct session *s = ctx;

	(void)c;
	(void)now;
	acknowledged(s, acked);
	session_mark(s);
}

// ---- in ----

uint32_t session_on_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	struct session *s = ctx;

	// A reply must not be read before the acknowledgement that came with it.
	acknowledged(s, pen_tcp_acked(c));
	if (s->tls != NULL) {
		session_tls_input(s, p, n, now);
	} else if (s->phase == SESSION_TALKING) {
		pen_smtp_client_feed(&s->smtp, p, n, now);
		if (s->phase == SESSION_HANDSHAKE)
			session_tls_start(s, now);
	}
	session_mark(s);
	return n;
}

void session_on_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	struct session *s = ctx;

	(void)c;
	s->peer_fin = true;
	if (s->phase == SESSION_TALKING || s->phase == SESSION_HANDSHAKE)
		pen_smtp_client_eof(&s->smtp, now);
	session_mark(s);
}

// ---- out ----

static bool write_left(struct session *s)
{
	uint32_t n = pen_tcp_write_ref(s->conn, s->left.p, (uint32_t)s->left.n);

	s->left = pen_span_from(s->left, n);
	if (s->left.n > 0)
		return false;
	if (s->left_dot)
		session_dot_written(s);
	s->left_dot = false;
	return true;
}

static bool write_out(struct session *s, const struct pen_smtp_out *out, pen_time_us now)
{
	PEN_COUNT_N(s->sw->ctr.content_bytes, out->bytes.n);
	if (out->by_ref) {
		s->left = out->bytes;
		s->left_dot = out->final_dot;
		return write_left(s);
	}
	uint32_t n = pen_tcp_write_copy(s->conn, out->bytes.p, (uint32_t)out->bytes.n);
	if (n < out->bytes.n) {
		// The rest is only valid now, and half a command cannot be taken back.
		PEN_COUNT(s->sw->ctr.no_room);
		session_abort(s, "no buffer was free for a command", now);
		return false;
	}
	if (out->final_dot)
		session_dot_written(s);
	return true;
}

static void plain_pump(struct session *s, pen_time_us now)
{
	struct pen_smtp_out out;

	if (s->left.n > 0 && !write_left(s))
		return;
	for (;;) {
		uint32_t room = pen_tcp_room(s->conn);
		// What is pulled has to be taken: a command is valid only now.
		if (room < ROOM_LEAST || !pen_tcp_can_copy(s->conn, PEN_SMTP_CLIENT_OUT) ||
			!pen_smtp_client_pull(&s->smtp, room, &out, now))
			return;
		if (!write_out(s, &out, now))
			return;
	}
}

static void pull_all(struct session *s, pen_time_us now)
{
	if (s->tls != NULL)
		session_tls_pump(s, now);
	else
		plain_pump(s, now);
	if (s->phase != SESSION_TALKING || s->smtp_over || s->close_told || !s->close_asked ||
		s->queue != NULL)
		return;
	// LEASE_CLOSE means "after what is queued", and the queue is empty now.
	s->close_told = true;
	pen_smtp_client_close(&s->smtp, now);
	if (s->tls != NULL)
		session_tls_pump(s, now);
	else
		plain_pump(s, now);
}

// ---- the end ----

static void send_fin(struct session *s, pen_time_us now)
{
	s->fin_sent = true;
	session_tls_end(s);
	pen_wheel_arm(&s->sw->wheel, &s->timer, now + FIN_US);
	pen_tcp_close(s->conn, now);
}

// SMTP is over; the connection may have gone before.
static void begin_close(struct session *s, pen_time_us now)
{
	bool failed_tls = s->phase == SESSION_HANDSHAKE;

	s->phase = SESSION_CLOSING;
	if (failed_tls && !s->aborted)
		PEN_COUNT(s->sw->ctr.handshakes_failed);
	if (!s->lease->ready && !s->aborted)
		pen_attempt_ended(&s->attempt, pen_smtp_client_how(&s->smtp), &s->lease->result);
	if (s->conn == NULL)
		session_disconnected(s, now);
	else if (s->aborted || failed_tls || pen_tcp_acked(s->conn) < pen_tcp_queued(s->conn))
		// Whatever is still queued belongs to a conversation that is over, and
		// after a failed handshake nothing more may be said.
		pen_tcp_abort(s->conn, now);
	else if (s->peer_fin || s->lease->result.klass != 2)
		send_fin(s, now);
	else
		pen_wheel_arm(&s->sw->wheel, &s->timer, now + LET_PEER_CLOSE_US);
}

void session_abort(struct session *s, const char *why, pen_time_us now)
{
	struct pen_dsn dsn;

	s->aborted = true;
	pen_dsn_set(&dsn, 4, 3, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "%s", why);
	switch (s->phase) {
	case SESSION_CONNECTING:
		s->lease->result = dsn;
		session_connect_abort(s, now);
		break;
	case SESSION_TALKING:
	case SESSION_HANDSHAKE:
		pen_smtp_client_fail(&s->smtp, &dsn, now);
		session_mark(s);
		break;
	case SESSION_CLOSING:
		if (s->conn != NULL)
			pen_tcp_abort(s->conn, now);
		break;
	default:
		break;
	}
}

static void closing_pump(struct session *s, pen_time_us now)
{
	if (s->conn != NULL && s->peer_fin && !s->fin_sent)
		send_fin(s, now);
}

void session_pump(struct session *s, pen_time_us now)
{
	switch (s->phase) {
	case SESSION_CONNECTING:
		if (s->close_asked && s->queue == NULL) {
			pen_dsn_set(&s->lease->result, 2, 0, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
				PEN_STAGE_CONNECT, "closed before it was needed");
			s->aborted = true;
			session_connect_abort(s, now);
		}
		return;
	case SESSION_TALKING:
		if (!s->smtp_over && s->conn != NULL)
			pull_all(s, now);
		break;
	case SESSION_HANDSHAKE:
		break;
	case SESSION_CLOSING:
		closing_pump(s, now);
		return;
	default:
		return;
	}
	if (s->conn != NULL)
		pen_tcp_flush(s->conn, now);
	if (s->smtp_over)
		begin_close(s, now);
	else
		pen_wheel_arm(&s->sw->wheel, &s->timer, pen_smtp_client_deadline(&s->smtp));
}

void session_timer(struct session *s, pen_time_us now)
{
	switch (s->phase) {
	case SESSION_CONNECTING:
		session_connect_timer(s, now);
		break;
	case SESSION_TALKING:
	case SESSION_HANDSHAKE:
		pen_smtp_client_tick(&s->smtp, now);
		session_mark(s);
		break;
	case SESSION_CLOSING:
		if (s->conn == NULL)
			break;
		if (s->fin_sent)
			pen_tcp_abort(s->conn, now);
		else
			send_fin(s, now);
		break;
	default:
		break;
	}
}
