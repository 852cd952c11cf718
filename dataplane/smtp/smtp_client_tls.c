// SPDX-License-Identifier: BSD-3-Clause

// The SMTP client's part of the TLS policy: it asks pen_tls_session.h what each
// step means, and does it. Once TLS was agreed on, a connection carries TLS or
// nothing.

#include "pen_err.h"
#include "smtp_client.h"

static const struct pen_tls_policy *policy(const struct pen_smtp_client *c)
{
	return smtp_client_host(c)->tls;
}

static void forget_capabilities(struct pen_smtp_client *c)
{
	c->pipelining = c->size = c->eight_bit = c->starttls = c->requiretls = false;
	c->smtputf8 = false;
	c->lease->dsn = false;
	c->lease->size_limit = 0;
}

static void start_tls(struct pen_smtp_client *c, pen_time_us now)
{
	// What the plaintext EHLO said is not to be trusted (RFC 3207 4.2).
	forget_capabilities(c);
	c->tls_begun = true;
	smtp_client_enter(c, SMTP_TLS, now);
	c->cb->on_starttls(c->ctx, now);
}

void smtp_client_tls_wrapper(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];

	pen_tls_offer(policy(c), c->plain, true, c->cb->on_starttls != NULL,
		smtp_client_peer(c, peer), &c->lease->tls_field, &v);
	pen_attempt_note(c->lease, &v);
	if (v.action == PEN_TLS_START)
		start_tls(c, now);
	else if (v.action == PEN_TLS_LEAVE)
		smtp_client_fail(c, &v.why, CAUSE_PEER, now);
}

// RFC 6531 3.2: the mail is not sent where it would be broken. Another host may
// offer more.
static void leave_for_utf8(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	PEN_COUNT(c->ctr->smtputf8_missing);
	pen_dsn_set(&why, 5, 6, 7, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_EHLO,
		"SMTPUTF8 is required, but was not offered by host %s", smtp_client_peer(c, peer));
	c->how = PEN_ATTEMPT_PASSED;
	smtp_client_quit_with(c, &why, now);
}

// The last EHLO was answered.
static void become_ready(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_lease *l = c->lease;
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];

	pen_tls_ready(
		policy(c), l->tls, c->requiretls, smtp_client_peer(c, peer), &l->tls_field, &v);
	pen_attempt_note(l, &v);
	if (v.action == PEN_TLS_LEAVE) {
		PEN_COUNT(c->ctr->requiretls_missing);
		c->how = PEN_ATTEMPT_PASSED;
		smtp_client_quit_with(c, &v.why, now);
		return;
	}
	if (l->smtputf8 && !c->smtputf8) {
		leave_for_utf8(c, now);
		return;
	}
	l->requiretls = v.send_requiretls;
	l->headers_only = v.headers_only;
	l->ready = true;
	l->ready_at = now;
	PEN_COUNT(c->ctr->sessions_ready);
	smtp_client_enter(c, SMTP_READY, now);
	c->cb->on_ready(c->ctx, now);
}

void smtp_client_hello_done(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_lease *l = c->lease;
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];

	if (l->tls) {
		become_ready(c, now);
		return;
	}
	l->starttls_offered = c->starttls;
	pen_tls_offer(policy(c), c->plain, c->starttls, c->cb->on_starttls != NULL,
		smtp_client_peer(c, peer), &l->tls_field, &v);
	pen_attempt_note(l, &v);
	if (v.action == PEN_TLS_START) {
		smtp_client_enter(c, SMTP_STARTTLS, now);
	} else if (v.action == PEN_TLS_LEAVE) {
		if (!c->starttls)
			PEN_COUNT(c->ctr->starttls_not_offered);
		smtp_client_quit_with(c, &v.why, now);
	} else {
		become_ready(c, now);
	}
}

