// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Private to submission: loops, connections and the transaction of each.

#include "auth_link.h"
#include "content.h"
#include "inflow.h"
#include "pen_submission.h"

#include "pen_smtp_server.h"
#include "pen_tls.h"

#include <event2/event.h>
#include <pthread.h>

#define READ_BYTES 65536 // per loop; also what a client may send ahead
#define LISTENERS_MAX 16
#define CLOSE_GRACE (10 * PEN_US_PER_S) // for the last reply to get through

struct loop;
struct conn_tls;  // submission_tls.c
struct conn_auth; // submission_auth.c

// A recipient in conn.envelope, behind the one before: its address, then ORCPT.
struct rcpt_at {
	uint32_t end;
	uint16_t orcpt_n;
	uint8_t notify;
	bool dropped; // suppressed: it is deleted when the message is accepted
};

// One connection. It lives until its answer has come, even if the client has
// left: a token always finds the connection that it was made for, or none.
struct conn {
	struct loop *loop;
	uint32_t slot;
	uint32_t generation; // survives; changes with every message handed over
	int fd;              // -1: the slot is free
	struct pen_addr client;
	bool trusted; // in mynetworks
	bool closing; // the session is over: close once the output is sent
	bool eof;
	bool handed;  // a message is at intake; its answer will come
	bool paused;  // a message waits for in_flow_delay before it is handed over
	bool token;   // the message has an in-flow token
	bool counted; // in the per-client count
	bool read_on, write_on;
	pen_time_us until; // closing: when it is enough; paused: when the message goes on
	struct event *ev_read, *ev_write;
	struct conn_tls *tls;   // from STARTTLS on
	struct conn_auth *auth; // from AUTH on
	struct pen_smtp_server smtp;
	struct pen_buf in; // what waits behind a pending answer

	// The session, for the log.
	char helo[256];
	bool esmtp;
	struct {
		uint32_t helo, auth, auth_ok, mail, mail_ok, rcpt, rcpt_ok, data, data_ok;
	} count;

	// The transaction.
	struct pen_buf envelope; // sender, ENVID and recipients, one behind the other
	uint32_t sender_n;
	uint16_t envid_n;
	uint16_t mail_flags; // PEN_SMTP_MAIL_
	struct rcpt_at *rcpt;
	uint32_t nrcpt, rcpt_cap;
	uint32_t flags;                           // PEN_MESSAGE_, of the finished message
	struct pen_submission_class sender_class; // what the sender's address or the user says
	bool tenant_bound;                        // by the user
	const struct pen_mail_class *klass;       // of the finished message; a reference
	struct pen_message_extra extra;           // and the rest of its envelope
	uint64_t size_hint;
	struct content content;
	uint64_t id;
	char queue_id[PEN_QUEUE_ID_MAX];
	uint64_t handed_bytes; // of the budget, until the answer
	struct conn *next;     // free list
};

struct answer {
	uint64_t token;
	const char *reply;
	int err;
};

struct loop {
	struct pen_submission *sub;
	uint32_t index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	int listen_fd[LISTENERS_MAX];
	struct event *ev_listen[LISTENERS_MAX];
	int wake_fd;
	struct event *ev_wake, *ev_tick;
	pen_time_us now;
	uint8_t *input; // READ_BYTES
	uint8_t *plain; // READ_BYTES, decrypted; NULL without TLS
	struct pen_tls_ctx *tls;
	struct auth_link auth;
	bool auth_on;                    // there is a server to ask
	bool secrets;                    // what was read holds a password, perhaps
	char mechanisms[400];            // for EHLO
	struct pen_envelope_rcpt *rcpts; // recipient_limit
	struct conn **conn;              // by slot, made when first used
	uint32_t nconn;
	struct conn *free_list;
	uint32_t waiting; // messages at intake
	bool draining;
	pen_time_us drain_until;
	struct pen_submission_counters ctr;
	struct pen_smtp_server_counters smtp_ctr;

	pthread_mutex_t lock;  // for what follows
	struct answer *answer; // max_connections
	size_t nanswer;
	struct answer *spare; // the vector that the loop works on
	bool stop;
	pen_time_us grace;
};

struct client_count {
	struct pen_addr addr;
	uint32_t n;
};

struct pen_submission {
	struct pen_submission_config cfg;
	struct pen_submission_ops ops;
	void *ctx;
	struct pen_smtp_server_config smtp_cfg, smtp_verp_cfg; // the second offers XVERP
	struct pen_submission_listen *listen;
	struct pen_sasl_server auth_server;
	struct pen_cidr *mynetworks, *verp_clients;
	char *hostname, *banner, *mail_name, *myorigin;
	char *verp_filter;
	char verp_delimiters[2];
	uint16_t port[LISTENERS_MAX];
	struct content_budget budget;
	struct inflow inflow;
	uint64_t connections; // atomic
	pthread_mutex_t clients_lock;
	struct client_count *clients; // outside mynetworks
	size_t nclients, clients_cap;
	struct loop *loop;
	uint32_t nloops;
};

