// SPDX-License-Identifier: BSD-3-Clause
#include "faults.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int command_of(const char *name, size_t n)
{
	static const char *const names[FAULT_COMMANDS] = {
		"CONNECT", "HELO", "EHLO", "MAIL", "RCPT", "DATA", "."};

	for (int i = 0; i < FAULT_COMMANDS; i++) {
		if (strlen(names[i]) == n && strncasecmp(names[i], name, n) == 0)
			return i;
	}
	return -1;
}

static double *percentage(struct fault_rule *r, enum fault_action what)
{
	switch (what) {
	case FAULT_SOFT:
		return &r->soft;
	case FAULT_HARD:
		return &r->hard;
	case FAULT_DROP:
		return &r->drop;
	default:
		return &r->shutdown;
	}
}

bool faults_parse_list(struct faults *f, const char *list, enum fault_action what)
{
	static const char gaps[] = ", \t";

	for (const char *p = list + strspn(list, gaps); *p != '\0'; p += strspn(p, gaps)) {
		size_t n = strcspn(p, ", \t:");
		int c = command_of(p, n);
		double percent = 100;
		if (c < 0)
			return false;
		p += n;
		if (*p == ':') {
			char *end;
			percent = strtod(p + 1, &end);
			if (end == p + 1 || !(percent >= 0 && percent <= 100))
				return false;
			p = end;
		}
		if (*p != '\0' && strchr(gaps, *p) == NULL)
			return false;
		*percentage(&f->rule[c], what) = percent;
	}
	return true;
}

bool faults_parse_delay(struct faults *f, const char *text)
{
	size_t n = strcspn(text, ":");
	int c = command_of(text, n);
	char *end;

	if (c < 0 || text[n] != ':')
		return false;
	double delay = strtod(text + n + 1, &end);
	if (end == text + n + 1 || !(delay >= 0 && delay <= 86400))
		return false;
	unsigned long odds = 0;
	if (*end == ':') {
		odds = strtoul(end + 1, &end, 10);
		if (odds < 1 || odds > 99)
			return false;
	}
	if (*end != '\0')
		return false;
	f->rule[c].delay = (pen_time_us)(delay * 1e6);
	f->rule[c].odds = (unsigned)odds;
	return true;
}

enum fault_action faults_draw(
	const struct faults *f, struct pen_rand *rand, enum fault_command c, pen_time_us *delay)
{
	const struct fault_rule *r = &f->rule[c];

	*delay = r->delay;
	if (r->odds > 0) {
		// The delay times the number of throws of a 100-sided dice until one is
		// not below `odds`.
		while (pen_rand_below(rand, 100) < r->odds)
			*delay += r->delay;
	}
	if (r->soft + r->hard + r->drop + r->shutdown == 0)
		return FAULT_NONE;
	double x = (double)(pen_rand_u64(rand) >> 11) / 9007199254740992.0 * 100;
	if ((x -= r->drop) < 0)
		return FAULT_DROP;
	if ((x -= r->shutdown) < 0)
		return FAULT_SHUTDOWN;
	if ((x -= r->hard) < 0)
		return FAULT_HARD;
	return (x -= r->soft) < 0 ? FAULT_SOFT : FAULT_NONE;
}
