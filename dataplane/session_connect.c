// SPDX-License-Identifier: BSD-3-Clause

// From a lease's list of hosts to a connection, and from a failed attempt to
// the next one.

#include "session.h"

#include "pen_err.h"

#include <errno.h>

const struct pen_addr *session_source(const struct pen_lease *l, const struct pen_lease_host *h)
{
	return h->addr.family == PEN_FAMILY_IP6 ? &l->source6 : &l->source;
}

const char *session_helo(const struct pen_lease *l, const struct pen_lease_host *h)
{
	return h->addr.family == PEN_FAMILY_IP6 ? l->helo6 : l->helo;
}

static int begin_connection(
	struct session *s, uint8_t host, struct pen_tcp_conn **conn, pen_time_us now)
{
	struct session_worker *sw = s->sw;
	const struct pen_lease_host *h = &s->lease->host[host];
	const struct pen_addr *source = session_source(s->lease, h);
	int rc = -EAFNOSUPPORT;

	*conn = NULL;
	if (source->family != PEN_FAMILY_NONE) {
		int port = pen_worker_port_of(sw->env->self, source);
		PEN_COUNT(sw->ctr.connects);
		rc = port < 0 ? -ENODEV
			      : pen_tcp_connect(sw->env->tcp[port], source, &h->addr, h->port, s,
					conn, now);
		if (rc != 0)
			PEN_COUNT(sw->ctr.connect_local);
	}
	if (rc != 0)
		*conn = NULL;
	return rc;
}

// 0, or negative with the reason reported to the attempt.
static int connect_host(struct session *s, pen_time_us now)
{
	uint8_t host = s->lease->host_used;
	int rc = begin_connection(s, host, &s->conn, now);

	if (rc == 0)
		return 0;
	if (rc == -EAFNOSUPPORT) {
		PEN_COUNT(s->sw->ctr.hosts_skipped);
		pen_attempt_no_source(&s->attempt);
		return rc;
	}
	pen_attempt_no_connection(&s->attempt, host,
		rc == -ENETUNREACH ? PEN_HOST_UNREACHABLE : PEN_HOST_UNTRIED,
		rc == -ENODEV          ? "the source address is on no port of this gateway"
		: rc == -ENOBUFS       ? "no connection object is free"
		: rc == -EADDRNOTAVAIL ? "no local port is free"
		: rc == -ENETUNREACH   ? "Network is unreachable"
				       : "cannot connect");
	return rc;
}

static void arm_connecting(struct session *s, pen_time_us now)
{
	pen_time_us at = s->connect_by;

	if (s->rival != NULL)
		at = pen_time_min(at, s->rival_by);
	else if (s->may_race)
		at = pen_time_min(at, now + s->lease->rules->race_delay);
	pen_wheel_arm(&s->sw->wheel, &s->timer, at);
}

void session_connect(struct session *s, pen_time_us now)
{
	struct pen_lease *l = s->lease;

	for (bool again = l->host_tried; pen_attempt_next(&s->attempt); again = true) {
		if (s->attempt.plain)
			PEN_COUNT(s->sw->ctr.plaintext_retries);
		else if (again)
			PEN_COUNT(s->sw->ctr.next_hosts);
		if (connect_host(s, now) != 0)
			continue;
		s->phase = SESSION_CONNECTING;
		s->connect_by = now + l->timeouts.connect;
		s->may_race = l->rules->race_delay > 0 && !s->attempt.plain;
		arm_connecting(s, now);
		return;
	}
	session_finish(s, now);
}

void session_disconnected(struct session *s, pen_time_us now)
{
	struct pen_lease *l = s->lease;

	session_tls_free(s);
	session_release(s, UINT64_MAX);
	s->left = (struct pen_span){0};
	s->left_dot = false;
	s->ndots = 0;
	s->smtp_over = s->peer_fin = s->fin_sent = s->close_told = false;
	if (s->aborted || l->ready || (s->close_asked && s->queue == NULL)) {
		pen_attempt_stop(&s->attempt);
		session_finish(s, now);
		return;
	}
	session_connect(s, now);
}

// ---- two connections at a time ----

static void start_rival(struct session *s, pen_time_us now)
{
	int host = pen_attempt_rival(&s->attempt);

	s->may_race = false;
	// What stops a rival for want of our own means is no failure of its host.
	if (host < 0 || begin_connection(s, (uint8_t)host, &s->rival, now) != 0)
		return;
	PEN_COUNT(s->sw->ctr.races);
	pen_attempt_race(&s->attempt, (uint8_t)host);
	s->rival_host = (uint8_t)host;
	s->rival_by = now + s->lease->timeouts.connect;
}

// `c` is forgotten first, so that its on_closed finds nothing to do.
static void drop(struct pen_tcp_conn **conn, pen_time_us now)
{
	struct pen_tcp_conn *c = *conn;

	*conn = NULL;
	if (c != NULL)
		pen_tcp_abort(c, now);
}

