// SPDX-License-Identifier: BSD-3-Clause

// The encrypted stream between the SMTP client and TCP.
//
// Plaintext is gathered into records of up to 16 KiB in the worker's scratch
// buffer, so that a group of short commands becomes one record. TCP keeps the
// ciphertext and retransmits that: nothing is encrypted twice.

#include "session.h"

#include <errno.h>
#include <stdio.h>

#define ROOM_LEAST 1024

// Only a probe asks for it.
static void copy_chain(struct session *s)
{
	if (s->lease->chain != NULL && s->sw->tls->chain != NULL)
		s->sw->tls->chain(s->tls, s->lease->chain);
}

static void tls_fail(struct session *s, pen_time_us now)
{
	const struct pen_session_tls *tls = s->sw->tls;
	const char *error =
		s->tls != NULL ? tls->error(s->tls) : "no TLS engine for this policy, or no memory";

	if (s->phase == SESSION_HANDSHAKE) {
		if (s->tls != NULL) {
			tls->peer(s->tls, &s->lease->tls_peer);
			copy_chain(s);
		}
	} else {
		PEN_COUNT(s->sw->ctr.tls_failed);
	}
	pen_smtp_client_tls_failed(&s->smtp, error, now);
}

static int send_ciphertext(void *ctx, const uint8_t *p, size_t n)
{
	struct session *s = ctx;

	if (s->conn == NULL || !pen_tcp_can_copy(s->conn, (uint32_t)n))
		return -EAGAIN;
	return pen_tcp_write_copy(s->conn, p, (uint32_t)n) == n ? 0 : -EAGAIN;
}

static void handshake_done(struct session *s, pen_time_us now)
{
	const struct pen_session_tls *tls = s->sw->tls;
	struct pen_lease *l = s->lease;

	PEN_COUNT(s->sw->ctr.handshakes_done);
	snprintf(l->tls_protocol, sizeof(l->tls_protocol), "%s", tls->protocol(s->tls));
	snprintf(l->tls_cipher, sizeof(l->tls_cipher), "%s", tls->cipher(s->tls));
	l->tls_bits = (uint16_t)tls->bits(s->tls);
	tls->peer(s->tls, &l->tls_peer);
	copy_chain(s);
	s->phase = SESSION_TALKING;
	pen_smtp_client_tls_up(&s->smtp, now);
}

static void handshake_step(struct session *s, pen_time_us now)
{
	enum pen_session_tls_status st = s->sw->tls->handshake(s->tls);

	if (st == PEN_SESSION_TLS_OK)
		handshake_done(s, now);
	else if (st != PEN_SESSION_TLS_WANT_INPUT && st != PEN_SESSION_TLS_WANT_OUTPUT)
		tls_fail(s, now);
}

void session_tls_start(struct session *s, pen_time_us now)
{
	const struct pen_session_tls *tls = s->sw->tls;
	const struct pen_lease *l = s->lease;
	const struct pen_lease_host *h = &l->host[l->host_used];

	PEN_COUNT(s->sw->ctr.handshakes);
	s->tls = tls->stream_new(
		s->sw->tls_thread, h, session_source(l, h), session_helo(l, h), send_ciphertext, s);
	if (s->tls == NULL) {
		tls_fail(s, now);
		return;
	}
	if (l->chain != NULL && tls->keep_chain != NULL)
		tls->keep_chain(s->tls);
	handshake_step(s, now);
}

void session_tls_input(struct session *s, const uint8_t *p, uint32_t n, pen_time_us now)
{
	const struct pen_session_tls *tls = s->sw->tls;
	enum pen_session_tls_status st;

	if (s->smtp_over)
		return;
	tls->feed(s->tls, p, n);
	if (s->phase == SESSION_HANDSHAKE)
		handshake_step(s, now);
	while (s->phase == SESSION_TALKING && !s->smtp_over) {
		size_t got = 0;
		st = tls->read(s->tls, s->sw->in, sizeof(s->sw->in), &got);
		if (st == PEN_SESSION_TLS_OK) {
			pen_smtp_client_feed(&s->smtp, s->sw->in, got, now);
		} else if (st == PEN_SESSION_TLS_EOF) {
			pen_smtp_client_eof(&s->smtp, now);
			return;
		} else if (st == PEN_SESSION_TLS_WANT_INPUT) {
			return;
		} else {
			tls_fail(s, now);
			return;
		}
	}
}

// Fills the scratch buffer with at most `most` bytes of plaintext.
static size_t gather(struct session *s, size_t most, bool *dot, pen_time_us now)
{
	struct pen_smtp_out out;
	size_t n = 0;

	*dot = false;
	while (n < most && pen_smtp_client_pull(&s->smtp, most - n, &out, now)) {
		memcpy(s->sw->out + n, out.bytes.p, out.bytes.n);
		n += out.bytes.n;
		// The peer can read nothing of a record before it has all of it, so the
		// dot counts as received when the record's end is.
		*dot |= out.final_dot;
	}
	PEN_COUNT_N(s->sw->ctr.content_bytes, n);
	return n;
}

void session_tls_pump(struct session *s, pen_time_us now)
{
	while (!s->smtp_over && s->phase == SESSION_TALKING) {
		uint32_t room = pen_tcp_room(s->conn);
		size_t most = PEN_SESSION_TLS_RECORD, took = 0;
		bool dot;
		if (room < ROOM_LEAST)
			return;
		if (room < most + PEN_SESSION_TLS_OVERHEAD)
			most = room - PEN_SESSION_TLS_OVERHEAD;
		// What is pulled has to be taken: plaintext is kept nowhere.
		if (!pen_tcp_can_copy(s->conn, (uint32_t)most + PEN_SESSION_TLS_OVERHEAD))
			return;
		size_t n = gather(s, most, &dot, now);
		if (n == 0)
			return;
		if (s->sw->tls->write(s->tls, s->sw->out, n, &took) != PEN_SESSION_TLS_OK ||
			took != n) {
			PEN_COUNT(s->sw->ctr.no_room);
			tls_fail(s, now);
			return;
		}
		if (dot)
			session_dot_written(s);
	}
}

void session_tls_end(struct session *s)
{
	if (s->tls != NULL && s->lease->result.klass == 2)
		s->sw->tls->shutdown(s->tls);
}

void session_tls_free(struct session *s)
{
	if (s->tls != NULL)
		s->sw->tls->stream_free(s->tls);
	s->tls = NULL;
}
