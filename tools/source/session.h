// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The sessions of the source and the engine that they share. Each session knows
// what it has sent and which reply comes next.

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

#define RETRY_US (100 * PEN_US_PER_MS)
#define READ_BYTES 65536

struct engine {
	const struct source_options *opt;
	struct source_messages *messages;
	struct source_stats *stats;
	struct session *session;
	struct session *sleepers;
	int epoll;
	size_t batch_max; // bytes of one MAIL..DATA
	uint64_t next;    // number of the next message that nobody has
	uint64_t end;     // behind the last one
	uint64_t settled; // messages that have an end
	uint64_t rcpt_number;
	pen_time_us now;
	pen_time_us connected_at; // when a connection last worked
	uint8_t input[READ_BYTES];
	int acked_fd;
	char acked[65536];
	size_t acked_n;
	bool hopeless;
};

// session.c: the connection and its output

void note_error(struct engine *e, const char *text, size_t n);
void session_sleep(struct engine *e, struct session *s, pen_time_us when);
// The connection is gone. What was under way is tried again, or not known.
void session_lost(struct engine *e, struct session *s, bool failure);
// Asks epoll for room to write, too.
void session_watch(struct engine *e, struct session *s, bool out);
void session_flush(struct engine *e, struct session *s);
void session_queue(struct session *s, const void *p, size_t n);
// Queues the bytes that were written to s->command from `from` on.
void session_queue_command(struct session *s, size_t from);

// transaction.c: SMTP

// The session is free: its next message, or the end.
void transaction_start(struct engine *e, struct session *s);
void transaction_input(struct engine *e, struct session *s, const char *p, size_t n);
// Writes out which messages were accepted.
void transaction_flush_acked(struct engine *e);
