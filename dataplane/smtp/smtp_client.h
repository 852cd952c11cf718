// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared between the files of the SMTP client; nobody else includes it.

#include "pen_smtp_client.h"

enum smtp_client_state {
	SMTP_GREETING, // waiting for the greeting
	SMTP_EHLO,     // EHLO is to be sent, or was
	SMTP_HELO,
	SMTP_STARTTLS,
	SMTP_TLS,   // the owner's handshake
	SMTP_READY, // transactions, or idle
	SMTP_QUIT,
	SMTP_ENDED,
};

enum smtp_client_cmd {
	CMD_NONE,
	CMD_EHLO,
	CMD_HELO,
	CMD_STARTTLS,
	CMD_RSET,
	CMD_MAIL,
	CMD_RCPT,
	CMD_DATA,
	CMD_QUIT,
};

// Why a session fails: decides whether a delivery whose MAIL is unanswered has
// been tried.
enum smtp_client_cause {
	CAUSE_LOST,    // closed or reset by the peer or the network
	CAUSE_TIMEOUT, // our time limit
	CAUSE_PEER,    // something the peer said
};

// "name[addr]" of the host of this session.
#define SMTP_PEER_MAX (PEN_HOST_NAME_MAX + PEN_ADDR_STR_MAX + 3)
const char *smtp_client_peer(const struct pen_smtp_client *c, char out[SMTP_PEER_MAX]);

static inline const struct pen_lease_host *smtp_client_host(const struct pen_smtp_client *c)
{
	return &c->lease->host[c->lease->host_used];
}

// Our name, as told to hosts of this family.
static inline const char *smtp_client_helo(const struct pen_smtp_client *c)
{
	const struct pen_lease *l = c->lease;

	return smtp_client_host(c)->addr.family == PEN_FAMILY_IP6 ? l->helo6 : l->helo;
}

// The stage whose reply (or whose sending) is next; NONE when idle.
enum pen_smtp_stage smtp_client_stage(const struct pen_smtp_client *c);
// True when a reply of the server is owed to us.
bool smtp_client_outstanding(const struct pen_smtp_client *c);
bool smtp_client_idle(const struct pen_smtp_client *c);

void smtp_client_enter(struct pen_smtp_client *c, enum smtp_client_state state, pen_time_us now);
// Starts the time limit of the present stage.
void smtp_client_arm(struct pen_smtp_client *c, pen_time_us now);

// Gives `why` to each recipient of d that has no result.
void smtp_client_fill(struct pen_delivery *d, const struct pen_dsn *why);
void smtp_client_done(struct pen_smtp_client *c, struct pen_delivery *d, pen_time_us now);
// Reports the present transaction and makes room for the next.
void smtp_client_txn_end(struct pen_smtp_client *c, pen_time_us now);

// The session is over: deliveries get `why`, on_end runs.
void smtp_client_fail(struct pen_smtp_client *c, const struct pen_dsn *why,
	enum smtp_client_cause cause, pen_time_us now);
// The session is over without a failure, or with that of smtp_client_quit_with.
void smtp_client_finish(struct pen_smtp_client *c, pen_time_us now);
// Says QUIT, then ends with `why`. Only between transactions.
void smtp_client_quit_with(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now);

// "host X <what>: <reply>" as a failure of the session.
void smtp_client_session_refusal(const struct pen_smtp_client *c, enum pen_smtp_stage stage,
	const char *what, struct pen_dsn *out);
// Ends the session for what the present reply says: QUIT first, unless a server
// that says 421 closes by itself.
void smtp_client_refuse(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now);

// smtp_client_tls.c: what the policy says at each step.
void smtp_client_tls_wrapper(struct pen_smtp_client *c, pen_time_us now);
// EHLO or HELO succeeded.
void smtp_client_hello_done(struct pen_smtp_client *c, pen_time_us now);
void smtp_client_starttls_reply(struct pen_smtp_client *c, pen_time_us now);
// The connection was lost or timed out: *why becomes what that means to TLS.
void smtp_client_tls_lost(struct pen_smtp_client *c, struct pen_dsn *why);

// A complete reply is in c->reply; ready_reply is its part for SMTP_READY.
void smtp_client_on_reply(struct pen_smtp_client *c, pen_time_us now);
void smtp_client_ready_reply(struct pen_smtp_client *c, pen_time_us now);
// One line of a reply to EHLO.
void smtp_client_on_ehlo_line(struct pen_smtp_client *c);
// "host X said: ... (in reply to Y command)" as an outcome.
void smtp_client_refusal(const struct pen_smtp_client *c, enum pen_dsn_scope scope,
	enum pen_smtp_stage stage, struct pen_dsn *out);
// smtp_tls_block_early_mail_reply: true if a reply has come before the first
// MAIL inside TLS, and that has ended the session.
bool smtp_client_block_early(struct pen_smtp_client *c, pen_time_us now);
// The reply is not one that fits: ends the session.
void smtp_client_protocol_error(struct pen_smtp_client *c, pen_time_us now);
// Ends the present transaction if nothing of it is outstanding.
void smtp_client_txn_check(struct pen_smtp_client *c, pen_time_us now);
