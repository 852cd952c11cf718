// SPDX-License-Identifier: BSD-3-Clause

// One recipient's result: judged by trouble, remembered, counted, logged.
#include "core.h"
#include "pen_notify.h"

#include <stdio.h>
#include <stdlib.h>

const char *pen_sched_status_word(enum pen_sched_status st)
{
	static const char *const words[] = {
		[PEN_STATUS_SENT] = "sent",
		[PEN_STATUS_DEFERRED] = "deferred",
		[PEN_STATUS_BOUNCED] = "bounced",
		[PEN_STATUS_EXPIRED] = "expired",
		[PEN_STATUS_SOFTBOUNCE] = "SOFTBOUNCE",
	};
	return (unsigned)st < sizeof(words) / sizeof(words[0]) ? words[st] : "unknown";
}

static size_t format_relay(char out[RELAY_MAX], const char *name, const struct pen_addr *addr)
{
	char text[PEN_ADDR_STR_MAX];

	snprintf(out, RELAY_MAX, "%s[%s]", name, pen_addr_str(addr, text));
	return strlen(name);
}

size_t pen_sched_log_text(const struct pen_sched_log *line, char *out, size_t cap)
{
	char relay[RELAY_MAX] = "";

	if (line->relay_name != NULL)
		format_relay(relay, line->relay_name, line->relay_addr);
	return pen_trouble_text(line->dsn, relay, out, cap);
}

// A host counts as spoken to once its TCP answered.
static bool contacted(const struct result *r)
{
	const struct pen_lease *l = &r->lease->pub;

	return l->ready || l->result.stage > PEN_STAGE_CONNECT;
}

void result_relay(struct result *r)
{
	if (r->relay[0] != '\0' || r->lease == NULL || !contacted(r))
		return;
	const struct pen_lease_host *h = &r->lease->pub.host[r->lease->pub.host_used];
	r->mta_len = format_relay(r->relay, h->name, &h->addr);
}

void result_fini(struct result *r)
{
	pen_note_put(r->note);
	r->note = NULL;
}

// A reference to a note of this result, shared with the recipient before when
// they got the same answer.
static const struct pen_note *take_note(struct result *r, const struct pen_dsn *d)
{
	result_relay(r);
	if (r->note == NULL || !pen_note_is(r->note, d, r->relay)) {
		pen_note_put(r->note);
		r->note = pen_note_get(d, r->relay, r->mta_len);
	}
	return pen_note_ref(r->note);
}

static void log_delays(const struct pen_sched *s, const struct entry *e, const struct result *r,
	pen_time_us out[4])
{
	const struct pen_delivery *d = r->delivery;
	pen_time_us active = e->active_at != 0 ? e->active_at : s->now;
	pen_time_us before = (s->wall - e->m->arrival) - (s->now - active);

	out[0] = before > 0 ? before : 0;
	if (d == NULL || !d->attempted || d->started_at < active) {
		bool connecting = r->source == PEN_TROUBLE_LEASE && r->lease != NULL &&
				  r->lease->pub.opened_at >= active &&
				  r->lease->pub.opened_at <= s->now;
		out[2] = connecting ? s->now - r->lease->pub.opened_at : 0;
		out[1] = s->now - active - out[2];
		out[3] = 0;
		return;
	}
	// Only a session's first transaction waited for the connection.
	pen_time_us begun = d->conn_use <= 1 ? r->lease->pub.opened_at : d->started_at;
	if (begun < active)
		begun = active;
	if (begun > d->started_at)
		begun = d->started_at;
	out[1] = begun - active;
	out[2] = d->started_at - begun;
	out[3] = d->done_at > d->started_at ? d->done_at - d->started_at : 0;
}

