// SPDX-License-Identifier: BSD-3-Clause
#include "pen_wheel.h"

#include "pen_err.h"

#define SLOT_MASK (PEN_WHEEL_SLOTS - 1)
#define LEVEL_BITS 8

static uint64_t ceil_tick(pen_time_us t)
{
	return t <= 0 ? 0 : (uint64_t)(t + 999) / 1000;
}

static void list_init(struct pen_wheel_node *head)
{
	head->next = head->prev = head;
}

void pen_wheel_init(struct pen_wheel *w, pen_time_us now)
{
	for (int l = 0; l < PEN_WHEEL_LEVELS; l++) {
		for (int s = 0; s < PEN_WHEEL_SLOTS; s++)
			list_init(&w->slot[l][s]);
		for (int i = 0; i < PEN_WHEEL_SLOTS / 64; i++)
			w->used[l][i] = 0;
	}
	w->tick = now <= 0 ? 0 : (uint64_t)now / 1000;
	w->armed = 0;
}

void pen_wheel_node_init(struct pen_wheel_node *n)
{
	*n = (struct pen_wheel_node){.deadline = PEN_TIME_NEVER};
}

static void unlink_node(struct pen_wheel_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}

// Files the node by its deadline, never before the tick that expires next.
static void file_node(struct pen_wheel *w, struct pen_wheel_node *n)
{
	uint64_t t = ceil_tick(n->deadline);
	if (t < w->tick)
		t = w->tick;
	uint64_t delta = t - w->tick;
	int level = 0;
	while (level < PEN_WHEEL_LEVELS - 1 && delta >> (LEVEL_BITS * (level + 1)) != 0)
		level++;
	// Farther than the whole wheel: wait in the last slot and be filed anew.
	const uint64_t span = (1ULL << (LEVEL_BITS * PEN_WHEEL_LEVELS)) - 1;
	if (delta > span)
		t = w->tick + span;
	unsigned s = (unsigned)(t >> (LEVEL_BITS * level)) & SLOT_MASK;
	struct pen_wheel_node *head = &w->slot[level][s];
	n->next = head;
	n->prev = head->prev;
	head->prev->next = n;
	head->prev = n;
	n->slot_time = (pen_time_us)t * 1000;
	w->used[level][s / 64] |= 1ULL << (s % 64);
}

void pen_wheel_arm(struct pen_wheel *w, struct pen_wheel_node *n, pen_time_us deadline)
{
	if (deadline == PEN_TIME_NEVER) {
		pen_wheel_disarm(w, n);
		return;
	}
	n->deadline = deadline;
	if (n->next != NULL) {
		if (deadline >= n->slot_time)
			return; // lazy: the old slot re-files it
		unlink_node(n);
	} else {
		w->armed++;
	}
	file_node(w, n);
}

void pen_wheel_disarm(struct pen_wheel *w, struct pen_wheel_node *n)
{
	n->deadline = PEN_TIME_NEVER;
	if (n->next == NULL)
		return;
	unlink_node(n);
	w->armed--;
}

static void splice_out(struct pen_wheel *w, int level, unsigned s, struct pen_wheel_node *out)
{
	struct pen_wheel_node *head = &w->slot[level][s];

	list_init(out);
	w->used[level][s / 64] &= ~(1ULL << (s % 64));
	if (head->next == head)
		return;
	out->next = head->next;
	out->prev = head->prev;
	out->next->prev = out;
	out->prev->next = out;
	list_init(head);
}

static void put_back(struct pen_wheel *w, unsigned s, struct pen_wheel_node *batch)
{
	struct pen_wheel_node *head = &w->slot[0][s];

	batch->next->prev = head->prev;
	head->prev->next = batch->next;
	batch->prev->next = head;
	head->prev = batch->prev;
	w->used[0][s / 64] |= 1ULL << (s % 64);
}

static void cascade(struct pen_wheel *w)
{
	for (int level = 1; level < PEN_WHEEL_LEVELS; level++) {
		if ((w->tick >> (LEVEL_BITS * (level - 1)) & SLOT_MASK) != 0)
			return;
		unsigned s = (unsigned)(w->tick >> (LEVEL_BITS * level)) & SLOT_MASK;
		struct pen_wheel_node batch;
		splice_out(w, level, s, &batch);
		while (batch.next != &batch) {
			struct pen_wheel_node *n = batch.next;
			unlink_node(n);
			file_node(w, n);
		}
	}
}

// Distance in slots (0..255) from `from` to the next used slot, or 256.
static unsigned next_used(const uint64_t used[PEN_WHEEL_SLOTS / 64], unsigned from)
{
	for (unsigned i = 0; i < PEN_WHEEL_SLOTS;) {
		unsigned s = (from + i) & SLOT_MASK;
		uint64_t word = used[s / 64] >> (s % 64);
		if (word != 0) {
			unsigned d = i + (unsigned)__builtin_ctzll(word);
			return d < PEN_WHEEL_SLOTS ? d : PEN_WHEEL_SLOTS;
		}
		i += 64 - s % 64;
	}
	return PEN_WHEEL_SLOTS;
}

// The first tick at which something may have to be done: a used level-0 slot
// or the boundary at which a used upper slot cascades.
static uint64_t next_event_tick(const struct pen_wheel *w)
{
	uint64_t best = UINT64_MAX;

	for (int level = 0; level < PEN_WHEEL_LEVELS; level++) {
		int shift = LEVEL_BITS * level;
		uint64_t base = w->tick >> shift;
		// A slot of an upper level is due when its first tick is reached; the
		// current one has cascaded already unless we stand on its boundary.
		if (level > 0 && (w->tick & ((1ULL << shift) - 1)) != 0)
			base++;
		unsigned d = next_used(w->used[level], (unsigned)base & SLOT_MASK);
		if (d == PEN_WHEEL_SLOTS)
			continue;
		uint64_t t = (base + d) << shift;
		if (t < best)
			best = t;
	}
	return best;
}

uint32_t pen_wheel_advance(
	struct pen_wheel *w, pen_time_us now, uint32_t most, pen_wheel_fn *fn, void *ctx)
{
	uint64_t until = now <= 0 ? 0 : (uint64_t)now / 1000;
	uint32_t fired = 0;

	while (w->tick <= until && fired < most) {
		uint64_t due = w->armed != 0 ? next_event_tick(w) : UINT64_MAX;
		if (due > until) {
			w->tick = until + 1;
			// A jump must not step over a boundary that files nodes down: there
			// is none, because next_event_tick is past `until`.
			break;
		}
		w->tick = due;
		cascade(w);
		// The slot is taken out whole: a node that is put back 256 ticks on
		// lands in this very slot, and must not be met again in this round.
		unsigned s = (unsigned)due & SLOT_MASK;
		struct pen_wheel_node batch;
		splice_out(w, 0, s, &batch);
		w->tick = due + 1;
		while (batch.next != &batch && fired < most) {
			struct pen_wheel_node *n = batch.next;
			unlink_node(n);
			if (n->deadline > now) {
				file_node(w, n); // lazily re-armed
				continue;
			}
			w->armed--;
			n->deadline = PEN_TIME_NEVER;
			fired++;
			fn(ctx, n, now);
		}
		if (batch.next != &batch) {
			put_back(w, s, &batch); // budget used up inside this tick
			w->tick = due;
			break;
		}
	}
	return fired;
}

pen_time_us pen_wheel_next(const struct pen_wheel *w)
{
	if (w->armed == 0)
		return PEN_TIME_NEVER;
	uint64_t t = next_event_tick(w);
	return t == UINT64_MAX ? PEN_TIME_NEVER : (pen_time_us)t * 1000;
}
