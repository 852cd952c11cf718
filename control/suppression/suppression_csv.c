// SPDX-License-Identifier: BSD-3-Clause
#include "suppression_csv.h"

#include <stdio.h>
#include <time.h>

enum { ADDRESS, REASON, SOURCE, SINCE, TENANT };

static const struct pen_span names[SUPPRESSION_CSV_COLUMNS] = {
	[ADDRESS] = PEN_SPAN_LIT("address"),
	[REASON] = PEN_SPAN_LIT("reason"),
	[SOURCE] = PEN_SPAN_LIT("source"),
	[SINCE] = PEN_SPAN_LIT("since"),
	[TENANT] = PEN_SPAN_LIT("tenant"),
};

#define FIELDS_MAX 16

void suppression_csv_init(struct suppression_csv *r)
{
	r->begun = false;
	for (int i = 0; i < SUPPRESSION_CSV_COLUMNS; i++)
		r->column[i] = (int8_t)i;
}

// Splits into fields, without their quotes, in r->text. Returns how many; 0: *why.
static size_t split(
	struct suppression_csv *r, struct pen_span line, struct pen_span *field, const char **why)
{
	size_t n = 0, at = 0, i = 0;

	for (bool more = true; more;) {
		size_t from = at;
		bool quoted = i < line.n && line.p[i] == '"';
		if (n == FIELDS_MAX) {
			*why = "there are too many columns";
			return 0;
		}
		for (i += quoted; i < line.n && (quoted || line.p[i] != ','); i++) {
			if (quoted && line.p[i] == '"' && (i + 1 == line.n || line.p[i + 1] != '"'))
				break;
			if (quoted && line.p[i] == '"')
				i++;
			r->text[at++] = (char)line.p[i];
		}
		if (quoted && i == line.n) {
			*why = "a quoted field has no end";
			return 0;
		}
		i += quoted;
		if (i < line.n && line.p[i] != ',') {
			*why = "text behind a quoted field";
			return 0;
		}
		more = i++ < line.n;
		field[n++] = pen_span_trim(pen_span(r->text + from, at - from));
	}
	return n;
}

static bool take_names(struct suppression_csv *r, const struct pen_span *field, size_t n)
{
	if (!pen_span_ieq(field[0], names[ADDRESS]) && n < 2)
		return false;
	int8_t column[SUPPRESSION_CSV_COLUMNS] = {-1, -1, -1, -1, -1};
	for (size_t f = 0; f < n; f++) {
		for (int i = 0; i < SUPPRESSION_CSV_COLUMNS; i++) {
			if (pen_span_ieq(field[f], names[i]))
				column[i] = (int8_t)f;
		}
	}
	if (column[ADDRESS] < 0)
		return false;
	memcpy(r->column, column, sizeof(column));
	return true;
}

bool suppression_time_parse(struct pen_span text, pen_wall_us *out)
{
	char copy[32];
	struct tm tm = {0};
	long long seconds;
	int used = 0;

	if (text.n == 0 || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end == NULL) {
		tm = (struct tm){0};
		end = strptime(copy, "%Y-%m-%d", &tm);
	}
	if (end != NULL && *end == '\0')
		seconds = timegm(&tm);
	else if (sscanf(copy, "%18lld%n", &seconds, &used) != 1 || copy[used] != '\0')
		return false;
	*out = seconds * PEN_US_PER_S;
	return seconds > 0 && seconds < 253402300800; // the year 10000
}

static struct pen_span value(
	const struct suppression_csv *r, const struct pen_span *field, size_t n, int what)
{
	int8_t c = r->column[what];

	return c >= 0 && (size_t)c < n ? field[c] : pen_span(NULL, 0);
}

enum suppression_csv_result suppression_csv_line(struct suppression_csv *r, struct pen_span line,
	struct suppression_record *out, const char **why)
{
	struct pen_span field[FIELDS_MAX];

	line = pen_span_trim(line);
	if (!r->begun && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
		line = pen_span_from(line, 3); // spreadsheets put a mark of UTF-8 there
	if (line.n == 0 || line.p[0] == '#')
		return SUPPRESSION_CSV_NOTHING;
	if (line.n > sizeof(r->text)) {
		*why = "the line is too long";
		return SUPPRESSION_CSV_BAD;
	}
	size_t n = split(r, line, field, why);
	if (n == 0)
		return SUPPRESSION_CSV_BAD;
	bool first = !r->begun;
	r->begun = true;
	if (first && take_names(r, field, n))
		return SUPPRESSION_CSV_NOTHING;
	*out = (struct suppression_record){.address = value(r, field, n, ADDRESS),
		.reason = value(r, field, n, REASON),
		.source = value(r, field, n, SOURCE),
		.tenant = value(r, field, n, TENANT)};
	struct pen_span since = value(r, field, n, SINCE);
	if (since.n > 0 && !suppression_time_parse(since, &out->since)) {
		*why = "since: accepted is 2026-11-21T10:00:00Z, 2026-11-21 or seconds since 1970";
		return SUPPRESSION_CSV_BAD;
	}
	if (out->address.n == 0) {
		*why = "there is no address";
		return SUPPRESSION_CSV_BAD;
	}
	return SUPPRESSION_CSV_RECORD;
}

void suppression_csv_put(struct pen_buf *b, struct pen_span field, bool last)
{
	bool quote = field.n > 0 &&
		     (field.p[0] == ' ' || field.p[0] == '#' || field.p[field.n - 1] == ' ');

	for (size_t i = 0; i < field.n; i++)
		quote = quote || field.p[i] == '"' || field.p[i] == ',' || field.p[i] < ' ';
	if (quote)
		pen_buf_add_cstr(b, "\"");
	for (size_t i = 0; i < field.n; i++) {
		if (field.p[i] == '"')
			pen_buf_add_cstr(b, "\"");
		// A record lies in one line.
		pen_buf_add(b,
			field.p[i] == '\n' || field.p[i] == '\r' ? (const uint8_t *)" "
								 : field.p + i,
			1);
	}
	if (quote)
		pen_buf_add_cstr(b, "\"");
	pen_buf_add_cstr(b, last ? "\n" : ",");
}
