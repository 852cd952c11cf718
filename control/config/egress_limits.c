// SPDX-License-Identifier: BSD-3-Clause

// What limits and times look like in egress.conf.

#include "egress_priv.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

const struct egress_key egress_flow_keys[] = {EGRESS_FLOW_LIMITS(0), {0}};
const struct egress_key egress_all_keys[] = {EGRESS_ALL_LIMITS(0), {0}};

// ---- durations

static int64_t unit_seconds(struct pen_span unit)
{
	static const struct {
		const char *name;
		int64_t seconds;
	} units[] = {{"s", 1}, {"sec", 1}, {"second", 1}, {"m", 60}, {"min", 60}, {"minute", 60},
		{"h", 3600}, {"hr", 3600}, {"hour", 3600}, {"d", 86400}, {"day", 86400},
		{"w", 604800}, {"week", 604800}};

	if (unit.n > 2 && (unit.p[unit.n - 1] | 0x20) == 's')
		unit.n--;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (pen_span_ieq(unit, pen_span_cstr(units[i].name)))
			return units[i].seconds;
	}
	return 0;
}

// One "90s" of a duration, which it takes off *text.
static bool duration_part(struct pen_span *text, int64_t *seconds)
{
	size_t digits = 0, letters = 0;
	int64_t v = 0;

	for (; digits < text->n && isdigit(text->p[digits]); digits++) {
		v = v * 10 + (text->p[digits] - '0');
		if (v > INT32_MAX)
			return false;
	}
	struct pen_span unit = pen_span_trim(pen_span_from(*text, digits));
	while (letters < unit.n && isalpha(unit.p[letters]))
		letters++;
	int64_t by = unit_seconds(pen_span(unit.p, letters));
	if (digits == 0 || by == 0)
		return false;
	*seconds += v * by;
	*text = pen_span_trim(pen_span_from(unit, letters));
	return true;
}

static bool duration(const char *text, int64_t *seconds, size_t *at)
{
	struct pen_span rest = pen_span_trim(pen_span_cstr(text));

	*seconds = 0;
	do {
		*at = (size_t)((const char *)rest.p - text);
		if (!duration_part(&rest, seconds))
			return false;
	} while (rest.n > 0);
	return true;
}

static const char *seconds_text(uint64_t s, char out[32])
{
	if (s > 0 && s % 86400 == 0)
		snprintf(out, 32, "%" PRIu64 "d", s / 86400);
	else if (s > 0 && s % 3600 == 0)
		snprintf(out, 32, "%" PRIu64 "h", s / 3600);
	else
		snprintf(out, 32, "%" PRIu64 "s", s);
	return out;
}

void egress_read_duration(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	char accepted[128], lo[32], hi[32];
	int64_t seconds;
	size_t at = 0;

	snprintf(accepted, sizeof(accepted), "a time from %s to %s, such as 90s, 5min, 1h30m or 2d",
		seconds_text(k->min, lo), seconds_text(k->max, hi));
	if (n->text == NULL)
		egress_refuse(rd, n, accepted);
	else if (!duration(n->text, &seconds, &at))
		pen_report_error(rd->report, rd->file, n->line,
			"%s = %.120s: at position %zu: accepted is %s",
			n->key != NULL ? n->key : "value", n->text, at + 1, accepted);
	else if (seconds < (int64_t)k->min || seconds > (int64_t)k->max)
		egress_refuse(rd, n, accepted);
	else
		*(pen_time_us *)out = seconds * PEN_US_PER_S;
}

// ---- rates

bool egress_rate(struct egress_reader *rd, const struct pen_ucl_node *n, struct pen_rate *out)
{
	const char *why = "";
	size_t at = 0;

	if (n->text == NULL) {
		egress_refuse(rd, n, "a number per time, such as \"100/s\" or \"1,000/h\"");
		return false;
	}
	if (pen_rate_parse(pen_span_cstr(n->text), out, &why, &at))
		return true;
	pen_report_error(rd->report, rd->file, n->line, "%s = %.120s: at position %zu: %s",
		n->key != NULL ? n->key : "value", n->text, at + 1, why);
	return false;
}