static void log_result(struct pen_sched *s, const struct entry *e, uint32_t rcpt,
	const struct result *r, const struct pen_dsn *d, enum pen_sched_status status)
{
	struct pen_sched_log line = {
		.message = e->m,
		.rcpt = rcpt,
		.site = r->site != NULL ? r->site->key : "",
		.dsn = d,
		.status = status,
		.in_doubt = r->in_doubt,
		.retry_is_safe = r->retry_is_safe,
		.klass = r->match != NULL ? r->match->klass : NULL,
	};

	log_delays(s, e, r, line.delay);
	if (r->lease != NULL && (r->lease->pub.host_tried || r->lease->pub.ready))
		line.tls_field = &r->lease->pub.tls_field;
	if (r->lease != NULL && contacted(r)) {
		const struct pen_lease *l = &r->lease->pub;
		const struct pen_lease_host *h = &l->host[l->host_used];
		line.relay_name = h->name;
		line.relay_addr = &h->addr;
		line.relay_port = h->port;
		line.source = h->addr.family == PEN_FAMILY_IP6 ? &l->source6 : &l->source;
		line.has_session = l->ready;
		line.tls = l->tls;
		line.tls_protocol = l->tls_protocol;
		line.tls_cipher = l->tls_cipher;
		line.conn_use = r->delivery != NULL ? r->delivery->conn_use : 0;
	}
	s->ops.log(s->ctx, &line);
}

static bool is_final(const struct pen_sched *s, const struct result *r)
{
	return s->cfg.lmtp_assume_final && r->lease != NULL && r->lease->pub.lmtp;
}

// The server that took it will not report, and nobody else can; or the sender was
// told that it is late, and is told that this is over.
static bool wants_success(
	const struct pen_sched *s, const struct entry *e, uint32_t rcpt, const struct result *r)
{
	uint8_t notify = e->m->rcpt[rcpt].notify;

	if (s->cfg.confirm_delay_cleared && e->m->flags & PEN_MESSAGE_DELAY_TOLD &&
		r->delivery != NULL &&
		pen_notify(notify, e->m->sender_len == 0, PEN_NOTIFY_DELAYED, false) !=
			PEN_ACTION_OF_KIND)
		return true;
	return r->delivery != NULL &&
	       pen_notify(notify, e->m->sender_len == 0,
		       is_final(s, r) ? PEN_NOTIFY_DELIVERED : PEN_NOTIFY_PASSED_ON,
		       r->lease->pub.dsn) != PEN_ACTION_OF_KIND;
}

static bool add_failure(struct entry *e, uint32_t rcpt, uint8_t fate, const struct pen_note *note)
{
	struct failure *f = malloc(sizeof(*f));

	if (f == NULL)
		return false;
	*f = (struct failure){.next = e->failures, .note = note, .rcpt = rcpt, .fate = fate};
	e->failures = f;
	return true;
}

// Keeps the reason for mailq (in the message) and for the day it expires.
static void remember(struct entry *e, uint32_t rcpt, struct result *r, const struct pen_dsn *d)
{
	struct pen_message *m = e->m;

	const struct pen_note *note = take_note(r, d);
	if (note == NULL)
		return;
	pen_note_put(m->last_error);
	m->last_error = note;
	if (m->nrcpt == 1)
		return;
	if (e->notes == NULL)
		e->notes = calloc(m->nrcpt, sizeof(const struct pen_note *));
	if (e->notes != NULL) {
		pen_note_put(e->notes[rcpt]);
		e->notes[rcpt] = pen_note_ref(note);
	}
}

// The peer's TCP never acknowledged the final dot: it does not have the message.
static bool safe_to_repeat(const struct result *r)
{
	const struct pen_delivery *d = r->delivery;

	return d != NULL && d->attempted && d->dot != PEN_DOT_ACKED && r->dsn->klass == 4 &&
	       r->dsn->reply == 0;
}

#define MAYBE " -- message may be sent more than once"

// What the client says of a lost end of data is true only as long as nobody asks
// TCP.
static void say_safe(struct pen_dsn *out, const struct pen_dsn *d)
{
	const char *maybe = strstr(d->text, MAYBE);
	int before = maybe != NULL ? (int)(maybe - d->text) : d->text_len;

	pen_dsn_set(out, 4, d->subject, d->detail, d->scope, d->origin, d->stage,
		"%.*s (not acknowledged: the retry cannot duplicate it)%s", before, d->text,
		maybe != NULL ? maybe + strlen(MAYBE) : "");
}

static void say_doubt(struct pen_dsn *out, const struct pen_dsn *d)
{
	pen_dsn_set(out, 4, d->subject, d->detail, d->scope, d->origin, d->stage,
		"delivery in doubt, the end of the message was acknowledged but "
		"not answered: %s",
		d->text);
	out->reply = d->reply;
}

