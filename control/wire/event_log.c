// SPDX-License-Identifier: BSD-3-Clause

// Event records: one JSON object for each attempt and recipient, with the field
// names that log readers of bulk senders know (KumoMTA's), and the tls= field of
// the mail log.

#include "pen_gateway.h"

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

// Addresses come from clients and need not be UTF-8.
static json_t *text_json(struct pen_span s)
{
	json_t *text = json_stringn(s.n > 0 ? (const char *)s.p : "", s.n);
	char safe[512];
	size_t n = 0;

	if (text != NULL)
		return text;
	for (; n < s.n && n < sizeof(safe); n++)
		safe[n] = s.p[n] >= ' ' && s.p[n] < 0x7f ? (char)s.p[n] : '?';
	return json_stringn(safe, n);
}

static json_t *response_json(const struct pen_sched_log *line)
{
	const struct pen_dsn *d = line->dsn;
	char text[PEN_TROUBLE_TEXT_MAX];
	size_t n = pen_sched_log_text(line, text, sizeof(text));

	return json_pack("{s:i,s:{s:i,s:i,s:i},s:o,s:s}", "code", d->reply, "enhanced_code",
		"class", d->klass, "subject", d->subject, "detail", d->detail, "content",
		text_json(pen_span(text, n)), "command",
		d->stage != PEN_STAGE_NONE ? pen_smtp_stage_name((enum pen_smtp_stage)d->stage)
					   : "");
}

static void add_peer(json_t *o, const struct pen_sched_log *line)
{
	char addr[PEN_ADDR_STR_MAX];

	if (line->relay_name == NULL || line->relay_addr == NULL)
		return;
	json_object_set_new(o, "peer_address",
		json_pack("{s:s,s:s}", "name", line->relay_name, "addr",
			pen_addr_str(line->relay_addr, addr)));
	if (line->source != NULL && line->source->family != PEN_FAMILY_NONE)
		json_object_set_new(o, "source_address",
			json_pack("{s:s}", "address", pen_addr_str(line->source, addr)));
}

static void add_tls(json_t *o, const struct pen_sched_log *line)
{
	char field[PEN_TLS_FIELD_MAX];

	if (line->tls_field != NULL && pen_tls_field_str(line->tls_field, field) > 0)
		json_object_set_new(o, "tls", json_string(field));
	if (!line->tls)
		return;
	json_object_set_new(o, "tls_cipher", json_string(line->tls_cipher));
	json_object_set_new(o, "tls_protocol_version", json_string(line->tls_protocol));
}

void pen_event_log(struct pen_gateway *g, const struct pen_sched_log *line, const char *klass)
{
	const struct pen_message *m = line->message;
	json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:s,s:I,s:o,s:I,s:I,s:i,s:b}", "type",
		type_of(line), "id", m->queue_id, "sender", text_json(m->sender), "recipient",
		text_json(m->rcpt[line->rcpt].addr), "site", line->site, "size",
		(json_int_t)m->content_len, "response", response_json(line), "timestamp",
		(json_int_t)(pen_clock_wall() / PEN_US_PER_S), "created",
		(json_int_t)(m->arrival / PEN_US_PER_S), "num_attempts",
		m->rcpt[line->rcpt].attempts, "in_doubt", line->in_doubt);

	if (o == NULL)
		return;
	if (klass != NULL)
		json_object_set_new(o, "bounce_classification", json_string(klass));
	add_peer(o, line);
	add_tls(o, line);
	char *text = json_dumps(o, JSON_COMPACT);
	if (text != NULL)
		pen_maillog_record(g->events, text, strlen(text));
	free(text);
	json_decref(o);
}