// ---- limits

static void read_rate(struct egress_reader *rd, const struct pen_ucl_node *n, struct pen_rate *out)
{
	struct pen_rate rate;

	if (!egress_rate(rd, n, &rate))
		return;
	if (pen_rate_limited(&rate) && rate.count == 0)
		pen_report_error(rd->report, rd->file, n->line,
			"%s = %.120s: nothing would ever pass: accepted is 1 or more per time; to "
			"stop "
			"sending, use penstock suspend",
			n->key, n->text);
	else
		*out = rate;
}

static void read_count(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, uint32_t *out)
{
	const struct egress_key from_one = {.name = k->name, .min = 1, .max = k->max};

	egress_read_u32(rd, &from_one, n, out);
}

void egress_read_limit(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	static const struct egress_key age = {.min = 1, .max = 86400};
	struct pen_limits *l = out;

	l->given |= (uint32_t)k->min;
	switch (k->min) {
	case PEN_LIMIT_CONNECTIONS:
		read_count(rd, k, n, &l->connections);
		break;
	case PEN_LIMIT_CONNECTION_RATE:
		read_rate(rd, n, &l->connection_rate);
		break;
	case PEN_LIMIT_MESSAGE_RATE:
		read_rate(rd, n, &l->message_rate);
		break;
	case PEN_LIMIT_BYTE_RATE:
		read_rate(rd, n, &l->byte_rate);
		break;
	case PEN_LIMIT_CONNECTION_MESSAGES:
		read_count(rd, k, n, &l->connection_messages);
		break;
	case PEN_LIMIT_RECIPIENTS:
		read_count(rd, k, n, &l->recipients);
		break;
	case PEN_LIMIT_CONNECTION_TIME:
		egress_read_duration(rd, &age, n, &l->connection_time);
		break;
	}
}

void egress_read_block(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	char within[160], accepted[64];

	if (n->type != PEN_UCL_OBJECT) {
		snprintf(accepted, sizeof(accepted), "%s { ... }", k->name);
		egress_refuse(rd, n, accepted);
		return;
	}
	snprintf(within, sizeof(within), " in %s%s%s", k->name, rd->within[0] != '\0' ? " of" : "",
		rd->within[0] != '\0' ? rd->within + 3 : "");
	egress_read_keys(rd, k->sub, n, out, NULL, within);
}

// ---- retry

static void read_steps(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	static const struct egress_key step = {.min = 1, .max = 604800};
	struct pen_retry_schedule *retry = out;

	(void)k;
	if (n->type != PEN_UCL_ARRAY || n->child == NULL) {
		egress_refuse(rd, n, "an array of times: [\"5min\", \"15min\", \"1h\"]");
		return;
	}
	retry->nsteps = 0;
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (retry->nsteps == PEN_RETRY_STEPS_MAX) {
			pen_report_error(rd->report, rd->file, c->line,
				"steps: accepted are at most %d", PEN_RETRY_STEPS_MAX);
			return;
		}
		egress_read_duration(rd, &step, c, &retry->step[retry->nsteps++]);
	}
}

static void read_lifetime(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_retry_schedule *retry = out;

	egress_read_duration(rd, k, n, &retry->lifetime);
	retry->lifetime_line = n->line;
}

#define RETRY(f) offsetof(struct pen_retry_schedule, f)
static const struct egress_key retry_keys[] = {
	{"steps", read_steps, 0, 0, 0, NULL},
	{"jitter", egress_read_u8, RETRY(jitter), 0, 50, NULL},
	{"lifetime", read_lifetime, 0, 60, 31536000, NULL},
	{"greylisted", egress_read_duration, RETRY(greylisted), 1, 86400, NULL},
	{0},
};

void egress_read_retry(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_shape_section *section = out;
	const struct egress_key block = {.name = k->name, .sub = retry_keys};

	section->has_retry = true;
	section->retry = (struct pen_retry_schedule){.jitter = 10};
	egress_read_block(rd, &block, n, &section->retry);
}
