// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One SMTP session of the source: what it has sent and which reply comes next.

#include "source.h"

#include <sys/uio.h>

enum session_step {
	STEP_CONNECT, // TCP
	STEP_GREETING,
	STEP_EHLO,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_DOT,
	STEP_RSET,
	STEP_QUIT,
	STEP_IDLE, // connected, waiting for its next message's time
	STEP_OFF,  // no connection
};

#define SESSION_SEGMENTS 8
#define SESSION_LINE_MAX 2048

struct session {
	int fd;
	uint8_t step;
	bool want_out; // EPOLLOUT is asked for
	bool has;      // `number` is this session's message
	bool ahead;    // MAIL..DATA of `next_number` follow the content
	bool has_next; // `next_number` is set
	bool failed;   // this transaction is lost; `code` says why
	uint16_t code; // of the worst reply of the transaction
	uint32_t rcpt_left, rcpt_ok;
	uint32_t used; // messages over this connection
	uint64_t number, next_number;
	size_t size;           // of the content under way
	pen_time_us sent_at;   // content handed over
	pen_time_us heard_at;  // last byte from the server
	pen_time_us next_at;   // next_number rests until then: it was deferred
	pen_time_us resume_at; // sleeping
	bool sleeping;
	struct session *next; // sleepers
	char *command;        // room for two batches of commands
	size_t command_n;
	struct iovec segment[SESSION_SEGMENTS];
	unsigned nsegments;
	char header[SOURCE_HEADER_MAX];
	char line[SESSION_LINE_MAX]; // the start of a reply line
	size_t line_n;
};
