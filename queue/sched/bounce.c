// SPDX-License-Identifier: BSD-3-Clause

// Tells the sender. The failed recipients keep their place in the queue until
// the notification is durable: a crash in between repeats the last attempt, and
// never loses the bounce. A report of success is not worth a second delivery:
// its recipients are recorded first, and a crash in between loses it.
//
// One notification at a time: failures, then successes. Failures of VERP mail are told
// one by one, each to the sender that its recipient saw, and recorded one by one.
#include "bounce.h"
#include "core.h"
#include "pen_dsn_message.h"
#include "pen_notify.h"
#include "pen_verp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_AFTER (60 * PEN_US_PER_S)
#define TELLING_ONE 7 // in entry.telling: PEN_DSN_FAILED about the first failure only

// Failures and successes, or recipients that are late.
struct list {
	const struct entry *e;
	const struct pen_message *m;
	const struct failure **at;
	uint32_t *late;
	uint32_t n;
};

static void describe_note(
	const struct pen_note *note, unsigned klass, const char *without, struct pen_dsn_rcpt *out)
{
	if (note != NULL) {
		pen_note_to_dsn(note, &out->dsn);
		snprintf(out->relay, sizeof(out->relay), "%s", pen_note_relay(note));
		out->mta_len = note->mta_len;
		return;
	}
	pen_dsn_set(&out->dsn, klass, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"%s", without);
	out->relay[0] = '\0';
	out->mta_len = 0;
}

static void describe(void *ctx, uint32_t i, struct pen_dsn_rcpt *out)
{
	const struct list *list = ctx;
	const struct failure *f = list->at[i];

	out->addr = pen_recipient_addr(&list->m->rcpt[f->rcpt]);
	out->orcpt = pen_recipient_orcpt(&list->m->rcpt[f->rcpt]);
	out->expired = f->fate == PEN_FATE_EXPIRED;
	out->doubts = (uint8_t)list->m->rcpt[f->rcpt].doubts;
	out->action = f->final ? PEN_ACTION_DELIVERED : PEN_ACTION_OF_KIND;
	describe_note(f->note, 5, "the reason was not kept", out);
}

static void describe_late(void *ctx, uint32_t i, struct pen_dsn_rcpt *out)
{
	const struct list *list = ctx;
	const struct pen_recipient *r = &list->m->rcpt[list->late[i]];

	out->addr = pen_recipient_addr(r);
	out->orcpt = pen_recipient_orcpt(r);
	out->expired = false;
	out->doubts = (uint8_t)r->doubts;
	out->action = PEN_ACTION_OF_KIND;
	describe_note(entry_note(list->e, list->late[i]), 4, "it was not its turn yet", out);
}

// The null sender's failures go to the postmaster, who asks for what others do.
static bool wants_failures(const struct pen_recipient *r)
{
	return pen_notify(r->notify, false, PEN_NOTIFY_FAILED, false) != PEN_ACTION_OF_KIND;
}

// Does this recipient belong into a notification of this kind?
static bool belongs(const struct pen_sched *s, const struct entry *e, const struct failure *f,
	enum pen_dsn_kind kind)
{
	const struct pen_recipient *r = &e->m->rcpt[f->rcpt];
	bool failed = (f->fate == PEN_FATE_BOUNCED || f->fate == PEN_FATE_EXPIRED) &&
		      !(e->m->flags & PEN_MESSAGE_NO_NOTICE);

	switch (kind) {
	case PEN_DSN_FAILED:
		return failed && !e->told && e->m->sender_len > 0 && wants_failures(r);
	case PEN_DSN_RELAYED:
		return f->fate == PEN_FATE_DELIVERED;
	case PEN_DSN_POSTMASTER:
		// What cannot be delivered to the postmaster is not reported to him.
		return failed && !e->told && e->m->sender_len == 0 && s->postmaster.n > 0 &&
		       wants_failures(r) && !pen_span_ieq(pen_recipient_addr(r), s->postmaster);
	case PEN_DSN_DELAYED:
	case PEN_DSN_POSTMASTER_DELAYED:
		return false; // about recipients without an end
	}
	return false;
}

static bool any(const struct pen_sched *s, const struct entry *e, enum pen_dsn_kind kind)
{
	for (const struct failure *f = e->failures; f != NULL; f = f->next) {
		if (belongs(s, e, f, kind))
			return true;
	}
	return false;
}

