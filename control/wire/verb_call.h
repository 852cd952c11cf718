// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A control request on its way to the queue thread, and its work there in pieces.
//
// A verb's `run` is called on the queue thread until it has answered. One call
// must be short: it does a piece, sets `again`, and is called once more after
// what else the thread has to do.
//
// Threads: made on the control thread; afterwards the queue thread's.
// Memory:  one allocation and the verb's own state (`state`, freed with free_state).

#include "pen_gateway.h"

#include "pen_sched_select.h"
#include "selector_args.h"

struct verb_call;
typedef void verb_run_fn(struct verb_call *v);

struct verb_call {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	struct pen_control *control;
	verb_run_fn *run;
	uint64_t token;
	bool again;          // set by run: not answered yet
	pen_time_us started; // monotonic; when run was called first
	json_t *args;        // a copy of the request's, owned
	struct selector_args which;
	uint64_t id, after, before; // of messages
	uint32_t limit;
	void *state;
	void (*free_state)(void *state);
};

// How much of a queue one piece looks at, and how long a request may go on before
// it answers with where to continue.
#define VERB_PIECE 2048
#define VERB_TURN (PEN_US_PER_S / 2)

// NULL when it was refused (no memory) and answered.
struct verb_call *verb_new(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run);
void verb_post(struct verb_call *v);
// Instead of verb_post: answers and frees.
void verb_refuse(struct verb_call *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// With args.id in v->id; `needed`: without one the request is refused. NULL: it was refused.
struct verb_call *verb_with_id(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run, bool needed);
void verb_post_with_id(struct pen_gateway *g, struct pen_control *c,
	const struct pen_control_request *req, verb_run_fn *run, bool needed);

// From run, once, without `again`.
void verb_answer(struct verb_call *v, json_t *result);
// The same for a long answer, of which nothing is shared: the control thread writes its text.
void verb_answer_page(struct verb_call *v, json_t *result);
void verb_error(struct verb_call *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void verb_missing(struct verb_call *v); // the message v->id
// True when this request has used its turn.
bool verb_late(const struct verb_call *v);

// args[key] as text, NULL when it is missing or none.
const char *verb_text(const struct verb_call *v, const char *key);

struct verb_row {
	const char *verb;
	pen_control_fn *fn;
};
int verb_register(struct pen_gateway *g, const struct verb_row *rows, size_t n); // 0 or -errno

// The registrations of each file; 0 or -errno.
int queue_verbs_register(struct pen_gateway *g);
int queue_apply_register(struct pen_gateway *g);
int site_verbs_register(struct pen_gateway *g);
int suspend_verbs_register(struct pen_gateway *g);
int shape_verbs_register(struct pen_gateway *g);
int status_verbs_register(struct pen_gateway *g);

// json_text.c
// Addresses come from clients and need not be UTF-8.
json_t *bytes_json(struct pen_span s);
json_t *limits_json(const struct pen_limits *l);         // limits_json.c
json_t *suspension_json(const struct pen_suspension *s); // suspend_verbs.c
// queue_json.c: a message with its recipients from index `from` on, as many as *room bytes hold
// (at least one); *room gets smaller. `all`: also recipients that have their fate. When it was not
// all of them "more_recipients" is the index to go on with.
json_t *message_json(struct pen_sched *s, const struct pen_sched_view *view, bool all,
	uint32_t from, size_t *room);
#define MESSAGE_ROOM (4u << 20) // of an answer; see PEN_CONTROL_REPLY_MAX
