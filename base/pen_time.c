// SPDX-License-Identifier: BSD-3-Clause
#include "pen_time.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

pen_time_us pen_clock_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

pen_wall_us pen_clock_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

size_t pen_wall_rfc5322(char *out, size_t cap, pen_wall_us t)
{
	// strftime would follow the locale; RFC 5322 names are English.
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t secs = (time_t)(t / 1000000);
	struct tm tm;

	gmtime_r(&secs, &tm);
	int n = snprintf(out, cap, "%s, %d %s %d %02d:%02d:%02d +0000 (UTC)", days[tm.tm_wday],
		tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
