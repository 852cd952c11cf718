// SPDX-License-Identifier: BSD-3-Clause

// Event records: one JSON object for each reception, attempt and fate, with the
// field names that log readers of bulk senders know (KumoMTA's), and the tls=
// field of the mail log. control/ops/README.md lists them.
//
// Each is put before the change of the message is given to the spool, whose
// writer flushes the event log before it commits.

#include "pen_gateway.h"

#include "pen_event.h"
#include "pen_trouble.h"

#include <stdlib.h>

static const char *type_of(const struct pen_sched_log *line)
{
	switch (line->status) {
	case PEN_STATUS_SENT:
		return "Delivery";
	case PEN_STATUS_BOUNCED:
		return "Bounce";
	case PEN_STATUS_EXPIRED:
		return "Expiration";
	case PEN_STATUS_DEFERRED:
	case PEN_STATUS_SOFTBOUNCE:
		break;
	}
	return "TransientFailure";
}

static void begin(struct pen_event *e, const char *type, const struct pen_message *m)
{
	pen_event_begin(e, type);
	pen_event_cstr(e, "id", PEN_QUEUE_ID(m));
	pen_event_number(e, "timestamp", pen_clock_wall() / PEN_US_PER_S);
	pen_event_text(e, "sender", pen_message_sender(m));
}

static void end(struct pen_gateway *g, struct pen_event *e)
{
	pen_events_put(g->events, pen_event_end(e));
	pen_event_fini(e);
}

static void add_recipient(struct pen_event *e, const struct pen_message *m, uint32_t i)
{
	pen_event_text(e, "recipient", pen_recipient_addr(&m->rcpt[i]));
	pen_event_number(e, "recipient_index", i);
}

static void add_some(struct pen_event *e, const char *key, struct pen_span value)
{
	if (value.n > 0)
		pen_event_text(e, key, value);
}

static void add_class(struct pen_event *e, const struct pen_mail_class *k)
{
	static const char *const priorities[] = {
		[PEN_PRIORITY_HIGH] = "high", [PEN_PRIORITY_LOW] = "low"};

	add_some(e, "tenant", k->tenant);
	add_some(e, "campaign", k->campaign);
	add_some(e, "egress_pool", k->pool);
	if (k->priority != PEN_PRIORITY_NORMAL)
		pen_event_cstr(e, "priority", priorities[k->priority]);
}

static void add_message(struct pen_event *e, const struct pen_message *m)
{
	pen_event_number(e, "size", m->content_len);
	pen_event_number(e, "created", m->arrival / PEN_US_PER_S);
	add_class(e, m->klass);
}

static void add_response(struct pen_event *e, const struct pen_sched_log *line)
{
	const struct pen_dsn *d = line->dsn;
	char text[PEN_TROUBLE_TEXT_MAX];
	size_t n = pen_sched_log_text(line, text, sizeof(text));

	pen_event_object(e, "response");
	pen_event_number(e, "code", d->reply);
	pen_event_object(e, "enhanced_code");
	pen_event_number(e, "class", d->klass);
	pen_event_number(e, "subject", d->subject);
	pen_event_number(e, "detail", d->detail);
	pen_event_close(e);
	pen_event_text(e, "content", pen_span(text, n));
	pen_event_cstr(e, "command",
		d->stage != PEN_STAGE_NONE ? pen_smtp_stage_name((enum pen_smtp_stage)d->stage)
					   : "");
	pen_event_close(e);
}

static const struct pen_source_config *source_of(
	const struct pen_gateway *g, const struct pen_addr *addr)
{
	static __thread uint32_t last; // sessions have many results in a row
	const struct pen_dataplane_config *dp = &g->config->egress.dataplane;

	for (uint32_t i = 0; i < dp->nsources; i++, last = (last + 1) % dp->nsources) {
		if (last < dp->nsources && pen_addr_eq(&dp->source[last].addr, addr))
			return &dp->source[last];
	}
	return NULL;
}

static void add_peer(struct pen_gateway *g, struct pen_event *e, const struct pen_sched_log *line)
{
	char addr[PEN_ADDR_STR_MAX];

	if (line->relay_name == NULL || line->relay_addr == NULL)
		return;
	pen_event_object(e, "peer_address");
	pen_event_cstr(e, "name", line->relay_name);
	pen_event_cstr(e, "addr", pen_addr_str(line->relay_addr, addr));
	pen_event_close(e);
	if (line->source == NULL || line->source->family == PEN_FAMILY_NONE)
		return;
	pen_event_object(e, "source_address");
	pen_event_cstr(e, "address", pen_addr_str(line->source, addr));
	pen_event_close(e);
	const struct pen_source_config *source = source_of(g, line->source);
	if (source != NULL)
		pen_event_cstr(e, "egress_source", source->name);
}

static void add_tls(struct pen_event *e, const struct pen_sched_log *line)
{
	char field[PEN_TLS_FIELD_MAX];

	if (line->tls_field != NULL && pen_tls_field_str(line->tls_field, field) > 0)
		pen_event_cstr(e, "tls", field);
	if (!line->tls)
		return;
	pen_event_cstr(e, "tls_cipher", line->tls_cipher);
	pen_event_cstr(e, "tls_protocol_version", line->tls_protocol);
}

