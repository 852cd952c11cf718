// SPDX-License-Identifier: BSD-3-Clause

// A message of the queue for the control socket, with the names of postqueue -j.

#include "verb_call.h"

#include "pen_trouble.h"

static const char *fate_word(unsigned fate)
{
	static const char *const words[] = {[PEN_FATE_QUEUED] = "queued",
		[PEN_FATE_DELIVERED] = "delivered",
		[PEN_FATE_BOUNCED] = "bounced",
		[PEN_FATE_EXPIRED] = "expired",
		[PEN_FATE_DELETED] = "deleted"};

	return fate < sizeof(words) / sizeof(words[0]) ? words[fate] : "unknown";
}

static json_t *recipient_json(
	struct pen_sched *s, const struct pen_message *m, uint32_t i, bool all)
{
	const struct pen_recipient *rcpt = &m->rcpt[i];
	bool queued = rcpt->fate == PEN_FATE_QUEUED;
	char text[PEN_TROUBLE_TEXT_MAX > PEN_WHY_TEXT_MAX ? PEN_TROUBLE_TEXT_MAX
							  : PEN_WHY_TEXT_MAX];
	json_t *r = json_object();

	json_object_set_new(r, "address", bytes_json(pen_recipient_addr(rcpt)));
	json_object_set_new(r, "attempts", json_integer(rcpt->attempts));
	if (all)
		json_object_set_new(r, "fate", json_string(fate_word(rcpt->fate)));
	if (queued && rcpt->doubts > 0)
		json_object_set_new(r, "in_doubt", json_integer(rcpt->doubts));
	if (queued && pen_sched_held(s, pen_recipient_addr(rcpt), text, sizeof(text))) {
		json_object_set_new(r, "suspended", json_true());
		json_object_set_new(r, "delay_reason", bytes_json(pen_span_cstr(text)));
	} else if (queued && m->last_error != NULL) {
		struct pen_dsn error;
		pen_note_to_dsn(m->last_error, &error);
		pen_trouble_text(&error, pen_note_relay(m->last_error), text, sizeof(text));
		json_object_set_new(r, "delay_reason", json_string(text));
	}
	return r;
}

// What a recipient takes in an answer, at most or nearly so.
static size_t cost_of(const struct pen_message *m, uint32_t i)
{
	size_t reason = m->last_error != NULL ? m->last_error->text_len + 128u : 0;

	return 2u * pen_recipient_addr(&m->rcpt[i]).n + reason + 100;
}

// Returns the index to go on with, 0 at the end.
static uint32_t recipients_json(struct pen_sched *s, const struct pen_message *m, bool all,
	uint32_t from, size_t *room, json_t *list)
{
	for (uint32_t i = from; i < m->nrcpt; i++) {
		if (!all && m->rcpt[i].fate != PEN_FATE_QUEUED)
			continue;
		size_t cost = cost_of(m, i);
		if (cost > *room && json_array_size(list) > 0)
			return i;
		json_array_append_new(list, recipient_json(s, m, i, all));
		*room -= cost < *room ? cost : *room;
	}
	return 0;
}

static void set_text(json_t *o, const char *key, struct pen_span value)
{
	if (value.n > 0)
		json_object_set_new(o, key, bytes_json(value));
}

static void set_time(json_t *o, const char *key, pen_wall_us at)
{
	if (at != 0)
		json_object_set_new(o, key, json_integer((json_int_t)(at / PEN_US_PER_S)));
}

static json_t *window_json(const struct pen_send_window *w)
{
	static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	json_t *list = json_array();
	char from[8], to[8];

	for (unsigned i = 0; i < 7; i++) {
		if (w->days & 1 << i)
			json_array_append_new(list, json_string(days[i]));
	}
	snprintf(from, sizeof(from), "%02u:%02u", w->from / 60 % 100, w->from % 60);
	snprintf(to, sizeof(to), "%02u:%02u", w->to / 60 % 100, w->to % 60);
	return json_pack("{s:o,s:s,s:s,s:s}", "days", list, "from", from, "to", to, "zone",
		w->zone[0] != '\0' ? w->zone : "UTC");
}

static void add_class(json_t *o, const struct pen_message *m)
{
	static const char *const priorities[] = {[PEN_PRIORITY_NORMAL] = "normal",
		[PEN_PRIORITY_HIGH] = "high",
		[PEN_PRIORITY_LOW] = "low"};
	const struct pen_message_extra *x = m->extra;

	set_text(o, "tenant", m->klass->tenant);
	set_text(o, "campaign", m->klass->campaign);
	set_text(o, "pool", m->klass->pool);
	if (m->klass->priority != PEN_PRIORITY_NORMAL)
		json_object_set_new(o, "priority", json_string(priorities[m->klass->priority]));
	if (x == NULL)
		return;
	set_time(o, "not_before", x->not_before);
	set_time(o, "not_after", x->not_after);
	set_text(o, "route", pen_span_cstr(x->route));
	if (x->window.days != 0)
		json_object_set_new(o, "window", window_json(&x->window));
}

json_t *message_json(struct pen_sched *s, const struct pen_sched_view *view, bool all,
	uint32_t from, size_t *room)
{
	const struct pen_message *m = view->message;
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:b}", "queue_name",
		pen_sched_state_word(view->state), "queue_id", PEN_QUEUE_ID(m), "arrival_time",
		(json_int_t)(m->arrival / PEN_US_PER_S), "message_size", (json_int_t)m->content_len,
		"sender", bytes_json(pen_message_sender(m)), "next_attempt",
		(json_int_t)(m->next_attempt / PEN_US_PER_S), "expires",
		(json_int_t)(view->expires / PEN_US_PER_S), "forced_expire",
		(m->flags & PEN_MESSAGE_EXPIRE) != 0);

	add_class(o, m);
	if (view->in_doubt > 0)
		json_object_set_new(o, "in_doubt", json_integer(view->in_doubt));
	if (view->deleting)
		json_object_set_new(o, "deleting", json_true());
	*room -= *room > 400 ? 400 : *room;
	json_t *list = json_array();
	uint32_t more = recipients_json(s, m, all, from, room, list);
	json_object_set_new(o, "recipients", list);
	if (more != 0)
		json_object_set_new(o, "more_recipients", json_integer(more));
	return o;
}
