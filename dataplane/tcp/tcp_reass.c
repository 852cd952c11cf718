// SPDX-License-Identifier: BSD-3-Clause

// Received bytes: delivered in place when they come in order and are consumed;
// otherwise kept in chunks, in order (kept) or beyond a hole (ooo).

#include "tcp_internal.h"

static void list_free(struct pen_tcp *t, struct chunk *k)
{
	while (k != NULL) {
		struct chunk *next = k->next;
		chunk_put(t, k);
		k = next;
	}
}

void rx_free(struct pen_tcp_conn *c)
{
	list_free(c->t, c->kept_head);
	list_free(c->t, c->ooo_head);
	c->kept_head = c->kept_tail = c->ooo_head = c->ooo_tail = NULL;
	c->kept_bytes = c->ooo_chunks = 0;
}

static uint32_t chunk_room(const struct chunk *k)
{
	return TCP_CHUNK_CAP - k->off - k->len;
}

static void chunk_fill(struct chunk *k, const uint8_t *p, uint32_t n)
{
	memcpy(k->data + k->off + k->len, p, n);
	k->len = (uint16_t)(k->len + n);
}

// Appends to the in-order list; returns how much the pool allowed.
static uint32_t kept_append(struct pen_tcp_conn *c, const uint8_t *p, uint32_t n)
{
	uint32_t done = 0;

	while (done < n) {
		struct chunk *k = c->kept_tail;
		if (k == NULL || chunk_room(k) == 0) {
			k = chunk_get(c->t);
			if (k == NULL)
				break;
			if (c->kept_tail != NULL)
				c->kept_tail->next = k;
			else
				c->kept_head = k;
			c->kept_tail = k;
		}
		uint32_t part = min_u32(n - done, chunk_room(k));
		chunk_fill(k, p + done, part);
		done += part;
	}
	c->kept_bytes += done;
	return done;
}

static uint32_t offer(struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	c->delivering = true;
	uint32_t used = c->t->cb.on_data(c->ctx, c, p, n, now);
	c->delivering = false;
	PEN_ASSERT(used <= n);
	return used;
}

// Takes n in-order bytes at rcv_nxt and moves rcv_nxt over what was taken.
// False: the connection has ended.
static bool deliver(struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	struct pen_tcp *t = c->t;
	uint32_t need = (n + TCP_CHUNK_CAP - 1) / TCP_CHUNK_CAP;
	uint32_t used = 0, start = c->rcv_nxt;

	c->ack_pending = true;
	if (c->kept_head == NULL) {
		// With chunks set aside for what may be refused, the bytes can be
		// acknowledged by the answer that the callback sends.
		bool sure = chunks_left(t) >= need;
		if (sure) {
			t->chunks_reserved += need;
			c->rcv_nxt += n;
		}
		used = offer(c, p, n, now);
		if (sure)
			t->chunks_reserved -= need;
		if (c->state == TCP_CLOSED)
			return false;
	}
	if (used < n)
		used += kept_append(c, p + used, n - used);
	c->rcv_nxt = start + used;
	PEN_COUNT_N(t->ctr->rx_bytes, used);
	if (used < n) {
		PEN_COUNT_N(t->ctr->drop_rx_no_chunk, n - used);
		c->ack_now = true;
	}
	return true;
}

// Bounded by what a full window of full segments needs, with some to spare.
static bool ooo_may_grow(const struct pen_tcp_conn *c)
{
	return c->ooo_chunks < c->rx_limit / 1024 + 8 && chunks_left(c->t) > 0;
}

static struct chunk *ooo_new(struct pen_tcp_conn *c, struct chunk *prev, uint32_t seq)
{
	if (!ooo_may_grow(c))
		return NULL;
	struct chunk *k = chunk_get(c->t);
	if (k == NULL)
		return NULL;
	k->seq = seq;
	k->next = prev != NULL ? prev->next : c->ooo_head;
	if (prev != NULL)
		prev->next = k;
	else
		c->ooo_head = k;
	if (k->next == NULL)
		c->ooo_tail = k;
	c->ooo_chunks++;
	return k;
}

// Files the bytes that are not there yet; the list stays sorted and disjoint.
static void ooo_insert(struct pen_tcp_conn *c, uint32_t seq, const uint8_t *p, uint32_t n)
{
	struct chunk *prev = NULL, *cur = c->ooo_head;

	// Segments behind a hole mostly come in order.
	if (c->ooo_tail != NULL && seq_leq(c->ooo_tail->seq + c->ooo_tail->len, seq)) {
		prev = c->ooo_tail;
		cur = NULL;
	}
	while (n > 0) {
		while (cur != NULL && seq_leq(cur->seq + cur->len, seq)) {
			prev = cur;
			cur = cur->next;
		}
		uint32_t part = n;
		if (cur != NULL && seq_leq(cur->seq, seq)) {
			part = min_u32(n, cur->seq + cur->len - seq); // have it
		} else {
			if (cur != NULL)
				part = min_u32(part, cur->seq - seq);
			if (prev == NULL || prev->seq + prev->len != seq || chunk_room(prev) == 0)
				prev = ooo_new(c, prev, seq);
			if (prev == NULL) {
				PEN_COUNT_N(c->t->ctr->drop_ooo_full, n);
				return;
			}
			part = min_u32(part, chunk_room(prev));
			chunk_fill(prev, p, part);
		}
		seq += part;
		p += part;
		n -= part;
	}
}

