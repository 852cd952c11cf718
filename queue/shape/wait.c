// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// Waiting. Each node has a queue for connections and one for messages; the queues that
// are not empty are in a heap by the time when their head may have room. What happens at a
// node (something ended, something began) moves its queues in the heap; nobody scans.
//
// A heap entry belongs to a queue and points at its head, so that empty queues cost
// nothing; there is room for all of them from the moment a node is made.
//
// A waiter that is called may ask at once, or later: then what it was woken for is lent to
// whoever asks before the next poll (`credit`), and not given to the next in the queue.

// ---- the heap

bool shape_heap_reserve(struct pen_shape *sh, uint32_t nodes)
{
	uint32_t need = nodes * QUEUES + 1;

	if (need <= sh->heap_cap)
		return true;
	uint32_t cap = need + need / 2 + 64;
	struct heap_entry *more = realloc(sh->heap, cap * sizeof(*more));
	if (more == NULL)
		return false;
	sh->heap = more;
	sh->heap_cap = cap;
	return true;
}

static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void place(struct pen_shape *sh, uint32_t i, struct heap_entry e)
{
	sh->heap[i] = e;
	e.head->heap = i;
}

static void heap_fix(struct pen_shape *sh, uint32_t i)
{
	struct heap_entry e = sh->heap[i];

	while (i > 1 && before(&e, &sh->heap[i / 2])) {
		place(sh, i, sh->heap[i / 2]);
		i /= 2;
	}
	for (uint32_t child; (child = 2 * i) <= sh->nheap; i = child) {
		if (child < sh->nheap && before(&sh->heap[child + 1], &sh->heap[child]))
			child++;
		if (!before(&sh->heap[child], &e))
			break;
		place(sh, i, sh->heap[child]);
	}
	place(sh, i, e);
}

static void heap_remove(struct pen_shape *sh, uint32_t i)
{
	struct heap_entry last = sh->heap[sh->nheap--];

	if (i > sh->nheap)
		return;
	place(sh, i, last);
	heap_fix(sh, i);
}

static void set_when(struct pen_shape *sh, struct pen_shape_waiter *head, pen_time_us when)
{
	struct heap_entry *e = &sh->heap[head->heap];

	if (e->when == when)
		return;
	e->when = when;
	e->order = sh->order++;
	heap_fix(sh, head->heap);
}

// ---- queues

static void queue_in(struct pen_shape *sh, struct pen_shape_waiter *w, bool front)
{
	struct pen_shape_node *n = w->node;
	struct pen_shape_waiter *head = n->q[w->queue];

	if (head == NULL) {
		w->next = w->prev = w;
		n->q[w->queue] = w;
		n->flags |= (uint16_t)(N_WAIT0 << w->queue);
		sh->nheap++;
		PEN_ASSERT(sh->nheap < sh->heap_cap);
		place(sh, sh->nheap, (struct heap_entry){w, PEN_TIME_NEVER, sh->order++});
		if (n->kind == NODE_LANE)
			sh->lanes_waiting++;
		return;
	}
	w->next = head;
	w->prev = head->prev;
	w->prev->next = w;
	head->prev = w;
	if (front) {
		n->q[w->queue] = w;
		w->heap = head->heap;
		sh->heap[w->heap].head = w;
	}
}

static void queue_out(struct pen_shape *sh, struct pen_shape_waiter *w)
{
	struct pen_shape_node *n = w->node;

	if (n->kind == NODE_LANE) {
		struct lane *lane = container(n, struct lane, node);
		if (lane->cursor == w) // of a pass
			lane->cursor = w->next != n->q[w->queue] ? w->next : NULL;
	}
	if (w->next == w) {
		n->q[w->queue] = NULL;
		n->flags &= (uint16_t) ~(N_WAIT0 << w->queue);
		heap_remove(sh, w->heap);
		if (n->kind == NODE_LANE) {
			container(n, struct lane, node)->running = false;
			sh->lanes_waiting--;
		}
	} else {
		w->next->prev = w->prev;
		w->prev->next = w->next;
		if (n->q[w->queue] == w) {
			n->q[w->queue] = w->next;
			w->next->heap = w->heap;
			sh->heap[w->heap].head = w->next;
		}
	}
	w->node = NULL;
}

