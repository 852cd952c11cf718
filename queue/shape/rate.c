// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rate.h"

#include <stdio.h>

#define COUNT_MAX ((uint64_t)1000000000000000) // 10^15: sums of a few stay far from 2^64
#define PERIOD_MAX (366 * 86400 * PEN_US_PER_S)

#define FORM "\"100/s\", \"1,000/h\", \"10/5min\", \"50/d, burst=5\" or \"unlimited\""

static const struct {
	const char *name;
	pen_time_us us;
} units[] = {
	{"s", PEN_US_PER_S},
	{"sec", PEN_US_PER_S},
	{"secs", PEN_US_PER_S},
	{"second", PEN_US_PER_S},
	{"seconds", PEN_US_PER_S},
	{"m", 60 * PEN_US_PER_S},
	{"min", 60 * PEN_US_PER_S},
	{"mins", 60 * PEN_US_PER_S},
	{"minute", 60 * PEN_US_PER_S},
	{"minutes", 60 * PEN_US_PER_S},
	{"h", 3600 * PEN_US_PER_S},
	{"hr", 3600 * PEN_US_PER_S},
	{"hrs", 3600 * PEN_US_PER_S},
	{"hour", 3600 * PEN_US_PER_S},
	{"hours", 3600 * PEN_US_PER_S},
	{"d", 86400 * PEN_US_PER_S},
	{"day", 86400 * PEN_US_PER_S},
	{"days", 86400 * PEN_US_PER_S},
};

struct reader {
	struct pen_span text;
	size_t at;
	const char *why;
};

static uint8_t peek(const struct reader *r)
{
	return r->at < r->text.n ? r->text.p[r->at] : '\0';
}

static void skip_space(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->at++;
}

static bool digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

// "1,000" and "1_000": a separator stands between two digits.
static bool read_count(struct reader *r, uint64_t *out)
{
	uint64_t v = 0;

	if (!digit(peek(r))) {
		r->why = "a rate begins with a number: " FORM;
		return false;
	}
	while (digit(peek(r)) || ((peek(r) == ',' || peek(r) == '_') && r->at + 1 < r->text.n &&
					 digit(r->text.p[r->at + 1]))) {
		if (digit(peek(r)))
			v = v * 10 + (peek(r) - '0');
		if (v > COUNT_MAX) {
			r->why = "the number is too large: at most 1,000,000,000,000,000";
			return false;
		}
		r->at++;
	}
	*out = v;
	return true;
}

// "10k", "10M", "1G", "1T": powers of 1000, as bytes are counted on a wire.
static bool read_multiple(struct reader *r, uint64_t *count)
{
	static const char letters[] = "kmgt";
	const char *hit = peek(r) != '\0' ? strchr(letters, peek(r) | 32) : NULL;

	if (hit == NULL)
		return true;
	for (const char *c = letters; c <= hit; c++) {
		if (*count > COUNT_MAX / 1000) {
			r->why = "the number is too large: at most 1,000T";
			return false;
		}
		*count *= 1000;
	}
	r->at++;
	return true;
}

static bool read_period(struct reader *r, pen_time_us *out)
{
	uint64_t times = 1;
	size_t begin = r->at;

	if (digit(peek(r)) && !read_count(r, &times))
		return false;
	skip_space(r);
	size_t word = r->at;
	while ((peek(r) | 32) >= 'a' && (peek(r) | 32) <= 'z')
		r->at++;
	struct pen_span name = pen_span(r->text.p + word, r->at - word);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!pen_span_ieq(name, pen_span_cstr(units[i].name)))
			continue;
		if (times == 0 || times > (uint64_t)(PERIOD_MAX / units[i].us)) {
			r->at = begin;
			r->why = "the time is from 1s to 366d";
			return false;
		}
		*out = (pen_time_us)times * units[i].us;
		return true;
	}
	r->at = word;
	r->why = "the time is a unit, s, min, h or d, or a multiple: \"5min\"";
	return false;
}

static bool read_burst(struct reader *r, struct pen_rate *out)
{
	skip_space(r);
	if (peek(r) == ',') {
		r->at++;
		skip_space(r);
		if (!pen_span_istarts(pen_span_from(r->text, r->at), PEN_SPAN_LIT("burst"))) {
			r->why = "after the comma only \"burst=NUMBER\" may follow";
			return false;
		}
		r->at += 5;
		skip_space(r);
		if (peek(r) != '=') {
			r->why = "\"burst\" needs \"=NUMBER\"";
			return false;
		}
		r->at++;
		skip_space(r);
		size_t begin = r->at;
		if (!read_count(r, &out->burst) || !read_multiple(r, &out->burst))
			return false;
		if (out->burst == 0 || out->burst > out->count) {
			r->at = begin;
			r->why = "a burst is at least 1 and at most the rate's number";
			return false;
		}
		skip_space(r);
	}
	if (r->at < r->text.n) {
		r->why = "nothing may follow the rate: " FORM;
		return false;
	}
	return true;
}

static uint64_t default_burst(uint64_t count, pen_time_us period)
{
	uint64_t n = count / (uint64_t)(period / PEN_US_PER_S);

	return n > 0 ? n : 1;
}

static bool read_rate(struct reader *r, struct pen_rate *out)
{
	skip_space(r);
	if (pen_span_ieq(pen_span_trim(pen_span_from(r->text, r->at)), PEN_SPAN_LIT("unlimited")))
		return true;
	if (!read_count(r, &out->count) || !read_multiple(r, &out->count))
		return false;
	skip_space(r);
	if (peek(r) != '/') {
		r->why = "a slash and a time follow the number: " FORM;
		return false;
	}
	r->at++;
	skip_space(r);
	if (!read_period(r, &out->period))
		return false;
	out->burst = default_burst(out->count, out->period);
	return read_burst(r, out);
}

bool pen_rate_parse(struct pen_span text, struct pen_rate *out, const char **why, size_t *at)
{
	struct reader r = {.text = text};
	struct pen_rate got = {0};

	if (!read_rate(&r, &got)) {
		*why = r.why;
		*at = r.at;
		return false;
	}
	*out = got;
	return true;
}

const char *pen_rate_str(const struct pen_rate *r, char out[PEN_RATE_STR_MAX])
{
	static const struct {
		const char *name;
		pen_time_us us;
	} write[] = {{"d", 86400 * PEN_US_PER_S}, {"h", 3600 * PEN_US_PER_S},
		{"min", 60 * PEN_US_PER_S}, {"s", PEN_US_PER_S}};
	size_t u = 0;

	if (!pen_rate_limited(r))
		return strcpy(out, "unlimited");
	while (u < 3 && r->period % write[u].us != 0)
		u++;
	int n = snprintf(out, PEN_RATE_STR_MAX, "%llu/", (unsigned long long)r->count);
	if (r->period != write[u].us)
		n += snprintf(out + n, PEN_RATE_STR_MAX - (size_t)n, "%lld",
			(long long)(r->period / write[u].us));
	n += snprintf(out + n, PEN_RATE_STR_MAX - (size_t)n, "%s", write[u].name);
	if (r->burst != default_burst(r->count, r->period))
		snprintf(out + n, PEN_RATE_STR_MAX - (size_t)n, ", burst=%llu",
			(unsigned long long)r->burst);
	return out;
}
