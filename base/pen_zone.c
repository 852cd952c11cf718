// SPDX-License-Identifier: BSD-3-Clause
#include "pen_zone.h"

#include <errno.h>

#define HEADER 44
#define TYPE_SIZE 6
#define DAY 86400
#define OFFSET_MIN (-(25 * 3600 + 3599)) // RFC 9636 3.2
#define OFFSET_MAX (26 * 3600 - 1)

static int64_t get_be(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v = v << 8 | p[i];
	return width == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
}

static uint32_t get_count(const uint8_t *header, unsigned i)
{
	return (uint32_t)get_be(header + 20 + 4 * i, 4);
}

// Order of the counts in the header.
enum { ISUT, ISSTD, LEAP, TIME, TYPE, CHARS };

static bool is_header(struct pen_span s)
{
	return s.n >= HEADER && memcmp(s.p, "TZif", 4) == 0;
}

static uint64_t body_size(const uint8_t *h, unsigned width)
{
	return (uint64_t)get_count(h, TIME) * (width + 1u) +
	       (uint64_t)get_count(h, TYPE) * TYPE_SIZE + get_count(h, CHARS) +
	       (uint64_t)get_count(h, LEAP) * (width + 4u) + get_count(h, ISSTD) +
	       get_count(h, ISUT);
}

static int64_t time_at(const struct pen_zone *z, uint32_t i)
{
	return get_be(z->times + (size_t)i * z->width, z->width);
}

static int32_t offset_of_type(const struct pen_zone *z, uint32_t type)
{
	return (int32_t)get_be(z->types + (size_t)type * TYPE_SIZE, 4);
}

static bool table_sane(const struct pen_zone *z)
{
	for (uint32_t i = 0; i < z->ntimes; i++) {
		if (z->indexes[i] >= z->ntypes || (i > 0 && time_at(z, i) <= time_at(z, i - 1)))
			return false;
	}
	for (uint32_t i = 0; i < z->ntypes; i++) {
		int32_t offset = offset_of_type(z, i);
		if (offset < OFFSET_MIN || offset > OFFSET_MAX)
			return false;
	}
	return true;
}

static bool read_body(struct pen_zone *z, struct pen_span s, unsigned width)
{
	z->width = (uint8_t)width;
	z->ntimes = get_count(s.p, TIME);
	z->ntypes = get_count(s.p, TYPE);
	z->times = s.p + HEADER;
	z->indexes = z->times + (size_t)z->ntimes * width;
	z->types = z->indexes + z->ntimes;
	return z->ntypes > 0 && z->ntypes <= 256 && get_count(s.p, LEAP) == 0 && table_sane(z);
}

// ---- the footer: a POSIX TZ string (RFC 9636 3.3)

static bool take(struct pen_span *s, char c)
{
	if (s->n == 0 || s->p[0] != (uint8_t)c)
		return false;
	*s = pen_span_from(*s, 1);
	return true;
}

static bool take_number(struct pen_span *s, int32_t max, int32_t *out)
{
	size_t n = 0;

	*out = 0;
	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9' && n < 4)
		*out = *out * 10 + (s->p[n++] - '0');
	*s = pen_span_from(*s, n);
	return n > 0 && *out <= max;
}

static bool is_alpha(uint8_t c)
{
	return (c | 32) >= 'a' && (c | 32) <= 'z';
}

// "CET", "<+0330>"
static bool take_name(struct pen_span *s)
{
	size_t n = 0;

	if (take(s, '<')) {
		while (n < s->n && s->p[n] != '>')
			n++;
		if (n == s->n)
			return false;
		*s = pen_span_from(*s, n + 1);
		return n > 0;
	}
	while (n < s->n && is_alpha(s->p[n]))
		n++;
	*s = pen_span_from(*s, n);
	return n >= 3;
}

// "[+-]hh[:mm[:ss]]" in seconds.
static bool take_time(struct pen_span *s, int32_t hours_max, int32_t *out)
{
	int32_t h, m = 0, sec = 0;
	bool minus = take(s, '-');

	if (!minus)
		take(s, '+');
	if (!take_number(s, hours_max, &h))
		return false;
	if (take(s, ':') &&
		(!take_number(s, 59, &m) || (take(s, ':') && !take_number(s, 59, &sec))))
		return false;
	*out = h * 3600 + m * 60 + sec;
	if (minus)
		*out = -*out;
	return true;
}

// "M3.5.0/2", "J60", "59"
static bool take_change(struct pen_span *s, struct pen_zone_change *c)
{
	int32_t month, week, day;

	*c = (struct pen_zone_change){.form = 'N', .time = 2 * 3600};
	if (take(s, 'M')) {
		c->form = 'M';
		if (!take_number(s, 12, &month) || month < 1 || !take(s, '.') ||
			!take_number(s, 5, &week) || week < 1 || !take(s, '.') ||
			!take_number(s, 6, &day))
			return false;
		c->month = (uint16_t)month;
		c->week = (uint16_t)week;
	} else {
		if (take(s, 'J'))
			c->form = 'J';
		if (!take_number(s, 365, &day) || (c->form == 'J' && day < 1))
			return false;
	}
	c->day = (uint16_t)day;
	return !take(s, '/') || take_time(s, 167, &c->time);
}

