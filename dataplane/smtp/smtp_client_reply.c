// SPDX-License-Identifier: BSD-3-Clause

// Replies inside transactions: which command each answers, and what follows.

#include "smtp_client.h"

void smtp_client_refusal(const struct pen_smtp_client *c, enum pen_dsn_scope scope,
	enum pen_smtp_stage stage, struct pen_dsn *out)
{
	char peer[SMTP_PEER_MAX];
	struct pen_dsn said;
	const char *in_reply_to = pen_smtp_stage_name(stage);

	pen_reply_to_dsn(&c->reply, scope, stage, &said);
	smtp_client_peer(c, peer);
	// The end of the sentence must survive: cut what the host said.
	size_t frame =
		sizeof("host  said:  (in reply to  command)") + strlen(peer) + strlen(in_reply_to);
	int room = (int)(sizeof(out->text) - frame);
	pen_dsn_set(out, said.klass, said.subject, said.detail, scope, PEN_ORIGIN_PEER, stage,
		"host %s said: %.*s (in reply to %s command)", peer, room, said.text, in_reply_to);
	out->reply = said.reply;
}

void smtp_client_protocol_error(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn said, why;
	char peer[SMTP_PEER_MAX];

	PEN_COUNT(c->ctr->protocol_errors);
	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, smtp_client_stage(c), &said);
	pen_dsn_set(&why, 4, 5, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, smtp_client_stage(c),
		"protocol error: host %s said: %s", smtp_client_peer(c, peer), said.text);
	why.reply = said.reply;
	smtp_client_fail(c, &why, CAUSE_PEER, now);
}

void smtp_client_txn_check(struct pen_smtp_client *c, pen_time_us now)
{
	const struct pen_smtp_client_txn *t = &c->cur;

	// A command that is generated in part still needs the delivery's addresses.
	if (!t->active || t->content || c->cmd_off > 0 || !t->mail_answered ||
		t->rcpt_answered < t->rcpt_sent || (t->data_sent && !t->data_answered))
		return;
	if (t->mail_ok) {
		bool all_refused = t->rcpt_answered == t->d->nrcpt && t->rcpt_ok == 0;
		if (!t->data_answered && !all_refused)
			return;
		// The server may hold a transaction that MAIL opened.
		c->need_rset = true;
	}
	smtp_client_txn_end(c, now);
}

static void mail_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;
	struct pen_dsn dsn;

	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	t->mail_answered = true;
	t->mail_ok = c->reply.klass == 2;
	if (!t->mail_ok) {
		PEN_COUNT(c->ctr->mail_refused);
		smtp_client_refusal(c, PEN_SCOPE_MESSAGE, PEN_STAGE_MAIL, &dsn);
		smtp_client_fill(t->d, &dsn);
	}
}

static void rcpt_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;

	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	struct pen_delivery_rcpt *r = &t->d->rcpt[t->rcpt_answered++];
	if (c->reply.klass == 2) {
		if (t->mail_ok)
			t->rcpt_ok++;
		else
			t->stray_rcpt = true;
		return;
	}
	if (t->mail_ok) {
		PEN_COUNT(c->ctr->rcpt_refused);
		smtp_client_refusal(c, PEN_SCOPE_RECIPIENT, PEN_STAGE_RCPT, &r->result);
	}
}

static void data_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;
	struct pen_dsn dsn;

	// A server that refused MAIL, took a recipient all the same and now wants
	// content would deliver an empty message: leave it.
	// LMTP servers must not want content for nobody (RFC 2033 4.2): nobody
	// could tell how many replies it will get.
	if (c->reply.klass == 2 || (c->reply.klass == 3 && t->stray_rcpt) ||
		(c->reply.klass == 3 && t->rcpt_ok == 0 && c->lease->lmtp)) {
		smtp_client_protocol_error(c, now);
		return;
	}
	t->data_answered = true;
	if (c->reply.klass == 3) {
		t->content = true;
		t->lone = t->rcpt_ok == 0;
		if (t->lone) {
			struct pen_delivery *d = t->d;
			t->d = NULL;
			PEN_COUNT(c->ctr->lone_dots);
			smtp_client_done(c, d, now);
		}
		return;
	}
	if (t->rcpt_ok > 0) {
		PEN_COUNT(c->ctr->data_refused);
		smtp_client_refusal(c, PEN_SCOPE_MESSAGE, PEN_STAGE_DATA, &dsn);
		smtp_client_fill(t->d, &dsn);
	}
}

// The next recipient of `old` that the present reply belongs to, or NULL.
static struct pen_delivery_rcpt *lmtp_rcpt(struct pen_smtp_client *c)
{
	struct pen_delivery *d = c->old;

	while (c->old_at < d->nrcpt && d->rcpt[c->old_at].result.klass != 0)
		c->old_at++;
	return c->old_at < d->nrcpt ? &d->rcpt[c->old_at] : NULL;
}

static void lmtp_dot_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_delivery *d = c->old;
	struct pen_delivery_rcpt *r = lmtp_rcpt(c);

	d->dot = PEN_DOT_ACKED;
	if (c->reply.klass == 2) {
		PEN_COUNT(c->ctr->messages_accepted);
		pen_reply_to_dsn(&c->reply, PEN_SCOPE_RECIPIENT, PEN_STAGE_DOT, &r->result);
	} else {
		PEN_COUNT(c->ctr->dot_refused);
		smtp_client_refusal(c, PEN_SCOPE_RECIPIENT, PEN_STAGE_DOT, &r->result);
	}
	if (lmtp_rcpt(c) != NULL)
		return;
	c->old = NULL;
	c->old_active = false;
	smtp_client_done(c, d, now);
}

