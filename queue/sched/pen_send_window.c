// SPDX-License-Identifier: BSD-3-Clause
#include "pen_send_window.h"

#define DAY_S 86400
#define DAY_MINUTES 1440
#define ALL_DAYS 0x7f
#define HORIZON (15 * DAY_S * PEN_US_PER_S)

// The wall clock around a moment.
struct local {
	int64_t second;    // since 1970 by that clock
	int64_t day;       // the same in days
	pen_wall_us until; // the offset changes
	int64_t offset;
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static struct local local_at(
	const struct pen_send_window *w, pen_wall_us at, pen_zone_fn *zone, void *ctx)
{
	struct local l = {.until = PEN_TIME_NEVER};
	int32_t offset = 0;

	if (w->zone[0] != '\0' && zone(ctx, w->zone, at, &offset, &l.until))
		l.offset = offset;
	else
		l.until = PEN_TIME_NEVER;
	l.second = floor_div(at, PEN_US_PER_S) + l.offset;
	l.day = floor_div(l.second, DAY_S);
	return l;
}

static bool opens_on(const struct pen_send_window *w, int64_t day)
{
	int64_t weekday = (day + 4) % 7; // 1970-01-01 was a Thursday

	return w->days & 1u << (weekday < 0 ? weekday + 7 : weekday);
}

// Seconds since 1970 by the clock at which the window that opens on this day does
// so, and at which it closes.
static int64_t opening(const struct pen_send_window *w, int64_t day)
{
	return day * DAY_S + w->from * 60;
}

static int64_t closing(const struct pen_send_window *w, int64_t day)
{
	int64_t to = w->to > w->from ? w->to : w->to + DAY_MINUTES;

	return day * DAY_S + to * 60;
}

// The window that holds this moment by the clock: its day, or false.
static bool holds(const struct pen_send_window *w, const struct local *l, int64_t *day)
{
	for (int64_t d = l->day; d >= l->day - 1; d--) {
		if (opens_on(w, d) && l->second >= opening(w, d) && l->second < closing(w, d)) {
			*day = d;
			return true;
		}
	}
	return false;
}

static bool always(const struct pen_send_window *w)
{
	return (w->days & ALL_DAYS) == 0;
}

pen_wall_us pen_send_window_opens(
	const struct pen_send_window *w, pen_wall_us at, pen_zone_fn *zone, void *ctx)
{
	pen_wall_us end = at < PEN_TIME_NEVER - HORIZON ? at + HORIZON : PEN_TIME_NEVER;
	int64_t day;

	if (always(w))
		return at;
	while (at < end) {
		struct local l = local_at(w, at, zone, ctx);
		if (holds(w, &l, &day))
			return at;
		day = l.day;
		while (!opens_on(w, day) || opening(w, day) <= l.second)
			day++;
		pen_wall_us next = (opening(w, day) - l.offset) * PEN_US_PER_S;
		// Behind a change of the offset the clock shows something else.
		at = next < l.until ? next : l.until;
	}
	return PEN_TIME_NEVER;
}

pen_wall_us pen_send_window_closes(
	const struct pen_send_window *w, pen_wall_us at, pen_zone_fn *zone, void *ctx)
{
	int64_t day;

	if (always(w))
		return PEN_TIME_NEVER;
	struct local l = local_at(w, at, zone, ctx);
	if (!holds(w, &l, &day))
		return at;
	pen_wall_us end = (closing(w, day) - l.offset) * PEN_US_PER_S;
	return end < l.until ? end : l.until;
}
