// SPDX-License-Identifier: BSD-3-Clause

// What clients were told and receivers got, and whether the two agree: the invariants of the design
// (what must always hold: 1, 2, 3, 5, 6), seen from outside.

#include "sim.h"

#include "pen_err.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sim_fail(const struct sim *s, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr,
		"seed %" PRIu64 " fails after %.6f s, %" PRIu64 " steps, %u crashes: ", s->seed,
		(double)(sim_now(s) - s->started) / PEN_US_PER_S, s->steps, s->epoch);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nrepeat it: penstock_sim --seed %" PRIu64 " --verbose\n", s->seed);
	if (s->plant != SIM_PLANT_NONE)
		_exit(0); // the bug that was put in is found
	abort();
}

// Addresses say who they are: recipient "m12r3@s4.test", sender "back12@s0.test".
static bool parse(struct pen_span addr, unsigned *mail, unsigned *rcpt)
{
	char text[64];

	if (addr.n >= sizeof(text))
		return false;
	memcpy(text, addr.p, addr.n);
	text[addr.n] = '\0';
	return sscanf(text, "m%ur%u@", mail, rcpt) == 2;
}

struct sim_rcpt *sim_ledger_find(struct sim *s, struct pen_span addr)
{
	unsigned mail, rcpt;

	if (!parse(addr, &mail, &rcpt) || mail >= s->nmails || rcpt >= s->mail[mail].nrcpt)
		return NULL;
	return &s->mail[mail].rcpt[rcpt];
}

static struct sim_mail *mail_of(struct sim *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		if (s->mail[i].id == id)
			return &s->mail[i];
	}
	return NULL; // a notification
}

size_t sim_mail_content(const struct sim *s, uint32_t mail, uint8_t **out)
{
	uint32_t body = s->mail[mail].body;
	char *text = malloc(body + 128);

	PEN_ASSERT(text != NULL);
	size_t n = (size_t)sprintf(text, "X-Sim: %u\r\nSubject: hello\r\n\r\n", mail);
	for (uint32_t i = 0; i < body; i++)
		text[n++] = i % 60 == 58   ? '\r'
			    : i % 60 == 59 ? '\n'
			    : i % 60 == 0  ? '.'
					   : (char)('a' + (i * 7 + mail) % 26);
	n += (size_t)sprintf(text + n, "\r\n");
	*out = (uint8_t *)text;
	return n;
}

void sim_ledger_received(
	struct sim *s, struct pen_span rcpt, struct pen_span content, uint32_t site)
{
	struct sim_rcpt *r = sim_ledger_find(s, rcpt);
	unsigned mail, n;
	uint8_t *want;

	if (r == NULL)
		return; // a notification
	parse(rcpt, &mail, &n);
	size_t len = sim_mail_content(s, mail, &want);
	SIM_CHECK(s, content.n == len && memcmp(content.p, want, len) == 0,
		"mail %u came to its receiver changed (%zu bytes of %zu)", mail, content.n, len);
	free(want);
	SIM_CHECK(s, r->site == site, "mail %u for site %u came to site %u", mail, r->site, site);
	SIM_CHECK(s, s->mail[mail].accepted || s->mail[mail].unanswered,
		"mail %u, which its client was refused, was sent", mail);
	SIM_CHECK(s, r->fate == PEN_FATE_QUEUED, "mail %u recipient %u was sent after its end (%u)",
		mail, n, r->fate);
	r->received++;
	unsigned excuses = r->doubts + r->unacked + r->crashes;
	SIM_CHECK(s, r->received <= 1 + excuses, "mail %u recipient %u was received %u times", mail,
		n, r->received);
	if (r->received <= 1)
		return;
	if (r->received <= 1 + r->doubts)
		s->faults.repeated_doubt++;
	else if (r->received <= 1 + r->doubts + r->unacked)
		s->faults.repeated_unacked++;
	else
		s->faults.repeated_crash++;
	if (r->received > 1 + r->doubts + r->unacked && r->last_crash < 64)
		s->repeated_by_crash[r->last_crash]++;
}

// What may not be sent now: what its sender wants later, and what is in doubt.
static void check_begin(struct sim *s, const struct sim_mail *m, struct sim_rcpt *r)
{
	const struct pen_sched_config *c = &s->sched_cfg;

	SIM_CHECK(s, m->not_before == 0 || r->touched || sim_wall(s) >= m->not_before,
		"a message is sent before its time");
	if (r->doubts_known == 0 || r->touched || c->in_doubt_policy == PEN_IN_DOUBT_RETRY)
		return;
	SIM_CHECK(s, c->in_doubt_policy == PEN_IN_DOUBT_DELAY,
		"a recipient in doubt is sent to, though it is to be held");
	SIM_CHECK(s, r->doubts_known == 1, "a recipient in doubt is sent to a third time");
	SIM_CHECK(s, sim_now(s) >= r->doubt_at + c->in_doubt_delay,
		"a recipient in doubt is sent to after %.1f s",
		(double)(sim_now(s) - r->doubt_at) / PEN_US_PER_S);
}