void pen_event_log(struct pen_gateway *g, const struct pen_sched_log *line, const char *klass)
{
	const struct pen_message *m = line->message;
	struct pen_event e = {0};

	if (g->events == NULL)
		return;
	begin(&e, type_of(line), m);
	add_recipient(&e, m, line->rcpt);
	pen_event_cstr(&e, "site", line->site);
	add_message(&e, m);
	add_response(&e, line);
	pen_event_number(&e, "num_attempts", m->rcpt[line->rcpt].attempts);
	if (klass != NULL)
		pen_event_cstr(&e, "bounce_classification", klass);
	pen_event_bool(&e, "in_doubt", line->in_doubt);
	if (line->retry_is_safe)
		pen_event_bool(&e, "retry_is_safe", true);
	if (line->conn_use > 1)
		pen_event_number(&e, "connection_use", line->conn_use);
	add_peer(g, &e, line);
	add_tls(&e, line);
	end(g, &e);
}

void pen_event_received(struct pen_gateway *g, const struct pen_message *m, const char *protocol,
	struct pen_span user)
{
	struct pen_event e = {0};

	if (g->events == NULL)
		return;
	begin(&e, "Reception", m);
	pen_event_list(&e, "recipient");
	for (uint32_t i = 0; i < m->nrcpt; i++)
		pen_event_item(&e, pen_recipient_addr(&m->rcpt[i]));
	pen_event_close_list(&e);
	add_message(&e, m);
	pen_event_cstr(&e, "reception_protocol", protocol);
	if (user.n > 0)
		pen_event_text(&e, "sasl_username", user);
	end(g, &e);
	// Dropped on the way in, by the suppression list.
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		char why[PEN_SUPPRESSION_REASON_MAX + 40];
		if (m->rcpt[i].fate != PEN_FATE_DELETED)
			continue;
		if (!pen_suppressed(
			    g, m->klass->tenant, pen_recipient_addr(&m->rcpt[i]), why, sizeof(why)))
			snprintf(why, sizeof(why), "no longer listed"); // in this moment
		pen_event_suppressed(g, PEN_QUEUE_ID(m), pen_message_sender(m),
			pen_recipient_addr(&m->rcpt[i]), i, m->klass, why);
	}
}

void pen_event_suppressed(struct pen_gateway *g, const char *queue_id, struct pen_span sender,
	struct pen_span rcpt, int64_t index, const struct pen_mail_class *klass, const char *why)
{
	struct pen_event e = {0};

	if (g->events == NULL)
		return;
	pen_event_begin(&e, "Suppressed");
	pen_event_cstr(&e, "id", queue_id);
	pen_event_number(&e, "timestamp", pen_clock_wall() / PEN_US_PER_S);
	pen_event_text(&e, "sender", sender);
	pen_event_text(&e, "recipient", rcpt);
	if (index >= 0)
		pen_event_number(&e, "recipient_index", index);
	if (klass != NULL)
		add_class(&e, klass);
	pen_event_object(&e, "response");
	pen_event_number(&e, "code", 550);
	pen_event_object(&e, "enhanced_code");
	pen_event_number(&e, "class", 5);
	pen_event_number(&e, "subject", 7);
	pen_event_number(&e, "detail", 1);
	pen_event_close(&e);
	pen_event_cstr(&e, "content", why);
	pen_event_cstr(&e, "command", "");
	pen_event_close(&e);
	pen_event_cstr(&e, "fate", "deleted");
	pen_event_cstr(&e, "by", "suppression list");
	end(g, &e);
}

void pen_event_ended(struct pen_gateway *g, const struct pen_message *m, uint32_t rcpt,
	enum pen_fate fate, const char *by)
{
	static const char *const types[] = {[PEN_FATE_QUEUED] = "TransientFailure",
		[PEN_FATE_DELIVERED] = "Delivery",
		[PEN_FATE_BOUNCED] = "AdminBounce",
		[PEN_FATE_EXPIRED] = "Expiration",
		[PEN_FATE_DELETED] = "AdminDelete"};
	struct pen_event e = {0};

	if (g->events == NULL)
		return;
	begin(&e, types[fate], m);
	add_recipient(&e, m, rcpt);
	add_message(&e, m);
	pen_event_number(&e, "num_attempts", m->rcpt[rcpt].attempts);
	pen_event_cstr(&e, "by", by);
	end(g, &e);
}

void pen_event_daemon(struct pen_gateway *g, const char *type, uint64_t messages)
{
	struct pen_event e = {0};

	if (g->events == NULL)
		return;
	pen_event_begin(&e, type);
	pen_event_number(&e, "timestamp", pen_clock_wall() / PEN_US_PER_S);
	pen_event_cstr(&e, "version", PENSTOCK_VERSION);
	pen_event_number(&e, "messages", (int64_t)messages);
	end(g, &e);
	pen_events_flush(g->events, true);
}