// submission_conn.c
void conn_accept(struct loop *l, int fd, const struct pen_addr *client);
void conn_answer(struct loop *l, const struct answer *a);
void conn_tick(struct conn *c, pen_time_us now);
void conn_shutdown(struct conn *c); // the daemon stops
void conn_free(struct conn *c);     // memory; the loop has ended
// Plaintext of the client, as far as the session takes it; the rest waits.
void conn_plain(struct conn *c, const uint8_t *p, size_t n);
// An answer was given: what the client has sent behind it is next. May close.
void conn_goes_on(struct conn *c);
// The client sends no more.
void conn_eof(struct conn *c);

// submission_tls.c

// The context of a loop, and its buffer. 0 or -errno, with a sentence in *what.
int tls_loop_init(struct loop *l, const char **what);
void tls_loop_fini(struct loop *l);
// STARTTLS was accepted; the 220 is still to be sent. False: no memory.
bool tls_begin(struct conn *c);
// Says goodbye to the client as far as that is possible without waiting.
void tls_end(struct conn *c);
void tls_free(struct conn *c);
// Bytes of the client go to TLS; false: they may not come yet, as the 220 has not
// been sent.
bool tls_takes_input(const struct conn *c);
bool tls_is_up(const struct conn *c);
// Ciphertext that was read: plaintext comes out through conn_plain. False: the
// connection has to be closed.
bool tls_input(struct conn *c, const uint8_t *p, size_t n);
// What goes to the socket next: replies, encrypted as far as there is room. NULL:
// the connection has to be closed.
struct pen_buf *tls_output(struct conn *c);
void tls_consume(struct conn *c, size_t n);
// All of the last output was sent.
void tls_sent(struct conn *c);
// The handshake takes too long: the connection has to be closed.
bool tls_late(struct conn *c, pen_time_us now);
// " (using TLSv1.3 with cipher ...)" for Received:, or nothing. Returns its length.
size_t tls_received(const struct conn *c, char *out, size_t cap);

// submission_auth.c

enum pen_smtp_verdict auth_begin(
	void *ctx, struct pen_span mechanism, const struct pen_span *initial);
enum pen_smtp_verdict auth_response(void *ctx, struct pen_span response);
void auth_cancel(void *ctx);
struct pen_span auth_mechanisms(void *ctx);
// Who has authenticated; empty: nobody.
struct pen_span auth_user(const struct conn *c);
// AUTH= of MAIL; for the log, and only of a client that has authenticated.
void auth_set_sender(struct conn *c, struct pen_span sender);
// For pen_maillog_client; NULL: nobody has authenticated.
const struct pen_maillog_sasl *auth_log(const struct conn *c, struct pen_maillog_sasl *out);
// Forgets who the client is, and ends what is under way.
void auth_free(struct conn *c);
// "(Authenticated sender: user)" for Received:, or nothing. Returns its length.
size_t auth_received(const struct conn *c, char *out, size_t cap);
// What was read and has been used is overwritten, if there was AUTH in it.
void auth_wipe(struct loop *l);

// submission_session.c: the SMTP server's decisions
extern const struct pen_smtp_server_callbacks session_callbacks;
void session_reset(struct conn *c); // drops the transaction
void session_answer(struct conn *c, int err, const char *reply);
void session_tls_up(struct conn *c);
// Refuses a recipient, or a message because of one, and logs it as Postfix does.
enum pen_smtp_verdict session_refuse_rcpt(
	struct conn *c, const char *stage, struct pen_span rcpt, const char *reply);
void session_log_end(struct conn *c);

// submission_class.c: whose mail it is, and who is suppressed

// At MAIL. False: nobody knows now.
bool class_of_sender(struct conn *c);
// At RCPT, about the last recipient that was added. False: a reply was given.
bool class_admits_rcpt(struct conn *c);
// Takes our fields out of the header and makes klass and extra. False: *verdict is
// what the server is told.
bool class_of_message(struct conn *c, enum pen_smtp_verdict *verdict);

// submission_message.c: from the finished content to intake
enum pen_smtp_verdict message_complete(struct conn *c);
// The pause for want of a token is over: hands the message over. What waits behind
// it may be fed afterwards.
void message_resume(struct conn *c);
// Gives the message's token back, if it has one.
void message_token_back(struct conn *c);
size_t message_received(struct conn *c, char *out, size_t cap);
void message_missing(struct conn *c, char *id, size_t id_cap, char *date, size_t date_cap);
enum pen_smtp_verdict message_refuse(struct conn *c, const char *stage, const char *reply);

static inline struct pen_span conn_sender(const struct conn *c)
{
	return pen_span(c->envelope.p, c->sender_n);
}

static inline struct pen_span conn_envid(const struct conn *c)
{
	return pen_span(c->envelope.p + c->sender_n, c->envid_n);
}

static inline uint32_t conn_rcpt_start(const struct conn *c, uint32_t i)
{
	return i == 0 ? c->sender_n + c->envid_n : c->rcpt[i - 1].end;
}

static inline struct pen_span conn_rcpt(const struct conn *c, uint32_t i)
{
	uint32_t from = conn_rcpt_start(c, i);

	return pen_span(c->envelope.p + from, c->rcpt[i].end - c->rcpt[i].orcpt_n - from);
}

static inline struct pen_span conn_orcpt(const struct conn *c, uint32_t i)
{
	uint32_t n = c->rcpt[i].orcpt_n;

	return pen_span(c->envelope.p + c->rcpt[i].end - n, n);
}

static inline uint64_t conn_token(const struct conn *c)
{
	return (uint64_t)c->generation << 32 | c->loop->index << 24 | c->slot;
}