// The result as it is logged and kept: of class 4.
static const struct pen_dsn *deferral(
	const struct pen_sched *s, struct result *r, struct pen_dsn *copy, uint8_t *status)
{
	const struct pen_dsn *d = r->dsn;

	*status = d->klass == 5 && s->cfg.soft_bounce ? PEN_STATUS_SOFTBOUNCE : PEN_STATUS_DEFERRED;
	r->retry_is_safe = !r->in_doubt && safe_to_repeat(r);
	if (r->in_doubt) {
		say_doubt(copy, d);
		return copy;
	}
	if (r->retry_is_safe && (d->stage == PEN_STAGE_BODY || d->stage == PEN_STAGE_DOT)) {
		say_safe(copy, d);
		return copy;
	}
	if (d->klass == 4)
		return d;
	*copy = *d;
	pen_trouble_demote(copy);
	return copy;
}

// Its own retry times; NULL: the general ones.
static const struct pen_retry_schedule *site_retry(
	const struct pen_sched *s, const struct site *site)
{
	if (s->cfg.shape == NULL || site == NULL || site->shape == NULL)
		return NULL;
	return pen_shape_site_retry(s->cfg.shape, site->shape);
}

#define GREYLIST_TRIES 3 // a server that says it more often means something else

// The wait that this result asks for; 0: as any other.
static pen_time_us own_wait(struct pen_sched *s, const struct pen_recipient *to,
	const struct result *r, const struct pen_retry_schedule *own)
{
	if (r->match != NULL && r->match->greylisted && to->attempts <= GREYLIST_TRIES) {
		if (own != NULL && own->greylisted > 0)
			return own->greylisted;
		if (s->cfg.greylist_retry > 0)
			return s->cfg.greylist_retry;
	}
	return own != NULL ? pen_retry_step(own, to->attempts, &s->rand) : 0;
}

// When this recipient is tried again.
static void plan_retry(struct pen_sched *s, struct entry *e, uint32_t rcpt, const struct result *r)
{
	struct pen_recipient *to = &e->m->rcpt[rcpt];
	const struct pen_retry_schedule *own = site_retry(s, r->site);
	pen_time_us wait;

	if (r->in_doubt && s->cfg.in_doubt_policy != PEN_IN_DOUBT_RETRY) {
		if (s->cfg.in_doubt_policy == PEN_IN_DOUBT_HOLD || to->doubts > 1)
			to->due = PEN_DUE_NEVER;
		else
			entry_rcpt_wait(e, rcpt, s->wall + s->cfg.in_doubt_delay);
		return;
	}
	wait = own_wait(s, to, r, own);
	if (own != NULL && own->lifetime > 0) {
		pen_wall_us end = entry_birth(e) + own->lifetime;
		pen_wall_us at = wait > 0 ? s->wall + wait
					  : pen_retry_next(&s->cfg.retry, entry_birth(e), s->wall);
		entry_rcpt_wait(e, rcpt, at < end ? at : end);
	} else if (wait > 0) {
		entry_rcpt_wait(e, rcpt, s->wall + wait);
	} else {
		to->due = 0;
		e->deferred = true;
	}
}

// Its site's lifetime ends before the message's.
static bool site_gives_up(const struct pen_sched *s, const struct entry *e, const struct result *r)
{
	const struct pen_retry_schedule *own = site_retry(s, r->site);

	return own != NULL && own->lifetime > 0 && s->wall >= entry_birth(e) + own->lifetime;
}

static void defer(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r)
{
	struct pen_dsn copy;
	uint8_t status;
	const struct pen_dsn *d = deferral(s, r, &copy, &status);

	remember(e, rcpt, r, d);
	s->total.deferrals++;
	s->total.in_doubt += r->in_doubt;
	if (r->site != NULL)
		r->site->deferred++;
	log_result(s, e, rcpt, r, d, (enum pen_sched_status)status);
	bool ordered = entry_ordered(e, rcpt) != NULL; // it ends with the pass
	if (r->in_doubt)
		entry_doubt(s, e, rcpt);
	if (!ordered)
		plan_retry(s, e, rcpt, r);
	if (r->in_doubt) // with its time
		entry_change(s, e, rcpt, PEN_FATE_QUEUED);
	if (!ordered && site_gives_up(s, e, r))
		result_expire(s, e, rcpt);
}

