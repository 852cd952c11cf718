// SPDX-License-Identifier: BSD-3-Clause

// Clients that submit, and operators that interfere.

#include "sim.h"

#include "pen_err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stored(struct sim *s, void *arg, struct pen_message *m, int err)
{
	struct sim_mail *mail = arg;

	if (s->dead) {
		mail->unanswered = !mail->accepted; // the client's connection broke
		pen_message_free(m);
		return;
	}
	if (err != 0) {
		s->faults.mail_refused++;
		mail->refused = true;
		pen_message_free(m);
		return;
	}
	mail->accepted = true;
	SIM_CHECK(s, pen_sched_add(s->sched, m) == 0, "a new message was not taken");
}

static uint32_t body_size(struct sim *s)
{
	switch (sim_below(s, 10)) {
	case 0:
		return sim_below(s, 40000);
	case 1:
	case 2:
		return sim_below(s, 4000);
	}
	return sim_below(s, 400);
}

static void submit(struct sim *s)
{
	uint32_t number = s->nmails++;
	struct sim_mail *mail = &s->mail[number];
	struct pen_envelope_rcpt rcpt[SIM_RCPTS];
	char text[SIM_RCPTS][64], sender[64];
	uint8_t *content;

	*mail = (struct sim_mail){.nrcpt = sim_below(s, 3) == 0 ? 1 + sim_below(s, SIM_RCPTS) : 1,
		.body = body_size(s),
		.null_sender = sim_below(s, 10) == 0};
	for (uint32_t i = 0; i < mail->nrcpt; i++) {
		mail->rcpt[i].site = (uint8_t)sim_below(s, SIM_SITES);
		snprintf(
			text[i], sizeof(text[i]), "m%ur%u@s%u.test", number, i, mail->rcpt[i].site);
		rcpt[i] = (struct pen_envelope_rcpt){.addr = pen_span_cstr(text[i])};
	}
	snprintf(sender, sizeof(sender), "back%u@s0.test", number);
	size_t len = sim_mail_content(s, number, &content);
	struct pen_message_extra extra = {0};
	const char *tenant = (const char *[]){"", "", "t0", "t1"}[sim_below(s, 4)];
	const struct pen_mail_class *klass = pen_mail_class_get(pen_span_cstr(tenant),
		pen_span("", 0), pen_span("", 0), (enum pen_priority)sim_below(s, PEN_PRIORITIES));
	if (sim_below(s, 20) == 0)
		mail->not_before = extra.not_before =
			sim_wall(s) + PEN_US_PER_S * sim_below(s, 4000);
	const struct pen_envelope e = {.klass = klass,
		.extra = mail->not_before != 0 ? &extra : NULL,
		.sender = mail->null_sender ? pen_span(NULL, 0) : pen_span_cstr(sender),
		.rcpt = rcpt,
		.nrcpt = mail->nrcpt,
		.arrival = sim_wall(s)};
	struct pen_message *m = pen_message_make(&e, content, (uint32_t)len);
	pen_mail_class_put(klass);
	PEN_ASSERT(m != NULL);
	sim_store_put(s, m, stored, mail);
	mail->id = m->id;
	mail->accepted = s->plant == SIM_PLANT_EARLY_250;
}

static void touch(struct sim_mail *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		m->rcpt[i].touched = true;
}

static void act(struct sim *s)
{
	struct sim_mail *mail = s->nmails > 0 ? &s->mail[sim_below(s, s->nmails)] : NULL;
	uint64_t id = mail != NULL ? mail->id : 0;

	s->faults.operator_acts++;
	if (mail != NULL)
		touch(mail);
	switch (sim_below(s, 6)) {
	case 0:
		pen_sched_hold(s->sched, id);
		break;
	case 1:
		pen_sched_release(s->sched, id);
		break;
	case 2:
		pen_sched_delete(s->sched, id);
		break;
	case 3:
		for (uint32_t i = 0; i < s->nmails; i++)
			touch(&s->mail[i]);
		pen_sched_flush(s->sched, 0);
		break;
	default:
		pen_sched_flush(s->sched, id);
		break;
	}
}

// The calm: nothing is left on hold, so that everything can end.
static void release_all(struct sim *s)
{
	for (uint32_t i = 0; i < s->nmails; i++) {
		touch(&s->mail[i]);
		pen_sched_release(s->sched, s->mail[i].id);
	}
}

pen_time_us sim_load_step(struct sim *s)
{
	while (s->nmails < s->want_mails && sim_now(s) >= s->next_mail) {
		submit(s);
		bool burst = sim_below(s, 4) != 0;
		s->next_mail += burst ? sim_below(s, 2000) : PEN_US_PER_S * sim_below(s, 200);
	}
	if (sim_now(s) >= s->next_act) {
		s->next_act = sim_now(s) + PEN_US_PER_S * (1 + sim_below(s, 900));
		if (sim_now(s) < s->calm_at)
			act(s);
		else
			release_all(s);
	}
	return pen_time_min(s->next_act, s->nmails < s->want_mails ? s->next_mail : PEN_TIME_NEVER);
}
