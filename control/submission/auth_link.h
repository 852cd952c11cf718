// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The connection of a loop to the authentication server: made, kept and made again on the
// loop's event base. Nothing waits for it.
//
// Threads: the loop's. Requests and their rules: auth_client.h.
// Limits:  a try every AUTH_RETRY; a connection that worked is tried at the next tick.

#include "auth_client.h"
#include "pen_maillog.h"
#include "pen_submission_counters.h"

#include <event2/event.h>

#define AUTH_RETRY PEN_US_PER_S

struct auth_link {
	struct auth_client client;
	const struct pen_sasl_server *server;
	struct event_base *base;
	struct pen_maillog *maillog;
	struct pen_submission_counters *ctr;
	int fd;          // -1: none
	bool connecting; // not up yet
	bool write_on;
	bool told; // the log knows that the server is away
	pen_time_us retry;
	struct event *ev_read, *ev_write;
};

// What is pointed to must outlive the link. Connects at the first tick.
void auth_link_init(struct auth_link *l, struct event_base *base,
	const struct pen_sasl_server *server, struct pen_maillog *maillog,
	struct pen_submission_counters *ctr);
// Requests must not be under way.
void auth_link_fini(struct auth_link *l);
// Connects when that is due, and ends what takes too long. Call it every now and then.
void auth_link_tick(struct auth_link *l, pen_time_us now);
// Something was added to client.out: it is sent when the loop comes around.
void auth_link_push(struct auth_link *l);
