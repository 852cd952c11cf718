// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control server: what `penstock` and other local tools talk to.
//
// A Unix stream socket. A client sends one JSON object per line and gets one
// JSON object per line, in the order of its requests, one at a time:
//
//   {"verb":"queue.list","args":{"limit":100}}
//   {"ok":true,"result":{...}}      or      {"ok":false,"error":"a sentence"}
//
// Verbs are registered by whoever owns the answer. A handler answers at once,
// or keeps the request's token and answers later from any thread.
// Long lists are answered in pages (pen_control_page), so that nobody builds
// an answer without a bound. The shapes of the results are in README.md here.
//
// Threads: one of its own (pen_control_start). Handlers run on it; they must
//          not block. pen_control_done_ok, _page and _error: any thread.
// Memory:  at most 16 clients, 64 KiB of request each, one answer of at most
//          8 MiB in flight each.
// Limits:  a request must be complete 30 s after its first byte, an idle
//          connection is closed after 300 s, an answer is due after
//          `handler_timeout` (the client then gets an error and the late
//          answer is dropped), a client must read its answer within 30 s.
// Trust:   the socket's permissions (0660) are the access control. Input is
//          treated as hostile all the same.

#include "pen_span.h"
#include "pen_time.h"

#include <jansson.h>

#define PEN_CONTROL_REQUEST_MAX 65536
#define PEN_CONTROL_CLIENTS_MAX 16
#define PEN_CONTROL_REPLY_MAX (8u << 20)
#define PEN_CONTROL_DEPTH_MAX 16
#define PEN_CONTROL_VERBS_MAX 64

struct pen_control;

struct pen_control_config {
	const char *path;            // "/run/penstock/control.sock"; at most 107 bytes
	pen_time_us handler_timeout; // 0: 30 s
};

struct pen_control_request {
	const char *verb;
	json_t *args;   // an object, never NULL; borrowed
	uint64_t token; // for an answer later
};

// Calls pen_control_done_ok or _error once with the token: before it returns, or
// later. `req` and what it points to are valid during the call only.
typedef void pen_control_fn(
	void *ctx, struct pen_control *c, const struct pen_control_request *req);

// 0, -ENOMEM, -ENAMETOOLONG.
int pen_control_new(const struct pen_control_config *cfg, struct pen_control **out);
// Before start only. The verb's text must live as long as the server. 0,
// -EEXIST, or -ENOSPC beyond PEN_CONTROL_VERBS_MAX.
int pen_control_register(struct pen_control *c, const char *verb, pen_control_fn *fn, void *ctx);
// Binds the socket and starts the thread. A socket file that nobody answers on
// is replaced; -EADDRINUSE when another daemon answers, else -errno.
int pen_control_start(struct pen_control *c);
// Ends the thread, closes the clients, removes the socket file and frees.
// Whoever answers from another thread must have stopped before.
void pen_control_free(struct pen_control *c);

// The answer to a request, exactly once. `result` is taken over and must not be
// used by the caller afterwards. A token whose client is gone is harmless.
void pen_control_done_ok(struct pen_control *c, uint64_t token, json_t *result);
// The same for a long answer (not NULL): its text is made on the server's thread. Nobody else may
// hold a reference to any part of it.
void pen_control_done_page(struct pen_control *c, uint64_t token, json_t *result);
void pen_control_done_error(struct pen_control *c, uint64_t token, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

// The page that args ask for: "limit" (1..1000, 100 when not given) and
// "cursor" (a string that an earlier answer gave as "next"; "" for the start).
struct pen_control_page {
	uint32_t limit;
	const char *cursor; // borrowed from args
};

// 0, or -EINVAL with a sentence in `err`.
int pen_control_page(json_t *args, struct pen_control_page *out, char *err, size_t cap);
