// SPDX-License-Identifier: BSD-3-Clause
#include "calendar.h"

#include <stdlib.h>

#define WIDTH (8 * PEN_US_PER_S)  // of a bucket
#define AHEAD (16 * PEN_US_PER_S) // how long before its time a bucket is moved
#define IN_BUCKET (-1)            // pen_wheel_node.slot_time

static uint64_t number(pen_time_us t)
{
	return t <= 0 ? 0 : (uint64_t)(t / WIDTH);
}

static uint64_t movable(pen_time_us now) // buckets below may be moved
{
	return number(now + AHEAD) + 1;
}

bool calendar_init(struct calendar *c, pen_time_us now)
{
	*c = (struct calendar){.first = movable(now)};
	pen_wheel_init(&c->wheel, now);
	c->bucket = malloc(CALENDAR_BUCKETS * sizeof(*c->bucket));
	for (uint32_t i = 0; c->bucket != NULL && i < CALENDAR_BUCKETS; i++)
		c->bucket[i].next = c->bucket[i].prev = &c->bucket[i];
	return c->bucket != NULL;
}

void calendar_fini(struct calendar *c)
{
	free(c->bucket);
	c->bucket = NULL;
}

void calendar_disarm(struct calendar *c, struct pen_wheel_node *n)
{
	if (!pen_wheel_armed(n) || n->slot_time != IN_BUCKET) {
		pen_wheel_disarm(&c->wheel, n);
		return;
	}
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
	n->deadline = PEN_TIME_NEVER;
	n->slot_time = 0;
	c->armed--;
}

void calendar_arm(struct calendar *c, struct pen_wheel_node *n, pen_time_us deadline)
{
	uint64_t b = number(deadline);

	// A timer that moves from far to near leaves its place; others may be lazy.
	if (pen_wheel_armed(n) && (n->slot_time == IN_BUCKET || b >= c->first))
		calendar_disarm(c, n);
	if (b < c->first || deadline == PEN_TIME_NEVER) {
		pen_wheel_arm(&c->wheel, n, deadline);
		return;
	}
	// One less than there are: a bucket that is being moved never takes one back.
	if (b - c->first >= CALENDAR_BUCKETS - 1)
		b = c->first + CALENDAR_BUCKETS - 2;
	uint32_t i = (uint32_t)(b % CALENDAR_BUCKETS);
	struct pen_wheel_node *head = &c->bucket[i];
	n->deadline = deadline;
	n->slot_time = IN_BUCKET;
	n->next = head;
	n->prev = head->prev;
	head->prev->next = n;
	head->prev = n;
	c->used[i / 64] |= 1ull << i % 64;
	c->armed++;
}

// The first bucket from `first` on that may hold something; UINT64_MAX: none.
static uint64_t next_used(const struct calendar *c)
{
	uint32_t at = (uint32_t)(c->first % CALENDAR_BUCKETS);

	for (uint32_t done = 0; c->armed > 0 && done < CALENDAR_BUCKETS;) {
		uint32_t i = (at + done) % CALENDAR_BUCKETS;
		uint64_t word = c->used[i / 64] >> i % 64;
		if (word != 0)
			return c->first + done + (unsigned)__builtin_ctzll(word);
		done += 64 - i % 64;
	}
	return UINT64_MAX;
}

// One bucket, or as much of it as may be done at once.
static uint32_t move_bucket(struct calendar *c, uint64_t b, uint32_t most)
{
	uint32_t i = (uint32_t)(b % CALENDAR_BUCKETS), moved = 0;
	struct pen_wheel_node *head = &c->bucket[i];

	c->first = b + 1; // so that what is armed for it meanwhile goes to the wheel
	while (head->next != head && moved < most) {
		struct pen_wheel_node *n = head->next;
		pen_time_us deadline = n->deadline;
		calendar_disarm(c, n);
		calendar_arm(c, n, deadline);
		moved++;
	}
	if (head->next == head)
		c->used[i / 64] &= ~(1ull << i % 64);
	else
		c->first = b;
	return moved;
}

uint32_t calendar_advance(
	struct calendar *c, pen_time_us now, uint32_t most, pen_wheel_fn *fn, void *ctx)
{
	uint32_t moved = 0;

	while (moved < most && c->first < movable(now)) {
		uint64_t b = next_used(c);
		if (b >= movable(now))
			c->first = movable(now);
		else
			moved += move_bucket(c, b, most - moved);
	}
	return moved + pen_wheel_advance(&c->wheel, now, most, fn, ctx);
}

pen_time_us calendar_next(const struct calendar *c)
{
	pen_time_us t = pen_wheel_next(&c->wheel);
	uint64_t b = next_used(c);

	if (b == UINT64_MAX)
		return t;
	return pen_time_min(t, (pen_time_us)b * WIDTH - AHEAD);
}
