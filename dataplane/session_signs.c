// SPDX-License-Identifier: BSD-3-Clause

// What a lease tells the scheduler of its connections, for the rules on signals.
//
// The scheduler reads the signs while the session goes on, so each of them is
// stored whole. The numbers are those of the connection looked at last, the
// flags those of any connection of the lease.

#include "session.h"

#define STORE(to, value) __atomic_store_n(&(to), (value), __ATOMIC_RELAXED)

void session_signs(struct session *s, const struct pen_tcp_conn *c)
{
	struct pen_transport_signs *to = &s->lease->signs;
	struct pen_tcp_signs seen;

	pen_tcp_get_signs(c, &seen);
	STORE(to->segments, seen.segments);
	STORE(to->retransmitted, seen.retransmitted);
	STORE(to->syn_retries, seen.syn_retries);
	STORE(to->zero_windows, seen.zero_windows);
	STORE(to->srtt_us, seen.srtt_us);
}

void session_signs_closed(struct session *s, const struct pen_tcp_conn *c, enum pen_tcp_close why)
{
	struct pen_transport_signs *to = &s->lease->signs;
	bool connecting = s->phase == SESSION_CONNECTING;

	session_signs(s, c);
	// Our own deadline is a time-out too; TCP's own end of patience in a session is
	// an answer that stayed away.
	if (why == PEN_TCP_CLOSED_TIMEOUT && connecting)
		STORE(to->connect_timeout, true);
	if (why == PEN_TCP_CLOSED_REFUSED && connecting)
		STORE(to->refused, true);
	// What a server does after our QUIT is its affair.
	if (why == PEN_TCP_CLOSED_RESET && !s->smtp_over &&
		(s->phase == SESSION_TALKING || s->phase == SESSION_HANDSHAKE))
		STORE(to->reset, true);
}
