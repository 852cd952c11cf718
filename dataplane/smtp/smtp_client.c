// SPDX-License-Identifier: BSD-3-Clause

// The session of the SMTP client: its beginning, its time limits and its ends.

#include "smtp_client.h"

#include "pen_err.h"

#include <stdio.h>

// A failed session still says QUIT, as RFC 5321 4.1.1.10 wants; its next host
// shall not wait for the answer for long.
#define FAILED_QUIT_MAX (10 * PEN_US_PER_S)

PEN_COUNTERS_DEFINE(pen_smtp_client, PEN_SMTP_CLIENT_COUNTERS);

void pen_smtp_client_init(struct pen_smtp_client *c, struct pen_lease *lease, bool plain,
	const struct pen_smtp_client_callbacks *cb, void *ctx, struct pen_smtp_client_counters *ctr,
	pen_time_us now)
{
	memset(c, 0, offsetof(struct pen_smtp_client, out));
	pen_reply_init(&c->reply);
	c->lease = lease;
	c->plain = plain;
	c->cb = cb;
	c->ctx = ctx;
	c->ctr = ctr;
	c->begun_at = now;
	lease->ready = lease->tls = lease->starttls_offered = false;
	lease->requiretls = lease->headers_only = lease->dsn = false;
	lease->tls_peer = (struct pen_tls_peer){0};
	lease->tls_bits = 0;
	lease->tls_protocol[0] = lease->tls_cipher[0] = '\0';
	lease->size_limit = 0;
	PEN_COUNT(ctr->sessions);
	smtp_client_enter(c, SMTP_GREETING, now);
	if (smtp_client_host(c)->tls->wrapper)
		smtp_client_tls_wrapper(c, now);
}

const char *smtp_client_peer(const struct pen_smtp_client *c, char out[SMTP_PEER_MAX])
{
	const struct pen_lease_host *h = smtp_client_host(c);
	char addr[PEN_ADDR_STR_MAX];

	snprintf(out, SMTP_PEER_MAX, "%s[%s]", h->name,
		h->addr.family != PEN_FAMILY_NONE ? pen_addr_str(&h->addr, addr) : "unknown");
	return out;
}

bool smtp_client_idle(const struct pen_smtp_client *c)
{
	return !c->old_active && !c->rset_wait && !c->cur.active;
}

static enum pen_smtp_stage txn_stage(const struct pen_smtp_client *c)
{
	const struct pen_smtp_client_txn *t = &c->cur;

	if (c->old_active)
		return PEN_STAGE_DOT;
	if (c->rset_wait)
		return PEN_STAGE_RSET;
	if (!t->active)
		return PEN_STAGE_NONE;
	if (!t->mail_answered)
		return PEN_STAGE_MAIL;
	if (t->content)
		return PEN_STAGE_BODY;
	if (t->rcpt_answered < t->rcpt_sent)
		return PEN_STAGE_RCPT;
	if (t->mail_ok && !t->data_sent && t->rcpt_sent < t->d->nrcpt)
		return PEN_STAGE_RCPT;
	return PEN_STAGE_DATA;
}

enum pen_smtp_stage smtp_client_stage(const struct pen_smtp_client *c)
{
	static const uint8_t stages[] = {
		[SMTP_GREETING] = PEN_STAGE_GREETING,
		[SMTP_EHLO] = PEN_STAGE_EHLO,
		[SMTP_HELO] = PEN_STAGE_HELO,
		[SMTP_STARTTLS] = PEN_STAGE_STARTTLS,
		[SMTP_TLS] = PEN_STAGE_TLS,
		[SMTP_QUIT] = PEN_STAGE_QUIT,
		[SMTP_ENDED] = PEN_STAGE_NONE,
	};
	return c->state == SMTP_READY ? txn_stage(c) : stages[c->state];
}

bool smtp_client_outstanding(const struct pen_smtp_client *c)
{
	const struct pen_smtp_client_txn *t = &c->cur;

	switch (c->state) {
	case SMTP_GREETING:
		return true;
	case SMTP_READY:
		return c->old_active || c->rset_wait || (t->mail_sent && !t->mail_answered) ||
		       t->rcpt_answered < t->rcpt_sent || (t->data_sent && !t->data_answered);
	default:
		return c->cmd_sent;
	}
}

static pen_time_us stage_limit(const struct pen_smtp_client *c, enum pen_smtp_stage stage)
{
	const struct pen_smtp_timeouts *t = &c->lease->timeouts;

	switch (stage) {
	case PEN_STAGE_STARTTLS:
	case PEN_STAGE_TLS:
		return t->starttls;
	case PEN_STAGE_MAIL:
		return t->mail;
	case PEN_STAGE_RCPT:
		return t->rcpt;
	case PEN_STAGE_DATA:
		return t->data_init;
	case PEN_STAGE_BODY:
		return t->data_xfer;
	case PEN_STAGE_DOT:
		return t->data_done;
	case PEN_STAGE_RSET:
		return t->rset;
	case PEN_STAGE_QUIT:
		return c->result_set ? pen_time_min(t->quit, FAILED_QUIT_MAX) : t->quit;
	case PEN_STAGE_NONE:
		return t->idle;
	default:
		return t->helo;
	}
}

