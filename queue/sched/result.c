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
	note_put(r->note);
	r->note = NULL;
}

// A reference to a note of this result, shared with the recipient before when
// they got the same answer.
static struct note *take_note(struct result *r, const struct pen_dsn *d)
{
	result_relay(r);
	if (r->note == NULL || !note_is(r->note, d, r->relay)) {
		note_put(r->note);
		r->note = note_new(d, r->relay, r->mta_len);
	}
	return note_get(r->note);
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

// The server that took it will not report; nobody else can.
static bool wants_success(
	const struct pen_sched *s, const struct entry *e, uint32_t rcpt, const struct result *r)
{
	return r->delivery != NULL &&
	       pen_notify(e->m->rcpt[rcpt].notify, e->m->sender.n == 0,
		       is_final(s, r) ? PEN_NOTIFY_DELIVERED : PEN_NOTIFY_PASSED_ON,
		       r->lease->pub.dsn) != PEN_ACTION_OF_KIND;
}

static bool add_failure(struct entry *e, uint32_t rcpt, uint8_t fate, struct note *note)
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

	if (m->last_error == NULL)
		m->last_error = malloc(sizeof(*m->last_error));
	if (m->last_error != NULL)
		*m->last_error = *d;
	if (m->nrcpt == 1) {
		note_put(e->note);
		e->note = take_note(r, d);
		return;
	}
	if (e->notes == NULL)
		e->notes = calloc(m->nrcpt, sizeof(struct note *));
	if (e->notes != NULL) {
		note_put(e->notes[rcpt]);
		e->notes[rcpt] = take_note(r, d);
	}
}

static void defer(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r)
{
	struct pen_dsn copy;
	const struct pen_dsn *d = r->dsn;
	enum pen_sched_status status = PEN_STATUS_DEFERRED;

	if (d->klass != 4 || r->in_doubt) {
		copy = *d;
		if (copy.klass == 5 && s->cfg.soft_bounce)
			status = PEN_STATUS_SOFTBOUNCE;
		pen_trouble_demote(&copy);
		if (r->in_doubt) {
			pen_dsn_set(&copy, 4, d->subject, d->detail, d->scope, d->origin, d->stage,
				"delivery in doubt, the end of the message was acknowledged but "
				"not answered: %s",
				d->text);
			copy.reply = d->reply;
			s->total.in_doubt++;
		}
		d = &copy;
	}
	remember(e, rcpt, r, d);
	s->total.deferrals++;
	if (r->site != NULL)
		r->site->deferred++;
	log_result(s, e, rcpt, r, d, status);
}

void result_apply(struct pen_sched *s, struct entry *e, uint32_t rcpt, struct result *r)
{
	struct note *note;

	PEN_ASSERT(e->m->rcpt[rcpt].fate == PEN_FATE_QUEUED);
	switch (pen_trouble_judge(r->dsn, r->source, s->cfg.soft_bounce)) {
	case PEN_VERDICT_DELIVERED:
		entry_change(s, e, rcpt, PEN_FATE_DELIVERED);
		if (r->site != NULL)
			r->site->delivered++;
		if (wants_success(s, e, rcpt, r)) {
			note = take_note(r, r->dsn);
			if (add_failure(e, rcpt, PEN_FATE_DELIVERED, note))
				e->failures->final = is_final(s, r);
			else
				note_put(note); // it was delivered all the same
		}
		log_result(s, e, rcpt, r, r->dsn, PEN_STATUS_SENT);
		return;
	case PEN_VERDICT_BOUNCE:
		note = take_note(r, r->dsn);
		if (!add_failure(e, rcpt, PEN_FATE_BOUNCED, note)) {
			note_put(note);
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

void result_expire(struct pen_sched *s, struct entry *e, uint32_t rcpt)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_ROUTE};
	struct note *note = e->m->nrcpt == 1 ? e->note : e->notes != NULL ? e->notes[rcpt] : NULL;

	if (note != NULL)
		note_to_dsn(note, &d);
	else if (e->m->last_error != NULL)
		d = *e->m->last_error;
	else
		pen_dsn_set(&d, 4, 4, 7, PEN_SCOPE_MESSAGE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"the message was too old before it could be tried");
	note = note != NULL ? note_get(note) : take_note(&r, &d);
	if (add_failure(e, rcpt, PEN_FATE_EXPIRED, note))
		log_result(s, e, rcpt, &r, &d, PEN_STATUS_EXPIRED);
	else
		note_put(note);
	result_fini(&r);
}
