// SPDX-License-Identifier: BSD-3-Clause
#include "pen_report.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 1024
#define WORD_MAX 64

__attribute__((format(printf, 5, 0))) static void report(struct pen_report *r,
	enum pen_report_level level, const char *file, unsigned line, const char *fmt, va_list ap)
{
	char text[TEXT_MAX];

	if (level == PEN_REPORT_ERROR)
		r->errors++;
	else
		r->warnings++;
	if (r->fn == NULL)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	// Values come from files: whatever they contain, an entry is one line.
	for (char *p = text; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			*p = '?';
	}
	struct pen_report_entry e = {level, file, line, text};
	r->fn(r->ctx, &e);
}

void pen_report_error(struct pen_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, PEN_REPORT_ERROR, file, line, fmt, ap);
	va_end(ap);
}

void pen_report_warning(struct pen_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(r, PEN_REPORT_WARNING, file, line, fmt, ap);
	va_end(ap);
}

char *pen_report_format(const struct pen_report_entry *e, char *out, size_t cap)
{
	const char *level = e->level == PEN_REPORT_ERROR ? "error" : "warning";

	if (e->file == NULL)
		snprintf(out, cap, "%s: %s", level, e->text);
	else if (e->line == 0)
		snprintf(out, cap, "%s: %s: %s", e->file, level, e->text);
	else
		snprintf(out, cap, "%s:%u: %s: %s", e->file, e->line, level, e->text);
	return out;
}

// Optimal string alignment distance: insert, delete, replace, swap neighbours.
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[3][WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[na % 3][nb];
}

const char *pen_closest_name(
	const char *word, const char *(*next)(void *ctx, size_t index), void *ctx)
{
	size_t n = strlen(word);
	unsigned limit = n < 3 ? 0 : n < 6 ? 1 : 2;
	const char *best = NULL;

	if (n > WORD_MAX)
		return NULL;
	for (size_t i = 0;; i++) {
		const char *name = next(ctx, i);
		if (name == NULL)
			return best;
		size_t len = strlen(name);
		if (len > WORD_MAX)
			continue;
		unsigned d = distance(word, n, name, len);
		if (d <= limit && d > 0) {
			best = name;
			limit = d - 1;
		}
	}
}
