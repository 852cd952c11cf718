// SPDX-License-Identifier: BSD-3-Clause

// From a lease's list of hosts to a connection, and from a failed attempt to
// the next one.

#include "session.h"

#include "pen_err.h"

#include <errno.h>

static void connect_failed(struct session *s, enum pen_dsn_origin origin, const char *why)
{
	struct pen_lease *l = s->lease;
	const struct pen_lease_host *h = &l->host[l->host_used];
	char addr[PEN_ADDR_STR_MAX];

	pen_dsn_set(&l->result, 4, 4, 1, PEN_SCOPE_SITE, origin, PEN_STAGE_CONNECT,
		"connect to %s[%s]:%u: %s", h->name, pen_addr_str(&h->addr, addr), h->port, why);
}

static const struct pen_addr *source_for(const struct pen_lease *l, const struct pen_addr *host)
{
	return host->family == PEN_FAMILY_IP6 ? &l->source6 : &l->source;
}

// 0, or the reason in lease->result.
static int connect_host(struct session *s, pen_time_us now)
{
	struct session_worker *sw = s->sw;
	struct pen_lease *l = s->lease;
	const struct pen_lease_host *h = &l->host[l->host_used];
	const struct pen_addr *source = source_for(l, &h->addr);
	int port = pen_worker_port_of(sw->env->self, source);
	int rc;

	PEN_COUNT(sw->ctr.connects);
	if (port < 0)
		rc = -ENODEV;
	else
		rc = pen_tcp_connect(
			sw->env->tcp[port], source, &h->addr, h->port, s, &s->conn, now);
	if (rc == 0)
		return 0;
	s->conn = NULL;
	PEN_COUNT(sw->ctr.connect_local);
	connect_failed(s, PEN_ORIGIN_LOCAL,
		rc == -ENODEV          ? "the source address is on no port of this gateway"
		: rc == -ENOBUFS       ? "no connection object is free"
		: rc == -EADDRNOTAVAIL ? "no local port is free"
		: rc == -ENETUNREACH   ? "Network is unreachable"
				       : "cannot connect");
	return rc;
}

static void note_failure(struct session *s)
{
	if (s->lease->result.klass != 5)
		s->soft = true;
}

void session_connect(struct session *s, pen_time_us now)
{
	struct pen_lease *l = s->lease;

	while (s->next_host < l->nhosts) {
		l->host_used = s->next_host++;
		if (connect_host(s, now) == 0) {
			s->phase = SESSION_CONNECTING;
			pen_wheel_arm(&s->sw->wheel, &s->timer, now + l->timeouts.connect);
			return;
		}
		note_failure(s);
	}
	if (l->nhosts == 0)
		pen_dsn_set(&l->result, 4, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL,
			PEN_STAGE_CONNECT, "no host to connect to");
	// A host that failed for a temporary reason may take the mail later, so
	// another one's hard refusal is not the last word.
	if (s->soft && l->result.klass == 5)
		l->result.klass = 4;
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
		session_finish(s, now);
		return;
	}
	if (s->retry_plain) {
		s->retry_plain = false;
		s->plain = true;
		s->next_host = l->host_used;
		PEN_COUNT(s->sw->ctr.plaintext_retries);
	} else {
		s->plain = false;
		note_failure(s);
		if (s->next_host < l->nhosts)
			PEN_COUNT(s->sw->ctr.next_hosts);
	}
	session_connect(s, now);
}

// ---- how an attempt ends ----

static void on_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	struct session *s = ctx;
	struct session_worker *sw = s->sw;

	(void)c;
	PEN_COUNT(sw->ctr.connected);
	s->phase = SESSION_TALKING;
	pen_smtp_client_init(&s->smtp, s->lease, s->plain, &session_smtp_callbacks[sw->tls != NULL],
		s, &sw->smtp_ctr, now);
	session_mark(s);
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

static void on_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	struct session *s = ctx;

	(void)c;
	s->conn = NULL;
	switch (s->phase) {
	case SESSION_CONNECTING:
		count_failure(s->sw, why);
		// Our own deadline aborts the attempt: for the log it is a time-out.
		if (why == PEN_TCP_CLOSED_ABORTED)
			why = PEN_TCP_CLOSED_TIMEOUT;
		if (!s->aborted)
			connect_failed(s, PEN_ORIGIN_LOCAL, pen_tcp_close_name(why));
		session_disconnected(s, now);
		break;
	case SESSION_TALKING:
	case SESSION_HANDSHAKE:
		// The SMTP client says what was lost; the pump goes on from there.
		pen_smtp_client_eof(&s->smtp, now);
		session_mark(s);
		break;
	case SESSION_CLOSING:
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