void smtp_client_arm(struct pen_smtp_client *c, pen_time_us now)
{
	if (c->state == SMTP_ENDED)
		return;
	enum pen_smtp_stage stage = smtp_client_stage(c);
	c->armed_stage = (uint8_t)stage;
	c->deadline = now + stage_limit(c, stage);
}

void smtp_client_enter(struct pen_smtp_client *c, enum smtp_client_state state, pen_time_us now)
{
	c->state = (uint8_t)state;
	c->cmd_sent = false;
	smtp_client_arm(c, now);
}

void smtp_client_fill(struct pen_delivery *d, const struct pen_dsn *why)
{
	// Most of a dsn is unused text: copy what is there.
	size_t n = offsetof(struct pen_dsn, text) + why->text_len + 1u;

	for (uint32_t i = 0; i < d->nrcpt; i++) {
		if (d->rcpt[i].result.klass == 0)
			memcpy(&d->rcpt[i].result, why, n);
	}
}

void smtp_client_done(struct pen_smtp_client *c, struct pen_delivery *d, pen_time_us now)
{
	d->done_at = now;
	if (c->lease->hold_dots && d->dot != PEN_DOT_NOT_SENT)
		c->unstored++;
	c->cb->on_delivery_done(c->ctx, d, now);
}

void smtp_client_txn_end(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_delivery *d = c->cur.d;

	memset(&c->cur, 0, sizeof(c->cur));
	if (d != NULL)
		smtp_client_done(c, d, now);
}

static void session_end(struct pen_smtp_client *c, pen_time_us now)
{
	c->state = SMTP_ENDED;
	c->deadline = PEN_TIME_NEVER;
	if (c->lease->result.klass == 2)
		PEN_COUNT(c->ctr->sessions_clean);
	else
		PEN_COUNT(c->ctr->sessions_failed);
	c->cb->on_end(c->ctx, &c->lease->result, now);
}

// Whether the delivery in c->cur, with MAIL unanswered, counts as tried. If
// this session's first MAIL ends it, the peer has to answer for that; a later
// one may only have met a connection that was closed in the meantime, and every
// such session has brought a delivery further: no endless retry.
static bool mail_was_tried(const struct pen_smtp_client *c, enum smtp_client_cause cause)
{
	if (c->cur.mail_answered)
		return true;
	if (!c->cur.mail_sent || c->old_active || c->rset_wait)
		return false;
	return cause != CAUSE_LOST || c->cur.d->conn_use <= 1;
}

void smtp_client_fail(struct pen_smtp_client *c, const struct pen_dsn *why,
	enum smtp_client_cause cause, pen_time_us now)
{
	if (c->state == SMTP_ENDED)
		return;
	struct pen_delivery *old = c->old, *cur = c->cur.d;
	bool tried = cur != NULL && mail_was_tried(c, cause);

	if (why != &c->lease->result)
		c->lease->result = *why;
	c->result_set = true;
	// No callback may find a half-ended session.
	c->state = SMTP_ENDED;
	c->old = NULL;
	c->old_active = false;
	memset(&c->cur, 0, sizeof(c->cur));
	if (old != NULL) {
		smtp_client_fill(old, &c->lease->result);
		smtp_client_done(c, old, now);
	}
	if (cur != NULL) {
		if (tried) {
			smtp_client_fill(cur, &c->lease->result);
		} else {
			cur->attempted = false;
			PEN_COUNT(c->ctr->unattempted);
		}
		smtp_client_done(c, cur, now);
	}
	session_end(c, now);
}

void smtp_client_finish(struct pen_smtp_client *c, pen_time_us now)
{
	PEN_ASSERT(smtp_client_idle(c));
	if (!c->result_set)
		pen_dsn_set(&c->lease->result, 2, 0, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			smtp_client_stage(c), "session ended");
	session_end(c, now);
}

void smtp_client_quit_with(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now)
{
	c->lease->result = *why;
	c->result_set = true;
	smtp_client_enter(c, SMTP_QUIT, now);
}

// What we were doing, in the words of the mail log.
static const char *activity(const struct pen_smtp_client *c)
{
	static const char *const doing[PEN_STAGE_COUNT] = {
		[PEN_STAGE_NONE] = "waiting for a delivery",
		[PEN_STAGE_GREETING] = "receiving the initial server greeting",
		[PEN_STAGE_EHLO] = "performing the EHLO handshake",
		[PEN_STAGE_HELO] = "performing the HELO handshake",
		[PEN_STAGE_STARTTLS] = "receiving the STARTTLS response",
		[PEN_STAGE_TLS] = "performing the TLS handshake",
		[PEN_STAGE_MAIL] = "sending MAIL FROM",
		[PEN_STAGE_RCPT] = "sending RCPT TO",
		[PEN_STAGE_DATA] = "sending DATA command",
		[PEN_STAGE_BODY] = "sending message body",
		[PEN_STAGE_DOT] = "sending end of data -- message may be sent more than once",
		[PEN_STAGE_RSET] = "sending RSET",
		[PEN_STAGE_QUIT] = "sending QUIT",
	};
	enum pen_smtp_stage stage = smtp_client_stage(c);

	if (stage == PEN_STAGE_EHLO && c->lease->lmtp)
		return "performing the LHLO handshake";
	return doing[stage];
}

