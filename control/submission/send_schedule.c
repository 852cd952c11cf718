// SPDX-License-Identifier: BSD-3-Clause
#include "send_schedule.h"

#include <stdio.h>
#include <time.h>

#define ALL_DAYS 0x7f
#define DAY_MINUTES 1440

struct reader {
	struct pen_message_extra *out;
	char *why;
	bool before, after, days, hours, zone; // given
};

static bool wrong(struct reader *r, const char *what)
{
	snprintf(r->why, SEND_SCHEDULE_WHY_MAX, "%s", what);
	return false;
}

// `n` digits at the start of *s, which are taken.
static bool take_number(struct pen_span *s, size_t n, int *out)
{
	*out = 0;
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		*out = *out * 10 + (s->p[i] - '0');
	}
	*s = pen_span_from(*s, n);
	return true;
}

static bool take_byte(struct pen_span *s, char c)
{
	if (s->n == 0 || (s->p[0] | (c >= 'a' ? 0x20 : 0)) != c)
		return false;
	*s = pen_span_from(*s, 1);
	return true;
}

static bool take_clock(struct pen_span *s, int *minutes)
{
	int h, m;

	if (!take_number(s, 2, &h) || !take_byte(s, ':') || !take_number(s, 2, &m) || m > 59 ||
		h > 24 || (h == 24 && m > 0))
		return false;
	*minutes = h * 60 + m;
	return true;
}

// Seconds east of UTC.
static bool take_offset(struct pen_span *s, int *out)
{
	int minutes, sign = 1;

	*out = 0;
	if (take_byte(s, 'z'))
		return true;
	if (take_byte(s, '-'))
		sign = -1;
	else if (!take_byte(s, '+'))
		return false;
	if (!take_clock(s, &minutes) || minutes >= DAY_MINUTES)
		return false;
	*out = sign * minutes * 60;
	return true;
}

static bool real_date(const struct tm *want)
{
	struct tm tm = *want;

	// timegm repairs what is no date, such as the 30th of February.
	timegm(&tm);
	return tm.tm_mday == want->tm_mday && tm.tm_mon == want->tm_mon && want->tm_sec < 60;
}

static bool parse_time(struct pen_span s, pen_wall_us *out)
{
	struct tm tm = {0};
	int minutes, offset, fraction;

	if (!take_number(&s, 4, &tm.tm_year) || !take_byte(&s, '-') ||
		!take_number(&s, 2, &tm.tm_mon) || !take_byte(&s, '-') ||
		!take_number(&s, 2, &tm.tm_mday) || !(take_byte(&s, 't') || take_byte(&s, ' ')) ||
		!take_clock(&s, &minutes) || minutes >= DAY_MINUTES)
		return false;
	if (take_byte(&s, ':') && !take_number(&s, 2, &tm.tm_sec))
		return false;
	if (take_byte(&s, '.')) {
		if (!take_number(&s, 1, &fraction))
			return false;
		while (take_number(&s, 1, &fraction))
			;
	}
	if (!take_offset(&s, &offset) || s.n > 0 || tm.tm_year < 1970 || tm.tm_mon < 1)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	tm.tm_hour = minutes / 60;
	tm.tm_min = minutes % 60;
	if (!real_date(&tm))
		return false;
	*out = ((pen_wall_us)timegm(&tm) - offset) * PEN_US_PER_S;
	return *out > 0;
}

static int day_number(struct pen_span s)
{
	static const char names[] = "sunmontuewedthufrisat";

	for (int i = 0; i < 7; i++) {
		if (pen_span_ieq(s, pen_span(names + 3 * i, 3)))
			return i;
	}
	return -1;
}

static bool parse_days(struct pen_span s, uint8_t *out)
{
	for (bool more = true; more;) {
		ptrdiff_t comma = pen_span_find(s, ',');
		more = comma >= 0;
		struct pen_span item = pen_span_trim(more ? pen_span(s.p, (size_t)comma) : s);
		s = pen_span_from(s, more ? (size_t)comma + 1 : s.n);
		ptrdiff_t dash = pen_span_find(item, '-');
		int from = day_number(dash >= 0 ? pen_span(item.p, (size_t)dash) : item);
		int to = dash >= 0 ? day_number(pen_span_from(item, (size_t)dash + 1)) : from;
		if (from < 0 || to < 0)
			return false;
		for (int d = from;; d = (d + 1) % 7) {
			*out |= (uint8_t)(1u << d);
			if (d == to)
				break;
		}
	}
	return true;
}

