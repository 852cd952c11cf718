// SPDX-License-Identifier: BSD-3-Clause
#include "pen_log.h"

#include <stdio.h>

static void stderr_sink(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s: %s: %s\n", pen_log_level_name(level), type->name, line);
}

static pen_log_sink_fn *sink = stderr_sink;
static void *sink_ctx;
static enum pen_log_level least_level = PEN_LOG_INFO;

void pen_log_set_sink(pen_log_sink_fn *fn, void *ctx)
{
	sink = fn != NULL ? fn : stderr_sink;
	sink_ctx = ctx;
}

void pen_log_set_level(enum pen_log_level least)
{
	least_level = least;
}

const char *pen_log_level_name(enum pen_log_level level)
{
	static const char *const names[] = {"debug", "info", "notice", "warning", "error"};
	return names[level];
}

void pen_log(const struct pen_log_type *type, enum pen_log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (level < least_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	// A peer's text may be part of the line: keep it one printable line.
	for (char *c = line; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	sink(sink_ctx, type, level, line);
}
