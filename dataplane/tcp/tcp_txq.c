// SPDX-License-Identifier: BSD-3-Clause

// The transmit queue of a connection: pieces from snd_una to the last byte
// queued. Pieces never change once queued, so a retransmission always carries
// the same bytes as the original.

#include "tcp_internal.h"

static bool may_write(const struct pen_tcp_conn *c)
{
	return !c->fin_queued && (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD ||
					 c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT);
}

uint32_t pen_tcp_room(const struct pen_tcp_conn *c)
{
	if (!may_write(c))
		return 0;
	// SYN_SENT: the SYN itself is not data.
	uint32_t sent = conn_synced(c) ? seq_max(c->snd_max, c->snd_una) : c->iss + 1;
	uint32_t unsent = conn_data_end(c) - sent;
	return unsent >= c->t->cfg.tx_limit ? 0 : c->t->cfg.tx_limit - unsent;
}

static void starve(struct pen_tcp_conn *c)
{
	PEN_COUNT(c->t->ctr->write_short);
	if (c->starve.next == NULL)
		link_add(&c->t->starve, &c->starve);
}

static struct txd *txd_add(
	struct pen_tcp_conn *c, const uint8_t *p, uint32_t len, struct chunk *chunk)
{
	struct txd *d = pool_get(&c->t->txds);

	if (d == NULL)
		return NULL;
	*d = (struct txd){.p = p, .len = len, .chunk = chunk};
	if (c->tx_tail != NULL)
		c->tx_tail->next = d;
	else
		c->tx_head = d;
	c->tx_tail = d;
	if (c->tx_pos.d == NULL)
		c->tx_pos = (struct txpos){d, 0};
	return d;
}

// The send position rests on the last piece when all is sent; a piece that
// grows then has bytes behind the position without further ado.
uint32_t pen_tcp_write_copy(struct pen_tcp_conn *c, const void *src, uint32_t n)
{
	const uint8_t *p = src;
	uint32_t taken = 0;

	n = min_u32(n, pen_tcp_room(c));
	while (taken < n) {
		struct txd *d = c->tx_tail;
		if (d == NULL || d->chunk == NULL || d->chunk->len == TCP_CHUNK_CAP) {
			struct chunk *k = chunks_left(c->t) > 0 ? chunk_get(c->t) : NULL;
			d = k != NULL ? txd_add(c, k->data, 0, k) : NULL;
			if (d == NULL) {
				if (k != NULL)
					chunk_put(c->t, k);
				starve(c);
				break;
			}
		}
		struct chunk *k = d->chunk;
		uint32_t part = min_u32(n - taken, TCP_CHUNK_CAP - k->len);
		memcpy(k->data + k->len, p + taken, part);
		k->len = (uint16_t)(k->len + part);
		d->len += part;
		taken += part;
	}
	c->queued += taken;
	return taken;
}

uint32_t pen_tcp_write_ref(struct pen_tcp_conn *c, const void *src, uint32_t n)
{
	const uint8_t *p = src;
	struct txd *d = c->tx_tail;

	n = min_u32(n, pen_tcp_room(c));
	if (n == 0)
		return 0;
	if (d != NULL && d->chunk == NULL && d->p + d->len == p && d->len <= UINT32_MAX - n) {
		d->len += n;
	} else if (txd_add(c, p, n, NULL) == NULL) {
		starve(c);
		return 0;
	}
	c->queued += n;
	return n;
}

bool pen_tcp_can_copy(struct pen_tcp_conn *c, uint32_t n)
{
	const struct pen_tcp *t = c->t;
	const struct txd *d = c->tx_tail;
	uint32_t tail = d != NULL && d->chunk != NULL ? TCP_CHUNK_CAP - d->chunk->len : 0;

	if (pen_tcp_room(c) < n)
		return false;
	uint32_t need = n > tail ? (n - tail + TCP_CHUNK_CAP - 1) / TCP_CHUNK_CAP : 0;
	if (need <= chunks_left(t) && need <= t->txds.total - t->txds.used)
		return true;
	starve(c);
	return false;
}

uint64_t pen_tcp_queued(const struct pen_tcp_conn *c)
{
	return c->queued;
}

uint64_t pen_tcp_acked(const struct pen_tcp_conn *c)
{
	return c->acked;
}

static void head_free(struct pen_tcp_conn *c)
{
	struct txd *d = c->tx_head;

	c->tx_head = d->next;
	if (c->tx_head == NULL)
		c->tx_tail = NULL;
	c->tx_head_off = 0;
	if (c->tx_pos.d == d)
		c->tx_pos = (struct txpos){c->tx_head, 0};
	if (d->chunk != NULL)
		chunk_put(c->t, d->chunk);
	pool_put(&c->t->txds, d);
}

void txq_ack(struct pen_tcp_conn *c, uint32_t n)
{
	c->acked += n;
	while (n > 0) {
		struct txd *d = c->tx_head;
		uint32_t left = d->len - c->tx_head_off;
		if (n < left) {
			c->tx_head_off += n;
			break;
		}
		n -= left;
		head_free(c);
	}
	// Everything acknowledged: give a copied tail back, even if it has room.
	if (c->tx_pos.d == c->tx_head && c->tx_pos.off < c->tx_head_off)
		c->tx_pos.off = c->tx_head_off;
}

void txq_free(struct pen_tcp_conn *c)
{
	while (c->tx_head != NULL)
		head_free(c);
	c->tx_pos = (struct txpos){NULL, 0};
}

void txq_rewind(struct pen_tcp_conn *c)
{
	c->tx_pos = (struct txpos){c->tx_head, c->tx_head_off};
}

// Ones-complement sums of pieces at odd offsets count with their bytes swapped.
static uint64_t sum_at(uint64_t sum, uint32_t offset)
{
	if ((offset & 1) == 0)
		return sum;
	return __builtin_bswap16((uint16_t)~pen_csum_fold(sum));
}

uint64_t txq_copy(struct txpos *pos, uint8_t *dst, uint32_t n, bool want_sum)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	while (done < n) {
		struct txd *d = pos->d;
		uint32_t part = min_u32(n - done, d->len - pos->off);
		if (part == 0) {
			PEN_ASSERT(d->next != NULL);
			*pos = (struct txpos){d->next, 0};
			continue;
		}
		if (want_sum)
			sum += sum_at(pen_csum_copy(0, dst + done, d->p + pos->off, part), done);
		else
			memcpy(dst + done, d->p + pos->off, part);
		pos->off += part;
		done += part;
	}
	return sum;
}