void sim_ledger_begun(struct sim *s, const struct pen_delivery *d)
{
	for (uint32_t i = 0; i < d->nrcpt; i++) {
		unsigned mail, n;
		struct sim_rcpt *r = sim_ledger_find(s, d->rcpt[i].addr);
		if (r != NULL && parse(d->rcpt[i].addr, &mail, &n))
			check_begin(s, &s->mail[mail], r);
	}
}

void sim_ledger_done(struct sim *s, const struct pen_delivery *d)
{
	for (uint32_t i = 0; i < d->nrcpt; i++) {
		struct sim_rcpt *r = sim_ledger_find(s, d->rcpt[i].addr);
		const struct pen_dsn *result = &d->rcpt[i].result;
		if (r == NULL)
			continue;
		if (result->klass == 2)
			r->pending = true;
		else if (result->reply == 0 && d->dot == PEN_DOT_ACKED) {
			r->doubts++;
			r->doubts_known++;
			r->doubt_at = sim_now(s);
			r->touched = false;
		} else if (result->reply == 0 && d->dot == PEN_DOT_SENT)
			r->unacked++;
	}
}

void sim_ledger_recorded(struct sim *s, const struct pen_message_update *u)
{
	struct sim_mail *m = mail_of(s, u->id);

	if (m == NULL)
		return;
	SIM_CHECK(s, !m->gone, "a change of a message that was removed");
	for (uint32_t i = 0; i < u->nchanges; i++) {
		struct sim_rcpt *r = &m->rcpt[u->change[i].index];
		SIM_CHECK(s, r->fate == PEN_FATE_QUEUED || r->fate == u->change[i].fate,
			"a fate changed from %u to %u", r->fate, u->change[i].fate);
		r->fate = u->change[i].fate;
		r->doubts_stored = u->change[i].doubts;
		if (r->fate == PEN_FATE_DELIVERED)
			r->pending = false;
	}
	m->gone = u->removed;
}

// A notification is on disk: who is told of what.
void sim_ledger_notice(struct sim *s, const struct pen_message *m)
{
	const char *text = (const char *)m->content, *end = text + m->content_len;

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), "rfc822; m", 9)) != NULL;
		at++) {
		const char *addr = at + 8;
		size_t n = 0;
		while (addr + n < end && addr[n] > ' ')
			n++;
		struct sim_rcpt *r = sim_ledger_find(s, pen_span(addr, n));
		if (r != NULL)
			r->told = true;
	}
}

static void excuse(struct sim *s, struct sim_rcpt *r)
{
	r->crashes++;
	r->last_crash = (uint16_t)s->epoch;
}

static void flying_at_crash(struct sim *s, const struct pen_delivery *d)
{
	for (uint32_t i = 0; i < d->nrcpt; i++) {
		struct sim_rcpt *r = sim_ledger_find(s, d->rcpt[i].addr);
		if (r != NULL)
			excuse(s, r);
	}
}

void sim_ledger_crash(struct sim *s)
{
	if (s->epoch < 64)
		s->sessions_at_crash[s->epoch] = sim_worker_sessions(s) + s->ended_unstored;
	s->ended_unstored = 0;
	sim_worker_each_flying(s, flying_at_crash);
	for (uint32_t i = 0; i < s->nmails; i++) {
		for (uint32_t k = 0; k < s->mail[i].nrcpt; k++) {
			struct sim_rcpt *r = &s->mail[i].rcpt[k];
			if (r->pending)
				excuse(s, r);
			// A doubt that was not on disk is not known any more.
			r->touched = r->touched || r->doubts_stored < r->doubts_known;
			r->doubts_known = r->doubts_stored;
			s->mail[i].rcpt[k].pending = false;
		}
	}
}

// It may be on the disk all the same: the power failed before anybody could say.
void sim_ledger_dropped(struct sim *s, const struct pen_message_update *u)
{
	struct sim_mail *m = mail_of(s, u->id);

	if (m == NULL)
		return;
	for (uint32_t i = 0; i < u->nchanges; i++)
		m->rcpt[u->change[i].index].maybe = u->change[i].fate;
	m->maybe_gone = m->maybe_gone || u->removed;
}