// What is to be told next; false: nothing.
static bool next_kind(const struct pen_sched *s, const struct entry *e, enum pen_dsn_kind *out)
{
	static const enum pen_dsn_kind order[] = {
		PEN_DSN_FAILED, PEN_DSN_POSTMASTER, PEN_DSN_RELAYED};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		*out = order[i];
		if (any(s, e, order[i]))
			return true;
	}
	return false;
}

bool bounce_wanted(const struct pen_sched *s, const struct entry *e)
{
	enum pen_dsn_kind kind;

	return e->failures != NULL && next_kind(s, e, &kind);
}

// Postfix's rule: the bounce of VERP mail goes to where its recipient's reply would.
static bool one_by_one(const struct pen_sched *s, const struct entry *e, enum pen_dsn_kind kind)
{
	return kind == PEN_DSN_FAILED && e->m->extra != NULL && e->m->extra->verp[0] != '\0' &&
	       !s->cfg.disable_verp_bounces;
}

static int by_recipient(const void *a, const void *b)
{
	uint32_t x = (*(const struct failure *const *)a)->rcpt;
	uint32_t y = (*(const struct failure *const *)b)->rcpt;

	return x < y ? -1 : x > y;
}

static bool make_list(
	const struct pen_sched *s, const struct entry *e, enum pen_dsn_kind kind, struct list *list)
{
	bool one = one_by_one(s, e, kind);
	uint32_t cap = 0;

	*list = (struct list){.e = e, .m = e->m};
	for (const struct failure *f = e->failures; f != NULL && !(one && cap > 0); f = f->next)
		cap++;
	list->at = malloc(cap * sizeof(*list->at));
	if (list->at == NULL)
		return false;
	for (const struct failure *f = e->failures; f != NULL && list->n < cap; f = f->next) {
		if (belongs(s, e, f, kind))
			list->at[list->n++] = f;
	}
	qsort(list->at, list->n, sizeof(*list->at), by_recipient);
	return true;
}

// RFC 8689 5: what was to travel under TLS only does not return in the clear.
static bool redacts(const struct pen_sched *s, const struct entry *e)
{
	return (e->m->flags & PEN_MESSAGE_REQUIRETLS) != 0 && s->cfg.redact_dsn;
}

static uint32_t flags_of(const struct pen_sched *s, const struct entry *e)
{
	uint32_t flags = PEN_MESSAGE_DSN;

	if (e->m->flags & PEN_MESSAGE_REQUIRETLS)
		return s->cfg.redact_dsn ? flags : flags | PEN_MESSAGE_REQUIRETLS;
	return flags | (e->m->flags & PEN_MESSAGE_TLS_OPTIONAL);
}

// Who gets it; VERP's sender is written to buf.
static struct pen_span addressee(const struct pen_sched *s, const struct entry *e,
	enum pen_dsn_kind kind, const struct list *list, char buf[PEN_VERP_MAX])
{
	const struct pen_message *m = e->m;
	size_t n;

	if (kind == PEN_DSN_POSTMASTER)
		return s->postmaster;
	if (kind == PEN_DSN_POSTMASTER_DELAYED)
		return s->delay_notice;
	if (!one_by_one(s, e, kind) || list->n != 1)
		return pen_message_sender(m);
	n = pen_verp_make(buf, pen_message_sender(m),
		pen_recipient_addr(&m->rcpt[list->at[0]->rcpt]), m->extra->verp);
	return n > 0 ? pen_span(buf, n) : pen_message_sender(m);
}

static int build(struct pen_sched *s, struct entry *e, enum pen_dsn_kind kind, struct list *list,
	struct pen_span to, struct pen_buf *out, uint32_t *flags)
{
	const struct pen_message *m = e->m;
	bool late = kind == PEN_DSN_DELAYED || kind == PEN_DSN_POSTMASTER_DELAYED;