// Forgets what lies at or past `end`: the stream ends there.
static void ooo_cut(struct pen_tcp_conn *c, uint32_t end)
{
	struct chunk *keep = NULL, *k = c->ooo_head;

	while (k != NULL && seq_lt(k->seq, end)) {
		if (seq_lt(end, k->seq + k->len))
			k->len = (uint16_t)(end - k->seq);
		keep = k;
		k = k->next;
	}
	if (k == NULL)
		return;
	PEN_COUNT(c->t->ctr->drop_after_fin);
	for (struct chunk *i = k; i != NULL; i = i->next)
		c->ooo_chunks--;
	list_free(c->t, k);
	if (keep != NULL)
		keep->next = NULL;
	else
		c->ooo_head = NULL;
	c->ooo_tail = keep;
}

// Delivers what the hole's closing made contiguous. False: ended.
static bool ooo_drain(struct pen_tcp_conn *c, pen_time_us now)
{
	while (c->ooo_head != NULL && seq_leq(c->ooo_head->seq, c->rcv_nxt)) {
		struct chunk *k = c->ooo_head;
		c->ooo_head = k->next;
		if (c->ooo_head == NULL)
			c->ooo_tail = NULL;
		c->ooo_chunks--;
		uint32_t skip = c->rcv_nxt - k->seq;
		bool alive =
			skip >= k->len || deliver(c, k->data + k->off + skip, k->len - skip, now);
		struct pen_tcp *t = c->t;
		chunk_put(t, k);
		if (!alive)
			return false;
		c->ack_now = true; // RFC 5681 4.2: filling a hole is told at once
	}
	return true;
}

// Takes the peer's FIN when all before it has come; the application hears of it
// once it has consumed those bytes. False: the connection has ended.
static bool fin_take(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->fin_pending && !c->fin_rcvd && c->rcv_nxt == c->fin_seq) {
		c->fin_rcvd = true;
		c->rcv_nxt++;
		c->ack_now = true;
		conn_pend(c);
		if (c->state == TCP_ESTABLISHED)
			c->state = TCP_CLOSE_WAIT;
		else if (c->state == TCP_FIN_WAIT1)
			c->state = TCP_CLOSING;
	}
	if (!c->fin_rcvd || c->fin_told || c->kept_head != NULL)
		return true;
	c->fin_told = true;
	c->t->cb.on_peer_fin(c->ctx, c, now);
	return c->state != TCP_CLOSED && conn_finish(c, now);
}

// s lies inside the window, trimmed to [rcv_nxt.., rcv_adv].
void rx_segment(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now)
{
	if ((s->flags & FIN) != 0 && !c->fin_pending) {
		c->fin_pending = true;
		c->fin_seq = s->seq + s->len;
		ooo_cut(c, c->fin_seq);
	}
	uint32_t len = s->len;
	if (c->fin_pending && seq_lt(c->fin_seq, s->seq + len)) {
		PEN_COUNT(c->t->ctr->drop_after_fin);
		len = seq_lt(s->seq, c->fin_seq) ? c->fin_seq - s->seq : 0;
	}
	if (len > c->rcv_mss)
		c->rcv_mss = (uint16_t)min_u32(len, UINT16_MAX);
	if (s->seq == c->rcv_nxt) {
		if (len > 0 && !deliver(c, s->data, len, now))
			return;
		if (c->ooo_head != NULL && !ooo_drain(c, now))
			return;
		// A segment that leaves a hole open asks for an ACK at once.
		c->ack_now = c->ack_now || c->ooo_head != NULL;
	} else if (len > 0 || (s->flags & FIN) != 0) {
		PEN_COUNT(c->t->ctr->ooo_segments);
		ooo_insert(c, s->seq, s->data, len);
		// Not batched: the sender counts duplicates (RFC 5681 4.2).
		PEN_COUNT(c->t->ctr->dup_acks_tx);
		tcp_send_ack(c, now);
	}
	if (!fin_take(c, now))
		return;
	if (c->ack_now || c->ack_pending)
		conn_pend(c);
	if (c->state == TCP_FIN_WAIT2)
		tcp_idle_restart(c, now);
}

void rx_resume(struct pen_tcp_conn *c, pen_time_us now)
{
	if (c->delivering)
		return; // the caller's own on_data has not said yet what it takes
	while (c->kept_head != NULL) {
		struct chunk *k = c->kept_head;
		uint32_t used = offer(c, k->data + k->off, k->len, now);
		if (c->state == TCP_CLOSED)
			return;
		c->kept_bytes -= used;
		if (used < k->len) {
			k->off = (uint16_t)(k->off + used);
			k->len = (uint16_t)(k->len - used);
			break;
		}
		c->kept_head = k->next;
		if (c->kept_head == NULL)
			c->kept_tail = NULL;
		chunk_put(c->t, k);
	}
	if (!fin_take(c, now) || c->fin_rcvd)
		return; // a stream that has ended needs no window
	uint32_t right = tcp_rcv_right(c);
	if (seq_lt(c->rcv_adv, right) &&
		right - c->rcv_adv >= min_u32(c->rx_limit / 2, 2u * c->rcv_mss)) {
		PEN_COUNT(c->t->ctr->window_updates);
		c->ack_now = true;
		conn_pend(c);
	}
}
