// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

#include <errno.h>

struct tcp_listener *tcp_listener_find(struct pen_tcp *t, uint16_t port)
{
	for (uint32_t i = 0; i < t->nlisteners; i++) {
		if (t->listener[i].port == port)
			return &t->listener[i];
	}
	return NULL;
}

int pen_tcp_listen(struct pen_tcp *t, uint16_t port, void *listen_ctx)
{
	if (tcp_listener_find(t, port) != NULL)
		return -EADDRINUSE;
	if (t->nlisteners == TCP_LISTENERS)
		return -ENOBUFS;
	t->listener[t->nlisteners++] = (struct tcp_listener){port, listen_ctx};
	return 0;
}

// Half-open connections may take half of the pool: a flood of SYNs must not
// shut out those who finish their handshake.
static bool backlog_full(const struct pen_tcp *t)
{
	return t->half_open >= max_u32(t->cfg.max_conns / 2, 1);
}

void tcp_listen_input(struct pen_tcp *t, struct tcp_listener *l, const struct tcp_seg *s,
	uint32_t iss_floor, pen_time_us now)
{
	if (backlog_full(t)) {
		PEN_COUNT(t->ctr->drop_syn_backlog);
		return;
	}
	struct pen_tcp_conn *c = conn_new(t, &s->id, TCP_SYN_RCVD, now);
	if (c == NULL)
		return;
	if (iss_floor != 0 && seq_lt(c->iss, iss_floor))
		c->iss = iss_floor;
	c->snd_una = c->snd_nxt = c->snd_max = c->recover = c->iss;
	c->passive = true;
	c->listen_ctx = l->ctx;
	conn_take_syn(c, s, now);
	tcp_send_syn(c, now);
	tcp_rtx_set(c, RTX_DATA, now + tcp_rto_backed_off(c));
}
