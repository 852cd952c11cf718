// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: a report that keeps its lines, so that a test compares them all.

#include "pen_buf.h"
#include "pen_report.h"

struct report_lines {
	struct pen_buf text;
	struct pen_report report;
};

static inline void report_lines_add(void *ctx, const struct pen_report_entry *entry)
{
	struct report_lines *l = ctx;
	char line[2048];

	pen_buf_addf(&l->text, "%s\n", pen_report_format(entry, line, sizeof(line)));
}

static inline void report_lines_init(struct report_lines *l)
{
	*l = (struct report_lines){.text = PEN_BUF_INIT};
	l->report = (struct pen_report){.fn = report_lines_add, .ctx = l};
}

// What was reported so far, one entry a line.
static inline const char *report_lines_text(struct report_lines *l)
{
	pen_buf_add(&l->text, "", 1);
	l->text.n--;
	return (const char *)l->text.p;
}

static inline void report_lines_fini(struct report_lines *l)
{
	pen_buf_fini(&l->text);
}
