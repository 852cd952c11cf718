// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Diagnostic log: one named type per file, levels with Postfix's meaning.
//
// This is for the operator's diagnostics. Delivery lines (maillog) are written
// by control/ops. Never log message content, credentials or keys. The
// dataplane does not log while it runs: it counts.
//
// Threads: pen_log may be called from any control thread. pen_log_set_sink and
// pen_log_set_level are for start-up.

#include <stdarg.h>

enum pen_log_level {
	PEN_LOG_DEBUG,   // for developers
	PEN_LOG_INFO,    // normal events
	PEN_LOG_NOTICE,  // noteworthy: start, stop, recovery found something
	PEN_LOG_WARNING, // somebody should look; the daemon goes on
	PEN_LOG_ERROR,   // an operation failed
};

struct pen_log_type {
	const char *name; // "queue.spool"
};

// PEN_LOG_TYPE("queue.spool"); once per file, before the first use of pen_log.
#define PEN_LOG_TYPE(text) static const struct pen_log_type pen_log_this = {text}

#define pen_debug(...) pen_log(&pen_log_this, PEN_LOG_DEBUG, __VA_ARGS__)
#define pen_info(...) pen_log(&pen_log_this, PEN_LOG_INFO, __VA_ARGS__)
#define pen_notice(...) pen_log(&pen_log_this, PEN_LOG_NOTICE, __VA_ARGS__)
#define pen_warning(...) pen_log(&pen_log_this, PEN_LOG_WARNING, __VA_ARGS__)
#define pen_error(...) pen_log(&pen_log_this, PEN_LOG_ERROR, __VA_ARGS__)

void pen_log(const struct pen_log_type *type, enum pen_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

// A sink gets complete lines without a newline. The default writes to stderr.
typedef void pen_log_sink_fn(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line);
void pen_log_set_sink(pen_log_sink_fn *fn, void *ctx);
void pen_log_set_level(enum pen_log_level least);
const char *pen_log_level_name(enum pen_log_level level);