static void rival_takes_over(struct session *s, bool lost)
{
	pen_attempt_replace(&s->attempt, s->rival_host, lost);
	s->conn = s->rival;
	s->connect_by = s->rival_by;
	s->rival = NULL;
}

static void count_failure(struct session_worker *sw, enum pen_tcp_close why)
{
	switch (why) {
	case PEN_TCP_CLOSED_REFUSED:
	case PEN_TCP_CLOSED_RESET:
		PEN_COUNT(sw->ctr.connect_refused);
		break;
	case PEN_TCP_CLOSED_UNREACHABLE:
		PEN_COUNT(sw->ctr.connect_unreachable);
		break;
	case PEN_TCP_CLOSED_NO_RESOURCE:
		PEN_COUNT(sw->ctr.connect_local);
		break;
	default:
		PEN_COUNT(sw->ctr.connect_timeouts);
	}
}

static enum pen_host_answer answer_of(enum pen_tcp_close why)
{
	switch (why) {
	case PEN_TCP_CLOSED_REFUSED:
	case PEN_TCP_CLOSED_RESET:
		return PEN_HOST_REFUSED;
	case PEN_TCP_CLOSED_UNREACHABLE:
		return PEN_HOST_UNREACHABLE;
	case PEN_TCP_CLOSED_TIMEOUT:
		return PEN_HOST_TIMEOUT;
	default:
		return PEN_HOST_UNTRIED;
	}
}

// One of the connections, or the only one, did not come about.
static void connection_failed(
	struct session *s, bool rival, enum pen_tcp_close why, pen_time_us now)
{
	uint8_t host = rival ? s->rival_host : s->lease->host_used;

	count_failure(s->sw, why);
	pen_attempt_no_connection(&s->attempt, host, answer_of(why), pen_tcp_close_name(why));
	if (rival) {
		s->rival = NULL;
	} else if (s->rival != NULL) {
		rival_takes_over(s, true);
	} else {
		s->conn = NULL;
		session_disconnected(s, now);
		return;
	}
	s->may_race = true; // two may run again
	arm_connecting(s, now);
}

void session_connect_timer(struct session *s, pen_time_us now)
{
	if (s->rival != NULL && now >= s->rival_by) {
		pen_tcp_abort(s->rival, now); // on_closed does the rest
		return;
	}
	if (now >= s->connect_by) {
		pen_tcp_abort(s->conn, now);
		return;
	}
	if (s->may_race)
		start_rival(s, now);
	arm_connecting(s, now);
}

void session_connect_abort(struct session *s, pen_time_us now)
{
	drop(&s->rival, now);
	drop(&s->conn, now);
	session_disconnected(s, now);
}

// ---- how an attempt ends ----

static void on_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	struct session *s = ctx;
	struct session_worker *sw = s->sw;

	PEN_COUNT(sw->ctr.connected);
	if (c == s->rival) {
		PEN_COUNT(sw->ctr.races_won);
		drop(&s->conn, now);
		rival_takes_over(s, false);
	} else {
		drop(&s->rival, now);
	}
	s->phase = SESSION_TALKING;
	pen_smtp_client_init(&s->smtp, s->lease, s->attempt.plain,
		&session_smtp_callbacks[sw->tls != NULL], s, &sw->smtp_ctr, now);
	if (s->phase == SESSION_HANDSHAKE)
		session_tls_start(s, now);
	session_mark(s);
}

static void on_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	struct session *s = ctx;

	bool rival = c == s->rival;

	// The loser of a race was forgotten before.
	if (c != s->conn && !rival)
		return;
	switch (s->phase) {
	case SESSION_CONNECTING:
		// Our own deadline aborts the attempt: for the log it is a time-out.
		if (why == PEN_TCP_CLOSED_ABORTED)
			why = PEN_TCP_CLOSED_TIMEOUT;
		session_signs_closed(s, c, why);
		connection_failed(s, rival, why, now);
		break;
	case SESSION_TALKING:
	case SESSION_HANDSHAKE:
		session_signs_closed(s, c, why);
		// The SMTP client says what was lost; the pump goes on from there.
		s->conn = NULL;
		pen_smtp_client_eof(&s->smtp, now);
		session_mark(s);
		break;
	case SESSION_CLOSING:
		session_signs_closed(s, c, why);
		s->conn = NULL;
		session_disconnected(s, now);
		break;
	default:
		PEN_ASSERT(!"a connection belongs to a live session");
	}
}

const struct pen_tcp_callbacks session_tcp_callbacks = {
	.on_connected = on_connected,
	.on_data = session_on_data,
	.on_peer_fin = session_on_peer_fin,
	.on_writable = session_on_writable,
	.on_closed = on_closed,
};