// Every accepted mail is there, or its end was on its way to the disk.
void sim_ledger_recovery_over(struct sim *s)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		struct sim_mail *m = &s->mail[i];
		if (m->accepted && !m->gone && !m->found) {
			SIM_CHECK(s, m->maybe_gone, "mail %u was accepted, and a crash lost it", i);
			for (uint32_t k = 0; k < m->nrcpt; k++) {
				if (m->rcpt[k].fate == PEN_FATE_QUEUED)
					m->rcpt[k].fate = m->rcpt[k].maybe;
			}
			m->gone = true;
		}
		m->found = m->maybe_gone = false;
		for (uint32_t k = 0; k < m->nrcpt; k++)
			m->rcpt[k].maybe = PEN_FATE_QUEUED;
	}
}

void sim_ledger_recovered(struct sim *s, const struct pen_message *found)
{
	struct sim_mail *m = mail_of(s, found->id);

	if (m == NULL)
		return;
	m->found = true;
	SIM_CHECK(s, !m->gone, "a message came back after its removal was on disk");
	SIM_CHECK(s, found->nrcpt == m->nrcpt, "a message came back with other recipients");
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		// What was on its way to the disk may have got there.
		SIM_CHECK(s,
			m->rcpt[i].fate == PEN_FATE_QUEUED ||
				found->rcpt[i].fate == m->rcpt[i].fate,
			"a recipient came back with the fate %u instead of %u", found->rcpt[i].fate,
			m->rcpt[i].fate);
		m->rcpt[i].fate = found->rcpt[i].fate;
	}
}

bool sim_ledger_open(const struct sim *s)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		if (s->mail[i].accepted && !s->mail[i].gone)
			return true;
	}
	return false;
}

static bool show_state(void *ctx, const struct pen_sched_view *v)
{
	(void)ctx;
	fprintf(stderr, "%s: %s, %u queued, %u in flight, next attempt %lld\n",
		PEN_QUEUE_ID(v->message), pen_sched_state_word(v->state), v->queued, v->in_flight,
		(long long)v->message->next_attempt);
	return true;
}

void sim_ledger_stuck(struct sim *s)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		const struct sim_mail *m = &s->mail[i];
		if (!m->accepted || m->gone)
			continue;
		fprintf(stderr, "mail %u (id %lu, %u recipients, fates", i, m->id, m->nrcpt);
		for (uint32_t k = 0; k < m->nrcpt; k++)
			fprintf(stderr, " %u", m->rcpt[k].fate);
		fprintf(stderr, ") is not over: ");
		if (pen_sched_show(s->sched, m->id, show_state, NULL) != 0)
			fprintf(stderr, "the scheduler does not know it\n");
	}
	sim_fail(s, "mail waits for ever");
}

static void check_rcpt(struct sim *s, uint32_t mail, uint32_t i)
{
	const struct sim_mail *m = &s->mail[mail];
	const struct sim_rcpt *r = &m->rcpt[i];

	switch ((enum pen_fate)r->fate) {
	case PEN_FATE_QUEUED:
		sim_fail(s, "mail %u recipient %u was removed without a fate", mail, i);
	case PEN_FATE_DELIVERED:
		SIM_CHECK(s, r->received > 0,
			"mail %u recipient %u is delivered, and nobody has it", mail, i);
		return;
	case PEN_FATE_BOUNCED:
	case PEN_FATE_EXPIRED:
		SIM_CHECK(s, m->null_sender || r->told,
			"mail %u recipient %u failed, and nobody was told", mail, i);
		break;
	case PEN_FATE_DELETED:
		break;
	}
	SIM_CHECK(s, r->received <= r->doubts + r->unacked + r->crashes,
		"mail %u recipient %u ended as %u, and its receiver has it", mail, i, r->fate);
}

void sim_ledger_check(struct sim *s)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		const struct sim_mail *m = &s->mail[i];
		SIM_CHECK(s, m->accepted + m->unanswered + m->refused == 1,
			"the client of mail %u had no answer, or two", i);
		if (!m->accepted)
			continue;
		SIM_CHECK(s, m->gone, "mail %u was accepted, and is lost", i);
		for (uint32_t k = 0; k < m->nrcpt; k++)
			check_rcpt(s, i, k);
	}
	// With results on disk before the next end of a message, a crash repeats one message at
	// most for each connection that is open, or ended while the disk refused its result.
	for (uint32_t i = 0; s->sched_cfg.hold_dots && i < s->epoch && i < 64; i++)
		SIM_CHECK(s, s->repeated_by_crash[i] <= s->sessions_at_crash[i] * SIM_RCPTS,
			"crash %u repeated %u recipients, with %u connections open", i,
			s->repeated_by_crash[i], s->sessions_at_crash[i]);
}