static bool read_footer(struct pen_zone *z, struct pen_span s)
{
	if (s.n == 0)
		return true; // nothing is said of later times
	if (!take_name(&s) || !take_time(&s, 24, &z->std))
		return false;
	z->std = -z->std; // POSIX counts westward
	z->has_rule = true;
	if (s.n == 0)
		return true;
	z->has_dst = true;
	z->dst = z->std + 3600;
	if (!take_name(&s))
		return false;
	if (s.n > 0 && s.p[0] != ',') {
		if (!take_time(&s, 24, &z->dst))
			return false;
		z->dst = -z->dst;
	}
	return take(&s, ',') && take_change(&s, &z->to_dst) && take(&s, ',') &&
	       take_change(&s, &z->to_std) && s.n == 0;
}

int pen_zone_parse(struct pen_zone *z, struct pen_span file)
{
	*z = (struct pen_zone){.ntypes = 0};
	if (!is_header(file) || body_size(file.p, 4) > file.n - HEADER)
		return -EBADMSG;
	if (file.p[4] < '2')
		return read_body(z, file, 4) ? 0 : -EBADMSG;
	struct pen_span s = pen_span_from(file, HEADER + (size_t)body_size(file.p, 4));
	if (!is_header(s) || body_size(s.p, 8) > s.n - HEADER || !read_body(z, s, 8))
		return -EBADMSG;
	s = pen_span_from(s, HEADER + (size_t)body_size(s.p, 8));
	const uint8_t *end = s.n > 1 ? memchr(s.p + 1, '\n', s.n - 1) : NULL;
	if (end == NULL || s.p[0] != '\n')
		return -EBADMSG;
	return read_footer(z, pen_span(s.p + 1, (size_t)(end - s.p - 1))) ? 0 : -EBADMSG;
}

// ---- the calendar

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool is_leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

// Days since 1970 of 1 January.
static int64_t year_start(int64_t y)
{
	int64_t p = y - 1;

	return (y - 1970) * 365 + floor_div(p, 4) - floor_div(p, 100) + floor_div(p, 400) - 477;
}

static int64_t year_of(int64_t day)
{
	int64_t y = 1970 + floor_div(day * 400, 146097);

	while (year_start(y) > day)
		y--;
	while (year_start(y + 1) <= day)
		y++;
	return y;
}

static unsigned month_days(int64_t y, unsigned m)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[m - 1] + (m == 2 && is_leap(y));
}

static int64_t month_start(int64_t y, unsigned month)
{
	int64_t day = year_start(y);

	for (unsigned m = 1; m < month; m++)
		day += month_days(y, m);
	return day;
}

// The nth weekday of a month; the fifth is the last.
static int64_t weekday_of_month(int64_t y, const struct pen_zone_change *c)
{
	int64_t first = month_start(y, c->month);
	int64_t weekday = (first + 4) % 7; // 1970-01-01 was a Thursday
	int64_t at = (c->day - (weekday < 0 ? weekday + 7 : weekday) + 7) % 7;

	at += (c->week - 1) * 7;
	if (at >= month_days(y, c->month))
		at -= 7;
	return first + at;
}

// When it happens in this year, in seconds since 1970 by the clock before it.
static int64_t change_in(const struct pen_zone_change *c, int64_t y)
{
	int64_t day;

	if (c->form == 'M')
		day = weekday_of_month(y, c);
	else if (c->form == 'N')
		day = year_start(y) + c->day;
	else
		day = year_start(y) + c->day - 1 + (is_leap(y) && c->day >= 60);
	return day * DAY + c->time;
}

// The state after the last change that is not later than t, and the next change.
static void by_rule(const struct pen_zone *z, int64_t t, int32_t *offset, int64_t *until)
{
	int64_t last = INT64_MIN, y = year_of(floor_div(t + z->std, DAY));

	*offset = z->std;
	*until = INT64_MAX;
	for (int64_t k = y - 1; z->has_dst && k <= y + 1; k++) {
		int64_t begins = change_in(&z->to_dst, k) - z->std;
		int64_t ends = change_in(&z->to_std, k) - z->dst;
		// Summer time all year ends in the moment in which it begins: the
		// beginning wins.
		if (ends <= t && ends > last) {
			last = ends;
			*offset = z->std;
		}
		if (begins <= t && begins >= last) {
			last = begins;
			*offset = z->dst;
		}
		if (begins > t && begins < *until)
			*until = begins;
		if (ends > t && ends < *until)
			*until = ends;
	}
}

static void by_table(const struct pen_zone *z, int64_t t, int32_t *offset, int64_t *until)
{
	uint32_t lo = 0, hi = z->ntimes; // the first transition behind t

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (time_at(z, mid) <= t)
			lo = mid + 1;
		else
			hi = mid;
	}
	*until = lo < z->ntimes ? time_at(z, lo) : INT64_MAX;
	*offset = offset_of_type(z, lo > 0 ? z->indexes[lo - 1] : 0);
}

void pen_zone_at(const struct pen_zone *z, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	int64_t t = floor_div(at, PEN_US_PER_S), end;

	if (z->has_rule && (z->ntimes == 0 || t >= time_at(z, z->ntimes - 1)))
		by_rule(z, t, offset, &end);
	else
		by_table(z, t, offset, &end);
	*until = end < PEN_TIME_NEVER / PEN_US_PER_S ? end * PEN_US_PER_S : PEN_TIME_NEVER;
}

bool pen_zone_name_valid(struct pen_span name)
{
	if (name.n == 0 || name.n > PEN_ZONE_NAME_MAX || name.p[0] == '/')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		bool good = is_alpha(c) || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
			    c == '-' || c == '/';
		if (!good)
			return false;
	}
	return true;
}
