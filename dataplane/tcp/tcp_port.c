// SPDX-License-Identifier: BSD-3-Clause

// Numbers that a stranger must not guess: local ports (RFC 6056), initial
// sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4).

#include "tcp_internal.h"

// Domain separation: one secret, several uses.
enum {
	USE_PORT = 1,
	USE_ISN,
	USE_TS,
};

static uint64_t tuple_hash(const struct pen_tcp *t, const struct tcp_tuple *id, uint32_t use)
{
	struct tcp_tuple in = *id;

	in.kind |= use << 8;
	return pen_siphash(&t->cfg.secret, &in, tuple_size(id));
}

void tcp_port_init(struct pen_tcp *t)
{
	uint32_t step = t->cfg.workers, low = t->cfg.port_low;
	uint32_t first = low + (t->cfg.worker + step - low % step) % step;

	t->port_base = first;
	t->port_count = first > t->cfg.port_high ? 0 : (t->cfg.port_high - first) / step + 1;
}

// RFC 6056, algorithm 4: a keyed offset per destination and a small table of
// counters, over the ports of our residue class only.
bool tcp_port_pick(struct pen_tcp *t, struct tcp_tuple *id)
{
	id->lport = 0;
	uint64_t h = tuple_hash(t, id, USE_PORT);
	uint32_t *counter = &t->port_counter[(h >> 32) % TCP_PORT_COUNTERS];
	for (uint32_t tries = 0; tries < t->port_count; tries++) {
		uint32_t index = ((uint32_t)h + (*counter)++) % t->port_count;
		id->lport = (uint16_t)(t->port_base + index * t->cfg.workers);
		if (tcp_listener_find(t, id->lport) == NULL &&
			tcp_table_find(t, id, tcp_hash(t, id)) == 0)
			return true;
	}
	return false;
}

uint32_t tcp_isn(const struct pen_tcp *t, const struct tcp_tuple *id, pen_time_us now)
{
	return (uint32_t)(now / 4) + (uint32_t)tuple_hash(t, id, USE_ISN);
}

uint32_t tcp_ts_offset(const struct pen_tcp *t, const struct tcp_tuple *id)
{
	return (uint32_t)tuple_hash(t, id, USE_TS);
}
