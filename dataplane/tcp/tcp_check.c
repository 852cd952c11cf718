// SPDX-License-Identifier: BSD-3-Clause

// The invariants of every connection, for tests, fuzzers and the simulator.

#include "tcp_internal.h"

struct totals {
	uint32_t conns, half_open, chunks, txds;
};

static void check_queue(const struct pen_tcp_conn *c, struct totals *sum)
{
	uint64_t bytes = 0, at_pos = 0;
	bool seen = c->tx_pos.d == NULL;

	PEN_ASSERT((c->tx_head == NULL) == (c->tx_tail == NULL));
	PEN_ASSERT(c->tx_head != NULL || (c->tx_head_off == 0 && c->tx_pos.d == NULL));
	for (const struct txd *d = c->tx_head; d != NULL; d = d->next) {
		if (d == c->tx_pos.d) {
			PEN_ASSERT(c->tx_pos.off <= d->len);
			at_pos = bytes + c->tx_pos.off;
			seen = true;
		}
		PEN_ASSERT(d->len > 0 && (d->chunk == NULL || d->chunk->len == d->len));
		PEN_ASSERT(d->next != NULL || d == c->tx_tail);
		bytes += d->len;
		sum->txds++;
		sum->chunks += d->chunk != NULL;
	}
	PEN_ASSERT(seen && bytes - c->tx_head_off == c->queued - c->acked);
	if (conn_synced(c) && c->tx_head != NULL) {
		uint32_t sent = c->snd_nxt - c->snd_una;
		uint64_t data = c->queued - c->acked;
		PEN_ASSERT(at_pos - c->tx_head_off == (sent > data ? data : sent));
	}
}

static void check_received(const struct pen_tcp_conn *c, struct totals *sum)
{
	uint32_t kept = 0, ooo = 0;

	for (const struct chunk *k = c->kept_head; k != NULL; k = k->next) {
		PEN_ASSERT(k->len > 0 && k->off + k->len <= (int)TCP_CHUNK_CAP);
		PEN_ASSERT(k->next != NULL || k == c->kept_tail);
		kept += k->len;
		sum->chunks++;
	}
	PEN_ASSERT(kept == c->kept_bytes);
	for (const struct chunk *k = c->ooo_head; k != NULL; k = k->next) {
		PEN_ASSERT(k->len > 0 && seq_lt(c->rcv_nxt, k->seq));
		PEN_ASSERT(k->next == NULL || seq_leq(k->seq + k->len, k->next->seq));
		PEN_ASSERT(k->next != NULL || k == c->ooo_tail);
		PEN_ASSERT(seq_leq(k->seq + k->len, c->rcv_adv));
		ooo++;
		sum->chunks++;
	}
	PEN_ASSERT(ooo == c->ooo_chunks);
}

static void check_timers(const struct pen_tcp_conn *c)
{
	pen_time_us at = pen_time_min(pen_time_min(c->rtx_at, c->delack_at), c->idle_at);

	PEN_ASSERT((c->rtx_mode == RTX_OFF) == (c->rtx_at == PEN_TIME_NEVER));
	if (at != PEN_TIME_NEVER)
		PEN_ASSERT(pen_wheel_armed(&c->timer) && c->timer.deadline <= at);
	// Nothing in flight may be forgotten, and nothing held back for ever.
	bool due = c->pend.next != NULL; // the next poll decides
	if (c->snd_una != c->snd_max)
		PEN_ASSERT(c->rtx_mode != RTX_OFF || due);
	if (c->state == TCP_FIN_WAIT2)
		PEN_ASSERT(c->idle_at != PEN_TIME_NEVER);
	if (c->ack_now && conn_synced(c))
		PEN_ASSERT(c->pend.next != NULL || c->delivering);
	PEN_ASSERT(c->rto >= c->t->cfg.min_rto || c->srtt == 0);
	PEN_ASSERT(c->rto <= c->t->cfg.max_rto);
}

static void check_conn(const struct pen_tcp_conn *c, struct totals *sum)
{
	const struct pen_tcp *t = c->t;

	PEN_ASSERT(tcp_table_find(t, &c->id, tcp_hash(t, &c->id)) == pool_index(&t->conns, c) + 1);
	PEN_ASSERT(seq_leq(c->snd_una, c->snd_nxt) && seq_leq(c->snd_nxt, c->snd_max));
	PEN_ASSERT(c->acked <= c->queued && c->mss >= TCP_MIN_MSS - TCP_TS_OPT);
	if (conn_synced(c)) {
		uint32_t end = conn_data_end(c) + c->fin_queued;
		PEN_ASSERT(c->snd_una - (c->iss + 1) - (uint32_t)c->acked <= 1);
		PEN_ASSERT(seq_leq(c->snd_max, end));
		// Flow control: never past what was offered, but for a probe and FIN.
		PEN_ASSERT(seq_leq(c->snd_max, c->snd_right + 2));
		PEN_ASSERT(seq_leq(c->rcv_nxt, c->rcv_adv + 1));
		PEN_ASSERT(c->cwnd >= c->mss || c->cwnd >= TCP_MIN_MSS);
	}
	check_queue(c, sum);
	check_received(c, sum);
	check_timers(c);
	sum->conns++;
	sum->half_open += c->state == TCP_SYN_RCVD;
}

void pen_tcp_check(const struct pen_tcp *t)
{
	struct totals sum = {0};
	uint32_t tws = 0, zombies = 0;
	pen_time_us last = INT64_MIN;

	for (uint32_t i = 0; i < t->conns.mark; i++) {
		const struct pen_tcp_conn *c = pool_at(&t->conns, i);
		if (c->state != TCP_CLOSED)
			check_conn(c, &sum);
	}
	for (uint32_t i = t->tw_first; i != 0; tws++) {
		const struct tcp_timewait *tw = pool_at(&t->tws, i - 1);
		PEN_ASSERT(last <= tw->deadline);
		PEN_ASSERT(tcp_table_find(t, &tw->id, tcp_hash(t, &tw->id)) == (i | TCP_REF_TW));
		last = tw->deadline;
		i = tw->next;
	}
	for (const struct tcp_link *l = t->zombie.next; l != &t->zombie; l = l->next)
		zombies++;
	PEN_ASSERT(sum.conns == t->nconns && sum.half_open == t->half_open);
	PEN_ASSERT(t->conns.used == sum.conns + zombies && t->tws.used == tws);
	PEN_ASSERT(t->table_used == sum.conns + tws);
	PEN_ASSERT(t->chunks.used == sum.chunks && t->txds.used == sum.txds);
	PEN_ASSERT(t->chunks_reserved <= t->chunks.total);
}