static uint32_t credit(const struct pen_shape *sh, const struct pen_shape_node *n, unsigned q)
{
	return n->credit_of == sh->polls ? n->credit[q] : 0;
}

// When the head may go on, as far as its node knows.
static pen_time_us head_when(struct pen_shape *sh, struct pen_shape_waiter *head)
{
	return shape_node_when(
		sh, head->node, head->queue, head->need, 1 + credit(sh, head->node, head->queue));
}

static void queue_update(struct pen_shape *sh, struct pen_shape_waiter *head)
{
	set_when(sh, head, head_when(sh, head));
}

void shape_event(struct pen_shape *sh, struct pen_shape_node *n)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		if (n->q[q] != NULL)
			queue_update(sh, n->q[q]);
	}
}

void shape_lane_event(struct pen_shape *sh, uint32_t source)
{
	const struct source *src = &sh->source[source];

	for (uint32_t i = 0; i < src->npools; i++) {
		struct lane *lane = &sh->pool[src->pool[i]].lane;
		if (lane->node.q[Q_OPEN] == NULL)
			continue;
		lane->again = true;
		set_when(sh, lane->node.q[Q_OPEN], sh->now);
	}
}

static void drop_site(struct pen_shape *sh, struct pen_shape_waiter *w)
{
	struct pen_shape_site *s = w->site;

	w->site = NULL;
	pen_shape_site_put(sh, s);
}

void pen_shape_waiter_init(struct pen_shape_waiter *w)
{
	memset(w, 0, sizeof(*w));
}

static void lane_until(struct pen_shape *sh, struct pen_shape_waiter *w)
{
	struct lane *lane = container(w->node, struct lane, node);
	struct pen_shape_waiter *head = w->node->q[w->queue];

	lane->soonest = pen_time_min(lane->soonest, w->until);
	set_when(sh, head, pen_time_min(sh->heap[head->heap].when, w->until));
}

static void hang(struct pen_shape *sh, struct pen_shape_waiter *w, const struct pen_shape_block *b,
	bool front)
{
	w->node = b->node;
	w->until = b->until;
	w->need = b->need;
	w->queue = b->queue;
	w->reason = (uint8_t)b->reason;
	w->pool = b->pool;
	w->families = b->families;
	w->site = b->site != NULL ? pen_shape_site_ref(b->site) : NULL;
	queue_in(sh, w, front);
	if (w->node->kind == NODE_LANE)
		lane_until(sh, w);
	else if (w->node->q[w->queue] == w)
		queue_update(sh, w);
}

void pen_shape_wait(
	struct pen_shape *sh, struct pen_shape_waiter *w, const struct pen_shape_block *b)
{
	bool front = sh->waking == w && sh->woken_at == b->node && sh->woken_q == b->queue;

	if (sh->waking == w)
		sh->waking = NULL;
	// Who asks again while it waits here keeps its place.
	if (w->node == b->node && w->queue == b->queue) {
		w->until = b->until;
		w->reason = (uint8_t)b->reason;
		w->need = b->need;
		if (w->node->kind == NODE_LANE)
			lane_until(sh, w);
		else if (w->node->q[w->queue] == w)
			queue_update(sh, w);
		return;
	}
	pen_shape_cancel(sh, w);
	hang(sh, w, b, front);
}

// Off its queue; the next one there may be able to go on where it was not.
static void take_out(struct pen_shape *sh, struct pen_shape_waiter *w)
{
	struct pen_shape_node *n = w->node;
	unsigned q = w->queue;
	bool head = n->q[q] == w;

	queue_out(sh, w);
	if (head && n->q[q] != NULL && n->kind != NODE_LANE)
		queue_update(sh, n->q[q]);
}

void pen_shape_cancel(struct pen_shape *sh, struct pen_shape_waiter *w)
{
	if (sh->waking == w)
		sh->waking = NULL;
	if (w->node == NULL)
		return;
	take_out(sh, w);
	drop_site(sh, w);
}

