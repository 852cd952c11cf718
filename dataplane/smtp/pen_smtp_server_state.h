// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// struct pen_smtp_server, laid open so that an owner can embed it. Others read
// `out` and nothing else.

#include "pen_buf.h"
#include "pen_time.h"

struct pen_smtp_server {
	// Replies to be sent. The owner takes bytes from the front with
	// pen_smtp_server_consume (or pen_buf_consume).
	struct pen_buf out;

	const struct pen_smtp_server_config *cfg;
	const struct pen_smtp_server_callbacks *cb;
	void *ctx;
	struct pen_smtp_server_counters *ctr;
	pen_time_us deadline;
	struct pen_buf line; // the start of a command line whose end is not here yet
	uint64_t content_n;  // content bytes of this message
	uint32_t nrcpt;
	uint32_t overshoot; // recipients refused beyond the limit
	uint32_t errors;
	uint32_t junk; // commands that do not bring a message further

	uint8_t state;   // enum smtp_server_state
	uint8_t asked;   // enum smtp_server_asked: what the owner decides now
	uint8_t content; // enum smtp_content_state
	bool answered;   // the owner's answer to `asked` has come
	bool rearm;      // an answer came: the client's time starts at the next tick
	bool helo, ehlo; // greeted; with EHLO
	bool mail;       // inside a transaction
	bool utf8;       // which has SMTPUTF8
	bool refused;    // the greeting was: only QUIT is served
	bool tls;
	bool authenticated;
	bool skip_line; // a line too long is being dropped
	bool too_big;
	bool closed;
};
