// SPDX-License-Identifier: BSD-3-Clause
#include "pen_trouble.h"

#include <stdio.h>

// The worker has asked all hosts, and says so with the scope (pen_delivery.h).
static bool is_last_word(const struct pen_dsn *d)
{
	if (d->klass != 5 || d->scope != PEN_SCOPE_SITE)
		return false;
	return d->origin == PEN_ORIGIN_POLICY ||
	       (d->origin == PEN_ORIGIN_PEER &&
		       (d->stage == PEN_STAGE_STARTTLS || d->stage == PEN_STAGE_GREETING));
}

enum pen_verdict pen_trouble_judge(
	const struct pen_dsn *d, enum pen_trouble_source source, bool soft_bounce)
{
	// A route may end in success too: mail that is to be discarded.
	if (d->klass == 2 && source != PEN_TROUBLE_LEASE)
		return PEN_VERDICT_DELIVERED;
	if (d->klass != 5 || soft_bounce)
		return PEN_VERDICT_RETRY;
	switch (source) {
	case PEN_TROUBLE_ROUTE:
		return PEN_VERDICT_BOUNCE;
	case PEN_TROUBLE_DELIVERY:
		// A session that dies with a 5xx (521, "go away") takes its
		// recipients with it without having judged them.
		if (d->scope == PEN_SCOPE_RECIPIENT || d->scope == PEN_SCOPE_MESSAGE)
			return PEN_VERDICT_BOUNCE;
		return PEN_VERDICT_RETRY;
	case PEN_TROUBLE_LEASE:
		return is_last_word(d) ? PEN_VERDICT_BOUNCE : PEN_VERDICT_RETRY;
	}
	return PEN_VERDICT_RETRY;
}

void pen_trouble_demote(struct pen_dsn *d)
{
	if (d->klass == 5)
		d->klass = 4;
}

enum pen_site_effect pen_trouble_site_effect(
	const struct pen_lease *l, uint32_t handled, uint32_t untried)
{
	if (!l->ready && is_last_word(&l->result))
		return PEN_SITE_REFUSED;
	if (!l->ready && l->result.klass == 4 && l->result.stage == PEN_STAGE_TLS &&
		l->tls_field.shown && l->tls_field.level == PEN_TLS_MAY)
		return PEN_SITE_MAIL_WAITS;
	if (!l->ready)
		return PEN_SITE_UNREACHABLE;
	if (handled > 0 || (pen_dsn_ok(&l->result) && untried == 0))
		return PEN_SITE_OK;
	return PEN_SITE_LOST;
}

const char *pen_trouble_status(const struct pen_dsn *d, char out[PEN_STATUS_STR_MAX])
{
	snprintf(
		out, PEN_STATUS_STR_MAX, "%u.%u.%u", d->klass, d->subject % 1000, d->detail % 1000);
	return out;
}

// The SMTP client's texts are for people already: "host NAME[ADDR] said: REPLY
// (in reply to X command)". This is REPLY, or the whole text when it is bare.
static struct pen_span bare_reply(const struct pen_dsn *d)
{
	static const char *const lead_ins[] = {"] said: ", "] refused to talk to me: "};
	struct pen_span text = pen_span(d->text, d->text_len);

	if (strncmp(d->text, "host ", 5) != 0)
		return text;
	for (size_t i = 0; i < sizeof(lead_ins) / sizeof(lead_ins[0]); i++) {
		const char *at = strstr(d->text, lead_ins[i]);
		if (at == NULL)
			continue;
		text = pen_span_from(text, (size_t)(at - d->text) + strlen(lead_ins[i]));
		for (const char *p = (const char *)text.p;
			(p = strstr(p, " (in reply to ")) != NULL; p++)
			text.n = (size_t)(p - (const char *)text.p);
		return text;
	}
	return text;
}

// The reply as the server gave it. Some texts carry the code already.
static int put_reply(const struct pen_dsn *d, char *out, size_t cap)
{
	char code[8], status[PEN_STATUS_STR_MAX];
	uint8_t k;
	uint16_t a, b;

	struct pen_span t = bare_reply(d);

	snprintf(code, sizeof(code), "%03u", d->reply % 1000u);
	if (t.n >= 3 && memcmp(t.p, code, 3) == 0 && (t.n == 3 || t.p[3] == ' '))
		return snprintf(out, cap, "%.*s", PEN_SPAN_ARG(t));
	if (pen_dsn_parse_status(t, &k, &a, &b) != 0)
		return snprintf(out, cap, "%s %.*s", code, PEN_SPAN_ARG(t));
	return snprintf(out, cap, "%s %s%s%.*s", code, pen_trouble_status(d, status),
		t.n > 0 ? " " : "", PEN_SPAN_ARG(t));
}

static size_t make_printable(char *out, size_t cap, int n)
{
	size_t len = n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)out[i] < ' ' || (unsigned char)out[i] > 126)
			out[i] = '?';
	}
	return len;
}

size_t pen_trouble_reply(const struct pen_dsn *d, char *out, size_t cap)
{
	return make_printable(out, cap, put_reply(d, out, cap));
}

size_t pen_trouble_text(const struct pen_dsn *d, const char *relay, char *out, size_t cap)
{
	char reply[PEN_DSN_TEXT_MAX + 32];
	int n;

	if (d->origin != PEN_ORIGIN_PEER || d->reply == 0 || bare_reply(d).n < d->text_len) {
		n = snprintf(out, cap, "%s", d->text);
	} else if (d->klass == 2) {
		n = put_reply(d, out, cap);
	} else {
		put_reply(d, reply, sizeof(reply));
		n = snprintf(
			out, cap, "host %s said: %s", relay[0] != '\0' ? relay : "unknown", reply);
		if (d->stage != PEN_STAGE_NONE && n > 0 && (size_t)n < cap)
			n += snprintf(out + n, cap - (size_t)n, " (in reply to %s%s)",
				pen_smtp_stage_name(d->stage),
				d->stage == PEN_STAGE_DOT || d->stage == PEN_STAGE_GREETING
					? ""
					: " command");
	}
	return make_printable(out, cap, n);
}