	// Without its content the notification still says what matters.
	entry_load_content(s, e);
	struct pen_dsn_report report = {
		.hostname = s->cfg.myhostname,
		.mailer_daemon = s->cfg.mailer_daemon,
		.queue_id = PEN_QUEUE_ID(m),
		.kind = kind,
		.to = to,
		.sender = pen_message_sender(m),
		.envid = pen_message_envid(m),
		.arrival = m->arrival,
		.wall = s->wall,
		.original = pen_span(m->content, m->content != NULL ? m->content_len : 0),
		.headers_only = redacts(s, e) || (m->flags & PEN_MESSAGE_RET_HDRS) != 0 ||
				kind == PEN_DSN_RELAYED,
		.tls_optional = (flags_of(s, e) & PEN_MESSAGE_TLS_OPTIONAL) != 0,
		.smtputf8 = (m->flags & PEN_MESSAGE_SMTPUTF8) != 0,
		.retry_until = late ? entry_end_of_life(s, e) : 0,
		.templates = s->cfg.templates,
		.size_limit = s->cfg.bounce_size_limit,
		.salt = pen_rand_u64(&s->rand),
		.nrcpt = list->n,
		.rcpt = late ? describe_late : describe,
		.ctx = list,
	};
	bool eight_bit = false;
	int err = pen_dsn_message_build(&report, out, &eight_bit);
	*flags = flags_of(s, e) | (eight_bit ? PEN_MESSAGE_8BIT : 0) |
		 (pen_dsn_message_global(&report) ? PEN_MESSAGE_SMTPUTF8 : 0);
	return err;
}

static int build_told(struct pen_sched *s, struct entry *e, enum pen_dsn_kind kind,
	char buf[PEN_VERP_MAX], struct pen_span *to, struct pen_buf *out, uint32_t *flags)
{
	struct list list;

	if (!make_list(s, e, kind, &list))
		return -ENOMEM;
	*to = addressee(s, e, kind, &list, buf);
	int err = build(s, e, kind, &list, *to, out, flags);
	free(list.at);
	return err;
}

// The entry may be gone afterwards: the op may answer at once.
void bounce_submit(struct pen_sched *s, struct entry *e)
{
	struct pen_buf content = PEN_BUF_INIT;
	char verp[PEN_VERP_MAX];
	struct pen_span to;
	enum pen_dsn_kind kind;
	uint32_t flags;

	// What was delivered is on its way to the disk before anything is told.
	if (s->nchanges > 0)
		entry_record(s, e, false);
	entry_set_state(s, e, ENTRY_BOUNCING);
	if (!next_kind(s, e, &kind)) {
		entry_conclude(s, e);
		return;
	}
	if (build_told(s, e, kind, verp, &to, &content, &flags) != 0 || content.n > UINT32_MAX) {
		pen_buf_fini(&content);
		s->total.notification_errors++;
		entry_arm(s, e, s->wall + RETRY_AFTER);
		return;
	}
	calendar_disarm(&s->calendar, &e->timer);
	struct pen_sched_submission sub = {
		.token = e->m->id,
		.original = e->m,
		.rcpt = to,
		.content = content.p,
		.content_len = (uint32_t)content.n,
		.flags = flags,
		.arrival = s->wall,
	};
	e->submitted = true;
	e->telling = one_by_one(s, e, kind) ? TELLING_ONE : (uint8_t)kind;
	s->submitting++;
	s->ops.submit(s->ctx, &sub);
}

void bounce_forget(struct entry *e)
{
	for (struct failure *f = e->failures; f != NULL; f = f->next) {
		if (f->fate != PEN_FATE_DELIVERED)
			f->fate = PEN_FATE_DELETED;
	}
}

// The one that was told has its end; what is left to tell is told next.
static void end_first(struct pen_sched *s, struct entry *e)
{
	struct failure **at = &e->failures;

	while (*at != NULL && !belongs(s, e, *at, PEN_DSN_FAILED))
		at = &(*at)->next;
	struct failure *f = *at;
	if (f == NULL)
		return; // an operator wants no more of them: it ends with the others
	*at = f->next;
	entry_fate(s, e, f);
	failure_free(f);
}

static void mark_told(struct pen_sched *s, struct entry *e)
{
	struct failure **at = &e->failures;

	if (e->telling == TELLING_ONE) {
		end_first(s, e);
		return;
	}
	if (e->telling != PEN_DSN_RELAYED) {
		e->told = true;
		return;
	}
	while (*at != NULL) {
		struct failure *f = *at;
		if (f->fate != PEN_FATE_DELIVERED) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		failure_free(f);
	}
}

// RFC 3461 4.1: without NOTIFY a delay is reported too.
static bool wants_delays(const struct entry *e, uint32_t i)
{
	const struct pen_recipient *r = &e->m->rcpt[i];

	return r->fate == PEN_FATE_QUEUED &&
	       pen_notify(r->notify, e->m->sender_len == 0, PEN_NOTIFY_DELAYED, false) !=
		       PEN_ACTION_OF_KIND;
}