// ---- waking all

void shape_recall(struct pen_shape *sh, struct pen_shape_node *n)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		struct pen_shape_waiter *w;
		while ((w = n->q[q]) != NULL) {
			queue_out(sh, w);
			w->node = &sh->recall;
			w->queue = Q_OPEN;
			queue_in(sh, w, false);
		}
	}
	if (sh->recall.q[Q_OPEN] != NULL)
		set_when(sh, sh->recall.q[Q_OPEN], sh->now);
}

void shape_wake_all(struct pen_shape *sh)
{
	for (uint32_t i = 1; i <= sh->nheap;) {
		struct pen_shape_node *n = sh->heap[i].head->node;
		if (n == &sh->recall) {
			i++;
			continue;
		}
		shape_recall(sh, n);
		i = 1;
	}
}

// ---- waking

static void lend(struct pen_shape *sh, struct pen_shape_node *n, unsigned q)
{
	if (n->credit_of != sh->polls) {
		n->credit_of = sh->polls;
		n->credit[Q_OPEN] = n->credit[Q_SEND] = 0;
		n->lent_next = sh->lent;
		sh->lent = n;
		n->lent = true;
	}
	n->credit[q]++;
}

// What was lent and not asked for goes to those who wait.
static void lent_ends(struct pen_shape *sh)
{
	struct pen_shape_node *next;

	for (struct pen_shape_node *n = sh->lent; n != NULL; n = next) {
		next = n->lent_next;
		n->lent = false;
		if (n->kind == NODE_LANE && n->q[Q_OPEN] != NULL)
			set_when(sh, n->q[Q_OPEN], sh->now);
		else
			shape_event(sh, n);
	}
	sh->lent = NULL;
}

// Takes it off and calls. True: it neither took anything nor waits again; it may ask later.
static bool call(struct pen_shape *sh, struct pen_shape_waiter *w, pen_shape_wake_fn *fn, void *ctx)
{
	uint32_t grants = sh->grants;

	sh->woken_at = w->node;
	sh->woken_q = w->queue;
	queue_out(sh, w);
	drop_site(sh, w);
	sh->waking = w;
	sh->in_wake = true;
	fn(ctx, w); // w may be gone then
	sh->in_wake = false;
	bool deferred = sh->waking != NULL && sh->grants == grants;
	sh->waking = NULL;
	return deferred;
}

static bool asks(struct pen_shape *sh, const struct pen_shape_waiter *w, struct pen_shape_block *b)
{
	sh->in_wake = true;
	bool good = shape_ask_open(sh, w->site, w->pool, w->families, b);
	sh->in_wake = false;
	return good;
}

static void rehang(
	struct pen_shape *sh, struct pen_shape_waiter *w, const struct pen_shape_block *b)
{
	take_out(sh, w);
	drop_site(sh, w);
	hang(sh, w, b, false);
}

static void lane_finish(struct pen_shape *sh, struct lane *lane, pen_time_us when)
{
	lane->running = false;
	lane->cursor = NULL;
	set_when(sh, lane->node.q[Q_OPEN], lane->again ? sh->now : when);
}

// One waiter of a pass over all that wait for a source of the pool. The pass ends early when
// no source has room.
static uint32_t lane_step(
	struct pen_shape *sh, struct lane *lane, pen_shape_wake_fn *fn, void *ctx, uint32_t *woken)
{
	struct pool *p = container(lane, struct pool, lane);
	struct pen_shape_block b;
	pen_time_us when;