static bool parse_hours(struct pen_span s, struct pen_send_window *w)
{
	int from, to;

	if (!take_clock(&s, &from) || !take_byte(&s, '-') || !take_clock(&s, &to) || s.n > 0 ||
		from >= DAY_MINUTES || from == to)
		return false;
	w->from = (uint16_t)from;
	w->to = (uint16_t)to;
	return true;
}

// A name of the time zone database, which is a path below a folder.
static bool parse_zone(struct pen_span s, struct pen_send_window *w)
{
	if (s.n == 0 || s.n >= sizeof(w->zone) || s.p[0] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool alnum = (s.p[i] >= '0' && s.p[i] <= '9') ||
			     ((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z');
		if (!alnum && strchr("_+-/", s.p[i]) == NULL)
			return false;
	}
	memcpy(w->zone, s.p, s.n);
	w->zone[s.n] = '\0';
	return true;
}

static bool take_part(struct reader *r, struct pen_span key, struct pen_span value)
{
	struct pen_message_extra *x = r->out;
	bool *given = pen_span_ieq(key, PEN_SPAN_LIT("not-before"))  ? &r->before
		      : pen_span_ieq(key, PEN_SPAN_LIT("not-after")) ? &r->after
		      : pen_span_ieq(key, PEN_SPAN_LIT("days"))      ? &r->days
		      : pen_span_ieq(key, PEN_SPAN_LIT("hours"))     ? &r->hours
		      : pen_span_ieq(key, PEN_SPAN_LIT("zone"))      ? &r->zone
								     : NULL;

	if (given == NULL)
		return wrong(r, "accepted is not-before, not-after, days, hours and zone, each "
				"with = and a value");
	if (*given)
		return wrong(r, "a part stands twice");
	*given = true;
	if (given == &r->before || given == &r->after)
		return parse_time(value, given == &r->before ? &x->not_before : &x->not_after) ||
		       wrong(r, "accepted as a time is 2026-11-22T08:00:00Z");
	if (given == &r->days)
		return parse_days(value, &x->window.days) ||
		       wrong(r, "accepted as days is mon-fri or mon,wed");
	if (given == &r->hours)
		return parse_hours(value, &x->window) ||
		       wrong(r, "accepted as hours is 09:00-17:00");
	return parse_zone(value, &x->window) ||
	       wrong(r, "accepted as zone is a name such as Europe/Berlin");
}

static bool complete(struct reader *r, pen_wall_us now)
{
	struct pen_message_extra *x = r->out;

	if (r->after && x->not_after <= now)
		return wrong(r, "not-after is over");
	if (r->after && r->before && x->not_after <= x->not_before)
		return wrong(r, "not-after has to be later than not-before");
	if (r->zone && !r->days && !r->hours)
		return wrong(r, "zone needs days or hours");
	if (r->hours && !r->days)
		x->window.days = ALL_DAYS;
	if (r->days && !r->hours)
		x->window.to = DAY_MINUTES;
	return true;
}

bool send_schedule_parse(struct pen_span text, pen_wall_us now, struct pen_message_extra *out,
	char why[SEND_SCHEDULE_WHY_MAX])
{
	struct reader r = {.out = out, .why = why};
	bool any = false;

	*out = (struct pen_message_extra){0};
	while (text.n > 0) {
		ptrdiff_t semicolon = pen_span_find(text, ';');
		size_t n = semicolon >= 0 ? (size_t)semicolon : text.n;
		struct pen_span part = pen_span_trim(pen_span(text.p, n));
		text = pen_span_from(text, n + 1);
		if (part.n == 0)
			continue;
		ptrdiff_t equals = pen_span_find(part, '=');
		size_t key = equals >= 0 ? (size_t)equals : part.n;
		if (!take_part(&r, pen_span_trim(pen_span(part.p, key)),
			    pen_span_trim(pen_span_from(part, key + 1))))
			return false;
		any = true;
	}
	return any ? complete(&r, now) : wrong(&r, "it is empty");
}