pen_wall_us bounce_delay_at(const struct pen_sched *s, const struct entry *e)
{
	const uint32_t never =
		PEN_MESSAGE_DELAY_TOLD | PEN_MESSAGE_DSN | PEN_MESSAGE_HOLD | PEN_MESSAGE_EXPIRE;
	bool waits =
		e->state == ENTRY_DEFERRED || e->state == ENTRY_ACTIVE || e->state == ENTRY_WAITING;

	if (s->cfg.delay_warning_time == 0 || !waits || e->warned || e->deleting ||
		(e->m->flags & never) != 0 || e->m->sender_len == 0 || s->stopping)
		return PEN_TIME_NEVER;
	return entry_birth(e) + s->cfg.delay_warning_time;
}

static bool list_late(const struct entry *e, struct list *list)
{
	*list = (struct list){.e = e, .m = e->m};
	list->late = malloc(e->m->nrcpt * sizeof(*list->late));
	for (uint32_t i = 0; list->late != NULL && i < e->m->nrcpt; i++) {
		if (wants_delays(e, i))
			list->late[list->n++] = i;
	}
	return list->n > 0;
}

// Stores a notification of this kind. False: nobody is to be told, or it failed.
static bool submit_late(
	struct pen_sched *s, struct entry *e, enum pen_dsn_kind kind, uint64_t token)
{
	struct pen_buf content = PEN_BUF_INIT;
	struct list list;
	uint32_t flags;
	bool read = e->m->content == NULL;

	if (!list_late(e, &list)) {
		free(list.late);
		return false;
	}
	struct pen_span to = addressee(s, e, kind, &list, NULL);
	int err = build(s, e, kind, &list, to, &content, &flags);
	free(list.late);
	if (read && e->state != ENTRY_ACTIVE && e->state != ENTRY_WAITING)
		entry_drop_content(s, e); // it may rest for long
	if (err != 0 || content.n > UINT32_MAX) {
		pen_buf_fini(&content);
		s->total.notification_errors++;
		return false;
	}
	struct pen_sched_submission sub = {
		.token = token,
		.original = e->m,
		.rcpt = to,
		.content = content.p,
		.content_len = (uint32_t)content.n,
		.flags = flags,
		.arrival = s->wall,
	};
	s->submitting++;
	s->ops.submit(s->ctx, &sub);
	return true;
}

// Once for a message: what arrives late later is not told of again. When it
// cannot be stored it is tried again at the end of the next pass.
void bounce_delay(struct pen_sched *s, struct entry *e)
{
	e->warned = true;
	submit_late(s, e, PEN_DSN_DELAYED, e->m->id | PEN_SUBMITTED_LATE);
}

static void late_submitted(struct pen_sched *s, uint64_t id, int err)
{
	struct entry *e = entry_find(s, id);

	if (err != 0 || e == NULL)
		return;
	e->m->flags |= PEN_MESSAGE_DELAY_TOLD;
	entry_record(s, e, false);
	// notify_classes = delay. His is a copy: it is not tried again.
	if (s->delay_notice.n > 0)
		submit_late(s, e, PEN_DSN_POSTMASTER_DELAYED,
			id | PEN_SUBMITTED_LATE | PEN_SUBMITTED_COPY);
}

// Of a notification that nothing waits for.
static void count_submitted(struct pen_sched *s, int err)
{
	PEN_ASSERT(s->submitting > 0);
	s->submitting--;
	if (err == 0)
		s->total.notifications++;
	else
		s->total.notification_errors++;
}

void pen_sched_on_submitted(struct pen_sched *s, uint64_t token, int err)
{
	if (token & PEN_SUBMITTED_LATE) {
		count_submitted(s, err);
		if (!(token & PEN_SUBMITTED_COPY))
			late_submitted(s, token & ~PEN_SUBMITTED_LATE, err);
		return;
	}
	struct entry *e = entry_find(s, token);

	if (e == NULL || !e->submitted)
		return;
	e->submitted = false;
	s->submitting--;
	if (err == 0) {
		s->total.notifications++;
		mark_told(s, e);
		if (e->deleting)
			bounce_forget(e);
		if (bounce_wanted(s, e))
			bounce_submit(s, e);
		else
			entry_conclude(s, e);
		return;
	}
	s->total.notification_errors++;
	if (!e->deleting) {
		entry_arm(s, e, s->wall + RETRY_AFTER);
		return;
	}
	// An operator wanted it gone before the sender could be told.
	bounce_forget(e);
	entry_conclude(s, e);
}
