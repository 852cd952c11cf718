// SPDX-License-Identifier: BSD-3-Clause

// One maillog line per recipient and attempt, from the scheduler's results. A failure's
// class is in the line, in the event and counted.
#include "pen_gateway.h"
#include "pen_trouble.h"

static enum pen_maillog_status status_of(enum pen_sched_status st)
{
	switch (st) {
	case PEN_STATUS_SENT:
		return PEN_MAILLOG_SENT;
	case PEN_STATUS_DEFERRED:
	case PEN_STATUS_SOFTBOUNCE:
		return PEN_MAILLOG_DEFERRED;
	case PEN_STATUS_BOUNCED:
	case PEN_STATUS_EXPIRED:
		break;
	}
	return PEN_MAILLOG_BOUNCED;
}

// The class of a failure, counted; NULL for a success. Mail that expired is
// counted as that: what went wrong last is in the text.
static const char *classify(struct pen_gateway *g, const struct pen_sched_log *line)
{
	const char *klass = line->klass;

	if (pen_dsn_ok(line->dsn))
		return NULL;
	if (line->status == PEN_STATUS_EXPIRED)
		klass = PEN_REPLY_CLASS_EXPIRED;
	else if (klass == NULL) // it failed before there was a session
		klass = pen_match_ask(g->match, line->dsn, "", pen_span("", 0), NULL);
	pen_match_count(g->match, klass);
	return klass;
}

void pen_delivery_log(struct pen_gateway *g, const struct pen_sched_log *line)
{
	const struct pen_message *m = line->message;
	struct pen_dsn shown = *line->dsn;
	char field[PEN_TLS_FIELD_MAX] = "";

	if (line->status == PEN_STATUS_EXPIRED && g->expired_id != m->id) {
		g->expired_id = m->id;
		pen_maillog_expired(g->maillog, PEN_QUEUE_ID(m), pen_message_sender(m));
	}
	const char *klass = classify(g, line);
	// A whole sentence, which the log takes as it is.
	shown.text_len = (uint16_t)pen_sched_log_text(line, shown.text, sizeof(shown.text));
	shown.origin = PEN_ORIGIN_LOCAL;
	if (line->tls_field != NULL && g->config->params.smtp_log_tls_feature_status)
		pen_tls_field_str(line->tls_field, field);
	struct pen_maillog_delivery d = {
		.queue_id = PEN_QUEUE_ID(m),
		.rcpt = pen_recipient_addr(&m->rcpt[line->rcpt]),
		.relay_host = line->relay_name,
		.relay_port = line->relay_port,
		.conn_use = line->conn_use,
		.before_queue = line->delay[0],
		.in_queue = line->delay[1],
		.connect = line->delay[2],
		.transmit = line->delay[3],
		.tls = field[0] != '\0' ? field : NULL,
		.status = status_of(line->status),
		.dsn = &shown,
		.klass = klass,
	};
	if (line->relay_addr != NULL)
		d.relay_addr = *line->relay_addr;
	pen_maillog_delivery(g->maillog, &d);
	if (g->events != NULL)
		pen_event_log(g, line, klass);
}