static void ended_by(struct pen_smtp_client *c, enum smtp_client_cause cause, pen_time_us now)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	smtp_client_peer(c, peer);
	if (cause == CAUSE_TIMEOUT) {
		PEN_COUNT(c->ctr->timeouts);
		pen_dsn_set(&why, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			smtp_client_stage(c), "conversation with %s timed out while %s", peer,
			activity(c));
	} else {
		PEN_COUNT(c->ctr->lost);
		pen_dsn_set(&why, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
			smtp_client_stage(c), "lost connection with %s while %s", peer,
			activity(c));
	}
	smtp_client_tls_lost(c, &why);
	smtp_client_fail(c, &why, cause, now);
}

void pen_smtp_client_eof(struct pen_smtp_client *c, pen_time_us now)
{
	if (c->state == SMTP_ENDED)
		return;
	// A server that closes an idle session does what servers do, unless the
	// session has never been of use.
	if (c->state == SMTP_QUIT ||
		(c->state == SMTP_READY && smtp_client_idle(c) && c->lease->messages > 0))
		smtp_client_finish(c, now);
	else
		ended_by(c, CAUSE_LOST, now);
}

void pen_smtp_client_fail(struct pen_smtp_client *c, const struct pen_dsn *why, pen_time_us now)
{
	if (c->state == SMTP_ENDED)
		return;
	if (c->state == SMTP_QUIT) {
		smtp_client_finish(c, now);
		return;
	}
	PEN_COUNT(c->ctr->lost);
	smtp_client_fail(c, why, CAUSE_LOST, now);
}

void pen_smtp_client_tick(struct pen_smtp_client *c, pen_time_us now)
{
	if (c->state == SMTP_ENDED || now < c->deadline)
		return;
	if (c->state == SMTP_QUIT) {
		PEN_COUNT(c->ctr->quit_timeouts);
		smtp_client_finish(c, now);
	} else if (c->state == SMTP_READY && smtp_client_idle(c)) {
		PEN_COUNT(c->ctr->idle_quits);
		smtp_client_enter(c, SMTP_QUIT, now);
	} else {
		ended_by(c, CAUSE_TIMEOUT, now);
	}
}

void pen_smtp_client_wake(struct pen_smtp_client *c, pen_time_us now)
{
	(void)now;
	c->dry = false;
}

void pen_smtp_client_result_stored(struct pen_smtp_client *c)
{
	if (c->unstored > 0)
		c->unstored--;
}

void pen_smtp_client_close(struct pen_smtp_client *c, pen_time_us now)
{
	c->closing = true;
	if (c->state == SMTP_READY && smtp_client_idle(c))
		smtp_client_enter(c, SMTP_QUIT, now);
}

void pen_smtp_client_dot_acked(struct pen_smtp_client *c)
{
	c->dots_acked++;
	if (c->old != NULL && c->dots_acked == c->old_dot)
		c->old->dot = PEN_DOT_ACKED;
}

pen_time_us pen_smtp_client_deadline(const struct pen_smtp_client *c)
{
	return c->state == SMTP_ENDED ? PEN_TIME_NEVER : c->deadline;
}

bool pen_smtp_client_ended(const struct pen_smtp_client *c)
{
	return c->state == SMTP_ENDED;
}

enum pen_attempt_end pen_smtp_client_how(const struct pen_smtp_client *c)
{
	return (enum pen_attempt_end)c->how;
}

void pen_smtp_client_feed(struct pen_smtp_client *c, const uint8_t *p, size_t n, pen_time_us now)
{
	size_t at = 0;

	while (at < n) {
		size_t used;
		if (c->state == SMTP_ENDED) {
			PEN_COUNT_N(c->ctr->late_bytes, n - at);
			return;
		}
		if (c->state == SMTP_TLS) {
			PEN_COUNT_N(c->ctr->starttls_injected_bytes, n - at);
			return;
		}
		enum pen_reply_status st = pen_reply_feed(&c->reply, p + at, n - at, &used);
		at += used;
		c->mid_reply = st != PEN_REPLY_DONE;
		switch (st) {
		case PEN_REPLY_MORE:
			break;
		case PEN_REPLY_LINE:
			if (c->state == SMTP_EHLO)
				smtp_client_on_ehlo_line(c);
			break;
		case PEN_REPLY_DONE:
			PEN_COUNT(c->ctr->replies);
			smtp_client_on_reply(c, now);
			break;
		case PEN_REPLY_BAD: {
			struct pen_dsn why;
			char peer[SMTP_PEER_MAX];
			PEN_COUNT(c->ctr->bad_replies);
			pen_dsn_set(&why, 4, 5, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER,
				smtp_client_stage(c), "host %s sent a malformed reply while %s",
				smtp_client_peer(c, peer), activity(c));
			smtp_client_fail(c, &why, CAUSE_PEER, now);
			break;
		}
		}
	}
}
