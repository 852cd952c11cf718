// SPDX-License-Identifier: BSD-3-Clause

// Why a message does not move, in one sentence.
#include "why.h"
#include "core.h"
#include "pen_send_window.h"

#include <errno.h>
#include <stdio.h>

void why_say(struct pen_why *out, enum pen_why_code code, const char *word, const char *fmt, ...)
{
	va_list ap;

	out->code = code;
	out->word = word;
	va_start(ap, fmt);
	vsnprintf(out->text, sizeof(out->text), fmt, ap);
	va_end(ap);
}

static const char *date(pen_wall_us t, char out[48])
{
	pen_wall_rfc5322(out, 48, t);
	return out;
}

static void hold_by(struct pen_why *out, const char *who)
{
	snprintf(out->holder, sizeof(out->holder), "%s", who);
}

// What the last attempt said, for the end of a sentence.
static void last_answer(const struct entry *e, uint32_t rcpt, char out[PEN_TROUBLE_TEXT_MAX])
{
	const struct pen_note *note = entry_note(e, rcpt);
	struct pen_dsn d;

	snprintf(out, PEN_TROUBLE_TEXT_MAX, "no attempt was made yet");
	if (note == NULL)
		return;
	pen_note_to_dsn(note, &d);
	pen_trouble_text(&d, pen_note_relay(note), out, PEN_TROUBLE_TEXT_MAX);
}

// "mon-fri 09:00-17:00 Europe/Berlin"
static void window_text(const struct pen_send_window *w, char *out, size_t cap)
{
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	size_t n = 0;

	out[0] = '\0';
	for (unsigned d = 0; d < 7 && n < cap; d++) {
		if (w->days & 1u << d)
			n += (size_t)snprintf(out + n, cap - n, "%s%s", n > 0 ? "," : "", names[d]);
	}
	if (n < cap)
		snprintf(out + n, cap - n, " %02u:%02u-%02u:%02u %s", w->from / 60, w->from % 60,
			w->to / 60, w->to % 60, w->zone[0] != '\0' ? w->zone : "UTC");
}

static void why_scheduled(const struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct pen_message_extra *x = e->m->extra;
	char when[48], window[128];

	out->until = e->m->next_attempt;
	hold_by(out, "its schedule");
	if (x->not_before > s->wall) {
		why_say(out, PEN_WHY_SCHEDULED, "scheduled", "not to be sent before %s",
			date(x->not_before, when));
		return;
	}
	window_text(&x->window, window, sizeof(window));
	why_say(out, PEN_WHY_SCHEDULED, "scheduled", "outside its window (%s), which opens at %s",
		window, date(out->until, when));
}

static void why_in_doubt(const struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct pen_recipient *r = &e->m->rcpt[out->rcpt];
	char last[PEN_TROUBLE_TEXT_MAX], when[48];

	last_answer(e, out->rcpt, last);
	hold_by(out, "in_doubt_policy");
	if (r->due == PEN_DUE_NEVER) {
		out->until = entry_end_of_life(s, e);
		why_say(out, PEN_WHY_IN_DOUBT, "in-doubt",
			"may have been delivered already (%u times in doubt); waits for an "
			"operator, or expires at %s; last answer: %s",
			(unsigned)r->doubts, date(out->until, when), last);
		return;
	}
	out->until = e->m->next_attempt;
	why_say(out, PEN_WHY_IN_DOUBT, "in-doubt",
		"may have been delivered already; tried once more at %s; last answer: %s",
		date(out->until, when), last);
}

static void why_deferred(struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct pen_recipient *r = &e->m->rcpt[out->rcpt];
	char last[PEN_TROUBLE_TEXT_MAX], when[48];

	if (r->doubts > 0 && s->cfg.in_doubt_policy != PEN_IN_DOUBT_RETRY) {
		why_in_doubt(s, e, out);
		return;
	}
	last_answer(e, out->rcpt, last);
	out->until = e->m->next_attempt;
	hold_by(out, "its last attempt");
	why_say(out, PEN_WHY_RETRY, "retry", "tried again at %s after %u attempts; last answer: %s",
		date(out->until, when), r->attempts, last);
	site_why_dead(s, e, out);
}

static bool in_flight(const struct entry *e)
{
	const struct job *j = e->jobs;

	while (j != NULL && j->state != JOB_FLYING)
		j = j->sibling;
	return j != NULL;
}

// The queued recipient that is tried next.
static uint32_t next_rcpt(const struct entry *e)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < e->m->nrcpt; i++) {
		const struct pen_recipient *r = &e->m->rcpt[i];
		if (r->fate != PEN_FATE_QUEUED)
			continue;
		if (best == UINT32_MAX || r->due < e->m->rcpt[best].due)
			best = i;
	}
	return best != UINT32_MAX ? best : 0;
}

int pen_sched_why(struct pen_sched *s, uint64_t id, struct pen_why *out)
{
	const struct entry *e = entry_find(s, id);

	if (e == NULL)
		return -ENOENT;
	*out = (struct pen_why){.rcpt = next_rcpt(e)};
	if (e->state == ENTRY_BOUNCING) {
		hold_by(out, "the spool");
		why_say(out, PEN_WHY_BOUNCING, "bouncing",
			e->submitted ? "the notification to its sender is on its way to the spool"
				     : "the notification to its sender could not be stored; it is "
				       "tried again");
	} else if (e->m->flags & PEN_MESSAGE_HOLD && !in_flight(e)) {
		hold_by(out, "the operator");
		why_say(out, PEN_WHY_HOLD, "hold", "on hold until an operator releases it");
	} else if (s->stopping && !in_flight(e)) {
		hold_by(out, "the operator");
		why_say(out, PEN_WHY_STOPPING, "stopping",
			"the gateway is stopping; it is sent after the next start");
	} else if (e->state == ENTRY_SCHEDULED) {
		why_scheduled(s, e, out);
	} else if (e->state == ENTRY_DEFERRED) {
		why_deferred(s, e, out);
	} else {
		site_why(s, e, out);
	}
	return 0;
}
