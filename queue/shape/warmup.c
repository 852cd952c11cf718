// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// A warm-up counts messages per day in UTC, from a source to a provider (or a site
// without one). Day 0 is the UTC day of `start`; before it nothing goes this way. What is
// open at midnight counts for both days.

static int64_t floor_day(pen_wall_us t)
{
	return t >= 0 ? t / SHAPE_DAY : -((-t + SHAPE_DAY - 1) / SHAPE_DAY);
}

static int64_t today(const struct pen_shape *sh)
{
	return floor_day(sh->now + sh->offset);
}

static void turn_day(struct pen_shape *sh, struct at_node *a)
{
	int64_t d = today(sh);

	if (d == a->day)
		return;
	// The clock went back: what was used stays used.
	if (d > a->day)
		a->used = 0;
	a->day = d;
}

// False: no cap any more.
bool shape_warm_cap(struct pen_shape *sh, const struct at_node *a, uint64_t *cap)
{
	if (a->warm == NULL)
		return false;
	int64_t d = today(sh) - floor_day(a->warm->start);
	if (d >= (int64_t)a->warm->ndays)
		return false;
	*cap = d < 0 ? 0 : a->warm->cap[d];
	return true;
}

uint64_t shape_warm_used(struct pen_shape *sh, struct at_node *a)
{
	turn_day(sh, a);
	return a->used + a->node.msgs;
}

static pen_time_us midnight(const struct pen_shape *sh)
{
	return (today(sh) + 1) * SHAPE_DAY - sh->offset;
}

pen_time_us shape_warm_when(struct pen_shape *sh, struct at_node *a)
{
	uint64_t cap;

	if (!shape_warm_cap(sh, a, &cap))
		return sh->now;
	if (shape_warm_used(sh, a) >= cap)
		return midnight(sh);
	if (shape_reserved(sh, &a->res, 1))
		return sh->now;
	sh->low = sh->starved = true;
	return PEN_TIME_NEVER;
}

bool shape_warm_may(struct pen_shape *sh, struct at_node *a, struct pen_shape_block *why)
{
	uint64_t cap;

	if (!shape_warm_cap(sh, a, &cap))
		return true;
	bool full = shape_warm_used(sh, a) >= cap;
	if (!full && shape_reserved(sh, &a->res, 1))
		return true;
	shape_block(sh, &a->node, full ? PEN_WHY_MESSAGE_RATE : PEN_WHY_SAVING, why);
	why->limit = cap;
	why->used = shape_warm_used(sh, a);
	why->until = shape_warm_when(sh, a);
	shape_by_line(why->by, sizeof(why->by), a->warm->line, false);
	return false;
}

void shape_warm_begin(struct pen_shape *sh, struct at_node *a)
{
	uint64_t cap;

	turn_day(sh, a);
	if (shape_warm_cap(sh, a, &cap))
		shape_reserve_take(sh, &a->res, 1, cap);
}

void shape_warm_sent(struct pen_shape *sh, struct at_node *a, bool happened)
{
	turn_day(sh, a);
	if (happened)
		a->used++;
}

struct at_node *shape_warm_node(
	struct pen_shape *sh, uint32_t source, struct pen_shape_site *site, bool make, bool *none)
{
	struct provider *pr = site->profile->provider;
	const struct pen_shape_warmup *w =
		shape_find_warmup(sh->index, sh->cfg, source, pr != NULL ? pr->name : "");

	*none = w == NULL;
	if (w == NULL)
		return NULL;
	struct at_node *a =
		shape_at_get(sh, PEN_HELD_WARMUP, source, pr != NULL ? NULL : site, pr, make);
	if (a == NULL)
		return NULL;
	a->warm = w;
	if (!a->known) {
		a->known = true;
		shape_warm_restore(sh, a);
	}
	return a;
}
