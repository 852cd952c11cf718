// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Submission over loopback sockets in one process, for tests. The queue is played
// by the test: it collects what intake gives and answers when it likes.

#include "pen_submission.h"
#include "pen_test.h"

#include <pthread.h>

#define KEPT_MAX 64

struct fixture {
	struct pen_submission *s;
	uint16_t port;
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct pen_message *kept[KEPT_MAX];
	uint64_t token[KEPT_MAX];
	unsigned nkept;
	bool at_once; // intake answers itself
	int intake_err, admission_err;
	uint64_t id;
	enum pen_submission_action action;
	const char *text, *headers;
	// "tenant address" of what is suppressed ("- address": for all), and what senders
	// are of which tenant: "address tenant/campaign"; NULL at the end of each.
	const char *const *suppressed, *const *senders;
	const char *const *users; // as senders, by user
	char user[256];           // of the last message
	char dropped[400];        // "address (why)|..."
};

extern const struct pen_submission_ops rig_ops;

// `change` may alter the configuration; NULL: as it is.
void start(struct fixture *f, void (*change)(struct pen_submission_config *));
void stop(struct fixture *f);

// A client.
int dial(const struct fixture *f);
void say(int fd, const char *text);
// Reads one reply (all its lines) and compares the beginning of its last line;
// "" is the end of the connection.
void hear(int fd, const char *want);
void ask(int fd, const char *question, const char *want);
// Connects and says EHLO.
int greet(const struct fixture *f);

#define ENVELOPE "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"

void envelope(int fd);
// Waits until intake was given n messages.
void wait_kept(struct fixture *f, unsigned n);
bool contains(const struct pen_message *m, const char *text);
