// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The client's side of Dovecot's authentication protocol on one connection, as a pure core:
// bytes in, bytes out, and the time. Many requests are under way at once.
//
// Threads: owned by one thread. A request's callback runs inside feed, lost and tick; it
//          may begin, continue and cancel requests, also its own.
// Memory:  lines of the server up to AUTH_LINE_MAX, what waits to be sent up to
//          AUTH_OUT_MAX. Responses of clients are in `out` until they are sent and are
//          overwritten then.
// Limits:  the handshake and each answer have AUTH_TIME.
// Follows: Dovecot's protocol 1.0 to 1.4: VERSION, CPID, MECH, DONE, AUTH, CONT, CANCEL.

#include "auth_line.h"

#include "pen_buf.h"
#include "pen_sasl.h"
#include "pen_time.h"

#define AUTH_OUT_MAX (1u << 20)
#define AUTH_MECHANISMS 32
// Dovecot delays its refusals, the more often a client fails: up to 17 seconds.
#define AUTH_TIME (30 * PEN_US_PER_S)
#define AUTH_BUCKETS 256

enum auth_verdict {
	AUTH_CHALLENGE,   // continue or cancel is next
	AUTH_GRANTED,     // user
	AUTH_DENIED,      // reason, and user, as far as the server says them
	AUTH_UNAVAILABLE, // reason: nobody can tell now
};

struct auth_answer {
	enum auth_verdict verdict;
	struct pen_span challenge; // base64
	const char *user, *reason; // "" when not known
};

// Part of its owner's memory, which must stay until the answer that ends it or a cancel.
// All zero: not under way.
struct auth_request {
	// What `a` points to is gone when it returns; so may be the request.
	void (*answer)(struct auth_request *r, const struct auth_answer *a);
	uint32_t id; // 0: not under way
	bool asked;  // the server is to speak; otherwise the client
	pen_time_us until;
	struct auth_request *next;
};

struct auth_mechanism {
	char name[AUTH_MECHANISM_MAX + 1];
	uint32_t traits;
};

struct auth_client {
	struct pen_buf out; // to be sent; take it off with auth_client_sent
	enum { AUTH_DOWN, AUTH_SHAKES, AUTH_READY } state;
	bool version;      // of this connection was seen
	pen_time_us until; // of the handshake
	struct pen_buf line;
	uint32_t last_id;
	struct auth_request *bucket[AUTH_BUCKETS];
	// What the last handshake said: it is offered while the server is away, too, so that
	// clients come back instead of giving up.
	struct auth_mechanism mechanism[AUTH_MECHANISMS], fresh[AUTH_MECHANISMS];
	uint32_t nmechanisms, nfresh;
};

// What the server is told about a client.
struct auth_start {
	struct pen_span mechanism;       // one that auth_client_offers
	const struct pen_span *response; // base64; NULL: none
	struct pen_addr client, server;
	uint16_t client_port, server_port;
	bool secured; // inside TLS
};

void auth_client_init(struct auth_client *c);
// Frees; requests must not be under way.
void auth_client_fini(struct auth_client *c);

// A connection was made: the handshake begins. `pid` must differ from those of other
// connections to the same server.
void auth_client_connected(struct auth_client *c, uint32_t pid, pen_time_us now);
// Bytes of the server. NULL, or why the connection has to be closed.
const char *auth_client_feed(struct auth_client *c, const uint8_t *p, size_t n);
void auth_client_sent(struct auth_client *c, size_t n);
// The connection is gone; whoever waits for an answer is told so.
void auth_client_lost(struct auth_client *c);
// NULL, or why the connection has to be closed. Answers that take too long are given up
// one by one.
const char *auth_client_tick(struct auth_client *c, pen_time_us now);

bool auth_client_offers(
	const struct auth_client *c, struct pen_sasl_options o, struct pen_span mechanism);
// "PLAIN LOGIN"; returns the length.
size_t auth_client_list(
	const struct auth_client *c, struct pen_sasl_options o, char *out, size_t cap);

// False: the server is not there, or does not read; the request is not under way then.
bool auth_client_begin(
	struct auth_client *c, struct auth_request *r, const struct auth_start *s, pen_time_us now);
bool auth_client_continue(
	struct auth_client *c, struct auth_request *r, struct pen_span response, pen_time_us now);
// Forgets a request, if it is under way.
void auth_client_cancel(struct auth_client *c, struct auth_request *r);