void smtp_client_starttls_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];
	struct pen_dsn said;

	if (c->reply.klass == 2) {
		PEN_COUNT(c->ctr->starttls);
		start_tls(c, now);
		return;
	}
	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	PEN_COUNT(c->ctr->starttls_refused);
	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, PEN_STAGE_STARTTLS, &said);
	pen_tls_refused(policy(c), &said, smtp_client_peer(c, peer), &c->lease->tls_field, &v);
	pen_attempt_note(c->lease, &v);
	if (v.action == PEN_TLS_LEAVE) {
		smtp_client_refuse(c, &v.why, now);
	} else if (c->reply.code == 421) {
		smtp_client_session_refusal(c, PEN_STAGE_STARTTLS, "refused to start TLS", &said);
		said.klass = 4;
		smtp_client_refuse(c, &said, now);
	} else {
		become_ready(c, now);
	}
}

// ---- the handshake ----

void pen_smtp_client_tls_up(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_lease *l = c->lease;
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];

	PEN_ASSERT(c->state == SMTP_TLS);
	l->tls = true;
	pen_reply_init(&c->reply);
	c->mid_reply = false;
	pen_tls_established(policy(c), &l->tls_peer, smtp_client_peer(c, peer), &l->tls_field, &v);
	pen_attempt_note(l, &v);
	if (v.action == PEN_TLS_GO_ON) {
		smtp_client_enter(c, policy(c)->wrapper ? SMTP_GREETING : SMTP_EHLO, now);
		return;
	}
	PEN_COUNT(c->ctr->tls_unwanted);
	if (policy(c)->wrapper)
		smtp_client_fail(c, &v.why, CAUSE_PEER, now); // nobody has said hello yet
	else
		smtp_client_quit_with(c, &v.why, now);
}

static void handshake_failed(struct pen_smtp_client *c, const char *error, pen_time_us now)
{
	struct pen_lease *l = c->lease;
	struct pen_tls_rules rules = pen_attempt_rules(l);
	struct pen_tls_verdict v = {0};
	char peer[SMTP_PEER_MAX];

	smtp_client_peer(c, peer);
	if (l->tls_peer.certificate && !l->tls_peer.matched)
		pen_tls_established(policy(c), &l->tls_peer, peer, &l->tls_field, &v);
	if (v.action == PEN_TLS_LEAVE) {
		PEN_COUNT(c->ctr->tls_unwanted);
	} else {
		PEN_COUNT(c->ctr->tls_broken);
		pen_tls_handshake_failed(policy(c), &rules, error, NULL, peer, &l->tls_field, &v);
	}
	pen_attempt_note(l, &v);
	if (v.action == PEN_TLS_RETRY_PLAIN)
		c->how = PEN_ATTEMPT_RETRY_PLAIN;
	smtp_client_fail(c, &v.why, CAUSE_LOST, now);
}

void pen_smtp_client_tls_failed(struct pen_smtp_client *c, const char *error, pen_time_us now)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	if (c->state == SMTP_ENDED)
		return;
	if (c->state == SMTP_TLS) {
		handshake_failed(c, error, now);
		return;
	}
	pen_dsn_set(&why, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, smtp_client_stage(c),
		"TLS connection with %s failed: %s", smtp_client_peer(c, peer), error);
	smtp_client_tls_lost(c, &why);
	pen_smtp_client_fail(c, &why, now);
}

void smtp_client_tls_lost(struct pen_smtp_client *c, struct pen_dsn *why)
{
	struct pen_lease *l = c->lease;
	struct pen_tls_rules rules = pen_attempt_rules(l);
	struct pen_tls_verdict v;
	char peer[SMTP_PEER_MAX];

	// Once EHLO was answered inside TLS, TLS is not what ended the session.
	if (!c->tls_begun || c->state == SMTP_READY || c->state == SMTP_QUIT)
		return;
	PEN_COUNT(c->ctr->tls_broken);
	pen_tls_handshake_failed(
		policy(c), &rules, "", why, smtp_client_peer(c, peer), &l->tls_field, &v);
	if (!l->tls)
		pen_attempt_note(l, &v);
	if (v.action == PEN_TLS_RETRY_PLAIN)
		c->how = PEN_ATTEMPT_RETRY_PLAIN;
	*why = v.why;
}
