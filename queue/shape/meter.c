// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rate.h"

// The ends of a period are kept in 64 slots of 1/63 of it. A slot counts until 64
// widths after its start, which is at least one period after the last end in it and at
// most 1/63 of a period more: the price of a fixed size.
//
// Slots are 32 bits wide. A count that needs more (bytes per day) is kept in units of
// a power of two, each use rounded up.
//
// Spacing is a leaky bucket (GCRA): `next` is when the bucket would be empty, in 1/1024
// us, so that rates of a million per second are not rounded.

#define SLOTS PEN_METER_SLOTS
#define FINE 1024 // of `next`, per us

static unsigned unit_shift(const struct pen_rate *r)
{
	return r->count >> 32 == 0 ? 0 : 32 - (unsigned)__builtin_clz((uint32_t)(r->count >> 32));
}

static uint64_t units(uint64_t n, unsigned shift)
{
	return (n + ((uint64_t)1 << shift) - 1) >> shift;
}

static pen_time_us width(const struct pen_rate *r)
{
	return (r->period + SLOTS - 2) / (SLOTS - 1);
}

static bool spaced(const struct pen_rate *r)
{
	return r->burst < r->count;
}

static pen_time_us cost(const struct pen_rate *r, uint64_t n)
{
	double v = (double)n * (double)r->period * FINE / (double)r->count;

	return v < 4e18 ? (pen_time_us)(v + 0.5) : (pen_time_us)4e18;
}

void pen_meter_init(struct pen_meter *m)
{
	memset(m, 0, sizeof(*m));
}

static void advance(struct pen_meter *m, const struct pen_rate *r, pen_time_us now)
{
	pen_time_us w = width(r);

	if (m->used == 0) { // nothing to keep: the newest slot begins here
		if (now > m->newest)
			m->newest = now;
		return;
	}
	if (now < m->newest + w)
		return;
	uint64_t steps = (uint64_t)(now - m->newest) / (uint64_t)w;
	m->newest += (pen_time_us)steps * w;
	for (uint64_t i = 0; i < steps && i < SLOTS; i++) {
		m->at = (m->at + 1) % SLOTS;
		m->used -= m->slot[m->at];
		m->slot[m->at] = 0;
	}
}

static void put(struct pen_meter *m, uint32_t slot, uint64_t n)
{
	uint64_t room = UINT32_MAX - m->slot[slot];

	if (n > room) // more than any count in these units: all of it is taken
		n = room;
	m->slot[slot] += (uint32_t)n;
	m->used += n;
}

// When the slots will have let go of `excess`.
static pen_time_us slots_free(
	const struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t excess)
{
	pen_time_us w = width(r);

	for (uint32_t age = SLOTS; age-- > 0;) {
		uint32_t n = m->slot[(m->at + SLOTS - age) % SLOTS];
		if (n >= excess)
			return m->newest + (SLOTS - (pen_time_us)age) * w;
		excess -= n;
	}
	return now; // not reached: `used` is the sum
}

pen_time_us pen_meter_when(
	struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n)
{
	pen_time_us at = now;

	if (!pen_rate_limited(r))
		return now;
	if (n > r->count)
		n = r->count;
	if (r->count == 0)
		return PEN_TIME_NEVER;
	advance(m, r, now);
	unsigned shift = unit_shift(r);
	uint64_t most = r->count >> shift;
	uint64_t open = units(m->open, shift);
	uint64_t want = units(n, shift);
	if (want > most)
		want = most;
	if (open + want > most)
		return PEN_TIME_NEVER;
	if (m->used + open + want > most)
		at = slots_free(m, r, now, m->used + open + want - most);
	if (spaced(r)) {
		// A use larger than the burst passes when the bucket is empty.
		pen_time_us slack = n < r->burst ? cost(r, r->burst - n) : 0;
		pen_time_us free_at = (m->next - slack) / FINE;
		if (free_at > at)
			at = free_at;
	}
	return at;
}

void pen_meter_begin(struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n)
{
	m->open += n;
	if (!pen_rate_limited(r) || r->count == 0 || !spaced(r))
		return;
	if (m->next < now * FINE)
		m->next = now * FINE;
	m->next += cost(r, n < r->count ? n : r->count);
}

void pen_meter_end(
	struct pen_meter *m, const struct pen_rate *r, pen_time_us now, uint64_t n, bool happened)
{
	m->open = m->open > n ? m->open - n : 0;
	if (!happened || !pen_rate_limited(r))
		return;
	advance(m, r, now);
	put(m, m->at, units(n, unit_shift(r)));
}

void pen_meter_fill(struct pen_meter *m, const struct pen_rate *r, pen_time_us now)
{
	if (!pen_rate_limited(r))
		return;
	pen_meter_past(m, r, now, now, PEN_METER_FULL);
}

uint64_t pen_meter_used(struct pen_meter *m, const struct pen_rate *r, pen_time_us now)
{
	if (!pen_rate_limited(r))
		return m->open;
	advance(m, r, now);
	if (m->used >= UINT32_MAX) // filled
		return r->count;
	return (m->used << unit_shift(r)) + m->open;
}

void pen_meter_past(struct pen_meter *m, const struct pen_rate *r, pen_time_us now,
	pen_time_us ended, uint64_t n)
{
	pen_time_us w = width(r);

	if (!pen_rate_limited(r) || n == 0)
		return;
	advance(m, r, now);
	uint64_t age = 0; // the slot that begins at `ended` or less than a width before
	if (ended < m->newest)
		age = (uint64_t)(m->newest - ended + w - 1) / (uint64_t)w;
	if (age < SLOTS)
		put(m, (m->at + SLOTS - (uint32_t)age) % SLOTS, units(n, unit_shift(r)));
}

void pen_meter_each(const struct pen_meter *m, const struct pen_rate *r, pen_time_us now,
	pen_meter_slot_fn *fn, void *ctx)
{
	pen_time_us w = width(r);

	for (uint32_t age = SLOTS; pen_rate_limited(r) && age-- > 0;) {
		uint64_t n = m->slot[(m->at + SLOTS - age) % SLOTS];
		pen_time_us end = m->newest - ((pen_time_us)age - 1) * w;
		if (n > 0 && end + r->period > now)
			fn(ctx, end < now ? end : now, n << unit_shift(r));
	}
}

struct carry {
	struct pen_meter m;
	const struct pen_rate *rate;
	pen_time_us now;
};

static void carry_slot(void *ctx, pen_time_us ended, uint64_t n)
{
	struct carry *c = ctx;

	pen_meter_past(&c->m, c->rate, c->now, ended, n);
}

void pen_meter_change(struct pen_meter *m, const struct pen_rate *from, const struct pen_rate *to,
	pen_time_us now)
{
	struct carry c = {.rate = to, .now = now};

	c.m.open = m->open;
	c.m.newest = now;
	if (pen_rate_limited(from) && pen_rate_limited(to)) {
		pen_meter_each(m, from, now, carry_slot, &c);
		if (spaced(from) && spaced(to)) {
			pen_time_us most = now * FINE + cost(to, 1);
			c.m.next = m->next < most ? m->next : most;
		}
	}
	*m = c.m;
}