void result_apply(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r)
{
	const struct pen_note *note;

	PEN_ASSERT(e->m->rcpt[rcpt].fate == PEN_FATE_QUEUED);
	switch (pen_trouble_judge(r->dsn, r->source, s->cfg.soft_bounce)) {
	case PEN_VERDICT_DELIVERED:
		entry_pardon(e, rcpt);
		entry_change(s, e, rcpt, PEN_FATE_DELIVERED);
		if (r->site != NULL)
			r->site->delivered++;
		if (wants_success(s, e, rcpt, r)) {
			note = take_note(r, r->dsn);
			if (add_failure(e, rcpt, PEN_FATE_DELIVERED, note))
				e->failures->final = is_final(s, r);
			else
				pen_note_put(note); // it was delivered all the same
		}
		log_result(s, e, rcpt, r, r->dsn, PEN_STATUS_SENT);
		return;
	case PEN_VERDICT_BOUNCE:
		entry_pardon(e, rcpt);
		note = take_note(r, r->dsn);
		if (!add_failure(e, rcpt, PEN_FATE_BOUNCED, note)) {
			pen_note_put(note);
			break; // no memory to remember it: the next attempt tells again
		}
		if (r->site != NULL)
			r->site->bounced++;
		log_result(s, e, rcpt, r, r->dsn, PEN_STATUS_BOUNCED);
		return;
	case PEN_VERDICT_RETRY:
		break;
	}
	defer(s, e, rcpt, r);
}

const struct pen_note *entry_note(const struct entry *e, uint32_t rcpt)
{
	if (e->m->nrcpt > 1 && e->notes != NULL && e->notes[rcpt] != NULL)
		return e->notes[rcpt];
	return e->m->last_error;
}

// Why it ends, in front of what the last attempt said.
static void expiry_text(const struct pen_sched *s, const struct entry *e, struct pen_dsn *d)
{
	const struct pen_message_extra *x = e->m->extra;
	char last[PEN_DSN_TEXT_MAX], when[48];
	bool late = x != NULL && x->not_after != 0 && s->wall >= x->not_after &&
		    !(e->m->flags & PEN_MESSAGE_EXPIRE);

	if (!late)
		return;
	memcpy(last, d->text, d->text_len + 1u);
	uint16_t reply = d->reply;
	pen_wall_rfc5322(when, sizeof(when), x->not_after);
	pen_dsn_set(d, d->klass, d->subject, d->detail, (enum pen_dsn_scope)d->scope,
		(enum pen_dsn_origin)d->origin, (enum pen_smtp_stage)d->stage,
		"its sender asked not to send it after %s; %s", when, last);
	d->reply = reply;
}

static bool give_up(struct pen_sched *s, struct entry *e, uint32_t rcpt, bool ordered)
{
	struct pen_dsn d;
	struct result r = {
		.dsn = &d, .source = PEN_TROUBLE_ROUTE, .in_doubt = e->m->rcpt[rcpt].doubts > 0};
	const struct pen_note *note = entry_note(e, rcpt);

	if (note != NULL)
		pen_note_to_dsn(note, &d);
	else
		pen_dsn_set(&d, 4, 4, 7, PEN_SCOPE_MESSAGE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"%s before it could be tried",
			ordered ? "an operator ended its lifetime" : "the message was too old");
	expiry_text(s, e, &d);
	if (note != NULL)
		note = pen_note_get(&d, pen_note_relay(note), note->mta_len);
	else
		note = take_note(&r, &d);
	result_fini(&r);
	if (!add_failure(e, rcpt, PEN_FATE_EXPIRED, note)) {
		pen_note_put(note);
		return false;
	}
	e->failures->ordered = ordered;
	if (!ordered)
		log_result(s, e, rcpt, &r, &d, PEN_STATUS_EXPIRED);
	return true;
}

void result_expire(struct pen_sched *s, struct entry *e, uint32_t rcpt)
{
	give_up(s, e, rcpt, (e->m->flags & PEN_MESSAGE_EXPIRE) != 0);
}

bool result_order(struct pen_sched *s, struct entry *e, uint32_t rcpt, uint8_t fate,
	const struct pen_note *note)
{
	bool done = fate == PEN_FATE_EXPIRED ? give_up(s, e, rcpt, true)
					     : add_failure(e, rcpt, fate, note);

	if (!done)
		return false;
	if (fate != PEN_FATE_EXPIRED)
		pen_note_ref(note);
	e->failures->ordered = true;
	e->m->rcpt[rcpt].due = DUE_ORDERED;
	return true;
}