	if (!lane->running) {
		lane->running = true;
		lane->again = false;
		lane->soonest = PEN_TIME_NEVER;
		lane->cursor = lane->node.q[Q_OPEN];
	}
	struct pen_shape_waiter *w = lane->cursor;
	if (w == NULL) {
		lane_finish(sh, lane, lane->soonest);
		return 0;
	}
	lane->cursor = w->next != lane->node.q[Q_OPEN] ? w->next : NULL;
	if (asks(sh, w, &b)) {
		++*woken;
		if (call(sh, w, fn, ctx) && lane->node.q[Q_OPEN] != NULL) {
			lend(sh, &lane->node, Q_OPEN);
			set_when(sh, lane->node.q[Q_OPEN], PEN_TIME_NEVER);
		}
	} else if (b.node != &lane->node) {
		rehang(sh, w, &b);
	} else {
		w->until = b.until;
		lane->soonest = pen_time_min(lane->soonest, b.until);
		if (lane->soonest <= sh->now)
			lane->soonest = sh->now + SHAPE_RETRY;
		if (!shape_pool_has_source(sh, p, &when))
			lane_finish(sh, lane, when);
	}
	return 1;
}

static uint32_t node_step(struct pen_shape *sh, struct pen_shape_waiter *w, pen_shape_wake_fn *fn,
	void *ctx, uint32_t *woken)
{
	struct pen_shape_node *n = w->node;
	unsigned q = w->queue, kind = n->kind;
	struct pen_shape_block b;

	if ((n->flags & N_CALM) && n->calm_at <= sh->now)
		shape_node_calm(sh, n, 0, 0, false);
	pen_time_us when = head_when(sh, w);
	if (when > sh->now) {
		set_when(sh, w, when);
		return 0;
	}
	if (w->site != NULL && !asks(sh, w, &b)) {
		if (b.node != n || b.queue != q) {
			rehang(sh, w, &b);
			return 1;
		}
		when = b.until > sh->now ? b.until : sh->now + PEN_US_PER_MS;
		set_when(sh, w, when);
		return 1;
	}
	++*woken;
	bool deferred = call(sh, w, fn, ctx);
	if (kind == NODE_EFFECT) // may be gone
		return 1;
	if (deferred)
		lend(sh, n, q);
	if (n->q[q] != NULL)
		queue_update(sh, n->q[q]);
	return 1;
}

static uint32_t step(struct pen_shape *sh, pen_shape_wake_fn *fn, void *ctx, uint32_t *woken)
{
	struct pen_shape_waiter *w = sh->heap[1].head;
	struct pen_shape_node *n = w->node;

	if (n == &sh->recall) {
		++*woken;
		call(sh, w, fn, ctx);
		return 1;
	}
	if (n->kind == NODE_LANE)
		return lane_step(sh, container(n, struct lane, node), fn, ctx, woken);
	if (n->kind == NODE_SUSPENSION) {
		struct suspension *s = container(n, struct suspension, node);
		if (s->ends <= sh->now)
			shape_suspension_end(sh, s);
		else
			set_when(sh, w, s->ends);
		return 0;
	}
	if (n->kind == NODE_EFFECT && container(n, struct effect, node)->ends <= sh->now) {
		shape_effect_end(sh, container(n, struct effect, node));
		return 0;
	}
	return node_step(sh, w, fn, ctx, woken);
}

uint32_t pen_shape_poll(struct pen_shape *sh, pen_time_us now, pen_wall_us wall, uint32_t budget,
	pen_shape_wake_fn *fn, void *ctx)
{
	uint32_t woken = 0;

	shape_clock(sh, now);
	pen_time_us moved = wall - sh->now - sh->offset;
	if (moved > PEN_US_PER_S || moved < -PEN_US_PER_S) {
		sh->offset = wall - sh->now;
		shape_wall_moved(sh);
	}
	sh->polls++;
	lent_ends(sh);
	while (sh->nheap > 0 && sh->heap[1].when <= sh->now && budget > 0) {
		uint32_t done = step(sh, fn, ctx, &woken);
		budget -= done < budget ? done : budget;
	}
	if (sh->now >= sh->sweep_at)
		shape_sweep(sh);
	return woken;
}

pen_time_us pen_shape_next(const struct pen_shape *sh)
{
	for (const struct pen_shape_node *n = sh->lent; n != NULL; n = n->lent_next) {
		if (n->q[Q_OPEN] != NULL || n->q[Q_SEND] != NULL)
			return sh->now;
	}
	return sh->nheap > 0 ? sh->heap[1].when : PEN_TIME_NEVER;
}
