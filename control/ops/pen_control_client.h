// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One connection of the control server: its input line, its answer, its
// deadline. Private to the server; all on the server's thread.

#include "pen_control.h"

#include <event2/event.h>

struct control_client {
	struct pen_control *owner;
	int fd; // -1: free
	unsigned slot;
	uint32_t generation; // of the request; makes tokens unique
	bool busy;           // a request waits for its answer
	bool close_after;    // once the answer is out
	bool eof;            // the client sends no more
	bool writing;        // ev_write is added
	struct event *ev_read, *ev_write;
	char *in; // PEN_CONTROL_REQUEST_MAX bytes
	size_t in_n, line_n;
	char *out; // the answer, NULL when there is none
	size_t out_n, out_sent;
	pen_time_us deadline;
};

void control_client_init(struct control_client *cl, unsigned slot);
// Takes the socket over. 0 or -ENOMEM (the socket is then still the caller's).
int control_client_open(struct control_client *cl, struct pen_control *owner,
	struct event_base *base, int fd, event_callback_fn fn, pen_time_us now);
void control_client_close(struct control_client *cl);

// Reads what is there; closes the client when it is gone.
void control_client_read(struct control_client *cl, pen_time_us now);
void control_client_write(struct control_client *cl);

// No request under way and nothing left to send.
static inline bool control_client_idle(const struct control_client *cl)
{
	return cl->fd >= 0 && !cl->busy && cl->out_n == 0 && !cl->close_after;
}

// The next complete line, without its newline; valid until line_done.
bool control_client_line(struct control_client *cl, struct pen_span *line);
void control_client_line_done(struct control_client *cl);
// Waits for a request, and what there is of it is longer than one may be.
bool control_client_overlong(const struct control_client *cl);

// A request starts: a new token, and a deadline for its answer.
void control_client_begin(struct control_client *cl, pen_time_us deadline);
uint64_t control_client_token(const struct control_client *cl);
unsigned control_token_slot(uint64_t token);
bool control_client_waits_for(const struct control_client *cl, uint64_t token);
// Takes `line` over; NULL (no memory) closes the client.
void control_client_answer(struct control_client *cl, char *line, size_t n, pen_time_us now);