static void dot_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_delivery *d = c->old;
	struct pen_dsn dsn;

	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	if (c->lease->lmtp) {
		lmtp_dot_reply(c, now);
		return;
	}
	c->old = NULL;
	c->old_active = false;
	if (d == NULL)
		return;         // the answer to a lone dot tells nothing
	d->dot = PEN_DOT_ACKED; // the answer proves it
	if (c->reply.klass == 2) {
		PEN_COUNT(c->ctr->messages_accepted);
		pen_reply_to_dsn(&c->reply, PEN_SCOPE_MESSAGE, PEN_STAGE_DOT, &dsn);
	} else {
		PEN_COUNT(c->ctr->dot_refused);
		smtp_client_refusal(c, PEN_SCOPE_MESSAGE, PEN_STAGE_DOT, &dsn);
	}
	smtp_client_fill(d, &dsn);
	smtp_client_done(c, d, now);
}

static void rset_reply(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn dsn;

	if (c->reply.klass == 2) {
		c->rset_wait = false;
		return;
	}
	if (c->reply.klass == 3) {
		smtp_client_protocol_error(c, now);
		return;
	}
	PEN_COUNT(c->ctr->rset_refused);
	smtp_client_refusal(c, PEN_SCOPE_SESSION, PEN_STAGE_RSET, &dsn);
	dsn.klass = 4;
	smtp_client_fail(c, &dsn, CAUSE_PEER, now);
}

// The final reply came while we still send content: DATA cannot be taken back,
// so the session ends with this message.
static void early_final(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;
	struct pen_dsn dsn;
	char peer[SMTP_PEER_MAX];

	if (c->reply.klass < 4) {
		PEN_COUNT(c->ctr->protocol_errors);
		pen_dsn_set(&dsn, 4, 7, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER, PEN_STAGE_BODY,
			"host %s replied %u before the message was sent", smtp_client_peer(c, peer),
			c->reply.code);
		dsn.reply = c->reply.code;
		smtp_client_fail(c, &dsn, CAUSE_PEER, now);
		return;
	}
	PEN_COUNT(c->ctr->early_final_replies);
	smtp_client_refusal(c, PEN_SCOPE_MESSAGE, PEN_STAGE_DOT, &dsn);
	if (t->d != NULL)
		smtp_client_fill(t->d, &dsn);
	smtp_client_txn_end(c, now);
	if (c->reply.code == 421) {
		smtp_client_refusal(c, PEN_SCOPE_SESSION, PEN_STAGE_DOT, &dsn);
		smtp_client_fail(c, &dsn, CAUSE_PEER, now);
	} else {
		smtp_client_finish(c, now);
	}
}

static bool blocks_early(const struct pen_smtp_client *c)
{
	return c->lease->rules->block_early_reply && c->lease->tls && c->lease->messages == 0;
}

// A reply to a command that somebody else put before ours.
static void early_blocked(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	PEN_COUNT(c->ctr->early_blocked);
	pen_dsn_set(&why, 4, 7, 0, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, PEN_STAGE_MAIL,
		"host %s replied before the MAIL command was sent", smtp_client_peer(c, peer));
	smtp_client_fail(c, &why, CAUSE_PEER, now);
}

bool smtp_client_block_early(struct pen_smtp_client *c, pen_time_us now)
{
	if (!c->mid_reply || !blocks_early(c))
		return false;
	early_blocked(c, now);
	return true;
}

// Nobody asked: an idle server that says good-bye, or nonsense.
static void unsolicited(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_dsn dsn;

	if (c->cur.content) {
		early_final(c, now);
		return;
	}
	PEN_COUNT(c->ctr->early_replies);
	if (blocks_early(c)) {
		early_blocked(c, now);
		return;
	}
	if (c->reply.klass < 4) {
		smtp_client_protocol_error(c, now);
		return;
	}
	if (smtp_client_idle(c) && c->lease->messages > 0) {
		smtp_client_finish(c, now);
		return;
	}
	struct pen_dsn said;
	char peer[SMTP_PEER_MAX];
	pen_reply_to_dsn(&c->reply, PEN_SCOPE_SESSION, smtp_client_stage(c), &said);
	pen_dsn_set(&dsn, 4, said.subject, said.detail, PEN_SCOPE_SESSION, PEN_ORIGIN_PEER,
		smtp_client_stage(c), "host %s ended the session: %s", smtp_client_peer(c, peer),
		said.text);
	dsn.reply = said.reply;
	smtp_client_fail(c, &dsn, CAUSE_LOST, now);
}

void smtp_client_ready_reply(struct pen_smtp_client *c, pen_time_us now)
{
	if (!smtp_client_outstanding(c)) {
		unsolicited(c, now);
		return;
	}
	enum pen_smtp_stage stage = smtp_client_stage(c);
	switch (stage) {
	case PEN_STAGE_DOT:
		dot_reply(c, now);
		break;
	case PEN_STAGE_RSET:
		rset_reply(c, now);
		break;
	case PEN_STAGE_MAIL:
		mail_reply(c, now);
		break;
	case PEN_STAGE_RCPT:
		rcpt_reply(c, now);
		break;
	default:
		data_reply(c, now);
	}
	if (c->state == SMTP_ENDED)
		return;
	if (c->reply.code == 421) {
		struct pen_dsn dsn;
		PEN_COUNT(c->ctr->replies_421);
		smtp_client_refusal(c, PEN_SCOPE_SESSION, stage, &dsn);
		smtp_client_fail(c, &dsn, CAUSE_LOST, now);
		return;
	}
	smtp_client_txn_check(c, now);
	smtp_client_arm(c, now);
}
