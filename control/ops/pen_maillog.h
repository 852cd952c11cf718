// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The mail log: the lines that Postfix writes, so that its log tools
// (pflogsumm, collate, qshape habits) work on ours.
//
//   Nov 21 03:43:00 host penstock/smtp[123]: 3Zk..: to=<r@x>, relay=mx.x[1.2.3.4]:25, ...
//
// A line is formatted by the caller's thread and put into a bounded buffer; one
// writer thread puts the buffer into a file, or sends its lines to the syslog
// socket. A full buffer never makes anybody wait: the line is dropped and
// counted, and a later line of the log says how many are missing.
//
// Threads: any thread may log. open, close: start and end of the program.
// Memory:  two buffers of `buffer_bytes`; lines are cut at PEN_MAILLOG_LINE_MAX.
// Limits:  a line reaches the file at most 200 ms after it was logged.
// Output:  addresses and texts of other people are written with control bytes
//          and bytes above 126 replaced by '?', so no line can be forged.

#include "pen_addr.h"
#include "pen_dsn.h"
#include "pen_time.h"

#define PEN_MAILLOG_LINE_MAX 2048

struct pen_maillog;

struct pen_maillog_config {
	const char *path;        // NULL or "": syslog (/dev/log)
	const char *syslog_path; // NULL: /dev/log
	const char *name;        // syslog_name: "penstock"
	const char *host;        // short host name in each line
	int facility;            // syslog's number; 0 is the kernel's, so it means mail (2)
	size_t buffer_bytes;     // 0: 4 MiB
	bool raw;                // event records: lines as they are, JSON, in a file
};

struct pen_maillog_stats {
	uint64_t lines;   // taken
	uint64_t dropped; // the buffer was full, or the destination refused
};

// 0, or -errno when the file cannot be opened or the thread not started.
int pen_maillog_open(const struct pen_maillog_config *cfg, struct pen_maillog **out);
// Writes what is buffered, then closes.
void pen_maillog_close(struct pen_maillog *l);
// SIGHUP: the file is opened again by its name before the next write.
void pen_maillog_reopen(struct pen_maillog *l);
// Returns after everything logged before the call was written.
void pen_maillog_flush(struct pen_maillog *l);
struct pen_maillog_stats pen_maillog_stats(struct pen_maillog *l);

// One line of `service` ("smtp", "qmgr"). All functions accept l == NULL and
// then do nothing.
void pen_maillog_line(struct pen_maillog *l, const char *service, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

// With `raw`: one record of any length, without a line end.
void pen_maillog_record(struct pen_maillog *l, const char *text, size_t n);

enum pen_maillog_status {
	PEN_MAILLOG_SENT,
	PEN_MAILLOG_DEFERRED,
	PEN_MAILLOG_BOUNCED,
};

// The end of one attempt for one recipient.
struct pen_maillog_delivery {
	const char *queue_id;
	struct pen_span rcpt;
	const char *relay_host; // NULL: relay=none
	struct pen_addr relay_addr;
	uint16_t relay_port;
	uint32_t conn_use; // from 2 on it is written
	// delays=a/b/c/d, microseconds; `delay` is their sum.
	pen_time_us before_queue; // arrival to the queue manager
	pen_time_us in_queue;     // in the queue
	pen_time_us connect;      // DNS, TCP, HELO, TLS
	pen_time_us transmit;
	const char *tls; // "may", "may:none"..., NULL: no field
	enum pen_maillog_status status;
	const struct pen_dsn *dsn;
	// The class of a failure, written last so that readers of Postfix's lines find all
	// else where it was. NULL: no field.
	const char *klass;
};

void pen_maillog_delivery(struct pen_maillog *l, const struct pen_maillog_delivery *d);

void pen_maillog_connect(struct pen_maillog *l, const struct pen_addr *client);
// `counts` is "ehlo=1 mail=1 ... commands=4".
void pen_maillog_disconnect(
	struct pen_maillog *l, const struct pen_addr *client, const char *counts);

// Who authenticated, and AUTH= of MAIL, which may be empty.
struct pen_maillog_sasl {
	struct pen_span method, user, sender;
};

// QUEUEID: client=unknown[ip], with `sasl` (may be NULL) also ", sasl_method=PLAIN,
// sasl_username=user".
void pen_maillog_client(struct pen_maillog *l, const char *queue_id, const struct pen_addr *client,
	const struct pen_maillog_sasl *sasl);

struct pen_maillog_reject {
	const char *queue_id; // NULL: NOQUEUE
	const char *stage;    // "RCPT", "END-OF-MESSAGE"
	struct pen_addr client;
	const char *reply;      // "554 5.7.1 <r@x>: Relay access denied"
	struct pen_span sender; // shown when has_sender
	struct pen_span rcpt;   // shown when not empty
	struct pen_span helo;   // shown when not empty
	bool has_sender;
	bool esmtp;
};

void pen_maillog_reject(struct pen_maillog *l, const struct pen_maillog_reject *r);
// cleanup: message-id=<...>; the id comes with its brackets, empty: none.
void pen_maillog_message_id(struct pen_maillog *l, const char *queue_id, struct pen_span id);
// qmgr: from=<a>, size=123, nrcpt=1 (queue active)
void pen_maillog_active(struct pen_maillog *l, const char *queue_id, struct pen_span sender,
	uint64_t size, uint32_t nrcpt);
void pen_maillog_removed(struct pen_maillog *l, const char *queue_id);
// qmgr: from=<a>, status=expired, returned to sender
void pen_maillog_expired(struct pen_maillog *l, const char *queue_id, struct pen_span sender);
// bounce: sender non-delivery notification: NEWID
void pen_maillog_bounce_notice(struct pen_maillog *l, const char *queue_id, const char *dsn_id);
